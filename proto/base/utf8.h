// SPDX-License-Identifier: Apache-2.0
// UTF-8, taken apart. No allocation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit {

inline constexpr std::uint32_t kNoCharacter = UINT32_MAX;

// The character that begins at `at`, which moves behind it. kNoCharacter: none does (Unicode, table 3-7: no
// overlong forms, no surrogates, nothing above U+10FFFF). Precondition: at < text.size().
std::uint32_t next_character(Bytes text, std::size_t& at);

// C0, DEL and C1.
constexpr bool is_control(std::uint32_t character) {
  return character < 0x20 || (character >= 0x7F && character < 0xA0);
}

}  // namespace godwit
