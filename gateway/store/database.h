// SPDX-License-Identifier: Apache-2.0
// The database file: opening, its schema, its checks, and the lock of the data directory. Internal to
// gateway/store.
#pragma once

#include <filesystem>

#include "gateway/store/files.h"
#include "gateway/store/sqlite.h"

namespace godwit::gateway {

inline constexpr int kSchemaVersion = 4;                    // the first that a later gateway must know
inline constexpr std::int64_t kApplicationId = 0x47445754;  // "GDWT"; file(1) and we recognise the file by it

// log.type of a row in the place of events that cannot be read any more, see rebuild.h.
inline constexpr int kLostType = 0;

// Held by the one gateway of a data directory. Throws StoreError: the directory is missing, or another
// process (named) holds it.
std::unique_ptr<Files::Lock> lock_directory(Files& files, const std::filesystem::path& directory);

// Creates the file if it is not there. Throws StoreError, see Store; a file that is refused is left
// untouched.
Connection open_for_writing(const Files& files, const std::filesystem::path& file);
// The pages of a database that has none yet, or of the next VACUUM INTO, get checksums (checksum_vfs.h).
void request_checksums(Connection& connection);
// Checksums are not looked at: what it reads is believed, or about to be replaced. Before its first use.
void read_unchecked(Connection& connection);
// The schema, in an empty database.
void create(Connection& connection);
Connection open_for_reading(const Files& files, const std::filesystem::path& file);

}  // namespace godwit::gateway
