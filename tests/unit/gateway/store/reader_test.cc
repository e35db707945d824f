// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "tests/unit/gateway/store/feeder.h"

namespace godwit::gateway {
namespace {

using test::all_events;
using test::database;
using test::execute;
using test::Feeder;
using test::introduced;
using test::kEpoch;
using test::kNow;
using test::seqs;
using test::TempDir;

// `count` events at once, which are cheaper than through Ingest.
void append_offline(const TempDir& dir, int count) {
  execute(database(dir),
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
              std::to_string(count) +
              ") INSERT INTO log (type, device, received_at, epoch, seq) SELECT 5, 1, 0, 1, i FROM n");
}

TEST(StoreReader, ARowThatNoGatewayWroteIsAGap) {
  for (const char* change :
       {"UPDATE log SET type = 0 WHERE offset = 3", "UPDATE log SET type = 11 WHERE offset = 3",
        "UPDATE log SET type = 31 WHERE offset = 3", "UPDATE log SET device = 77 WHERE offset = 3",
        "DELETE FROM log WHERE offset = 3"}) {
    const TempDir dir;
    Store store(dir.path());
    Feeder(store).commit(introduced({test::record(kEpoch, 2), test::record(kEpoch, 3)}));
    execute(database(dir), change);
    const LogPage before = store.reader().read({0}, {}, {});
    EXPECT_EQ(before.events.size(), 2U) << change;
    EXPECT_TRUE(before.more) << change;
    EXPECT_EQ(before.through.offset, LogOffset{2}) << change;
    const LogPage page = store.reader().read({2}, {}, {});
    ASSERT_TRUE(page.gap.has_value()) << change;
    EXPECT_EQ(page.gap->reason, GapReason::kDamaged) << change;
    EXPECT_EQ(page.gap->from, LogOffset{3}) << change;
    EXPECT_EQ(page.gap->to, LogOffset{3}) << change;
    EXPECT_EQ(page.gap->next, (LogId{.offset = {3}, .term = {1}})) << change;
    EXPECT_EQ(seqs(page.events), (std::vector<std::uint64_t>{3})) << change;
  }
}

TEST(StoreReader, RowsThatAreMissingAtTheEndAreAGapToo) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit(introduced({test::record(kEpoch, 2), test::record(kEpoch, 3)}));
  execute(database(dir), "DELETE FROM log WHERE offset > 2");
  const LogPage page = store.reader().read({2}, {}, {});
  ASSERT_TRUE(page.gap.has_value());
  EXPECT_EQ(page.gap->from, LogOffset{3});
  EXPECT_EQ(page.gap->to, LogOffset{4});
  EXPECT_EQ(page.through.offset, LogOffset{4});
  EXPECT_FALSE(page.more);
}

TEST(StoreReader, APageEndsAtItsBounds) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  for (const char* const device : {"a", "b"}) feeder.commit(test::introduction(kEpoch, device));
  for (std::uint64_t seq = 4; seq < 24; ++seq) {
    feeder.commit({test::record(kEpoch, Seq{seq / 2}, std::string(1000, 'x'), seq % 2 == 0 ? "a" : "b")});
  }
  const LogReader& reader = store.reader();
  const LogOffset last = reader.ends().last.offset;
  for (const LogReader::Filter& filter :
       {LogReader::Filter{}, LogReader::Filter{.device = "a", .types = {}},
        LogReader::Filter{.device = "", .types = {EventType::kTelemetry}},
        LogReader::Filter{.device = "", .types = {EventType::kEpoch, EventType::kDeviceOnline}}}) {
    const std::vector<Event> all = reader.read({0}, filter, {}).events;
    const LogPage exact = reader.read({0}, filter, {.events = all.size()});
    EXPECT_FALSE(exact.more) << "nothing is left that passes";
    EXPECT_EQ(exact.through.offset, last);
    const LogPage less = reader.read({0}, filter, {.events = all.size() - 1});
    EXPECT_TRUE(less.more);
    EXPECT_EQ(less.through.offset, all[all.size() - 2].offset);
    const LogPage early = reader.read({0}, filter, {.up_to = all[1].offset});
    EXPECT_EQ(early.events.size(), 2U);
    EXPECT_EQ(early.through.offset, all[1].offset);
  }
  const LogPage bytes = reader.read({0}, {.device = "a", .types = {EventType::kTelemetry}}, {.bytes = 2500});
  EXPECT_EQ(bytes.events.size(), 3U) << "the one that goes beyond is the last";
  EXPECT_TRUE(bytes.more);
}

