// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "gateway/domain/hello.h"
#include "gateway/store/checksum_vfs.h"
#include "tests/support/process.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using godwit::test::read_file;
using godwit::test::TempDir;
using test::kEpoch;
using test::kNow;

std::filesystem::path database(const TempDir& dir) { return dir.path() / "godwit.db"; }

void execute(const std::filesystem::path& file, const char* sql) {
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open_v2(file.c_str(), &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            with_checksums(nullptr)),
            SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(connection, sql, nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(connection);
  sqlite3_close(connection);
}

std::string why_refused(const std::filesystem::path& directory) {
  try {
    const Store store(directory);
    return "it was opened";
  } catch (const StoreError& error) {
    return error.what();
  }
}

// Applies messages as a writer would, one transaction for each call.
class Feeder {
 public:
  explicit Feeder(Store& store) : store_(store), ingest_({}, store.load()) {}

  void commit(const std::vector<Message>& messages) {
    for (const Message& message : messages) ignore(ingest_.handle(message));  // some are meant to be refused
    store_.commit(ingest_.changes());
    ingest_.committed(acks_);
  }

 private:
  Store& store_;
  Ingest ingest_;
  std::vector<AckTo> acks_;
};

std::vector<std::uint64_t> seqs(const std::vector<Event>& events) {
  std::vector<std::uint64_t> result;
  for (const Event& event : events) {
    if (event.type == EventType::kTelemetry) result.push_back(event.seq.value);
  }
  return result;
}

std::vector<Event> all_events(const Store& store, const LogReader::Filter& filter = {}) {
  return store.reader().read({0}, filter, {.events = 10'000}).events;
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
      Feeder(store).commit({test::hello(), test::record(kEpoch, 1)});
    }
    one.prepare(database(dir));
    const std::string before = read_file(database(dir));
    const std::string why = why_refused(dir.path());
    EXPECT_NE(why.find(one.says), std::string::npos) << one.description << ": " << why;
    EXPECT_NE(why.find("left untouched"), std::string::npos) << one.description << ": " << why;
    EXPECT_EQ(read_file(database(dir)), before) << one.description;
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
  for (std::uint64_t seq = 1; seq <= 20; ++seq) {
    Store store(dir.path());
    Feeder feeder(store);
    if (seq == 1) feeder.commit({test::hello()});
    feeder.commit({test::record(kEpoch, seq)});
    EXPECT_EQ(seqs(all_events(store)).size(), seq);

    const std::vector<DeviceState> devices = store.load();
    ASSERT_EQ(devices.size(), 1U);
    EXPECT_EQ(devices[0].id.view(), "d1");
    EXPECT_TRUE(devices[0].online);
    EXPECT_EQ(devices[0].firmware, "1.0.0");
    EXPECT_EQ(devices[0].board, "host");
    EXPECT_EQ(devices[0].boot, 1U);
    ASSERT_EQ(devices[0].streams.size(), 1U);
    EXPECT_EQ(devices[0].streams[0].epoch, kEpoch);
    EXPECT_EQ(devices[0].streams[0].expected, Seq{seq + 1});
    EXPECT_EQ(devices[0].streams[0].records, seq);
    ASSERT_EQ(devices[0].tables.size(), 1U);
    EXPECT_EQ(devices[0].tables[0].hash, codec::hash(test::kSystemTable));
  }
}

// The file is sound and its rows are not: they are a gap, and the log goes on behind it.
TEST(StoreReader, ARowThatNoGatewayWroteIsAGap) {
  for (const char* change :
       {"UPDATE log SET type = 0 WHERE offset = 2", "UPDATE log SET type = 99 WHERE offset = 2",
        "UPDATE log SET device = 77 WHERE offset = 2", "DELETE FROM log WHERE offset = 2"}) {
    const TempDir dir;
    Store store(dir.path());
    Feeder(store).commit({test::hello(), test::record(kEpoch, 1), test::record(kEpoch, 2)});
    execute(database(dir), change);
    const LogPage before = store.reader().read({0}, {}, {});
    EXPECT_EQ(before.events.size(), 1U) << change;
    EXPECT_TRUE(before.more) << change;
    EXPECT_EQ(before.through.offset, LogOffset{1}) << change;
    const LogPage page = store.reader().read({1}, {}, {});
    ASSERT_TRUE(page.gap.has_value()) << change;
    EXPECT_EQ(page.gap->reason, GapReason::kDamaged) << change;
    EXPECT_EQ(page.gap->from, LogOffset{2}) << change;
    EXPECT_EQ(page.gap->to, LogOffset{2}) << change;
    EXPECT_EQ(page.gap->next, (LogId{.offset = {2}, .term = {1}})) << change;
    EXPECT_EQ(seqs(page.events), (std::vector<std::uint64_t>{1, 2})) << change;
  }
}

TEST(StoreReader, RowsThatAreMissingAtTheEndAreAGapToo) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit({test::hello(), test::record(kEpoch, 1), test::record(kEpoch, 2)});
  execute(database(dir), "DELETE FROM log WHERE offset > 2");
  const LogPage page = store.reader().read({2}, {}, {});
  ASSERT_TRUE(page.gap.has_value());
  EXPECT_EQ(page.gap->from, LogOffset{3});
  EXPECT_EQ(page.gap->to, LogOffset{4});
  EXPECT_EQ(page.through.offset, LogOffset{4});
  EXPECT_FALSE(page.more);
}

TEST(Store, SaysWhatIsDamagedWhenAStreamOrTableIsOfNoDevice) {
  for (const char* table : {"streams", "tables"}) {
    const TempDir dir;
    Store store(dir.path());
    Feeder(store).commit({test::hello()});
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
    Feeder(store).commit({test::hello(), test::record(kEpoch, 1)});
    last = store.reader().ends().last.offset;
    EXPECT_EQ(last, LogOffset{3});
  }
  execute(database(dir), "DELETE FROM log");
  Store store(dir.path());
  EXPECT_EQ(store.reader().ends().last.offset, last);
  EXPECT_EQ(store.reader().ends().before_first.offset, last);
  Feeder(store).commit({test::record(kEpoch, 2)});
  EXPECT_EQ(all_events(store).front().offset, LogOffset{last.value + 1});
}

Message hello_after_a_crash(std::uint32_t boot) {
  codec::Hello greeting{.epoch = kEpoch, .oldest_seq = kFirstSeq, .next_seq = kFirstSeq};
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
  const DeviceState loaded = store.load().at(0);
  EXPECT_EQ(loaded.health, hello->health);
  EXPECT_EQ(unpack(loaded.last_crash.hello)->crash, hello->crash);
  const DeviceInfo shown = store.reader().device("d1").value();
  EXPECT_EQ(shown.health, hello->health);
  EXPECT_EQ(shown.last_crash.hello, loaded.last_crash.hello);
  EXPECT_EQ(shown.last_crash.received_at, kNow);
  const std::vector<Event> events = all_events(store);
  ASSERT_EQ(events.size(), 2U) << "the crash was known when it was said again";
  EXPECT_EQ(events[0].hello, "");
  EXPECT_EQ(unpack(events[1].hello)->crash, hello->crash);
}

std::vector<std::string> columns_of(const std::filesystem::path& file) {
  std::vector<std::string> columns;
  sqlite3* connection = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &connection), SQLITE_OK);
  const auto add = [](void* out, int, char** values, char**) {
    static_cast<std::vector<std::string>*>(out)->emplace_back(values[0]);
    return 0;
  };
  const char* const query =
      "SELECT m.name || '.' || c.name || ' ' || c.type FROM sqlite_schema m, pragma_table_info(m.name) c"
      " ORDER BY m.name, c.cid";
  EXPECT_EQ(sqlite3_exec(connection, query, add, &columns, nullptr), SQLITE_OK);
  sqlite3_close(connection);
  return columns;
}

