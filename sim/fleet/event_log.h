// SPDX-License-Identifier: Apache-2.0
// The gateway's log as any client reads it, over REST page by page or over SSE, and what of it a Judge wants
// to see.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/base/ids.h"
#include "sim/fleet/api_client.h"
#include "sim/judge/judge.h"

namespace godwit::sim {

// The same text for the same JSON, however it was spaced. Throws std::runtime_error if `text` is no JSON.
std::string canonical_json(std::string_view text);

struct LogEvent {
  std::string id;  // OFFSET-TERM
  std::string type;
  std::string device;
  std::string reason;  // loss, device.offline, device.throttled, gap; otherwise empty
  Epoch epoch{};
  Seq seq{};                // 0: samples of live channels, or no entry of a device's log
  std::uint64_t count = 1;  // as the event says it
  std::string json;         // as canonical_json()
  // Of what the event will always be shown as: time and its quality are left out where they may be found out
  // later.
  std::uint64_t digest = 0;

  // Throws std::runtime_error if `json` is no event.
  static LogEvent parse(std::string_view json);

  [[nodiscard]] bool is_record() const { return type == "telemetry" && seq != Seq{}; }
  // Seqs of its device's log that it stands for. A note of refused records has one, whatever it tells of.
  [[nodiscard]] std::uint64_t places() const;
  // Of a telemetry event: raw values, row after row. nullopt: it has other channels, or none are shown.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> values(
      std::span<const codec::Channel> channels) const;
  // Of a telemetry event. Not synced: it may be found out later.
  [[nodiscard]] ToldTime time() const;
};

// What a follower writes down of an event of the feed, and the event itself unless it is a gap. What is no
// event of the log, or has another id or type than it says itself, is a note that fits no log.
struct Followed {
  FollowerNote note;
  std::optional<LogEvent> event;
};
Followed take_down(const SseEvent& event);

// Yields the body of a REST path, or throws.
using Get = std::function<std::string(const std::string& path)>;

// Offsets that the log does not show.
struct Missing {
  std::string reason;  // of the page's gap; empty: nothing says so
  std::int64_t from = 0;
  std::int64_t to = 0;
};
// Throws Violation: for whoever has neither trimmed the log nor damaged it. (A copy that was put back leaves
// nothing out: offsets run on from its last one under another term.)
void refuse_missing(const Missing& missing);

// Shows all events after the id `after` ("begin": from the first one on), page by page, in order, and what is
// missing in front of where they go on. Throws std::runtime_error if an answer is no page of the log.
void read_log(const Get& get, const std::string& after, const std::function<void(const LogEvent&)>& show,
              const std::function<void(const Missing&)>& missing = refuse_missing);

// As the judge takes it: an entry of one of its devices, or of kind kOther. `values` is a buffer, borrowed by
// the result. A record whose channels do not fit its device's source has no values, which is wrong content.
Logged to_logged(const LogEvent& event, const Judge& judge, std::vector<std::int64_t>& values);

// Shows the event to the judge, and the time of a record as well. Throws Violation.
void show(const LogEvent& event, Judge& judge);

}  // namespace godwit::sim
