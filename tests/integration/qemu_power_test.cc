// SPDX-License-Identifier: Apache-2.0
// The power of a board fails (SIGKILL to QEMU) at random moments, many times, with the same storage. What the
// storage holds after each cut is read with the outbox itself, and must be in the gateway's database at the
// end, byte for byte.
//
// GODWIT_POWER_CUTS=n: so many instead of two dozen.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "tests/integration/qemu_test.h"

namespace godwit::test {
namespace {

// How far a board gets before its power fails. Online: the gateway has answered its hello.
enum class Life : unsigned { kStarting, kAnywhere, kOnline, kDelivering };
constexpr unsigned kLives = 4;

class QemuPower : public QemuTest {
 protected:
  // What the console said last before the power fails.
  struct Said {
    bool online = false;
    std::uint64_t acked_seq = 1;
    std::uint64_t next_seq = 1;
  };

  // Starts it and lets it get there. What nobody looked at is as at first.
  Said live(QemuBoard& board, Life life) {
    board.start();
    if (life == Life::kStarting) pause(150);
    if (life == Life::kAnywhere) pause(2'000);
    if (life == Life::kStarting || life == Life::kAnywhere) return {};
    EXPECT_EQ(board.wait_for_status("online", "1", kTimeout), "1");
    if (life == Life::kDelivering) {
      const std::uint64_t acked = board.count("acked_seq") + random(1, 20);
      EXPECT_GE(board.wait_for_count("acked_seq", acked, kTimeout), acked);
    }
    auto status = board.status();
    pause(60);
    return {.online = status["online"] == "1",
            .acked_seq = std::stoull(status["acked_seq"]),
            .next_seq = std::stoull(status["next_seq"])};
  }

 private:
  void pause(unsigned ms_max) { std::this_thread::sleep_for(std::chrono::milliseconds(random(0, ms_max))); }
};

unsigned power_cuts() {
  const char* const text = std::getenv("GODWIT_POWER_CUTS");
  return text == nullptr ? 24 : static_cast<unsigned>(std::stoul(text));
}

TEST_F(QemuPower, LosesNothingThatWasRecordedHoweverOftenItFails) {
  start_servers();
  QemuBoard& board = add_board({.period_ms = 10, .rows = 3});
  std::uint64_t held = 1;
  bool gateway_runs = true;
  unsigned while_publishing = 0;
  for (unsigned cut = 0; cut < power_cuts(); ++cut) {
    SCOPED_TRACE("power cut " + std::to_string(cut));
    const auto life = static_cast<Life>(cut % kLives);
    // Now and then there is nobody to deliver to: the records of several lives wait in the storage.
    const bool needed = life == Life::kOnline || life == Life::kDelivering;
    if (const bool wanted = needed || random(0, 2) == 0; wanted != gateway_runs) {
      wanted ? gateway_.start_gateway() : gateway_.kill_gateway();
      gateway_runs = wanted;
    }
    const Said said = live(board, life);
    const std::uint64_t now = kill_and_look(board, "board-1", said.next_seq);
    EXPECT_GE(now, std::max(held, said.next_seq)) << "the storage forgot records";
    held = now;
    while_publishing += said.online && now > said.acked_seq ? 1 : 0;
  }
  EXPECT_GT(held, power_cuts()) << "hardly anything was recorded: the test proves little";
  EXPECT_GE(while_publishing, power_cuts() / 4) << "hardly any record was on its way: the test proves little";
  std::cout << while_publishing << " of " << power_cuts() << " cuts while records were on their way\n";
  if (!gateway_runs) gateway_.start_gateway();
  expect_all_delivered(board);
}

TEST_F(QemuPower, HoldsWhatItsConsoleSaidWasRecorded) {
  QemuBoard& board = add_board({.period_ms = 10, .rows = 3});
  for (int cut = 0; cut < 3; ++cut) {
    board.start();
    ASSERT_EQ(board.wait_for_status("running", "1", kTimeout), "1");
    std::this_thread::sleep_for(std::chrono::milliseconds(random(100, 800)));
    const std::uint64_t said = board.wait_for_count("next_seq", 2, kTimeout);
    EXPECT_GT(said, 1U);
    EXPECT_GE(kill_and_look(board, "board-1", said), said);
  }
  start_servers();
  expect_all_delivered(board);
}

TEST_F(QemuPower, CountsItsStarts) {
  start_servers();
  QemuBoard& board = add_board();
  for (int start = 1; start <= 3; ++start) {
    board.start();
    EXPECT_EQ(board.wait_for_status("boot", std::to_string(start), kTimeout), std::to_string(start));
    kill_and_look(board);
  }
  board.start();
  ASSERT_TRUE(take_records(1));
  EXPECT_THAT(gateway_.wait_for_body("/api/v1/devices/board-1", R"("boot":4)"),
              testing::HasSubstr(R"("boot":4)"));
  board.type("reset");
  EXPECT_EQ(board.wait_for_status("boot", "5", kTimeout), "5");
  EXPECT_EQ(board.status()["reset_reason"], "software");
  expect_all_delivered(board);
}

}  // namespace
}  // namespace godwit::test
