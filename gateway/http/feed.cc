// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/feed.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "gateway/domain/event_json.h"

namespace godwit::http {
namespace {

using gateway::Event;
using gateway::LogOffset;

// About three times what waking and writing to one subscriber takes (4 to 5 us, docs/adr/0005-http.md):
// events are gathered so long that wake-ups take at most a third of the thread's time.
constexpr std::chrono::microseconds kGatherPerSubscriber{15};

std::size_t size_of(const Event& event) {
  return sizeof(Event) + event.device.size() + event.batch.size() + event.hello.size();
}

}  // namespace

void append_frame(std::string& out, const Event& event, const gateway::BatchContext& context) {
  out += "id: ";
  out += std::to_string(event.offset.value);
  out += "\nevent: ";
  out += gateway::type_name(event.type);
  out += "\ndata: ";
  gateway::append_json(out, event, context);
  out += "\n\n";
}

bool matches(const gateway::LogReader::Filter& filter, gateway::EventType type, std::string_view device) {
  if (!filter.device.empty() && filter.device != device) return false;
  return filter.types.empty() || std::ranges::find(filter.types, type) != filter.types.end();
}

Feed::Feed(boost::asio::io_context& io, const gateway::BatchContext& context, const Limits& limits)
    : io_(io), context_(context), limits_(limits), encoder_(1), gather_timer_(io) {}

void Feed::start(LogOffset tail) { skip_through(tail); }

void Feed::publish(std::span<const Event> events) {
  if (events.empty()) return;
  const std::lock_guard lock(inbox_mutex_);
  if (wanted_) {
    for (const Event& event : events) inbox_bytes_ += size_of(event);
    inbox_.insert(inbox_.end(), events.begin(), events.end());
  }
  if (!wanted_ || inbox_.size() > limits_.feed_events_max || inbox_bytes_ > limits_.feed_bytes_max) {
    inbox_.clear();
    inbox_bytes_ = 0;
    inbox_skipped_through_ = events.back().offset;
  }
  if (std::exchange(encoding_, true)) return;
  boost::asio::post(encoder_, [this] { encode_inbox(); });
}

void Feed::encode_inbox() {
  std::vector<Event> events;
  Block block;
  {
    const std::lock_guard lock(inbox_mutex_);
    events.swap(inbox_);
    inbox_bytes_ = 0;
    block.skipped_through = inbox_skipped_through_;
  }
  block.entries.reserve(events.size());
  try {
    for (Event& event : events) {
      std::string frame;
      append_frame(frame, event, context_);
      block.entries.push_back({event.offset, event.type, std::move(event.device), std::move(frame)});
    }
  } catch (const std::exception&) {  // the database cannot be read: the streams will try for themselves
    block.entries.clear();
    block.skipped_through = events.back().offset;
  }
  boost::asio::post(io_, [this, block = std::move(block)]() mutable { append(std::move(block)); });
}

void Feed::append(Block block) {
  if (block.skipped_through > tail_) skip_through(block.skipped_through);
  for (Entry& entry : block.entries) {
    if (entry.offset <= tail_) continue;
    tail_ = entry.offset;
    ring_bytes_ += entry.frame.size();
    ring_.push_back(std::move(entry));
    while (ring_.size() > limits_.feed_events_max || ring_bytes_ > limits_.feed_bytes_max) {
      floor_ = ring_.front().offset;
      ring_bytes_ -= ring_.front().frame.size();
      ring_.pop_front();
    }
  }
  {
    const std::lock_guard lock(inbox_mutex_);
    encoding_ = !inbox_.empty() || inbox_skipped_through_ > tail_;
    if (encoding_) boost::asio::post(encoder_, [this] { encode_inbox(); });
  }
  wake_soon();
}

void Feed::skip_through(LogOffset offset) {
  ring_.clear();
  ring_bytes_ = 0;
  floor_ = offset;
  tail_ = offset;
}

void Feed::wake_soon() {
  if (stopped_ || wake_planned_) return;
  const auto now = std::chrono::steady_clock::now();
  const SteadyTime next = last_wake_ + std::min<std::chrono::microseconds>(
                                           limits_.gather_max, kGatherPerSubscriber * subscribers_.size());
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

void Feed::wake() {
  last_wake_ = std::chrono::steady_clock::now();
  for (Signal* signal : subscribers_) signal->notify();
}

void Feed::stop() {
  stopped_ = true;
  gather_timer_.cancel();
}

void Feed::join() { encoder_.join(); }

void Feed::collect(LogOffset& cursor, const gateway::LogReader::Filter& filter, std::size_t bytes_max,
                   std::string& out) const {
  for (auto entry = std::ranges::upper_bound(ring_, cursor, {}, &Entry::offset);
       entry != ring_.end() && out.size() < bytes_max; ++entry) {
    if (matches(filter, entry->type, entry->device)) out += entry->frame;
    cursor = entry->offset;
  }
}

Feed::Subscriber::Subscriber(Feed& feed, Signal& signal) : feed_(feed), signal_(signal) {
  feed_.subscribers_.insert(&signal_);
  feed_.wanted_ = true;
}

Feed::Subscriber::~Subscriber() {
  feed_.subscribers_.erase(&signal_);
  feed_.wanted_ = !feed_.subscribers_.empty();
}

}  // namespace godwit::http
