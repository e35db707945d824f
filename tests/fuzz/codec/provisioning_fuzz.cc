// SPDX-License-Identifier: Apache-2.0
// The decoder of provisioning blocks. Bit 0 of the first byte: repair size and checksum, so that the message
// behind them is reached; the rest is the block. What decodes must encode, and decode to the same again.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "proto/base/assert.h"
#include "proto/base/crc32.h"
#include "proto/codec/provisioning.h"

using namespace godwit;
using namespace godwit::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::size_t kHeaderSize = 16;  // docs/reference/flash.md
  std::vector<std::uint8_t> block(data + 1, data + std::min(size, kProvisioningBlockSize + 1));
  if ((data[0] & 1) != 0 && block.size() > kHeaderSize) {
    store_le(&block[8], static_cast<std::uint32_t>(block.size() - kHeaderSize));
    store_le(&block[12], crc32(Bytes(block).subspan(kHeaderSize)));
  }
  const auto result = decode_provisioning(block);
  if (!result) return 0;
  GODWIT_ASSERT(check(*result) == Status::kOk);
  std::array<std::uint8_t, kProvisioningBlockSize> encoded{};
  const auto written = encode(*result, encoded);
  GODWIT_ASSERT(written.has_value());  // no longer than what it was decoded from
  const auto again = decode_provisioning(Bytes(encoded).first(*written));
  GODWIT_ASSERT(again && again->device == result->device && again->broker_host == result->broker_host);
  GODWIT_ASSERT(again->broker_port == result->broker_port && again->server_name == result->server_name);
  GODWIT_ASSERT(std::ranges::equal(again->ca, result->ca));
  GODWIT_ASSERT(std::ranges::equal(again->certificate, result->certificate));
  GODWIT_ASSERT(std::ranges::equal(again->key, result->key));
  GODWIT_ASSERT(again->sntp_host == result->sntp_host && again->sntp_port == result->sntp_port);
  GODWIT_ASSERT(again->issued == result->issued && again->sample_period == result->sample_period);
  GODWIT_ASSERT(again->rows_per_record == result->rows_per_record);
  return 0;
}
