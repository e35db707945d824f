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
                       .channels = kChannels,
                       .rows_max = rows_max},
          .age_max = age_max};
}

Instant at(std::int64_t ms) { return Instant{Millis{ms}}; }
Stamp stamp(std::int64_t ms) { return {.now = at(ms), .unix_time = {}, .boot = 7}; }
Stamp stamp(std::int64_t ms, std::int64_t unix_ms) {
  return {.now = at(ms), .unix_time = UnixMillis{unix_ms}, .boot = 7};
}
Stamp holdover(std::int64_t ms, std::int64_t unix_ms) {
  return {.now = at(ms), .unix_time = UnixMillis{unix_ms}, .holdover = true, .boot = 7};
}

using Row = std::vector<std::int64_t>;

struct Decoded {
  codec::Batch batch;
  std::vector<Row> rows;
};

Decoded decode(Bytes bytes, const Table& config = table()) {
  const auto channels = config.contract.channels;
  const auto batch = codec::decode_batch(bytes);
  EXPECT_TRUE(batch.has_value());
  if (!batch) return {};
  Decoded decoded{*batch, {}};
  std::vector<codec::ChannelModel> models;
  for (const codec::Channel& channel : channels) models.emplace_back(channel.prior);
  const std::size_t rows = batch->rows_of(config.contract.rows_max);
  codec::SampleDecoder decoder(models, batch->samples, rows);
  Row row(channels.size());
  while (decoder.next(row) == Status::kOk) decoded.rows.push_back(row);
  EXPECT_EQ(decoded.rows.size(), rows);
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
  EXPECT_EQ(decoded.batch.quality, codec::TimeQuality::kNone);
  EXPECT_EQ(decoded.batch.time, Millis{3000});
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
  EXPECT_EQ(decoded.batch.time, Millis{3000});
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
  EXPECT_EQ(decode(recorder.close()).batch.time, Millis{7000});
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
  const auto decoded = decode(recorder.close(), config);
  EXPECT_EQ(decoded.batch.rows, 0U) << "a full batch need not say how many they are";
  EXPECT_EQ(decoded.rows, (std::vector<Row>{{0, 0}, {1, 0}, {2, 0}})) << "a deadband of 2";
  EXPECT_EQ(recorder.sample(stamp(3000), Row{3, 3}), Status::kOk);
  EXPECT_EQ(decode(recorder.close(), config).batch.rows, 1U);
}

TEST_F(RecorderTest, WithoutALimitOfRowsABatchSaysHowManyItHas) {
  const Table config = table(Millis{1}, 0);
  Recorder recorder(config, buffer_);
  for (int i = 0; i < 1024; ++i) {
    EXPECT_FALSE(recorder.due(at(i)));
    ASSERT_EQ(recorder.sample(stamp(i), Row{5, 5}), Status::kOk);
  }
  EXPECT_TRUE(recorder.due(at(1023)));
  EXPECT_EQ(recorder.sample(stamp(1024), Row{5, 5}), Status::kFull);
  EXPECT_EQ(decode(recorder.close(), config).batch.rows, 1024U);
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
      for (Row& row : decode(bytes, config).rows) received.push_back(std::move(row));
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
       {codec::kMissing, codec::kMissing + 1, std::numeric_limits<std::int64_t>::max(), std::int64_t{-1},
        std::int64_t{0}}) {
    const Instant now = recorder.next_sample();
    const Row row(codec::kChannelsMax, value);
    const Stamp last{
        .now = now, .unix_time = UnixMillis{codec::kBatchTimeMax.count() - 500}, .boot = UINT32_MAX};
    ASSERT_EQ(recorder.sample(last, row), Status::kOk) << value;
    EXPECT_EQ(decode(recorder.close(), config).rows, std::vector<Row>{row});
  }
}