TEST(StoreOpening, UpgradesADatabaseOfVersion1) {
  const TempDir dir;
  execute(database(dir), read_file(std::string(GODWIT_GOLDEN_DIR) + "/v1.sql").c_str());
  {
    Store store(dir.path());
    EXPECT_EQ(all_events(store).size(), 8U);
    const DeviceInfo before = store.reader().device("d1").value();
    EXPECT_EQ(before.boot, 5U);
    EXPECT_EQ(before.counters.dropped_records, 7U);
    EXPECT_EQ(before.health, codec::Health{});
    EXPECT_EQ(before.last_crash.hello, "");
    Feeder(store).commit({test::record(kEpoch, 7), hello_after_a_crash(6)});
  }
  Store store(dir.path());
  EXPECT_EQ(seqs(all_events(store)), (std::vector<std::uint64_t>{1, 2, 7}));
  EXPECT_EQ(unpack(store.reader().device("d1")->last_crash.hello)->boot, 6U);
  EXPECT_EQ(store.reader().device("d2")->last_crash.hello, "");

  const TempDir fresh;
  const Store made(fresh.path());
  EXPECT_EQ(columns_of(database(dir)), columns_of(database(fresh)));
}

TEST(Store, EventsComeBackAsTheyWentIn) {
  const TempDir dir;
  Store store(dir.path());
  const std::string batch = test::batch(42);
  Feeder(store).commit({test::record(kEpoch, Seq{1}, batch), test::loss(kEpoch, 2, 5)});
  const std::vector<Event> events = all_events(store);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].type, EventType::kEpoch);
  EXPECT_EQ(events[1].type, EventType::kDeviceOnline);
  EXPECT_EQ(events[2].device, "d1");
  EXPECT_EQ(events[2].received_at, kNow);
  EXPECT_EQ(events[2].epoch, kEpoch);
  EXPECT_EQ(events[2].seq, Seq{1});
  EXPECT_EQ(events[2].batch, batch);
  EXPECT_EQ(events[3].type, EventType::kLoss);
  EXPECT_EQ(events[3].seq, Seq{2});
  EXPECT_EQ(events[3].count, 5U);
  EXPECT_EQ(events[3].loss_reason, codec::LossReason::kDroppedFull);
}

