// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/boards/fake_kernel.h"

#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace godwit::test {

FakeKernel& fake_kernel() {
  static constinit FakeKernel kernel;
  return kernel;
}

}  // namespace godwit::test

using godwit::test::fake_kernel;

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (clock != CLOCK_BOOTTIME) return result;
  const std::int64_t ns = std::chrono::nanoseconds(fake_kernel().suspended).count() + time->tv_nsec;
  time->tv_sec += ns / 1'000'000'000;
  time->tv_nsec = ns % 1'000'000'000;
  return result;
}

int adjtimex(timex* state) noexcept {
  if (fake_kernel().clock_error) {
    errno = *fake_kernel().clock_error;
    return -1;
  }
  if (!fake_kernel().clock) return static_cast<int>(::syscall(SYS_adjtimex, state));
  state->time.tv_sec = fake_kernel().clock->seconds;
  state->time.tv_usec = fake_kernel().clock->fraction;
  state->status = fake_kernel().clock->status;
  return (state->status & STA_UNSYNC) != 0 ? TIME_ERROR : TIME_OK;
}

ssize_t pread(int file, void* out, std::size_t size, off_t offset) {
  const auto& bad = fake_kernel().bad_area;
  if (bad && offset < bad->end && offset + static_cast<off_t>(size) > bad->begin) {
    if (offset >= bad->begin) {
      errno = bad->error;
      return -1;
    }
    size = static_cast<std::size_t>(bad->begin - offset);  // up to what is bad
  }
  return ::syscall(SYS_pread64, file, out, size, offset);
}

}  // extern "C"
