// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <utility>

#include "gateway/domain/hello.h"
#include "sim/disk/disk.h"
#include "tests/unit/gateway/store/feeder.h"

namespace godwit::gateway {
namespace {

using godwit::test::read_file;
using test::all_events;
using test::database;
using test::execute;
using test::Feeder;
using test::introduced;
using test::kEpoch;
using test::kNow;
using test::seqs;
using test::TempDir;

std::string why_refused(const std::filesystem::path& directory) {
  try {
    const Store store(directory);
    return "it was opened";
  } catch (const StoreError& error) {
    return error.what();
  }
}

TEST(StoreOpening, AsksForAnExistingDirectory) {
  EXPECT_NE(why_refused("/nonexistent").find("godwit-gateway init"), std::string::npos);
}

TEST(StoreOpening, NamesTheProcessThatHoldsTheDirectory) {
  const TempDir dir;
  {
    const Store first(dir.path());
    const std::string why = why_refused(dir.path());
    EXPECT_NE(why.find("another gateway (process " + std::to_string(::getpid()) + ")"), std::string::npos)
        << why;
  }
  EXPECT_EQ(why_refused(dir.path()), "it was opened");
}

struct Refused {
  const char* description;
  void (*prepare)(const std::filesystem::path& file);
  const char* says;
};

TEST(StoreOpening, LeavesWhatItRefusesUntouched) {
  for (const Refused& one : std::initializer_list<Refused>{
           {"no database",
            [](const std::filesystem::path& file) { std::ofstream(file) << std::string(8192, 'x'); },
            "is damaged"},
           {"a damaged page",
            [](const std::filesystem::path& file) {
              std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
              out.seekp(4096 * 2);
              out << std::string(4096, '\x55');
            },
            "is damaged"},
           {"a truncated file",
            [](const std::filesystem::path& file) { std::filesystem::resize_file(file, 4096 * 3); },
            "is damaged"},
           {"a newer version",
            [](const std::filesystem::path& file) { execute(file, "PRAGMA user_version = 99"); },
            "install a newer gateway"},
           {"somebody else's",
            [](const std::filesystem::path& file) { execute(file, "PRAGMA application_id = 7"); },
            "is not a Godwit database"}}) {
    const TempDir dir;
    {
      Store store(dir.path());
      Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
    }
    one.prepare(database(dir));
    const std::string before = read_file(database(dir));
    const std::string why = why_refused(dir.path());
    EXPECT_NE(why.find(one.says), std::string::npos) << one.description << ": " << why;
    EXPECT_NE(why.find("left untouched"), std::string::npos) << one.description << ": " << why;
    EXPECT_EQ(read_file(database(dir)), before) << one.description;
  }
}

// Power fails before any operation on the disk of the very first start: the next start works.
TEST(StoreOpening, GoesOnWhereAPowerCutInterruptedItsCreation) {
  bool died = true;
  int cuts = 0;
  for (int at = 0; died; ++at) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      SCOPED_TRACE("operation " + std::to_string(at) + " seed " + std::to_string(seed));
      sim::Disk disk(seed);
      disk.make_directory("/data");
      int count = 0;
      disk.set_hook([&](const sim::Disk::Operation& operation) {
        if (!operation.changes()) return sim::Disk::Answer::kDo;
        return count++ == at ? sim::Disk::Answer::kDie : sim::Disk::Answer::kDo;
      });
      try {
        const Store store("/data", {}, disk);
        disk.kill();
      } catch (const StoreError&) {
        EXPECT_TRUE(disk.dead());
      }
      died = count > at;
      disk.set_hook(nullptr);
      disk.crash(seed == 0 ? std::optional<std::uint64_t>() : seed);
      Store store("/data", {}, disk);
      Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
      EXPECT_EQ(seqs(all_events(store)).size(), 1U);
      ++cuts;
    }
  }
  EXPECT_GT(cuts, 30);
}

// As some network mounts: SQLite then stays in another mode, in which readers hold up commits.
TEST(StoreOpening, RefusesAFileSystemWithoutSharedMemory) {
  sim::Disk disk(1);
  disk.make_directory("/data");
  disk.set_shared_memory(false);
  try {
    const Store store("/data", {}, disk);
    ADD_FAILURE() << "it was opened";
  } catch (const StoreError& error) {
    EXPECT_NE(std::string_view(error.what()).find("on a local disk"), std::string_view::npos) << error.what();
  }
}

