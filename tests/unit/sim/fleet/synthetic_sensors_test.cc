// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/synthetic_sensors.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/support/port_conformance.h"

namespace godwit::sim {
namespace {

class RecordingFile : public ::testing::Test {
 protected:
  ~RecordingFile() override { std::filesystem::remove(path_); }
  Recording read(const std::string& text) {
    std::ofstream(path_) << text;
    return Recording::read(path_);
  }
  std::string error(const std::string& text) {
    try {
      read(text);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }
  std::string path_ = ::testing::TempDir() + "godwit_recording_" +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".csv";
};

TEST_F(RecordingFile, GivesAColumnTheExponentOfItsMostExactValue) {
  const Recording recording = read("t[Cel],n\n1.5,7\n-2.25,8\n3,9\n");
  ASSERT_EQ(recording.columns.size(), 2U);
  EXPECT_EQ(recording.columns[0].name, "t");
  EXPECT_EQ(recording.columns[0].unit, "Cel");
  EXPECT_EQ(recording.columns[0].exponent, -2);
  EXPECT_EQ(recording.columns[0].raw, (std::vector<std::int64_t>{150, -225, 300}));
  EXPECT_EQ(recording.columns[1].exponent, 0);
}

TEST_F(RecordingFile, NamesFileLineAndCauseOfWhatItCannotRead) {
  EXPECT_NE(error("a,b\n1\n").find(path_ + ":2: expected as many cells"), std::string::npos);
  EXPECT_NE(error("a\n1\nx\n").find(path_ + ":3: 'x' is not a decimal number"), std::string::npos);
  EXPECT_NE(error("a\n").find("no rows"), std::string::npos);
  EXPECT_THROW(Recording::read("/nonexistent.csv"), std::runtime_error);
}

TEST(SyntheticSensors, TwoReadersOfTheSameSeedSeeTheSameValues) {
  SyntheticSensors a(3, nullptr);
  const SyntheticSensors b(3, nullptr);
  std::array<std::int64_t, 5> sampled{};
  std::array<std::int64_t, 5> expected{};
  for (std::uint64_t n = 0; n < 5'000; ++n) {
    ASSERT_EQ(a.sampled(), n);
    ASSERT_EQ(a.sample(0, Instant{}, sampled), Status::kOk);
    b.row(n, expected);
    ASSERT_EQ(sampled, expected) << n;
  }
}

TEST(SyntheticSensors, ConformToTheirPort) {
  SyntheticSensors sensors(3, nullptr);
  const telemetry::Table table{
      .contract = {.name = "t", .period = Millis{1'000}, .channels = sensors.channels()}};
  test::expect_sensors_conform(sensors, {&table, 1});
}

TEST(SyntheticSensors, HaveNoMoreRowsOnceFinished) {
  SyntheticSensors sensors(3, nullptr);
  sensors.finish();
  std::array<std::int64_t, 5> row{};
  EXPECT_EQ(sensors.sample(0, Instant{}, row), Status::kIo);
}

}  // namespace
}  // namespace godwit::sim
