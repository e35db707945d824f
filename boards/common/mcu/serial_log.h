// SPDX-License-Identifier: Apache-2.0
// The serial console of a board as text out, and the log on it: lines in the format of text.h, after the time
// since the start. Quiet by default. Main loop only.
#pragma once

#include "boards/common/mcu/board.h"
#include "boards/common/text.h"

namespace godwit::boards {

class SerialOut final : public TextOut {
 public:
  explicit SerialOut(Board& board) : board_(board) {}
  using TextOut::put;
  // A line feed becomes carriage return and line feed, as terminals want it.
  void put(char c) override {
    if (c == '\n') board_.put('\r');
    board_.put(c);
  }

 private:
  Board& board_;
};

class SerialLog final : public ports::Log {
 public:
  SerialLog(Board& board, TextOut& out) : board_(board), out_(out) {}

  void set_level(ports::LogLevel level) { level_ = level; }
  void write(ports::LogLevel level, std::string_view event,
             std::initializer_list<ports::LogField> fields) override {
    if (level < level_) return;
    out_.put("uptime_ms=");
    out_.put_number(board_.now().time_since_epoch().count());
    out_.put(' ');
    put_log_line(out_, level, event, fields);
    out_.put('\n');
  }

 private:
  Board& board_;
  TextOut& out_;
  ports::LogLevel level_ = ports::LogLevel::kWarning;
};

}  // namespace godwit::boards
