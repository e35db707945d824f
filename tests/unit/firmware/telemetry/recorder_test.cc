// SPDX-License-Identifier: Apache-2.0
#include "firmware/telemetry/recorder.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace godwit::telemetry {
namespace {

constexpr std::array<codec::Channel, 2> kChannels{
    {{.name = "temperature", .unit = "Cel", .exponent = -2, .min = -4000, .max = 12500, .deadband = 0},
     {.name = "level", .unit = "%", .exponent = 0, .min = 0, .max = 100, .deadband = 2}}};

Table table(Millis period = Millis{1000}, std::uint16_t rows_max = 64, Millis age_max = Millis{10'000}) {
  return {.contract = {.name = "tank",
                       .period = period,
                       .channel_class = codec::ChannelClass::kDurable,
                       .channels = kChannels},
          .rows_max = rows_max,
          .age_max = age_max};
}

Instant at(std::int64_t ms) { return Instant{Millis{ms}}; }
Stamp stamp(std::int64_t ms) { return {.now = at(ms), .unix_time = {}, .boot = 7}; }
Stamp stamp(std::int64_t ms, std::int64_t unix_ms) {
  return {.now = at(ms), .unix_time = UnixMillis{unix_ms}, .boot = 7};
}

using Row = std::vector<std::int64_t>;

struct Decoded {
  codec::Batch batch;
  std::vector<Row> rows;
};

Decoded decode(Bytes bytes, std::size_t channels = kChannels.size()) {
  const auto batch = codec::decode_batch(bytes);
  EXPECT_TRUE(batch.has_value());
  if (!batch) return {};
  Decoded decoded{*batch, {}};
  std::vector<codec::ChannelModel> models(channels);
  codec::SampleDecoder decoder(models, batch->samples, batch->rows);
  Row row(channels);
  while (decoder.next(row) == Status::kOk) decoded.rows.push_back(row);
  EXPECT_EQ(decoded.rows.size(), batch->rows);
  return decoded;
}

class RecorderTest : public ::testing::Test {
 protected:
  std::array<std::uint8_t, 512> buffer_{};
};

TEST_F(RecorderTest, ABatchHoldsTheRowsAndTheTimeOfTheFirst) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(3000), Row{2150, 40}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(4000), Row{2151, 50}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(5000), Row{-2151, 60}), Status::kOk);

  const auto decoded = decode(recorder.close());
  EXPECT_EQ(decoded.batch.table, recorder.hash());
  EXPECT_EQ(decoded.batch.unix_time, std::nullopt);
  EXPECT_EQ(decoded.batch.boot_time, Millis{3000});
  EXPECT_EQ(decoded.batch.boot, 7U);
  EXPECT_EQ(decoded.rows, (std::vector<Row>{{2150, 40}, {2151, 50}, {-2151, 60}}));
}

TEST_F(RecorderTest, CloseWithoutARowIsEmpty) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  EXPECT_TRUE(recorder.close().empty());
  EXPECT_EQ(recorder.next_due(), std::nullopt);
  EXPECT_FALSE(recorder.due(at(1'000'000)));
}

TEST_F(RecorderTest, TheFirstRowIsDueAtOnceAndTheOthersAtMultiplesOfThePeriod) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  EXPECT_EQ(recorder.next_sample(), at(0));
  ASSERT_EQ(recorder.sample(stamp(3400), Row{1, 1}), Status::kOk);
  EXPECT_EQ(recorder.next_sample(), at(4000));
  EXPECT_EQ(recorder.sample(stamp(3999), Row{1, 1}), Status::kBusy);
  ASSERT_EQ(recorder.sample(stamp(4123), Row{2, 2}), Status::kOk);
  EXPECT_EQ(recorder.next_sample(), at(5000));
  const auto decoded = decode(recorder.close());
  EXPECT_EQ(decoded.batch.boot_time, Millis{3000});
  EXPECT_EQ(decoded.rows.size(), 2U);
  EXPECT_EQ(recorder.missed_samples(), 0U);
}

TEST_F(RecorderTest, ARowUpToHalfAPeriodLateBelongsToItsInstant) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(3000), Row{1, 1}), Status::kOk);
  EXPECT_EQ(recorder.sample(stamp(4500), Row{1, 1}), Status::kOk);
  EXPECT_EQ(recorder.next_sample(), at(5000));
  EXPECT_EQ(recorder.missed_samples(), 0U);
}

TEST_F(RecorderTest, ALaterRowBeginsANewBatchAndTheInstantsBetweenCountAsMissed) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(3000), Row{1, 10}), Status::kOk);
  EXPECT_EQ(recorder.sample(stamp(6501), Row{2, 20}), Status::kFull);
  EXPECT_EQ(recorder.missed_samples(), 0U) << "nothing changes on kFull";
  EXPECT_EQ(decode(recorder.close()).rows, (std::vector<Row>{{1, 10}}));
  ASSERT_EQ(recorder.sample(stamp(6501), Row{2, 20}), Status::kOk);
  EXPECT_EQ(recorder.missed_samples(), 3U) << "4000, 5000 and 6000";
  EXPECT_EQ(recorder.next_sample(), at(8000));
  EXPECT_EQ(decode(recorder.close()).batch.boot_time, Millis{7000});
}

