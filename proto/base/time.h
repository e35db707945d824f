// SPDX-License-Identifier: Apache-2.0
// Time as values that are handed in: nothing in the portable code reads a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace godwit {

using Millis = std::chrono::milliseconds;

// The device's monotonic clock: milliseconds since this boot. It has no now(): boards and tests supply the
// value.
struct BootClock {
  using duration = Millis;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock, duration>;
  static constexpr bool is_steady = true;
};
using Instant = BootClock::time_point;

// Milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX.1-2017, 4.16).
struct UnixMillis {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(UnixMillis, UnixMillis) = default;
};

}  // namespace godwit
