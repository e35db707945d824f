// SPDX-License-Identifier: Apache-2.0
#include "sim/world/feed_node.h"

#include <algorithm>
#include <utility>

namespace godwit::sim {
namespace {

using gateway::SseStream;

constexpr Millis kHop{1};                        // from one lane to another
constexpr std::uint64_t kEncodeSlowest_ms = 20;  // several commits fit into it
constexpr std::uint64_t kReadSlowest_ms = 40;
constexpr std::size_t kSocketBytes = std::size_t{64} * 1024;
constexpr std::size_t kStreamBytesMax = std::size_t{128} * 1024;  // declared in docs/adr/0014-followers.md
constexpr Millis kHeartbeat{15'000};
constexpr Millis kWriteTimeout{20'000};
constexpr std::chrono::milliseconds kRetry{2'000};

}  // namespace

FeedNode::FeedNode(const Scene& scene, const gateway::LogReader& log, Options options)
    : scene_(scene),
      options_(std::move(options)),
      random_(options_.seed),
      live_(*this, log,
            {.cache_bytes_max = options_.cache_bytes_max, .queue_bytes_max = options_.queue_bytes_max}) {
  live_.start(log.ends().last);
  after(kHeartbeat, [this] { beat(); });
}

FeedNode::~FeedNode() {
  life_.reset();
  for (const auto& [id, stream] : streams_) stream.client->ended();
  streams_.clear();  // before the feed
}

// --- Lanes ---

void FeedNode::after(Millis pause, Job job) {
  scene_.engine.after(pause, [life = std::weak_ptr(life_), job = std::move(job)]() mutable {
    if (!life.expired()) job();
  });
}

Millis FeedNode::up_to(std::uint64_t most_ms) {
  return Millis{static_cast<std::int64_t>(random_.between(1, most_ms))};
}

void FeedNode::encoder(Job job) { after(up_to(kEncodeSlowest_ms), std::move(job)); }

void FeedNode::reads(Read read) {
  after(up_to(kReadSlowest_ms), [this, read = std::move(read)]() mutable {
    read({});
    options_.was_read();
  });
}

// What a read found is a job that it gives while the disk is as it was then.
void FeedNode::server(Job job) {
  after(kHop, [this, job = std::move(job), trouble = options_.disk_is_in_trouble()]() mutable {
    const gateway::Feed::Counters before = live_.feed().counters();
    job();
    const gateway::Feed::Counters& now = live_.feed().counters();
    if (now.left_out > before.left_out && !streams_.empty()) scene_.hit(Probe::kFeedLeftOut);
    if (now.pages_read > before.pages_read) scene_.hit(Probe::kFollowerReadPages);
    may_fail_ = may_fail_ || (trouble && now.reads_failed > before.reads_failed);
    check_bounds();
  });
}

void FeedNode::publish(std::span<const gateway::Event> events) {
  live_.publish(events);
  check_bounds();
}

// --- Server ---

FeedNode::StreamId FeedNode::open(Client& client, const gateway::LogStart& start,
                                  gateway::LogReader::Filter filter) {
  const StreamId id = ++last_id_;
  Stream stream{
      .client = &client, .text = {}, .socket = {}, .taken_at = scene_.now(), .written_at = scene_.now()};
  stream.text = std::make_unique<SseStream>(live_.feed(), start, std::move(filter), kRetry,
                                            [this, id] { make_ready(id); });
  streams_.emplace(id, std::move(stream));
  make_ready(id);
  return id;
}

void FeedNode::close(StreamId id) { streams_.erase(id); }

void FeedNode::end(StreamId id) {
  Client* const client = streams_.at(id).client;
  close(id);
  client->ended();
}

std::string FeedNode::take(StreamId id, std::size_t bytes_max) {
  Stream& stream = streams_.at(id);
  std::string bytes = stream.socket.substr(0, bytes_max);
  stream.socket.erase(0, bytes_max);
  stream.taken_at = scene_.now();
  make_ready(id);
  return bytes;
}

void FeedNode::make_ready(StreamId id) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || std::exchange(stream->second.ready, true)) return;
  ready_.push_back(id);
  if (std::exchange(serving_, true)) return;
  server([this] { serve(); });
}

void FeedNode::serve() {
  serving_ = false;
  for (const StreamId id : std::exchange(ready_, {})) serve(id);
}

void FeedNode::serve(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  stream.ready = false;
  if (stream.socket.size() >= kSocketBytes) return;  // until the client takes some
  const Time now = scene_.now();
  const SseStream::Next next = stream.text->next(options_.step_bytes, now - stream.written_at >= kHeartbeat);
  if (next.read) live_.start_reads();
  switch (next.kind) {
    case SseStream::Next::Kind::kWait:
      return;
    case SseStream::Next::Kind::kAgain:
      return make_ready(id);
    case SseStream::Next::Kind::kEnd:
      if (!may_fail_) throw Violation("follower_cut_off", "a stream ends though the disk is well");
      scene_.hit(Probe::kFollowerTurnedAway);
      return end(id);
    case SseStream::Next::Kind::kWrite:
      break;
  }
  if (stream.socket.empty()) stream.taken_at = now;
  stream.socket += next.text;
  stream.written_at = now;
  if (stream.socket.size() > kStreamBytesMax)
    throw Violation("feed_bounds", "a stream holds " + std::to_string(stream.socket.size()) + " bytes");
  stream.client->readable();
  make_ready(id);
}

void FeedNode::beat() {
  std::vector<StreamId> stalled;
  for (auto& [id, stream] : streams_) {
    if (!stream.socket.empty() && scene_.now() - stream.taken_at >= kWriteTimeout) {
      stalled.push_back(id);
    } else {
      make_ready(id);
    }
  }
  for (const StreamId id : stalled) {
    scene_.hit(Probe::kFollowerStalled);
    end(id);
  }
  after(kHeartbeat, [this] { beat(); });
}

void FeedNode::check_bounds() const {
  const std::size_t cached = live_.feed().cached_bytes();
  const std::size_t queued = live_.queued_bytes();
  if (cached > options_.cache_bytes_max || queued > options_.queue_bytes_max)
    throw Violation("feed_bounds",
                    "the feed holds " + std::to_string(cached) + " and " + std::to_string(queued) + " bytes");
}

}  // namespace godwit::sim