TEST(StoreOpening, GoesOnWhereItsCreationWasInterrupted) {
  const TempDir dir;
  dir.write("godwit.db", "");
  EXPECT_EQ(why_refused(dir.path()), "it was opened");
  EXPECT_EQ(why_refused(dir.path()), "it was opened");
}

TEST(Store, KeepsEachCommitOverAReopen) {
  const TempDir dir;
  for (std::uint64_t seq = 2; seq <= 20; ++seq) {
    Store store(dir.path());
    Feeder feeder(store);
    feeder.commit(introduced({test::record(kEpoch, seq)}));
    EXPECT_EQ(seqs(all_events(store)).size(), seq - 1);

    const std::vector<DeviceState> devices = store.load();
    ASSERT_EQ(devices.size(), 1U);
    const DeviceRow& device = devices[0].row;
    EXPECT_EQ(device.id.view(), "d1");
    EXPECT_TRUE(device.online);
    EXPECT_EQ(device.report.firmware, "1.0.0");
    EXPECT_EQ(device.report.board, "host");
    EXPECT_EQ(device.report.boot, 1U);
    EXPECT_EQ(device.head, (Mark{kEpoch, kFirstSeq}));
    EXPECT_EQ(devices[0].streams,
              (std::vector<StreamState>{{{kEpoch, kFirstSeq}, Seq{seq + 1}, seq - 1, 0}}));
    ASSERT_EQ(devices[0].tables.size(), 1U);
    EXPECT_EQ(devices[0].tables[0].hash, codec::hash(test::kSystemTable));
  }
}

// The file is sound and its rows are not: they are a gap, and the log goes on behind it.
TEST(Store, SaysWhatIsDamagedWhenAStreamOrTableIsOfNoDevice) {
  for (const char* table : {"streams", "tables"}) {
    const TempDir dir;
    Store store(dir.path());
    Feeder(store).commit(test::introduction());
    execute(database(dir), (std::string("UPDATE ") + table + " SET device = 77").c_str());
    try {
      (void)store.load();
      ADD_FAILURE() << table << " of a device that is not there was loaded";
    } catch (const StoreError& error) {
      EXPECT_NE(std::string_view(error.what()).find("device 77"), std::string_view::npos) << error.what();
    }
  }
}

TEST(Store, SetsOffsetsThatNeverComeBack) {
  const TempDir dir;
  LogOffset last;
  {
    Store store(dir.path());
    EXPECT_EQ(store.reader().ends().last.offset, LogOffset{0});
    EXPECT_EQ(store.reader().ends().before_first, LogId{});
    Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
    last = store.reader().ends().last.offset;
    EXPECT_EQ(last, LogOffset{3});
  }
  execute(database(dir), "DELETE FROM log");
  Store store(dir.path());
  EXPECT_EQ(store.reader().ends().last.offset, last);
  EXPECT_EQ(store.reader().ends().before_first.offset, last);
  Feeder(store).commit({test::hello(), test::record(kEpoch, 3)});
  EXPECT_EQ(all_events(store).front().offset, LogOffset{last.value + 1});
}

Message hello_after_a_crash(std::uint32_t boot) {
  codec::Hello greeting = test::greeting();
  greeting.boot = boot;
  greeting.health = codec::Health{.stack_used = 1,
                                  .stack_size = 2,
                                  .heap_used = 3,
                                  .heap_size = UINT32_MAX,
                                  .time_quality = codec::TimeQuality::kHoldover};
  greeting.crash = codec::Crash{.kind = codec::CrashKind::kAssert, .pc = UINT32_MAX, .where = "outbox.cc:42"};
  return test::hello(greeting, {});
}

