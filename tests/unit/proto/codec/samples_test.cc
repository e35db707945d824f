// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/samples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace godwit::codec {
namespace {

using Row = std::vector<std::int64_t>;
using Rows = std::vector<Row>;
using Buffer = std::vector<std::uint8_t>;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min() + 1;  // below is kMissing
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// All channels with the same prior.
Buffer encode(const Rows& rows, std::uint64_t prior = 0) {
  Buffer out(rows.size() * rows[0].size() * 40 + 16);
  std::vector<ChannelModel> models(rows[0].size(), ChannelModel(prior));
  SampleEncoder encoder(models, out);
  for (const Row& row : rows) EXPECT_EQ(encoder.add(row), Status::kOk);
  out.resize(encoder.finish());
  return out;
}

struct Decoded {
  Rows rows;
  Status status = Status::kOk;  // kNotFound at the proper end
};

Decoded decode(Bytes in, std::size_t channels, std::size_t rows, std::uint64_t prior = 0) {
  std::vector<ChannelModel> models(channels, ChannelModel(prior));
  SampleDecoder decoder(models, in, rows);
  Decoded decoded;
  Row row(channels);
  while ((decoded.status = decoder.next(row)) == Status::kOk) decoded.rows.push_back(row);
  return decoded;
}

std::int64_t add(std::int64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + b);
}

struct Signal {
  const char* description;
  std::function<std::int64_t(std::mt19937_64&, std::size_t row, std::int64_t last)> next;
};

