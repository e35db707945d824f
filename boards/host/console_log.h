// SPDX-License-Identifier: Apache-2.0
// Events as lines of key=value pairs (logfmt) on a file descriptor, each written at once. Thread-safe as
// write(2) is.
#pragma once

#include <string>
#include <string_view>

#include "boards/common/text.h"
#include "firmware/ports/log.h"

namespace godwit::boards {

// As put_log_line().
[[nodiscard]] std::string format_log_line(ports::LogLevel level, std::string_view event,
                                          std::initializer_list<ports::LogField> fields);

class ConsoleLog final : public ports::Log {
 public:
  // Events below `level` are not written.
  explicit ConsoleLog(ports::LogLevel level = ports::LogLevel::kWarning, int fd = 2)
      : level_(level), fd_(fd) {}
  void write(ports::LogLevel level, std::string_view event,
             std::initializer_list<ports::LogField> fields) override;

 private:
  ports::LogLevel level_;
  int fd_;
};

}  // namespace godwit::boards
