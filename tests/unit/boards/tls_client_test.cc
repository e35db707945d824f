// SPDX-License-Identifier: Apache-2.0
#include "boards/common/tls/tls_client.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/boards/tls_server.h"

namespace godwit::boards {
namespace {

using test::PemIdentity;
using test::TlsServer;
using test::TlsServerContext;

class SeededEntropy : public ports::Entropy {
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
std::int64_t g_clock_shift_ms = 0;
bool g_clock_known = true;
std::int64_t unix_time_ms() {
  return g_clock_known ? std::int64_t{std::time(nullptr)} * 1000 + g_clock_shift_ms : -1;
}

Bytes pem(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.c_str()), text.size() + 1};
}

class TlsClientTest : public testing::Test {
 protected:
  TlsClientTest() {
    g_clock_known = true;
    g_clock_shift_ms = 0;
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
  TlsContext context_{{.entropy = entropy_, .unix_time_ms = &unix_time_ms}};
  test::TestCa ca_;
  TrustAnchors trust_;
  ClientIdentity identity_;
};

struct VersionCase {
  const char* name;
  int server_max;
  bool tickets;
  const char* expected;
};
class TlsVersions : public TlsClientTest, public testing::WithParamInterface<VersionCase> {
 protected:
  TlsServerContext make_server() {
    return {ca_.server(),
            ca_.certificate(),
            {.version_max = GetParam().server_max, .tickets = GetParam().tickets}};
  }
};

TEST_P(TlsVersions, ConnectWithMutualTrustAndExchangeBytes) {
  const TlsServerContext context = make_server();
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  EXPECT_EQ(server.version(), GetParam().expected);
  EXPECT_EQ(server.requested_name(), "localhost");
  EXPECT_FALSE(client.resumed());
  expect_exchange(client, server);
}

TEST_P(TlsVersions, ResumeWhenStartedAgain) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  for (int connection = 0; connection < 4; ++connection) {
    TlsServer server(context);
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    EXPECT_EQ(server.resumed(), connection > 0) << connection;
    EXPECT_EQ(client.resumed(), connection > 0) << connection;
    expect_exchange(client, server);
    EXPECT_EQ(client.close_notify(), Status::kOk);
    EXPECT_EQ(server.receive(), "");
    server.close();  // a server forgets the session id of a connection without an orderly end
    client.stop();
  }
}

TEST_P(TlsVersions, HandshakeInFullWhenTheServerHasForgottenTheSession) {
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  for (int connection = 0; connection < 2; ++connection) {
    const TlsServerContext context = make_server();
    TlsServer server(context);
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    EXPECT_FALSE(server.resumed());
    EXPECT_FALSE(client.resumed());
    expect_exchange(client, server);
  }
}

TEST_P(TlsVersions, WorkWhenEachByteComesAlone) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  for (int connection = 0; connection < 2; ++connection) {
    TlsServer server(context, 1);
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    expect_exchange(client, server);
  }
}

// A TLS 1.3 server sends tickets after the handshake: a write may come while one has arrived in part.
TEST_P(TlsVersions, WriteWhileATicketIsOnItsWay) {
  const TlsServerContext context = make_server();
  for (int reads = 0; reads < 300; reads += 7) {
    TlsServer server(context, 1);
    TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    std::array<std::uint8_t, 8> buffer{};
    for (int i = 0; i < reads; ++i) EXPECT_EQ(client.read(buffer), std::unexpected(Status::kBusy));
    expect_exchange(client, server);
  }
}

TEST_P(TlsVersions, ReportALinkThatBreaksAtAnyStepAndConnectAgain) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  bool completed = false;
  for (std::size_t step = 0; !completed; ++step) {
    ASSERT_LT(step, 1000U);
    TlsServer broken(context, TlsServer::kNever, step);
    const Status status = handshake(client, broken);
    completed = !broken.failed() && status == Status::kOk;
    if (!completed) {
      EXPECT_EQ(status, Status::kIo) << "broken at call " << step;
      EXPECT_EQ(client.last_error(), "the connection broke");
    }
    TlsServer server(context);
    ASSERT_EQ(handshake(client, server), Status::kOk) << "after a break at call " << step;
    expect_exchange(client, server);
  }
}

TEST_P(TlsVersions, RefuseACertificateOfAnotherAuthority) {
  const test::TestCa stranger("Stranger");
  const TlsServerContext context(stranger.server(), ca_.certificate(),
                                 {.version_max = GetParam().server_max});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  EXPECT_EQ(handshake(client, server), Status::kDenied);
  EXPECT_EQ(client.last_error(), "server certificate not trusted: it does not come from the given authority");
}

TEST_P(TlsVersions, RefuseAnExpiredCertificate) {
  const PemIdentity expired =
      ca_.issue({.common_name = "localhost", .names = {"DNS:localhost"}, .server = true, .not_after_s = -60});
  const TlsServerContext context(expired, ca_.certificate(), {.version_max = GetParam().server_max});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  EXPECT_EQ(handshake(client, server), Status::kDenied);
  EXPECT_EQ(client.last_error(), "server certificate has expired");
}

TEST_P(TlsVersions, RefuseACertificateForAnotherName) {
  const TlsServerContext context = make_server();
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "broker.example"});
  EXPECT_EQ(handshake(client, server), Status::kDenied);
  EXPECT_EQ(client.last_error(), "host name mismatch: the server certificate is not for broker.example");
}

