// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gateway_database.h"

#include <sqlite3.h>

#include <memory>
#include <stdexcept>

namespace godwit::test {
namespace {

using Database = std::unique_ptr<sqlite3, decltype(&sqlite3_close)>;
using Statement = std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)>;

std::uint64_t number(sqlite3_stmt* statement, int column) {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement, column));
}

}  // namespace

std::vector<StoredRecord> read_database(const std::filesystem::path& installation,
                                        const std::string& device) {
  const auto file = installation / "data" / "godwit.db";
  sqlite3* opened = nullptr;
  const int status = sqlite3_open_v2(file.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
  const Database database(opened, &sqlite3_close);
  if (status != SQLITE_OK) throw std::runtime_error("cannot open " + file.string());
  sqlite3_busy_timeout(database.get(), 5'000);

  sqlite3_stmt* prepared = nullptr;
  const char* const query =
      "SELECT epoch, seq, count, batch FROM log WHERE device = (SELECT key FROM devices WHERE id = ?1)"
      " AND seq > 0 ORDER BY offset";
  sqlite3_prepare_v2(database.get(), query, -1, &prepared, nullptr);
  const Statement statement(prepared, &sqlite3_finalize);
  sqlite3_bind_text(statement.get(), 1, device.c_str(), -1, SQLITE_STATIC);

  std::vector<StoredRecord> records;
  int step = SQLITE_DONE;
  while ((step = sqlite3_step(statement.get())) == SQLITE_ROW) {
    StoredRecord record{.epoch = number(statement.get(), 0),
                        .seq = number(statement.get(), 1),
                        .lost = number(statement.get(), 2)};
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), 3));
    if (size > 0)
      record.batch.assign(static_cast<const char*>(sqlite3_column_blob(statement.get(), 3)), size);
    records.push_back(std::move(record));
  }
  if (step != SQLITE_DONE) throw std::runtime_error(file.string() + ": " + sqlite3_errmsg(database.get()));
  return records;
}

}  // namespace godwit::test
