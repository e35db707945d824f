// SPDX-License-Identifier: Apache-2.0
#include "boards/host/host_clock.h"

#include <sys/timerfd.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <limits>

namespace godwit::boards {
namespace {

Millis read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::chrono::duration_cast<Millis>(std::chrono::seconds{time.tv_sec} +
                                            std::chrono::nanoseconds{time.tv_nsec});
}

}  // namespace

HostClock::HostClock() : start_(read_clock(CLOCK_BOOTTIME)) {}

Instant HostClock::now() const { return Instant(read_clock(CLOCK_BOOTTIME) - start_); }

// Time and state at one moment: a step between two calls would pass a wrong time for a confirmed one.
SystemTime host_system_time() {
  timex state{};
  if (::adjtimex(&state) < 0) return {.time = host_unix_time(), .synced = false};
  const std::int64_t parts_of_ms = (state.status & STA_NANO) != 0 ? 1'000'000 : 1'000;
  return {.time = {std::int64_t{state.time.tv_sec} * 1'000 + state.time.tv_usec / parts_of_ms},
          .synced = (state.status & (STA_UNSYNC | STA_CLOCKERR)) == 0};
}

UnixMillis host_unix_time() { return {read_clock(CLOCK_REALTIME).count()}; }

std::int64_t host_unix_time_ms() { return host_unix_time().value; }

TimeOfDay::Told TimeOfDay::look(const SystemTime& system) {
  using enum codec::TimeQuality;
  if (!system.synced) return {.time = std::nullopt, .quality = told_ ? kHoldover : kNone};
  told_ = true;
  return {.time = system.time, .quality = kSynced};
}

ClockSteps::ClockSteps() : timer_(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK)) { arm(); }

// It never expires, but is cancelled by a step.
void ClockSteps::arm() {
  itimerspec never{};
  never.it_value.tv_sec = std::numeric_limits<time_t>::max();
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr);
}

bool ClockSteps::take() {
  std::uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof(expirations)) >= 0 || errno != ECANCELED) return false;
  arm();
  return true;
}

}  // namespace godwit::boards
