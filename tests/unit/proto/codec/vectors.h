// SPDX-License-Identifier: Apache-2.0
// Reads the golden bytes of proto/vectors: hexadecimal text, "#" begins a comment.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace godwit::codec {

// `name` is a path below proto/vectors without ".hex".
inline std::vector<std::uint8_t> vector_of(const std::string& name) {
  std::ifstream file(std::string(GODWIT_VECTORS_DIR) + "/" + name + ".hex");
  EXPECT_TRUE(file) << name;
  std::vector<std::uint8_t> bytes;
  for (std::string word; file >> word;) {
    if (word.starts_with("#")) {
      std::getline(file, word);
      continue;
    }
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(word, nullptr, 16)));
  }
  return bytes;
}

// The names of all vectors in a folder and below, sorted.
inline std::vector<std::string> vectors_below(const std::string& folder) {
  const std::filesystem::path root(GODWIT_VECTORS_DIR);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
    if (entry.path().extension() != ".hex") continue;
    names.push_back(entry.path().lexically_relative(root).replace_extension().generic_string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace godwit::codec
