// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/log/rig.h"

namespace godwit::gateway::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using Kind = Follower::Step::Kind;

TEST(Feed, GivesWhatIsStoredThenWhatIsLive) {
  Rig rig;
  for (int i = 0; i < 5; ++i) rig.log.append("pump", i);
  rig.start();
  Reader reader(rig.feed, begin());
  rig.run(reader);
  EXPECT_THAT(reader.offsets(), ElementsAreArray(numbers(1, 5)));
  EXPECT_EQ(reader.last(), Kind::kWait);
  rig.publish();
  rig.run(reader);
  EXPECT_THAT(reader.offsets(), ElementsAreArray(numbers(1, 6)));
  EXPECT_EQ(rig.log.reads(), 1U) << "the live one came from memory";
}

TEST(Feed, AllFollowersShareABlock) {
  Rig rig;
  rig.start();
  Follower one(rig.feed, now(), {}, [] {});
  Follower other(rig.feed, now(), {}, [] {});
  rig.publish();
  rig.encode_some();
  const Follower::Step a = one.next(1024);
  const Follower::Step b = other.next(1024);
  ASSERT_EQ(a.slices.size(), 1U);
  ASSERT_EQ(b.slices.size(), 1U);
  EXPECT_EQ(a.slices[0].block, b.slices[0].block);
  EXPECT_EQ(a.slices[0].text(), a.slices[0].block->text);
}

TEST(Feed, WakesInTheOrderOfComing) {
  Rig rig;
  rig.start();
  std::string order;
  std::vector<std::unique_ptr<Follower>> followers;
  for (const char name : std::string("abcdefgh")) {
    followers.push_back(
        std::make_unique<Follower>(rig.feed, now(), LogReader::Filter{}, [&order, name] { order += name; }));
    EXPECT_EQ(followers.back()->next(1024).kind, Kind::kWait);
  }
  followers[2].reset();
  rig.feed.wake();
  EXPECT_EQ(order, "abdefgh");
  rig.feed.wake();
  EXPECT_EQ(order, "abdefgh") << "who was woken and has not asked again does not wait";
}

// C2: the client saw events that the restored log does not have, and the log has grown beyond them since.
TEST(Feed, TellsAFollowerThatTheLogWasRestored) {
  Rig rig;
  for (int i = 1; i <= 21; ++i) rig.log.append("pump", i);
  const LogId seen = rig.log.id(21);
  rig.log.restore(10, 0xb2);
  for (int i = 1; i <= 15; ++i) rig.log.append("pump", 100 + i);
  rig.start();
  Reader reader(rig.feed, after(seen));
  rig.run(reader);
  ASSERT_EQ(reader.gaps().size(), 1U);
  EXPECT_EQ(reader.gaps()[0], (LogGap{.reason = GapReason::kRestored,
                                      .from = {11},
                                      .to = {21},
                                      .next = {.offset = {10}, .term = {0xa1}}}));
  EXPECT_THAT(reader.offsets(), ElementsAreArray(numbers(11, 25)));
  EXPECT_EQ(reader.seen().front().term, Term{0xb2});
}

// Whoever is cut off before the gap was told, and comes back with the position, would never hear of it.
TEST(Feed, APositionIsNotKnownAsLongAsAGapIsToBeTold) {
  Rig rig;
  for (int i = 1; i <= 3; ++i) rig.log.append("pump", i);
  const LogId seen = rig.log.id(3);
  rig.log.restore(1, 0xb2);
  rig.log.append("pump", 4);
  rig.start();
  Follower follower(rig.feed, after(seen), {}, [] {});
  ASSERT_EQ(follower.next(1000).kind, Follower::Step::Kind::kRead);
  ASSERT_TRUE(rig.read() && rig.serve());
  EXPECT_EQ(follower.position(), std::nullopt);
  ASSERT_EQ(follower.next(1000).kind, Follower::Step::Kind::kGap);
  EXPECT_EQ(follower.position(), rig.log.id(1));
}

