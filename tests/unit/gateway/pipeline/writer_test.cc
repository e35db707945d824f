// SPDX-License-Identifier: Apache-2.0
#include "gateway/pipeline/writer.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "gateway/domain/event_json.h"
#include "proto/codec/samples.h"
#include "tests/unit/gateway/pipeline/rig.h"

namespace godwit::gateway {
namespace {

using sim::Disk;
using test::FaultAt;
using test::kEpoch;
using test::Rig;
using test::up_to;

TEST(Writer, AcknowledgesAndFeedsWhatIsCommitted) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(), test::nth(kEpoch, 1), test::nth(kEpoch, 2)}));
  ASSERT_EQ(rig.acks.size(), 1U);
  EXPECT_EQ(test::next_number(rig.acks[0]), Seq{3});
  EXPECT_EQ(test::seqs(rig.feed), up_to(2));
  EXPECT_EQ(rig.stored(), up_to(2));
  EXPECT_EQ(rig.writer.stats().commits, 1U);
  EXPECT_EQ(rig.writer.stats().ingest.records, 2U);
}

TEST(Writer, RepeatsCostNoTransaction) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 1)}));
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 1)}));
  EXPECT_EQ(rig.acks.size(), 2U);
  EXPECT_EQ(rig.writer.stats().commits, 1U);
  EXPECT_EQ(rig.writer.stats().ingest.duplicates, 1U);
}

TEST(Writer, GoesOnWhereTheLastProcessStopped) {
  Disk disk(1);
  ASSERT_TRUE(Rig(disk).write({test::nth(kEpoch, 1)}));
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 1), test::nth(kEpoch, 2)}));
  EXPECT_EQ(test::next_number(rig.acks.at(0)), Seq{3});
  EXPECT_EQ(rig.stored(), up_to(2));
}

TEST(Writer, TheFirstMessageWaitsForOthersAndNoLonger) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello()}));
  rig.advance(Writer::kTick);
  rig.turn();
  rig.turn();
  EXPECT_EQ(rig.writer.wait().messages, 1U) << "nothing waits: the first message matters";
  EXPECT_EQ(rig.writer.wait().until, rig.now.at + Writer::kTick);
  rig.push(test::nth(kEpoch, 1));
  rig.turn();
  EXPECT_EQ(rig.writer.wait().until, rig.now.at + Millis{5});
  EXPECT_EQ(rig.writer.wait().messages, 2000U);
  rig.advance(Millis{4});
  rig.push(test::nth(kEpoch, 2));
  rig.turn();
  EXPECT_EQ(rig.writer.stats().commits, 1U);
  rig.advance(Millis{1});
  rig.turn();
  EXPECT_EQ(rig.writer.stats().commits, 2U);
  EXPECT_EQ(rig.stored(), up_to(2));
}

TEST(Writer, AFullBatchDoesNotWait) {
  Disk disk(1);
  Rig rig(disk, {.batch_messages = 10});
  ASSERT_TRUE(rig.write({test::hello()}));
  for (std::uint64_t seq = 1; seq <= 25; ++seq) rig.push(test::nth(kEpoch, seq));
  rig.turn();
  rig.turn();
  EXPECT_EQ(rig.stored(), up_to(20));
  EXPECT_EQ(rig.writer.stats().commits, 3U);
  EXPECT_EQ(rig.intake.messages(), 5U);
}

