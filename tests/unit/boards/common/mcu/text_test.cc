// SPDX-License-Identifier: Apache-2.0
#include "boards/common/text.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace godwit::boards {
namespace {

class StringOut final : public TextOut {
 public:
  using TextOut::put;
  void put(char c) override { text += c; }
  std::string text;
};

std::string number(std::int64_t value) {
  StringOut out;
  out.put_number(value);
  return out.text;
}

TEST(TextOut, WritesNumbers) {
  EXPECT_EQ(number(0), "0");
  EXPECT_EQ(number(-1), "-1");
  EXPECT_EQ(number(1'000'000'007), "1000000007");
  EXPECT_EQ(number(std::numeric_limits<std::int64_t>::max()), "9223372036854775807");
  EXPECT_EQ(number(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  StringOut out;
  out.put_hex(0x0002'BEEF);
  EXPECT_EQ(out.text, "0x0002beef");
}

TEST(LogLine, IsKeysAndValues) {
  StringOut out;
  put_log_line(out, ports::LogLevel::kWarning, "link_failed",
               {{.key = "port", .number = -5}, {.key = "cause", .text = "connection refused"}});
  EXPECT_EQ(out.text, "level=warning event=link_failed port=-5 cause=\"connection refused\"");
}

TEST(LogLine, CannotBeForgedByForeignText) {
  StringOut out;
  put_log_line(out, ports::LogLevel::kError, "x", {{.key = "cause", .text = "bad\nlevel=error \"\\\x7F"}});
  EXPECT_EQ(out.text, "level=error event=x cause=\"bad?level=error \\\"\\\\?\"");
}

}  // namespace
}  // namespace godwit::boards