TEST(Store, AnEpochKeepsAllItsBits) {
  const TempDir dir;
  Store store(dir.path());
  constexpr Epoch kHigh{0xffffffffffffffffU};
  Feeder(store).commit({test::record(kHigh, 1)});
  EXPECT_EQ(all_events(store).back().epoch, kHigh);
  EXPECT_EQ(store.load().at(0).streams.at(0).epoch, kHigh);
}

// C2, history.md j.
TEST(StoreTerms, EachRunThatStoresSomethingHasOne) {
  const TempDir dir;
  LogId first;
  {
    Store store(dir.path(), Term{7});
    EXPECT_EQ(store.reader().ends().last, LogId{});
    Feeder(store).commit({test::record(kEpoch, 1)});
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
  Feeder(store).commit({test::record(kEpoch, 2), test::record(kEpoch, 3)});
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
    feeder.commit({test::record(kEpoch, 1), test::record(kEpoch, 2)});
    std::filesystem::copy(dir.path(), copy.path(), std::filesystem::copy_options::recursive);
    feeder.commit({test::record(kEpoch, 3), test::record(kEpoch, 4)});
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
    const auto seq = static_cast<std::uint64_t>(3 + 2 * grown);
    Feeder(store).commit({test::record(kEpoch, seq), test::record(kEpoch, seq + 1)});
  }
}

TEST(StoreTerms, ATermThatIsKnownGivesWay) {
  const TempDir dir;
  for (int i = 0; i < 3; ++i) {
    Store store(dir.path(), Term{UINT32_MAX});
    Feeder(store).commit({test::record(kEpoch, static_cast<std::uint64_t>(i) + 1)});
  }
  const Store store(dir.path());
  std::set<std::uint32_t> terms;
  for (const Event& event : all_events(store)) terms.insert(event.term.value);
  EXPECT_EQ(terms, (std::set<std::uint32_t>{UINT32_MAX, 1, 2})) << "never 0";
}