TEST(Writer, OneTransactionIsBoundedInBytes) {
  Disk disk(1);
  Rig rig(disk, {.batch_bytes = 50'000});
  ASSERT_TRUE(rig.write({test::hello()}));
  for (std::uint64_t seq = 1; seq <= 10; ++seq) {
    rig.push(test::nth(kEpoch, Seq{seq}, std::string(20'000, 'x')));
  }
  rig.turn();
  rig.advance(Millis{5});
  rig.turn();
  EXPECT_EQ(rig.stored(), up_to(3));
}

TEST(Writer, InAHurryItCommitsWhatWaits) {
  Disk disk(1);
  Rig rig(disk, {.batch_messages = 10});
  ASSERT_TRUE(rig.write({test::hello()}));
  for (std::uint64_t seq = 1; seq <= 35; ++seq) rig.push(test::nth(kEpoch, seq));
  rig.writer.hurry();
  while (rig.intake.messages() > 0) rig.turn();
  EXPECT_TRUE(rig.writer.idle());
  EXPECT_EQ(rig.stored(), up_to(35));
  EXPECT_EQ(test::next_number(rig.acks.back()), Seq{36});
}

// Rows that never change take next to nothing, and much in the feed.
struct Constant {
  explicit Constant(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) channels[i] = {.name = names[i], .unit = "1"};
    table = {.name = "constant", .period = Millis{1}, .channels = std::span(channels).first(count)};
  }
  Constant(const Constant&) = delete;
  Constant& operator=(const Constant&) = delete;

  [[nodiscard]] Message hello() const {
    const codec::ChannelTable* const announced = &table;
    return test::hello(test::greeting(), {&announced, 1});
  }
  [[nodiscard]] std::string batch(std::size_t rows) const {
    std::vector<codec::ChannelModel> models(table.channels.size());
    std::array<std::uint8_t, 1000> samples{};
    codec::SampleEncoder encoder(models, samples);
    const std::vector<std::int64_t> row(models.size(), 7);
    for (std::size_t i = 0; i < rows; ++i) GODWIT_ASSERT(encoder.add(row) == Status::kOk);
    std::array<std::uint8_t, 1100> out{};
    return test::payload(out, codec::encode({.table = codec::hash(table),
                                             .quality = codec::TimeQuality::kSynced,
                                             .time = Millis{test::kNow.value},
                                             .rows = static_cast<std::uint32_t>(rows),
                                             .samples = Bytes(samples).first(encoder.finish())},
                                            out));
  }

  static constexpr std::array<std::string_view, codec::kChannelsMax> names{
      "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"};
  std::array<codec::Channel, codec::kChannelsMax> channels{};
  codec::ChannelTable table;
};

// 67 bytes of a message made 33 KB of an event: 4 MB of them made followers wait for a minute.
TEST(Writer, WhatDecodesToFarMoreIsTakenAsFastAsFollowersTakeIt) {
  const Constant bomb(codec::kChannelsMax);
  const std::string batch = bomb.batch(codec::kRowsMax);
  ASSERT_LE(batch.size(), 60U);
  Disk disk(1);
  for (const bool restarted : {false, true}) {
    Rig rig(disk);
    if (!restarted) {
      ASSERT_TRUE(rig.write({bomb.hello()}));
    }
    rig.feed.clear();
    for (int i = 0; i < 200; ++i) {
      for (int j = 0; j < 60; ++j) {
        Message message = test::message(topics::Leaf::kLive, batch);
        message.received = rig.now;
        rig.intake.push(std::move(message));
      }
      rig.advance(Millis{5});
      rig.settle();
    }
    // In a second: what may be owed, what is worked off, and what waited when that showed.
    const std::size_t telemetry = test::seqs(rig.feed).size();
    EXPECT_LE(telemetry * kEventJsonMax, (1U << 20U) * 2 + 256 * kEventJsonMax) << restarted;
    EXPECT_GE(telemetry, 60U);
    EXPECT_GT(rig.intake.dropped().throttled, 10'000U);
  }
}

// An honest device that was offline for a night in which nothing changed.
TEST(Writer, RowsThatSeldomChangeAreNotHeldUp) {
  const Constant table(4);
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({table.hello(), test::mark()}));
  const std::string batch = table.batch(64);
  for (std::uint64_t seq = 1; seq <= 2'000; ++seq) {
    rig.push(test::nth(kEpoch, Seq{seq}, batch));
    if (seq % 16 != 0) continue;
    rig.advance(Millis{30});  // some 500 a second
    rig.settle();
  }
  EXPECT_EQ(rig.intake.dropped().messages, 0U);
}

TEST(Writer, LogsHostilePayloadsNowAndThenOnly) {
  Disk disk(1);
  Rig rig(disk);
  const std::vector<Message> hostile(100, test::message(topics::Leaf::kRecord, "\xff"));
  ASSERT_TRUE(rig.write(hostile));
  EXPECT_EQ(rig.log.size(), 1U);
  EXPECT_EQ(rig.writer.stats().ingest.malformed, 100U);
}

TEST(Writer, ARecordAtQos0IsMalformed) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello()}));
  rig.acks.clear();
  Message unsure = test::nth(kEpoch, 1);
  unsure.qos = 0;
  ASSERT_TRUE(rig.write({unsure}));
  EXPECT_TRUE(rig.acks.empty());
  EXPECT_EQ(rig.writer.stats().ingest.malformed, 1U);
  ASSERT_EQ(rig.log.size(), 1U);
  EXPECT_NE(rig.log[0].find("QoS 1"), std::string::npos);
}

