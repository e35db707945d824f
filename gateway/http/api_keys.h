// SPDX-License-Identifier: Apache-2.0
// The keys that open the API. The file holds no secret: one key per line, as `NAME ROLE SHA256`, separated by
// blanks, where ROLE is viewer, operator or admin, and SHA256 the digest, in hexadecimal, of the text that
// the client sends after "Bearer ". Empty lines and lines that begin with '#' are skipped. The role has no
// effect: all that the API has may be read by any key.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::http {

struct ApiKey {
  std::string name;  // 1 to 64 characters of [A-Za-z0-9._-], unique in the file
  std::array<std::uint8_t, 32> digest{};
};

class ApiKeys {
 public:
  // Both throw std::runtime_error that names the line and what is wrong with it. `origin` is for that text.
  static ApiKeys parse(std::string_view text, std::string_view origin);
  static ApiKeys load(const std::filesystem::path& file);

  // The key behind an Authorization header's value. Takes the same time whichever key it is, and if it is
  // none. Borrowed from this object.
  [[nodiscard]] const ApiKey* find(std::string_view authorization) const;
  [[nodiscard]] std::size_t count() const { return keys_.size(); }

 private:
  std::vector<ApiKey> keys_;
};

[[nodiscard]] std::array<std::uint8_t, 32> sha256(std::string_view text);

}  // namespace godwit::http
