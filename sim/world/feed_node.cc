// SPDX-License-Identifier: Apache-2.0
#include "sim/world/feed_node.h"

#include <algorithm>
#include <utility>

namespace godwit::sim {
namespace {

using gateway::SseStream;

constexpr Millis kEncode{1};
constexpr Millis kHop{1};  // from one lane to another
constexpr Millis kGather{5};
constexpr std::uint64_t kReadSlowest_ms = 40;
constexpr std::size_t kReadsAtOnce = 2;
constexpr std::size_t kSocketBytes = std::size_t{64} * 1024;
constexpr std::size_t kStreamBytesMax = std::size_t{128} * 1024;  // declared in docs/adr/0014-followers.md
constexpr Millis kHeartbeat{15'000};
constexpr Millis kWriteTimeout{20'000};
constexpr std::chrono::milliseconds kRetry{2'000};

}  // namespace

FeedNode::FeedNode(const Scene& scene, const gateway::LogReader& log, Options options)
    : scene_(scene),
      log_(log),
      options_(std::move(options)),
      random_(options_.seed),
      queue_(options_.queue_bytes_max),
      feed_({.cache_bytes_max = options_.cache_bytes_max}) {
  feed_.start(log.ends().last);
  job(kHeartbeat, [this] { beat(); });
}

FeedNode::~FeedNode() {
  life_.reset();
  for (const auto& [id, stream] : streams_) stream.client->ended();
  streams_.clear();  // before the feed
}

void FeedNode::job(Millis pause, std::function<void()> what) {
  scene_.engine.after(pause, [life = std::weak_ptr(life_), what = std::move(what)] {
    if (!life.expired()) what();
  });
}

// --- Writer and encoder ---

void FeedNode::publish(std::span<const gateway::Event> events) {
  queue_.push(events);
  check_bounds();
  if (std::exchange(encoding_, true)) return;
  job(kEncode, [this] { encode(); });
}

void FeedNode::encode() {
  gateway::EventQueue::Batch batch = queue_.take();
  gateway::LivePiece piece = gateway::encode_live(batch, log_);
  queue_.put_back(batch.events);
  job(kHop, [this, piece = std::move(piece)] { append(piece); });
}

void FeedNode::append(gateway::LivePiece piece) {
  if (!streams_.empty() && piece.skipped_through.offset > skipped_.offset) scene_.hit(Probe::kFeedLeftOut);
  skipped_ = piece.skipped_through;
  feed_.skip_through(piece.skipped_through);
  for (gateway::BlockPtr& block : piece.blocks) feed_.append(std::move(block));
  check_bounds();
  encoding_ = !queue_.empty();
  if (encoding_) job(kEncode, [this] { encode(); });
  if (std::exchange(waking_, true)) return;
  job(kGather, [this] {
    waking_ = false;
    feed_.wake();
  });
}

// --- Server ---

FeedNode::StreamId FeedNode::open(Client& client, const gateway::LogStart& start,
                                  gateway::LogReader::Filter filter) {
  const StreamId id = ++last_id_;
  Stream stream{
      .client = &client, .text = {}, .socket = {}, .taken_at = scene_.now(), .written_at = scene_.now()};
  stream.text =
      std::make_unique<SseStream>(feed_, start, std::move(filter), kRetry, [this, id] { make_ready(id); });
  streams_.emplace(id, std::move(stream));
  queue_.set_wanted(true);
  make_ready(id);
  return id;
}

void FeedNode::close(StreamId id) {
  streams_.erase(id);
  queue_.set_wanted(!streams_.empty());
}

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
  job(kHop, [this] { serve(); });
}

void FeedNode::serve() {
  serving_ = false;
  for (const StreamId id : std::exchange(ready_, {})) serve(id);
  start_reads();
  check_bounds();
}

void FeedNode::serve(StreamId id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  stream.ready = false;
  if (stream.socket.size() >= kSocketBytes) return;  // until the client takes some
  const Time now = scene_.now();
  const SseStream::Next next = stream.text->next(options_.step_bytes, now - stream.written_at >= kHeartbeat);
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
  job(kHeartbeat, [this] { beat(); });
}

// --- Reads ---

void FeedNode::start_reads() {
  while (reads_ < kReadsAtOnce) {
    auto request = feed_.next_read();
    if (!request) return;
    ++reads_;
    const Millis takes{static_cast<std::int64_t>(random_.between(1, kReadSlowest_ms))};
    job(takes, [this, request = std::move(*request)] {
      gateway::ReadResult result = gateway::run_read(log_, request, {});
      if (!request.start) scene_.hit(Probe::kFollowerReadPages);
      may_fail_ = may_fail_ || (result.failed && options_.disk_is_in_trouble());
      job(kHop, [this, result = std::move(result)] {
        --reads_;
        feed_.finish_read(result);
        start_reads();
        check_bounds();
      });
      options_.was_read();
    });
  }
}

void FeedNode::check_bounds() const {
  if (feed_.cached_bytes() > options_.cache_bytes_max || queue_.bytes() > options_.queue_bytes_max)
    throw Violation("feed_bounds", "the feed holds " + std::to_string(feed_.cached_bytes()) + " and " +
                                       std::to_string(queue_.bytes()) + " bytes");
}

}  // namespace godwit::sim
