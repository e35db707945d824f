// SPDX-License-Identifier: Apache-2.0
// Certificate authorities and certificates made on the spot (ECDSA P-256), for tests: good ones and bad ones.
// PEM, in memory. Failures of the harness throw.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace godwit::test {

struct PemIdentity {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string>
      names;            // subject alternative names in OpenSSL's words: "DNS:broker", "IP:127.0.0.1"
  bool server = false;  // extended key usage: server, otherwise client
  // Validity in seconds from now.
  std::int64_t not_before_s = -3'600;
  std::int64_t not_after_s = 86'400;
};

class TestCa {
 public:
  explicit TestCa(const std::string& common_name = "Test CA");
  TestCa(TestCa&&) noexcept;
  ~TestCa();

  [[nodiscard]] const std::string& certificate() const { return certificate_; }
  [[nodiscard]] PemIdentity issue(const CertificateRequest& request) const;

  // What most tests need.
  [[nodiscard]] PemIdentity server(const std::string& name = "localhost") const {
    return issue({.common_name = name, .names = {"DNS:" + name, "IP:127.0.0.1"}, .server = true});
  }
  [[nodiscard]] PemIdentity client(const std::string& name) const {
    return issue({.common_name = name, .names = {}});
  }

 private:
  std::unique_ptr<evp_pkey_st, void (*)(evp_pkey_st*)> key_;
  std::unique_ptr<x509_st, void (*)(x509_st*)> x509_;
  std::string certificate_;
};

}  // namespace godwit::test
