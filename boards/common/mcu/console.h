// SPDX-License-Identifier: Apache-2.0
// What an operator types at the serial console: characters to lines, lines to commands. No allocation; a
// value; main loop only. Who obeys the commands: operator.cc.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "firmware/ports/log.h"

namespace godwit::boards {

inline constexpr std::string_view kConsoleHelp =
    "help                              this text\n"
    "status                            how the board is, as lines of key=value\n"
    "log debug|info|warning|error      what is logged from now on; the rest is not\n"
    "fault hard|assert|hang|stack      crashes on purpose; the next hello tells of it\n"
    "reset                             stops in order and starts again\n";

class LineReader {
 public:
  // A whole line without its end, which is a line feed or a carriage return; borrowed until the next call.
  // Empty lines and lines that are too long are dropped.
  std::optional<std::string_view> take(char c);

 private:
  static constexpr std::size_t kSizeMax = 64;
  std::array<char, kSizeMax> line_{};
  std::size_t size_ = 0;  // counts on past the end of a line that is too long
};

struct Command {
  enum class Kind : std::uint8_t { kHelp, kStatus, kLog, kFault, kReset };
  enum class Fault : std::uint8_t { kHard, kAssert, kHang, kStack };

  Kind kind = Kind::kHelp;
  ports::LogLevel level = ports::LogLevel::kWarning;  // of kLog
  Fault fault = Fault::kHard;                         // of kFault

  // nullopt: not a command.
  static std::optional<Command> parse(std::string_view line);
  friend bool operator==(const Command&, const Command&) = default;
};

}  // namespace godwit::boards
