// SPDX-License-Identifier: Apache-2.0
// The clocks of a Linux process, as values of the portable code. One thread; nothing waits.
#pragma once

#include <cstdint>
#include <optional>

#include "boards/host/files.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::boards {

// Monotonic time since this object was made: the boot of a device that is a process. It goes on while the
// machine is suspended.
class HostClock {
 public:
  HostClock();
  [[nodiscard]] Instant now() const;

 private:
  Millis start_;
};

// The system's time of day, and whether something keeps it in step, as the kernel was told (by chrony, ntpd
// or systemd-timesyncd).
struct SystemTime {
  UnixMillis time;
  bool synced = false;
};
[[nodiscard]] SystemTime host_system_time();

// The time of day alone, whatever it is worth.
[[nodiscard]] UnixMillis host_unix_time();
// For TlsContext.
[[nodiscard]] std::int64_t host_unix_time_ms();

// What a device is to be told of the time of day. It gets the system's only while that is kept in step;
// otherwise it goes on from what it was told last (holdover), or has no time, so that the gateway can tell it
// from what it learns later of the same boot.
class TimeOfDay {
 public:
  struct Told {
    std::optional<UnixMillis> time;
    codec::TimeQuality quality;
  };
  Told look(const SystemTime& system);

 private:
  bool told_ = false;
};

// Tells when somebody sets the system's clock, or the machine was suspended (TFD_TIMER_CANCEL_ON_SET of
// timerfd_create(2)).
class ClockSteps {
 public:
  ClockSteps();
  // Becomes readable then. -1: the system has no such timer.
  [[nodiscard]] int fd() const { return timer_.get(); }
  // It happened since the last call.
  bool take();

 private:
  void arm();
  UniqueFd timer_;
};

}  // namespace godwit::boards
