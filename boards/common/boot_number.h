// SPDX-License-Identifier: Apache-2.0
// The number of a start that could not be counted, as nothing can be written where starts are counted.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "firmware/ports/entropy.h"
#include "proto/base/bytes.h"

namespace godwit::boards {

// One of the upper half, which no count of starts reaches: two starts have the same one as good as never, and
// none has that of a start that was counted. nullopt: the source failed.
inline std::optional<std::uint32_t> draw_boot_number(ports::Entropy& entropy) {
  std::array<std::uint8_t, sizeof(std::uint32_t)> bytes{};
  if (entropy.fill(bytes) != Status::kOk) return std::nullopt;
  return load_le<std::uint32_t>(bytes.data()) | 0x8000'0000U;
}

}  // namespace godwit::boards
