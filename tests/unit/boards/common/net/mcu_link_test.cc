// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/mcu_link.h"

#include <ctime>

#include "tests/support/test_pki.h"
#include "tests/unit/boards/common/net/rig.h"
#include "tests/unit/boards/tls_server.h"

namespace godwit::boards {
namespace {

using Manner = test::TcpPeer::Manner;

std::int64_t unix_time_ms() { return std::int64_t{std::time(nullptr)} * 1000; }

Bytes pem(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1};
}

class McuLinkTest : public test::NetRig {
 protected:
  McuLinkTest() {
    EXPECT_EQ(tls_context_.start(), Status::kOk);
    EXPECT_EQ(trust_.add(pem(ca_.certificate())), Status::kOk);
    const test::PemIdentity device = ca_.client("pump-3");
    EXPECT_EQ(identity_.load(tls_context_, pem(device.certificate), pem(device.key)), Status::kOk);
    segment_.hosts["broker.example"] = test::kServerIp;
  }
  void make_link(const char* host = "10.0.0.1", const char* server_name = "localhost") {
    tls_.emplace(tls_context_, trust_, &identity_, TlsClient::Options{.server_name = server_name});
    link_.emplace(*network_, *tls_, McuLink::Options{.host = host});
  }
  // The broker's end: OpenSSL behind the TCP peer. A new connection has a new one.
  void serve() {
    if (segment_.tcp.connections() != connections_) {
      connections_ = segment_.tcp.connections();
      server_.emplace(server_context_);
      given_ = 0;
    }
    if (!server_) return;
    const std::string& received = segment_.tcp.received();
    if (given_ < received.size()) {
      given_ += server_->write(as_bytes(std::string_view(received).substr(given_))).value_or(0);
    }
    server_->step();
    std::array<std::uint8_t, 4'096> out{};
    while (const auto size = server_->read(out)) {
      if (*size == 0) break;
      segment_.tcp.send(std::string(as_text(Bytes(out).first(*size))));
    }
  }
  // As Connection does it.
  Status open(Millis time = Millis{120'000}) {
    link_->open(now());
    Status status = Status::kBusy;
    turn_ = [&] {
      serve();
      status = link_->advance(now());
    };
    run_until([&] { return status != Status::kBusy; }, time);
    turn_ = [this] { serve(); };
    if (status == Status::kOk) run(Millis{300});  // in TLS 1.3 the server is done later
    return status;
  }
  std::string read() {
    std::array<std::uint8_t, 64> buffer{};
    const auto size = link_->read(buffer);
    return size ? std::string(as_text(Bytes(buffer).first(*size))) : std::string(to_string(size.error()));
  }

  TlsContext tls_context_{{.entropy = entropy_, .unix_time_ms = &unix_time_ms}};
  test::TestCa ca_;
  TrustAnchors trust_;
  ClientIdentity identity_;
  test::TlsServerContext server_context_{ca_.server(), ca_.certificate(), {}};
  std::optional<test::TlsServer> server_;
  std::size_t given_ = 0;  // bytes of what the peer received, to the server
  int connections_ = 0;
  std::optional<TlsClient> tls_;
  std::optional<McuLink> link_;
};

TEST_F(McuLinkTest, LooksUpConnectsAndSpeaksTls) {
  start_with_address();
  make_link("broker.example");
  ASSERT_EQ(open(), Status::kOk) << link_->error();
  EXPECT_TRUE(link_->is_open());
  EXPECT_EQ(link_->deadline(), std::nullopt);
  EXPECT_EQ(link_->write(as_bytes("ping")), 4U);
  run(Millis{300});
  EXPECT_EQ(server_->receive(), "ping");
  server_->send("pong");
  run(Millis{300});
  EXPECT_EQ(read(), "pong");
  EXPECT_EQ(read(), "busy");
}

TEST_F(McuLinkTest, NumericAddressNeedsNoLookup) {
  start_with_address();
  make_link();
  ASSERT_EQ(open(), Status::kOk) << link_->error();
  EXPECT_EQ(segment_.dns_questions, 0);
}

TEST_F(McuLinkTest, ResumesItsSessionOnTheNextConnection) {
  start_with_address();
  make_link();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(open(), Status::kOk) << link_->error();
    EXPECT_EQ(link_->resumed(), i > 0) << i;
    server_->send("pong");
    run(Millis{300});
    EXPECT_EQ(read(), "pong");  // and with it the ticket
    link_->close();
    run(Millis{300});
    EXPECT_TRUE(segment_.tcp.finished_by_board());
  }
}

TEST_F(McuLinkTest, WaitsForTheNetworkWithoutADeadline) {
  segment_.cable = false;
  start();
  make_link();
  EXPECT_EQ(open(Millis{3'600'000}), Status::kBusy);
  EXPECT_EQ(link_->deadline(), std::nullopt);
  EXPECT_FALSE(link_->is_closed());
  segment_.cable = true;
  EXPECT_EQ(open(Millis{5'000}), Status::kOk) << link_->error();
}

TEST_F(McuLinkTest, CloseEndsAnOpeningToo) {
  segment_.cable = false;
  start();
  make_link();
  link_->open(now());
  EXPECT_EQ(link_->advance(now()), Status::kBusy);
  link_->close();
  EXPECT_TRUE(link_->is_closed());
  EXPECT_EQ(link_->advance(now()), Status::kState);
}

struct FailureCase {
  const char* name;
  Status status;
  const char* error;
  std::function<void(test::Segment&)> make;
};
class McuLinkFailures : public McuLinkTest, public testing::WithParamInterface<FailureCase> {};

TEST_P(McuLinkFailures, AreToldAndTheNextAttemptSucceeds) {
  start_with_address();
  make_link("broker.example");
  GetParam().make(segment_);
  EXPECT_EQ(open(), GetParam().status);
  EXPECT_EQ(link_->error(), GetParam().error);
  EXPECT_TRUE(link_->is_closed());
  segment_.hosts["broker.example"] = test::kServerIp;
  segment_.dns_answers = true;
  segment_.tcp.manner = Manner::kAccepts;
  segment_.lose = nullptr;
  EXPECT_EQ(open(), Status::kOk) << link_->error();
}

constexpr const char* kNoHost = "the name service does not know the broker's host, or does not answer";
INSTANTIATE_TEST_SUITE_P(
    , McuLinkFailures,
    testing::Values(
        FailureCase{"UnknownHost", Status::kNotFound, kNoHost, [](auto& s) { s.hosts.clear(); }},
        FailureCase{"SilentNameService", Status::kNotFound, kNoHost, [](auto& s) { s.dns_answers = false; }},
        FailureCase{"RefusedConnection", Status::kIo, "cannot connect to the broker: connection refused",
                    [](auto& s) { s.tcp.manner = Manner::kRefuses; }},
        FailureCase{"SilentBroker", Status::kTimeout, "cannot connect to the broker: no answer",
                    [](auto& s) { s.tcp.manner = Manner::kSilent; }},
        FailureCase{"SilenceInTheHandshake", Status::kTimeout,
                    "TLS handshake not finished in time by the broker",
                    [](auto& s) {
                      s.lose = [](const auto& frame) { return frame.size() > 200 && frame[23] == 6; };
                    }}),
    [](const auto& each) { return each.param.name; });

TEST_F(McuLinkTest, RefusesABrokerWithAnotherName) {
  start_with_address();
  make_link("10.0.0.1", "elsewhere");
  EXPECT_EQ(open(), Status::kDenied);
  EXPECT_EQ(link_->error(), "host name mismatch: the server certificate is not for elsewhere");
}

TEST_F(McuLinkTest, TellsTheBrokerWhyItRefusesIt) {
  start_with_address();
  make_link("10.0.0.1", "elsewhere");
  EXPECT_EQ(open(), Status::kDenied);
  const std::size_t before = segment_.tcp.received().size();
  run(Millis{300});
  EXPECT_GE(segment_.tcp.received().size(), before);
  EXPECT_TRUE(segment_.tcp.finished_by_board());  // in order: the alert is not lost in a reset
  EXPECT_FALSE(segment_.tcp.reset_by_board());
}

TEST_F(McuLinkTest, EndOfTheBrokerIsToldAfterItsLastByte) {
  start_with_address();
  make_link();
  ASSERT_EQ(open(), Status::kOk) << link_->error();
  server_->send("bye");
  server_->close();
  run(Millis{300});
  EXPECT_EQ(read(), "bye");
  std::array<std::uint8_t, 8> buffer{};
  EXPECT_EQ(link_->read(buffer), 0U);
  EXPECT_TRUE(link_->is_closed());
  EXPECT_EQ(link_->error(), "closed by the broker");
}

TEST_F(McuLinkTest, ResetByTheBrokerIsTold) {
  start_with_address();
  make_link();
  ASSERT_EQ(open(), Status::kOk) << link_->error();
  segment_.tcp.reset();
  run(Millis{300});
  EXPECT_EQ(read(), "io");
  EXPECT_TRUE(link_->is_closed());
  EXPECT_EQ(link_->error(), "the connection broke");
}

TEST_F(McuLinkTest, AbortResetsTheBroker) {
  start_with_address();
  make_link();
  ASSERT_EQ(open(), Status::kOk) << link_->error();
  link_->abort();
  run(Millis{300});
  EXPECT_TRUE(segment_.tcp.reset_by_board());
  EXPECT_TRUE(link_->is_closed());
}

TEST_F(McuLinkTest, LostAddressBreaksTheLinkAndTheNextOneCarriesAgain) {
  start_with_address();
  make_link();
  ASSERT_EQ(open(), Status::kOk) << link_->error();
  segment_.cable = false;
  run(Millis{1'000});
  segment_.cable = true;
  segment_.dhcp.address = test::ip(10, 0, 0, 9);
  segment_.dhcp.refuses = true;
  run(Millis{3'000});
  EXPECT_EQ(read(), "io");
  segment_.dhcp.refuses = false;
  EXPECT_EQ(open(), Status::kOk) << link_->error();
}

}  // namespace
}  // namespace godwit::boards
