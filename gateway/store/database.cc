// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/database.h"

#include <array>
#include <string>
#include <utility>

namespace godwit::gateway {
namespace {

// Above this a full check at each start would take longer than a restart may. A larger damaged database is
// noticed when the damaged page is read: nothing is acknowledged then.
constexpr std::uint64_t kCheckedSizeMax = 64U << 20U;

// Times are Unix milliseconds. epoch and seq are 64 bits, signed here.
constexpr const char* kSchemaVersion1 = R"sql(
CREATE TABLE devices (
  key          INTEGER PRIMARY KEY,
  id           TEXT NOT NULL UNIQUE,
  online       INTEGER NOT NULL,
  first_seen   INTEGER NOT NULL,
  firmware     TEXT NOT NULL,
  board        TEXT NOT NULL,
  boot         INTEGER NOT NULL,
  reset_reason INTEGER NOT NULL,
  dropped      INTEGER NOT NULL,  -- DeviceCounters
  refused      INTEGER NOT NULL,
  corrupt      INTEGER NOT NULL,
  missed       INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: an offset is never given again, whatever is trimmed.
CREATE TABLE log (
  offset      INTEGER PRIMARY KEY AUTOINCREMENT,
  type        INTEGER NOT NULL,  -- EventType
  device      INTEGER NOT NULL,  -- devices.key
  received_at INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  count       INTEGER,  -- of a loss
  loss_reason INTEGER,  -- of a loss
  batch       BLOB      -- of telemetry
) STRICT;
CREATE INDEX log_by_device ON log (device);
CREATE INDEX log_without_telemetry ON log (offset) WHERE type <> 1;

CREATE TABLE streams (
  key      INTEGER PRIMARY KEY,  -- ascending with age
  device   INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  next_seq INTEGER NOT NULL,
  records  INTEGER NOT NULL,
  lost     INTEGER NOT NULL,
  UNIQUE (device, epoch)
) STRICT;

CREATE TABLE tables (
  device    INTEGER NOT NULL,
  hash      INTEGER NOT NULL,
  name      TEXT NOT NULL,
  period_ms INTEGER NOT NULL,
  durable   INTEGER NOT NULL,
  PRIMARY KEY (device, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE channels (
  device   INTEGER NOT NULL,
  hash     INTEGER NOT NULL,  -- of its table
  position INTEGER NOT NULL,
  name     TEXT NOT NULL,
  unit     TEXT NOT NULL,
  exponent INTEGER NOT NULL,
  min      INTEGER NOT NULL,
  max      INTEGER NOT NULL,
  PRIMARY KEY (device, hash, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE boots (
  device    INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,
  boot      INTEGER NOT NULL,
  unix_time INTEGER NOT NULL,  -- when its monotonic clock was zero
  PRIMARY KEY (device, epoch, boot)
) STRICT, WITHOUT ROWID;

CREATE TABLE latest (
  device INTEGER NOT NULL,
  hash   INTEGER NOT NULL,  -- of a table
  offset INTEGER NOT NULL,  -- its newest event
  PRIMARY KEY (device, hash)
) STRICT, WITHOUT ROWID;
)sql";

constexpr const char* kSchemaVersion2 = R"sql(
ALTER TABLE devices ADD COLUMN stack_used   INTEGER NOT NULL DEFAULT 0;  -- codec::Health
ALTER TABLE devices ADD COLUMN stack_size   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN heap_used    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN heap_size    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN time_quality INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN crash_hello  BLOB;  -- CrashReport
ALTER TABLE devices ADD COLUMN crash_at     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN hello BLOB;  -- of device.online
)sql";

// An epoch is what one start of a device recorded, no longer one life of its outbox: what was expected of
// those says nothing now. Tables are announced again by the next hello.
constexpr const char* kSchemaHistory = R"sql(
DROP TABLE streams;
CREATE TABLE streams (
  key       INTEGER PRIMARY KEY,  -- in the order in which they began
  device    INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,     -- this and first_seq: the mark
  first_seq INTEGER NOT NULL,
  expected  INTEGER NOT NULL,
  records   INTEGER NOT NULL,
  lost      INTEGER NOT NULL,
  UNIQUE (device, epoch, first_seq)
) STRICT;

DROP TABLE boots;
CREATE TABLE boots (
  key       INTEGER PRIMARY KEY,  -- in the order in which they were told
  device    INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,     -- of what the boot recorded
  unix_time INTEGER NOT NULL,     -- when its monotonic clock was zero
  quality   INTEGER NOT NULL,     -- codec::TimeQuality
  UNIQUE (device, epoch)
) STRICT;

DELETE FROM channels;
DELETE FROM tables;
ALTER TABLE channels ADD COLUMN prior INTEGER NOT NULL DEFAULT 0;  -- codec::Channel
ALTER TABLE tables ADD COLUMN rows_max INTEGER NOT NULL DEFAULT 0;  -- codec::ChannelTable
ALTER TABLE tables ADD COLUMN digest   INTEGER NOT NULL DEFAULT 0;  -- of its content
ALTER TABLE tables ADD COLUMN conflict INTEGER;  -- the event that found another table with this hash

ALTER TABLE devices ADD COLUMN last_seen         INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN head_epoch        INTEGER NOT NULL DEFAULT 0;  -- mark of the stream ...
ALTER TABLE devices ADD COLUMN head_seq          INTEGER NOT NULL DEFAULT 0;  -- ... that took the last entry
ALTER TABLE devices ADD COLUMN forgotten_records INTEGER NOT NULL DEFAULT 0;  -- of streams not kept any more
ALTER TABLE devices ADD COLUMN forgotten_lost    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN log_state         INTEGER NOT NULL DEFAULT 0;  -- codec::LogState
ALTER TABLE devices ADD COLUMN bad_sectors       INTEGER NOT NULL DEFAULT 0;

-- Records that the database refused: their places in the log are losses. May be deleted when they are understood.
CREATE TABLE quarantine (
  key         INTEGER PRIMARY KEY,
  device      TEXT NOT NULL,     -- devices.id
  received_at INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,  -- 0: live samples
  content     BLOB NOT NULL,     -- the encoded batch
  why         TEXT NOT NULL
) STRICT;
)sql";

// What makes each version of the one before. A new database goes through all of them, so that it is the same
// as an old one that was upgraded.
constexpr std::array<const char*, kSchemaVersion> kSchema{kSchemaVersion1, kSchemaVersion2, kSchemaHistory};

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& why) {
  throw StoreError(file.string() + " " + why + "; it was left untouched");
}

void quick_check(Connection& connection, const std::filesystem::path& file) {
  const Statement statement(connection, "PRAGMA quick_check(1)");
  Query query(statement);
  if (query.next() && query.text(0) == "ok") return;
  refuse(file,
         "is damaged (" + std::string(query.text(0)) + "): restore a copy, or move it away to start anew");
}

// Reads only: whatever is wrong with the file, it stays as it is. But if power failed while it was created or
// upgraded, there is a journal to roll back first, as any program that reads the file must.
void inspect(const Files& files, const std::filesystem::path& file) {
  try {
    const bool interrupted = files.size(file.string() + "-journal").value_or(0) > 0;
    Connection connection(file, interrupted ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY, files.vfs());
    sqlite3_db_config(connection.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    const auto version = connection.integer("PRAGMA user_version");
    const auto application = connection.integer("PRAGMA application_id");
    const bool blank = connection.integer("SELECT count(*) FROM sqlite_schema") == 0;
    if (blank && version == 0 && application == 0) return;  // died while creating it
    if (application != kApplicationId) refuse(file, "is not a Godwit database: use another data directory");
    if (version > kSchemaVersion) {
      refuse(file, "is of schema version " + std::to_string(version) + ", this gateway knows up to " +
                       std::to_string(kSchemaVersion) + ": install a newer gateway");
    }
    if (files.size(file) <= kCheckedSizeMax) quick_check(connection, file);
  } catch (const SqliteError& error) {
    if (!error.damaged()) throw StoreError("cannot read " + file.string() + ": " + error.what());
    refuse(file,
           "is damaged (" + std::string(error.what()) + "): restore a copy, or move it away to start anew");
  }
}

void upgrade(Connection& connection, std::size_t version) {
  connection.execute("BEGIN IMMEDIATE");
  for (; version < kSchema.size(); ++version) connection.execute(kSchema[version]);
  connection.execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
  connection.execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  connection.execute("COMMIT");
}

}  // namespace

std::unique_ptr<Files::Lock> lock_directory(Files& files, const std::filesystem::path& directory) {
  if (!files.is_directory(directory)) {
    throw StoreError(directory.string() + " is not a directory: create it with `godwit-gateway init`");
  }
  auto [lock, holder] = files.lock(directory / "gateway.lock");
  if (lock) return std::move(lock);
  throw StoreError("another gateway (process " + holder + ") uses " + directory.string() +
                   ": stop it first, or use another data directory");
}

Connection open_for_writing(const Files& files, const std::filesystem::path& file) {
  if (files.size(file).value_or(0) > 0) inspect(files, file);
  try {
    Connection connection(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, files.vfs());
    sqlite3_busy_timeout(connection.get(), 1000);  // somebody with a database shell
    // Anything but WAL would let readers hold up commits.
    if (const std::string mode = connection.text("PRAGMA journal_mode = WAL"); mode != "wal") {
      throw StoreError("cannot use " + file.string() + " with a write-ahead log (it stays in mode \"" + mode +
                       "\"): the file system has no shared memory or locks, as some network mounts; set "
                       "[store] directory to a folder on a local disk");
    }
    connection.execute("PRAGMA synchronous = FULL");
    connection.execute("PRAGMA wal_autocheckpoint = 0");         // Store::checkpoint() instead
    connection.execute("PRAGMA journal_size_limit = 33554432");  // after a burst
    connection.execute("PRAGMA cache_size = -8192");             // KiB
    const auto version = static_cast<std::size_t>(connection.integer("PRAGMA user_version"));
    if (version < kSchema.size()) upgrade(connection, version);
    // A transaction whose sync failed may have come back from the page cache alone. Nothing is built on it
    // before it is in the database and synced anew; a reader in the way holds this up until the next start.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    return connection;
  } catch (const SqliteError& error) {
    throw StoreError("cannot open " + file.string() + ": " + error.what());
  }
}

Connection open_for_reading(const Files& files, const std::filesystem::path& file) {
  Connection connection(file, SQLITE_OPEN_READONLY, files.vfs());
  sqlite3_busy_timeout(connection.get(), 5000);
  return connection;
}

}  // namespace godwit::gateway
