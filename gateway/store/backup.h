// SPDX-License-Identifier: Apache-2.0
// A copy of the database as it is at one moment, while a gateway may write it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "gateway/store/files.h"

namespace godwit::gateway {

enum class Checksums : bool {
  kChecked,
  kIgnored,  // of a database that another program has written to: its pages are believed as they are
};

// Copies the database `source` to `copy`, which must be empty or not there, and checks what it has written.
// Syncs nothing. Otherwise as backup().
std::int64_t copy_database(const Files& files, const std::filesystem::path& source,
                           const std::filesystem::path& copy, Checksums checksums = Checksums::kChecked);

// Copies `directory`/godwit.db to `file`, which must not exist: mode 0600, checked, on the disk, and under
// that name only when it is whole. Returns the number of the newest event in it. Takes a read of the whole
// database; meanwhile the gateway's write-ahead log grows. Throws StoreError with a line that says what to
// do.
std::int64_t backup(const std::filesystem::path& directory, const std::filesystem::path& file,
                    Checksums checksums = Checksums::kChecked);

}  // namespace godwit::gateway
