// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/live_feed.h"

#include <utility>

namespace godwit::gateway {

LiveFeed::LiveFeed(Lanes& lanes, const LogReader& log, const Options& options)
    : lanes_(lanes),
      log_(log),
      options_(options),
      queue_(options.queue_bytes_max),
      feed_({.cache_bytes_max = options.cache_bytes_max}, [this](bool followed) {
        const std::lock_guard lock(mutex_);
        queue_.set_wanted(followed);
      }) {}

void LiveFeed::publish(std::span<const Event> events) {
  if (events.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    queue_.push(events);
    if (std::exchange(encoding_, true)) return;
  }
  lanes_.encoder([this] { encode(); });
}

std::size_t LiveFeed::queued_bytes() const {
  const std::lock_guard lock(mutex_);
  return queue_.bytes();
}

void LiveFeed::encode() {
  EventQueue::Batch batch;
  {
    const std::lock_guard lock(mutex_);
    batch = queue_.take();
  }
  piece_ = encode_live(batch, log_);
  {
    const std::lock_guard lock(mutex_);
    queue_.put_back(batch.events);
  }
  lanes_.server([this] { append(); });
}

void LiveFeed::append() {
  const LivePiece piece = std::exchange(piece_, {});
  feed_.skip_through(piece.skipped_through);
  for (const BlockPtr& block : piece.blocks) feed_.append(block);
  bool more = false;
  {
    const std::lock_guard lock(mutex_);
    encoding_ = more = !queue_.empty();
  }
  if (more) lanes_.encoder([this] { encode(); });
  if (std::exchange(waking_, true)) return;
  lanes_.wake([this] {
    waking_ = false;
    feed_.wake();
  });
}

void LiveFeed::start_reads() {
  while (reads_ < options_.reads_at_once) {
    auto request = feed_.next_read();
    if (!request) return;
    ++reads_;
    lanes_.reads([this, request = std::move(*request)](Lanes::GiveUp give_up) {
      lanes_.server([this, result = run_read(log_, request, std::move(give_up))]() mutable {
        --reads_;
        feed_.finish_read(std::move(result));
        start_reads();
      });
    });
  }
}

}  // namespace godwit::gateway
