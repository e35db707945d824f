// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/parameters.h"

#include <algorithm>
#include <charconv>

#include "gateway/domain/event_json.h"
#include "gateway/http/api.h"
#include "gateway/http/text.h"
#include "proto/base/ids.h"

namespace godwit::http {
namespace {

constexpr std::string_view kBadCursor =
    "The cursor is not one that this list has given out. Leave it away to start over.";

// RFC 9110, 12.4.2, in thousandths. What is no quality counts as 1: Accept is a wish, not worth an error.
int quality_of(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view item = take_item(parameters, ';');
    if (!item.starts_with("q=") && !item.starts_with("Q=")) continue;
    item.remove_prefix(2);
    if (!item.starts_with('0')) return 1000;
    int quality = 0;
    int weight = 100;
    for (std::size_t i = 2; i < item.size() && weight > 0; ++i, weight /= 10) {
      if (item[i] < '0' || item[i] > '9') return 1000;
      quality += (item[i] - '0') * weight;
    }
    return quality;
  }
  return 1000;
}

// How narrowly `range` names `type`: 0 not at all, 1 "*/*", 2 "text/*", 3 exactly.
int precision_of(std::string_view range, std::string_view type) {
  if (range == "*/*") return 1;
  if (range.ends_with("/*")) {
    range.remove_suffix(1);
    return equal_ignoring_case(range, type.substr(0, range.size())) ? 2 : 0;
  }
  return equal_ignoring_case(range, type) ? 3 : 0;
}

int quality_of_type(std::string_view accept, std::string_view type) {
  int quality = 0;
  int best_precision = 0;
  while (!accept.empty()) {
    std::string_view item = take_item(accept, ',');
    const std::string_view range = take_item(item, ';');
    const int precision = precision_of(range, type);
    if (precision <= best_precision) continue;
    best_precision = precision;
    quality = quality_of(item);
  }
  return quality;
}

}  // namespace

Problem invalid_parameter(std::string name, std::string detail) {
  return {.kind = ProblemKind::kInvalidParameter, .detail = std::move(detail), .parameter = std::move(name)};
}

std::expected<void, Problem> check_names(const Query& query, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : query) {
    if (std::ranges::find(known, name) != known.end()) continue;
    std::string detail = "There is no parameter '" + name + "' here. ";
    if (known.size() == 0) detail += "This resource takes none.";
    if (known.size() > 0) detail += "Known:";
    for (const std::string_view other : known) detail += " " + std::string(other);
    return std::unexpected(invalid_parameter(name, detail));
  }
  return {};
}

std::optional<std::string_view> find_parameter(const Query& query, std::string_view name) {
  const auto found = std::ranges::find_if(query, [&](const auto& entry) { return entry.first == name; });
  if (found == query.end()) return std::nullopt;
  return found->second;
}

std::optional<std::int64_t> parse_decimal(std::string_view text) {
  std::int64_t value = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::expected<std::size_t, Problem> limit_of(const Query& query) {
  const auto text = find_parameter(query, "limit");
  if (!text) return kPageLimitDefault;
  const auto value = parse_decimal(*text);
  if (!value || *value < 1 || *value > std::int64_t{kPageLimitMax}) {
    return std::unexpected(
        invalid_parameter("limit", "It must be a number from 1 to " + std::to_string(kPageLimitMax) + "."));
  }
  return static_cast<std::size_t>(*value);
}

std::expected<std::optional<gateway::LogId>, Problem> log_cursor_of(const Query& query) {
  const auto text = find_parameter(query, "cursor");
  if (!text) return std::nullopt;
  const auto id = text->starts_with('e') ? gateway::parse_log_id(text->substr(1)) : std::nullopt;
  if (!id) return std::unexpected(invalid_parameter("cursor", std::string(kBadCursor)));
  return *id;
}

std::string make_cursor(gateway::LogId after) { return "e" + gateway::to_text(after); }

std::expected<gateway::LogStart, Problem> start_of(std::string_view text, const std::string& name) {
  using Kind = gateway::LogStart::Kind;
  if (text == "now") return gateway::LogStart{.kind = Kind::kNow, .after = {}};
  if (text == "begin") return gateway::LogStart{.kind = Kind::kBegin, .after = {}};
  if (const auto id = gateway::parse_log_id(text))
    return gateway::LogStart{.kind = Kind::kAfter, .after = *id};
  std::string detail = "It must be the id of an event (such as 1041-9f3c02ab), or now or begin.";
  if (parse_decimal(text)) {
    detail +=
        " A plain number is the id of an older gateway: it does not say of which log. Start with begin.";
  }
  return std::unexpected(invalid_parameter(name, std::move(detail)));
}

std::expected<std::string, Problem> device_cursor_of(const Query& query) {
  const auto text = find_parameter(query, "cursor");
  if (!text) return std::string();
  if (!text->starts_with('d') || !DeviceId::parse(text->substr(1))) {
    return std::unexpected(invalid_parameter("cursor", std::string(kBadCursor)));
  }
  return std::string(text->substr(1));
}

std::string make_cursor(std::string_view after_device) { return "d" + std::string(after_device); }

std::expected<gateway::LogReader::Filter, Problem> filter_of(const Query& query) {
  gateway::LogReader::Filter filter;
  if (const auto device = find_parameter(query, "device")) {
    if (!DeviceId::parse(*device)) {
      return std::unexpected(invalid_parameter(
          "device", "It must be a device id: 1 to 32 characters of a-z 0-9 . _ -, a letter or digit first."));
    }
    filter.device = *device;
  }
  if (auto types = find_parameter(query, "type")) {
    do {
      const std::string_view name = take_item(*types, ',');
      const auto type = gateway::event_type(name);
      if (!type) {
        std::string detail = "It must be a list, separated by commas, of:";
        for (const gateway::EventType known : gateway::event_types())
          detail.append(" ").append(gateway::type_name(known));
        return std::unexpected(invalid_parameter("type", detail + "."));
      }
      if (std::ranges::find(filter.types, *type) == filter.types.end()) filter.types.push_back(*type);
    } while (!types->empty());
  }
  return filter;
}

std::optional<std::size_t> negotiate(std::optional<std::string_view> accept,
                                     std::span<const std::string_view> offered) {
  if (!accept || trim(*accept).empty()) return 0;
  std::optional<std::size_t> best;
  int best_quality = 0;
  for (std::size_t i = 0; i < offered.size(); ++i) {
    const int quality = quality_of_type(*accept, offered[i]);
    if (quality <= best_quality) continue;
    best = i;
    best_quality = quality;
  }
  return best;
}

}  // namespace godwit::http
