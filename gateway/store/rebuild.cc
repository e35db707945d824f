// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/rebuild.h"

#include <memory>
#include <optional>
#include <string>

#include "gateway/store/checksum_vfs.h"
#include "gateway/store/database.h"
#include "gateway/store/sqlite.h"

namespace godwit::gateway {
namespace {

std::filesystem::path draft_of(const std::filesystem::path& file) { return file.string() + "-rebuilt"; }

// From one table into another with the same columns.
class RowCopy {
 public:
  RowCopy(Connection& to, const std::string& table, int columns) : put_(to, insert(table, columns)) {}

  void put(const Query& row) const {
    Query copy(put_);
    for (int i = 0; i < sqlite3_column_count(row.get()); ++i) {
      sqlite3_bind_value(copy.get(), i + 1, sqlite3_column_value(row.get(), i));
    }
    copy.next();
  }

 private:
  static std::string insert(const std::string& table, int columns) {
    std::string places = "?";
    for (int i = 1; i < columns; ++i) places += ", ?";
    return "INSERT INTO " + table + " VALUES (" + places + ")";
  }

  Statement put_;
};

void copy_table(Connection& from, Connection& to, const std::string& name) {
  const Statement all(from, "SELECT * FROM " + name);
  const RowCopy copy(to, name, sqlite3_column_count(all.get()));
  for (Query row(all); row.next();) copy.put(row);
}

// The row behind `after`; true: there is one. nullopt: it cannot be read.
std::optional<bool> next_readable(Query& row) {
  try {
    return row.next();
  } catch (const SqliteError& error) {
    if (!error.damaged()) throw;
    return std::nullopt;
  }
}

std::int64_t copy_log(Connection& from, Connection& to) {
  const Statement rows(from, "SELECT * FROM log NOT INDEXED WHERE offset > ?1 ORDER BY offset");
  const RowCopy copy(to, "log", sqlite3_column_count(rows.get()));
  const Statement put_lost(to,
                           "INSERT INTO log (offset, type, device, received_at, epoch, seq)"
                           " VALUES (?1, ?2, 0, 0, 0, 0)");
  const std::int64_t last = from.integer("SELECT seq FROM sqlite_sequence WHERE name = 'log'");
  std::int64_t lost = 0;
  std::int64_t lost_from = 0;  // 0: the row before was read
  const auto end_of_lost = [&](std::int64_t to_offset) {
    if (lost_from == 0) return;
    run(put_lost, lost_from, kLostType);
    if (to_offset > lost_from) run(put_lost, to_offset, kLostType);
    lost += to_offset - lost_from + 1;
    lost_from = 0;
  };
  for (std::int64_t after = 0; after < last;) {
    Query row(rows, after);
    std::optional<bool> found;
    while ((found = next_readable(row)).value_or(false)) {
      end_of_lost(row.integer(0) - 1);
      copy.put(row);
      after = row.integer(0);
    }
    if (found) break;  // there is no more
    ++after;           // what could not be read: try behind it
    if (lost_from == 0) lost_from = after;
  }
  end_of_lost(last);
  return lost;
}

std::int64_t make_draft(const Files& files, const std::filesystem::path& file, Connection& to) {
  Connection from = open_for_reading(files, file);
  from.execute("BEGIN");
  request_checksums(to);
  // Nobody reads it unless it is complete.
  to.execute("PRAGMA journal_mode = OFF");
  to.execute("PRAGMA synchronous = OFF");
  create(to);
  to.execute("BEGIN");
  const std::int64_t lost = copy_log(from, to);
  const Statement names(to,
                        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
                        " ESCAPE '!' AND name <> 'log'");
  for (Query name(names); name.next();) copy_table(from, to, std::string(name.text(0)));
  to.execute("DELETE FROM sqlite_sequence");
  copy_table(from, to, "sqlite_sequence");
  to.execute("COMMIT");
  return lost;
}

// In one transaction of the write-ahead log.
void replace(const Files& files, const std::filesystem::path& file, Connection& draft) {
  // Of its own, so that nothing it has read unchecked stays in a cache.
  Connection target(file, SQLITE_OPEN_READWRITE, files.vfs());
  sqlite3_busy_timeout(target.get(), 1000);
  read_unchecked(target);
  target.execute("PRAGMA synchronous = FULL");
  target.execute("PRAGMA wal_autocheckpoint = 0");
  sqlite3_backup* const backup = sqlite3_backup_init(target.get(), "main", draft.get(), "main");
  if (backup == nullptr) throw SqliteError(target.get(), sqlite3_extended_errcode(target.get()));
  const int code = sqlite3_backup_step(backup, -1);
  const int end = sqlite3_backup_finish(backup);
  if (code != SQLITE_DONE) throw SqliteError(target.get(), end != SQLITE_OK ? end : code);
}

}  // namespace

void discard_draft(const Files& files, const std::filesystem::path& file) {
  const std::filesystem::path draft = draft_of(file);
  if (!files.size(draft)) return;
  sqlite3_vfs* const vfs = sqlite3_vfs_find(files.vfs());
  vfs->xDelete(vfs, draft.c_str(), 0);
}

std::int64_t rebuild(const Files& files, const std::filesystem::path& file) {
  discard_draft(files, file);
  const auto space = files.space(file.parent_path());
  const std::uint64_t needed = 2 * files.size(file).value_or(0);
  if (space && space->free_bytes < needed) {
    throw StoreError("pages of the database are damaged, and to copy the others it takes " +
                         std::to_string((needed >> 20U) + 1) + " MiB of free space",
                     StoreTrouble::kFull);
  }
  std::int64_t lost = 0;
  {
    Connection draft(draft_of(file), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, files.vfs());
    lost = make_draft(files, file, draft);
    replace(files, file, draft);
  }
  discard_draft(files, file);
  return lost;
}

}  // namespace godwit::gateway
