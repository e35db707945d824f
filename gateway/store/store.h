// SPDX-License-Identifier: Apache-2.0
// The gateway's database: one durable log of events and the projections made from it (devices, streams,
// tables, boots, latest values), in one SQLite file with WAL and full sync. Writing is for one thread;
// reading goes through reader(), on connections of its own, from any thread. Decision:
// docs/adr/0004-store.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "gateway/domain/ingest.h"
#include "gateway/domain/reader.h"

namespace godwit::gateway {

class Store {
 public:
  // Opens or creates `directory`/godwit.db and takes the lock `directory`/gateway.lock. Throws StoreError
  // with a line that says what to do: the directory is missing or another gateway holds it, the database is
  // damaged, of a newer version or not ours. A file that is refused is left untouched.
  // `term`: of this run, drawn at random by whoever starts it. Term{} is for tests, which want the same ids
  // each time: one more than the last. One that is known already gives way in the same manner.
  explicit Store(const std::filesystem::path& directory, Term term = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // What is committed, as Ingest wants it. Throws StoreError.
  [[nodiscard]] std::vector<DeviceState> load();

  // Writes all of `changes` in one transaction and sets offset and term of its events. On return it is on the
  // disk. Throws StoreError: nothing of it is (a full disk, an I/O error); the caller may try again with new
  // changes.
  void commit(Changes& changes);

  // Moves the write-ahead log into the database when it has grown enough. May take some 10 ms; call it when
  // nobody waits. Failure is not an error: the next call tries again.
  void checkpoint();

  [[nodiscard]] const LogReader& reader() const;
  // Reads under way end with a StoreError, and so do all later ones. From any thread.
  void interrupt_reads();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::gateway
