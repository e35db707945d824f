// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/log.h"

#include <gtest/gtest.h>

namespace godwit::app {
namespace {

TEST(Log, LinesAreLogfmt) {
  EXPECT_EQ(log_line(UnixMillis{1'800'000'000'123}, gateway::LogLevel::kWarning, "mqtt", "not connected"),
            "time=2027-01-15T08:00:00.123Z level=warning part=mqtt msg=\"not connected\"\n");
}

TEST(Log, TextFromOutsideCannotBeginALine) {
  EXPECT_EQ(log_line(UnixMillis{0}, gateway::LogLevel::kInfo, "http", "a\"b\\c\nlevel=error"),
            "time=1970-01-01T00:00:00.000Z level=info part=http msg=\"a\\\"b\\\\c\\u000alevel=error\"\n");
}

}  // namespace
}  // namespace godwit::app
