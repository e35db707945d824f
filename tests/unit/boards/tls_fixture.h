// SPDX-License-Identifier: Apache-2.0
// A TlsClient's surroundings in tests: certificates, randomness, a clock to turn, and the usual ways to drive
// client and server.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <random>
#include <string>
#include <string_view>

#include "boards/common/tls/tls_client.h"
#include "tests/unit/boards/tls_server.h"

namespace godwit::test {

using boards::ClientIdentity;
using boards::TlsClient;
using boards::TlsContext;
using boards::TrustAnchors;

class SeededEntropy final : public ports::Entropy {
 public:
  Status fill(MutableBytes out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(generator_());
    return broken ? Status::kIo : Status::kOk;
  }
  bool broken = false;

 private:
  std::mt19937 generator_{42};
};

// The time of the moment at which the test certificates are made, and what some tests make of it.
struct TestClock {
  static inline std::int64_t shift_ms = 0;
  static inline bool known = true;
  static std::int64_t real_ms() { return std::int64_t{std::time(nullptr)} * 1000; }
  static std::int64_t unix_time_ms() { return known ? real_ms() + shift_ms : -1; }
};

inline Bytes pem(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1};
}

class TlsClientTest : public testing::Test {
 protected:
  struct Settings {
    std::int64_t earliest_unix_ms = 0;
    std::uint32_t public_key_steps_max = 0;
  };
  TlsClientTest() : TlsClientTest(Settings{}) {}
  explicit TlsClientTest(const Settings& settings)
      : context_({.entropy = entropy_,
                  .unix_time_ms = &TestClock::unix_time_ms,
                  .earliest_unix_ms = settings.earliest_unix_ms,
                  .public_key_steps_max = settings.public_key_steps_max}) {
    TestClock::known = true;
    TestClock::shift_ms = 0;
    EXPECT_EQ(context_.start(), Status::kOk);
    EXPECT_EQ(trust_.add(pem(ca_.certificate())), Status::kOk);
    const PemIdentity device = ca_.client("pump-3");
    EXPECT_EQ(identity_.load(context_, pem(device.certificate), pem(device.key)), Status::kOk);
  }

  // Runs both ends until the client is done or both wait for each other.
  static Status handshake(TlsClient& client, TlsServer& server) {
    EXPECT_EQ(client.start(server), Status::kOk);
    for (int round = 0; round < 20'000; ++round) {
      const Status status = client.handshake();
      server.step();
      if (status != Status::kBusy) return status;
    }
    return Status::kTimeout;
  }
  static std::expected<std::size_t, Status> read(TlsClient& client, MutableBytes out) {
    std::expected<std::size_t, Status> size = std::unexpected(Status::kBusy);
    for (int round = 0; round < 20'000 && !size && size.error() == Status::kBusy; ++round)
      size = client.read(out);
    return size;
  }
  static std::string read_text(TlsClient& client) {
    std::array<std::uint8_t, 32> buffer{};
    const auto size = read(client, buffer);
    return size ? std::string(as_text(Bytes(buffer).first(*size))) : std::string(to_string(size.error()));
  }
  static std::expected<std::size_t, Status> write(TlsClient& client, std::string_view text) {
    std::expected<std::size_t, Status> size = std::unexpected(Status::kBusy);
    for (int round = 0; round < 20'000 && !size && size.error() == Status::kBusy; ++round) {
      size = client.write(as_bytes(text));
    }
    return size;
  }
  static void expect_exchange(TlsClient& client, TlsServer& server) {
    ASSERT_TRUE(write(client, "ping").has_value());
    EXPECT_EQ(server.receive(), "ping");
    server.send("pong");
    EXPECT_EQ(read_text(client), "pong");
  }

  SeededEntropy entropy_;
  TlsContext context_;
  TestCa ca_;
  TrustAnchors trust_;
  ClientIdentity identity_;
};

struct VersionCase {
  const char* name;
  int server_max;
  bool tickets;
  const char* expected;
};
inline constexpr VersionCase kVersions[] = {{"Tls13", TLS1_3_VERSION, true, "TLSv1.3"},
                                            {"Tls12Tickets", TLS1_2_VERSION, true, "TLSv1.2"},
                                            {"Tls12SessionIds", TLS1_2_VERSION, false, "TLSv1.2"}};
inline std::string version_name(const testing::TestParamInfo<VersionCase>& each) { return each.param.name; }

// The same promises with each version and way to resume.
class TlsVersionsTest : public TlsClientTest, public testing::WithParamInterface<VersionCase> {
 protected:
  using TlsClientTest::TlsClientTest;
  TlsServerContext make_server() {
    return {ca_.server(),
            ca_.certificate(),
            {.version_max = GetParam().server_max, .tickets = GetParam().tickets}};
  }
};

}  // namespace godwit::test
