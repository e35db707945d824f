// SPDX-License-Identifier: Apache-2.0
// A file system for SQLite in which every page of a database ends with a checksum of its content: what the
// disk gives back changed, or without a checksum, is an error, SQLITE_IOERR_DATA, and never believed. The
// format is that of SQLite's own checksum VFS (https://sqlite.org/cksumvfs.html), so that `sqlite3` reads
// such a file; but a checksum of zeros, as a page of zeros has it there, is stored as ones. Pages have their
// checksum in the database file only: SQLite, and so the write-ahead log, sees zeros in its place. Not
// covered, therefore: a page as long as it is in the write-ahead log. Somebody else's program that moves that
// into the database leaves pages without a checksum, which are then refused (ADR 0015 says what is to be
// done). Internal to gateway/store.
#pragma once

#include <sqlite3.h>

namespace godwit::gateway {

// The bytes at the end of each page: SQLITE_FCNTL_RESERVE_BYTES, before a new database has its first page.
inline constexpr int kChecksumBytes = 8;

// A file control, without an argument, for a connection that is about to replace every page: SQLite reads a
// page before it does, and what was there does not matter.
inline constexpr int kReadUnchecked = 0x47445754;

// The name, for sqlite3_open_v2(), of the file system called `base` (nullptr: the default one) with
// checksums. A new or empty database file gets them; of others those are checked that have them. Any thread.
// The string lives as long as the process.
[[nodiscard]] const char* with_checksums(const char* base);

}  // namespace godwit::gateway
