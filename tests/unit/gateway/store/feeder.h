// SPDX-License-Identifier: Apache-2.0
// A database in a folder, filled as a gateway would fill it, for tests of the store.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "gateway/domain/ingest.h"
#include "gateway/store/checksum_vfs.h"
#include "gateway/store/store.h"
#include "tests/support/process.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway::test {

using godwit::test::TempDir;

inline std::filesystem::path database(const TempDir& dir) { return dir.path() / "godwit.db"; }

inline void execute(const std::filesystem::path& file, const std::string& sql) {
  sqlite3* connection = nullptr;
  ASSERT_EQ(sqlite3_open_v2(file.c_str(), &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            with_checksums(nullptr)),
            SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(connection);
  sqlite3_close(connection);
}

// Applies messages as a writer would, one transaction for each call.
class Feeder {
 public:
  explicit Feeder(Store& store) : store_(store), ingest_({}, store.load()) {}

  void commit(const std::vector<Message>& messages) {
    for (const Message& message : messages) ignore(ingest_.handle(message));  // some are meant to be refused
    commit();
  }
  // So late that the time at which devices were last seen is written.
  void flush_seen() {
    ingest_.tick(received(Ingest::kSeenFlush.count()));
    commit();
  }

 private:
  void commit() {
    Changes changes = ingest_.take();
    store_.commit(changes);
    (void)ingest_.committed(std::move(changes));
  }

  Store& store_;
  Ingest ingest_;
};

// A device's hello and mark, and what follows them.
inline std::vector<Message> introduced(std::vector<Message> messages, Epoch epoch = kEpoch) {
  std::vector<Message> all = introduction(epoch);
  all.insert(all.end(), messages.begin(), messages.end());
  return all;
}

inline std::vector<std::uint64_t> seqs(const std::vector<Event>& events) {
  std::vector<std::uint64_t> result;
  for (const Event& event : events) {
    if (event.type == EventType::kTelemetry) result.push_back(event.seq.value);
  }
  return result;
}

inline std::vector<Event> all_events(const Store& store, const LogReader::Filter& filter = {}) {
  return store.reader().read({0}, filter, {.events = 10'000}).events;
}

}  // namespace godwit::gateway::test