TEST_F(RecorderTest, ASkippedInstantCountsAsMissedAndEndsTheBatch) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  recorder.skip(at(1000));
  EXPECT_EQ(recorder.missed_samples(), 0U) << "nothing was to be had yet";
  EXPECT_EQ(recorder.next_sample(), at(2000));
  ASSERT_EQ(recorder.sample(stamp(2000), Row{1, 10}), Status::kOk);
  recorder.skip(at(2999));
  EXPECT_EQ(recorder.next_sample(), at(3000)) << "not due, so not skipped";
  recorder.skip(at(5100));
  EXPECT_EQ(recorder.missed_samples(), 3U);
  EXPECT_EQ(recorder.next_sample(), at(6000));
  EXPECT_EQ(recorder.sample(stamp(6000), Row{1, 10}), Status::kFull);
  EXPECT_EQ(decode(recorder.close()).rows.size(), 1U);
  EXPECT_EQ(recorder.sample(stamp(6000), Row{1, 10}), Status::kOk);
  EXPECT_EQ(recorder.missed_samples(), 3U);
}

TEST_F(RecorderTest, ABatchIsDueAtItsLimitOfRows) {
  const Table config = table(Millis{1000}, 3);
  Recorder recorder(config, buffer_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(recorder.due(at(i * 1000)));
    ASSERT_EQ(recorder.sample(stamp(i * 1000), Row{i, i}), Status::kOk);
  }
  EXPECT_TRUE(recorder.due(at(2000)));
  EXPECT_EQ(recorder.sample(stamp(3000), Row{3, 3}), Status::kFull);
  EXPECT_EQ(decode(recorder.close()).rows.size(), 3U);
  EXPECT_EQ(recorder.sample(stamp(3000), Row{3, 3}), Status::kOk);
}

TEST_F(RecorderTest, ABatchIsDueAtItsLimitOfAge) {
  const Table config = table(Millis{1000}, 64, Millis{2500});
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(1000), Row{1, 1}), Status::kOk);
  EXPECT_EQ(recorder.next_due(), at(3500));
  EXPECT_FALSE(recorder.due(at(3499)));
  EXPECT_TRUE(recorder.due(at(3500)));
}

TEST_F(RecorderTest, ABatchIsFullAtTheLimitOfItsBufferAndLosesNoRow) {
  const Table config = table(Millis{1}, 1000, Millis{10'000});
  std::mt19937_64 random(1);
  for (std::size_t size = Recorder::kBufferSizeMin; size <= buffer_.size(); size += 13) {
    Recorder recorder(config, MutableBytes(buffer_).first(size));
    std::vector<Row> sent;
    std::vector<Row> received;
    std::size_t longest = 0;
    const auto close = [&] {
      const Bytes bytes = recorder.close();
      longest = std::max(longest, bytes.size());
      for (Row& row : decode(bytes).rows) received.push_back(std::move(row));
    };
    for (int i = 0; i < 500; ++i) {
      sent.push_back(
          {static_cast<std::int64_t>(random()), static_cast<std::int64_t>(random() >> (i % 64)) | 7});
      if (recorder.sample(stamp(i), sent.back()) == Status::kOk) continue;
      close();
      ASSERT_EQ(recorder.sample(stamp(i), sent.back()), Status::kOk) << "buffer of " << size;
    }
    close();
    EXPECT_EQ(received, sent) << "buffer of " << size;
    EXPECT_LE(longest, size);
    EXPECT_EQ(recorder.missed_samples(), 0U);
  }
}

TEST_F(RecorderTest, TheSmallestBufferTakesAnyFirstRow) {
  constexpr std::array<std::string_view, codec::kChannelsMax> kNames{"a", "b", "c", "d", "e", "f", "g", "h",
                                                                     "i", "j", "k", "l", "m", "n", "o", "p"};
  std::array<codec::Channel, codec::kChannelsMax> channels{};
  for (std::size_t i = 0; i < channels.size(); ++i) channels[i].name = kNames[i];
  Table config = table();
  config.contract.channels = channels;
  Recorder recorder(config, MutableBytes(buffer_).first(Recorder::kBufferSizeMin));
  for (const std::int64_t value :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), std::int64_t{-1},
        std::int64_t{0}}) {
    const Instant now = recorder.next_sample();
    const Row row(codec::kChannelsMax, value);
    const Stamp last{.now = now, .unix_time = UnixMillis{codec::kTimeMax.count()}, .boot = UINT32_MAX};
    ASSERT_EQ(recorder.sample(last, row), Status::kOk) << value;
    EXPECT_EQ(decode(recorder.close(), codec::kChannelsMax).rows, std::vector<Row>{row});
  }
}

