// SPDX-License-Identifier: Apache-2.0
#include <hardware/structs/rosc.h>
#include <hardware/structs/vreg_and_chip_reset.h>
#include <hardware/timer.h>

#include "boards/pico/chip.h"

namespace godwit::boards {

// There is no random number generator; one bit of the ring oscillator that the chip starts with, which has
// nothing to do with the crystal that everything else runs by, is read every 10 us (some 65 of its periods).
std::uint32_t raw_noise() {
  constexpr std::uint32_t kIntervalUs = 10;
  std::uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) {
    busy_wait_us_32(kIntervalUs);
    bits = (bits << 1U) | (rosc_hw->randombit & 1U);
  }
  return bits;
}

codec::ResetReason power_reset_reason() {
  const std::uint32_t had = vreg_and_chip_reset_hw->chip_reset;
  if ((had & VREG_AND_CHIP_RESET_CHIP_RESET_HAD_POR_BITS) != 0) return codec::ResetReason::kPowerOn;
  if ((had & VREG_AND_CHIP_RESET_CHIP_RESET_HAD_RUN_BITS) != 0) return codec::ResetReason::kPin;
  return codec::ResetReason::kUnspecified;
}

}  // namespace godwit::boards
