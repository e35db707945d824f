// SPDX-License-Identifier: Apache-2.0
// What differs between the RP2040 (chip_rp2040.cc) and the RP2350 (chip_rp2350.cc).
#pragma once

#include <cstdint>

#include "proto/codec/messages.h"

namespace godwit::boards {

// 32 bits of the chip's noise as it comes: hardly biased or badly, correlated or not. See PicoEntropy.
std::uint32_t raw_noise();

// Of the last reset that neither the watchdog nor the program made.
codec::ResetReason power_reset_reason();

}  // namespace godwit::boards