TEST(StoreReader, APageEndsAtItsBounds) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  for (std::uint64_t seq = 1; seq <= 20; ++seq) {
    feeder.commit(
        {test::record(kEpoch, Seq{(seq + 1) / 2}, std::string(1000, 'x'), seq % 2 == 0 ? "a" : "b")});
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

// H4: what a filter passes over costs nothing, and a read that takes too long gives what it has.
TEST(StoreReader, ARareFilterIsFoundByAnIndex) {
  const TempDir dir;
  Store store(dir.path());
  Feeder(store).commit({test::hello(), test::loss(kEpoch, 1, 1)});
  execute(database(dir),
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
          " INSERT INTO log (type, device, received_at, epoch, seq) SELECT 5, 1, 0, 1, i FROM n");
  Feeder(store).commit({test::loss(kEpoch, 2, 1)});
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
  Feeder(store).commit({test::hello(), test::record(kEpoch, 1)});
  execute(database(dir),
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
          " INSERT INTO log (type, device, received_at, epoch, seq) SELECT 5, 1, 0, 1, i FROM n");
  Feeder(store).commit({test::record(kEpoch, 2)});
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
  EXPECT_EQ(found, (std::vector<std::uint64_t>{1, 2}));
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
  Feeder(store).commit({test::hello(), test::record(kEpoch, 1)});
  execute(database(dir),
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
          " INSERT INTO log (type, device, received_at, epoch, seq) SELECT 5, 1, 0, 1, i FROM n");
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
  EXPECT_EQ(store.reader().ends().last.offset, LogOffset{2});
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
  Feeder(store).commit({test::hello(), test::record(kEpoch, 1)});
  execute(database(dir),
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
          " INSERT INTO log (type, device, received_at, epoch, seq) SELECT 5, 1, 0, 1, i FROM n");
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
  feeder.commit({test::record(kEpoch, 1, "a"), test::record(kEpoch, 1, "b"), test::loss(kEpoch, 2, 1, "a"),
                 test::loss(kEpoch, 2, 1, "b"), test::message(topics::Leaf::kGone, "", "a")});
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
  Feeder(store).commit({test::hello(kEpoch, "c"), test::hello(kEpoch, "a"), test::hello(kEpoch, "b"),
                        test::record(Epoch{1}, 1, "b", {kNow.value + 5}), test::loss(Epoch{1}, 2, 3, "b")});
  const LogReader& reader = store.reader();
  const auto first = reader.devices_after("", 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].id, "a");
  EXPECT_EQ(first[1].id, "b");
  EXPECT_EQ(reader.devices_after("b", 2).at(0).id, "c");
  EXPECT_TRUE(reader.devices_after("c", 2).empty());

  const auto b = reader.device("b");
  ASSERT_TRUE(b.has_value());
  EXPECT_TRUE(b->online);
  EXPECT_EQ(b->first_seen, kNow);
  ASSERT_EQ(b->streams.size(), 2U);
  EXPECT_EQ(b->streams[0].epoch, kEpoch) << "the older epoch first, whatever its number";
  EXPECT_EQ(b->streams[1].next_seq, Seq{5});
  EXPECT_EQ(b->streams[1].records, 1U);
  EXPECT_EQ(b->streams[1].lost_records, 3U);
  EXPECT_FALSE(reader.device("nobody").has_value());
}

TEST(StoreReader, ShowsWhatADeviceCountedAlsoAfterARestart) {
  const TempDir dir;
  codec::Hello hello{.epoch = kEpoch, .oldest_seq = Seq{1}, .next_seq = Seq{1}, .boot = 1};
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
  EXPECT_EQ(store.load().at(0).counters, expected);
}

TEST(StoreReader, KnowsTablesBootsAndTheNewestOfEachTable) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  const codec::ChannelTable* const table = &test::kSystemTable;
  codec::Hello greeting;
  greeting.epoch = kEpoch;
  greeting.oldest_seq = greeting.next_seq = kFirstSeq;
  greeting.boot = 3;
  greeting.boot_time = UnixMillis{1000};
  const LogReader& reader = store.reader();
  const std::uint32_t hash = codec::hash(test::kSystemTable);
  EXPECT_EQ(reader.table("d1", hash), nullptr);

  feeder.commit({test::hello(greeting, {&table, 1}), test::record(kEpoch, 1), test::record(kEpoch, 2)});
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
  EXPECT_EQ(reader.boot_time("d1", kEpoch, 3), UnixMillis{1000});
  EXPECT_EQ(reader.boot_time("d1", kEpoch, 4), std::nullopt);
  EXPECT_EQ(reader.boot_time("d1", Epoch{1}, 3), std::nullopt);
  EXPECT_EQ(seqs(reader.latest("d1")), std::vector<std::uint64_t>{3});
  EXPECT_TRUE(reader.latest("d2").empty());
}

TEST(StoreReader, PagesNeitherSkipNorRepeatWhileTheLogGrows) {
  const TempDir dir;
  Store store(dir.path());
  constexpr std::uint64_t kRecords = 400;
  std::thread writer([&store] {
    Feeder feeder(store);
    for (std::uint64_t seq = 1; seq <= kRecords; seq += 4) {
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
    ASSERT_EQ(of_all[i], i + 1);
    ASSERT_EQ(of_device[i], i + 1);
  }
}

TEST(Store, TheWriteAheadLogDoesNotGrowForEver) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  const std::string large(64 << 10U, 'x');  // kept, though it is no batch
  std::uintmax_t largest = 0;
  for (std::uint64_t seq = 1; seq <= 200; ++seq) {
    feeder.commit({test::record(kEpoch, Seq{seq}, large)});
    store.checkpoint();
    largest = std::max(largest, std::filesystem::file_size(dir.path() / "godwit.db-wal"));
  }
  EXPECT_LT(largest, 6U << 20U);
  EXPECT_GT(std::filesystem::file_size(database(dir)), 8U << 20U);
}

}  // namespace
}  // namespace godwit::gateway
