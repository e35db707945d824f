// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/feed_lanes.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace godwit::http {
namespace {

using gateway::Event;
using gateway::EventQueue;

// About three times what waking and writing to one subscriber takes (4 to 5 us, docs/adr/0005-http.md):
// events are gathered so long that wake-ups take at most a third of the thread's time.
constexpr std::chrono::microseconds kGatherPerFollower{15};

}  // namespace

FeedLanes::FeedLanes(boost::asio::io_context& io, const gateway::LogReader& log, const Limits& limits)
    : io_(io),
      log_(log),
      limits_(limits),
      feed_({.cache_bytes_max = limits.feed_bytes_max}),
      gather_timer_(io),
      encoder_(1),
      readers_(limits.stream_read_threads) {}

void FeedLanes::publish(std::span<const Event> events) {
  if (events.empty()) return;
  const std::lock_guard lock(queue_mutex_);
  queue_.push(events);
  if (std::exchange(encoding_, true)) return;
  boost::asio::post(encoder_, [this] { encode(); });
}

void FeedLanes::encode() {
  EventQueue::Batch batch;
  {
    const std::lock_guard lock(queue_mutex_);
    batch = queue_.take();
  }
  gateway::LivePiece piece = gateway::encode_live(batch, log_);
  {
    const std::lock_guard lock(queue_mutex_);
    queue_.put_back(batch.events);
  }
  boost::asio::post(io_, [this, piece = std::move(piece)]() mutable { append(std::move(piece)); });
}

void FeedLanes::append(gateway::LivePiece piece) {
  feed_.skip_through(piece.skipped_through);
  for (gateway::BlockPtr& block : piece.blocks) feed_.append(std::move(block));
  {
    const std::lock_guard lock(queue_mutex_);
    encoding_ = !queue_.empty();
    if (encoding_) boost::asio::post(encoder_, [this] { encode(); });
  }
  wake_soon();
}

void FeedLanes::wake_soon() {
  if (stopped_ || wake_planned_) return;
  const auto now = std::chrono::steady_clock::now();
  const SteadyTime next = last_wake_ + std::min<std::chrono::microseconds>(
                                           limits_.gather_max, kGatherPerFollower * feed_.followers());
  if (next <= now) {
    wake();
    return;
  }
  wake_planned_ = true;
  gather_timer_.expires_at(next);
  gather_timer_.async_wait([this](boost::system::error_code error) {
    wake_planned_ = false;
    if (!error) wake();
  });
}

void FeedLanes::wake() {
  last_wake_ = std::chrono::steady_clock::now();
  feed_.wake();
}

void FeedLanes::followers_changed() {
  const std::lock_guard lock(queue_mutex_);
  queue_.set_wanted(feed_.followers() > 0);
}

void FeedLanes::start_reads() {
  while (!stopped_ && reads_ < limits_.stream_read_threads) {
    auto request = feed_.next_read();
    if (!request) return;
    ++reads_;
    boost::asio::post(readers_, [this, request = std::move(*request)] {
      const SteadyTime deadline = std::chrono::steady_clock::now() + limits_.read_timeout;
      gateway::ReadResult result = gateway::run_read(
          log_, request, [&] { return stopped_ || std::chrono::steady_clock::now() > deadline; });
      boost::asio::post(io_, [this, result = std::move(result)]() mutable {
        --reads_;
        feed_.finish_read(std::move(result));
        start_reads();
      });
    });
  }
}

void FeedLanes::stop() {
  stopped_ = true;
  gather_timer_.cancel();
}

void FeedLanes::join() {
  encoder_.join();
  readers_.join();
}

}  // namespace godwit::http
