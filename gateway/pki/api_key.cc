// SPDX-License-Identifier: Apache-2.0
#include "gateway/pki/api_key.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>

#include "gateway/domain/hex.h"
#include "gateway/pki/certificate.h"

namespace godwit::pki {
std::string make_api_key() {
  std::array<unsigned char, 20> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw Error("cannot make an API key: the system gives no random numbers");
  }
  return "gwk_" + gateway::to_hex(bytes);
}

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    throw Error("SHA-256 is not available in this OpenSSL");
  }
  return gateway::to_hex(digest);
}

}  // namespace godwit::pki