TEST(Store, KeepsHealthAndLastCrash) {
  const TempDir dir;
  const Message said = hello_after_a_crash(3);
  const auto hello = unpack(said.payload);
  {
    Store store(dir.path());
    Feeder(store).commit({said});
  }
  Store store(dir.path());
  Feeder(store).commit({said});
  const DeviceRow loaded = store.load().at(0).row;
  EXPECT_EQ(loaded.report.health, hello->health);
  EXPECT_EQ(unpack(loaded.last_crash.hello)->crash, hello->crash);
  const DeviceInfo shown = store.reader().device("d1").value();
  EXPECT_EQ(shown.health, hello->health);
  EXPECT_EQ(shown.last_crash.hello, loaded.last_crash.hello);
  EXPECT_EQ(shown.last_crash.received_at, kNow);
  const std::vector<Event> events = all_events(store);
  ASSERT_EQ(events.size(), 1U) << "the crash was known when it was said again";
  EXPECT_EQ(unpack(events[0].hello)->crash, hello->crash);
}

TEST(Store, EventsComeBackAsTheyWentIn) {
  const TempDir dir;
  Store store(dir.path());
  const std::string batch = test::batch(42);
  codec::Hello restored = test::greeting(Epoch{9});
  restored.marks[0] = {Epoch{9}, {5}};
  restored.marks[1] = {kEpoch, {1}};
  restored.marks_count = 2;
  Feeder(store).commit(
      introduced({test::record(kEpoch, Seq{2}, batch), test::loss(kEpoch, 3, 5),
                  test::message(topics::Leaf::kGone, ""), test::hello(restored), test::mark(Epoch{9}, 5)}));
  const std::vector<Event> events = all_events(store);
  ASSERT_EQ(events.size(), 8U);
  EXPECT_EQ(events[0].type, EventType::kDeviceOnline);
  EXPECT_EQ(events[1].type, EventType::kEpoch);
  EXPECT_EQ(events[1].seq, kFirstSeq);
  EXPECT_EQ(events[2].device, "d1");
  EXPECT_EQ(events[2].received_at, kNow);
  EXPECT_EQ(events[2].epoch, kEpoch);
  EXPECT_EQ(events[2].seq, Seq{2});
  EXPECT_EQ(events[2].batch, batch);
  EXPECT_EQ(events[3].type, EventType::kLoss);
  EXPECT_EQ(events[3].seq, Seq{3});
  EXPECT_EQ(events[3].count, 5U);
  EXPECT_EQ(events[3].loss_reason, LossReason::kDroppedFull);
  EXPECT_EQ(events[4].offline_reason, OfflineReason::kWill);
  EXPECT_EQ(events[6].type, EventType::kHistoryReplaced);
  EXPECT_EQ(events[6].seq, Seq{5});
  EXPECT_EQ(events[6].count, 8U);
}

TEST(Store, AnEpochKeepsAllItsBits) {
  const TempDir dir;
  Store store(dir.path());
  constexpr Epoch kHigh{0xffffffffffffffffU};
  Feeder(store).commit(test::introduction(kHigh));
  EXPECT_EQ(all_events(store).back().epoch, kHigh);
  EXPECT_EQ(store.load().at(0).streams.at(0).mark.epoch, kHigh);
  EXPECT_EQ(store.load().at(0).row.head.epoch, kHigh);
}

