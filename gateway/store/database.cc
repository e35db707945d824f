// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/database.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

#include "gateway/store/checksum_vfs.h"

namespace godwit::gateway {
namespace {

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

// What was logged before there were terms counts as one run.
constexpr const char* kSchemaVersion3 = R"sql(
CREATE TABLE terms (
  first_offset INTEGER PRIMARY KEY,  -- of its events, up to the next term's
  term         INTEGER NOT NULL UNIQUE
) STRICT;
INSERT INTO terms SELECT min(offset), 1 + (random() & 0x7fffffff) FROM log HAVING count(*) > 0;
-- The offset, being the rowid, is the last column of each.
DROP INDEX log_by_device;
DROP INDEX log_without_telemetry;
CREATE INDEX log_by_device ON log (device, type);
CREATE INDEX log_by_type ON log (type) WHERE type <> 1;  -- a filter that lets telemetry through reads the log
)sql";

// What makes each version of the one before. A new database goes through all of them, so that it is the same
// as an old one that was upgraded.
constexpr std::array<const char*, kSchemaVersion> kSchema{kSchemaVersion1, kSchemaVersion2, kSchemaVersion3};

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
    refuse(file, "is damaged (" + name + ": " + std::string(result.text(0)) +
                     "): restore a backup, or move it away to start anew");
  }
}

// Reads only: whatever is wrong with the file, it stays as it is.
void inspect(const std::filesystem::path& file) {
  try {
    Connection connection(file, SQLITE_OPEN_READONLY);
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
    check_projections(connection, file);
  } catch (const SqliteError& error) {
    if (!error.damaged()) throw StoreError("cannot read " + file.string() + ": " + error.what());
    refuse(file, "is damaged: " + std::string(error.what()));
  }
}

void upgrade(Connection& connection, std::size_t version) {
  connection.execute("BEGIN IMMEDIATE");
  for (; version < kSchema.size(); ++version) connection.execute(kSchema[version]);
  connection.execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
  connection.execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  connection.execute("COMMIT");
}

std::string holder(int descriptor) {
  std::array<char, 16> text{};
  const auto size = ::pread(descriptor, text.data(), text.size(), 0);
  int pid = 0;
  if (size <= 0 || std::from_chars(text.data(), text.data() + size, pid).ec != std::errc{}) return "unknown";
  return std::to_string(pid);
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory)) {
    throw StoreError(directory.string() + " is not a directory: create it with `godwit-gateway init`");
  }
  const auto file = directory / "gateway.lock";
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor_ < 0) {
    throw StoreError("cannot open " + file.string() + ": " + std::generic_category().message(errno));
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const std::string pid = holder(descriptor_);
    ::close(descriptor_);
    throw StoreError("another gateway (process " + pid + ") uses " + directory.string() +
                     ": stop it first, or use another data directory");
  }
  // Only for the message above: failing to write it does no harm.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, pid.data(), pid.size(), 0) < 0) return;
}

// The file stays: removing it would let two gateways lock two files of the same name.
DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

Connection open_for_writing(const std::filesystem::path& file) {
  std::error_code missing;
  if (std::filesystem::file_size(file, missing) > 0 && !missing) inspect(file);
  try {
    Connection connection(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    sqlite3_busy_timeout(connection.get(), 1000);  // somebody with a database shell
    request_checksums(connection);
    connection.execute("PRAGMA journal_mode = WAL");
    connection.execute("PRAGMA synchronous = FULL");
    connection.execute("PRAGMA wal_autocheckpoint = 0");         // Store::checkpoint() instead
    connection.execute("PRAGMA journal_size_limit = 33554432");  // after a burst
    connection.execute("PRAGMA cache_size = -8192");             // KiB
    const auto version = static_cast<std::size_t>(connection.integer("PRAGMA user_version"));
    if (version < kSchema.size()) upgrade(connection, version);
    return connection;
  } catch (const SqliteError& error) {
    throw StoreError("cannot open " + file.string() + ": " + error.what());
  }
}

void request_checksums(Connection& connection) {
  int bytes = kChecksumBytes;
  (void)sqlite3_file_control(connection.get(), "main", SQLITE_FCNTL_RESERVE_BYTES,
                             &bytes);  // only then it fits
}

Connection open_for_reading(const std::filesystem::path& file) {
  Connection connection(file, SQLITE_OPEN_READONLY);
  sqlite3_busy_timeout(connection.get(), 5000);
  return connection;
}

}  // namespace godwit::gateway
