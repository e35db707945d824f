// SPDX-License-Identifier: Apache-2.0
#include "boards/host/console_log.h"

#include <unistd.h>

#include <array>
#include <ctime>
#include <utility>

namespace godwit::boards {
namespace {

class StringOut final : public TextOut {
 public:
  void put(char c) override { text_ += c; }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

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

std::string format_log_line(ports::LogLevel level, std::string_view event,
                            std::initializer_list<ports::LogField> fields) {
  StringOut out;
  put_log_line(out, level, event, fields);
  return out.take();
}

void ConsoleLog::write(ports::LogLevel level, std::string_view event,
                       std::initializer_list<ports::LogField> fields) {
  if (level < level_) return;
  const std::string line = "time=" + timestamp() + " " + format_log_line(level, event, fields) + "\n";
  // A log that cannot be written has nowhere to say so.
  [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
}

}  // namespace godwit::boards
