// SPDX-License-Identifier: Apache-2.0
// The keys and certificates of an installation: one authority that signs everything, and the leaves that
// broker, gateway and devices show each other. ECDSA P-256 with SHA-256 throughout, which is what small
// devices afford. Not here: where the files lie (gateway/app), and revocation.
//
// Nothing reads a clock; the present comes in as `now`. Every function throws Error when it cannot do its
// work: for these programs there is no going on without their certificates.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct evp_pkey_st;  // OpenSSL's EVP_PKEY and X509, which stay in certificate.cc
struct x509_st;

namespace godwit::pki {

// The text names the file or subject and says what is wrong, ready to be shown to a person.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Seconds = std::chrono::sys_seconds;

inline constexpr std::chrono::years kAuthorityLifetime{20};
inline constexpr std::chrono::years kLeafLifetime{2};
// Validity starts this long before `now`: the clock of a board without a battery lags behind after a power
// cut.
inline constexpr std::chrono::days kBackdate{1};

class Certificate;

class Key {
 public:
  static Key generate();
  static Key read(const std::filesystem::path& file);  // PEM, unencrypted

  [[nodiscard]] std::string pem() const;                // PKCS #8
  [[nodiscard]] std::vector<std::uint8_t> der() const;  // of an elliptic curve: SEC 1, RFC 5915

 private:
  friend class Certificate;
  struct Free {
    void operator()(evp_pkey_st* key) const;
  };
  explicit Key(evp_pkey_st* owned) : key_(owned) {}
  std::unique_ptr<evp_pkey_st, Free> key_;
};

enum class Purpose : std::uint8_t {
  kServer,  // extended key usage serverAuth
  kClient,  // extended key usage clientAuth; the common name is the identity
};

struct Subject {
  std::string common_name;  // 1 to 64 characters
  Purpose purpose = Purpose::kClient;
  std::vector<std::string> hosts = {};  // subject alternative names: DNS names and IP addresses
};

struct Authority;

class Certificate {
 public:
  static Certificate read(const std::filesystem::path& file);  // PEM, the first certificate in it

  // An authority's own certificate; it may sign leaves, not other authorities.
  static Certificate self_signed(const Key& key, std::string_view common_name, Seconds now);
  // A leaf for the holder of `key`, valid from now - kBackdate for `lifetime` from now.
  static Certificate issue(const Authority& authority, const Key& key, const Subject& subject, Seconds now,
                           std::chrono::seconds lifetime = kLeafLifetime);
  // The same subject, key and extensions with a new serial number and a new validity.
  [[nodiscard]] Certificate renewed(const Authority& authority, Seconds now) const;

  [[nodiscard]] std::string pem() const;
  [[nodiscard]] std::vector<std::uint8_t> der() const;
  [[nodiscard]] std::string common_name() const;
  [[nodiscard]] std::string serial() const;  // hexadecimal
  [[nodiscard]] Seconds not_before() const;
  [[nodiscard]] Seconds not_after() const;
  [[nodiscard]] std::vector<std::string> hosts() const;  // as in Subject
  [[nodiscard]] bool belongs_to(const Key& key) const;
  [[nodiscard]] bool signed_by(const Certificate& authority) const;

 private:
  struct Free {
    void operator()(x509_st* certificate) const;
  };
  explicit Certificate(x509_st* owned) : certificate_(owned) {}
  std::unique_ptr<x509_st, Free> certificate_;
};

struct Authority {
  Key key;
  Certificate certificate;
};

// "8883.example.org", "*.example.org", "192.0.2.7", "2001:db8::7": what may stand in Subject::hosts.
[[nodiscard]] bool is_host(std::string_view text);

}  // namespace godwit::pki
