// SPDX-License-Identifier: Apache-2.0
// Pages that rot on the disk: those of the log are gaps, those of what the gateway goes by are refused, and
// none is ever believed.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "gateway/domain/ingest.h"
#include "gateway/store/backup.h"
#include "gateway/store/checksum_vfs.h"
#include "gateway/store/database.h"
#include "gateway/store/sqlite.h"
#include "gateway/store/store.h"
#include "sim/disk/disk.h"
#include "tests/support/process.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using godwit::test::read_file;
using godwit::test::TempDir;
using test::kEpoch;

constexpr std::size_t kPage = 4096;

std::filesystem::path database(const TempDir& dir) { return dir.path() / "godwit.db"; }

void commit(Store& store, Ingest& ingest) {
  Changes changes = ingest.take();
  store.commit(changes);
  (void)ingest.committed(std::move(changes));
}

// A database of 40 records of each of two devices, all of it in the one file.
void fill(const TempDir& dir) {
  {
    Store store(dir.path(), Term{7});
    Ingest ingest({}, store.load());
    for (const char* const name : {"a", "b"}) {
      for (const Message& message : test::introduction(kEpoch, name)) ignore(ingest.handle(message));
    }
    for (std::uint64_t seq = 2; seq <= 41; ++seq) {
      const std::string batch(seq % 10 == 0 ? 9'000 : 300, static_cast<char>('a' + seq % 26));
      ignore(ingest.handle(test::record(kEpoch, Seq{seq}, batch, "a")));
      ignore(ingest.handle(test::record(kEpoch, Seq{seq}, batch, "b")));
      commit(store, ingest);
    }
  }
  sqlite3* connection = nullptr;  // closing it as the last one moves the write-ahead log into the file
  ASSERT_EQ(
      sqlite3_open_v2(database(dir).c_str(), &connection, SQLITE_OPEN_READWRITE, with_checksums(nullptr)),
      SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(connection, "PRAGMA wal_checkpoint(TRUNCATE)", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(connection);
}

// Which table or index each page belongs to.
std::map<std::size_t, std::string> owners(const std::filesystem::path& file) {
  std::map<std::size_t, std::string> found;
  sqlite3* connection = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &connection), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(connection, "SELECT pageno, name FROM dbstat", -1, &statement, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(connection);
  while (sqlite3_step(statement) == SQLITE_ROW) {
    found[static_cast<std::size_t>(sqlite3_column_int64(statement, 0))] =
        reinterpret_cast<const char*>(sqlite3_column_text(statement, 1));
  }
  sqlite3_finalize(statement);
  sqlite3_close(connection);
  return found;
}

void flip(const std::filesystem::path& file, std::size_t page, std::size_t byte) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>((page - 1) * kPage + byte));
  const char old = static_cast<char>(stream.get());
  stream.seekp(static_cast<std::streamoff>((page - 1) * kPage + byte));
  stream.put(static_cast<char>(old ^ 0x10));
}

using Followed = std::map<std::int64_t, std::string>;  // offset -> batch

struct Outcome {
  bool refused = false;
  Followed events;
  std::set<std::int64_t> gaps;  // offsets that gaps of reason `damaged` cover
};

Outcome follow(const LogReader& log, const LogReader::Filter& filter) {
  Outcome outcome;
  LogOffset after;
  for (bool more = true; more;) {
    const LogPage page = log.read(after, filter, {.events = 7});
    EXPECT_GT(page.through.offset, after) << "no progress";
    if (page.through.offset <= after) break;
    if (page.gap) {
      EXPECT_EQ(page.gap->reason, GapReason::kDamaged);
      EXPECT_GT(page.gap->from, after);
      for (auto i = page.gap->from.value; i <= page.gap->to.value; ++i) outcome.gaps.insert(i);
    }
    for (const Event& event : page.events) outcome.events[event.offset.value] = event.batch;
    after = page.through.offset;
    more = page.more;
  }
  return outcome;
}

Outcome follow(const TempDir& dir, const LogReader::Filter& filter) {
  Outcome outcome;
  try {
    Store store(dir.path(), Term{9});
    (void)store.load();
    outcome = follow(store.reader(), filter);
  } catch (const StoreError& error) {
    outcome.refused = true;
    EXPECT_NE(std::string_view(error.what()).find("restore a backup"), std::string_view::npos)
        << error.what();
  }
  return outcome;
}

// Each page in turn, in two places: whatever is shown is what was stored, and what is not shown is in a gap.
TEST(StoreDamage, ARottenPageIsAGapOrRefusedAndNeverBelieved) {
  const TempDir whole;
  fill(whole);
  const auto owner = owners(database(whole));
  const std::vector<LogReader::Filter> filters = {
      {},
      {.device = "a", .types = {}},
      {.device = "", .types = {EventType::kEpoch, EventType::kDeviceOnline}}};
  std::vector<Followed> stored;
  for (const LogReader::Filter& filter : filters) stored.push_back(follow(whole, filter).events);
  ASSERT_EQ(stored[0].size(), 84U);
  ASSERT_EQ(stored[1].size(), 42U);
  ASSERT_EQ(stored[2].size(), 4U);
  const std::string image = read_file(database(whole));
  std::map<std::string, int> seen;
  for (std::size_t page = 1; page <= image.size() / kPage; ++page) {
    const std::string& of = owner.at(page);
    for (const std::size_t byte : {std::size_t{40}, kPage - 60}) {
      const TempDir dir;
      dir.write("godwit.db", image);
      flip(database(dir), page, byte);
      for (std::size_t i = 0; i < filters.size(); ++i) {
        SCOPED_TRACE("page " + std::to_string(page) + " of " + of + ", filter " + std::to_string(i));
        const Outcome outcome = follow(dir, filters[i]);
        const bool of_log = of == "log" || of.starts_with("log_");
        EXPECT_EQ(outcome.refused, !of_log);
        if (outcome.refused) continue;
        for (const auto& [offset, batch] : outcome.events) {
          EXPECT_EQ(stored[i].at(offset), batch);
          EXPECT_FALSE(outcome.gaps.contains(offset));
        }
        for (const auto& [offset, batch] : stored[i]) {
          EXPECT_TRUE(outcome.events.contains(offset) || outcome.gaps.contains(offset)) << offset;
        }
        if (of == "log") {
          if (!outcome.gaps.empty()) ++seen["gap"];
        } else {
          EXPECT_TRUE(outcome.gaps.empty()) << "the rows are there, whatever became of an index";
          ++seen["index"];
        }
      }
      ++seen[of];
    }
  }
  EXPECT_GT(seen["gap"], 10);
  EXPECT_GT(seen["index"], 5);
  EXPECT_GT(seen["streams"], 0);
  EXPECT_GT(seen["terms"], 0);
}

TEST(StoreDamage, EachByteOfTheHeaderIsWatched) {
  const TempDir whole;
  fill(whole);
  const std::string image = read_file(database(whole));
  for (std::size_t byte = 0; byte < 100; ++byte) {
    const TempDir dir;
    dir.write("godwit.db", image);
    flip(database(dir), 1, byte);
    EXPECT_THROW((void)Store(dir.path()), StoreError) << "byte " << byte;
  }
}

// history.md, k: a flipped bit in streams.next_seq would have records stored twice.
TEST(StoreDamage, AFlippedBitInAProjectionStopsTheStart) {
  const TempDir dir;
  fill(dir);
  for (const auto& [page, name] : owners(database(dir))) {
    if (name == "streams") flip(database(dir), page, kPage - 12);
  }
  const std::string before = read_file(database(dir));
  try {
    const Store store(dir.path());
    ADD_FAILURE() << "it was opened";
  } catch (const StoreError& error) {
    EXPECT_NE(std::string_view(error.what()).find("left untouched"), std::string_view::npos) << error.what();
  }
  EXPECT_EQ(read_file(database(dir)), before);
}

// What else disks give back: sectors of zeros, and pages that were erased.
std::vector<std::string> ways_to_rot(const std::string& image, std::size_t page) {
  constexpr std::size_t kSector = 512;
  const std::size_t at = (page - 1) * kPage;
  std::vector<std::string> rotten;
  const auto add = [&](std::size_t from, std::size_t size, char value) {
    std::string copy = image;
    copy.replace(from, size, size, value);
    if (copy != image) rotten.push_back(std::move(copy));
  };
  for (std::size_t sector = 0; sector < kPage; sector += kSector) add(at + sector, kSector, '\0');
  add(at + kPage - kChecksumBytes, kChecksumBytes, '\0');
  add(at, kPage, '\0');
  add(at, kPage, '\xFF');
  std::string flipped = image;
  flipped[at + kPage - 60] = static_cast<char>(flipped[at + kPage - 60] ^ 0x10);
  rotten.push_back(std::move(flipped));
  return rotten;
}

// Whatever is shown is what was stored, and what is not shown is in a gap.
void expect_all(const Outcome& outcome, const Followed& stored) {
  for (const auto& [offset, batch] : outcome.events) {
    if (const auto known = stored.find(offset); known != stored.end()) {
      EXPECT_EQ(known->second, batch);
    }
    EXPECT_FALSE(outcome.gaps.contains(offset));
  }
  for (const auto& [offset, batch] : stored) {
    EXPECT_TRUE(outcome.events.contains(offset) || outcome.gaps.contains(offset)) << offset;
  }
}

TEST(StoreDamage, ASectorOfZerosIsNotBelievedEither) {
  const TempDir whole;
  fill(whole);
  const Followed stored = follow(whole, {}).events;
  const std::string image = read_file(database(whole));
  int refused = 0;
  int gaps = 0;
  for (std::size_t page = 1; page <= image.size() / kPage; ++page) {
    for (const std::string& rotten : ways_to_rot(image, page)) {
      SCOPED_TRACE("page " + std::to_string(page));
      const TempDir dir;
      dir.write("godwit.db", rotten);
      const Outcome outcome = follow(dir, {});
      refused += outcome.refused ? 1 : 0;
      gaps += outcome.gaps.empty() ? 0 : 1;
      if (outcome.refused) continue;
      EXPECT_EQ(outcome.events.size() + outcome.gaps.size(), stored.size());
      expect_all(outcome, stored);
    }
  }
  EXPECT_GT(refused, 50);
  EXPECT_GT(gaps, 100);
}

// A commit that meets the damage rebuilds the database from what can be read.
TEST(StoreDamage, ARottenPageStopsNoCommitAndTakesNothingElseAlong) {
  const TempDir whole;
  fill(whole);
  const std::vector<LogReader::Filter> filters = {
      {},
      {.device = "a", .types = {}},
      {.device = "", .types = {EventType::kEpoch, EventType::kDeviceOnline}},
      {.device = "", .types = {EventType::kTelemetry}}};
  std::vector<Followed> stored;
  for (const LogReader::Filter& filter : filters) stored.push_back(follow(whole, filter).events);
  auto owner = owners(database(whole));
  const std::string image = read_file(database(whole));
  std::map<std::string, int> rebuilt;
  std::int64_t lost = 0;
  for (std::size_t page = 1; page <= image.size() / kPage; ++page) {
    const std::string& of = owner[page];
    if (of != "log" && !of.starts_with("log_")) continue;  // refused, see above
    SCOPED_TRACE("page " + std::to_string(page) + " of " + of);
    const TempDir dir;
    dir.write("godwit.db", image);
    flip(database(dir), page, kPage - 60);
    LogOffset newest;
    {
      Store store(dir.path(), Term{8});
      Ingest ingest({}, store.load());
      for (const char* const name : {"a", "b"}) {
        ignore(ingest.handle(test::hello(kEpoch, name)));
        ignore(ingest.handle(test::record(kEpoch, 42, name)));
      }
      commit(store, ingest);
      newest = store.reader().ends().last.offset;
      EXPECT_GT(newest.value, stored[0].rbegin()->first);
      if (const auto events = store.take_rebuilt()) {
        ++rebuilt[of];
        lost += *events;
      }
    }
    EXPECT_FALSE(std::filesystem::exists(database(dir).string() + "-rebuilt"));
    for (std::size_t i = 0; i < filters.size(); ++i) {
      SCOPED_TRACE("filter " + std::to_string(i));
      const Outcome outcome = follow(dir, filters[i]);
      ASSERT_FALSE(outcome.refused);
      expect_all(outcome, stored[i]);
      if (i != 2) {
        EXPECT_GT(outcome.events.rbegin()->first, stored[i].rbegin()->first);
      }
    }
  }
  EXPECT_GT(rebuilt["log"], 1);
  EXPECT_GT(rebuilt["log_by_device"], 0);
  EXPECT_GT(lost, 1);
}

// The whole log lies behind it.
TEST(StoreDamage, ALogOfWhichNothingCanBeReadIsOneGap) {
  const TempDir dir;
  fill(dir);
  const Followed stored = follow(dir, {}).events;
  for (const auto& [page, name] : owners(database(dir))) {
    if (name == "log") flip(database(dir), page, kPage - 60);
  }
  {
    Store store(dir.path(), Term{8});
    Ingest ingest({}, store.load());
    ignore(ingest.handle(test::hello(kEpoch, "a")));
    ignore(ingest.handle(test::record(kEpoch, 42, "a")));
    commit(store, ingest);
    EXPECT_EQ(store.take_rebuilt(), std::optional(static_cast<std::int64_t>(stored.size())));
    EXPECT_EQ(store.take_rebuilt(), std::nullopt) << "it is said once";
  }
  for (const LogReader::Filter& filter :
       {LogReader::Filter{}, LogReader::Filter{.device = "a", .types = {}}}) {
    const Outcome outcome = follow(dir, filter);
    EXPECT_EQ(outcome.gaps.size(), stored.size());
    EXPECT_EQ(outcome.events.rbegin()->first, stored.rbegin()->first + 1);
  }
}

// Free pages are not looked at when the gateway starts.
TEST(StoreDamage, AFreePageThatRotsStopsNoCommit) {
  const TempDir dir;
  fill(dir);
  {
    Connection connection(database(dir), SQLITE_OPEN_READWRITE, nullptr);
    connection.execute("CREATE TABLE t (value BLOB)");
    connection.execute("INSERT INTO t VALUES (randomblob(40000))");
    connection.execute("DROP TABLE t");
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  const auto owner = owners(database(dir));
  const std::size_t pages = std::filesystem::file_size(database(dir)) / kPage;
  for (std::size_t page = 1; page <= pages; ++page) {
    if (!owner.contains(page)) flip(database(dir), page, 40);
  }
  {
    Store store(dir.path(), Term{8});
    Ingest ingest({}, store.load());
    ignore(ingest.handle(test::hello(kEpoch, "a")));
    ignore(ingest.handle(test::record(kEpoch, Seq{42}, std::string(60'000, 'x'), "a")));
    commit(store, ingest);
    EXPECT_EQ(store.take_rebuilt(), std::optional(std::int64_t{0}));
  }
  const Outcome outcome = follow(dir, {});
  EXPECT_EQ(outcome.events.size(), 85U);
  EXPECT_TRUE(outcome.gaps.empty());
}

// On a disk in memory, where the process may die at each operation. Returns what was stored.
Followed rot_newest_page(sim::Disk& disk, const std::filesystem::path& folder) {
  Followed stored;
  disk.make_directory(folder);
  {
    Store store(folder, Term{7}, disk);
    Ingest ingest({}, store.load());
    for (const Message& message : test::introduction()) ignore(ingest.handle(message));
    for (std::uint64_t seq = 2; seq <= 31; ++seq) {
      ignore(ingest.handle(test::record(kEpoch, Seq{seq}, std::string(300, 'x'))));
      commit(store, ingest);
    }
    stored = follow(store.reader(), {}).events;
  }
  const TempDir dir;
  dir.write("godwit.db", *disk.read_file(folder / "godwit.db"));
  std::size_t newest = 0;
  for (const auto& [page, name] : owners(database(dir))) {
    if (name == "log") newest = page;
  }
  disk.rot(folder / "godwit.db", newest * kPage - 60, 1, 1);
  return stored;
}

void commit_one_more(sim::Disk& disk, const std::filesystem::path& folder) {
  Store store(folder, Term{8}, disk);
  Ingest ingest({}, store.load());
  ignore(ingest.handle(test::hello()));
  ignore(ingest.handle(test::record(kEpoch, 32)));
  commit(store, ingest);
}

TEST(StoreDamage, ARebuildThatIsCutOffIsDoneAgain) {
  const std::filesystem::path folder = "/data";
  sim::Disk disk(1);
  const Followed stored = rot_newest_page(disk, folder);
  const sim::Disk::Image image = disk.copy();
  int steps = 0;
  for (bool finished = false; !finished; ++steps) {
    disk.restore(image);
    int count = 0;
    disk.set_hook([&](const sim::Disk::Operation& operation) {
      if (!operation.changes() || count++ != steps) return sim::Disk::Answer::kDo;
      return sim::Disk::Answer::kDie;
    });
    try {
      commit_one_more(disk, folder);
      finished = !disk.dead();
    } catch (const StoreError&) {
      EXPECT_TRUE(disk.dead());
    }
    disk.set_hook(nullptr);
    disk.kill();
    disk.restart();
    Store store(folder, Term{9}, disk);
    EXPECT_FALSE(disk.size(folder / "godwit.db-rebuilt"));
    Ingest ingest({}, store.load());
    ignore(ingest.handle(test::hello()));
    for (const std::uint64_t seq : {32U, 33U}) ignore(ingest.handle(test::record(kEpoch, seq)));
    commit(store, ingest);
    SCOPED_TRACE("step " + std::to_string(steps));
    const Outcome outcome = follow(store.reader(), {});
    expect_all(outcome, stored);
    EXPECT_LT(outcome.gaps.size(), 12U) << "more than a page";
    EXPECT_GT(outcome.events.rbegin()->first, stored.rbegin()->first);
  }
  EXPECT_GT(steps, 30);
}

TEST(StoreDamage, ARebuildWithoutRoomSaysSoAndIsDoneWhenThereIsSome) {
  const std::filesystem::path folder = "/data";
  sim::Disk disk(1);
  rot_newest_page(disk, folder);
  const auto space = *disk.space(folder);
  disk.set_capacity(space.total_bytes - space.free_bytes + 50'000);
  try {
    commit_one_more(disk, folder);
    ADD_FAILURE() << "it was committed";
  } catch (const StoreError& error) {
    EXPECT_EQ(error.trouble(), StoreTrouble::kFull);
    EXPECT_NE(std::string_view(error.what()).find("free space"), std::string_view::npos) << error.what();
  }
  disk.set_capacity(space.total_bytes);
  commit_one_more(disk, folder);
}

// After a kill the write-ahead log is there.
void leave_a_write_ahead_log(const TempDir& killed) {
  const TempDir dir;
  Store store(dir.path());
  Ingest ingest({}, store.load());
  for (const Message& message : test::introduction()) ignore(ingest.handle(message));
  for (std::uint64_t seq = 2; seq <= 51; ++seq) {
    ignore(ingest.handle(test::record(kEpoch, Seq{seq}, std::string(300, 'x'))));
    commit(store, ingest);
  }
  std::filesystem::copy(dir.path(), killed.path(), std::filesystem::copy_options::recursive);
  ASSERT_GT(std::filesystem::file_size(killed.path() / "godwit.db-wal"), 0U);
}

void look(const std::filesystem::path& file, int flags) {
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open_v2(file.c_str(), &connection, flags, nullptr), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(connection, "SELECT count(*) FROM log", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(connection);
}

TEST(StoreDamage, SomebodyElsesLookDoesNoHarm) {
  const TempDir killed;
  leave_a_write_ahead_log(killed);
  look(database(killed), SQLITE_OPEN_READONLY);  // sqlite3 -readonly
  const Outcome outcome = follow(killed, {});
  EXPECT_FALSE(outcome.refused);
  EXPECT_EQ(outcome.events.size(), 52U);
  EXPECT_TRUE(outcome.gaps.empty());
}

// Who closes the database last without -readonly moves the write-ahead log, without checksums.
TEST(StoreDamage, WhatSomebodyElseWroteIsTakenOverWhenTheOperatorSaysSo) {
  const TempDir killed;
  leave_a_write_ahead_log(killed);
  look(database(killed), SQLITE_OPEN_READWRITE);
  ASSERT_FALSE(std::filesystem::exists(killed.path() / "godwit.db-wal"));
  try {
    const Store store(killed.path());
    ADD_FAILURE() << "it was opened";
  } catch (const StoreError& error) {
    EXPECT_NE(std::string_view(error.what()).find("backup --unchecked"), std::string_view::npos)
        << error.what();
  }
  const TempDir taken_over;
  EXPECT_THROW(backup(killed.path(), database(taken_over)), StoreError);
  backup(killed.path(), database(taken_over), Checksums::kIgnored);
  for (int start = 0; start < 2; ++start) {
    const Outcome outcome = follow(taken_over, {});
    EXPECT_FALSE(outcome.refused);
    EXPECT_EQ(outcome.events.size(), 52U);
    EXPECT_TRUE(outcome.gaps.empty());
  }
}

// SQLite writes such pages too: the end of a value, and a free page.
TEST(StoreDamage, APageOfZerosThatWasWrittenIsRead) {
  const TempDir dir;
  const auto with_database = [&](auto use) {
    Connection connection(dir.path() / "zeros.db", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    request_checksums(connection);
    use(connection);
  };
  with_database([](Connection& connection) {
    connection.execute("CREATE TABLE t (value BLOB)");
    connection.execute("INSERT INTO t VALUES (zeroblob(20000))");
  });
  with_database([](Connection& connection) {
    EXPECT_EQ(connection.integer("SELECT value = zeroblob(20000) FROM t"), 1);
    // As Debian's SQLite is built: a page that is not in use any more becomes zeros.
    connection.execute("PRAGMA secure_delete = ON");
    connection.execute("UPDATE t SET value = zeroblob(4100)");
    connection.execute("VACUUM");
    connection.execute("DELETE FROM t");
    EXPECT_EQ(connection.integer("PRAGMA freelist_count"), 1);
  });
  with_database([](Connection& connection) {
    connection.execute("INSERT INTO t VALUES (randomblob(4100))");  // into the free page
    EXPECT_EQ(connection.integer("PRAGMA freelist_count"), 0);
    EXPECT_EQ(connection.text("PRAGMA integrity_check"), "ok");
  });
}

// Devices that start over again and again, and a gateway that is killed each time: the oldest epochs are
// forgotten, and pages with them.
TEST(StoreDamage, AFreePageIsUsedAgainAfterARestart) {
  sim::Disk disk(1);
  constexpr std::uint64_t kRuns = 250;  // of which the first 64 forget nothing
  const std::filesystem::path folder = "/data";
  disk.make_directory(folder);
  int with_free_pages = 0;
  for (std::uint64_t i = 0; i < kRuns; ++i) {
    std::optional<Store> store(std::in_place, folder, Term{}, disk);
    Ingest ingest({}, store->load());
    for (const char* const name : {"a", "b", "c", "d", "e", "f"}) {
      const Epoch epoch{kEpoch.value + i * 0x9E37'79B9'7F4A'7C15U};
      for (const Message& message : test::introduction(epoch, name)) ignore(ingest.handle(message));
      commit(*store, ingest);
    }
    with_free_pages +=
        open_for_reading(disk, folder / "godwit.db").integer("PRAGMA freelist_count") > 0 ? 1 : 0;
    disk.kill();
    store.reset();
    disk.restart();
  }
  EXPECT_GT(with_free_pages, 3);
}

TEST(StoreDamage, PagesWrittenAfterAReopenHaveChecksumsToo) {
  const TempDir dir;
  fill(dir);
  {
    Store store(dir.path());
    Ingest ingest({}, store.load());
    ignore(ingest.handle(test::hello(kEpoch, "a")));
    ignore(ingest.handle(test::record(kEpoch, 42, "a")));
    commit(store, ingest);
  }
  EXPECT_EQ(follow(dir, {}).events.size(), 85U);
  EXPECT_TRUE(follow(dir, {}).gaps.empty());
}

}  // namespace
}  // namespace godwit::gateway
