// SPDX-License-Identifier: Apache-2.0
// Handshakes that let go of the processor as often as they can: what a watchdog and the rest of a main loop
// need on a slow processor.
#include "boards/common/tls/tls_client.h"
#include "tests/unit/boards/tls_fixture.h"

namespace godwit::boards {
namespace {

using test::TlsServer;
using test::TlsServerContext;

class TlsSteps : public test::TlsVersionsTest {
 protected:
  TlsSteps() : TlsVersionsTest({.public_key_steps_max = 1}) {}

  // How many times client.handshake() let go in order to compute on, until it was done or `turns_max` times.
  static int compute(TlsClient& client, TlsServer& server, int turns_max) {
    int turns = 0;
    for (int round = 0; round < 200'000 && turns < turns_max; ++round) {
      const Status status = client.handshake();
      if (status != Status::kBusy) {
        EXPECT_EQ(status, Status::kOk) << client.last_error();
        EXPECT_FALSE(client.computing());
        return turns;
      }
      if (client.computing()) {
        ++turns;
      } else {
        server.step();
      }
    }
    return turns;
  }
};

TEST_P(TlsSteps, LeadToTheSameConnection) {
  const TlsServerContext context = make_server();
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  for (int connection = 0; connection < 2; ++connection) {
    TlsServer server(context);
    ASSERT_EQ(client.start(server), Status::kOk);
    const int turns = compute(client, server, 1'000'000);
    server.step();
    EXPECT_EQ(server.version(), GetParam().expected);
    EXPECT_EQ(client.resumed(), connection > 0);
    // TLS 1.2 computes in pieces, TLS 1.3 goes from message to message; resumed, neither has much to do.
    const bool pieces = GetParam().server_max == TLS1_2_VERSION && connection == 0;
    EXPECT_GT(turns, pieces ? 100 : 5);
    expect_exchange(client, server);
    EXPECT_EQ(client.close_notify(), Status::kOk);
    EXPECT_EQ(server.receive(), "");
    server.close();
    client.stop();
  }
}

TEST_P(TlsSteps, CanBeGivenUpAtAnyOne) {
  const TlsServerContext context = make_server();
  TlsServer whole(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  ASSERT_EQ(client.start(whole), Status::kOk);
  const int all = compute(client, whole, 1'000'000);
  for (int turns = 1; turns < all; turns += 1 + all / 40) {
    TlsServer server(context);
    TlsClient abandoned(context_, trust_, &identity_, {.server_name = "localhost"});
    ASSERT_EQ(abandoned.start(server), Status::kOk);
    EXPECT_EQ(compute(abandoned, server, turns), turns);
    abandoned.stop();
    EXPECT_FALSE(abandoned.computing());
  }
  TlsServer server(context);
  ASSERT_EQ(handshake(client, server), Status::kOk) << client.last_error();
  expect_exchange(client, server);
}

TEST_P(TlsSteps, FindOutAboutABadCertificateAllTheSame) {
  const test::TestCa stranger("Stranger");
  const TlsServerContext context(stranger.server(), ca_.certificate(),
                                 {.version_max = GetParam().server_max});
  TlsServer server(context);
  TlsClient client(context_, trust_, &identity_, {.server_name = "localhost"});
  EXPECT_EQ(handshake(client, server), Status::kDenied);
  EXPECT_EQ(client.last_error(), "server certificate not trusted: it does not come from the given authority");
}

INSTANTIATE_TEST_SUITE_P(All, TlsSteps, testing::ValuesIn(test::kVersions), &test::version_name);

}  // namespace
}  // namespace godwit::boards
