// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/batch.h"

#include <algorithm>
#include <limits>

#include "proto/base/assert.h"
#include "proto/codec/samples.h"

// The layout, version 1; numbers of several bytes are little-endian:
//
//   byte 0     bits 0-1: quality (0 none, 1 synced, 2 holdover); bit 2: `rows` follow; bit 3: 0, reserved;
//              bits 4-7: bits 40-43 of the time
//   1 to 5     bits 0-39 of the time
//   6 to 9     hash of the table
//   varint     rows, if they follow; otherwise they are as many as the table announces
//   varint     boot, with quality none only
//   the rest   samples
//
// A varint is that of protobuf, in as few bytes as it takes.
namespace godwit::codec {
namespace {

constexpr std::uint8_t kQualityBits = 3;
constexpr std::uint8_t kRowsFollow = 1U << 2;
constexpr std::uint8_t kReserved = 1U << 3;
constexpr unsigned kTimeTopShift = 4;  // in byte 0
constexpr unsigned kTimeLowBits = 40;
constexpr std::size_t kAtTime = 1;
constexpr std::size_t kAtTable = 6;
constexpr std::size_t kFixedSize = 10;

std::size_t put_varint(std::uint8_t* out, std::uint32_t value) {
  std::size_t size = 0;
  for (; value >= 0x80; value >>= 7) out[size++] = static_cast<std::uint8_t>(value | 0x80);
  out[size++] = static_cast<std::uint8_t>(value);
  return size;
}

// Takes it off the front of `in`. False: there is none, or it is none of put_varint().
bool take_varint(Bytes& in, std::uint32_t& value) {
  std::uint64_t sum = 0;
  for (unsigned shift = 0; shift < 35 && !in.empty(); shift += 7) {
    const std::uint8_t byte = in[0];
    in = in.subspan(1);
    sum |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte >= 0x80) continue;
    value = static_cast<std::uint32_t>(sum);
    return sum <= std::numeric_limits<std::uint32_t>::max() && (byte != 0 || shift == 0);
  }
  return false;
}

}  // namespace

std::size_t encode_batch_header(const Batch& batch, std::array<std::uint8_t, kBatchHeaderMax>& out) {
  GODWIT_ASSERT(batch.time >= Millis{0} && batch.time <= kBatchTimeMax);
  const auto time = static_cast<std::uint64_t>(batch.time.count());
  const auto quality =
      static_cast<std::uint32_t>(batch.quality) - static_cast<std::uint32_t>(TimeQuality::kNone);
  store_le(&out[kAtTime], time);  // its top bytes are overwritten
  store_le(&out[kAtTable], batch.table);
  out[0] = static_cast<std::uint8_t>(quality | (batch.rows != 0 ? kRowsFollow : 0U) |
                                     static_cast<std::uint32_t>(time >> kTimeLowBits) << kTimeTopShift);
  std::size_t size = kFixedSize;
  if (batch.rows != 0) size += put_varint(&out[size], batch.rows);
  if (batch.quality == TimeQuality::kNone) size += put_varint(&out[size], batch.boot);
  return size;
}

std::expected<std::size_t, Status> encode(const Batch& batch, MutableBytes out) {
  std::array<std::uint8_t, kBatchHeaderMax> header{};
  const std::size_t size = encode_batch_header(batch, header);
  if (out.size() < size || out.size() - size < batch.samples.size()) return std::unexpected(Status::kFull);
  std::ranges::copy(std::span(header).first(size), out.begin());
  std::ranges::copy(batch.samples, out.subspan(size).begin());
  return size + batch.samples.size();
}

std::expected<Batch, Status> decode_batch(Bytes in) {
  const auto malformed = std::unexpected(Status::kMalformed);
  if (in.size() < kFixedSize) return malformed;
  const std::uint8_t flags = in[0];
  const unsigned quality = flags & kQualityBits;
  if (quality == kQualityBits || (flags & kReserved) != 0) return malformed;
  Batch batch;
  batch.quality = static_cast<TimeQuality>(quality + static_cast<unsigned>(TimeQuality::kNone));
  const auto low = load_le<std::uint64_t>(&in[kAtTime]) & ((std::uint64_t{1} << kTimeLowBits) - 1);
  batch.time = Millis{static_cast<std::int64_t>(std::uint64_t{flags} >> kTimeTopShift << kTimeLowBits | low)};
  batch.table = load_le<std::uint32_t>(&in[kAtTable]);
  batch.samples = in.subspan(kFixedSize);
  if ((flags & kRowsFollow) != 0 &&
      (!take_varint(batch.samples, batch.rows) || batch.rows == 0 || batch.rows > kRowsMax)) {
    return malformed;
  }
  if (batch.quality == TimeQuality::kNone && !take_varint(batch.samples, batch.boot)) return malformed;
  if (batch.samples.empty()) return malformed;
  return batch;
}

}  // namespace godwit::codec
