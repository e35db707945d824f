// SPDX-License-Identifier: Apache-2.0
#include <hardware/structs/powman.h>
#include <hardware/structs/trng.h>

#include "boards/pico/chip.h"

namespace godwit::boards {

// The generator's ring oscillator, sampled in every cycle, past its own decorrelation and tests, which
// PicoEntropy replaces.
std::uint32_t raw_noise() {
  constexpr std::uint32_t kAll = ~std::uint32_t{0};
  constexpr std::size_t kWords = 6;
  static std::size_t left = 0;
  if (left == 0) {
    trng_hw->sample_cnt1 = 0;
    trng_hw->trng_debug_control = kAll;
    trng_hw->rnd_source_enable = kAll;
    trng_hw->rng_icr = kAll;
    while (trng_hw->trng_busy != 0) {
    }
    left = kWords;
  }
  return trng_hw->ehr_data[kWords - left--];  // reading the last one starts it again
}

codec::ResetReason power_reset_reason() {
  const std::uint32_t had = powman_hw->chip_reset;
  if ((had & POWMAN_CHIP_RESET_HAD_BOR_BITS) != 0) return codec::ResetReason::kBrownOut;
  if ((had & POWMAN_CHIP_RESET_HAD_RUN_LOW_BITS) != 0) return codec::ResetReason::kPin;
  if ((had & POWMAN_CHIP_RESET_HAD_POR_BITS) != 0) return codec::ResetReason::kPowerOn;
  return codec::ResetReason::kUnspecified;
}

}  // namespace godwit::boards
