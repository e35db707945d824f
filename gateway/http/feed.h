// SPDX-License-Identifier: Apache-2.0
// The newest events of the log, encoded once, for all event streams.
//
//   writer thread            encoder thread          server's thread
//   publish() -> inbox ----> JSON, one block ------> ring -> wakes the streams -> each copies from its own
//   offset
//
// The feed is a cache: whatever does not fit, in the inbox or the ring, is left out, and a stream that is
// behind the ring reads the log instead. So nothing here can lose an event, and a stream is an offset, not a
// queue. One block is under way at a time. The server's thread wakes all streams at once while that is cheap;
// with many of them it gathers events first, since one write of ten events costs little more than a write of
// one.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/domain/reader.h"
#include "gateway/http/config.h"
#include "gateway/http/signal.h"

namespace godwit::http {

// One event as text/event-stream has it.
void append_frame(std::string& out, const gateway::Event& event, const gateway::BatchContext& context);
[[nodiscard]] bool matches(const gateway::LogReader::Filter& filter, gateway::EventType type,
                           std::string_view device);

class Feed {
 public:
  // `context` must outlive the feed.
  Feed(boost::asio::io_context& io, const gateway::BatchContext& context, const Limits& limits);
  ~Feed() { join(); }
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  // Events after `tail` will be published, in order and without exception; those up to it may be.
  void start(gateway::LogOffset tail);
  // Any one thread at a time, also before start() and after join(). Copied.
  void publish(std::span<const gateway::Event> events);
  // No more wake-ups. Call on the server's thread, and join() when it has ended.
  void stop();
  void join();

  // From here on: server's thread only.

  // As long as it lives, `signal` is notified when there are new events.
  class Subscriber {
   public:
    Subscriber(Feed& feed, Signal& signal);
    ~Subscriber();
    Subscriber(const Subscriber&) = delete;
    Subscriber& operator=(const Subscriber&) = delete;

   private:
    Feed& feed_;
    Signal& signal_;
  };
  [[nodiscard]] std::size_t subscriber_count() const { return subscribers_.size(); }

  // True if all events after `offset` are here.
  [[nodiscard]] bool covers(gateway::LogOffset offset) const { return offset >= floor_; }
  // Appends the events after `cursor` that match, until `out` has `bytes_max` or more, and moves the cursor
  // behind what was looked at. Precondition: covers(cursor).
  void collect(gateway::LogOffset& cursor, const gateway::LogReader::Filter& filter, std::size_t bytes_max,
               std::string& out) const;

 private:
  struct Entry {
    gateway::LogOffset offset;
    gateway::EventType type;
    std::string device;
    std::string frame;
  };
  struct Block {
    gateway::LogOffset skipped_through;  // events up to here, before `entries`, are not in the feed
    std::vector<Entry> entries;
  };

  void encode_inbox();       // encoder thread
  void append(Block block);  // server's thread, as all below
  void skip_through(gateway::LogOffset offset);
  void wake_soon();
  void wake();

  boost::asio::io_context& io_;
  const gateway::BatchContext& context_;
  const Limits limits_;
  boost::asio::thread_pool encoder_;

  std::mutex inbox_mutex_;
  std::vector<gateway::Event> inbox_;
  std::size_t inbox_bytes_ = 0;
  gateway::LogOffset inbox_skipped_through_;
  bool encoding_ = false;             // a block is on its way to the ring
  std::atomic<bool> wanted_ = false;  // somebody is subscribed

  std::deque<Entry> ring_;  // every event after floor_, up to tail_
  std::size_t ring_bytes_ = 0;
  gateway::LogOffset floor_;
  gateway::LogOffset tail_;
  std::unordered_set<Signal*> subscribers_;
  boost::asio::steady_timer gather_timer_;
  SteadyTime last_wake_;
  bool wake_planned_ = false;
  bool stopped_ = false;
};

}  // namespace godwit::http
