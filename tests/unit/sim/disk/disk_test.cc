// SPDX-License-Identifier: Apache-2.0
#include "sim/disk/disk.h"

#include <gtest/gtest.h>

#include <set>

namespace godwit::sim {
namespace {

using Kind = Disk::Operation::Kind;

constexpr const char* kFile = "/data/test.db";

// Rows 1, 2, 3 ... of one table, each in a transaction of its own.
class Database {
 public:
  explicit Database(Disk& disk, const char* synchronous = "FULL") {
    // On a disk that is dead nothing works, opening included.
    sqlite3_open_v2(kFile, &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, disk.vfs());
    run("PRAGMA journal_mode = WAL");
    run(std::string("PRAGMA synchronous = ") + synchronous);
    run("PRAGMA wal_autocheckpoint = 0");
  }
  ~Database() { sqlite3_close(database_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  bool run(const std::string& sql) {
    return sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  }
  bool create() { return run("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, pad BLOB)"); }
  bool add() { return run("INSERT INTO t (pad) VALUES (zeroblob(3000))"); }
  // -1: cannot be read.
  int rows() {
    int count = -1;
    const auto keep = [](void* out, int, char** values, char**) {
      *static_cast<int*>(out) = std::atoi(values[0]);
      return 0;
    };
    sqlite3_exec(database_, "SELECT count(*) FROM t", keep, &count, nullptr);
    return count;
  }
  bool sound() {
    std::string text;
    const auto keep = [](void* out, int, char** values, char**) {
      *static_cast<std::string*>(out) = values[0];
      return 0;
    };
    sqlite3_exec(database_, "PRAGMA integrity_check", keep, &text, nullptr);
    return text == "ok";
  }

 private:
  sqlite3* database_ = nullptr;
};

// Dies before operation number `at` that changes something; counts them.
struct Death {
  int at;
  int count = 0;
  Disk::Answer operator()(const Disk::Operation& operation) {
    if (!operation.changes()) return Disk::Answer::kDo;
    return count++ == at ? Disk::Answer::kDie : Disk::Answer::kDo;
  }
};

TEST(Disk, KeepsADatabaseOverARestart) {
  Disk disk(1);
  {
    Database database(disk);
    ASSERT_TRUE(database.create());
    ASSERT_TRUE(database.add());
  }
  EXPECT_EQ(Database(disk).rows(), 1);
  EXPECT_EQ(disk.size("/data/test.db-wal"), std::nullopt) << "a last connection that closes removes it";
}

// Whatever operation the power fails before, and whatever the disk makes of what was on its way: SQLite with
// full sync keeps what it said was committed, so the model is not harsher than a real disk may be.
TEST(Disk, ACrashAtAnyOperationLeavesWhatSqliteCommittedWithFullSync) {
  int crashes = 0;
  bool ran_to_its_end = false;
  for (int at = 0; !ran_to_its_end; ++at) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      SCOPED_TRACE("operation " + std::to_string(at) + " seed " + std::to_string(seed));
      Disk disk(seed);
      int committed = 0;
      bool created = false;
      disk.set_hook(Death{at});
      {
        Database database(disk);
        created = database.create();
        for (int i = 0; i < 4; ++i) {
          if (database.add()) ++committed;
          database.run("PRAGMA wal_checkpoint");
        }
      }
      ran_to_its_end = !disk.dead();
      disk.set_hook(nullptr);
      disk.crash(seed == 0 ? std::optional<std::uint64_t>() : seed);
      ++crashes;
      Database database(disk);
      if (!created) continue;
      ASSERT_GE(database.rows(), committed);
      ASSERT_TRUE(database.sound());
    }
  }
  EXPECT_GT(crashes, 200);
}

// And it is as harsh as one: without syncs commits are lost.
TEST(Disk, LosesCommitsThatWereNotSynced) {
  for (const char* synchronous : {"OFF", "NORMAL"}) {
    Disk disk(1);
    {
      Database database(disk, "FULL");
      ASSERT_TRUE(database.create());
    }
    auto database = std::make_unique<Database>(disk, synchronous);
    ASSERT_TRUE(database->add());
    disk.kill();
    database.reset();
    disk.crash(std::nullopt);
    EXPECT_EQ(Database(disk).rows(), 0) << synchronous;
  }
}

TEST(Disk, AProcessThatDiesLosesNothingWhileTheMachineStaysOn) {
  Disk disk(1);
  {
    Database database(disk, "OFF");
    ASSERT_TRUE(database.create());
    ASSERT_TRUE(database.add());
    disk.kill();
  }
  disk.restart();
  EXPECT_EQ(Database(disk).rows(), 1);
}

TEST(Disk, ANewNameIsLostWithoutASyncOfItsDirectory) {
  Disk disk(1);
  disk.set_hook([](const Disk::Operation& operation) {
    return operation.kind == Kind::kSyncDirectory ? Disk::Answer::kLie : Disk::Answer::kDo;
  });
  {
    Database database(disk);
    ASSERT_TRUE(database.create());
    disk.kill();
  }
  disk.crash(std::nullopt);
  EXPECT_EQ(disk.size(kFile), std::nullopt);
}

TEST(Disk, CrashesKeepDropAndTearWhatWasOnItsWay) {
  const std::string before(4096, 'a');
  const std::string after(4096, 'b');
  bool kept = false;
  bool dropped = false;
  bool torn = false;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Disk disk(1);
    disk.write_file("/f", before);
    sqlite3_vfs* const vfs = sqlite3_vfs_find(disk.vfs());
    std::string memory(static_cast<std::size_t>(vfs->szOsFile), '\0');
    auto* const file = reinterpret_cast<sqlite3_file*>(memory.data());
    ASSERT_EQ(vfs->xOpen(vfs, "/f", file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MAIN_DB, nullptr), SQLITE_OK);
    ASSERT_EQ(file->pMethods->xWrite(file, after.data(), 4096, 0), SQLITE_OK);
    file->pMethods->xClose(file);
    EXPECT_EQ(disk.read_file("/f"), after) << "processes read what was written at once";
    disk.crash(seed);
    const std::string left = disk.read_file("/f").value();
    for (std::size_t at = 0; at < left.size(); ++at) {
      ASSERT_EQ(left[at], left[at / 512 * 512]) << "a sector is whole";
    }
    kept = kept || left == after;
    dropped = dropped || left == before;
    torn = torn || (left != after && left != before);
  }
  EXPECT_TRUE(kept && dropped && torn);
}

TEST(Disk, ASyncThatFailsForgets) {
  Disk disk(7);
  auto database = std::make_unique<Database>(disk);
  ASSERT_TRUE(database->create());
  disk.set_hook([](const Disk::Operation& operation) {
    return operation.kind == Kind::kSync ? Disk::Answer::kFail : Disk::Answer::kDo;
  });
  EXPECT_FALSE(database->add());
  disk.set_hook(nullptr);
  // The next sync has nothing of it to write: only what follows is safe.
  EXPECT_TRUE(database->add());
  disk.kill();
  database.reset();
  disk.crash(std::nullopt);
  EXPECT_EQ(Database(disk).rows(), 1);
}

TEST(Disk, ASyncThatLiesKeepsNothing) {
  Disk disk(1);
  auto database = std::make_unique<Database>(disk);
  ASSERT_TRUE(database->create());
  disk.set_hook([](const Disk::Operation& operation) {
    return operation.kind == Kind::kSync ? Disk::Answer::kLie : Disk::Answer::kDo;
  });
  EXPECT_TRUE(database->add());
  disk.kill();
  database.reset();
  disk.crash(std::nullopt);
  disk.set_hook(nullptr);
  EXPECT_EQ(Database(disk).rows(), 0);
}

TEST(Disk, IsFullAtItsCapacityAndSaysHowMuchIsFree) {
  Disk disk(1, 1 << 20);
  Database database(disk);
  ASSERT_TRUE(database.create());
  int stored = 0;
  while (database.add()) ++stored;
  EXPECT_GT(stored, 50);
  EXPECT_LT(disk.space("/data")->free_bytes, 16U << 10U);
  EXPECT_EQ(disk.space("/data")->total_bytes, 1U << 20U);
  disk.set_capacity(2 << 20);
  EXPECT_TRUE(database.add());
  EXPECT_EQ(database.rows(), stored + 1);
}

TEST(Disk, AReadThatFailsAndARottenPageAreErrorsOfTheirReaders) {
  Disk disk(1);
  {
    Database database(disk);
    ASSERT_TRUE(database.create());
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(database.add());
  }
  {
    disk.set_hook([](const Disk::Operation& operation) {
      return operation.kind == Kind::kRead && operation.offset >= 8192 ? Disk::Answer::kFail
                                                                       : Disk::Answer::kDo;
    });
    Database database(disk);
    EXPECT_EQ(database.rows(), -1);
    disk.set_hook(nullptr);
    EXPECT_EQ(database.rows(), 50);
  }
  disk.rot(kFile, 4096, 8, 3);
  EXPECT_FALSE(Database(disk).sound());
}

TEST(Disk, AnImageCanBeBranchedFrom) {
  Disk disk(1);
  {
    Database database(disk);
    ASSERT_TRUE(database.create());
    ASSERT_TRUE(database.add());
  }
  const Disk::Image backup = disk.image();
  {
    EXPECT_TRUE(Database(disk).add());
  }
  Disk other(2);
  other.restore(backup);
  EXPECT_EQ(Database(other).rows(), 1);
  {
    EXPECT_TRUE(Database(other).add());
  }
  {
    EXPECT_TRUE(Database(other).add());
  }
  EXPECT_EQ(Database(disk).rows(), 2) << "each disk has its own files";
  disk.restore(backup);
  EXPECT_EQ(Database(disk).rows(), 1);
}

TEST(Disk, ConnectionsSeeEachOthersCommitsAndLocks) {
  Disk disk(1);
  Database one(disk);
  ASSERT_TRUE(one.create());
  Database two(disk);
  ASSERT_TRUE(one.run("BEGIN IMMEDIATE"));
  EXPECT_FALSE(two.run("BEGIN IMMEDIATE")) << "one writer at a time";
  ASSERT_TRUE(one.add());
  EXPECT_EQ(two.rows(), 0);
  ASSERT_TRUE(one.run("COMMIT"));
  EXPECT_EQ(two.rows(), 1);
}

TEST(Disk, OneGatewayAtATimeHoldsALock) {
  Disk disk(1);
  auto first = disk.lock("/data/gateway.lock");
  EXPECT_NE(first.lock, nullptr);
  EXPECT_EQ(disk.lock("/data/gateway.lock").lock, nullptr);
  first.lock.reset();
  EXPECT_NE(disk.lock("/data/gateway.lock").lock, nullptr);
}

std::uint64_t hash_of_a_run(std::uint64_t seed, bool crash) {
  Disk::reset_sqlite(seed);
  Disk disk(seed);
  {
    Database database(disk);
    database.create();
    for (int i = 0; i < 5; ++i) database.add();
    if (crash) disk.kill();
  }
  if (crash) disk.crash(seed);
  Database(disk).add();
  return disk.hash();
}

TEST(Disk, EqualSeedsGiveEqualOperations) {
  std::set<std::uint64_t> hashes;
  for (const bool crash : {false, true}) {
    for (const std::uint64_t seed : {2U, 4U}) {
      const std::uint64_t hash = hash_of_a_run(seed, crash);
      EXPECT_EQ(hash, hash_of_a_run(seed, crash));
      hashes.insert(hash);
    }
  }
  EXPECT_EQ(hashes.size(), 4U);
}

}  // namespace
}  // namespace godwit::sim
