// SPDX-License-Identifier: Apache-2.0
// The sample coder, both ways. First byte: the number of channels. Next two: the number of rows, and in the
// top bit what the rest is: a stream to decode, or values to encode into a buffer of just that many bytes.
// Next eight: the prior of all channels.
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/codec/samples.h"

namespace {

using namespace godwit;
using namespace godwit::codec;
using Row = std::vector<std::int64_t>;

using Models = std::array<ChannelModel, kChannelsMax>;

Models primed(std::uint64_t prior) {
  Models models;
  models.fill(ChannelModel(prior));
  return models;
}

void expect_rows(Bytes stream, const std::vector<Row>& rows, std::uint64_t prior) {
  Models models = primed(prior);
  SampleDecoder decoder{std::span(models).first(rows[0].size()), stream, rows.size()};
  Row row(rows[0].size());
  for (const Row& expected : rows) GODWIT_ASSERT(decoder.next(row) == Status::kOk && row == expected);
  GODWIT_ASSERT(decoder.next(row) == Status::kNotFound);
}

// Adds as many rows as fit in `capacity` bytes; they must come back.
void round_trip(const std::vector<Row>& rows, std::size_t channels, std::size_t capacity,
                std::uint64_t prior) {
  Models models = primed(prior);
  std::vector<std::uint8_t> out(capacity);
  SampleEncoder encoder{std::span(models).first(channels), out};
  std::vector<Row> kept;
  for (const Row& row : rows) {
    if (encoder.add(row) != Status::kOk) break;
    kept.push_back(row);
  }
  if (kept.empty()) return;
  const std::size_t size = encoder.finish();
  GODWIT_ASSERT(size <= capacity);
  expect_rows(Bytes(out).first(size), kept, prior);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kHead = 11;
  if (size < kHead) return 0;
  const std::size_t channels = 1 + data[0] % kChannelsMax;
  const std::size_t count = load_le<std::uint16_t>(data + 1) % 0x8000U % (kRowsMax + 1);
  const auto prior = load_le<std::uint64_t>(data + 3);
  const Bytes rest(data + kHead, size - kHead);
  std::vector<Row> rows;
  Row row(channels);
  if ((data[2] & 0x80) != 0) {
    for (std::size_t at = 0; at + channels <= rest.size() && rows.size() < count; at += channels) {
      // A byte b adds b mod 8 << (b / 4): small steps often, and every width up to 64 bits. 255: no value.
      for (std::size_t c = 0; c < channels; ++c) {
        const std::uint64_t step = std::uint64_t{rest[at + c] & 7U} << (rest[at + c] / 4);
        row[c] = static_cast<std::int64_t>(static_cast<std::uint64_t>(row[c]) + step);
        if (rest[at + c] == 0xFF) row[c] = kMissing;
      }
      rows.push_back(row);
    }
    round_trip(rows, channels, rest.size(), prior);
    return 0;
  }
  Models models = primed(prior);
  SampleDecoder decoder{std::span(models).first(channels), rest, count};
  while (decoder.next(row) == Status::kOk) rows.push_back(row);
  GODWIT_ASSERT(rows.size() <= count);
  round_trip(rows, channels, 64 * (count + 1) * channels, prior);
  return 0;
}