TEST(Writer, TheLogSaysThatADeviceWasThrottled) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello()}));
  for (std::uint64_t seq = 1; seq <= 300; ++seq) {
    Message message = test::nth(kEpoch, seq);
    message.received = rig.now;
    rig.intake.push(std::move(message));
  }
  rig.advance(Millis{5});
  rig.turn();
  rig.advance(Millis{5});
  ASSERT_TRUE(rig.settle());
  EXPECT_EQ(rig.stored(), up_to(256));
  EXPECT_EQ(test::next_number(rig.acks.back()), Seq{257}) << "what was dropped is not acknowledged";
  const Event& last = rig.feed.back();
  EXPECT_EQ(last.type, EventType::kDeviceThrottled);
  EXPECT_EQ(last.device, "d1");
  EXPECT_EQ(last.count, 1U);
  EXPECT_EQ(last.throttle_reason, ThrottleReason::kQueueFull);
  const Event stored = rig.events().back();
  EXPECT_EQ(stored.type, EventType::kDeviceThrottled);
  EXPECT_EQ(stored.throttle_reason, ThrottleReason::kQueueFull);
}

TEST(Writer, ALowDiskIsForDevicesBelowATenthOfTheirDay) {
  Disk disk(1);
  Rig rig(disk, {.disk_reserve_percent = 50}, {.day_bytes = 1 << 20});
  ASSERT_TRUE(rig.write({test::hello(kEpoch, "much"), test::hello(kEpoch, "little")}));
  for (std::uint64_t seq = 1; seq <= 6; ++seq) {
    ASSERT_TRUE(rig.write({test::nth(kEpoch, Seq{seq}, std::string(20'000, 'x'), "much")}));
  }
  const auto space = *disk.space("/data");
  disk.set_capacity((space.total_bytes - space.free_bytes) * 3 / 2);
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 1, "little")}));
  EXPECT_TRUE(rig.writer.stats().disk_low);
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 2, "little")}));
  Message refused = test::nth(kEpoch, 7, "much");
  refused.received = rig.now;
  EXPECT_FALSE(rig.intake.push(std::move(refused)));
  EXPECT_TRUE(rig.write({test::nth(kEpoch, 3, "little")}));
  disk.set_capacity(space.total_bytes);
  ASSERT_TRUE(rig.write({test::nth(kEpoch, 4, "little")}));
  EXPECT_FALSE(rig.writer.stats().disk_low);
  rig.turn();
  EXPECT_TRUE(rig.write({test::nth(kEpoch, 5, "little")}));
  EXPECT_TRUE(rig.write({test::nth(kEpoch, 7, "much")}));
}

