// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/storage_watch.h"

#include <gtest/gtest.h>

namespace godwit::boards {
namespace {

constexpr Instant at(int seconds) { return Instant(Millis{1'000} * seconds); }

TEST(StorageWatch, TellsAfterAMinuteOfNothingButFailures) {
  StorageWatch watch;
  EXPECT_FALSE(watch.has_failed(at(0), 5, 0));
  for (int s = 1; s <= 60; ++s) EXPECT_FALSE(watch.has_failed(at(s), 5, static_cast<unsigned>(s)));
  EXPECT_TRUE(watch.has_failed(at(61), 5, 61));
}

TEST(StorageWatch, BeginsAnewWithEachRecordThatIsStored) {
  StorageWatch watch;
  for (int s = 0; s < 1'000; ++s) {
    EXPECT_FALSE(watch.has_failed(at(s), static_cast<unsigned>(s / 59), static_cast<unsigned>(s)));
  }
}

TEST(StorageWatch, TakesNoFailureForPersistentThatIsTheLastThingThatHappened) {
  StorageWatch watch;
  EXPECT_FALSE(watch.has_failed(at(1), 0, 1));
  for (int s = 2; s < 600; ++s) EXPECT_FALSE(watch.has_failed(at(s), 0, 1));
  EXPECT_TRUE(watch.has_failed(at(600), 0, 2)) << "the next one, with nothing stored in between";
}

TEST(StorageWatch, LeavesABoardAloneThatHasNothingToStore) {
  StorageWatch watch;
  for (int s = 0; s < 600; ++s) EXPECT_FALSE(watch.has_failed(at(s), 0, 0));
}

}  // namespace
}  // namespace godwit::boards
