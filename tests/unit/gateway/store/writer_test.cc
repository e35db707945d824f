// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <random>

#include "tests/support/process.h"
#include "tests/unit/gateway/messages.h"
#include "tests/unit/gateway/store/faulty_vfs.h"

namespace godwit::gateway {
namespace {

using godwit::test::TempDir;
using test::FaultyVfs;
using test::kEpoch;
using test::kNow;

// A gateway without its edges: what would leave it is kept.
struct Gateway {
  explicit Gateway(const std::filesystem::path& directory, Writer::Options options = {})
      : store(directory),
        writer(
            store, inbox, options,
            {.acks =
                 [this](std::span<const AckTo> sent) { acks.insert(acks.end(), sent.begin(), sent.end()); },
             .feed =
                 [this](std::span<const Event> events) {
                   // Durable before visible: another connection sees what is fed.
                   EXPECT_EQ(store.reader().ends().last.offset, events.back().offset);
                   feed.insert(feed.end(), events.begin(), events.end());
                 }},
            [this](LogLevel, std::string_view line) { log.emplace_back(line); }) {}

  bool write(const std::vector<Message>& messages) { return writer.write(messages, kNow); }

  std::vector<AckTo> acks;
  std::vector<Event> feed;
  std::vector<std::string> log;
  Store store;
  Inbox inbox{{}};
  Writer writer;
};

std::vector<std::uint64_t> seqs(const std::vector<Event>& events) {
  std::vector<std::uint64_t> result;
  for (const Event& event : events) {
    if (event.type == EventType::kTelemetry) result.push_back(event.seq.value);
  }
  return result;
}

std::vector<std::uint64_t> stored(const Gateway& gateway) {
  return seqs(gateway.store.reader().read({0}, {}, {.events = 10'000}).events);
}

std::vector<std::uint64_t> up_to(std::uint64_t last) {
  std::vector<std::uint64_t> result;
  for (std::uint64_t seq = 1; seq <= last; ++seq) result.push_back(seq);
  return result;
}

TEST(Writer, AcknowledgesAndFeedsWhatIsCommitted) {
  const TempDir dir;
  Gateway gateway(dir.path());
  ASSERT_TRUE(gateway.write({test::hello(), test::record(kEpoch, 1), test::record(kEpoch, 2)}));
  ASSERT_EQ(gateway.acks.size(), 1U);
  EXPECT_EQ(gateway.acks[0].ack.next_seq, Seq{3});
  EXPECT_EQ(seqs(gateway.feed), up_to(2));
  EXPECT_EQ(stored(gateway), up_to(2));
  EXPECT_EQ(gateway.writer.stats().commits, 1U);
  EXPECT_EQ(gateway.writer.stats().ingest.records, 2U);
}

TEST(Writer, RepeatsCostNoTransaction) {
  const TempDir dir;
  Gateway gateway(dir.path());
  ASSERT_TRUE(gateway.write({test::record(kEpoch, 1)}));
  ASSERT_TRUE(gateway.write({test::record(kEpoch, 1)}));
  EXPECT_EQ(gateway.acks.size(), 2U);
  EXPECT_EQ(gateway.writer.stats().commits, 1U);
  EXPECT_EQ(gateway.writer.stats().ingest.duplicates, 1U);
}

TEST(Writer, GoesOnWhereTheLastProcessStopped) {
  const TempDir dir;
  {
    ASSERT_TRUE(Gateway(dir.path()).write({test::record(kEpoch, 1)}));
  }
  Gateway gateway(dir.path());
  ASSERT_TRUE(gateway.write({test::record(kEpoch, 1), test::record(kEpoch, 2)}));
  EXPECT_EQ(gateway.acks.at(0).ack.next_seq, Seq{3});
  EXPECT_EQ(stored(gateway), up_to(2));
}

TEST(Writer, StopCommitsWhatWasTakenIn) {
  const TempDir dir;
  Gateway gateway(dir.path());
  gateway.writer.start();
  for (std::uint64_t seq = 1; seq <= 500; ++seq) ASSERT_TRUE(gateway.inbox.push(test::record(kEpoch, seq)));
  gateway.writer.stop();
  EXPECT_EQ(stored(gateway), up_to(500));
  EXPECT_EQ(gateway.acks.back().ack.next_seq, Seq{501});
  EXPECT_LE(gateway.writer.stats().commits, 500U);
}

TEST(Writer, LogsHostilePayloadsNowAndThenOnly) {
  const TempDir dir;
  Gateway gateway(dir.path());
  const std::vector<Message> hostile(100, test::message(topics::Leaf::kRecord, "\xff"));
  ASSERT_TRUE(gateway.write(hostile));
  EXPECT_EQ(gateway.log.size(), 1U);
  EXPECT_EQ(gateway.writer.stats().ingest.malformed, 100U);
}

// The file size limit of this process stands for a disk that is really full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit full{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
};

TEST(WriterWithAFullDisk, AcknowledgesNothingUntilThereIsRoom) {
  const TempDir dir;
  Gateway gateway(dir.path());
  ASSERT_TRUE(gateway.write({test::hello(), test::record(kEpoch, 1)}));
  gateway.acks.clear();
  gateway.feed.clear();
  const std::string large(64 << 10U, 'x');
  const std::vector<Message> messages{test::record(kEpoch, Seq{2}, large),
                                      test::record(kEpoch, Seq{3}, large)};
  {
    const FullDisk disk(std::filesystem::file_size(dir.path() / "godwit.db-wal"));
    for (int attempt = 0; attempt < 3; ++attempt) EXPECT_FALSE(gateway.write(messages));
    EXPECT_TRUE(gateway.acks.empty());
    EXPECT_TRUE(gateway.feed.empty());
    EXPECT_EQ(stored(gateway), up_to(1)) << "reading goes on";
    EXPECT_FALSE(gateway.writer.stats().writable);
    EXPECT_EQ(gateway.writer.stats().failed_commits, 3U);
    EXPECT_EQ(gateway.log.size(), 1U) << "said once";
  }
  ASSERT_TRUE(gateway.write(messages));
  EXPECT_EQ(gateway.acks.at(0).ack.next_seq, Seq{4});
  EXPECT_EQ(seqs(gateway.feed), (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(stored(gateway), up_to(3));
  EXPECT_TRUE(gateway.writer.stats().writable);
  EXPECT_EQ(gateway.writer.stats().ingest.records, 3U) << "what was tried in vain is not counted";
}

// Whichever write, sync or truncation fails: nothing is acknowledged or fed, and the next try stores all,
// once.
TEST(WriterWithAFaultyDisk, RecoversFromAFaultAtEveryStep) {
  const FaultyVfs vfs;
  const codec::ChannelTable* const table = &test::kSystemTable;
  codec::Hello greeting;
  greeting.epoch = Epoch{5};
  greeting.oldest_seq = greeting.next_seq = kFirstSeq;
  greeting.boot_time = kNow;
  const std::vector<Message> messages{test::record(kEpoch, 2), test::hello(greeting, {&table, 1}, "new"),
                                      test::record(kEpoch, 3), test::message(topics::Leaf::kGone, "")};
  for (int step = 0;; ++step) {
    SCOPED_TRACE("fault at step " + std::to_string(step));
    const TempDir dir;
    Gateway gateway(dir.path());
    ASSERT_TRUE(gateway.write({test::hello(), test::record(kEpoch, 1)}));
    gateway.acks.clear();
    gateway.feed.clear();

    FaultyVfs::fail_at(step, FaultyVfs::Fault::kOnce);
    const bool written = gateway.write(messages);
    const bool faulted = FaultyVfs::has_failed();
    FaultyVfs::disarm();
    EXPECT_EQ(written, !faulted);
    if (!written) {
      EXPECT_TRUE(gateway.acks.empty());
      EXPECT_TRUE(gateway.feed.empty());
      ASSERT_TRUE(gateway.write(messages));
    }
    EXPECT_EQ(stored(gateway), up_to(3));
    EXPECT_EQ(gateway.acks.size(), 2U);
    EXPECT_EQ(gateway.feed.size(), 5U);  // two records, epoch and online of the new device, offline
    EXPECT_FALSE(gateway.store.reader().device("d1")->online);
    EXPECT_NE(gateway.store.reader().table("new", codec::hash(*table)), nullptr);
    if (!faulted) return;
  }
}

// The broker's session began, so wills may have been missed; then the disk fails, and with the rules' state
// goes the knowledge of who is still to be heard.
TEST(WriterWithAFaultyDisk, ADeviceThatDiedUnseenGoesOfflineThoughACommitFailed) {
  const FaultyVfs vfs;
  const TempDir dir;
  Gateway gateway(dir.path());
  ASSERT_TRUE(gateway.write({test::hello(kEpoch, "silent"), test::hello(kEpoch, "alive")}));
  gateway.inbox.session_started();
  ASSERT_TRUE(gateway.write({}));
  gateway.acks.clear();

  const std::vector<Message> messages{test::record(kEpoch, 1, "alive")};
  FaultyVfs::fail_at(0, FaultyVfs::Fault::kOnce);
  ASSERT_FALSE(gateway.write(messages));
  FaultyVfs::disarm();
  ASSERT_TRUE(gateway.write(messages));
  EXPECT_EQ(gateway.acks.size(), 2U) << "both are asked again whether they are there";
  ASSERT_TRUE(gateway.writer.write({}, UnixMillis{kNow.value + Ingest::kSilenceMax.count()}));
  EXPECT_FALSE(gateway.store.reader().device("silent")->online);
  EXPECT_TRUE(gateway.store.reader().device("alive")->online);
}

// The process dies in the middle of a commit: the next one finds all of it or nothing, and repeats do no
// harm.
TEST(WriterWithAFaultyDisk, ACrashAtAnyStepLeavesWholeTransactions) {
  const FaultyVfs vfs;
  for (int step = 0;; ++step) {
    SCOPED_TRACE("crash at step " + std::to_string(step));
    const TempDir dir;
    bool crashed = false;
    std::uint64_t acked = 1;
    {
      Gateway gateway(dir.path());
      ASSERT_TRUE(gateway.write({test::hello(), test::record(kEpoch, 1)}));
      FaultyVfs::fail_at(step, FaultyVfs::Fault::kForever);
      gateway.write({test::record(kEpoch, 2), test::record(kEpoch, 3)});
      gateway.write({test::record(kEpoch, 2), test::record(kEpoch, 3), test::record(kEpoch, 4)});
      acked = gateway.acks.back().ack.next_seq.value;
      crashed = FaultyVfs::has_failed();
    }
    FaultyVfs::disarm();
    Gateway gateway(dir.path());
    const std::size_t found = stored(gateway).size();
    EXPECT_GE(found + 1, acked) << "what was acknowledged is there";
    EXPECT_NE(found, 2U) << "half a transaction";
    ASSERT_TRUE(gateway.write({test::record(kEpoch, 1), test::record(kEpoch, 2), test::record(kEpoch, 3),
                               test::record(kEpoch, 4)}));
    EXPECT_EQ(stored(gateway), up_to(4));
    if (!crashed) return;
  }
}

// As a device would drive it, on a disk that fails now and then, through processes that die now and then.
TEST(WriterWithAFaultyDisk, StoresEachRecordOnceAndInOrderThroughFaultsAndCrashes) {
  const FaultyVfs vfs;
  for (unsigned seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr std::uint64_t kRecords = 60;
    const TempDir dir;
    auto gateway = std::make_unique<Gateway>(dir.path());
    std::uint64_t acked = 1;
    for (int turn = 0; turn < 2000 && acked <= kRecords; ++turn) {
      std::vector<Message> messages;
      for (std::uint64_t seq = acked; seq < acked + 6 && seq <= kRecords; ++seq) {
        for (auto copies = random() % 3; copies > 0; --copies) messages.push_back(test::record(kEpoch, seq));
      }
      const bool crash = random() % 5 == 0;
      if (random() % 2 == 0) {
        FaultyVfs::fail_at(static_cast<int>(random() % 12),
                           crash ? FaultyVfs::Fault::kForever : FaultyVfs::Fault::kOnce);
      }
      gateway->acks.clear();
      gateway->write(messages);
      gateway->store.checkpoint();
      for (const AckTo& entry : gateway->acks) acked = std::max(acked, entry.ack.next_seq.value);
      if (crash) {
        gateway.reset();
        FaultyVfs::disarm();
        gateway = std::make_unique<Gateway>(dir.path());
      }
      FaultyVfs::disarm();
    }
    ASSERT_EQ(stored(*gateway), up_to(kRecords));
  }
}

}  // namespace
}  // namespace godwit::gateway
