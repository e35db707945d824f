// SPDX-License-Identifier: Apache-2.0
// Committed events on their way to the encoder. Bounded: what does not fit is left out, as if it had never
// been here, and followers read it from the log. Not thread-safe: the writer and the encoder share it under a
// lock.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/log/block.h"

namespace godwit::gateway {

class EventQueue {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{6} * 1024 * 1024;

  explicit EventQueue(std::size_t bytes_max = kBytesMax) : bytes_max_(bytes_max) {}

  // Whether there is anybody to encode for. If not, events are left out.
  void set_wanted(bool wanted) { wanted_ = wanted; }

  // In the order of the log, each once. Copied.
  void push(std::span<const Event> events);

  struct Batch {
    LogId skipped_through;  // events up to here, before `events`, were left out
    std::vector<Event> events;
  };
  static constexpr std::size_t kTakenEventsMax = 256;
  static constexpr std::size_t kTakenBytesMax = std::size_t{256} * 1024;
  // The oldest events, up to these limits. The caller puts back what it does not get done.
  [[nodiscard]] Batch take();
  // The end of what take() gave. Dropped if the queue has been left out since.
  void put_back(std::span<Event> events);

  // Nothing to take: neither events nor a skip.
  [[nodiscard]] bool empty() const { return events_.empty() && taken_skip_ == skipped_through_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void skip_through(const Event& last);

  const std::size_t bytes_max_;
  std::deque<Event> events_;
  std::size_t bytes_ = 0;
  LogId skipped_through_;
  LogId taken_skip_;
  bool wanted_ = false;
};

// What the encoder's lane makes of a batch: for Feed::skip_through() and append().
struct LivePiece {
  LogId skipped_through;
  std::vector<BlockPtr> blocks;
};
// Encodes a piece of about kBlockTextMax and leaves in `batch` the events to be put back. If `context` cannot
// be read, all are left out: followers will try for themselves.
[[nodiscard]] LivePiece encode_live(EventQueue::Batch& batch, const BatchContext& context);

}  // namespace godwit::gateway
