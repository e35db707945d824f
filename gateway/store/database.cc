// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/database.h"

#include <string>
#include <utility>

#include "gateway/store/checksum_vfs.h"
#include "gateway/store/rebuild.h"

namespace godwit::gateway {
namespace {

// Times are Unix milliseconds. Unsigned 64-bit numbers (epoch, seq, mark, prior, digest) are signed here.
constexpr const char* kSchema = R"sql(
CREATE TABLE devices (
  key               INTEGER PRIMARY KEY,
  id                TEXT NOT NULL UNIQUE,
  online            INTEGER NOT NULL,
  first_seen        INTEGER NOT NULL,
  last_seen         INTEGER NOT NULL,
  firmware          TEXT NOT NULL,
  board             TEXT NOT NULL,
  boot              INTEGER NOT NULL,
  reset_reason      INTEGER NOT NULL,
  dropped           INTEGER NOT NULL,  -- DeviceCounters
  refused           INTEGER NOT NULL,
  corrupt           INTEGER NOT NULL,
  missed            INTEGER NOT NULL,
  stack_used        INTEGER NOT NULL,  -- codec::Health
  stack_size        INTEGER NOT NULL,
  heap_used         INTEGER NOT NULL,
  heap_size         INTEGER NOT NULL,
  time_quality      INTEGER NOT NULL,
  crash_hello       BLOB,              -- CrashReport
  crash_at          INTEGER NOT NULL,
  head_epoch        INTEGER NOT NULL,  -- mark of the stream ...
  head_seq          INTEGER NOT NULL,  -- ... that took the last entry
  forgotten_records INTEGER NOT NULL,  -- of streams not kept any more
  forgotten_lost    INTEGER NOT NULL,
  log_state         INTEGER NOT NULL,  -- codec::LogState
  bad_sectors       INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: an offset is never given again, whatever is trimmed.
CREATE TABLE log (
  offset      INTEGER PRIMARY KEY AUTOINCREMENT,
  type        INTEGER NOT NULL,  -- EventType; 0: first and last of a range that could not be read any more
  device      INTEGER NOT NULL,  -- devices.key
  received_at INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  count       INTEGER,  -- of types that have one, see has_count()
  loss_reason INTEGER,  -- the reason of a loss, device.offline or device.throttled
  batch       BLOB,     -- of telemetry
  hello       BLOB      -- of device.online
) STRICT;
-- The offset, being the rowid, is the last column of each.
CREATE INDEX log_by_device ON log (device, type);
CREATE INDEX log_by_type ON log (type) WHERE type <> 1;  -- a filter that lets telemetry through reads the log

CREATE TABLE terms (
  first_offset INTEGER PRIMARY KEY,  -- of its events, up to the next term's
  term         INTEGER NOT NULL UNIQUE
) STRICT;

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

CREATE TABLE tables (
  device    INTEGER NOT NULL,
  hash      INTEGER NOT NULL,
  name      TEXT NOT NULL,
  period_ms INTEGER NOT NULL,
  durable   INTEGER NOT NULL,
  rows_max  INTEGER NOT NULL,  -- codec::ChannelTable
  digest    INTEGER NOT NULL,  -- of its content
  conflict  INTEGER,           -- the event that found another table with this hash
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
  prior    INTEGER NOT NULL,  -- codec::Channel
  PRIMARY KEY (device, hash, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE boots (
  key       INTEGER PRIMARY KEY,  -- in the order in which they were told
  device    INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,     -- of what the boot recorded
  unix_time INTEGER NOT NULL,     -- when its monotonic clock was zero
  quality   INTEGER NOT NULL,     -- codec::TimeQuality
  UNIQUE (device, epoch)
) STRICT;

CREATE TABLE latest (
  device INTEGER NOT NULL,
  hash   INTEGER NOT NULL,  -- of a table
  offset INTEGER NOT NULL,  -- its newest event
  PRIMARY KEY (device, hash)
) STRICT, WITHOUT ROWID;

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

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& why) {
  throw StoreError(file.string() + " " + why + "; it was left untouched");
}

// All but the log: what the gateway goes by must be sound, whereas damage in the log is a gap in it, and
// reading 10 GB would take an SD card four minutes.
void check_projections(Connection& connection, const std::filesystem::path& file) {
  const Statement tables(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'log'");
  for (Query table(tables); table.next();) {
    const std::string name(table.text(0));
    const Statement check(connection, "PRAGMA quick_check(" + name + ")");
    Query result(check);
    if (result.next() && result.text(0) == "ok") continue;
    refuse(file, "is damaged (" + name + ": " + std::string(result.text(0)) + "): " + kOfDamage);
  }
}

// Reads only: whatever is wrong with the file, it stays as it is. But if power failed while it was created,
// there is a journal to roll back first, as any program that reads the file must.
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
    if (version != kSchemaVersion) {
      refuse(file, "is of schema version " + std::to_string(version) + ", this gateway's is " +
                       std::to_string(kSchemaVersion) +
                       (version > kSchemaVersion ? ": install a newer gateway"
                                                 : ", the first that is kept: move it away to start anew"));
    }
    check_projections(connection, file);
  } catch (const SqliteError& error) {
    if (!error.damaged()) throw StoreError("cannot read " + file.string() + ": " + error.what());
    refuse(file, "is damaged: " + std::string(error.what()));
  }
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
  discard_draft(files, file);
  try {
    Connection connection(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, files.vfs());
    sqlite3_busy_timeout(connection.get(), 1000);  // somebody with a database shell
    request_checksums(connection);
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
    // Debian's default has free pages overwritten with zeros: wear for nothing.
    connection.execute("PRAGMA secure_delete = OFF");
    if (connection.integer("PRAGMA user_version") == 0) create(connection);
    // A transaction whose sync failed may have come back from the page cache alone. Nothing is built on it
    // before it is in the database and synced anew; a reader in the way holds this up until the next start.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    return connection;
  } catch (const SqliteError& error) {
    throw StoreError("cannot open " + file.string() + ": " + error.what());
  }
}

void create(Connection& connection) {
  connection.execute("BEGIN IMMEDIATE");
  connection.execute(kSchema);
  connection.execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
  connection.execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  connection.execute("COMMIT");
}

void read_unchecked(Connection& connection) {
  (void)sqlite3_file_control(connection.get(), "main", kReadUnchecked, nullptr);
}

void request_checksums(Connection& connection) {
  int bytes = kChecksumBytes;
  (void)sqlite3_file_control(connection.get(), "main", SQLITE_FCNTL_RESERVE_BYTES,
                             &bytes);  // only then it fits
}

Connection open_for_reading(const Files& files, const std::filesystem::path& file) {
  Connection connection(file, SQLITE_OPEN_READONLY, files.vfs());
  sqlite3_busy_timeout(connection.get(), 5000);
  return connection;
}

}  // namespace godwit::gateway
