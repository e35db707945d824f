// SPDX-License-Identifier: Apache-2.0
// The clocks of a Linux process, as values of the portable code.
#pragma once

#include <sys/timex.h>

#include <chrono>

#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::boards {

// Monotonic time since this object was made: the boot of a device that is a process.
class HostClock {
 public:
  [[nodiscard]] Instant now() const {
    return Instant(std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - start_));
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The system's time of day.
inline UnixMillis host_unix_time() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<Millis>(since_epoch).count()};
}
// Whether something keeps that clock in step, as the kernel was told (by chrony, ntpd or systemd-timesyncd).
inline codec::TimeQuality host_time_quality() {
  timex state{};
  if (::adjtimex(&state) < 0) return codec::TimeQuality::kUnspecified;
  return (state.status & STA_UNSYNC) == 0 ? codec::TimeQuality::kSynced : codec::TimeQuality::kHoldover;
}
// For TlsContext.
inline std::int64_t host_unix_time_ms() { return host_unix_time().value; }

}  // namespace godwit::boards
