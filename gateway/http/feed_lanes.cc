// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/feed_lanes.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace godwit::http {
namespace {

using std::chrono::steady_clock;

// About three times what waking and writing to one subscriber takes (4 to 5 us, docs/adr/0005-http.md):
// events are gathered so long that wake-ups take at most a third of the thread's time.
constexpr std::chrono::microseconds kGatherPerFollower{15};

}  // namespace

FeedLanes::FeedLanes(boost::asio::io_context& io, const gateway::LogReader& log, const Limits& limits)
    : io_(io),
      limits_(limits),
      gather_timer_(io),
      live_(*this, log,
            {.cache_bytes_max = limits.feed_bytes_max, .reads_at_once = limits.stream_read_threads}),
      encoder_(1),
      readers_(limits.stream_read_threads) {}

void FeedLanes::encoder(Job job) { boost::asio::post(encoder_, std::move(job)); }

void FeedLanes::server(Job job) { boost::asio::post(io_, std::move(job)); }

void FeedLanes::reads(Read read) {
  if (stopped_) return;
  boost::asio::post(readers_, [this, read = std::move(read)]() mutable {
    const SteadyTime deadline = steady_clock::now() + limits_.read_timeout;
    read([this, deadline] { return stopped_ || steady_clock::now() > deadline; });
  });
}

void FeedLanes::wake(Job job) {
  if (stopped_) return;
  const SteadyTime now = steady_clock::now();
  const SteadyTime next = last_wake_ + std::min<std::chrono::microseconds>(
                                           limits_.gather_max, kGatherPerFollower * live_.feed().followers());
  if (next <= now) {
    last_wake_ = now;
    job();
    return;
  }
  gather_timer_.expires_at(next);
  gather_timer_.async_wait([this, job = std::move(job)](boost::system::error_code error) mutable {
    if (error) return;  // stopped
    last_wake_ = steady_clock::now();
    job();
  });
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
