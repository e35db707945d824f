// SPDX-License-Identifier: Apache-2.0
// Lines of text for an operator, a character at a time: on a serial line, or into a string. No allocation.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "firmware/ports/log.h"

namespace godwit::boards {

class TextOut {
 public:
  virtual void put(char c) = 0;

  void put(std::string_view text);
  void put_number(std::int64_t value);
  void put_hex(std::uint32_t value);  // 0x and eight digits

 protected:
  ~TextOut() = default;
};

// "debug", "info", "warning" or "error".
[[nodiscard]] std::optional<ports::LogLevel> parse_log_level(std::string_view text);

// Writes one event as key=value pairs (logfmt) without the end of line, for example
// level=warning event=link_failed cause="connection refused"
void put_log_line(TextOut& out, ports::LogLevel level, std::string_view event,
                  std::initializer_list<ports::LogField> fields);

}  // namespace godwit::boards
