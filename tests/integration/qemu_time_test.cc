// SPDX-License-Identifier: Apache-2.0
// Where a board has its time from, and what becomes of records that were made before it knew it. And what a
// board remembers of TLS: sessions that are resumed after a cut, and after a reboot.
#include <thread>

#include "tests/integration/qemu_test.h"
#include "tests/support/tcp_proxy.h"

namespace godwit::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using QemuTime = QemuTest;

TEST_F(QemuTime, ComesFromTheTimeServer) {
  start_servers();
  sntp_.set_ahead(std::chrono::hours(24 * 400));
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3));
  EXPECT_EQ(board.status()["time_quality"], "synced");
  EXPECT_THAT(shown(), HasSubstr(R"("time_quality":"synced")"));
  const auto served = [] {
    return std::chrono::system_clock::now().time_since_epoch() + std::chrono::hours(24 * 400);
  };
  constexpr std::chrono::seconds kSlack(2);
  const auto before = served();
  const std::chrono::milliseconds board_time(board.count("time_ms"));
  EXPECT_GT(board_time, before - kSlack);
  EXPECT_LT(board_time, served() + kSlack);
  EXPECT_THAT(gateway_.get("/api/v1/devices/board-1/latest").body, HasSubstr(R"("time_quality":"synced")"));
}

TEST_F(QemuTime, IsResolvedLaterForRecordsThatWereMadeWithout) {
  start_servers();
  sntp_.set_silent(true);
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3)) << "it waits for the time for ever";
  EXPECT_EQ(board.status()["time_quality"], "none");
  EXPECT_THAT(gateway_.get("/api/v1/devices/board-1/telemetry?limit=1").body,
              AllOf(HasSubstr(R"("time_quality":"boot_relative")"), HasSubstr(R"("boot":1)")));
  sntp_.set_silent(false);
  EXPECT_EQ(board.wait_for_status("time_quality", "synced", std::chrono::seconds(90)), "synced");
  // The gateway learns the time of the boot, and so that of the records which it has already.
  EXPECT_THAT(gateway_.wait_for_body("/api/v1/devices/board-1/telemetry?limit=1",
                                     R"("time_quality":"resolved")", kTimeout),
              HasSubstr(R"("time_quality":"resolved")"));
  EXPECT_THAT(
      gateway_.wait_for_body("/api/v1/devices/board-1/latest", R"("time_quality":"synced")", kTimeout),
      HasSubstr(R"("time_quality":"synced")"));
  expect_all_delivered(board);
}

TEST_F(QemuTime, BeforeTheBoardWasProvisionedIsNotTaken) {
  start_servers();
  sntp_.set_ahead(-std::chrono::hours(24));
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(board.wait_for_line("event=time_refused", kTimeout).has_value());
  ASSERT_TRUE(take_records(3)) << "it waits for the time for ever";
  EXPECT_EQ(board.status()["time_quality"], "none");
  expect_all_delivered(board);
}

TEST_F(QemuTime, IsNotNeeded) {
  start_servers();
  QemuBoard& board = add_board({.sntp = false});
  board.start();
  ASSERT_TRUE(take_records(3));
  EXPECT_EQ(sntp_.requests(), 0U);
  EXPECT_THAT(shown(), HasSubstr(R"("time_quality":"none")"));
  expect_all_delivered(board);
}

using QemuTlsSession = QemuTest;

TEST_F(QemuTlsSession, IsResumedAfterACutAndAfterAReboot) {
  start_servers();
  TcpProxy proxy(gateway_.mqtt_port());
  QemuBoard& board = add_board({.broker_port = proxy.port()});
  board.start();
  ASSERT_TRUE(take_records(2));
  EXPECT_EQ(board.status()["resumed"], "0");
  for (int cut = 0; cut < 2; ++cut) {
    const std::size_t connections = proxy.connections();
    proxy.cut();
    ASSERT_TRUE(take_records(6));
    EXPECT_GT(proxy.connections(), connections);
    EXPECT_EQ(board.wait_for_status("resumed", "1", kTimeout), "1") << "cut " << cut;
  }
  for (int reboot = 0; reboot < 2; ++reboot) {
    kill_and_look(board);
    board.start();
    ASSERT_TRUE(take_records(6));
    EXPECT_EQ(board.status()["resumed"], "1") << "reboot " << reboot;
  }
  expect_all_delivered(board);
}

TEST_F(QemuTlsSession, OfAnotherLifeOfTheBrokerIsGivenUp) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(2));
  kill_and_look(board);
  gateway_.kill_broker();
  gateway_.start_broker();
  board.start();
  ASSERT_TRUE(take_records(6)) << "it insists on the session";
  EXPECT_EQ(board.status()["resumed"], "0");
  expect_all_delivered(board);
}

}  // namespace
}  // namespace godwit::test
