// SPDX-License-Identifier: Apache-2.0
// The firmware image delivers: what a board records arrives once and in order, whatever is killed, cut or
// silent on the way.
#include <thread>

#include "tests/integration/qemu_test.h"

namespace godwit::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using QemuDelivery = QemuTest;

TEST_F(QemuDelivery, IntroducesItselfAndShowsItsChannels) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3));
  EXPECT_THAT(shown(), AllOf(HasSubstr(R"("online":true)"),
                             HasSubstr(std::string(R"("board":")") + tested_model().name + '"'),
                             HasSubstr(R"("firmware":"godwit)"), HasSubstr(R"("boot":1)"),
                             HasSubstr(R"("reset_reason":"power_on")"), HasSubstr(R"("health":{)")));
  // With the handshake behind it: half of what the watchdog waits for.
  constexpr std::uint64_t kTurnMaxSeconds = 4;
  EXPECT_LT(board.count("longest_turn_cycles"), kTurnMaxSeconds * tested_model().clock_hz);
  expect_all_delivered(board);
}

TEST_F(QemuDelivery, StoresEachRecordOnceAndInOrder) {
  start_servers();
  QemuBoard& board = add_board({.period_ms = 20});
  board.start();
  ASSERT_TRUE(wait_for_committed(60));
  expect_all_delivered(board);
}

TEST_F(QemuDelivery, DeliversWhatItRecordedWhileTheGatewayWasDead) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3));
  for (int kill = 0; kill < 3; ++kill) {
    gateway_.kill_gateway();
    std::this_thread::sleep_for(std::chrono::milliseconds(random(200, 1'500)));
    gateway_.start_gateway();
    ASSERT_TRUE(take_records(5)) << "kill " << kill;
  }
  expect_all_delivered(board);
}

TEST_F(QemuDelivery, DeliversWhatItRecordedWhileTheBrokerWasDead) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3));
  for (int kill = 0; kill < 2; ++kill) {
    gateway_.kill_broker();
    std::this_thread::sleep_for(std::chrono::milliseconds(random(200, 1'500)));
    gateway_.start_broker();
    ASSERT_TRUE(take_records(5)) << "kill " << kill;
  }
  expect_all_delivered(board);
}

TEST_F(QemuDelivery, DeliversWhatItRecordedWhileItsCableWasOut) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3));
  board.set_link(false);
  const std::uint64_t before = committed();
  std::this_thread::sleep_for(std::chrono::seconds(4));
  EXPECT_LE(committed(), before + 3) << "the cable was not out";
  board.set_link(true);
  ASSERT_TRUE(wait_for_committed(before + 20));
  expect_all_delivered(board);
}

// Without a word from the other side: the board has to find out by itself, and nothing of the dead connection
// may be missing for the next.
TEST_F(QemuDelivery, GivesUpADeadConnectionAndMakesANewOneAgainAndAgain) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(3));
  const std::uint64_t sessions = board.count("sessions");
  for (std::uint64_t outage = 1; outage <= 2; ++outage) {
    board.set_link(false);
    ASSERT_EQ(board.wait_for_status("link", "0", std::chrono::seconds(60)), "0") << "outage " << outage;
    board.set_link(true);
    ASSERT_GE(board.wait_for_count("sessions", sessions + outage, std::chrono::seconds(60)),
              sessions + outage)
        << "outage " << outage;
    ASSERT_TRUE(take_records(5)) << "outage " << outage;
  }
  expect_all_delivered(board);
}

}  // namespace
}  // namespace godwit::test
