// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/sqlite.h"

#include <string>

#include "gateway/store/checksum_vfs.h"

namespace godwit::gateway {
namespace {

// The code as SqliteError keeps it.
int kind_of(int code) { return code == SQLITE_IOERR_DATA ? code : code & 0xFF; }

StoreTrouble trouble_of(int kind) {
  switch (kind) {
    case SQLITE_FULL:
      return StoreTrouble::kFull;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return StoreTrouble::kDisk;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR_DATA:
      return StoreTrouble::kDamaged;
    default:
      return StoreTrouble::kOther;
  }
}

std::string describe(sqlite3* database, int code) {
  std::string text = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  text += " (SQLite " + std::to_string(code) + ")";
  if (trouble_of(kind_of(code)) == StoreTrouble::kDamaged) text.append(": ").append(kOfDamage);
  return text;
}

}  // namespace

SqliteError::SqliteError(sqlite3* database, int code)
    : StoreError(describe(database, code), trouble_of(kind_of(code))), kind_(kind_of(code)) {}

bool SqliteError::refused() const {
  switch (kind_) {
    case SQLITE_TOOBIG:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
    case SQLITE_INTERNAL:
    case SQLITE_MISUSE:
      return true;
    default:
      return false;
  }
}

Connection::Connection(const std::filesystem::path& file, int flags, const char* vfs) {
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &database, flags | SQLITE_OPEN_NOMUTEX, with_checksums(vfs));
  database_.reset(database);
  if (code != SQLITE_OK) throw SqliteError(database, code);
  sqlite3_extended_result_codes(database, 1);
}

void Connection::execute(const char* sql) {
  const int code = sqlite3_exec(get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw SqliteError(get(), code);
}

std::int64_t Connection::integer(const char* sql) {
  const Statement statement(*this, sql);
  Query query(statement);
  return query.next() ? query.integer(0) : 0;
}

std::string Connection::text(const char* sql) {
  const Statement statement(*this, sql);
  Query query(statement);
  return query.next() ? std::string(query.text(0)) : std::string();
}

Statement::Statement(Connection& connection, std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(connection.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  statement_.reset(statement);
  if (code != SQLITE_OK) throw SqliteError(connection.get(), code);
}

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Query::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  throw SqliteError(sqlite3_db_handle(statement_), code);
}

std::string_view Query::text(int column) const {
  // In this order: the size is that of the form asked for last.
  const auto* const data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Query::bind(int index, std::string_view text) {
  check(sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8));
}

void Query::bind(int index, Bytes blob) {
  if (blob.data() == nullptr) return;  // no bytes: NULL
  check(sqlite3_bind_blob64(statement_, index, blob.data(), blob.size(), SQLITE_STATIC));
}

void Query::check(int code) const {
  if (code != SQLITE_OK) throw SqliteError(sqlite3_db_handle(statement_), code);
}

}  // namespace godwit::gateway
