// SPDX-License-Identifier: Apache-2.0
// A device with good credentials and bad intentions, and somebody without credentials at the gateway's HTTPS
// port. Each in a thread of its own; they come back whatever becomes of their connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include "proto/base/ids.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/mqtt_peer.h"

namespace godwit::live {

// What it sends without end.
enum class Flood : std::uint8_t {
  kHellos,
  kMarks,          // of ever new epochs
  kLosses,         // of ever more records
  kBombs,          // records that grow a thousandfold where they are decoded
  kNoise,          // no records at all
  kLive,           // noise on live channels
  kMalformedQos0,  // small, so that they are many
  kLargeRecords,   // as large as the broker lets through
  kWills,          // two in a row, of different sizes
  kSums,           // of what was lost: more than 64 bits hold
  kBoots,          // many in one transaction
  kShownBombs,     // live samples that take next to nothing, and as much as is shown in the feed
};
[[nodiscard]] std::string_view name_of(Flood flood);

class Hostile {
 public:
  struct Options {
    std::string id = "evil";
    std::uint64_t seed = 1;
    std::optional<Flood> only{};  // without a pause; nullopt: of each kind some, with pauses
  };
  // Issues the device.
  Hostile(test::GatewayFixture& gateway, const Options& options);
  ~Hostile();
  Hostile(const Hostile&) = delete;
  Hostile& operator=(const Hostile&) = delete;

  void stop();
  [[nodiscard]] std::uint64_t messages() const { return messages_; }
  [[nodiscard]] std::uint64_t connections() const { return connections_; }

 private:
  void run_device();
  void run_stranger();
  void attack(test::MqttPeer& peer, Flood flood);
  std::string hello(Try try_id, Epoch epoch);
  void publish(test::MqttPeer& peer, const std::string& leaf, const std::string& payload,
               test::MqttPeer::Qos qos = test::MqttPeer::Qos::kAtLeastOnce);
  std::string random_bytes(std::size_t size);

  test::MqttPeer::Options credentials_;
  std::uint16_t http_port_;
  Options options_;
  std::mt19937_64 random_;  // the device's thread's
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> messages_ = 0;
  std::atomic<std::uint64_t> connections_ = 0;
  std::thread device_;
  std::thread stranger_;
};

}  // namespace godwit::live
