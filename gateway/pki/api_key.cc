// SPDX-License-Identifier: Apache-2.0
#include "gateway/pki/api_key.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <span>

#include "gateway/pki/certificate.h"

namespace godwit::pki {
namespace {

std::string hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

}  // namespace

std::string make_api_key() {
  std::array<unsigned char, 20> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw Error("cannot make an API key: the system gives no random numbers");
  }
  return "gwk_" + hex(bytes);
}

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw Error("SHA-256 is not available in this OpenSSL");
  }
  return hex(digest);
}

}  // namespace godwit::pki