TEST_F(RecorderTest, TheUnixTimeOfABatchIsThatOfItsFirstInstant) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(3200, 1'700'000'000'200), Row{1, 1}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(4010, 1'700'000'001'010), Row{1, 1}), Status::kOk);
  const auto decoded = decode(recorder.close());
  EXPECT_EQ(decoded.batch.unix_time, UnixMillis{1'700'000'000'000});
  EXPECT_EQ(decoded.rows.size(), 2U);
}

TEST_F(RecorderTest, ABatchEndsWhenTheClockIsSetOrSteppedOrLost) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(1000), Row{1, 1}), Status::kOk);
  EXPECT_EQ(recorder.sample(stamp(2000, 50'000), Row{1, 1}), Status::kFull) << "set";
  recorder.close();
  ASSERT_EQ(recorder.sample(stamp(2000, 50'000), Row{1, 1}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(3000, 51'500), Row{1, 1}), Status::kOk)
      << "by half a period: still the same";
  EXPECT_EQ(recorder.sample(stamp(4000, 52'501), Row{1, 1}), Status::kFull) << "stepped forward";
  EXPECT_EQ(recorder.sample(stamp(4000, 51'499), Row{1, 1}), Status::kFull) << "stepped back";
  EXPECT_EQ(recorder.sample(stamp(4000), Row{1, 1}), Status::kFull) << "lost";
  EXPECT_EQ(recorder.sample(stamp(4000, 52'000), Row{1, 1}), Status::kOk);
}

TEST_F(RecorderTest, ATimeThatNoMessageCanHoldCountsAsUnset) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  for (const std::int64_t wrong : {std::int64_t{-1}, codec::kTimeMax.count() + 1, INT64_MAX, INT64_MIN}) {
    ASSERT_EQ(recorder.sample({.now = recorder.next_sample(), .unix_time = UnixMillis{wrong}, .boot = 1},
                              Row{1, 1}),
              Status::kOk);
    EXPECT_EQ(decode(recorder.close()).batch.unix_time, std::nullopt) << wrong;
  }
}

TEST_F(RecorderTest, AValueWithinItsDeadbandIsRecordedAsTheLastOneKept) {
  const Table config = table(Millis{1000}, 4);
  Recorder recorder(config, buffer_);
  std::vector<Row> received;
  int second = 0;
  for (const std::int64_t level : {50, 51, 52, 53, 52, 51, 50, 49}) {
    ASSERT_EQ(recorder.sample(stamp(1000 * ++second), Row{0, level}), Status::kOk);
    if (!recorder.due(at(1000 * second))) continue;
    for (Row& row : decode(recorder.close()).rows) received.push_back(std::move(row));
  }
  std::vector<std::int64_t> levels;
  for (const Row& row : received) levels.push_back(row[1]);
  EXPECT_EQ(levels, (std::vector<std::int64_t>{50, 50, 50, 53, 53, 53, 50, 50})) << "across batches too";
}

TEST_F(RecorderTest, ADeadbandHoldsAtTheEndsOfTheRange) {
  constexpr std::array<codec::Channel, 1> kWide{{{.name = "x", .deadband = UINT64_MAX - 1}}};
  Table config = table();
  config.contract.channels = kWide;
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(0), Row{INT64_MIN}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(1000), Row{INT64_MAX - 1}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(2000), Row{INT64_MAX}), Status::kOk);
  EXPECT_EQ(decode(recorder.close(), 1).rows, (std::vector<Row>{{INT64_MIN}, {INT64_MIN}, {INT64_MAX}}));
}

TEST_F(RecorderTest, ARowOfAnotherWidthIsRefused) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  EXPECT_EQ(recorder.sample(stamp(0), Row{1}), Status::kInvalidArgument);
  EXPECT_EQ(recorder.sample(stamp(0), Row{1, 2, 3}), Status::kInvalidArgument);
  EXPECT_TRUE(recorder.close().empty());
}

TEST(RecorderTable, IsCheckedBeforeUse) {
  EXPECT_EQ(Recorder::check(table()), Status::kOk);
  EXPECT_EQ(Recorder::check(table(Millis{0})), Status::kInvalidArgument);
  EXPECT_EQ(Recorder::check(table(Millis{1}, 0)), Status::kInvalidArgument);
  EXPECT_EQ(Recorder::check(table(Millis{1}, codec::kRowsMax + 1)), Status::kInvalidArgument);
  EXPECT_EQ(Recorder::check(table(Millis{1}, 1, Millis{0})), Status::kInvalidArgument);
  Table nameless = table();
  nameless.contract.name = "";
  EXPECT_EQ(Recorder::check(nameless), Status::kInvalidArgument);
}

}  // namespace
}  // namespace godwit::telemetry
