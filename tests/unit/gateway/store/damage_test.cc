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

Outcome follow(const TempDir& dir, const LogReader::Filter& filter) {
  Outcome outcome;
  try {
    Store store(dir.path(), Term{9});
    (void)store.load();
    LogOffset after;
    for (bool more = true; more;) {
      const LogPage page = store.reader().read(after, filter, {.events = 30});
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

// Cards give back pages of zeros, too.
TEST(StoreDamage, APageOfZerosIsNotBelievedEither) {
  const TempDir whole;
  fill(whole);
  const Followed stored = follow(whole, {}).events;
  const std::string image = read_file(database(whole));
  int gaps = 0;
  for (const auto& [page, name] : owners(database(whole))) {
    if (name != "log") continue;
    const TempDir dir;
    std::string zeroed = image;
    zeroed.replace((page - 1) * kPage, kPage, kPage, '\0');
    dir.write("godwit.db", zeroed);
    const Outcome outcome = follow(dir, {});
    ASSERT_FALSE(outcome.refused);
    for (const auto& [offset, batch] : outcome.events) EXPECT_EQ(stored.at(offset), batch);
    EXPECT_EQ(outcome.events.size() + outcome.gaps.size(), stored.size());
    gaps += outcome.gaps.empty() ? 0 : 1;
  }
  EXPECT_GT(gaps, 10);
}

// After a kill the write-ahead log is there; whoever looks with `sqlite3` then, and is the last to close the
// database, moves it.
TEST(StoreDamage, SomebodyElsesLookDoesNoHarm) {
  const TempDir dir;
  const TempDir killed;
  {
    Store store(dir.path());
    Ingest ingest({}, store.load());
    for (const Message& message : test::introduction()) ignore(ingest.handle(message));
    for (std::uint64_t seq = 2; seq <= 51; ++seq) {
      ignore(ingest.handle(test::record(kEpoch, Seq{seq}, std::string(300, 'x'))));
      commit(store, ingest);
    }
    std::filesystem::copy(dir.path(), killed.path(), std::filesystem::copy_options::recursive);
  }
  ASSERT_GT(std::filesystem::file_size(killed.path() / "godwit.db-wal"), 0U);
  (void)owners(database(killed));
  ASSERT_FALSE(std::filesystem::exists(killed.path() / "godwit.db-wal"));
  for (int start = 0; start < 3; ++start) {
    const Outcome outcome = follow(killed, {});
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
// forgotten, and pages with them. `between` sees the disk then. Returns how often there were free pages.
template <typename Between>
int forget_epochs(sim::Disk& disk, Between between) {
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
    between(folder / "godwit.db");
  }
  return with_free_pages;
}

TEST(StoreDamage, AFreePageIsUsedAgainAfterARestart) {
  sim::Disk disk(1);
  EXPECT_GT(forget_epochs(disk, [](const auto&) {}), 3);
}

TEST(StoreDamage, AFreePageIsUsedAgainAfterSomebodyElsesLook) {
  sim::Disk disk(1);
  const int with_free_pages = forget_epochs(disk, [&](const std::filesystem::path& file) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open_v2(file.c_str(), &connection, SQLITE_OPEN_READWRITE, disk.vfs()), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(connection, "SELECT count(*) FROM log", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(connection);
    ASSERT_EQ(disk.size(file.string() + "-wal"), std::nullopt);
  });
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
