// SPDX-License-Identifier: Apache-2.0
// The feed with its jobs, on lanes (lanes.h) that are given:
//
//   writer's     encoder's           server's                         reads'
//   publish() -> take, encode() ---> append() -> wake -> followers    run_read()
//       (EventQueue)   ^                |               | start_reads()  ^ |
//                      `-- more waits --'               `----------------' `-> server's: finish_read()
//
// One encoding is on its way at a time, from when it is asked for until what it made is appended: so pieces
// come in order, and the encoder never runs ahead of the server by more than one. No thread, clock or I/O of
// its own; a lock around the queue alone, never held while anything is encoded.
#pragma once

#include <cstddef>
#include <mutex>
#include <span>

#include "gateway/domain/reader.h"
#include "gateway/log/event_queue.h"
#include "gateway/log/feed.h"
#include "gateway/log/lanes.h"

namespace godwit::gateway {

class LiveFeed {
 public:
  struct Options {
    std::size_t cache_bytes_max = Feed::Limits{}.cache_bytes_max;
    std::size_t queue_bytes_max = EventQueue::kBytesMax;
    std::size_t reads_at_once = 2;
  };
  // `lanes` and `log` must outlive it, and no job run when it dies.
  LiveFeed(Lanes& lanes, const LogReader& log, const Options& options);
  LiveFeed(const LiveFeed&) = delete;
  LiveFeed& operator=(const LiveFeed&) = delete;

  // Before anybody follows: events after `tail` will be published, in order and without exception; those up
  // to it may be.
  void start(LogId tail) { feed_.start(tail); }
  // On the writer's lane: any one thread at a time, also before start(). Copied; events that nobody follows
  // or that do not fit the queue are left out and read from the log by whoever wants them.
  void publish(std::span<const Event> events);
  // Any lane.
  [[nodiscard]] std::size_t queued_bytes() const;

  // From here on: server's lane only.
  Feed& feed() { return feed_; }
  [[nodiscard]] const Feed& feed() const { return feed_; }
  // After a step that was kRead.
  void start_reads();

 private:
  void encode();  // encoder's lane
  void append();

  Lanes& lanes_;
  const LogReader& log_;
  const Options options_;

  mutable std::mutex mutex_;  // of these two
  EventQueue queue_;
  bool encoding_ = false;

  LivePiece piece_;  // of the lane that has the encoding
  // Of the server's lane.
  Feed feed_;
  bool waking_ = false;    // a wake-up is planned
  std::size_t reads_ = 0;  // under way
};

}  // namespace godwit::gateway
