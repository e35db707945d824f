// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/sensors.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "firmware/telemetry/recorder.h"

namespace godwit::boards {
namespace {

using std::chrono::milliseconds;

std::vector<std::int64_t> row_of(std::uint64_t number) {
  SyntheticSensors sensors;
  std::vector<std::int64_t> row(sensors.channels().size());
  EXPECT_EQ(sensors.read(Instant{}, number, row), Status::kOk);
  return row;
}

TEST(SyntheticSensors, MakeATableThatADeviceTakes) {
  const SyntheticSensors sensors;
  const telemetry::Table table{
      .contract = {.name = "sensors", .period = milliseconds(1'000), .channels = sensors.channels()}};
  EXPECT_EQ(telemetry::Recorder::check(table), Status::kOk);
}

TEST(SyntheticSensors, SayTheSameOfARowWheneverTheyAreAsked) {
  for (const std::uint64_t number : {0ULL, 1ULL, 86'400ULL, ~0ULL}) EXPECT_EQ(row_of(number), row_of(number));
  EXPECT_EQ(row_of(0), (std::vector<std::int64_t>{2148, 458, 101'325, 417}));
}

TEST(SyntheticSensors, StayInTheirRangeAndChangeSlowly) {
  const SyntheticSensors sensors;
  const auto channels = sensors.channels();
  auto before = row_of(0);
  for (std::uint64_t number = 1; number < 30'000; ++number) {
    const auto row = row_of(number);
    for (std::size_t i = 0; i < row.size(); ++i) {
      EXPECT_GE(row[i], channels[i].min) << channels[i].name << " in row " << number;
      EXPECT_LE(row[i], channels[i].max) << channels[i].name << " in row " << number;
      EXPECT_LE(std::abs(row[i] - before[i]), 16) << channels[i].name << " in row " << number;
    }
    before = row;
  }
}

// Yields the number that it is asked for.
class Echo final : public SensorDriver {
 public:
  [[nodiscard]] std::span<const codec::Channel> channels() const override { return {}; }
  Status read(Instant, std::uint64_t number, std::span<std::int64_t> row) override {
    row[0] = static_cast<std::int64_t>(number);
    return Status::kOk;
  }
};

TEST(TableSensors, NumberRowsByTheInstantThatTheyStandFor) {
  Echo fast;
  Echo slow;
  std::array<telemetry::Table, 2> tables{};
  tables[0].contract.period = milliseconds(100);
  tables[1].contract.period = milliseconds(10'000);
  TableSensors sensors(tables, {&fast, &slow});
  const auto number_at = [&](std::size_t table, int ms) {
    std::array<std::int64_t, 1> row{-1};
    EXPECT_EQ(sensors.sample(table, Instant(milliseconds(ms)), row), Status::kOk);
    return row[0];
  };
  EXPECT_EQ(number_at(0, 0), 0);
  EXPECT_EQ(number_at(0, 149), 1) << "a little late";
  EXPECT_EQ(number_at(0, 150), 1) << "as the recorder sees it";
  EXPECT_EQ(number_at(0, 151), 2);
  EXPECT_EQ(number_at(0, 1'000), 10);
  EXPECT_EQ(number_at(1, 1'000), 0);
  EXPECT_EQ(number_at(1, 20'003), 2);
}

}  // namespace
}  // namespace godwit::boards
