// SPDX-License-Identifier: Apache-2.0
#include "sim/judge/rows.h"

#include "proto/codec/batch.h"
#include "proto/codec/samples.h"

namespace godwit::sim {
namespace {

// SplitMix64's mixing function.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

}  // namespace

void fill_row(std::uint64_t seed, std::uint64_t n, std::span<std::int64_t, kRowChannels> out) {
  out[0] = static_cast<std::int64_t>(n);
  out[1] = static_cast<std::int64_t>(mix(seed ^ mix(n)) % 100'000);
  out[2] = static_cast<std::int64_t>(n / 7 + seed % 1'000);
}

std::expected<RowRange, Status> rows_of(std::uint64_t seed, std::size_t rows_max, Bytes bytes) {
  const auto batch = codec::decode_batch(bytes);
  if (!batch) return std::unexpected(Status::kMalformed);
  std::array<codec::ChannelModel, kRowChannels> models{};
  const std::size_t rows = batch->rows_of(rows_max);
  codec::SampleDecoder decoder(models, batch->samples, rows);
  RowRange range;
  std::array<std::int64_t, kRowChannels> row{};
  std::array<std::int64_t, kRowChannels> right{};
  for (; range.count < rows; ++range.count) {
    if (decoder.next(row) != Status::kOk) return std::unexpected(Status::kMalformed);
    const auto n = static_cast<std::uint64_t>(row[0]);
    if (range.count == 0) range.first = n;
    fill_row(seed, range.first + range.count, right);
    if (row != right) return std::unexpected(Status::kCorrupt);
  }
  return range;
}

}  // namespace godwit::sim