// What Ingest is made of after a restart is what it had: with the bounds at work, in the order that they
// need.
TEST(Store, LoadsWhatWasCommittedInTheOrderInWhichItBegan) {
  const TempDir dir;
  Store store(dir.path());
  Ingest ingest({.epochs_per_device_max = 2, .tables_per_device_max = 2, .boots_per_device_max = 2},
                store.load());
  const auto channels = std::to_array<codec::Channel>({{.name = "x"}});
  const auto names = std::to_array<std::string_view>({"a", "b", "c"});
  for (std::uint64_t i = 3; i >= 1; --i) {  // epochs descending: their number says nothing
    codec::Hello greeting = test::greeting(Epoch{i});
    greeting.boot = static_cast<std::uint32_t>(i);
    greeting.boot_time = UnixMillis{static_cast<std::int64_t>(1000 * i)};
    greeting.marks[0] = {Epoch{i}, {5 - i}};
    const codec::ChannelTable table{.name = names[i - 1], .period = Millis{10}, .channels = channels};
    const codec::ChannelTable* const announced = &table;
    ASSERT_EQ(ingest.handle(test::hello(greeting, {&announced, 1})), Status::kOk);
    ASSERT_EQ(ingest.handle(test::mark(Epoch{i}, 5 - i)), Status::kOk);
    ASSERT_EQ(
        ingest.handle(test::record(Epoch{i}, Seq{6 - i}, test::batch(0, {.table = codec::hash(table)}))),
        Status::kOk);
    Changes changes = ingest.take();
    store.commit(changes);
    (void)ingest.committed(std::move(changes));
  }
  const DeviceState loaded = store.load().at(0);
  ASSERT_EQ(loaded.streams.size(), 2U);
  EXPECT_EQ(loaded.streams[0].mark, (Mark{{2}, {3}}));
  EXPECT_EQ(loaded.streams[1].mark, (Mark{{1}, {4}}));
  EXPECT_EQ(loaded.row.head, (Mark{{1}, {4}}));
  EXPECT_EQ(loaded.row.forgotten_records, 1U);
  ASSERT_EQ(loaded.boots.size(), 2U);
  EXPECT_EQ(loaded.boots[0].epoch, Epoch{2});
  EXPECT_EQ(loaded.boots[1].time, (BootTime{{1000}, codec::TimeQuality::kSynced}));
  ASSERT_EQ(loaded.tables.size(), 2U);
  const DeviceInfo shown = store.reader().device("d1").value();
  EXPECT_EQ(shown.stream->epoch, Epoch{1});
  EXPECT_EQ(shown.stream->next_seq, Seq{6});
  EXPECT_EQ(shown.stream->records, 3U) << "those of forgotten epochs too";
  EXPECT_EQ(store.reader().latest("d1").size(), 2U) << "the newest of a table that is forgotten is not shown";
}

// C2, history.md j.
TEST(StoreTerms, EachRunThatStoresSomethingHasOne) {
  const TempDir dir;
  LogId first;
  {
    Store store(dir.path(), Term{7});
    EXPECT_EQ(store.reader().ends().last, LogId{});
    Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
    first = store.reader().ends().last;
    EXPECT_EQ(first.term, Term{7});
    for (const Event& event : all_events(store)) EXPECT_EQ(event.term, Term{7});
  }
  {
    const Store idle(dir.path(), Term{8});
    EXPECT_EQ(idle.reader().ends().last, first) << "a run without events leaves no trace";
    EXPECT_EQ(idle.reader().resume(first).gap, std::nullopt);
  }
  Store store(dir.path(), Term{9});
  Feeder(store).commit({test::hello(), test::record(kEpoch, 3), test::record(kEpoch, 4)});
  const LogPage page = store.reader().read({0}, {}, {});
  ASSERT_EQ(page.events.size(), 5U);
  EXPECT_EQ(page.events[2].term, Term{7});
  EXPECT_EQ(page.events[3].term, Term{9});
  EXPECT_EQ(page.through, (LogId{.offset = {5}, .term = {9}}));
  EXPECT_EQ(store.reader().resume(first).gap, std::nullopt) << "an ordinary restart makes no gap";
  EXPECT_EQ(store.reader().resume({.offset = {3}, .term = {8}}).gap->reason, GapReason::kRestored)
      << "nobody ever had an id of the idle run";
}

TEST(StoreTerms, ARestoredCopyKnowsWhereItPartsWithWhatAClientSaw) {
  const TempDir dir;
  const TempDir copy;
  LogId seen;
  {
    Store store(dir.path(), Term{7});
    Feeder feeder(store);
    feeder.commit(introduced({test::record(kEpoch, 2), test::record(kEpoch, 3)}));
    std::filesystem::copy(dir.path(), copy.path(), std::filesystem::copy_options::recursive);
    feeder.commit({test::record(kEpoch, 4), test::record(kEpoch, 5)});
    seen = store.reader().ends().last;
    EXPECT_EQ(seen, (LogId{.offset = {6}, .term = {7}}));
  }
  Store store(copy.path(), Term{9});
  const LogId common = store.reader().ends().last;
  EXPECT_EQ(common, (LogId{.offset = {4}, .term = {7}}));
  for (int grown = 0; grown < 3; ++grown) {
    const Resumption resumption = store.reader().resume(seen);
    EXPECT_EQ(resumption.from, common);
    ASSERT_TRUE(resumption.gap.has_value());
    EXPECT_EQ(*resumption.gap,
              (LogGap{.reason = GapReason::kRestored, .from = {5}, .to = {6}, .next = common}));
    EXPECT_EQ(store.reader().resume(common).gap, std::nullopt);
    const auto seq = static_cast<std::uint64_t>(4 + 2 * grown);
    Feeder(store).commit({test::hello(), test::record(kEpoch, seq), test::record(kEpoch, seq + 1)});
  }
}

