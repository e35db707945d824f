// SPDX-License-Identifier: Apache-2.0
// The file system as the store sees it: SQLite's virtual file system, and the few things that the store asks
// for besides. In production the operating system (real_files()); in simulation and tests a disk in memory
// (sim/disk) that loses what was not synced.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace godwit::gateway {

class Files {
 public:
  // Ends when it is destroyed, or with the process.
  class Lock {
   public:
    virtual ~Lock() = default;
  };
  struct Locked {
    std::unique_ptr<Lock> lock;  // nullptr: somebody else has it
    std::string holder;          // the process that does, as far as it is known
  };
  struct Space {
    std::uint64_t free_bytes = 0;  // for us, without what is kept for the administrator
    std::uint64_t total_bytes = 0;
  };

  virtual ~Files() = default;

  // The name under which SQLite knows the file system that opens these files; nullptr: its default. Valid as
  // long as this object.
  [[nodiscard]] virtual const char* vfs() const = 0;
  [[nodiscard]] virtual bool is_directory(const std::filesystem::path& path) const = 0;
  // In bytes; nullopt: there is no such file.
  [[nodiscard]] virtual std::optional<std::uint64_t> size(const std::filesystem::path& file) const = 0;
  // Creates the file if it is not there; it stays. Throws StoreError if that cannot be done.
  [[nodiscard]] virtual Locked lock(const std::filesystem::path& file) = 0;
  // Of the file system that holds the directory. nullopt: it does not say.
  [[nodiscard]] virtual std::optional<Space> space(const std::filesystem::path& directory) const = 0;
};

// The operating system's. From any thread.
[[nodiscard]] Files& real_files();

}  // namespace godwit::gateway
