// SPDX-License-Identifier: Apache-2.0
// Small files that must be whole or absent after a power cut: written under another name, synced, then given
// their name. Blocking. Throws Error (certificate.h), naming the file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace godwit::pki {

enum class Access : unsigned {
  kOwner = 0600,     // keys and secrets
  kEveryone = 0644,  // the rest; only the owner writes
};

// False: something of that name is there already; nothing changed.
[[nodiscard]] bool create_file(const std::filesystem::path& file, std::string_view content, Access access);
void replace_file(const std::filesystem::path& file, std::string_view content, Access access);

// At most 1 MiB.
[[nodiscard]] std::string read_file(const std::filesystem::path& file);

// Makes the names in `directory` last: call after creating or renaming a directory.
void sync_directory(const std::filesystem::path& directory);

}  // namespace godwit::pki