const std::vector<Signal>& signals() {
  static const std::vector<Signal> all{
      {"zero", [](auto&, auto, auto) { return std::int64_t{0}; }},
      {"constant", [](auto&, auto, auto) { return std::int64_t{-123'456}; }},
      {"counter", [](auto&, auto row, auto) { return static_cast<std::int64_t>(1000 + 17 * row); }},
      {"steps", [](auto& random, auto,
                   auto last) { return random() % 10 == 0 ? std::int64_t(random() % 500) : last; }},
      {"small random walk", [](auto& random, auto, auto last) { return add(last, random() % 5 - 2); }},
      {"large random walk",
       [](auto& random, auto, auto last) { return add(last, random() % 100'001 - 50'000); }},
      {"bursts",
       [](auto& random, auto row, auto) { return row % 20 < 15 ? 0 : std::int64_t(random() % 100'000); }},
      {"noise of any width",
       [](auto& random, auto, auto) { return std::int64_t(random() >> (random() % 64)); }},
      {"noise of 64 bits", [](auto& random, auto, auto) { return std::int64_t(random()); }},
      {"smallest", [](auto&, auto, auto) { return kMin; }},
      {"missing", [](auto&, auto, auto) { return kMissing; }},
      {"missing at first", [](auto&, auto row, auto) { return row < 3 ? kMissing : std::int64_t{70'000}; }},
      {"missing later", [](auto&, auto row, auto) { return row < 3 ? std::int64_t(row) : kMissing; }},
      {"missing now and then",
       [](auto& random, auto row, auto) { return random() % 4 == 0 ? kMissing : std::int64_t(row) * 3; }},
      {"largest", [](auto&, auto, auto) { return kMax; }},
      {"from end to end", [](auto&, auto row, auto) { return row % 2 == 0 ? kMin : kMax; }},
      {"half the range, up and down", [](auto&, auto row, auto) { return row % 2 == 0 ? 0 : kMin; }},
      {"wraps around upwards", [](auto&, auto row, auto) { return add(kMax - 5, row); }},
      {"wraps around downwards", [](auto&, auto row, auto) { return add(kMin + 5, 0 - row); }},
      {"alternates", [](auto&, auto row, auto) { return row % 2 == 0 ? std::int64_t{-1} : std::int64_t{1}; }},
  };
  return all;
}

Rows rows_of(const Signal& signal, std::size_t channels, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Rows rows(count, Row(channels));
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t c = 0; c < channels; ++c)
      rows[r][c] = signal.next(random, r, r == 0 ? 0 : rows[r - 1][c]);
  }
  return rows;
}

std::size_t varints_size(const Rows& rows) {
  std::size_t size = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const auto delta =
          static_cast<std::uint64_t>(rows[r][c]) - static_cast<std::uint64_t>(r == 0 ? 0 : rows[r - 1][c]);
      const auto zigzag = (delta << 1) ^ (0 - (delta >> 63));
      size += std::max<std::size_t>(1, (static_cast<std::size_t>(std::bit_width(zigzag)) + 6) / 7);
    }
  }
  return size;
}

TEST(Samples, ComeBackAsTheyWereWhateverTheSignal) {
  for (const Signal& signal : signals()) {
    for (const std::size_t channels : {1U, 3U, 16U}) {
      for (const std::size_t count : {1U, 2U, 16U, 200U, 1024U}) {
        const Rows rows = rows_of(signal, channels, count, count);
        const auto decoded = decode(encode(rows), channels, count);
        EXPECT_EQ(decoded.status, Status::kNotFound) << signal.description;
        EXPECT_EQ(decoded.rows, rows)
            << signal.description << ", " << channels << " channels, " << count << " rows";
      }
    }
  }
}

TEST(Samples, OfMixedSignalsComeBackToo) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    const std::size_t channels = 1 + random() % kChannelsMax;
    Rows rows(1 + random() % 100, Row(channels));
    for (std::size_t c = 0; c < channels; ++c) {
      const Signal& signal = signals()[random() % signals().size()];
      for (std::size_t r = 0; r < rows.size(); ++r)
        rows[r][c] = signal.next(random, r, r == 0 ? 0 : rows[r - 1][c]);
    }
    EXPECT_EQ(decode(encode(rows), channels, rows.size()).rows, rows) << "round " << round;
  }
}

TEST(SampleEncoder, FillsABufferOfAnySizeToTheLastRowThatFits) {
  for (const Signal& signal : signals()) {
    const Rows rows = rows_of(signal, 3, 60, 1);
    for (std::size_t size = 0; size <= 200; ++size) {
      Buffer out(size + 1, 0xA5);
      std::vector<ChannelModel> models(3);
      SampleEncoder encoder(models, MutableBytes(out).first(size));
      Rows kept;
      for (const Row& row : rows) {
        if (encoder.add(row) == Status::kOk) kept.push_back(row);
        if (kept.size() != encoder.rows()) FAIL() << "a row that was refused is counted";
        if (kept.empty() || kept.back() != row) break;
      }
      EXPECT_EQ(out.back(), 0xA5) << "written behind the end";
      if (kept.empty()) {
        EXPECT_LT(size, SampleEncoder::first_row_size_max(3)) << signal.description;
        continue;
      }
      const std::size_t promised = encoder.size();
      const std::size_t coded = encoder.finish();
      EXPECT_EQ(coded, promised);
      ASSERT_LE(coded, size);
      EXPECT_EQ(decode(Bytes(out).first(coded), 3, kept.size()).rows, kept)
          << signal.description << " in " << size;
      // The row that was refused would indeed not have fitted.
      if (kept.size() == rows.size()) continue;
      kept.push_back(rows[kept.size()]);
      EXPECT_GT(encode(kept).size(), size) << signal.description;
    }
  }
}

TEST(SampleEncoder, TakesAnyFirstRowInTheSpaceItPromises) {
  for (const std::int64_t value : {kMin, kMax, std::int64_t{-1}, std::int64_t{1} << 62}) {
    for (std::size_t channels = 1; channels <= kChannelsMax; ++channels) {
      Buffer out(SampleEncoder::first_row_size_max(channels));
      std::vector<ChannelModel> models(channels);
      SampleEncoder encoder(models, out);
      EXPECT_EQ(encoder.add(Row(channels, value)), Status::kOk) << channels;
    }
  }
}

TEST(SampleEncoder, StopsAtTheLimitOfRows) {
  Buffer out(4096);
  std::vector<ChannelModel> models(1);
  SampleEncoder encoder(models, out);
  for (std::size_t i = 0; i < kRowsMax; ++i) ASSERT_EQ(encoder.add(Row{1}), Status::kOk);
  EXPECT_EQ(encoder.add(Row{1}), Status::kFull);
}

TEST(SampleEncoder, StartsAfreshAfterReset) {
  Buffer out(512);
  std::vector<ChannelModel> models(2);
  SampleEncoder encoder(models, out);
  ASSERT_EQ(encoder.add(Row{1000, -7}), Status::kOk);
  ASSERT_EQ(encoder.add(Row{1001, -70'000}), Status::kOk);
  const std::size_t once = encoder.finish();
  const Buffer first(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(once));
  std::ranges::fill(models, ChannelModel());
  encoder.reset();
  EXPECT_EQ(encoder.rows(), 0U);
  ASSERT_EQ(encoder.add(Row{1000, -7}), Status::kOk);
  ASSERT_EQ(encoder.add(Row{1001, -70'000}), Status::kOk);
  EXPECT_EQ(encoder.finish(), once);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), out.begin()));
}

TEST(SampleEncoder, RefusesARowOfAnotherWidth) {
  Buffer out(64);
  std::vector<ChannelModel> models(2);
  SampleEncoder encoder(models, out);
  EXPECT_EQ(encoder.add(Row{1}), Status::kInvalidArgument);
  EXPECT_EQ(encoder.add(Row{1, 2, 3}), Status::kInvalidArgument);
  EXPECT_EQ(encoder.rows(), 0U);
}

TEST(Samples, ComeBackWhateverPriorBothSidesHave) {
  std::mt19937_64 random(19);
  for (int round = 0; round < 300; ++round) {
    const Signal& signal = signals()[random() % signals().size()];
    const std::uint64_t prior = random() & random();  // some places without one
    const Rows rows = rows_of(signal, 3, 1 + random() % 60, random());
    EXPECT_EQ(decode(encode(rows, prior), 3, rows.size(), prior).rows, rows) << signal.description;
  }
}

TEST(SampleSizes, APriorThatFitsSavesWhatWouldHaveToBeLearned) {
  const Rows rows = rows_of(
      *std::ranges::find(signals(), std::string("small random walk"), &Signal::description), 8, 16, 1);
  // Deltas of -2 to 2: 4 of 5 are not 0, half of those above 1, none above 3; the sign is open.
  constexpr std::uint64_t kFits = 0x8D00'0000'0000'018D;
  constexpr std::uint64_t kDoesNot = 0x8100'0000'0000'00F1;
  const std::size_t without = encode(rows).size();
  EXPECT_LE(encode(rows, kFits).size() + 4, without);
  EXPECT_LE(encode(rows, kDoesNot).size(), without + 60) << "it is unlearned soon";
}

TEST(SampleSizes, ACounterCostsNextToNothingOnceItIsKnown) {
  const Signal& counter = *std::ranges::find(signals(), std::string("counter"), &Signal::description);
  const std::size_t of_16 = encode(rows_of(counter, 8, 16, 1)).size();
  const std::size_t of_256 = encode(rows_of(counter, 8, 256, 1)).size();
  EXPECT_LE(of_16, 50U) << "values of 10 bits, and the same two deltas: 24 bytes";
  EXPECT_LE(of_256, of_16 + 12) << "1,920 samples more";
}

TEST(SampleSizes, ASensorThatFailedCostsOnceAndThenNextToNothing) {
  Rows rows = rows_of(*std::ranges::find(signals(), std::string("small random walk"), &Signal::description),
                      1, 256, 1);
  const std::size_t whole = encode(rows).size();
  rows.resize(100);
  const std::size_t half = encode(rows).size();
  rows.resize(256, Row{kMissing});
  EXPECT_LT(half, whole);
  EXPECT_LE(encode(rows).size(), half + 12);
}

TEST(SampleSizes, ChannelsThatDoNotChangeCostNearlyNothing) {
  EXPECT_LE(encode(Rows(256, Row(8, 0))).size(), 12U);
  EXPECT_LE(encode(Rows(1024, Row(16, 5))).size(), 64U) << "16,384 samples";
}

// The reason why there is no second coding to fall back to: docs/adr/0006-sample-codec.md. Not a proof: these
// are the worst signals that we know, widths at which a varint wastes least, changing so that nothing can be
// learned of them.
TEST(SampleSizes, AreAtMostAFewBytesAbovePackedVarints) {
  std::mt19937_64 random(11);
  const auto of_widths = [&](std::size_t channels, std::size_t count, const std::vector<unsigned>& widths) {
    Rows rows(count, Row(channels));
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t c = 0; c < channels; ++c) {
        const unsigned width = widths[random() % widths.size()];
        const std::uint64_t top = width == 0 ? 0 : std::uint64_t{1} << (width - 1);
        const std::uint64_t magnitude = top == 0 ? 0 : top | (random() & (top - 1));
        rows[r][c] = add(r == 0 ? 0 : rows[r - 1][c], random() % 2 == 0 ? magnitude : 0 - magnitude);
      }
    }
    return rows;
  };
  const std::vector<std::vector<unsigned>> mixes{
      {0},     {6},      {13},     {6, 13},       {0, 6},        {0, 6, 13, 20},
      {1, 6},  {20, 27}, {5, 6},   {4, 5, 6},     {62, 63},      {0, 13},
      {0, 27}, {0, 62},  {12, 13}, {6, 6, 6, 13}, {0, 0, 0, 13}, {6, 6, 0}};
  for (const auto& widths : mixes) {
    for (const std::size_t channels : {1U, 4U, 16U}) {
      for (const std::size_t count : {1U, 2U, 4U, 16U, 64U, 256U, 1024U}) {
        const Rows rows = of_widths(channels, count, widths);
        const auto excess =
            static_cast<double>(encode(rows).size()) - static_cast<double>(varints_size(rows));
        EXPECT_LE(excess, 4 + 3.0 * static_cast<double>(channels))
            << ::testing::PrintToString(widths) << ", " << channels << " channels, " << count << " rows";
      }
    }
  }
}

// Not a checksum: what is left may by chance be the stream of other rows of the same number.
TEST(SampleDecoder, NeverTakesATruncatedStreamForTheWholeOne) {
  std::size_t found = 0;
  std::size_t cuts = 0;
  for (const Signal& signal : signals()) {
    const Rows rows = rows_of(signal, 4, 40, 5);
    const Buffer coded = encode(rows);
    for (std::size_t size = 0; size < coded.size(); ++size) {
      const auto decoded = decode(Bytes(coded).first(size), 4, rows.size());
      EXPECT_NE(decoded.rows, rows) << signal.description << " cut at " << size;
      ++cuts;
      if (decoded.status == Status::kMalformed) ++found;
    }
  }
  EXPECT_GT(found * 100, cuts * 98);
}

TEST(SampleDecoder, MakesUpNoRowsBehindTheEndOfItsBytes) {
  // In bytes of 0 a first row of 16 values takes 2 bytes, and a wide delta more than 4.
  for (std::size_t size = 1; size <= 64; ++size) {
    const auto decoded = decode(Buffer(size), 16, 40);
    EXPECT_EQ(decoded.status, Status::kMalformed) << size;
    EXPECT_LE(decoded.rows.size(), size / 3) << size;
    EXPECT_LE(decoded.rows.size(), 1U) << size;
  }
}

TEST(SampleDecoder, RefusesAValueThatStandsForNone) {
  Buffer out(64);
  std::vector<ChannelModel> models(1);
  models[0].last = 1;  // so that the delta is one that no encoder makes
  SampleEncoder encoder(models, out);
  ASSERT_EQ(encoder.add(Row{kMissing + 1}), Status::kOk);
  out.resize(encoder.finish());
  EXPECT_EQ(decode(out, 1, 1).status, Status::kMalformed);
}

TEST(SampleDecoder, FindsBytesBehindTheEnd) {
  for (const Signal& signal : signals()) {
    const Rows rows = rows_of(signal, 4, 40, 5);
    Buffer coded = encode(rows);
    coded.push_back(0);
    EXPECT_EQ(decode(coded, 4, rows.size()).status, Status::kMalformed) << signal.description;
  }
}

TEST(SampleDecoder, StaysMalformedOnceItIs) {
  std::vector<ChannelModel> models(1);
  SampleDecoder decoder(models, {}, 5);
  Row row(1);
  EXPECT_EQ(decoder.next(row), Status::kMalformed);
  EXPECT_EQ(decoder.next(row), Status::kMalformed);
}

TEST(SampleDecoder, RefusesARowOfAnotherWidthAndYieldsItAfterwards) {
  const Buffer coded = encode({{5, 6}});
  std::vector<ChannelModel> models(2);
  SampleDecoder decoder(models, coded, 1);
  Row narrow(1);
  Row row(2);
  EXPECT_EQ(decoder.next(narrow), Status::kInvalidArgument);
  EXPECT_EQ(decoder.next(row), Status::kOk);
  EXPECT_EQ(row, (Row{5, 6}));
  EXPECT_EQ(decoder.next(row), Status::kNotFound);
}

TEST(SampleDecoder, TakesAnyBytesWithBoundedWork) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    Buffer noise(random() % 64);
    for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(round % 3 == 0 ? 0xFF : random());
    const std::size_t count = random() % (kRowsMax + 1);
    const auto decoded = decode(noise, 1 + random() % kChannelsMax, count);
    EXPECT_LE(decoded.rows.size(), count);
    EXPECT_TRUE(decoded.status == Status::kMalformed || decoded.status == Status::kNotFound);
  }
}

TEST(SampleDecoder, ABitFlipNeverYieldsMoreRowsThanAsked) {
  const Rows rows = rows_of(signals()[4], 4, 40, 5);
  const Buffer coded = encode(rows);
  for (std::size_t bit = 0; bit < coded.size() * 8; ++bit) {
    Buffer flipped = coded;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_LE(decode(flipped, 4, rows.size()).rows.size(), rows.size());
  }
}

}  // namespace
}  // namespace godwit::codec