TEST(StoreReader, ARareFilterIsFoundByAnIndex) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit(introduced({test::loss(kEpoch, 2, 1)}));
  append_offline(dir, 200000);
  Feeder(store).commit({test::hello(), test::loss(kEpoch, 3, 1)});
  for (const LogReader::Filter& filter :
       {LogReader::Filter{.device = "", .types = {EventType::kLoss}},
        LogReader::Filter{.device = "d1", .types = {EventType::kLoss}},
        LogReader::Filter{.device = "d1", .types = {EventType::kTelemetry, EventType::kLoss}}}) {
    int questions = 0;
    const LogPage page = store.reader().read({0}, filter, {.give_up = [&] {
                                               ++questions;
                                               return false;
                                             }});
    EXPECT_EQ(page.events.size(), 2U);
    EXPECT_LE(questions, 2) << "thousands of SQLite's steps, not millions";
  }
}

TEST(StoreReader, AReadThatGivesUpShowsWhatItHasAndWhereToGoOn) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
  append_offline(dir, 50000);
  Feeder(store).commit({test::hello(), test::record(kEpoch, 3)});
  const LogReader::Filter filter{.device = "", .types = {EventType::kTelemetry}};  // reads the log row by row
  std::vector<std::uint64_t> found;
  LogOffset after;
  int pages = 0;
  for (bool more = true; more; ++pages) {
    int questions = 0;
    const LogPage page = store.reader().read(after, filter, {.give_up = [&] { return ++questions > 40; }});
    for (const std::uint64_t seq : seqs(page.events)) found.push_back(seq);
    ASSERT_GT(page.through.offset, after);
    after = page.through.offset;
    more = page.more;
  }
  EXPECT_EQ(found, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_GT(pages, 2);
  EXPECT_EQ(after, store.reader().ends().last.offset);
}

// How many times this process has the database open.
std::size_t connections_to(const std::filesystem::path& file) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the directory that is being read
    if (std::filesystem::read_symlink(entry.path(), gone) == file) ++count;
  }
  return count;
}

TEST(StoreReader, ReadsBeyondItsConnectionsWaitForOneAnother) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
  append_offline(dir, 1000);
  const std::size_t before = connections_to(database(dir));
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t inside = 0;
  std::size_t most = 0;
  const PageBounds bounds{.events = 10'000, .give_up = [&] {
                            thread_local bool waited = false;
                            if (std::exchange(waited, true)) return false;
                            std::unique_lock lock(mutex);
                            most = std::max(most, ++inside);
                            changed.notify_all();
                            changed.wait(lock, [&] { return most >= 8; });
                            --inside;
                            return false;
                          }};
  std::vector<std::thread> readers;
  std::atomic<int> complete = 0;
  for (int i = 0; i < 20; ++i) {
    readers.emplace_back([&] {
      if (store.reader().read({0}, {}, bounds).events.size() == 1003) ++complete;
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(complete, 20);
  EXPECT_EQ(most, 8U);
  EXPECT_EQ(connections_to(database(dir)) - before, 8U);
}

TEST(StoreReader, AConnectionThatCannotBeOpenedIsNotCounted) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit({test::hello()});
  const auto away = dir.path() / "away";
  std::filesystem::rename(database(dir), away);
  for (int i = 0; i < 20; ++i) EXPECT_THROW((void)store.reader().ends(), StoreError);
  std::filesystem::rename(away, database(dir));
  EXPECT_EQ(store.reader().ends().last.offset, LogOffset{1});
}

TEST(StoreReader, ATableIsReadOnce) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit({test::hello()});
  const std::uint32_t hash = codec::hash(test::kSystemTable);
  EXPECT_EQ(store.reader().table("d1", hash), store.reader().table("d1", hash));
}

TEST(StoreReader, InterruptEndsReadsUnderWayAndLaterOnes) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
  append_offline(dir, 5000);
  const PageBounds bounds{.events = 10'000, .give_up = [&] {
                            store.interrupt_reads();
                            return false;
                          }};
  EXPECT_LT(store.reader().read({0}, {}, bounds).events.size(), 5000U);
  EXPECT_THROW((void)store.reader().ends(), StoreError);
  EXPECT_THROW((void)store.reader().device("d1"), StoreError);
}

