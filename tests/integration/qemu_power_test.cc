// SPDX-License-Identifier: Apache-2.0
// The power of a board fails (SIGKILL to QEMU) at random moments, many times, with the same storage. What the
// storage holds after each cut is read with the outbox itself, and must be in the gateway's database at the
// end, byte for byte.
//
// GODWIT_POWER_CUTS=n: so many instead of a few.
#include <array>
#include <cstdlib>
#include <thread>

#include "tests/integration/qemu_test.h"

namespace godwit::test {
namespace {

using QemuPower = QemuTest;

unsigned power_cuts() {
  const char* const text = std::getenv("GODWIT_POWER_CUTS");
  return text == nullptr ? 12 : static_cast<unsigned>(std::stoul(text));
}

TEST_F(QemuPower, LosesNothingThatWasRecordedHoweverOftenItFails) {
  start_servers();
  QemuBoard& board = add_board({.period_ms = 10, .rows = 3});
  std::uint64_t held = 1;
  bool gateway_runs = true;
  for (unsigned cut = 0; cut < power_cuts(); ++cut) {
    SCOPED_TRACE("power cut " + std::to_string(cut));
    // Now and then there is nobody to deliver to: the records of several lives wait in the storage.
    if (const bool wanted = random(0, 2) > 0; wanted != gateway_runs) {
      wanted ? gateway_.start_gateway() : gateway_.kill_gateway();
      gateway_runs = wanted;
    }
    board.start();
    // In the midst of starting, or of work.
    constexpr std::array<unsigned, 4> kLivesMaxMs{150, 600, 1'500, 3'000};
    std::this_thread::sleep_for(std::chrono::milliseconds(random(0, kLivesMaxMs.at(cut % 4))));
    const std::uint64_t now = kill_and_look(board);
    EXPECT_GE(now, held) << "the storage forgot records";
    held = now;
  }
  EXPECT_GT(held, power_cuts()) << "hardly anything was recorded: the test proves little";
  if (!gateway_runs) gateway_.start_gateway();
  expect_all_delivered(board);
}

TEST_F(QemuPower, HoldsWhatItsConsoleSaidWasRecorded) {
  QemuBoard& board = add_board({.period_ms = 10, .rows = 3});
  for (int cut = 0; cut < 3; ++cut) {
    board.start();
    ASSERT_EQ(board.wait_for_status("running", "1", kTimeout), "1");
    std::this_thread::sleep_for(std::chrono::milliseconds(random(100, 800)));
    const std::uint64_t said = std::stoull(board.status()["next_seq"]);
    EXPECT_GT(said, 1U);
    EXPECT_GE(kill_and_look(board), said);
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
  }
  ASSERT_TRUE(take_records(1));
  EXPECT_THAT(gateway_.wait_for_body("/api/v1/devices/board-1", R"("boot":3)"),
              testing::HasSubstr(R"("boot":3)"));
  board.type("reset");
  EXPECT_EQ(board.wait_for_status("boot", "4", kTimeout), "4");
  EXPECT_EQ(board.status()["reset_reason"], "software");
  expect_all_delivered(board);
}

}  // namespace
}  // namespace godwit::test
