// SPDX-License-Identifier: Apache-2.0
// Monotonic time by the processor's own timer, and sleep until an interrupt. SysTick interrupts as seldom as
// its 24 bits allow (335 ms at 50 MHz), as an emulator that falls behind for longer than that loses
// interrupts, and with them time. Main loop only. In QEMU with -icount shift=0 an instruction takes 1 ns, so
// cycles() divided by the clock in GHz are guest instructions, to about one tick of the clock.
#pragma once

#include <cstdint>
#include <span>

#include "proto/base/time.h"

namespace godwit::boards {

class SysTick {
 public:
  // `clock_hz`: of the processor.
  static void start(std::uint32_t clock_hz);
  [[nodiscard]] static Instant now();
  // Of the processor, since start(); wraps.
  [[nodiscard]] static std::uint32_t cycles();

  // Sleeps until one of `interrupts` (their numbers, below 64) is pending, or SysTick; returns at once if one
  // is pending. They only wake: they have no handlers, and are masked otherwise. Their sources must hold the
  // request until it is dealt with, as a pulse between the main loop's look and the sleep would be lost. One
  // of them is the board's timer for the end of the sleep.
  static void sleep(std::span<const std::uint8_t> interrupts);
};

}  // namespace godwit::boards
