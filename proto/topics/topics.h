// SPDX-License-Identifier: Apache-2.0
// The topic grammar, in one place for device, gateway and broker ACL:
//
//   gw1/d/{device}/up/{leaf}   device to gateway
//   gw1/d/{device}/dn/{leaf}   gateway to device
//
// {device} is a DeviceId. A device may publish below its own up/ and read its own dn/, nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string_view>

#include "proto/base/ids.h"
#include "proto/base/status.h"

namespace godwit::topics {

enum class Leaf : std::uint8_t {
  kHello,   // up/hello  Hello: birth, also sent again when asked or when the clock becomes known
  kRecord,  // up/rec    Record: durable samples and loss ranges, QoS 1, in order
  kLive,    // up/live   Batch: newest wins, QoS 0, never stored in flash
  kGone,    // up/gone   empty: the last will; else said by a device that stops
  kAck,     // dn/ack    Ack
};

inline constexpr std::string_view kRoot = "gw1/d/";
// What the gateway subscribes to, and what the broker's ACL grants with %u for the certificate's name.
inline constexpr std::string_view kGatewayFilter = "gw1/d/+/up/#";
inline constexpr std::array<std::string_view, 4> kAclPublishPatterns{"gw1/d/%u/up/hello", "gw1/d/%u/up/rec",
                                                                     "gw1/d/%u/up/live", "gw1/d/%u/up/gone"};
inline constexpr std::string_view kAclSubscribePattern = "gw1/d/%u/dn/#";

// A topic in a fixed buffer; at most 32 + 15 characters.
class Topic {
 public:
  [[nodiscard]] std::string_view view() const { return {text_.data(), size_}; }

 private:
  friend Topic make(const DeviceId& device, Leaf leaf);
  friend Topic device_filter(const DeviceId& device);
  void append(std::string_view text);
  std::array<char, DeviceId::kSizeMax + 16> text_{};
  std::uint8_t size_ = 0;
};

[[nodiscard]] Topic make(const DeviceId& device, Leaf leaf);
// Everything that a device listens to: gw1/d/{device}/dn/#
[[nodiscard]] Topic device_filter(const DeviceId& device);

struct Parsed {
  DeviceId device;
  Leaf leaf{};
};
// kMalformed: not of this grammar. kUnsupported: of the grammar, but a leaf this build does not know.
[[nodiscard]] std::expected<Parsed, Status> parse(std::string_view topic);

}  // namespace godwit::topics
