// SPDX-License-Identifier: Apache-2.0
// Monotonic time by the processor's own timer, and sleep until an interrupt. SysTick interrupts every 10 ms;
// between interrupts its counter is read. Main loop only. In QEMU with -icount shift=0 an instruction takes
// 1 ns, so cycles() divided by the clock in GHz are guest instructions, to about one tick of the clock.
#pragma once

#include <cstdint>
#include <span>

#include "proto/base/time.h"

namespace godwit::boards {

class SysTick {
 public:
  static constexpr Millis kInterval{10};

  // `clock_hz`: of the processor, at most 1.6 GHz (the counter has 24 bits).
  static void start(std::uint32_t clock_hz);
  [[nodiscard]] static Instant now();
  // Of the processor, since start(); wraps.
  [[nodiscard]] static std::uint32_t cycles();

  // Sleeps until one of `interrupts` (their numbers, below 64) is pending, or the next interval; returns at
  // once if one is pending. The interrupts only wake: they have no handlers, and are masked otherwise.
  static void sleep(std::span<const std::uint8_t> interrupts);
};

}  // namespace godwit::boards
