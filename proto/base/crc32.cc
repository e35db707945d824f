// SPDX-License-Identifier: Apache-2.0
#include "proto/base/crc32.h"

#include <array>

namespace godwit {
namespace {

// [n][i]: what index i, followed by n zero indices of so many bits, makes of a CRC.
template <std::size_t kBits, std::size_t kSteps>
constexpr auto kTables = [] {
  std::array<std::array<std::uint32_t, 1U << kBits>, kSteps> tables{};
  for (std::uint32_t i = 0; i < tables[0].size(); ++i) {
    std::uint32_t c = i;
    for (std::size_t bit = 0; bit < kBits; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0xEDB88320U : 0);
    tables[0][i] = c;
  }
  for (std::size_t step = 1; step < kSteps; ++step) {
    for (std::uint32_t i = 0; i < tables[0].size(); ++i) {
      const std::uint32_t c = tables[step - 1][i];
      tables[step][i] = (c >> kBits) ^ tables[0][c % tables[0].size()];
    }
  }
  return tables;
}();

}  // namespace

std::uint32_t crc32_by_nibbles(Bytes bytes, std::uint32_t crc) {
  constexpr auto& table = kTables<4, 1>[0];
  crc = ~crc;
  for (const std::uint8_t byte : bytes) {
    crc = table[(crc ^ byte) & 0xF] ^ (crc >> 4);
    crc = table[(crc ^ (byte >> 4)) & 0xF] ^ (crc >> 4);
  }
  return ~crc;
}

std::uint32_t crc32_by_words(Bytes bytes, std::uint32_t crc) {
  constexpr auto& tables = kTables<8, 8>;
  crc = ~crc;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    const std::uint32_t low = crc ^ load_le<std::uint32_t>(bytes.data());
    const auto high = load_le<std::uint32_t>(bytes.data() + 4);
    crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^
          tables[4][low >> 24] ^ tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^
          tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
  }
  for (const std::uint8_t byte : bytes) crc = tables[0][(crc ^ byte) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

}  // namespace godwit
