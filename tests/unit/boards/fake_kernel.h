// SPDX-License-Identifier: Apache-2.0
// What the kernel says to this program, as tests want it: fake_kernel.cc has the C library's functions of
// these names. Without a wish the real answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace godwit::test {

struct FakeKernel {
  // What adjtimex() tells.
  struct Clock {
    std::int64_t seconds = 0;
    std::int64_t fraction = 0;  // microseconds, or nanoseconds with STA_NANO
    int status = 0;
  };
  // What pread() does that touches bytes from `begin` to before `end` of any file.
  struct BadArea {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    int error = 0;
  };

  std::chrono::milliseconds suspended{0};  // what CLOCK_BOOTTIME counts and CLOCK_MONOTONIC does not
  std::optional<Clock> clock;
  std::optional<int> clock_error;  // of adjtimex()
  std::optional<BadArea> bad_area;
};
FakeKernel& fake_kernel();

}  // namespace godwit::test
