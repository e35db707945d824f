// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/console.h"

#include <algorithm>

#include "boards/common/text.h"

namespace godwit::boards {
namespace {

constexpr std::array<std::string_view, 4> kFaults{"hard", "assert", "hang", "stack"};

// Cuts the first word off `text`.
std::string_view next_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

std::optional<std::string_view> LineReader::take(char c) {
  if (c != '\n' && c != '\r') {
    if (size_ < line_.size()) line_[size_] = c;
    if (size_ <= line_.size()) ++size_;
    return std::nullopt;
  }
  const std::size_t size = size_;
  size_ = 0;
  if (size == 0 || size > line_.size()) return std::nullopt;
  return std::string_view(line_.data(), size);
}

std::optional<Command> Command::parse(std::string_view line) {
  const std::string_view name = next_word(line);
  const std::string_view argument = next_word(line);
  if (!next_word(line).empty()) return std::nullopt;
  if (name == "log") {
    const auto level = parse_log_level(argument);
    if (!level) return std::nullopt;
    return Command{.kind = Kind::kLog, .level = *level};
  }
  if (name == "fault") {
    const auto* const fault = std::ranges::find(kFaults, argument);
    if (fault == kFaults.end()) return std::nullopt;
    return Command{.kind = Kind::kFault, .fault = static_cast<Fault>(fault - kFaults.begin())};
  }
  if (!argument.empty()) return std::nullopt;
  if (name == "help") return Command{.kind = Kind::kHelp};
  if (name == "status") return Command{.kind = Kind::kStatus};
  if (name == "reset") return Command{.kind = Kind::kReset};
  return std::nullopt;
}

}  // namespace godwit::boards
