// SPDX-License-Identifier: Apache-2.0
// Sessions that outlive the client, as they do when a device keeps them in flash and restarts.
#include "boards/common/storage/node_state.h"
#include "boards/common/tls/tls_client.h"
#include "tests/unit/boards/tls_fixture.h"

namespace godwit::boards {
namespace {

using test::pem;
using test::TlsClientTest;
using test::TlsServer;
using test::TlsServerContext;

constexpr TlsClient::Options kOptions{.server_name = "localhost"};

class TlsSession : public test::TlsVersionsTest {
 protected:
  // Connects, takes what tickets there are, and ends in order: a server forgets the session id otherwise.
  static void visit(TlsClient& client, const TlsServerContext& context, bool resumed) {
    TlsServer server(context);
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    EXPECT_EQ(server.resumed(), resumed);
    EXPECT_EQ(client.resumed(), resumed);
    expect_exchange(client, server);
    EXPECT_EQ(client.close_notify(), Status::kOk);
    EXPECT_EQ(server.receive(), "");
    server.close();
    client.stop();
  }
  static std::vector<std::uint8_t> exported(TlsClient& client) {
    std::vector<std::uint8_t> session(2000);
    const auto size = client.export_session(session);
    EXPECT_TRUE(size.has_value());
    session.resize(size.value_or(0));
    return session;
  }
  // Of a client that has been connected before.
  std::vector<std::uint8_t> make_session(const TlsServerContext& context) {
    TlsClient client(context_, trust_, &identity_, kOptions);
    visit(client, context, false);
    return exported(client);
  }
};

TEST_P(TlsSession, IsResumedAfterARestart) {
  const TlsServerContext context = make_server();
  std::vector<std::uint8_t> session = make_session(context);
  for (int restart = 0; restart < 3; ++restart) {
    TlsClient client(context_, trust_, &identity_, kOptions);
    ASSERT_EQ(client.import_session(session), Status::kOk);
    visit(client, context, true);
    session = exported(client);
  }
}

TEST_P(TlsSession, TellsWhenItIsWorthStoring) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, kOptions);
  std::array<std::uint8_t, 2000> buffer{};
  EXPECT_EQ(client.export_session(buffer), std::unexpected(Status::kNotFound));
  EXPECT_FALSE(client.session_changed());
  visit(client, context, false);
  EXPECT_TRUE(client.session_changed());
  const auto session = exported(client);
  EXPECT_FALSE(client.session_changed());

  TlsClient restarted(context_, trust_, &identity_, kOptions);
  ASSERT_EQ(restarted.import_session(session), Status::kOk);
  EXPECT_FALSE(restarted.session_changed());
}

TEST_P(TlsSession, IsRefusedWithDamageInAnyByteAndOfAnyOtherLength) {
  const TlsServerContext context = make_server();
  const auto session = make_session(context);
  TlsClient client(context_, trust_, &identity_, kOptions);
  for (std::size_t i = 0; i < session.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      auto damaged = session;
      damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ flip);
      EXPECT_EQ(client.import_session(damaged), Status::kCorrupt) << "byte " << i;
    }
    EXPECT_EQ(client.import_session(Bytes(session).first(i)), Status::kCorrupt) << "first " << i;
  }
  auto longer = session;
  longer.push_back(0);
  EXPECT_EQ(client.import_session(longer), Status::kCorrupt);
  EXPECT_FALSE(client.session_changed());
  visit(client, context, false);  // in full, as if nothing had been there
}

TEST_P(TlsSession, LeavesABufferThatIsTooSmallForItAlone) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, kOptions);
  visit(client, context, false);
  const auto session = exported(client);
  for (std::size_t size = 0; size < session.size(); ++size) {
    std::vector<std::uint8_t> buffer(size);
    EXPECT_EQ(client.export_session(buffer), std::unexpected(Status::kFull)) << size;
  }
  EXPECT_FALSE(client.session_changed()) << "it would be asked for again and again";
}

// A ticket of OpenSSL holds the client's certificate.
TEST_P(TlsSession, FitsTheRoomThatABoardHasForIt) {
  const std::size_t size = make_session(make_server()).size();
  RecordProperty("size", static_cast<int>(size));
  EXPECT_LE(size, NodeState::kSessionSizeMax);
}

TEST_P(TlsSession, IsGoodOnlyWhereTheServersCertificateWouldBeAcceptedAgain) {
  const TlsServerContext context = make_server();
  const auto session = make_session(context);
  TlsClient elsewhere(context_, trust_, &identity_, {.server_name = "broker.example"});
  EXPECT_EQ(elsewhere.import_session(session), Status::kCorrupt);

  const test::TestCa other_ca("Other CA");
  TrustAnchors other_trust;
  ASSERT_EQ(other_trust.add(pem(other_ca.certificate())), Status::kOk);
  TlsClient distrustful(context_, other_trust, &identity_, kOptions);
  EXPECT_EQ(distrustful.import_session(session), Status::kCorrupt);

  TlsClient anonymous(context_, trust_, nullptr, kOptions);
  EXPECT_EQ(anonymous.import_session(session), Status::kCorrupt);
}

TEST_P(TlsSession, CannotBeChangedUnderAConnection) {
  const TlsServerContext context = make_server();
  const auto session = make_session(context);
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, kOptions);
  ASSERT_EQ(client.start(server), Status::kOk);
  EXPECT_EQ(client.import_session(session), Status::kState);
}

TEST_P(TlsSession, OfAServerThatHasForgottenItLeadsToAFullHandshake) {
  const auto session = make_session(make_server());
  TlsClient client(context_, trust_, &identity_, kOptions);
  ASSERT_EQ(client.import_session(session), Status::kOk);
  visit(client, make_server(), false);
}

TEST_P(TlsSession, IsStillResumedAfterLinksThatBrokeInItsHandshake) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, kOptions);
  visit(client, context, false);
  for (std::size_t step = 0; step < 4; ++step) {
    SCOPED_TRACE(step);
    {
      TlsServer broken(context, TlsServer::kNever, step);
      ASSERT_EQ(handshake(client, broken), Status::kIo);
      client.stop();
    }
    visit(client, context, true);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TlsSession, testing::ValuesIn(test::kVersions), &test::version_name);

// Flash is written only for what is new: a session that is resumed by its id stays the same.
TEST_F(TlsClientTest, ResumesByIdWithoutTicketsAndKeepsTheSameSmallSession) {
  const TlsServerContext context(ca_.server(), ca_.certificate(),
                                 {.version_max = TLS1_2_VERSION, .tickets = true});
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost", .tls12_tickets = false});
  std::array<std::uint8_t, 160> buffer{};
  for (int connection = 0; connection < 3; ++connection) {
    TlsServer server(context);
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    EXPECT_EQ(server.resumed(), connection > 0);
    EXPECT_EQ(client.session_changed(), connection == 0);
    EXPECT_TRUE(client.export_session(buffer).has_value());
    expect_exchange(client, server);
    EXPECT_EQ(client.close_notify(), Status::kOk);
    EXPECT_EQ(server.receive(), "");
    server.close();
    client.stop();
  }
}

}  // namespace
}  // namespace godwit::boards
