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

#include "gateway/domain/changes.h"
#include "gateway/domain/reader.h"
#include "gateway/store/files.h"

namespace godwit::gateway {

class Store {
 public:
  // Opens or creates `directory`/godwit.db and takes the lock `directory`/gateway.lock. Throws StoreError
  // with a line that says what to do: the directory is missing or another gateway holds it, the database is
  // damaged, of a newer version or not ours. A file that is refused is left untouched.
  // `files` must outlive the store.
  explicit Store(const std::filesystem::path& directory, Files& files = real_files());
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // What is committed, as Ingest wants it. Throws StoreError.
  [[nodiscard]] std::vector<DeviceState> load();

  // Writes all of `changes` in one transaction and sets the offsets of its events. On return it is on the
  // disk. Throws StoreError: nothing of it is (a full disk, an I/O error); the caller may try again with new
  // changes, made from what load() returns.
  void commit(Changes& changes);

  // Moves the write-ahead log into the database when it has grown enough. May take some 10 ms; call it when
  // nobody waits. Failure is not an error: the next call tries again.
  void checkpoint();

  [[nodiscard]] const LogReader& reader() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::gateway
