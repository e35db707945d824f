// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/log.h"

#include <unistd.h>

#include "gateway/domain/clock.h"
#include "gateway/domain/event_json.h"

namespace godwit::app {
namespace {

using gateway::LogLevel;

std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

}  // namespace

std::string log_line(UnixMillis time, LogLevel level, std::string_view part, std::string_view text) {
  std::string line = "time=";
  gateway::append_time(line, time);
  line += " level=";
  line += name(level);
  line += " part=";
  line += part;
  line += " msg=";
  // A JSON string is quoted and escaped as logfmt has it: nothing a client sends can begin a new line.
  gateway::append_json_string(line, text);
  line += '\n';
  return line;
}

gateway::LogSink stderr_log(LogLevel least, std::string_view part) {
  return [least, part = std::string(part)](LogLevel level, std::string_view text) {
    if (level < least) return;
    const std::string line = log_line(gateway::unix_now(), level, part, text);
    // A log that cannot be written has nobody to be told.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
  };
}

}  // namespace godwit::app
