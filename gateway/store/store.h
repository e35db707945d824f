// SPDX-License-Identifier: Apache-2.0
// The gateway's database: one durable log of events and the projections made from it (devices, streams,
// tables, boots, latest values), in one SQLite file with WAL and full sync. Writing is for one thread;
// reading goes through reader(), on connections of its own, from any thread. Decision:
// docs/adr/0004-store.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/domain/changes.h"
#include "gateway/domain/reader.h"
#include "gateway/store/files.h"

namespace godwit::gateway {

// The database does not take something of one device, though the disk is well: trying again is of no use.
class Refused : public StoreError {
 public:
  Refused(const std::string& why, std::string_view device, std::optional<std::size_t> event)
      : StoreError(why), device_(device), event_(event) {}
  [[nodiscard]] const std::string& device() const { return device_; }
  // In Changes::events; nullopt: it is something else of the device.
  [[nodiscard]] std::optional<std::size_t> event() const { return event_; }

 private:
  std::string device_;
  std::optional<std::size_t> event_;
};

class Store {
 public:
  // Opens or creates `directory`/godwit.db and takes the lock `directory`/gateway.lock. Throws StoreError
  // with a line that says what to do: the directory is missing or another gateway holds it, the database is
  // damaged, of a newer version or not ours. A file that is refused is left untouched.
  // `term`: of this run, drawn at random by whoever starts it. Term{} is for tests, which want the same ids
  // each time: one more than the last. One that is known already gives way in the same manner.
  // `files` must outlive the store.
  explicit Store(const std::filesystem::path& directory, Term term = {}, Files& files = real_files());
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // What is committed, as Ingest wants it. Throws StoreError.
  [[nodiscard]] std::vector<DeviceState> load();

  // Writes all of `changes` in one transaction and sets offset and term of its events. On return it is on the
  // disk. Damage of the log or an index that is in the way is repaired: the database is rebuilt from what can
  // be read, which takes a read and two writes of all of it, and what cannot is a gap in the log, `damaged`.
  // Throws StoreError: nothing of it is (a full disk, an I/O error), and the caller may try again with the
  // same changes, or with others if it is Refused. kDamaged: trying again is of no use, what the gateway goes
  // by is damaged and the next start says so.
  void commit(Changes& changes);
  // How many events that was the end of, if the database was rebuilt since this was asked last.
  [[nodiscard]] std::optional<std::int64_t> take_rebuilt();

  // Another record of this device may be put into quarantine. Throws StoreError.
  [[nodiscard]] bool quarantine_has_room(std::string_view device);
  static constexpr int kQuarantineMax = 256;  // records, but for those of one more transaction
  static constexpr int kQuarantinePerDeviceMax = 64;

  // Moves the write-ahead log into the database when it has grown enough. May take some 10 ms; call it when
  // nobody waits. Failure is not an error: the next call tries again. Beyond kWalSizeMax it waits for
  // readers, who would otherwise keep the log growing, up to 50 ms.
  void checkpoint();
  static constexpr std::size_t kWalSizeMax = 64U << 20U;  // bytes

  // Free, of the whole disk that holds the database: 0 to 1. nullopt: it does not say.
  [[nodiscard]] std::optional<double> free_share() const;

  struct Sizes {
    std::uint64_t database_bytes = 0;
    std::uint64_t wal_bytes = 0;                   // of the write-ahead log beside it
    std::optional<std::uint64_t> disk_free_bytes;  // nullopt: the disk does not say
  };
  // As the file system has them. From any thread.
  [[nodiscard]] Sizes sizes() const;

  [[nodiscard]] const LogReader& reader() const;
  // Reads under way end with a StoreError, and so do all later ones. From any thread.
  void interrupt_reads();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::gateway
