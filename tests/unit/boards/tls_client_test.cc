// SPDX-License-Identifier: Apache-2.0
#include "boards/common/tls/tls_client.h"

#include "tests/unit/boards/tls_fixture.h"

namespace godwit::boards {
namespace {

using test::pem;
using test::PemIdentity;
using test::TestClock;
using test::TlsClientTest;
using test::TlsServer;
using test::TlsServerContext;

using TlsVersions = test::TlsVersionsTest;

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

TEST_P(TlsVersions, TakeTheLargestRecordThatAServerMaySend) {
  const TlsServerContext context = make_server();
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  server.send(std::string(16'384, 'x'));
  std::vector<std::uint8_t> buffer(20'000);
  EXPECT_EQ(read(client, buffer), 16'384U);
}

INSTANTIATE_TEST_SUITE_P(All, TlsVersions, testing::ValuesIn(test::kVersions), &test::version_name);

TEST_F(TlsClientTest, SpeaksTls12WhenToldTo) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_,
                   {.server_name = "localhost", .version_max = TlsClient::Version::kTls12});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  EXPECT_EQ(server.version(), "TLSv1.2");
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
  TestClock::shift_ms = 2LL * 86'400'000;
  EXPECT_EQ(outcome(), "server certificate has expired");
  TestClock::shift_ms = -2LL * 86'400'000;
  EXPECT_EQ(outcome(), "server certificate is not yet valid: check the clock of this device");
  TestClock::known = false;
  EXPECT_EQ(outcome(), "ok");
}

TEST_F(TlsClientTest, OffersTheNewestVersionOnlyToAServerThatRefusesTheFirst) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {.version_min = TLS1_3_VERSION});
  const TlsClient::Options options{.server_name = "localhost", .version_first = TlsClient::Version::kTls12};
  TlsClient client(context_, trust_, &identity_, options);
  TlsServer refusing(context);
  EXPECT_EQ(handshake(client, refusing), Status::kUnsupported);
  EXPECT_EQ(client.last_error(), "the broker refuses TLS 1.2: the next attempt offers TLS 1.3");
  TlsServer server(context);
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  EXPECT_EQ(server.version(), "TLSv1.3");
  expect_exchange(client, server);
  std::vector<std::uint8_t> session(2000);
  session.resize(client.export_session(session).value_or(0));

  TlsClient restarted(context_, trust_, &identity_, options);
  ASSERT_EQ(restarted.import_session(session), Status::kOk);
  TlsServer again(context);
  ASSERT_EQ(handshake(restarted, again), Status::kOk) << restarted.last_error();
  EXPECT_EQ(again.version(), "TLSv1.3");
  EXPECT_TRUE(again.resumed());
  expect_exchange(restarted, again);

  const TlsServerContext both(ca_.server(), ca_.certificate(), {});
  TlsServer willing(both);
  TlsClient other(context_, trust_, &identity_, options);
  ASSERT_EQ(handshake(other, willing), Status::kOk) << other.last_error();
  EXPECT_EQ(willing.version(), "TLSv1.2");
}

// What a device knows before it has asked anybody: when it was provisioned.
class TlsEarliestTimeTest : public TlsClientTest {
 protected:
  TlsEarliestTimeTest() : TlsClientTest({.earliest_unix_ms = TestClock::real_ms()}) {}

  std::string outcome(std::int64_t not_before_s, std::int64_t not_after_s) {
    const PemIdentity server = ca_.issue({.common_name = "localhost",
                                          .names = {"DNS:localhost"},
                                          .server = true,
                                          .not_before_s = not_before_s,
                                          .not_after_s = not_after_s});
    const TlsServerContext context(server, ca_.certificate(), {});
    TlsServer stream(context);
    TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
    const Status status = handshake(client, stream);
    return status == Status::kOk ? std::string("ok") : std::string(client.last_error());
  }
};

TEST_F(TlsEarliestTimeTest, BoundsTheDatesOfCertificatesWhileTheTimeIsNotKnown) {
  TestClock::known = false;
  EXPECT_EQ(outcome(-3'600, -60), "server certificate has expired");
  EXPECT_EQ(outcome(-3'600, 3'600), "ok");
  EXPECT_EQ(outcome(3'600, 7'200), "ok");  // that this is not yet so cannot be known
}

TEST_F(TlsEarliestTimeTest, GivesWayToTheTimeOnceItIsKnown) {
  EXPECT_EQ(outcome(3'600, 7'200), "server certificate is not yet valid: check the clock of this device");
  TestClock::shift_ms = 5'400'000;
  EXPECT_EQ(outcome(3'600, 7'200), "ok");
  EXPECT_EQ(outcome(-3'600, 3'600), "server certificate has expired");
  TestClock::shift_ms = -1'800'000;  // the earliest was mistaken: what is known counts
  EXPECT_EQ(outcome(-3'600, -60), "ok");
}

TEST_F(TlsClientTest, KeepsToTheVersionsItIsGiven) {
  using Version = TlsClient::Version;
  const auto outcome = [&](Version client_min, Version client_max, int server_min, int server_max) {
    const TlsServerContext context(ca_.server(), ca_.certificate(),
                                   {.version_min = server_min, .version_max = server_max});
    TlsServer server(context);
    TlsClient client(context_, trust_, &identity_,
                     {.server_name = "localhost", .version_min = client_min, .version_max = client_max});
    return handshake(client, server) == Status::kOk ? server.version() : std::string("none");
  };
  constexpr auto k12 = Version::kTls12;
  constexpr auto k13 = Version::kTls13;
  EXPECT_EQ(outcome(k12, k13, TLS1_2_VERSION, TLS1_3_VERSION), "TLSv1.3");
  EXPECT_EQ(outcome(k12, k13, TLS1_2_VERSION, TLS1_2_VERSION), "TLSv1.2");
  EXPECT_EQ(outcome(k12, k12, TLS1_2_VERSION, TLS1_3_VERSION), "TLSv1.2");
  EXPECT_EQ(outcome(k12, k12, TLS1_3_VERSION, TLS1_3_VERSION), "none");
  EXPECT_EQ(outcome(k13, k13, TLS1_2_VERSION, TLS1_3_VERSION), "TLSv1.3");
  EXPECT_EQ(outcome(k13, k13, TLS1_2_VERSION, TLS1_2_VERSION), "none");
}

TEST_F(TlsClientTest, OffersANewerVersionOnceAServerRefusesTheFirst) {
  TlsClient client(context_, trust_, &identity_,
                   {.server_name = "localhost", .version_first = TlsClient::Version::kTls12});
  const auto version_with = [&](int server_min) {
    const TlsServerContext context(ca_.server(), ca_.certificate(),
                                   {.version_min = server_min, .version_max = TLS1_3_VERSION});
    TlsServer server(context);
    const Status status = handshake(client, server);
    client.stop();
    return status == Status::kOk ? server.version() : std::string(to_string(status));
  };
  EXPECT_EQ(version_with(TLS1_2_VERSION), "TLSv1.2");
  EXPECT_EQ(version_with(TLS1_3_VERSION), "unsupported");
  EXPECT_EQ(version_with(TLS1_3_VERSION), "TLSv1.3");
  EXPECT_EQ(version_with(TLS1_2_VERSION), "TLSv1.3");
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
  class Plain final : public ByteStream {
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
