// SPDX-License-Identifier: Apache-2.0
// What clients of the log come back with: ids, and what becomes of one in a log that is not the one that gave
// it out. Pure; safe from any thread. Decision: docs/adr/0013-terms.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/domain/event.h"

namespace godwit::gateway {

// OFFSET-TERM, the term as 8 lower-case hexadecimal digits: "1041-9f3c02ab", "0-00000000" before the first
// event.
void append_log_id(std::string& out, LogId id);
[[nodiscard]] std::string to_text(LogId id);
// nullopt: not of that form, or an offset without a term.
[[nodiscard]] std::optional<LogId> parse_log_id(std::string_view text);

// Stored and shown as names; see gap_reason_name().
enum class GapReason : std::uint8_t {
  kTrimmed,   // these events are no longer kept
  kRestored,  // the client saw events of these offsets that this log does not have; others have them now
  kDamaged,   // they cannot be read from the disk
};
[[nodiscard]] std::string_view gap_reason_name(GapReason reason);

// Offsets `from` to `to` will not come as the client might expect them; the log goes on after `next`.
struct LogGap {
  GapReason reason = GapReason::kTrimmed;
  LogOffset from;
  LogOffset to;
  LogId next;  // {to, its term}, but of kRestored just before `from`
  friend bool operator==(const LogGap&, const LogGap&) = default;
};
// {"type":"gap","reason":"trimmed","from":3,"to":5}
void append_json(std::string& out, const LogGap& gap);

// The offsets of a term in this log.
struct TermRange {
  LogOffset first;
  LogOffset last;
};

struct Resumption {
  LogId from;                 // go on after this one
  std::optional<LogGap> gap;  // kRestored, or nothing is missing
};

// `known`: the range of id.term in this log, nullopt if it has none. This log has the event: on from there.
// It has less of that term: on from the last event that both have. Another term, or an offset before it: from
// the beginning.
[[nodiscard]] Resumption resume(LogId id, std::optional<TermRange> known);

}  // namespace godwit::gateway