TEST(Feed, TellsHowFarTheLastOneIsBehind) {
  Rig rig;
  for (int i = 1; i <= 5; ++i) rig.log.append("pump", i);
  rig.start();
  EXPECT_EQ(rig.feed.lag_max(), 0);
  Reader behind(rig.feed, after(rig.log.id(1)));
  Reader ahead(rig.feed, after(rig.log.id(4)));
  behind.step();
  ahead.step();
  ASSERT_TRUE(rig.read() && rig.serve() && rig.read() && rig.serve());
  EXPECT_EQ(behind.follower().lag(), 4);
  EXPECT_EQ(ahead.follower().lag(), 1);
  EXPECT_EQ(rig.feed.lag_max(), 4);
  rig.run(behind, ahead);
  EXPECT_EQ(rig.feed.lag_max(), 0);
}

TEST(Feed, StartsOverAfterAnIdOfATermThatTheLogNeverHad) {
  Rig rig;
  for (int i = 1; i <= 3; ++i) rig.log.append("pump", i);
  rig.start();
  Reader reader(rig.feed, after({.offset = {2}, .term = {0xcc}}));
  rig.run(reader);
  ASSERT_EQ(reader.gaps().size(), 1U);
  EXPECT_EQ(reader.gaps()[0].reason, GapReason::kRestored);
  EXPECT_EQ(reader.gaps()[0].next, LogId{});
  EXPECT_THAT(reader.offsets(), ElementsAre(1, 2, 3));
}

// history.md j: a follower that came during a run without a single event has an id of the run before.
TEST(Feed, ARestartMakesNoGapNotEvenAnIdleOne) {
  Rig rig;
  rig.log.append("pump", 1);
  rig.log.restart(0xb2);  // idle
  Feed idle({});
  idle.start(rig.log.ends().last);
  const Follower before(idle, now(), {}, [] {});
  const LogId id = before.position().value();
  EXPECT_EQ(id, (LogId{.offset = {1}, .term = {0xa1}}));
  rig.log.restore(1, 0xc3);  // what a start draws and does not use is nowhere
  rig.log.append("pump", 2);
  rig.start();
  Reader reader(rig.feed, after(id));
  rig.run(reader);
  EXPECT_TRUE(reader.gaps().empty());
  EXPECT_THAT(reader.offsets(), ElementsAre(2));
}

TEST(Feed, SaysWhatWasTrimmedFromWhereEachFollowerIs) {
  Rig rig;
  for (int i = 1; i <= 9; ++i) rig.log.append("pump", i);
  const LogId two = rig.log.id(2);
  const LogId four = rig.log.id(4);
  rig.log.trim(6);
  rig.start();
  Reader early(rig.feed, after(two));
  Reader late(rig.feed, after(four));
  Reader oldest(rig.feed, begin());
  rig.run(early, late, oldest);
  ASSERT_EQ(early.gaps().size(), 1U);
  EXPECT_EQ(early.gaps()[0].reason, GapReason::kTrimmed);
  EXPECT_EQ(early.gaps()[0].from, LogOffset{3});
  EXPECT_EQ(early.gaps()[0].next, rig.log.id(5));
  ASSERT_EQ(late.gaps().size(), 1U);
  EXPECT_EQ(late.gaps()[0].from, LogOffset{5}) << "though both may have it of one block";
  EXPECT_TRUE(oldest.gaps().empty());
  for (const Reader* reader : {&early, &late, &oldest}) {
    EXPECT_THAT(reader->offsets(), ElementsAreArray(numbers(6, 9)));
  }
}

TEST(Feed, AFilterShowsItsEventsFromLogAndMemoryAlike) {
  Rig rig;
  for (int i = 0; i < 50; ++i) rig.log.append(i % 10 == 0 ? "fan" : "pump", i);
  rig.log.append(EventType::kDeviceOnline, "fan");
  rig.start();
  Reader fan(rig.feed, begin(), {.device = "fan", .types = {}});
  Reader online(rig.feed, begin(), {.device = "", .types = {EventType::kDeviceOnline}});
  Reader telemetry(rig.feed, begin(), {.device = "", .types = {EventType::kTelemetry}});
  rig.publish("fan");
  rig.publish("pump");
  rig.run(fan, online, telemetry);
  EXPECT_THAT(fan.offsets(), ElementsAre(1, 11, 21, 31, 41, 51, 52));
  EXPECT_THAT(online.offsets(), ElementsAre(51));
  EXPECT_EQ(telemetry.seen().size(), 52U);
  EXPECT_EQ(fan.follower().position(), rig.log.id(53)) << "behind what does not pass";
}

