// SPDX-License-Identifier: Apache-2.0
// SQLite's C interface as three owning types. Internal to gateway/store. A connection and what belongs to it
// is for one thread at a time. Everything throws SqliteError.
#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/domain/reader.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {

// What to do.
inline constexpr const char* kOfDamage =
    "restore a backup of the database, or move it away to start anew; if another program has written to it, "
    "`godwit-gateway backup --unchecked` makes a copy to go on with";

class SqliteError : public StoreError {
 public:
  SqliteError(sqlite3* database, int code);
  // What was to be written is at fault, not the disk: trying again is of no use.
  [[nodiscard]] bool refused() const;
  // A progress handler ended it.
  [[nodiscard]] bool interrupted() const { return kind_ == SQLITE_INTERRUPT; }
  // The bytes on the disk are not those of a sound database.
  [[nodiscard]] bool damaged() const { return trouble() == StoreTrouble::kDamaged; }

 private:
  int kind_;  // primary result code, or SQLITE_IOERR_DATA: a page's checksum is wrong
};

class Connection {
 public:
  // `flags`: SQLITE_OPEN_...; `vfs`: Files::vfs().
  Connection(const std::filesystem::path& file, int flags, const char* vfs);

  void execute(const char* sql);
  [[nodiscard]] std::int64_t integer(const char* sql);  // the first column of the first row
  [[nodiscard]] std::string text(const char* sql);      // likewise
  [[nodiscard]] sqlite3* get() const { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

// Compiled once, run often through Query. Must not outlive its connection.
class Statement {
 public:
  Statement(Connection& connection, std::string_view sql);
  [[nodiscard]] sqlite3_stmt* get() const { return statement_.get(); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// One run of a statement: binds, steps through rows, resets. Arguments and what columns yield are borrowed
// until the end of it; a column's text and bytes only until the next next().
class Query {
 public:
  template <typename... Arguments>
  explicit Query(const Statement& statement, const Arguments&... arguments) : statement_(statement.get()) {
    int index = 0;
    (bind(++index, arguments), ...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // True if there is a (next) row.
  bool next();

  [[nodiscard]] std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  [[nodiscard]] std::uint64_t bits(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  [[nodiscard]] std::uint32_t word(int column) const { return static_cast<std::uint32_t>(integer(column)); }
  [[nodiscard]] std::string_view text(int column) const;  // or blob
  [[nodiscard]] sqlite3_stmt* get() const { return statement_; }

 private:
  // SQLite's integers are signed; 64-bit ids keep their bits.
  template <std::integral Integer>
  void bind(int index, Integer value) {
    check(sqlite3_bind_int64(statement_, index, static_cast<sqlite3_int64>(value)));
  }
  void bind(int index, std::optional<std::uint64_t> value) {
    if (value) bind(index, *value);
  }
  void bind(int index, std::string_view text);
  void bind(int index, Bytes blob);
  void check(int code) const;

  sqlite3_stmt* statement_;
};

template <typename... Arguments>
void run(const Statement& statement, const Arguments&... arguments) {
  Query query(statement, arguments...);
  while (query.next()) {
  }
}

}  // namespace godwit::gateway
