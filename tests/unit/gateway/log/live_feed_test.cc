// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/live_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/log/rig.h"

namespace godwit::gateway::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

TEST(LiveFeed, OneEncodingIsOnItsWayUntilItsPieceIsAppended) {
  Rig rig;
  rig.start();
  Reader reader(rig.feed, now());
  reader.step();
  rig.publish();
  rig.publish();
  EXPECT_EQ(rig.encodings(), 1U);
  ASSERT_TRUE(rig.encode());
  rig.publish();
  EXPECT_EQ(rig.encodings(), 0U) << "the piece before would be overtaken";
  ASSERT_TRUE(rig.serve());
  EXPECT_EQ(rig.encodings(), 1U) << "for what came meanwhile";
  rig.run(reader);
  EXPECT_THAT(reader.offsets(), ElementsAre(1, 2, 3));
  EXPECT_EQ(rig.log.reads(), 0U);
  EXPECT_EQ(rig.encodings(), 0U);
}

TEST(LiveFeed, WhatDoesNotFitOnePieceComesInTheNext) {
  Rig rig;
  rig.start();
  Reader reader(rig.feed, now());
  for (int i = 0; i < 3000; ++i) rig.publish();
  rig.run(reader);
  EXPECT_THAT(reader.offsets(), ElementsAreArray(numbers(1, 3000)));
  EXPECT_EQ(rig.log.reads(), 0U);
  EXPECT_EQ(rig.live.queued_bytes(), 0U);
}

TEST(LiveFeed, NothingIsEncodedForNobody) {
  Rig rig;
  rig.start();
  rig.publish();
  EXPECT_EQ(rig.live.queued_bytes(), 0U) << "before the first follower";
  {
    Reader first(rig.feed, now());
    const Reader second(rig.feed, now());
    rig.publish();
    EXPECT_GT(rig.live.queued_bytes(), 0U);
    rig.run(first);
    EXPECT_THAT(first.offsets(), ElementsAre(1, 2)) << "the tail of the log that it came to was before 1";
  }
  rig.publish();
  EXPECT_EQ(rig.live.queued_bytes(), 0U) << "after the last one";
  rig.run();
  EXPECT_EQ(rig.feed.tail(), rig.log.ends().last);
  EXPECT_EQ(rig.feed.counters().left_out, 2U);
}

TEST(LiveFeed, ReadsSideBySideUpToItsNumberAndGoesOnByItself) {
  Rig rig({.cache_bytes_max = 1, .reads_at_once = 2});
  for (int i = 1; i <= 5; ++i) rig.log.append("pump", i);
  rig.start();
  std::vector<std::unique_ptr<Reader>> readers;
  for (std::int64_t i = 0; i < 5; ++i) {
    readers.push_back(std::make_unique<Reader>(rig.feed, after(rig.log.id(i))));
    readers.back()->step();
    rig.live.start_reads();
    EXPECT_EQ(rig.reads_waiting(), std::min<std::size_t>(readers.size(), 2));
  }
  for (int reads = 0; reads < 5; ++reads) {
    ASSERT_TRUE(rig.read());
    ASSERT_TRUE(rig.serve());
  }
  EXPECT_FALSE(rig.read()) << "all have found their places";
  for (const auto& reader : readers) EXPECT_TRUE(reader->ready());
  EXPECT_EQ(rig.feed.counters().pages_read, 0U);
}

TEST(LiveFeed, OneWakeUpIsForAllThatIsAppendedUntilThen) {
  Rig rig;
  rig.start();
  Reader reader(rig.feed, now());
  reader.step();
  for (int i = 0; i < 3; ++i) {
    rig.publish();
    ASSERT_TRUE(rig.encode() && rig.serve());
  }
  EXPECT_EQ(rig.wakes(), 1U);
  EXPECT_FALSE(reader.ready());
  ASSERT_TRUE(rig.wake_all());
  EXPECT_EQ(reader.wakes(), 1);
  rig.run(reader);
  EXPECT_THAT(reader.offsets(), ElementsAre(1, 2, 3));
  rig.publish();
  ASSERT_TRUE(rig.encode() && rig.serve());
  ASSERT_TRUE(rig.wake_all()) << "and the next one for what comes then";
  EXPECT_TRUE(reader.ready());
}

TEST(LiveFeed, CountsWhatFollowersAreNotGivenFromMemory) {
  Rig rig;
  rig.log.append("pump", 1);
  rig.start();
  Reader reader(rig.feed, begin());
  reader.step();
  rig.log.fail(true);
  ASSERT_TRUE(rig.read() && rig.serve());
  EXPECT_EQ(rig.feed.counters().reads_failed, 1U);
  rig.log.fail(false);
  rig.run(reader);
  EXPECT_EQ(rig.feed.counters().pages_read, 1U);
  EXPECT_THAT(reader.offsets(), ElementsAre(1));
}

}  // namespace
}  // namespace godwit::gateway::test
