// SPDX-License-Identifier: Apache-2.0
#include "boards/host/console_log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace godwit::boards {
namespace {

constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warning", "error"};

bool needs_quotes(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F; });
}

void append_text(std::string& line, std::string_view text) {
  if (!needs_quotes(text)) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') line += '\\';
    // No control character of a foreign text may reach a terminal or forge a line.
    line += static_cast<unsigned char>(c) < ' ' || c == 0x7F ? '?' : c;
  }
  line += '"';
}

std::string timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string millis = std::to_string(1'000 + now.tv_nsec / 1'000'000);
  return std::string(text.data(), size) + "." + millis.substr(1) + "Z";
}

}  // namespace

std::optional<ports::LogLevel> parse_log_level(std::string_view text) {
  const auto* level = std::ranges::find(kLevels, text);
  if (level == kLevels.end()) return std::nullopt;
  return static_cast<ports::LogLevel>(level - kLevels.begin());
}

std::string format_log_line(ports::LogLevel level, std::string_view event,
                            std::initializer_list<ports::LogField> fields) {
  std::string line = "level=";
  line += kLevels[static_cast<std::size_t>(level)];
  line += " event=";
  append_text(line, event);
  for (const ports::LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (field.text.empty()) {
      line += std::to_string(field.number);
    } else {
      append_text(line, field.text);
    }
  }
  return line;
}

void ConsoleLog::write(ports::LogLevel level, std::string_view event,
                       std::initializer_list<ports::LogField> fields) {
  if (level < level_) return;
  const std::string line = "time=" + timestamp() + " " + format_log_line(level, event, fields) + "\n";
  // A log that cannot be written has nowhere to say so.
  [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
}

}  // namespace godwit::boards