TEST(StoreReader, FiltersByDeviceAndType) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  feeder.commit(test::introduction(kEpoch, "a"));
  feeder.commit(test::introduction(kEpoch, "b"));
  feeder.commit({test::record(kEpoch, 2, "a"), test::record(kEpoch, 2, "b"), test::loss(kEpoch, 3, 1, "a"),
                 test::loss(kEpoch, 3, 1, "b"), test::message(topics::Leaf::kGone, "", "a")});
  EXPECT_EQ(all_events(store).size(), 9U);
  EXPECT_EQ(all_events(store, {.device = "a", .types = {}}).size(), 5U);
  EXPECT_EQ(all_events(store, {.device = "nobody", .types = {}}).size(), 0U);
  EXPECT_EQ(all_events(store, {.device = "", .types = {EventType::kTelemetry}}).size(), 2U);
  EXPECT_EQ(all_events(store, {.device = "b", .types = {EventType::kTelemetry, EventType::kEpoch}}).size(),
            2U);
  EXPECT_EQ(all_events(store, {.device = "", .types = {EventType::kLoss}}).size(), 2U);
  EXPECT_EQ(all_events(store, {.device = "a", .types = {EventType::kLoss, EventType::kDeviceOffline}}).size(),
            2U);
  EXPECT_EQ(store.reader().read({8}, {}, {}).events.size(), 1U);
}

TEST(StoreReader, ShowsDevicesInOrderOfTheirNames) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  feeder.commit({test::hello(kEpoch, "c"), test::hello(kEpoch, "a"), test::hello(kEpoch, "b"),
                 test::mark(kEpoch, 1, "b"), test::record(kEpoch, 2, "b", test::received(5)),
                 test::loss(kEpoch, 3, 3, "b", test::received(7))});
  feeder.flush_seen();
  const LogReader& reader = store.reader();
  const auto first = reader.devices_after("", 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].id, "a");
  EXPECT_EQ(first[0].stream, std::nullopt) << "it has recorded nothing yet";
  EXPECT_EQ(first[1].id, "b");
  EXPECT_EQ(reader.devices_after("b", 2).at(0).id, "c");
  EXPECT_TRUE(reader.devices_after("c", 2).empty());

  const auto b = reader.device("b");
  ASSERT_TRUE(b.has_value());
  EXPECT_TRUE(b->online);
  EXPECT_EQ(b->first_seen, kNow);
  EXPECT_EQ(b->last_seen, UnixMillis{kNow.value + 7});
  ASSERT_TRUE(b->stream.has_value());
  EXPECT_EQ(b->stream->next_seq, Seq{6});
  EXPECT_EQ(b->stream->records, 1U);
  EXPECT_EQ(b->stream->lost_records, 3U);
  EXPECT_FALSE(reader.device("nobody").has_value());
}

