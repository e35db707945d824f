// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/writer_thread.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "gateway/domain/clock.h"
#include "tests/support/process.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::app {
namespace {

using gateway::Message;
using gateway::Store;
using gateway::test::kEpoch;
using godwit::test::TempDir;

// The greatest seq acknowledged.
class Acks {
 public:
  gateway::Writer::Callbacks callbacks() {
    return {.acks =
                [this](std::span<const gateway::AckTo> acks) {
                  const std::lock_guard lock(mutex_);
                  next_ = acks.back().ack.next_seq;
                  changed_.notify_all();
                },
            .feed = {}};
  }
  bool wait_for(Seq next) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds{20}, [&] { return next_ >= next; });
  }
  Seq next() {
    const std::lock_guard lock(mutex_);
    return next_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Seq next_{0};
};

// Its hello and the mark at seq 1.
void introduce(WriterThread& writer) {
  for (Message& message : gateway::test::introduction()) {
    message.received = gateway::received_now();
    ASSERT_TRUE(writer.push(std::move(message)));
  }
}

Message record(std::uint64_t seq) {
  Message message = gateway::test::record(kEpoch, seq);
  message.received = gateway::received_now();
  return message;
}

std::size_t stored(const Store& store) {
  return store.reader()
      .read({0}, {.device = "d1", .types = {gateway::EventType::kTelemetry}}, {.events = 10'000})
      .events.size();
}

TEST(WriterThread, CommitsWhatIsPushedAndAcknowledgesIt) {
  const TempDir dir;
  Store store(dir.path());
  Acks acks;
  WriterThread writer(store, {}, {}, acks.callbacks(), [](gateway::LogLevel, std::string_view) {});
  writer.start();
  introduce(writer);
  for (std::uint64_t seq = 2; seq <= 100; ++seq) ASSERT_TRUE(writer.push(record(seq)));
  EXPECT_TRUE(acks.wait_for(Seq{101}));
  EXPECT_EQ(stored(store), 99U);
  for (std::uint64_t seq = 101; seq <= 200; ++seq) ASSERT_TRUE(writer.push(record(seq)));
  EXPECT_TRUE(acks.wait_for(Seq{201}));
}

TEST(WriterThread, TellsWhatWaitsAndHowLongCommitsTook) {
  const TempDir dir;
  Store store(dir.path());
  Acks acks;
  WriterThread writer(store, {}, {}, acks.callbacks(), [](gateway::LogLevel, std::string_view) {});
  introduce(writer);
  ASSERT_TRUE(writer.push(record(2)));
  EXPECT_EQ(writer.load().messages, gateway::test::introduction().size() + 1);
  EXPECT_GT(writer.load().bytes, writer.load().messages * gateway::Intake::kMessageCost);
  EXPECT_EQ(writer.load().commit_time.count(), 0);
  writer.start();
  ASSERT_TRUE(acks.wait_for(Seq{3}));
  writer.stop();
  EXPECT_EQ(writer.load().messages, 0U);
  EXPECT_EQ(writer.load().bytes, 0U);
  EXPECT_GT(writer.load().commit_time.count(), 0);
  EXPECT_GT(store.sizes().database_bytes + store.sizes().wal_bytes, 0U);
  EXPECT_GT(store.sizes().disk_free_bytes.value_or(0), 0U);
}

TEST(WriterThread, StopCommitsWhatWasTakenInAndTakesNoMore) {
  const TempDir dir;
  Store store(dir.path());
  Acks acks;
  // Nothing would be due for long.
  WriterThread writer(store, {}, {.gather = Millis{3'600'000}}, acks.callbacks(),
                      [](gateway::LogLevel, std::string_view) {});
  writer.start();
  introduce(writer);
  for (std::uint64_t seq = 2; seq <= 200; ++seq) ASSERT_TRUE(writer.push(record(seq)));
  writer.stop();
  EXPECT_EQ(stored(store), 199U);
  EXPECT_EQ(acks.next(), Seq{201});
  EXPECT_FALSE(writer.push(record(201)));
  EXPECT_EQ(writer.stats().ingest.records, 199U);
}

TEST(WriterThread, AnIdleOneStopsAtOnce) {
  const TempDir dir;
  Store store(dir.path());
  WriterThread writer(store, {}, {}, {}, [](gateway::LogLevel, std::string_view) {});
  writer.start();
  writer.stop();
  writer.stop();
  EXPECT_EQ(stored(store), 0U);
}

}  // namespace
}  // namespace godwit::app
