// SPDX-License-Identifier: Apache-2.0
// A client with the record buffers of a small board, 2,048 bytes in and 1,024 out, and servers that send as
// much at once as they are let.
#include "boards/common/tls/tls_client.h"
#include "tests/unit/boards/tls_fixture.h"

namespace godwit::boards {
namespace {

using test::PemIdentity;
using test::TlsClientTest;
using test::TlsServer;
using test::TlsServerContext;

static_assert(TlsClient::kMaxRecord == TlsClient::MaxRecord::k2048);
constexpr std::size_t kRecordMax = 2'048;
constexpr std::string_view kTooLarge =
    "the broker sends more at once than fits: give it a smaller certificate, or use one that knows "
    "max_fragment_length (RFC 6066)";

class TlsSmallBuffers : public test::TlsVersionsTest {
 protected:
  // What a broker writes that has much to tell, and the records in which it came.
  static std::string text(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23 + i / 1'000 % 3);
    return text;
  }
  static void expect_much(TlsClient& client, TlsServer& server) {
    const std::string sent = text(40'000);
    server.send(sent);
    std::string received;
    std::size_t largest = 0;
    while (received.size() < sent.size()) {
      std::array<std::uint8_t, 20'000> buffer{};
      const auto size = read(client, buffer);
      ASSERT_TRUE(size.has_value()) << client.last_error();
      largest = std::max(largest, *size);
      received += as_text(Bytes(buffer).first(*size));
    }
    EXPECT_EQ(received, sent);
    EXPECT_EQ(largest, kRecordMax);
  }
  static void visit(TlsClient& client, const TlsServerContext& context, bool resumed) {
    TlsServer server(context);
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    EXPECT_EQ(server.version(), GetParam().expected);
    EXPECT_EQ(server.resumed(), resumed);
    expect_exchange(client, server);
    expect_much(client, server);
    EXPECT_EQ(client.close_notify(), Status::kOk);
    EXPECT_EQ(server.receive(), "");
    server.close();
    client.stop();
  }
  // A server's certificate of some `names` x 40 bytes.
  [[nodiscard]] PemIdentity large_certificate(int names) const {
    std::vector<std::string> all{"DNS:localhost"};
    for (int i = 0; i < names; ++i) all.push_back("DNS:" + std::string(34, 'n') + std::to_string(100 + i));
    return ca_.issue({.common_name = "localhost", .names = all, .server = true});
  }
};

TEST_P(TlsSmallBuffers, TakeWhateverAServerSendsInAFullAndInAResumedSession) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  for (int connection = 0; connection < 3; ++connection) visit(client, context, connection > 0);
}

TEST_P(TlsSmallBuffers, TakeItInASessionOfBeforeTheRestartToo) {
  const TlsServerContext context = make_server();
  std::vector<std::uint8_t> session(2'000);
  {
    TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
    visit(client, context, false);
    session.resize(client.export_session(session).value_or(0));
  }
  TlsClient restarted(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(restarted.import_session(session), Status::kOk);
  visit(restarted, context, true);

  TlsClient other(context_, trust_, &identity_,
                  {.server_name = "localhost", .max_record = TlsClient::MaxRecord::kAny});
  EXPECT_EQ(other.import_session(session), Status::kCorrupt) << "a session keeps the size of its records";
}

TEST_P(TlsSmallBuffers, HandshakeInRecordsSmallerThanItsMessages) {
  const TlsServerContext context(large_certificate(30), ca_.certificate(),
                                 {.version_max = GetParam().server_max, .tickets = GetParam().tickets});
  TlsServer server(context, 700);
  TlsClient client(context_, trust_, &identity_,
                   {.server_name = "localhost", .max_record = TlsClient::MaxRecord::k512});
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  expect_exchange(client, server);
}

TEST_P(TlsSmallBuffers, SayWhyAServerThatIsNotAskedOrDoesNotListenCannotBeUsed) {
  const TlsServerContext context = make_server();
  for (const std::size_t size : {kRecordMax + 1, std::size_t{16'384}}) {
    TlsServer server(context);
    TlsClient client(context_, trust_, &identity_,
                     {.server_name = "localhost", .max_record = TlsClient::MaxRecord::kAny});
    ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
    expect_exchange(client, server);
    server.send(std::string(size, 'x'));
    std::array<std::uint8_t, 20'000> buffer{};
    EXPECT_EQ(read(client, buffer), std::unexpected(Status::kMalformed)) << size;
    EXPECT_EQ(client.last_error(), kTooLarge) << size;
  }
}

TEST_P(TlsSmallBuffers, SayWhenTheServersCertificateIsTooLarge) {
  const TlsServerContext context(large_certificate(60), ca_.certificate(),
                                 {.version_max = GetParam().server_max, .tickets = GetParam().tickets});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  EXPECT_EQ(handshake(client, server), Status::kMalformed);
  EXPECT_EQ(client.last_error(), kTooLarge);
}

INSTANTIATE_TEST_SUITE_P(All, TlsSmallBuffers, testing::ValuesIn(test::kVersions), &test::version_name);

TEST_F(TlsClientTest, AsksForSmallRecordsInTheVersionThatAServerInsistsOnToo) {
  const TlsServerContext context(ca_.server(), ca_.certificate(), {.version_min = TLS1_3_VERSION});
  TlsClient client(context_, trust_, &identity_,
                   {.server_name = "localhost", .version_first = TlsClient::Version::kTls12});
  TlsServer refusing(context);
  ASSERT_EQ(handshake(client, refusing), Status::kUnsupported);
  TlsServer server(context);
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  EXPECT_EQ(server.version(), "TLSv1.3");
  server.send(std::string(4'096, 'x'));
  std::array<std::uint8_t, 20'000> buffer{};
  EXPECT_EQ(read(client, buffer), kRecordMax);
  EXPECT_EQ(read(client, buffer), kRecordMax);
}

}  // namespace
}  // namespace godwit::boards