TEST(StoreReader, ShowsWhenADeviceWasLastHeard) {
  const TempDir dir;
  Store store(dir.path());
  Ingest ingest({}, {});
  const auto commit = [&] {
    Changes changes = ingest.take();
    store.commit(changes);
    (void)ingest.committed(std::move(changes));
  };
  ASSERT_EQ(ingest.handle(test::hello()), Status::kOk);
  commit();
  ASSERT_EQ(ingest.handle(test::hello(kEpoch, "d1", test::received(60'000))), Status::kOk);
  ingest.tick(test::received(60'000));
  commit();
  EXPECT_EQ(store.reader().device("d1")->last_seen, UnixMillis{kNow.value + 60'000});
}

TEST(StoreReader, ShowsWhatADeviceCountedAlsoAfterARestart) {
  const TempDir dir;
  codec::Hello hello = test::greeting();
  {
    Store store(dir.path());
    Feeder feeder(store);
    feeder.commit({test::hello(hello, {})});
    hello.refused_records = 3;
    hello.missed_samples = 9;
    feeder.commit({test::hello(hello, {})});
  }
  Store store(dir.path());
  const auto expected = DeviceCounters{.refused_records = 3, .missed_samples = 9};
  const auto devices = store.reader().devices_after("", 1);
  ASSERT_EQ(devices.size(), 1U);
  EXPECT_EQ(devices[0].counters, expected);
  EXPECT_EQ(store.load().at(0).row.report.counters, expected);
}

TEST(StoreReader, KnowsTablesBootsAndTheNewestOfEachTable) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  const codec::ChannelTable* const table = &test::kSystemTable;
  codec::Hello greeting = test::greeting();
  greeting.boot_time = UnixMillis{1000};
  const LogReader& reader = store.reader();
  const std::uint32_t hash = codec::hash(test::kSystemTable);
  EXPECT_EQ(reader.table("d1", hash), nullptr);

  feeder.commit({test::hello(greeting, {&table, 1}), test::mark(), test::record(kEpoch, 2)});
  feeder.commit({test::record(kEpoch, 3)});
  const auto info = reader.table("d1", hash);
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->name, "system");
  EXPECT_EQ(info->period_ms, 1000U);
  ASSERT_EQ(info->channels.size(), 2U);
  EXPECT_EQ(info->channels[0].name, "cpu");
  EXPECT_EQ(info->channels[0].unit, "%");
  EXPECT_EQ(info->channels[0].exponent, -2);
  EXPECT_EQ(info->channels[0].max, 10'000);
  EXPECT_EQ(reader.table("d2", hash), nullptr) << "each device announces its own";
  EXPECT_EQ(reader.boot_time("d1", kEpoch), (BootTime{{1000}, codec::TimeQuality::kSynced}));
  EXPECT_EQ(reader.boot_time("d1", Epoch{1}), std::nullopt);
  EXPECT_EQ(reader.boot_time("d2", kEpoch), std::nullopt);
  EXPECT_EQ(seqs(reader.latest("d1")), std::vector<std::uint64_t>{3});
  EXPECT_TRUE(reader.latest("d2").empty());
}

TEST(StoreReader, KnowsOfAConflictOfTablesAsSoonAsItIsCommitted) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit({test::hello()});
  const std::uint32_t hash = codec::hash(test::kSystemTable);
  EXPECT_EQ(store.reader().table("d1", hash)->conflict, std::nullopt);
  execute(database(dir), "UPDATE tables SET digest = digest + 1");  // as if of another table
  Feeder(store).commit({test::hello()});
  EXPECT_EQ(all_events(store).back().type, EventType::kTableConflict);
  EXPECT_EQ(store.reader().table("d1", hash)->conflict, all_events(store).back().offset);
  EXPECT_TRUE(store.load().at(0).tables.at(0).conflict);
}

TEST(StoreReader, PagesNeitherSkipNorRepeatWhileTheLogGrows) {
  const TempDir dir;
  Store store(dir.path());
  constexpr std::uint64_t kRecords = 400;
  std::thread writer([&store] {
    Feeder feeder(store);
    feeder.commit(test::introduction());
    for (std::uint64_t seq = 2; seq <= kRecords; seq += 4) {
      feeder.commit({test::record(kEpoch, seq), test::record(kEpoch, seq + 1), test::record(kEpoch, seq + 2),
                     test::record(kEpoch, seq + 3)});
    }
  });
  const auto follow = [&store](const LogReader::Filter& filter) {
    std::vector<std::uint64_t> read;
    LogOffset after;
    while (read.size() < kRecords) {
      const auto page = store.reader().read(after, filter, {.events = 7}).events;
      for (const std::uint64_t seq : seqs(page)) read.push_back(seq);
      if (!page.empty()) after = page.back().offset;
    }
    return read;
  };
  std::vector<std::uint64_t> of_device;
  std::thread second([&] { of_device = follow({.device = "d1", .types = {EventType::kTelemetry}}); });
  const std::vector<std::uint64_t> of_all = follow({});
  writer.join();
  second.join();
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    ASSERT_EQ(of_all[i], i + 2);
    ASSERT_EQ(of_device[i], i + 2);
  }
}

// What a device says is lost is bounded for each of its streams, not for their sum.
TEST(StoreReader, ADeviceThatClaimsEndlessLossesIsShownAndHidesNobody) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  feeder.commit(test::introduction(kEpoch, "honest"));
  for (const Epoch epoch : {Epoch{1}, Epoch{2}, Epoch{3}}) {
    feeder.commit({test::hello(epoch, "evil"), test::loss(epoch, 1, kSeqMax - 1, "evil")});
  }
  const std::vector<DeviceInfo> devices = store.reader().devices_after("", 10);
  ASSERT_EQ(devices.size(), 2U);
  EXPECT_EQ(devices[0].stream->next_seq, Seq{kSeqMax});
  EXPECT_EQ(devices[1].id, "honest");
}

}  // namespace
}  // namespace godwit::gateway
