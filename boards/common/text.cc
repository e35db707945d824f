// SPDX-License-Identifier: Apache-2.0
#include "boards/common/text.h"

#include <algorithm>
#include <array>

namespace godwit::boards {
namespace {

constexpr std::array<std::string_view, 4> kLevels{"debug", "info", "warning", "error"};

bool needs_quotes(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F; });
}

void put_value(TextOut& out, std::string_view text) {
  if (!needs_quotes(text)) {
    out.put(text);
    return;
  }
  out.put('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out.put('\\');
    // No control character of a foreign text may reach a terminal or forge a line.
    out.put(static_cast<unsigned char>(c) < ' ' || c == 0x7F ? '?' : c);
  }
  out.put('"');
}

}  // namespace

void TextOut::put(std::string_view text) {
  for (const char c : text) put(c);
}

void TextOut::put_number(std::int64_t value) {
  std::array<char, 20> digits;
  char* const end = digits.data() + digits.size();
  char* begin = end;
  auto rest = static_cast<std::uint64_t>(value);
  if (value < 0) {
    put('-');
    rest = 0 - rest;
  }
  do {
    *--begin = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  put(std::string_view(begin, static_cast<std::size_t>(end - begin)));
}

void TextOut::put_hex(std::uint32_t value) {
  put("0x");
  for (int shift = 28; shift >= 0; shift -= 4) put("0123456789abcdef"[(value >> shift) & 0xF]);
}

std::optional<ports::LogLevel> parse_log_level(std::string_view text) {
  const auto* level = std::ranges::find(kLevels, text);
  if (level == kLevels.end()) return std::nullopt;
  return static_cast<ports::LogLevel>(level - kLevels.begin());
}

void put_log_line(TextOut& out, ports::LogLevel level, std::string_view event,
                  std::initializer_list<ports::LogField> fields) {
  out.put("level=");
  out.put(kLevels[static_cast<std::size_t>(level)]);
  out.put(" event=");
  put_value(out, event);
  for (const ports::LogField& field : fields) {
    out.put(' ');
    out.put(field.key);
    out.put('=');
    if (field.text.empty()) {
      out.put_number(field.number);
    } else {
      put_value(out, field.text);
    }
  }
}

}  // namespace godwit::boards
