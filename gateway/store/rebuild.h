// SPDX-License-Identifier: Apache-2.0
// What is done about damage that stands in the way of commits: in an index, in the log's newest pages, or in
// the list of free pages. Internal to gateway/store.
#pragma once

#include <cstdint>
#include <filesystem>

#include "gateway/store/files.h"

namespace godwit::gateway {

// Replaces the content of the database by a copy of what can be read of it: everything but the log whole, of
// the log every row that can be read, under its offset. In the place of the others are rows of the type
// kLostType, at the first and the last offset of each range, which readers show as gaps. Indexes and free
// pages are made anew. For readers, and should the process die, it is one transaction. Returns how many
// events are lost. Reads the whole database, and needs room for two more of its size meanwhile; nobody else
// may write it. Throws StoreError, and the database is as it was: something else than the log cannot be read
// (kDamaged), or there is no room (kFull).
[[nodiscard]] std::int64_t rebuild(const Files& files, const std::filesystem::path& file);

// Removes what a rebuild() left that was cut off.
void discard_draft(const Files& files, const std::filesystem::path& file);

}  // namespace godwit::gateway
