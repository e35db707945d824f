// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <sstream>
#include <stdexcept>

#include "gateway/http/text.h"

namespace godwit::http {
namespace {

bool is_role(std::string_view text) { return text == "viewer" || text == "operator" || text == "admin"; }

bool parse_digest(std::string_view hex, std::array<std::uint8_t, 32>& digest) {
  if (hex.size() != 2 * digest.size()) return false;
  const auto value = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const int high = value(hex[2 * i]);
    const int low = value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    digest[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return true;
}

}  // namespace

std::array<std::uint8_t, 32> sha256(std::string_view text) {
  std::array<std::uint8_t, 32> digest{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw std::bad_alloc();
  return digest;
}

ApiKeys ApiKeys::parse(std::string_view text, std::string_view origin) {
  ApiKeys keys;
  std::istringstream lines{std::string(text)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto fail = [&](const char* what) {
      throw std::runtime_error(std::string(origin) + ":" + std::to_string(number) + ": " + what);
    };
    std::istringstream words(line);
    std::string name;
    std::string role;
    std::string digest_text;
    std::string extra;
    if (!(words >> name) || name.front() == '#') continue;
    if (!(words >> role >> digest_text) || words >> extra) fail("expected three words: NAME ROLE SHA256");
    ApiKey key;
    if (!is_name(name)) fail("the name must be 1 to 64 characters of A-Z a-z 0-9 . _ -");
    key.name = name;
    if (!is_role(role)) fail("the role must be viewer, operator or admin");
    if (!parse_digest(digest_text, key.digest)) fail("the digest must be 64 lower-case hexadecimal digits");
    if (std::ranges::any_of(keys.keys_, [&](const ApiKey& known) { return known.name == name; })) {
      fail("this name is there already");
    }
    keys.keys_.push_back(std::move(key));
  }
  return keys;
}

ApiKeys ApiKeys::load(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error(file.string() + ": cannot be read: " + std::strerror(errno));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse(text, file.string());
}

const ApiKey* ApiKeys::find(std::string_view authorization) const {
  static constexpr std::string_view kScheme = "bearer ";  // RFC 9110, 11.1: the scheme's case does not matter
  if (!equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return nullptr;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  const auto digest = sha256(authorization);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {  // to the end whatever was found: no timing to learn from
    if (CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0) found = &key;
  }
  return found;
}

}  // namespace godwit::http
