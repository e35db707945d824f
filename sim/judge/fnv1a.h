// SPDX-License-Identifier: Apache-2.0
// FNV-1a with 64 bits, by which contents are told apart where nobody tries to make two that are the same.
#pragma once

#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit::sim {

// Pass the result of one call as `hash` of the next to continue over split input.
[[nodiscard]] constexpr std::uint64_t fnv1a(Bytes bytes, std::uint64_t hash = 0xCBF29CE484222325U) {
  for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001B3U;
  return hash;
}

}  // namespace godwit::sim
