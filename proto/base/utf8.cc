// SPDX-License-Identifier: Apache-2.0
#include "proto/base/utf8.h"

namespace godwit {

std::uint32_t next_character(Bytes text, std::size_t& at) {
  std::uint32_t character = text[at++];
  if (character < 0x80) return character;
  if (character < 0xC2 || character > 0xF4) return kNoCharacter;
  const unsigned more = character >= 0xF0 ? 3 : character >= 0xE0 ? 2 : 1;
  character &= 0x3FU >> more;
  for (unsigned k = 0; k < more; ++k, ++at) {
    if (at == text.size() || (text[at] & 0xC0) != 0x80) return kNoCharacter;
    character = character << 6 | (text[at] & 0x3FU);
  }
  // Fewer bytes would do, a surrogate, or no character at all.
  const bool is_sound =
      character >= 1U << (5 * more + 1) && character >> 11 != 0xD800 >> 11 && character <= 0x10FFFF;
  return is_sound ? character : kNoCharacter;
}

}  // namespace godwit
