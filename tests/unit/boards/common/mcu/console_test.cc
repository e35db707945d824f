// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/console.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace godwit::boards {
namespace {

std::vector<std::string> lines_of(std::string_view typed) {
  LineReader reader;
  std::vector<std::string> lines;
  for (const char c : typed) {
    if (const auto line = reader.take(c)) lines.emplace_back(*line);
  }
  return lines;
}

TEST(LineReader, YieldsLinesWhateverEndsThem) {
  EXPECT_EQ(lines_of("status\nlog info\r\nhelp\rtail"),
            (std::vector<std::string>{"status", "log info", "help"}));
}

TEST(LineReader, DropsWhatIsTooLongAndReadsOnAfterIt) {
  const std::string longest(64, 'x');
  EXPECT_EQ(lines_of(longest + "\n"), std::vector<std::string>{longest});
  EXPECT_EQ(lines_of(longest + "y\nstatus\n"), std::vector<std::string>{"status"});
  EXPECT_EQ(lines_of(std::string(10'000, 'x') + "\nstatus\n"), std::vector<std::string>{"status"});
}

TEST(Command, IsReadFromItsLine) {
  struct Case {
    std::string_view line;
    std::optional<Command> command;
  };
  using Kind = Command::Kind;
  using Fault = Command::Fault;
  const std::vector<Case> cases{
      {"help", Command{.kind = Kind::kHelp}},
      {"status", Command{.kind = Kind::kStatus}},
      {"  status  ", Command{.kind = Kind::kStatus}},
      {"reset", Command{.kind = Kind::kReset}},
      {"log debug", Command{.kind = Kind::kLog, .level = ports::LogLevel::kDebug}},
      {"log   error", Command{.kind = Kind::kLog, .level = ports::LogLevel::kError}},
      {"fault hard", Command{.kind = Kind::kFault, .fault = Fault::kHard}},
      {"fault assert", Command{.kind = Kind::kFault, .fault = Fault::kAssert}},
      {"fault hang", Command{.kind = Kind::kFault, .fault = Fault::kHang}},
      {"fault stack", Command{.kind = Kind::kFault, .fault = Fault::kStack}},
      {"", std::nullopt},
      {" ", std::nullopt},
      {"statu", std::nullopt},
      {"status now", std::nullopt},
      {"log", std::nullopt},
      {"log loud", std::nullopt},
      {"log info now", std::nullopt},
      {"fault", std::nullopt},
      {"fault soft", std::nullopt},
      {"Status", std::nullopt},
  };
  for (const Case& c : cases) EXPECT_EQ(Command::parse(c.line), c.command) << '"' << c.line << '"';
}

}  // namespace
}  // namespace godwit::boards
