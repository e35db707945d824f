// SPDX-License-Identifier: Apache-2.0
// The event streams of the world's gateway, for one life of it: gateway/log's feed, followers and streams, and
// its jobs in their order (LiveFeed). The lanes that run them one after the other, threads in production, are
// the engine's queue here, so that a kill fits between any two jobs: encode, append, wake, serve, read a page,
// take it. A stream's socket holds kSocketBytes; a client that takes nothing for kWriteTimeout is cut off.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gateway/log/lanes.h"
#include "gateway/log/live_feed.h"
#include "gateway/log/sse_stream.h"
#include "sim/engine/random.h"
#include "sim/world/scene.h"

namespace godwit::sim {

class FeedNode final : private gateway::Lanes {
 public:
  class Client {
   public:
    virtual void readable() = 0;  // there is something to take()
    virtual void ended() = 0;     // the connection is gone, and not by close()

   protected:
    ~Client() = default;
  };
  using StreamId = std::uint64_t;

  struct Options {
    std::uint64_t seed = 0;
    std::size_t cache_bytes_max = gateway::Feed::Limits{}.cache_bytes_max;
    std::size_t queue_bytes_max = gateway::EventQueue::kBytesMax;
    std::size_t step_bytes = 64'000;  // of a stream's text, at a time
    std::function<bool()> disk_is_in_trouble;
    std::function<void()> was_read;  // may end the FeedNode
  };
  // `log` must outlive it. Ends all streams when it dies.
  FeedNode(const Scene& scene, const gateway::LogReader& log, Options options);
  ~FeedNode();
  FeedNode(const FeedNode&) = delete;
  FeedNode& operator=(const FeedNode&) = delete;

  void publish(std::span<const gateway::Event> events);

  // `client` must outlive its stream.
  StreamId open(Client& client, const gateway::LogStart& start, gateway::LogReader::Filter filter);
  void close(StreamId id);
  // The next bytes of a stream, at most so many.
  std::string take(StreamId id, std::size_t bytes_max);

 private:
  static constexpr Millis kGather{5};

  struct Stream {
    Client* client;
    std::unique_ptr<gateway::SseStream> text;
    std::string socket;
    Time taken_at;  // or the socket was empty
    Time written_at;
    bool ready = false;
  };

  // Later, if this life goes on.
  void after(Millis pause, Job job);
  Millis up_to(std::uint64_t most_ms);  // at random
  void encoder(Job job) override;
  void reads(Read read) override;
  void server(Job job) override;
  void wake(Job job) override { after(kGather, std::move(job)); }
  void make_ready(StreamId id);
  void serve();
  void serve(StreamId id);
  void end(StreamId id);
  void beat();
  void check_bounds() const;

  const Scene& scene_;
  const Options options_;
  Random random_;
  gateway::LiveFeed live_;
  std::map<StreamId, Stream> streams_;
  StreamId last_id_ = 0;
  std::vector<StreamId> ready_;
  bool serving_ = false;   // a job of it is planned
  bool may_fail_ = false;  // a read met a disk in trouble
  std::shared_ptr<const int> life_ = std::make_shared<const int>(0);
};

}  // namespace godwit::sim
