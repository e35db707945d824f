// SPDX-License-Identifier: Apache-2.0
// CRC-32/ISO-HDLC (polynomial 0x04C11DB7 reflected, as in Ethernet and zlib). 64 bytes of table in flash.
#pragma once

#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit {

// The CRC of `bytes`; pass the result of one call as `crc` of the next to continue over split input.
[[nodiscard]] std::uint32_t crc32(Bytes bytes, std::uint32_t crc = 0);

}  // namespace godwit
