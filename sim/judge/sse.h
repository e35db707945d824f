// SPDX-License-Identifier: Apache-2.0
// What a client of the gateway understands of an event stream: text/event-stream as browsers parse it (WHATWG
// HTML, 9.2.6), and the JSON of an event. Values; host only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::sim {

struct SseEvent {
  std::string id;  // the client's last id, with this event
  std::string type;
  std::string data;
};

class SseParser {
 public:
  // Takes what has come, cut anywhere. Calls `take` for each event that is whole, and `position` for each id
  // that comes without one.
  void feed(std::string_view bytes, const std::function<void(const SseEvent&)>& take,
            const std::function<void(const std::string& id)>& position);
  // The connection is gone, and with it what was not whole. True: there was such a thing.
  bool drop();
  // What the client comes back with; empty: nothing yet.
  [[nodiscard]] const std::string& last_id() const { return last_id_; }
  [[nodiscard]] std::optional<std::int64_t> retry_ms() const { return retry_ms_; }

 private:
  void take_line(std::string_view line);

  std::string input_;
  SseEvent event_;
  std::string last_id_;
  std::optional<std::int64_t> retry_ms_;
};

// OFFSET-TERM, the term as 8 hexadecimal digits.
struct EventId {
  std::int64_t offset = 0;
  std::uint32_t term = 0;
  friend bool operator==(const EventId&, const EventId&) = default;
};
[[nodiscard]] std::optional<EventId> parse_event_id(std::string_view text);

// An event or a gap, from its JSON.
struct Shown {
  std::string_view id;
  std::string_view type;
  std::string_view reason;
  std::int64_t from = 0;  // of a gap
  std::int64_t to = 0;
  // Over all members that stay the same whenever the event is shown. A table that is announced later, or the
  // time of a boot that becomes known, change how its rows are shown, and what stands for them:
  std::uint64_t digest = 0;
  std::string_view content;  // `channels` if they are there, else `samples` or `batch`, as they stand
};
// nullopt: not one flat object. Views are into `json`.
[[nodiscard]] std::optional<Shown> parse_shown(std::string_view json);

}  // namespace godwit::sim
