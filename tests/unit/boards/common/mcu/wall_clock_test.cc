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
  ASSERT_EQ(clock.set(Instant(seconds(10)), UnixMillis{1'800'000'000'000}), Status::kOk);
  ASSERT_EQ(clock.set(Instant(seconds(20)), UnixMillis{1'800'000'010'250}), Status::kOk);
  EXPECT_EQ(clock.time(Instant(seconds(21))), UnixMillis{1'800'000'011'250});
}

TEST(WallClock, IsInHoldoverADayAfterItWasTold) {
  WallClock clock;
  const Instant told(seconds(10));
  ASSERT_EQ(clock.set(told, UnixMillis{1'800'000'000'000}), Status::kOk);
  EXPECT_EQ(clock.quality(told), codec::TimeQuality::kSynced);
  EXPECT_EQ(clock.quality(told + hours(24) - Millis{1}), codec::TimeQuality::kSynced);
  EXPECT_EQ(clock.quality(told + hours(24)), codec::TimeQuality::kHoldover);
  ASSERT_EQ(clock.set(told + hours(25), UnixMillis{1'800'090'000'000}), Status::kOk);
  EXPECT_EQ(clock.quality(told + hours(25)), codec::TimeQuality::kSynced);
}

TEST(WallClock, DoesNotTakeATimeThatIsCertainlyOver) {
  constexpr UnixMillis kProvisioned{1'800'000'000'000};
  WallClock clock;
  clock.set_earliest(kProvisioned);
  EXPECT_EQ(clock.set(Instant(seconds(1)), {kProvisioned.value - 1}), Status::kDenied);
  EXPECT_EQ(clock.quality(Instant(seconds(1))), codec::TimeQuality::kNone);
  EXPECT_EQ(clock.set(Instant(seconds(2)), kProvisioned), Status::kOk);
  EXPECT_EQ(clock.set(Instant(seconds(3)), {0}), Status::kDenied);
  EXPECT_EQ(clock.time(Instant(seconds(3))), UnixMillis{kProvisioned.value + 1'000})
      << "as it was told before";
}

}  // namespace
}  // namespace godwit::boards
