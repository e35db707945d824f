// SPDX-License-Identifier: Apache-2.0
// The watchdog that Arm's system design kit and the Stellaris parts have (Arm DDI 0479, 4.5; it is an SP805):
// when it first runs out it raises an interrupt, or the NMI where it is wired so, which Fault_Handler takes;
// when that does not help and it runs out again, it resets.
#pragma once

#include <cstdint>

#include "proto/base/time.h"

namespace godwit::boards {

class ApbWatchdog {
 public:
  explicit constexpr ApbWatchdog(std::uintptr_t base) : base_(base) {}

  // Cannot be stopped. `clock_hz` times `timeout` is below 2^32 cycles.
  void start(std::uint32_t clock_hz, Millis timeout);
  void feed();

 private:
  void write(std::uintptr_t offset, std::uint32_t value);

  std::uintptr_t base_;
};

}  // namespace godwit::boards