TEST_F(RecorderTest, TheUnixTimeOfABatchIsThatOfItsFirstInstant) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(3200, 1'700'000'000'200), Row{1, 1}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(4010, 1'700'000'001'010), Row{1, 1}), Status::kOk);
  const auto decoded = decode(recorder.close());
  EXPECT_EQ(decoded.batch.quality, codec::TimeQuality::kSynced);
  EXPECT_EQ(decoded.batch.time, Millis{1'700'000'000'000});
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

TEST_F(RecorderTest, ABatchCarriesTheQualityOfItsOwnSampling) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(1000, 50'000), Row{1, 1}), Status::kOk);
  EXPECT_EQ(recorder.sample(holdover(2000, 51'000), Row{2, 2}), Status::kFull) << "no longer confirmed";
  EXPECT_EQ(decode(recorder.close()).batch.quality, codec::TimeQuality::kSynced);
  ASSERT_EQ(recorder.sample(holdover(2000, 51'000), Row{2, 2}), Status::kOk);
  ASSERT_EQ(recorder.sample(holdover(3000, 52'000), Row{3, 3}), Status::kOk);
  EXPECT_EQ(recorder.sample(stamp(4000, 53'000), Row{4, 4}), Status::kFull) << "confirmed";
  const auto decoded = decode(recorder.close());
  EXPECT_EQ(decoded.batch.quality, codec::TimeQuality::kHoldover);
  EXPECT_EQ(decoded.batch.time, Millis{51'000});
  EXPECT_EQ(decoded.rows.size(), 2U);
}

TEST_F(RecorderTest, ATimeThatNoBatchCanHoldCountsAsUnset) {
  const Table config = table();
  Recorder recorder(config, buffer_);
  const auto quality_at = [&](Stamp time) {
    EXPECT_EQ(recorder.sample(time, Row{1, 1}), Status::kOk);
    return decode(recorder.close()).batch.quality;
  };
  const std::int64_t last = codec::kBatchTimeMax.count();
  for (const std::int64_t wrong : {std::int64_t{-1}, last + 1, INT64_MAX, INT64_MIN})
    EXPECT_EQ(quality_at({.now = recorder.next_sample(), .unix_time = UnixMillis{wrong}}),
              codec::TimeQuality::kNone)
        << wrong;
  for (const std::int64_t right : {std::int64_t{0}, last}) {
    EXPECT_EQ(quality_at({.now = recorder.next_sample(), .unix_time = UnixMillis{right}}),
              codec::TimeQuality::kSynced)
        << right;
  }
  // The instant that a row stands for is earlier or later than the clock was read.
  EXPECT_EQ(quality_at(stamp(10'400, 399)), codec::TimeQuality::kNone) << "a millisecond before 1970";
  EXPECT_EQ(quality_at(stamp(11'400, 400)), codec::TimeQuality::kSynced);
  EXPECT_EQ(quality_at(stamp(12'600, last - 400)), codec::TimeQuality::kSynced);
  EXPECT_EQ(quality_at(stamp(14'600, last - 399)), codec::TimeQuality::kNone);
}

TEST_F(RecorderTest, ACellWithoutAValueStaysWithoutOne) {
  const Table config = table(Millis{1000}, 5);
  Recorder recorder(config, buffer_);
  const std::vector<Row> rows{{codec::kMissing, codec::kMissing},
                              {2150, codec::kMissing},
                              {codec::kMissing, 40},
                              {codec::kMissing, codec::kMissing},
                              {2150, 43}};
  for (std::size_t i = 0; i < rows.size(); ++i)
    ASSERT_EQ(recorder.sample(stamp(1000 * static_cast<std::int64_t>(i)), rows[i]), Status::kOk);
  EXPECT_EQ(decode(recorder.close(), config).rows, rows);
  EXPECT_EQ(recorder.missed_samples(), 0U);
}

TEST_F(RecorderTest, ADeadbandLooksBackOverMissingCellsAndNotBeforeTheFirstValue) {
  const Table config = table(Millis{1000}, 4);  // "level" has a deadband of 2
  Recorder recorder(config, buffer_);
  std::int64_t second = 0;
  const auto level = [&](std::int64_t value) {
    EXPECT_EQ(recorder.sample(stamp(1000 * second++), Row{0, value}), Status::kOk);
  };
  level(codec::kMissing);
  level(1);  // and not as 0, from which it is less than 2
  level(codec::kMissing);
  level(3);
  const auto decoded = decode(recorder.close(), config).rows;
  std::vector<std::int64_t> levels;
  for (const Row& row : decoded) levels.push_back(row[1]);
  EXPECT_EQ(levels, (std::vector<std::int64_t>{codec::kMissing, 1, codec::kMissing, 1}));
}

TEST_F(RecorderTest, EachBatchStartsWithThePriorsOfItsTable) {
  auto channels = kChannels;
  channels[0].prior = channels[1].prior = 0x8100'0000'0000'0001;
  Table primed = table(Millis{1000}, 16);
  primed.contract.channels = channels;
  const Table plain = table(Millis{1000}, 16);
  const auto sizes = [&](const Table& config) {
    Recorder recorder(config, buffer_);
    std::vector<std::size_t> sizes_of;
    for (int batch = 0; batch < 3; ++batch) {
      for (int i = 0; i < 16; ++i)
        EXPECT_EQ(recorder.sample(stamp(1000 * (16 * batch + i)), Row{2150, 40}), Status::kOk);
      const Bytes bytes = recorder.close();
      EXPECT_EQ(decode(bytes, config).rows, std::vector<Row>(16, Row{2150, 40}));
      sizes_of.push_back(bytes.size());
    }
    return sizes_of;
  };
  const auto with = sizes(primed);
  const auto without = sizes(plain);
  for (std::size_t i = 0; i < with.size(); ++i) EXPECT_LT(with[i], without[i]) << "batch " << i;
}

TEST_F(RecorderTest, AValueWithinItsDeadbandIsRecordedAsTheLastOneKept) {
  const Table config = table(Millis{1000}, 4);
  Recorder recorder(config, buffer_);
  std::vector<Row> received;
  int second = 0;
  for (const std::int64_t level : {50, 51, 52, 53, 52, 51, 50, 49}) {
    ASSERT_EQ(recorder.sample(stamp(1000 * ++second), Row{0, level}), Status::kOk);
    if (!recorder.due(at(1000 * second))) continue;
    for (Row& row : decode(recorder.close(), config).rows) received.push_back(std::move(row));
  }
  std::vector<std::int64_t> levels;
  for (const Row& row : received) levels.push_back(row[1]);
  EXPECT_EQ(levels, (std::vector<std::int64_t>{50, 50, 50, 53, 53, 53, 50, 50})) << "across batches too";
}

TEST_F(RecorderTest, ADeadbandHoldsAtTheEndsOfTheRange) {
  constexpr std::array<codec::Channel, 1> kWide{{{.name = "x", .deadband = UINT64_MAX - 3}}};
  Table config = table();
  config.contract.channels = kWide;
  Recorder recorder(config, buffer_);
  ASSERT_EQ(recorder.sample(stamp(0), Row{-INT64_MAX}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(1000), Row{INT64_MAX - 2}), Status::kOk);
  ASSERT_EQ(recorder.sample(stamp(2000), Row{INT64_MAX}), Status::kOk);
  EXPECT_EQ(decode(recorder.close(), config).rows,
            (std::vector<Row>{{-INT64_MAX}, {-INT64_MAX}, {INT64_MAX}}));
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
  EXPECT_EQ(Recorder::check(table(Millis{1}, 0)), Status::kOk);
  EXPECT_EQ(Recorder::check(table(Millis{1}, codec::kRowsMax)), Status::kOk);
  EXPECT_EQ(Recorder::check(table(Millis{1}, codec::kRowsMax + 1)), Status::kInvalidArgument);
  EXPECT_EQ(Recorder::check(table(Millis{1}, 1, Millis{0})), Status::kInvalidArgument);
  Table nameless = table();
  nameless.contract.name = "";
  EXPECT_EQ(Recorder::check(nameless), Status::kInvalidArgument);
}

}  // namespace
}  // namespace godwit::telemetry
