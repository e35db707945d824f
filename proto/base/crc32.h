// SPDX-License-Identifier: Apache-2.0
// CRC-32/ISO-HDLC (polynomial 0x04C11DB7 reflected, as in Ethernet and zlib).
#pragma once

#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit {

// The same by two ways: with 64 bytes of tables, which is the right trade on a device, and with 8 KB, several
// times as fast.
[[nodiscard]] std::uint32_t crc32_by_nibbles(Bytes bytes, std::uint32_t crc);
[[nodiscard]] std::uint32_t crc32_by_words(Bytes bytes, std::uint32_t crc);

// The CRC of `bytes`; pass the result of one call as `crc` of the next to continue over split input.
[[nodiscard]] inline std::uint32_t crc32(Bytes bytes, std::uint32_t crc = 0) {
  return sizeof(void*) > 4 ? crc32_by_words(bytes, crc) : crc32_by_nibbles(bytes, crc);
}

}  // namespace godwit
