// SPDX-License-Identifier: Apache-2.0
#include "proto/base/crc32.h"

#include <array>

namespace godwit {
namespace {

// A nibble at a time: a sixteenth of the usual table for about twice the time, the right trade on a device.
constexpr std::array<std::uint32_t, 16> kNibbleTable = [] {
  std::array<std::uint32_t, 16> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 4; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0xEDB88320U : 0);
    table[i] = c;
  }
  return table;
}();

}  // namespace

std::uint32_t crc32(Bytes bytes, std::uint32_t crc) {
  crc = ~crc;
  for (const std::uint8_t byte : bytes) {
    crc = kNibbleTable[(crc ^ byte) & 0xF] ^ (crc >> 4);
    crc = kNibbleTable[(crc ^ (byte >> 4)) & 0xF] ^ (crc >> 4);
  }
  return ~crc;
}

}  // namespace godwit
