// SPDX-License-Identifier: Apache-2.0
// Identities that cross the wire. Values, no allocation.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <string_view>

#include "proto/base/status.h"

namespace godwit {

// What one mount of a device's log wrote: the random number of its mark. 0: none. (epoch, seq) names an entry
// for ever, in every copy of the flash.
struct Epoch {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(Epoch, Epoch) = default;
};

// The place of an entry in its log, counted from 1 over all epochs.
struct Seq {
  std::uint64_t value = 0;
  // Not <=>, which costs a device three times the code.
  friend constexpr bool operator==(Seq, Seq) = default;
  friend constexpr bool operator<(Seq a, Seq b) { return a.value < b.value; }
  friend constexpr bool operator>(Seq a, Seq b) { return b < a; }
  friend constexpr bool operator<=(Seq a, Seq b) { return !(b < a); }
  friend constexpr bool operator>=(Seq a, Seq b) { return !(a < b); }
  friend constexpr Seq operator+(Seq seq, std::uint64_t count) { return {seq.value + count}; }
  // The number of entries from `from` up to, not including, `to`. Precondition: from <= to.
  friend constexpr std::uint64_t operator-(Seq to, Seq from) { return to.value - from.value; }
};
inline constexpr Seq kFirstSeq{1};

// The entry with which an epoch begins: the first that a mount appended. Both numbers together name it.
struct Mark {
  Epoch epoch;
  Seq first_seq;
  friend constexpr bool operator==(Mark, Mark) = default;
};

// One hello and what is said under it. Random, 0: none.
struct Try {
  std::uint32_t value = 0;
  friend constexpr bool operator==(Try, Try) = default;
};

// A device's name: the common name of its certificate, its MQTT client id and user name, a topic level and a
// path segment. 1 to 32 characters of [a-z0-9._-], the first one a letter or digit.
class DeviceId {
 public:
  static constexpr std::size_t kSizeMax = 32;

  // kInvalidArgument if `text` breaks the rule above. Copied.
  static std::expected<DeviceId, Status> parse(std::string_view text);

  [[nodiscard]] std::string_view view() const { return {text_.data(), size_}; }
  friend bool operator==(const DeviceId& a, const DeviceId& b) { return a.view() == b.view(); }
  friend auto operator<=>(const DeviceId& a, const DeviceId& b) { return a.view() <=> b.view(); }

 private:
  DeviceId() = default;
  std::array<char, kSizeMax> text_{};
  std::uint8_t size_ = 0;
};

}  // namespace godwit
