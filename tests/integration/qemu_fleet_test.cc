// SPDX-License-Identifier: Apache-2.0
// Eight boards at once.
#include "tests/integration/qemu_test.h"

namespace godwit::test {
namespace {

using QemuFleet = QemuTest;

TEST_F(QemuFleet, DeliversAllWhileItsPowerAndItsServersFail) {
  constexpr unsigned kBoards = 8;
  start_servers();
  const auto id_of = [](unsigned number) { return "board-" + std::to_string(number); };
  std::vector<QemuBoard*> boards;
  for (unsigned number = 1; number <= kBoards; ++number) {
    boards.push_back(&add_board({.model = number % 2 == 0 ? kLm3s6965 : kMps2An385,
                                 .id = id_of(number),
                                 .number = number,
                                 .period_ms = 100}));
    boards.back()->start();
  }
  for (unsigned number = 1; number <= kBoards; ++number)
    ASSERT_TRUE(take_records(2, id_of(number))) << number;

  gateway_.kill_gateway();
  for (unsigned cut = 0; cut < 3; ++cut) {
    const unsigned number = random(1, kBoards);
    kill_and_look(*boards[number - 1], id_of(number));
    boards[number - 1]->start();
  }
  gateway_.start_gateway();
  for (unsigned number = 1; number <= kBoards; ++number)
    EXPECT_TRUE(take_records(5, id_of(number))) << number;

  std::vector<std::uint64_t> held;
  for (unsigned number = 1; number <= kBoards; ++number) {
    held.push_back(kill_and_look(*boards[number - 1], id_of(number)));
    boards[number - 1]->start();
  }
  for (unsigned number = 1; number <= kBoards; ++number) {
    EXPECT_TRUE(wait_for_committed(held[number - 1], id_of(number))) << number;
  }
  for (QemuBoard* board : boards) board->kill();
  expect_all_stored();
}

}  // namespace
}  // namespace godwit::test