TEST(StoreTerms, ATermThatIsKnownGivesWay) {
  const TempDir dir;
  for (int i = 0; i < 3; ++i) {
    Store store(dir.path(), Term{UINT32_MAX});
    Feeder(store).commit(introduced({test::record(kEpoch, static_cast<std::uint64_t>(i) + 2)}));
  }
  const Store store(dir.path());
  std::set<std::uint32_t> terms;
  for (const Event& event : all_events(store)) terms.insert(event.term.value);
  EXPECT_EQ(terms, (std::set<std::uint32_t>{UINT32_MAX, 1, 2})) << "never 0";
}

// H4: what a filter passes over costs nothing, and a read that takes too long gives what it has.
// It is kept in memory once it was read: the conflict must reach it there too.
// SQLite asks this before it compiles a statement; what it denies, fails.
int deny_rollbacks_left = 0;
int deny_rollback(void*, int action, const char* operation, const char*, const char*, const char*) {
  if (action != SQLITE_TRANSACTION || std::string_view(operation) != "ROLLBACK") return SQLITE_OK;
  if (deny_rollbacks_left == 0) return SQLITE_OK;
  --deny_rollbacks_left;
  return SQLITE_DENY;
}
int watch_rollbacks(sqlite3* connection, char**, const sqlite3_api_routines*) {
  return sqlite3_set_authorizer(connection, deny_rollback, nullptr);
}

TEST(Store, GoesOnAfterACommitOfWhichEvenTheRollbackFailed) {
  ASSERT_EQ(sqlite3_auto_extension(reinterpret_cast<void (*)()>(watch_rollbacks)), SQLITE_OK);
  const TempDir dir;
  Store store(dir.path());
  sqlite3_reset_auto_extension();
  Feeder(store).commit(introduced({test::record(kEpoch, 2)}));

  Ingest ingest({}, store.load());
  ASSERT_EQ(ingest.handle(test::hello(kEpoch, "lost")), Status::kOk);
  Changes changes = ingest.take();
  changes.events[0].received_at = {};
  execute(database(dir),
          "CREATE TRIGGER full BEFORE INSERT ON log WHEN new.received_at = 0"
          " BEGIN SELECT raise(ABORT, 'no room'); END");
  deny_rollbacks_left = 1;
  try {
    store.commit(changes);
    ADD_FAILURE() << "it was committed";
  } catch (const StoreError& error) {
    EXPECT_NE(std::string_view(error.what()).find("no room"), std::string_view::npos) << error.what();
  }
  EXPECT_EQ(deny_rollbacks_left, 0);
  EXPECT_EQ(store.load().size(), 1U) << "what was not committed is not loaded";

  // The key that the lost device had been given goes to another one, and so do its events.
  Feeder(store).commit({test::hello(kEpoch, "other")});
  Feeder(store).commit({test::hello(kEpoch, "lost")});
  EXPECT_EQ(all_events(store).at(3).device, "other");
  EXPECT_EQ(all_events(store).at(4).device, "lost");
}

TEST(Store, TheWriteAheadLogDoesNotGrowForEver) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  const std::string large(64 << 10U, 'x');  // kept, though it is no batch
  std::uintmax_t largest = 0;
  feeder.commit(test::introduction());
  for (std::uint64_t seq = 2; seq <= 200; ++seq) {
    feeder.commit({test::record(kEpoch, Seq{seq}, large)});
    store.checkpoint();
    largest = std::max(largest, std::filesystem::file_size(dir.path() / "godwit.db-wal"));
  }
  EXPECT_LT(largest, 6U << 20U);
  EXPECT_GT(std::filesystem::file_size(database(dir)), 8U << 20U);
}

}  // namespace
}  // namespace godwit::gateway
