// SPDX-License-Identifier: Apache-2.0
// The database file: opening, its schema, its checks, and the lock of the data directory. Internal to
// gateway/store.
#pragma once

#include <filesystem>

#include "gateway/store/sqlite.h"

namespace godwit::gateway {

inline constexpr int kSchemaVersion = 3;
inline constexpr std::int64_t kApplicationId = 0x47445754;  // "GDWT"; file(1) and we recognise the file by it

// Held by the one gateway of a data directory, until the end of the process at the latest.
class DirectoryLock {
 public:
  // Throws StoreError: the directory is missing, or another process (named) holds it.
  explicit DirectoryLock(const std::filesystem::path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_ = -1;
};

// Creates the file if it is not there. Throws StoreError, see Store; a file that is refused is left
// untouched.
Connection open_for_writing(const std::filesystem::path& file);
// The pages of a database that has none yet, or of the next VACUUM INTO, get checksums (checksum_vfs.h).
void request_checksums(Connection& connection);
Connection open_for_reading(const std::filesystem::path& file);

}  // namespace godwit::gateway
