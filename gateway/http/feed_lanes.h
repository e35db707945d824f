// SPDX-License-Identifier: Apache-2.0
// The lanes of the live feed in production. A lane runs jobs one after the other, here on a thread of its own
// (gateway/log/lanes.h); which jobs, and in what order, is LiveFeed's alone. The encoder's lane is a thread,
// the server's lane the thread of all connections, and what followers need of the log is read on threads
// beside those of requests, so that no request waits for a stream's read nor a stream for a request's. All
// followers are woken at once while that is cheap; with many of them events are gathered first, since one
// write of ten events costs little more than a write of one.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "gateway/domain/reader.h"
#include "gateway/http/config.h"
#include "gateway/http/signal.h"
#include "gateway/log/lanes.h"
#include "gateway/log/live_feed.h"

namespace godwit::http {

class FeedLanes final : private gateway::Lanes {
 public:
  // `log` must outlive it. `io` is the server's lane.
  FeedLanes(boost::asio::io_context& io, const gateway::LogReader& log, const Limits& limits);
  ~FeedLanes() { join(); }
  FeedLanes(const FeedLanes&) = delete;
  FeedLanes& operator=(const FeedLanes&) = delete;

  // Its publish() may be called also before the server's thread runs and after join().
  gateway::LiveFeed& live() { return live_; }

  // No more wake-ups; reads under way end soon. Call on the server's thread, and join() when it has ended.
  void stop();
  void join();

 private:
  void encoder(Job job) override;
  void reads(Read read) override;
  void server(Job job) override;
  void wake(Job job) override;

  boost::asio::io_context& io_;
  const Limits limits_;
  boost::asio::steady_timer gather_timer_;
  SteadyTime last_wake_;
  std::atomic<bool> stopped_ = false;
  gateway::LiveFeed live_;
  boost::asio::thread_pool encoder_;
  boost::asio::thread_pool readers_;
};

}  // namespace godwit::http
