// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/log_id.h"

#include <charconv>

#include "gateway/domain/hex.h"

namespace godwit::gateway {
namespace {

constexpr std::size_t kTermDigits = 8;

}  // namespace

void append_log_id(std::string& out, LogId id) {
  out += std::to_string(id.offset.value);
  out += '-';
  append_hex(out, id.term.value, kTermDigits);
}

std::string to_text(LogId id) {
  std::string text;
  append_log_id(text, id);
  return text;
}

std::optional<LogId> parse_log_id(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == 0 || dash == std::string_view::npos || text.size() - dash - 1 != kTermDigits) {
    return std::nullopt;
  }
  const std::string_view offset = text.substr(0, dash);
  const std::string_view term = text.substr(dash + 1);
  if (offset.find_first_not_of("0123456789") != std::string_view::npos ||
      term.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return std::nullopt;
  }
  LogId id;
  const auto* const end = offset.data() + offset.size();
  if (std::from_chars(offset.data(), end, id.offset.value).ec != std::errc()) return std::nullopt;
  (void)std::from_chars(term.data(), term.data() + term.size(), id.term.value, 16);  // 8 digits always fit
  if ((id.offset.value == 0) != (id.term.value == 0)) return std::nullopt;
  return id;
}

std::string_view gap_reason_name(GapReason reason) {
  switch (reason) {
    case GapReason::kTrimmed:
      return "trimmed";
    case GapReason::kRestored:
      return "restored";
    case GapReason::kDamaged:
      break;
  }
  return "damaged";
}

void append_json(std::string& out, const LogGap& gap) {
  out += R"({"type":"gap","reason":")";
  out += gap_reason_name(gap.reason);
  out += R"(","from":)" + std::to_string(gap.from.value) + R"(,"to":)" + std::to_string(gap.to.value) + '}';
}

Resumption resume(LogId id, std::optional<TermRange> known) {
  if (id == LogId{}) return {.from = id, .gap = std::nullopt};
  LogId from;
  if (known && id.offset >= known->first) {
    if (id.offset <= known->last) return {.from = id, .gap = std::nullopt};
    from = {known->last, id.term};
  }
  return {
      .from = from,
      .gap = LogGap{
          .reason = GapReason::kRestored, .from = {from.offset.value + 1}, .to = id.offset, .next = from}};
}

}  // namespace godwit::gateway
