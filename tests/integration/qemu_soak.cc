// SPDX-License-Identifier: Apache-2.0
// Everything that can fail fails, at random moments, for as long as one likes: power, gateway, broker, cable,
// time server, and the board by itself. Then all that was ever recorded is counted. Not one of CTest's tests:
//
//   GODWIT_SOAK_SECONDS=3600 build/dev/tests/integration/qemu_lm3s6965_soak
#include <array>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "tests/integration/qemu_test.h"

namespace godwit::test {
namespace {

std::chrono::seconds duration() {
  const char* const text = std::getenv("GODWIT_SOAK_SECONDS");
  return std::chrono::seconds(text == nullptr ? 60 : std::stol(text));
}

class QemuSoak : public QemuTest {
 protected:
  void wait(unsigned ms_max) { std::this_thread::sleep_for(std::chrono::milliseconds(random(0, ms_max))); }

  // One thing fails, and works again.
  void fail_once(QemuBoard& board) {
    constexpr std::array kFaults{"hard", "assert", "hang", "stack"};
    const unsigned what = random(0, 5);
    std::cout << "fault " << what << ", committed up to " << committed() << std::endl;
    switch (what) {
      case 0:
        kill_and_look(board);
        wait(1'000);
        board.start();
        break;
      case 1:
        gateway_.kill_gateway();
        wait(5'000);
        gateway_.start_gateway();
        break;
      case 2:
        gateway_.kill_broker();
        wait(5'000);
        gateway_.start_broker();
        break;
      case 3:
        board.set_link(false);
        wait(10'000);
        board.set_link(true);
        break;
      case 4:
        board.type(std::string("fault ") + kFaults.at(random(0, 3)));
        break;
      default:
        sntp_.set_silent(random(0, 1) == 0);
        break;
    }
  }
};

TEST_F(QemuSoak, LosesNothingWhateverFails) {
  start_servers();
  QemuBoard& board = add_board({.period_ms = 20, .rows = 5});
  board.start();
  const auto end = std::chrono::steady_clock::now() + duration();
  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    fail_once(board);
    wait(5'000);
  }
  // The board may wait for two minutes before it tries to connect again; the count does not.
  expect_all_delivered(board);
  std::cout << "committed up to " << committed() << std::endl;
}

}  // namespace
}  // namespace godwit::test
