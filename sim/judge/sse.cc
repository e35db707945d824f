// SPDX-License-Identifier: Apache-2.0
#include "sim/judge/sse.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "sim/judge/fnv1a.h"

namespace godwit::sim {
namespace {

// How rows are shown, which may become another way.
constexpr std::array<std::string_view, 11> kPassing{"table",    "table_hash", "time", "time_quality",
                                                    "boot",     "boot_ms",    "rows", "period_ms",
                                                    "channels", "samples",    "batch"};

// The end of the string that begins at `at`; npos: there is none.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

// The end of the value that begins at `at`.
std::size_t end_of_value(std::string_view text, std::size_t at) {
  int depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
      if (at == std::string_view::npos || depth == 0) return at;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) return at;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    ++at;
    if (depth == 0 && (c == '}' || c == ']')) return at;
  }
  return std::string_view::npos;
}

std::string_view unquoted(std::string_view value) {
  return value.size() >= 2 && value.front() == '"' ? value.substr(1, value.size() - 2) : value;
}

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

void SseParser::feed(std::string_view bytes, const std::function<void(const SseEvent&)>& take,
                     const std::function<void(const std::string& id)>& position) {
  input_ += bytes;
  std::size_t begin = 0;
  for (auto end = input_.find('\n'); end != std::string::npos; end = input_.find('\n', begin)) {
    const std::string_view line = std::string_view(input_).substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty()) {
      take_line(line);
      continue;
    }
    const bool moved = !event_.id.empty();
    if (moved) last_id_ = event_.id;
    if (!event_.data.empty()) {
      event_.id = last_id_;
      take(event_);
    } else if (moved) {
      position(last_id_);
    }
    event_ = {};
  }
  input_.erase(0, begin);
}

void SseParser::take_line(std::string_view line) {
  const std::size_t colon = std::min(line.find(':'), line.size());
  const std::string_view field = line.substr(0, colon);
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "id") event_.id = value;
  if (field == "event") event_.type = value;
  if (field == "data") (event_.data += event_.data.empty() ? "" : "\n") += value;
  if (field == "retry") retry_ms_ = number(value);
}

bool SseParser::drop() {
  const bool something = !input_.empty() || !event_.id.empty() || !event_.data.empty();
  input_.clear();
  event_ = {};
  return something;
}

std::optional<EventId> parse_event_id(std::string_view text) {
  EventId id;
  const char* const end = text.data() + text.size();
  const auto offset = std::from_chars(text.data(), end, id.offset);
  if (offset.ec != std::errc{} || end - offset.ptr != 9 || *offset.ptr != '-') return std::nullopt;
  const auto term = std::from_chars(offset.ptr + 1, end, id.term, 16);
  if (term.ec != std::errc{} || term.ptr != end) return std::nullopt;
  return id;
}

std::optional<Shown> parse_shown(std::string_view json) {
  Shown shown;
  shown.digest = fnv1a({});
  if (json == "{}") return shown;
  if (!json.starts_with('{') || !json.ends_with('}')) return std::nullopt;
  for (std::size_t at = 1; at < json.size();) {
    const std::size_t name_end = end_of_string(json, at);
    if (json[at] != '"' || name_end == std::string_view::npos || json[name_end] != ':') return std::nullopt;
    const std::string_view name = unquoted(json.substr(at, name_end - at));
    const std::size_t end = end_of_value(json, name_end + 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view value = json.substr(name_end + 1, end - name_end - 1);
    at = end + 1;
    if (name == "id") shown.id = unquoted(value);
    if (name == "type") shown.type = unquoted(value);
    if (name == "reason") shown.reason = unquoted(value);
    if (name == "from") shown.from = number(value);
    if (name == "to") shown.to = number(value);
    if ((name == "channels" || name == "samples" || name == "batch") && value != "null")
      shown.content = value;
    if (std::ranges::find(kPassing, name) == kPassing.end()) {
      shown.digest = fnv1a(as_bytes(value), fnv1a(as_bytes(name), shown.digest) * 3);
    }
  }
  return shown;
}

}  // namespace godwit::sim
