// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/wall_clock.h"

#include <gtest/gtest.h>

namespace godwit::boards {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

TEST(WallClock, KnowsNothingUntilItIsTold) {
  const WallClock clock;
  EXPECT_FALSE(clock.time(Instant(hours(1))).has_value());
  EXPECT_EQ(clock.quality(Instant(hours(1))), codec::TimeQuality::kNone);
}

TEST(WallClock, CarriesOnWhatItWasToldLast) {
  WallClock clock;
  clock.set(Instant(seconds(10)), UnixMillis{1'800'000'000'000});
  clock.set(Instant(seconds(20)), UnixMillis{1'800'000'010'250});
  EXPECT_EQ(clock.time(Instant(seconds(21))), UnixMillis{1'800'000'011'250});
}

TEST(WallClock, IsInHoldoverADayAfterItWasTold) {
  WallClock clock;
  const Instant told(seconds(10));
  clock.set(told, UnixMillis{1'800'000'000'000});
  EXPECT_EQ(clock.quality(told), codec::TimeQuality::kSynced);
  EXPECT_EQ(clock.quality(told + hours(24) - Millis{1}), codec::TimeQuality::kSynced);
  EXPECT_EQ(clock.quality(told + hours(24)), codec::TimeQuality::kHoldover);
  clock.set(told + hours(25), UnixMillis{1'800'090'000'000});
  EXPECT_EQ(clock.quality(told + hours(25)), codec::TimeQuality::kSynced);
}

}  // namespace
}  // namespace godwit::boards
