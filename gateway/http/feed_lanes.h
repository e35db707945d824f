// SPDX-License-Identifier: Apache-2.0
// The threads of gateway/log's feed: events come from the writer's, an encoder makes blocks of them, the
// server's serves the followers, and what these need of the log is read on threads of their own, so that no
// request waits for a stream's read nor a stream for a request's. The server's thread wakes all streams at
// once while that is cheap; with many of them it gathers events first, since one write of ten events costs
// little more than a write of one.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <mutex>
#include <span>

#include "gateway/domain/event.h"
#include "gateway/domain/reader.h"
#include "gateway/http/config.h"
#include "gateway/http/signal.h"
#include "gateway/log/event_queue.h"
#include "gateway/log/feed.h"

namespace godwit::http {

class FeedLanes {
 public:
  // `log` must outlive it.
  FeedLanes(boost::asio::io_context& io, const gateway::LogReader& log, const Limits& limits);
  ~FeedLanes() { join(); }
  FeedLanes(const FeedLanes&) = delete;
  FeedLanes& operator=(const FeedLanes&) = delete;

  // Before the server's thread runs: events after `tail` will be published, in order and without exception;
  // those up to it may be.
  void start(gateway::LogId tail) { feed_.start(tail); }
  // Any one thread at a time, also before start() and after join(). Copied.
  void publish(std::span<const gateway::Event> events);
  // No more wake-ups; reads under way end soon. Call on the server's thread, and join() when it has ended.
  void stop();
  void join();

  // From here on: server's thread only.
  gateway::Feed& feed() { return feed_; }
  // After a follower has come or gone.
  void followers_changed();
  // After a step that was kRead.
  void start_reads();

 private:
  void encode();  // encoder thread
  void append(gateway::LivePiece piece);
  void wake_soon();
  void wake();

  boost::asio::io_context& io_;
  const gateway::LogReader& log_;
  const Limits limits_;
  gateway::Feed feed_;

  std::mutex queue_mutex_;
  gateway::EventQueue queue_;
  bool encoding_ = false;  // a job of the encoder, or what it made, is on its way

  std::size_t reads_ = 0;  // under way
  boost::asio::steady_timer gather_timer_;
  SteadyTime last_wake_;
  bool wake_planned_ = false;
  std::atomic<bool> stopped_ = false;
  boost::asio::thread_pool encoder_;
  boost::asio::thread_pool readers_;
};

}  // namespace godwit::http
