// SPDX-License-Identifier: Apache-2.0
// A disk in memory under SQLite that forgets what was not synced: what tests and simulation put in the place
// of gateway/store's real files.
//
// Model. Every file has what processes read (the page cache) and what is on the platter. Writes and
// truncations change the first at once and the second at the next sync of the file; creating and deleting a
// name changes the directory's platter at the next sync of the directory, which SQLite asks for with a new
// journal or write-ahead log and with a deletion. A crash decides, by a seed, for each of those changes by
// itself whether it got to the platter whole, not at all, or in some of its 512-byte sectors: so they may
// come in any order too. A sector that was not written is not damaged by its neighbours (SQLite's "powersafe
// overwrite", which it assumes of real disks as well).
//
// A sync that fails forgets, as Linux does: what it should have written counts as clean from then on and
// stays readable until the crash, but only a seeded part of it has reached the platter.
//
// Deterministic: contents, crashes and SQLite's random numbers come from the seed, SQLite's clock from
// set_time(). reset_sqlite() is for the start of a run, since SQLite keeps one generator for the whole
// process. One thread. Takes memory for twice the size of the files. Locks and shared memory work between the
// connections of this process, as between processes on a real disk.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/store/files.h"
#include "proto/base/time.h"

namespace godwit::sim {

class Disk final : public gateway::Files {
 public:
  struct Operation {
    enum class Kind : std::uint8_t { kCreate, kDelete, kRead, kWrite, kTruncate, kSync, kSyncDirectory };
    Kind kind;
    std::string_view file;     // kSyncDirectory: the directory
    std::uint64_t offset = 0;  // kTruncate: the new size
    std::size_t size = 0;

    [[nodiscard]] bool changes() const { return kind != Kind::kRead; }
  };
  enum class Answer : std::uint8_t {
    kDo,
    kFail,  // an I/O error; nothing was done, but see above of a sync
    kFull,  // no room; of a write only
    kLie,   // a sync only: says that all is well, and has done nothing
    kDie,   // the process ends before this operation: it and all others fail until restart() or crash()
  };
  // Asked before each operation. Must not throw or use the disk.
  using Hook = std::function<Answer(const Operation&)>;

  explicit Disk(std::uint64_t seed, std::uint64_t capacity_bytes = std::uint64_t{1} << 40U);
  ~Disk() override;
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // gateway::Files. Any path that make_directory() was called with is a directory.
  const char* vfs() const override { return name_.c_str(); }
  bool is_directory(const std::filesystem::path& path) const override;
  std::optional<std::uint64_t> size(const std::filesystem::path& file) const override;
  Locked lock(const std::filesystem::path& file) override;
  std::optional<Space> space(const std::filesystem::path& directory) const override;
  void make_directory(const std::filesystem::path& path) { directories_.insert(path.string()); }

  void set_hook(Hook hook) { hook_ = std::move(hook); }
  void set_capacity(std::uint64_t bytes) { capacity_ = bytes; }
  void set_time(UnixMillis now) { now_ = now; }
  // Called when SQLite waits for a lock: what others would do meanwhile.
  void set_sleep(std::function<void()> sleep) { sleep_ = std::move(sleep); }
  // Some file systems have none: SQLite then refuses WAL mode.
  void set_shared_memory(bool there) { shared_memory_ = there; }

  // The process has died or is about to: everything fails until restart(). What is open must be closed (its
  // objects destroyed) before that.
  void kill() { dead_ = true; }
  [[nodiscard]] bool dead() const { return dead_; }
  // The process starts again on a machine that stayed on.
  void restart();
  // Power was lost. Seeded as said above; without a seed nothing that was not synced is left.
  void crash(std::optional<std::uint64_t> seed);

  // All files, with what is synced and what is not. Values: may be kept, copied and put on another disk.
  struct Change {
    std::uint64_t offset = 0;  // of a truncation: the new size
    std::string bytes;
    bool truncates = false;
  };
  struct File {
    std::string live;     // what processes read
    std::string platter;  // what is synced
    std::vector<Change> unsynced;
  };
  struct Name {                                 // nullptr: no such file
    std::vector<std::shared_ptr<File>> states;  // the platter's first, the live one last
  };
  using Image = std::map<std::string, Name, std::less<>>;
  [[nodiscard]] Image image() const;
  // What an operator's copy holds, and puts on a disk: all that processes read, synced.
  [[nodiscard]] Image copy() const;
  // Nothing is unsynced: no crash can take anything.
  [[nodiscard]] bool settled() const;
  // Replaces all files. What is open keeps the old ones, as after a rename.
  void restore(const Image& image);

  // As an operator's tools would, and synced. nullopt: no such file.
  [[nodiscard]] std::optional<std::string> read_file(const std::filesystem::path& file) const;
  void write_file(const std::filesystem::path& file, std::string content);
  void remove_file(const std::filesystem::path& file);
  // Turns bits of these bytes over, on the platter too. Beyond the end of the file it does nothing.
  void rot(const std::filesystem::path& file, std::uint64_t offset, std::size_t size, std::uint64_t seed);

  // Of all operations so far, their contents included.
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t operations() const { return operations_; }

  // SQLite's generator, of which there is one in the process, starts over from this seed.
  static void reset_sqlite(std::uint64_t seed);

 private:
  struct Vfs;     // SQLite's side, in vfs.cc
  struct Handle;  // an open file
  struct Shared;  // locks and shared memory of a file that is open
  friend struct Vfs;

  // Counts and hashes the operation, and asks the hook.
  Answer begin(const Operation& operation, std::string_view content = {});
  std::shared_ptr<File> find(std::string_view file) const;
  std::shared_ptr<File> create(const std::string& file);
  void sync_directory(std::string_view directory);
  bool write(File& file, std::uint64_t offset, std::string_view bytes);
  void truncate(File& file, std::uint64_t size);
  bool sync(File& file, Answer answer);
  std::uint64_t random();

  const std::string name_;
  std::unique_ptr<sqlite3_vfs> sqlite_;
  std::uint64_t seed_;
  std::uint64_t capacity_;
  std::uint64_t used_ = 0;
  Image names_;
  std::set<std::string, std::less<>> directories_;
  std::shared_ptr<std::set<std::string>> locked_ = std::make_shared<std::set<std::string>>();
  std::map<const File*, std::weak_ptr<Shared>> shared_;  // looked up only, never walked
  Hook hook_;
  std::function<void()> sleep_;
  UnixMillis now_;
  bool dead_ = false;
  bool shared_memory_ = true;
  std::uint64_t hash_ = 0;
  std::uint64_t operations_ = 0;
};

}  // namespace godwit::sim
