// SPDX-License-Identifier: Apache-2.0
// The log for all who follow it: SSE now; WebSocket, webhooks, exports and northbound later.
//
// A follower is a place in the log. In front of it the feed has blocks: of the newest events, and of older
// pages that somebody read a moment ago; whoever comes to where there is none asks for a page and waits for
// its turn. So nothing here can lose an event, and a page is read and encoded once for all who need it.
// Memory: Limits::cache_bytes_max, and of a follower the blocks of one step. No threads, no clock, no I/O:
// all of Feed and Follower belongs to the server's lane (lanes.h); LiveFeed brings it what it needs of others.
// Why: docs/adr/0014-followers.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/log/block.h"

namespace godwit::gateway {

// Where a follower begins.
struct LogStart {
  enum class Kind : std::uint8_t { kNow, kBegin, kAfter };  // the newest, the oldest there is, or an id
  Kind kind = Kind::kNow;
  LogId after;  // kAfter
};

// What the reads lane is to do: find the place of a start, or read a page.
struct ReadRequest {
  std::uint64_t number = 0;
  std::optional<LogStart> start;  // find this; the rest has no meaning then
  LogOffset after;
  LogOffset up_to;
  LogReader::Filter filter;
};
struct ReadResult {
  std::uint64_t number = 0;
  bool failed = false;
  Resumption place;              // of a start
  std::vector<BlockPtr> blocks;  // of a page
};
// Any thread; touches the disk. Does not throw. `give_up` as in PageBounds.
[[nodiscard]] ReadResult run_read(const LogReader& log, const ReadRequest& request,
                                  std::function<bool()> give_up);

class Follower;

class Feed {
 public:
  struct Limits {
    std::size_t cache_bytes_max = std::size_t{24} * 1024 * 1024;
  };
  // How often followers could not be given events from memory, since the start.
  struct Counters {
    std::uint64_t left_out = 0;      // skips: events that will not be appended
    std::uint64_t pages_read = 0;    // from the log
    std::uint64_t reads_failed = 0;  // because the log cannot be read
  };
  // `followed`: told when the first follower has come (true) and when the last one has gone (false).
  explicit Feed(const Limits& limits, std::function<void(bool)> followed = {})
      : limits_(limits), followed_(std::move(followed)) {}
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // The end of the log; all later events will be appended or skipped, those up to it may be.
  void start(LogId tail) { tail_ = tail; }
  // The next block of live events.
  void append(BlockPtr block);
  // Events up to here will not be appended: they are to be read from the log.
  void skip_through(LogId id);
  // After these two, soon: wakes all who wait for events.
  void wake();

  // The next read that somebody waits for, first come, first served: to be asked for whenever a follower's
  // step was kRead or a read was finished, as long as the reads lane has room.
  [[nodiscard]] std::optional<ReadRequest> next_read();
  void finish_read(ReadResult result);

  [[nodiscard]] LogId tail() const { return tail_; }
  [[nodiscard]] std::size_t followers() const { return followers_.size(); }
  // Follower::lag() of the one that is furthest behind.
  [[nodiscard]] std::int64_t lag_max() const;
  [[nodiscard]] std::size_t cached_bytes() const { return bytes_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  friend class Follower;
  struct Cached {
    BlockPtr block;
    std::list<LogOffset>::iterator use;
  };
  struct Running {
    Follower* follower;  // nullptr: gone meanwhile
    bool shared;
    LogOffset after;
  };

  // The block that goes on after `offset`; nullptr: none is here.
  BlockPtr find(LogOffset offset);
  void insert(BlockPtr block);
  [[nodiscard]] bool has_to_read(const Follower& follower);
  [[nodiscard]] bool is_read_already(const Follower& follower) const;
  ReadRequest request_for(Follower& follower);

  const Limits limits_;
  const std::function<void(bool)> followed_;  // empty: nobody wants to know
  Counters counters_;
  LogId tail_;
  std::map<LogOffset, Cached> blocks_;  // by the end of their range
  std::list<LogOffset> uses_;           // their keys, the one not used for longest first
  std::size_t bytes_ = 0;
  std::list<Follower*> followers_;            // in the order of their coming
  std::list<Follower*> wanting_;              // for a read
  std::map<std::uint64_t, Running> running_;  // reads under way, by number
  std::uint64_t last_number_ = 0;
};

// Entries begin to end of a block, none left out.
struct Slice {
  BlockPtr block;
  std::size_t begin = 0;
  std::size_t end = 0;
  [[nodiscard]] std::string_view text() const {
    const Block::Entry& last = block->entries[end - 1];
    return std::string_view(block->text)
        .substr(block->entries[begin].begin, last.end - block->entries[begin].begin);
  }
};

class Follower {
 public:
  struct Step {
    enum class Kind : std::uint8_t {
      kEvents,  // `slices`: send them, then ask for the next step
      kGap,     // `gap`: the same
      kAgain,   // much was looked at and nothing passes the filter: give others a turn
      kWait,    // for events: until woken
      kRead,    // for the reads lane: until woken
      kFailed,  // the log cannot be read; the next step tries again
    };
    Kind kind = Kind::kWait;
    std::vector<Slice> slices;
    LogGap gap;
  };

  // `feed` must outlive it. `wake` is called when the next step may be another one; it must not call anything
  // of the feed.
  Follower(Feed& feed, const LogStart& start, LogReader::Filter filter, std::function<void()> wake);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Moves the position behind what it gives: at most `bytes_max` of text, or a single block or event.
  Step next(std::size_t bytes_max);

  // All up to here was given, or does not pass the filter; nullopt: not known before the first read, nor as
  // long as a gap is to be told first, which whoever comes back with this would never hear of.
  [[nodiscard]] std::optional<LogId> position() const;
  // How many events of the log, whatever the filter, lie in front of it. 0 before the first read.
  [[nodiscard]] std::int64_t lag() const;

 private:
  friend class Feed;
  BlockPtr next_block();
  bool copy(const Block& block, std::size_t first, std::size_t bytes_max, Block& own);
  Step::Kind wait_or_read();

  Feed& feed_;
  const LogReader::Filter filter_;
  const bool all_;  // the filter lets everything through
  const std::function<void()> wake_;
  std::optional<LogStart> start_;  // not found yet
  LogId position_;
  std::optional<LogGap> gap_;  // to be given first
  BlockPtr page_;              // read for this follower
  bool waiting_ = false;
  bool failed_ = false;
  std::list<Follower*>::iterator place_;                  // in Feed::followers_
  std::optional<std::list<Follower*>::iterator> wanted_;  // in Feed::wanting_
  std::uint64_t reading_ = 0;                             // key in Feed::running_; 0: none
};

}  // namespace godwit::gateway
