// SPDX-License-Identifier: Apache-2.0
// A board that crashes starts again, loses nothing that was recorded, and tells the gateway how it came
// about.
#include "tests/integration/qemu_test.h"

namespace godwit::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Fault {
  const char* command;
  const char* reset_reason;
  std::vector<const char*> shown;  // of the crash
};

using QemuFaults = QemuTest;

TEST_F(QemuFaults, AreTellingInTheNextHello) {
  start_servers();
  QemuBoard& board = add_board();
  board.start();
  ASSERT_TRUE(take_records(2));
  EXPECT_THAT(shown(), HasSubstr(R"("last_crash":null)"));
  const std::vector<Fault> faults{
      {"hard", "fault", {R"("kind":"fault")", R"("pc":"0x)", R"("lr":"0x)", "undefined instruction"}},
      {"assert", "fault", {R"("kind":"assert")", R"("where":")", "operator.cc:"}},
      {"hang", "watchdog", {R"("kind":"watchdog")", R"("pc":"0x)"}},
      {"stack", "fault", {R"("kind":"stack_overflow")"}},
  };
  int boot = 1;
  for (const Fault& fault : faults) {
    SCOPED_TRACE(fault.command);
    board.type(std::string("fault ") + fault.command);
    const std::string expected = R"("boot":)" + std::to_string(++boot);
    ASSERT_THAT(gateway_.wait_for_body("/api/v1/devices/board-1", expected + ",", kTimeout),
                HasSubstr(expected));
    const std::string now = shown();
    EXPECT_THAT(now, HasSubstr(R"("reset_reason":")" + std::string(fault.reset_reason) + '"'));
    const std::string crash = now.substr(std::min(now.find(R"("last_crash":)"), now.size()));
    EXPECT_THAT(crash, HasSubstr(expected + ",")) << "of the hello that tells it";
    for (const char* each : fault.shown) EXPECT_THAT(crash, HasSubstr(each));
    EXPECT_TRUE(take_records(2));
  }
  // An orderly start tells of no crash, and the gateway remembers the last one.
  board.type("reset");
  EXPECT_EQ(board.wait_for_status("reset_reason", "software", kTimeout), "software");
  EXPECT_FALSE(board.status().contains("crash"));
  ASSERT_TRUE(take_records(2));
  EXPECT_THAT(shown(), AllOf(HasSubstr(R"("reset_reason":"software")"), HasSubstr("stack_overflow")));
  expect_all_delivered(board);
}

}  // namespace
}  // namespace godwit::test