TEST_P(TlsVersions, RefuseACertificateThatIsNotMeantForServers) {
  const PemIdentity wrong = ca_.issue({.common_name = "localhost", .names = {"DNS:localhost"}});
  const TlsServerContext context(wrong, ca_.certificate(), {.version_max = GetParam().server_max});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  EXPECT_EQ(handshake(client, server), Status::kDenied);
  EXPECT_EQ(client.last_error(), "server certificate is not meant for servers");
}

TEST_P(TlsVersions, CheckANumericAddressAgainstTheCertificate) {
  const TlsServerContext context = make_server();
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "127.0.0.1"});
  EXPECT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  TlsServer other(context);
  TlsClient stranger(context_, trust_, &identity_, {.server_name = "127.0.0.2"});
  EXPECT_EQ(handshake(stranger, other), Status::kDenied);
}

// A TLS 1.3 client is done before the server has seen its certificate: the refusal comes with the first read.
TEST_P(TlsVersions, TellWhyTheServerRefusesTheClient) {
  const test::TestCa stranger("Stranger");
  const PemIdentity unknown = stranger.client("pump-3");
  ClientIdentity identity;
  ASSERT_EQ(identity.load(context_, pem(unknown.certificate), pem(unknown.key)), Status::kOk);
  const TlsServerContext context = make_server();
  const auto outcome = [&](const ClientIdentity* who) {
    TlsServer server(context);
    TlsClient client(context_, trust_, who, {.server_name = "localhost"});
    Status status = handshake(client, server);
    std::array<std::uint8_t, 8> buffer{};
    if (const auto size = status == Status::kOk ? read(client, buffer) : std::unexpected(status); !size)
      status = size.error();
    EXPECT_EQ(status, Status::kDenied);
    return std::string(client.last_error());
  };
  EXPECT_EQ(outcome(&identity), "client certificate refused by the broker: its authority is not known there");
  const std::string without = outcome(nullptr);
  EXPECT_TRUE(without.find("required") != std::string::npos ||
              without.find("require a client") != std::string::npos)
      << without;
}

INSTANTIATE_TEST_SUITE_P(All, TlsVersions,
                         testing::Values(VersionCase{"Tls13", TLS1_3_VERSION, true, "TLSv1.3"},
                                         VersionCase{"Tls12Tickets", TLS1_2_VERSION, true, "TLSv1.2"},
                                         VersionCase{"Tls12SessionIds", TLS1_2_VERSION, false, "TLSv1.2"}),
                         [](const auto& each) { return std::string(each.param.name); });

TEST_F(TlsClientTest, SpeaksTls12WhenToldTo) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_,
                   {.server_name = "localhost", .version_max = TlsClient::Version::kTls12});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  EXPECT_EQ(server.version(), "TLSv1.2");
}

TEST_F(TlsClientTest, TakesTheLargestRecordThatAServerMaySend) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  server.send(std::string(16'384, 'x'));
  std::vector<std::uint8_t> buffer(20'000);
  EXPECT_EQ(read(client, buffer), 16'384U);
}

TEST_F(TlsClientTest, MakesATls12ServerKeepToSmallRecords) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_,
                   {.server_name = "localhost",
                    .version_max = TlsClient::Version::kTls12,
                    .max_record = TlsClient::MaxRecord::k1024});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  server.send(std::string(2048, 'x'));
  std::vector<std::uint8_t> buffer(20'000);
  EXPECT_EQ(read(client, buffer), 1024U);
  EXPECT_EQ(read(client, buffer), 1024U);
}

TEST_F(TlsClientTest, CheckDatesByTheClockItIsGiven) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {});
  const auto outcome = [&] {
    TlsServer server(context);
    TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
    const Status status = handshake(client, server);
    return status == Status::kOk ? std::string("ok") : std::string(client.last_error());
  };
  g_clock_shift_ms = 2LL * 86'400'000;
  EXPECT_EQ(outcome(), "server certificate has expired");
  g_clock_shift_ms = -2LL * 86'400'000;
  EXPECT_EQ(outcome(), "server certificate is not yet valid: check the clock of this device");
  g_clock_known = false;
  EXPECT_EQ(outcome(), "ok");
}

TEST_F(TlsClientTest, TellsAnOrderlyEndFromABrokenOne) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  expect_exchange(client, server);
  server.close();
  std::array<std::uint8_t, 8> buffer{};
  EXPECT_EQ(read(client, buffer), 0U);
}

TEST_F(TlsClientTest, ExplainsAPeerThatDoesNotSpeakTls) {
  class Plain : public ByteStream {
   public:
    std::expected<std::size_t, Status> read(MutableBytes out) override {
      std::ranges::fill(out, std::uint8_t{'x'});
      return out.size();
    }
    std::expected<std::size_t, Status> write(Bytes in) override { return in.size(); }
  } peer;
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(client.start(peer), Status::kOk);
  Status status = Status::kBusy;
  while (status == Status::kBusy) status = client.handshake();
  EXPECT_EQ(status, Status::kMalformed);
  EXPECT_NE(client.last_error().find("is this the broker's TLS port?"), std::string::npos)
      << client.last_error();
}

TEST_F(TlsClientTest, RefusesAKeyOfAnotherCertificateAndWhatIsNoCertificate) {
  ClientIdentity mixed;
  EXPECT_EQ(mixed.load(context_, pem(ca_.client("a").certificate), pem(ca_.client("b").key)),
            Status::kInvalidArgument);
  ClientIdentity garbage;
  EXPECT_EQ(garbage.load(context_, pem("-----BEGIN nothing"), pem("")), Status::kMalformed);
  TrustAnchors none;
  EXPECT_EQ(none.add(pem("not a certificate")), Status::kMalformed);
}

}  // namespace
}  // namespace godwit::boards
