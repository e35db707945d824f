// SPDX-License-Identifier: Apache-2.0
// A follower as text/event-stream: what is to be written to a client next. It begins with its position as an
// id, and each sign of life is one, so that a client that is cut off comes back with its last id and has lost
// nothing. No I/O: gateway/http writes the text, the simulator's gateway likewise. Belongs to the feed's
// lane.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "gateway/log/feed.h"

namespace godwit::gateway {

class SseStream {
 public:
  // `retry`: so long a client waits before it connects again. The rest as of Follower.
  SseStream(Feed& feed, const LogStart& start, LogReader::Filter filter, std::chrono::milliseconds retry,
            std::function<void()> wake)
      : retry_(retry), follower_(feed, start, std::move(filter), std::move(wake)) {}

  struct Next {
    enum class Kind : std::uint8_t {
      kWrite,  // `text`, then ask again
      kAgain,  // give others a turn, then ask again
      kWait,   // until woken, or a sign of life is due
      kEnd,    // the log cannot be read: the client comes back in a moment
    };
    Kind kind = Kind::kWait;
    bool read = false;      // it needs the reads lane: see Feed::next_read()
    std::string_view text;  // borrowed until the next call
  };
  // At most `bytes_max` of text, or a single block or event. `quiet`: nothing was written for so long that a
  // sign of life is due; it also tells client and proxies that the connection lives.
  Next next(std::size_t bytes_max, bool quiet);

 private:
  Next write(std::string_view text) { return {.kind = Next::Kind::kWrite, .read = false, .text = text}; }
  void append_position();

  const std::chrono::milliseconds retry_;
  bool greeted_ = false;
  Follower::Step step_;  // holds the blocks of the text
  std::string text_;
  Follower follower_;
};

}  // namespace godwit::gateway
