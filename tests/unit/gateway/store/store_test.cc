// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "gateway/domain/hello.h"
#include "gateway/domain/ingest.h"
#include "sim/disk/disk.h"
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
  ASSERT_EQ(sqlite3_open(file.c_str(), &connection), SQLITE_OK);
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
    Changes changes = ingest_.take();
    store_.commit(changes);
    (void)ingest_.committed(std::move(changes));
  }

 private:
  Store& store_;
  Ingest ingest_;
};

// A device's hello and mark, and what follows them.
std::vector<Message> introduced(std::vector<Message> messages, Epoch epoch = kEpoch) {
  std::vector<Message> all = test::introduction(epoch);
  all.insert(all.end(), messages.begin(), messages.end());
  return all;
}

std::vector<std::uint64_t> seqs(const std::vector<Event>& events) {
  std::vector<std::uint64_t> result;
  for (const Event& event : events) {
    if (event.type == EventType::kTelemetry) result.push_back(event.seq.value);
  }
  return result;
}

std::vector<Event> all_events(const Store& store, const LogReader::Filter& filter = {}) {
  return store.reader().events_after({0}, 10'000, filter);
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
        const Store store("/data", disk);
        disk.kill();
      } catch (const StoreError&) {
        EXPECT_TRUE(disk.dead());
      }
      died = count > at;
      disk.set_hook(nullptr);
      disk.crash(seed == 0 ? std::optional<std::uint64_t>() : seed);
      Store store("/data", disk);
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
    const Store store("/data", disk);
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

// The file is sound and its rows are not: an error that names them, never a crash.
TEST(Store, SaysWhatIsDamagedWhenAnEventIsOfNoKnownType) {
  for (const char* type : {"0", "11", "31"}) {
    const TempDir dir;
    Store store(dir.path());
    Feeder(store).commit(test::introduction());
    execute(database(dir), (std::string("UPDATE log SET type = ") + type + " WHERE offset = 2").c_str());
    try {
      (void)all_events(store);
      ADD_FAILURE() << "an event of type " << type << " was read";
    } catch (const StoreError& error) {
      EXPECT_STREQ(error.what(), (std::string("the database is damaged: its event 2 is of type ") + type +
                                  ", which does not exist")
                                     .c_str());
    }
  }
}

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
    EXPECT_EQ(store.reader().last_offset(), LogOffset{0});
    EXPECT_EQ(store.reader().first_offset(), LogOffset{1});
    Feeder(store).commit(introduced({test::record(kEpoch, 2)}));
    last = store.reader().last_offset();
    EXPECT_EQ(last, LogOffset{3});
  }
  execute(database(dir), "DELETE FROM log");
  Store store(dir.path());
  EXPECT_EQ(store.reader().last_offset(), last);
  EXPECT_EQ(store.reader().first_offset(), LogOffset{last.value + 1});
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
    EXPECT_EQ(before.stream, std::nullopt) << "epochs were another thing then";
    Feeder(store).commit({hello_after_a_crash(6), test::mark(), test::record(kEpoch, 2)});
  }
  Store store(dir.path());
  EXPECT_EQ(seqs(all_events(store)), (std::vector<std::uint64_t>{1, 2, 2}));
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
  EXPECT_EQ(store.reader().events_after({8}, 10, {}).size(), 1U);
}

TEST(StoreReader, ShowsDevicesInOrderOfTheirNames) {
  const TempDir dir;
  Store store(dir.path());
  Feeder feeder(store);
  feeder.commit({test::hello(kEpoch, "c"), test::hello(kEpoch, "a"), test::hello(kEpoch, "b"),
                 test::mark(kEpoch, 1, "b"), test::record(kEpoch, 2, "b", test::received(5)),
                 test::loss(kEpoch, 3, 3, "b", test::received(7))});
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

// A repeat leaves nothing in the log, and still the device was there.
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

// It is kept in memory once it was read: the conflict must reach it there too.
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
      const auto page = store.reader().events_after(after, 7, filter);
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
