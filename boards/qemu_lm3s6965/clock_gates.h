// SPDX-License-Identifier: Apache-2.0
// The clocks of the peripherals, which are off until somebody wants them: data sheet, chapter 5 (RCGC0 to 2).
#pragma once

#include <cstdint>

#include "boards/common/cortex_m/registers.h"

namespace godwit::boards {

inline constexpr std::uintptr_t kClockGate0 = 0x400F'E100, kClockGate1 = 0x400F'E104,
                                kClockGate2 = 0x400F'E108;

// A peripheral may be touched three clocks after it gets its own.
inline void open_gate(std::uintptr_t gate, std::uint32_t peripherals) {
  reg(gate) |= peripherals;
  for (int i = 0; i < 3; ++i) {
    [[maybe_unused]] const std::uint32_t settled = reg(gate);
  }
}

}  // namespace godwit::boards
