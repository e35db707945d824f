// SPDX-License-Identifier: Apache-2.0
// Numbers and bytes as lower-case hexadecimal digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proto/base/bytes.h"

namespace godwit::gateway {

// The lowest `digits` digits of `value`, with leading zeros.
inline void append_hex(std::string& out, std::uint64_t value, std::size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = digits; i-- > 0;) out.push_back(kDigits[(value >> (4 * i)) & 0xFU]);
}

// Two digits for each byte.
[[nodiscard]] inline std::string to_hex(Bytes bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) append_hex(text, byte, 2);
  return text;
}

}  // namespace godwit::gateway
