// SPDX-License-Identifier: Apache-2.0
// A server on 127.0.0.1 with a certificate made on the spot, a log in memory and one API key.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "gateway/domain/hex.h"
#include "gateway/http/server.h"
#include "tests/support/test_pki.h"
#include "tests/unit/gateway/fake_log.h"
#include "tests/unit/gateway/http/tls_client.h"

namespace godwit::http {

using gateway::test::FakeLog;

inline constexpr const char* kKey = "gwk_test";
inline constexpr const char* kAuthorization = "Authorization: Bearer gwk_test\r\n";
inline constexpr const char* kOtherKey = "gwk_other";

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    std::string name = (std::filesystem::temp_directory_path() / "godwit-http-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
    const test::PemIdentity identity = ca_.server();
    std::ofstream(directory_ / "cert.pem") << identity.certificate;
    std::ofstream(directory_ / "key.pem") << identity.key;
  }
  ~ServerTest() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void start(const Limits& limits = {}, Sources sources = {}) {
    sources.log = &log_;
    const std::string keys = "test viewer " + gateway::to_hex(sha256(kKey)) + "\nother viewer " +
                             gateway::to_hex(sha256(kOtherKey));
    server_ = std::make_unique<Server>(ServerConfig{.address = "127.0.0.1",
                                                    .port = 0,
                                                    .certificate_file = (directory_ / "cert.pem").string(),
                                                    .private_key_file = (directory_ / "key.pem").string(),
                                                    .limits = limits},
                                       ApiKeys::parse(keys, "test"), std::move(sources));
    server_->start();
  }

  TlsClient connect(int receive_buffer = 0) {
    return TlsClient(server_->port(),
                     {.ca = ca_.certificate(), .alpn = "", .receive_buffer = receive_buffer});
  }

  static std::string get(const std::string& target, const std::string& more = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + kAuthorization + more + "\r\n";
  }

  // Commits an event and hands it over, as the writer does.
  gateway::Event commit(const std::string& device, std::int64_t count) {
    const gateway::Event event = log_.append(device, count);
    server_->publish({&event, 1});
    return event;
  }

  // Waits for what another thread brings about.
  template <class Condition>
  static bool eventually(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }

  test::TestCa ca_;
  std::filesystem::path directory_;
  FakeLog log_;
  std::unique_ptr<Server> server_;
};

}  // namespace godwit::http
