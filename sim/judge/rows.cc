// SPDX-License-Identifier: Apache-2.0
#include "sim/judge/rows.h"

#include <algorithm>
#include <vector>

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

std::expected<RowRange, Status> rows_of(const RowSource& source, std::size_t rows_max, Bytes bytes) {
  const auto batch = codec::decode_batch(bytes);
  if (!batch) return std::unexpected(Status::kMalformed);
  const auto channels = source.channels();
  std::array<codec::ChannelModel, codec::kChannelsMax> models;
  for (std::size_t c = 0; c < channels.size(); ++c) models[c] = codec::ChannelModel(channels[c].prior);
  const std::size_t rows = batch->rows_of(rows_max);
  codec::SampleDecoder decoder{std::span(models).first(channels.size()), batch->samples, rows};
  std::vector<std::int64_t> values(rows * channels.size());
  for (std::size_t i = 0; i < rows; ++i) {
    if (decoder.next(std::span(values).subspan(i * channels.size(), channels.size())) != Status::kOk)
      return std::unexpected(Status::kMalformed);
  }
  return rows_of(source, values);
}

std::expected<RowRange, Status> rows_of(const RowSource& source, std::span<const std::int64_t> values) {
  const std::size_t width = source.channels().size();
  if (values.empty() || values.size() % width != 0) return std::unexpected(Status::kMalformed);
  const RowRange range{.first = static_cast<std::uint64_t>(values[0]), .count = values.size() / width};
  std::array<std::int64_t, codec::kChannelsMax> right{};
  for (std::uint64_t i = 0; i < range.count; ++i) {
    source.row(range.first + i, std::span(right).first(width));
    if (!std::ranges::equal(values.subspan(i * width, width), std::span(right).first(width)))
      return std::unexpected(Status::kCorrupt);
  }
  return range;
}

}  // namespace godwit::sim
