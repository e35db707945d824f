// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/storage_watch.h"

#include <gtest/gtest.h>

namespace godwit::boards {
namespace {

constexpr Instant at(int seconds) { return Instant(Millis{1'000} * seconds); }

// How often it wants a reset in the seconds from `begin` to `end`, with a failure in each and `recorded`
// records.
int resets(StorageWatch& watch, int begin, int end, unsigned recorded) {
  int count = 0;
  for (int s = begin; s < end; ++s)
    count += watch.wants_reset(at(s), recorded, static_cast<unsigned>(s)) ? 1 : 0;
  return count;
}

TEST(StorageWatch, WantsAResetAfterAMinuteOfNothingButFailures) {
  StorageWatch watch;
  EXPECT_FALSE(watch.wants_reset(at(0), 5, 0));
  EXPECT_EQ(resets(watch, 1, 61, 5), 0);
  EXPECT_FALSE(watch.reset_tried());
  EXPECT_TRUE(watch.wants_reset(at(61), 5, 61));
  EXPECT_TRUE(watch.reset_tried());
}

TEST(StorageWatch, BeginsAnewWithEachRecordThatIsStored) {
  StorageWatch watch;
  for (int s = 0; s < 1'000; ++s) {
    EXPECT_FALSE(watch.wants_reset(at(s), static_cast<unsigned>(s / 59), static_cast<unsigned>(s)));
  }
}

TEST(StorageWatch, TakesNoFailureForPersistentThatIsTheLastThingThatHappened) {
  StorageWatch watch;
  EXPECT_FALSE(watch.wants_reset(at(1), 0, 1));
  for (int s = 2; s < 600; ++s) EXPECT_FALSE(watch.wants_reset(at(s), 0, 1));
  EXPECT_TRUE(watch.wants_reset(at(600), 0, 2)) << "the next one, with nothing stored in between";
}

TEST(StorageWatch, LeavesABoardAloneThatHasNothingToStore) {
  StorageWatch watch;
  for (int s = 0; s < 600; ++s) EXPECT_FALSE(watch.wants_reset(at(s), 0, 0));
}

TEST(StorageWatch, TriesNoSecondResetWhereTheFirstDidNotHelp) {
  StorageWatch watch;
  EXPECT_EQ(resets(watch, 0, 10'000, 0), 1) << "should that one not come about";
  StorageWatch after_the_reset(watch.reset_tried());
  EXPECT_EQ(resets(after_the_reset, 0, 10'000, 0), 0);
  EXPECT_TRUE(after_the_reset.reset_tried()) << "for the boot after it, whatever that one comes from";
  EXPECT_EQ(resets(after_the_reset, 10'000, 20'000, 1), 1) << "it did: this is another failure";
}

}  // namespace
}  // namespace godwit::boards