// The pauses between attempts, as values.
TEST(WriterWithAFullDisk, AcknowledgesNothingUntilThereIsRoom) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(), test::nth(kEpoch, 1)}));
  rig.acks.clear();
  rig.feed.clear();
  const auto space = *disk.space("/data");
  disk.set_capacity(space.total_bytes - space.free_bytes);

  const std::string large(64 << 10U, 'x');
  EXPECT_FALSE(rig.write({test::nth(kEpoch, Seq{2}, large), test::nth(kEpoch, Seq{3}, large)}));
  for (const int pause_ms : {100, 200, 400, 800, 1600, 3200, 5000, 5000}) {
    EXPECT_EQ(rig.writer.wait().until - rig.now.at, Millis{pause_ms});
    const std::uint64_t failed = rig.writer.stats().failed_commits;
    rig.advance(Millis{pause_ms - 1});
    rig.turn();
    EXPECT_EQ(rig.writer.stats().failed_commits, failed) << "not before it is time";
    rig.advance(Millis{1});
    rig.turn();
    EXPECT_EQ(rig.writer.stats().failed_commits, failed + 1);
  }
  EXPECT_TRUE(rig.acks.empty());
  EXPECT_TRUE(rig.feed.empty());
  EXPECT_EQ(rig.stored(), up_to(1)) << "reading goes on";
  EXPECT_FALSE(rig.writer.stats().writable);
  EXPECT_EQ(rig.log.size(), 1U) << "said once";
  rig.push(test::nth(kEpoch, 4));
  rig.turn();
  EXPECT_EQ(rig.intake.messages(), 1U) << "what comes meanwhile waits";

  disk.set_capacity(space.total_bytes);
  ASSERT_TRUE(rig.retry());
  EXPECT_EQ(test::next_number(rig.acks.at(0)), Seq{4});
  EXPECT_EQ(test::seqs(rig.feed), (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(rig.stored(), up_to(3));
  EXPECT_TRUE(rig.writer.stats().writable);
  EXPECT_EQ(rig.writer.stats().ingest.records, 3U) << "what was tried in vain is not counted";
}

TEST(WriterWithAFullDisk, InAHurryItGivesUp) {
  Disk disk(1);
  Rig rig(disk);
  const auto space = *disk.space("/data");
  disk.set_capacity(space.total_bytes - space.free_bytes);
  ASSERT_FALSE(rig.write({test::nth(kEpoch, Seq{1}, std::string(64 << 10U, 'x'))}));
  rig.writer.hurry();
  EXPECT_TRUE(rig.writer.idle());
}

std::vector<Message> a_bit_of_everything() {
  const codec::ChannelTable* const table = &test::kSystemTable;
  codec::Hello greeting = test::greeting(Epoch{5});
  greeting.boot_time = test::kNow;
  return {test::nth(kEpoch, 2), test::hello(greeting, {&table, 1}, "new"), test::nth(kEpoch, 3),
          test::message(topics::Leaf::kGone, "")};
}

// Whichever write, sync or truncation fails: nothing is acknowledged or fed, and the next attempt stores all,
// once. A sync that fails forgets what it should have written: that must not be built on.
TEST(WriterWithAFaultyDisk, RecoversFromAFaultAtEveryStep) {
  bool hit = true;
  for (int step = 0; hit; ++step) {
    SCOPED_TRACE("fault at step " + std::to_string(step));
    Disk disk(static_cast<std::uint64_t>(step));
    {
      Rig rig(disk);
      ASSERT_TRUE(rig.write({test::hello(), test::nth(kEpoch, 1)}));
      rig.acks.clear();
      rig.feed.clear();
      bool written = false;
      {
        const FaultAt fault(disk, step, Disk::Answer::kFail);
        written = rig.write(a_bit_of_everything());
        hit = fault.hit();
      }
      EXPECT_EQ(written, !hit);
      if (!written) {
        EXPECT_TRUE(rig.acks.empty());
        EXPECT_TRUE(rig.feed.empty());
        ASSERT_TRUE(rig.retry());
      }
      EXPECT_EQ(rig.stored(), up_to(3));
      EXPECT_EQ(rig.acks.size(), 2U);
      EXPECT_EQ(rig.feed.size(), 5U);  // two records, epoch and online of the new device, offline
      EXPECT_FALSE(rig.store.reader().device("d1")->online);
      EXPECT_NE(rig.store.reader().table("new", codec::hash(test::kSystemTable)), nullptr);
      disk.kill();
    }
    disk.crash(std::nullopt);
    EXPECT_EQ(Rig(disk).stored(), up_to(3));
  }
}

// The broker's session began, so wills may have been missed; then the disk fails for a while.
TEST(WriterWithAFaultyDisk, ADeviceThatDiedUnseenGoesOfflineThoughACommitFailed) {
  Disk disk(1);
  Rig rig(disk);
  ASSERT_TRUE(rig.write({test::hello(kEpoch, "silent"), test::hello(kEpoch, "alive")}));
  rig.intake.session_started();
  ASSERT_TRUE(rig.settle());
  {
    const FaultAt fault(disk, 0, Disk::Answer::kFail);
    ASSERT_FALSE(rig.write({test::nth(kEpoch, 1, "alive")}));
  }
  ASSERT_TRUE(rig.retry());
  for (int second = 0; second < 70; ++second) {
    rig.advance(Millis{1000});
    ASSERT_TRUE(rig.settle());
  }
  EXPECT_FALSE(rig.store.reader().device("silent")->online);
  EXPECT_TRUE(rig.store.reader().device("alive")->online);
}

// As a device would drive it, on a disk that fails now and then, through crashes now and then.
TEST(WriterWithAFaultyDisk, StoresEachRecordOnceAndInOrderThroughFaultsAndCrashes) {
  constexpr std::array kAnswers{Disk::Answer::kFail, Disk::Answer::kFull, Disk::Answer::kDie};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    constexpr std::uint64_t kRecords = 60;
    Disk disk(seed);
    auto rig = std::make_unique<Rig>(disk);
    std::uint64_t acked = 1;
    for (int turn = 0; turn < 2000 && acked <= kRecords; ++turn) {
      std::vector<Message> messages;
      for (std::uint64_t seq = acked; seq < acked + 6 && seq <= kRecords; ++seq) {
        for (auto copies = random() % 3; copies > 0; --copies) messages.push_back(test::nth(kEpoch, seq));
      }
      const bool faulty = random() % 2 == 0;
      const FaultAt fault(disk, faulty ? static_cast<int>(random() % 12) : -1,
                          kAnswers[random() % kAnswers.size()]);
      rig->acks.clear();
      if (!rig->write(messages) && !disk.dead()) rig->retry();
      for (const AckTo& entry : rig->acks) acked = std::max(acked, test::next_number(entry).value);
      if (!disk.dead() && random() % 5 != 0) continue;
      disk.kill();
      rig.reset();
      disk.crash(random());
      disk.set_hook(nullptr);
      rig = std::make_unique<Rig>(disk);
      ASSERT_GE(rig->stored().size() + 1, acked);
    }
    ASSERT_EQ(rig->stored(), up_to(kRecords));
  }
}

}  // namespace
}  // namespace godwit::gateway