TEST(Feed, AFilteredFollowerGoesOnInTheMiddleOfABlock) {
  Rig rig;
  for (int i = 0; i < 30; ++i) rig.log.append(i % 3 == 0 ? "fan" : "pump", i);
  rig.start();
  Reader fan(rig.feed, begin(), {.device = "fan", .types = {}});
  Reader telemetry(rig.feed, begin(), {.device = "", .types = {EventType::kTelemetry}});
  for (int turn = 0; turn < 10; ++turn) {
    while (fan.step(1) || telemetry.step(700)) {
    }
    rig.read();
    rig.serve();
  }
  EXPECT_THAT(fan.offsets(), ElementsAre(1, 4, 7, 10, 13, 16, 19, 22, 25, 28));
  EXPECT_THAT(telemetry.offsets(), ElementsAreArray(numbers(1, 30)));
}

// A filter that lets nothing of a large cache through gives others their turn.
TEST(Feed, LooksAtABoundedNumberOfEventsInAStep) {
  Rig rig;
  rig.start();
  Reader keeper(rig.feed, now());
  for (int i = 0; i < 10'000; ++i) rig.publish();
  while (rig.encode_some()) {
  }
  Follower fan(rig.feed, after(LogId{}), {.device = "fan", .types = {}}, [] {});
  EXPECT_EQ(fan.next(1024).kind, Kind::kRead);
  rig.read();
  rig.serve();
  int turns = 0;
  while (fan.next(1024).kind == Kind::kAgain) ++turns;
  EXPECT_GE(turns, 1);
  EXPECT_EQ(fan.position(), rig.feed.tail());
}

TEST(Feed, AFollowerThatStandsStillHoldsABoundedPiece) {
  Rig rig;
  rig.start();
  Reader stalled(rig.feed, now());
  Reader filtered(rig.feed, now(), {.device = "pump", .types = {}});
  for (int i = 0; i < 20'000; ++i) {
    rig.publish(i % 2 == 0 ? "pump" : "fan");
    rig.encode_some();
  }
  while (stalled.step() || filtered.step() || rig.read() || rig.serve()) {
  }
  EXPECT_THAT(stalled.offsets(), ElementsAreArray(numbers(1, 20'000)));
  EXPECT_LE(stalled.held_max(), 128U * 1024);
  EXPECT_LE(filtered.held_max(), 128U * 1024);
}

// The page that a follower waits for may be evicted before it comes to it, by those of others.
TEST(Feed, APageReachesWhoAskedForItThoughNothingStaysInTheCache) {
  Rig rig({.cache_bytes_max = 1});
  for (int i = 1; i <= 1000; ++i) rig.log.append("pump", i);
  rig.start();
  Reader one(rig.feed, begin());
  Reader other(rig.feed, after(rig.log.id(500)));
  rig.run(one, other);
  EXPECT_EQ(rig.feed.cached_bytes(), 0U);
  EXPECT_THAT(one.offsets(), ElementsAreArray(numbers(1, 1000)));
  EXPECT_THAT(other.offsets(), ElementsAreArray(numbers(501, 1000)));
}

TEST(Feed, AFollowerMayGoWhileItsPageIsRead) {
  Rig rig({.reads_at_once = 1});
  for (int i = 1; i <= 10; ++i) rig.log.append("pump", i);
  rig.start();
  auto gone = std::make_unique<Reader>(rig.feed, after(rig.log.id(1)));
  gone->step();  // wants its place
  auto waiting = std::make_unique<Reader>(rig.feed, begin());
  waiting->step();
  ASSERT_TRUE(rig.read());
  gone.reset();
  waiting.reset();
  EXPECT_TRUE(rig.serve());
  EXPECT_FALSE(rig.read()) << "nobody wants it any more";
  EXPECT_EQ(rig.feed.followers(), 0U);
}

TEST(Feed, SaysWhenTheLogCannotBeReadAndTriesAgain) {
  Rig rig;
  rig.log.append("pump", 1);
  rig.start();
  Reader reader(rig.feed, begin());
  rig.log.fail(true);
  reader.step();
  rig.read();
  rig.serve();
  reader.step();
  EXPECT_EQ(reader.failures(), 1);
  rig.log.fail(false);
  rig.run(reader);
  EXPECT_THAT(reader.offsets(), ElementsAre(1));
}

// H3: a burst overruns the memory while 900 followers are somewhere in it. All of them get everything, and
// what is read and encoded for one serves the others.
TEST(Feed, NineHundredFollowersBehindABurstAreServedByTheSamePages) {
  Rig rig;
  rig.start();
  constexpr std::int64_t kApart = 5;
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<Reader*> all;
  for (int i = 0; i < 900; ++i) {
    for (std::int64_t n = 0; n < kApart; ++n) rig.log.append("pump", n);
    readers.push_back(std::make_unique<Reader>(rig.feed, after(rig.log.ends().last)));
    all.push_back(readers.back().get());
  }
  for (int i = 0; i < 1000; ++i) rig.log.append("pump", i);
  rig.feed.skip_through(rig.log.ends().last);  // it was too much for the queue
  rig.run_all(all);
  for (std::size_t i = 0; i < readers.size(); ++i) {
    const std::int64_t first = (static_cast<std::int64_t>(i) + 1) * kApart + 1;
    ASSERT_THAT(readers[i]->offsets(), ElementsAreArray(numbers(first, 5500)));
    ASSERT_EQ(readers[i]->failures(), 0);
  }
  EXPECT_LT(rig.log.reads(), 100U) << "22 pages of 256 events would be all of it, each read once";
}

// H7: catching up costs a bounded multiple of what it shows, whatever the size of events.
TEST(Feed, CatchingUpReadsAtMostFourTimesWhatItShows) {
  for (const std::size_t size : {100U, 3'000U, 64'000U}) {
    Rig rig;
    const std::size_t count = 1024 * 1024 / size;
    for (std::size_t i = 0; i < count; ++i) {
      Event event;
      event.device = "pump";
      event.batch = std::string(size, 'x');
      rig.log.append(std::move(event));
    }
    rig.start();
    Reader reader(rig.feed, begin());
    rig.run(reader);
    EXPECT_EQ(reader.seen().size(), count);
    EXPECT_LT(rig.log.bytes_read(), 4 * reader.text_bytes()) << "events of " << size;
    EXPECT_LT(rig.log.bytes_read(), std::size_t{4} * 1024 * 1024) << "events of " << size;
  }
}

// First come, first served: who has just got a page is behind those that wait.
TEST(Feed, ThoseThatAreBehindTakeTurns) {
  Rig rig({.cache_bytes_max = 1});
  for (int i = 1; i <= 5000; ++i) rig.log.append(i % 2 == 0 ? "pump" : "fan", i);
  rig.start();
  std::vector<std::unique_ptr<Reader>> readers;
  for (const char* device : {"pump", "fan", "pump"}) {
    readers.push_back(
        std::make_unique<Reader>(rig.feed, after(LogId{}), LogReader::Filter{.device = device, .types = {}}));
  }
  for (int turn = 0; turn < 30; ++turn) {
    for (const auto& reader : readers) {
      while (reader->step()) {
      }
    }
    rig.read();
    rig.serve();
  }
  for (const auto& reader : readers) EXPECT_GT(reader->seen().size(), 500U);
  EXPECT_LT(std::max({readers[0]->seen().size(), readers[1]->seen().size(), readers[2]->seen().size()}),
            2 * std::min({readers[0]->seen().size(), readers[1]->seen().size(), readers[2]->seen().size()}));
}

}  // namespace
}  // namespace godwit::gateway::test
