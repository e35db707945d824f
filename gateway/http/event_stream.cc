// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/event_stream.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <string>
#include <utility>

namespace godwit::http {
namespace {

using boost::asio::awaitable;
using gateway::Follower;
using Kind = gateway::Follower::Step::Kind;

// A follower that the lanes know of.
class Place {
 public:
  Place(FeedLanes& lanes, Subscription subscription, Signal& signal)
      : lanes_(lanes),
        follower_(std::in_place, lanes.feed(), subscription.start, std::move(subscription.filter),
                  [&signal] { signal.notify(); }) {
    lanes_.followers_changed();
  }
  ~Place() {
    follower_.reset();
    lanes_.followers_changed();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  Follower* operator->() { return &*follower_; }

 private:
  FeedLanes& lanes_;
  std::optional<Follower> follower_;
};

// As an id without an event: the client's Last-Event-ID from then on, though the filter may have let nothing
// through. A comment as long as the position is not known.
std::string position_of(const std::optional<gateway::LogId>& id) {
  return id ? "id: " + gateway::to_text(*id) + "\n" : ":\n";
}

std::string text_of(const Follower::Step& step) {
  std::string text;
  if (step.kind == Kind::kGap) {
    gateway::append_frame(text, step.gap);
  } else {
    for (const gateway::Slice& slice : step.slices) text += slice.text();
  }
  return text;
}

}  // namespace

awaitable<Status> run_event_stream(FeedLanes& lanes, const Limits& limits, Subscription subscription,
                                   Signal& signal, const bool& stopping, BodyWriter& writer) {
  using std::chrono::steady_clock;
  Place follower(lanes, std::move(subscription), signal);
  SteadyTime heartbeat = steady_clock::now() + limits.heartbeat;
  bool greeted = false;
  while (!stopping) {
    // A client that began with "now" and were cut off before its first event would otherwise begin again with
    // another "now", and miss what came between.
    Status status = Status::kOk;
    if (!greeted && follower->position()) {
      greeted = true;
      const std::string retry = "retry: " + std::to_string(limits.retry.count()) + "\n\n";
      status = co_await writer.write(position_of(follower->position()) + retry);
      if (status != Status::kOk) co_return status;
    }
    const Follower::Step step = follower->next(limits.stream_batch_bytes);
    switch (step.kind) {
      case Kind::kEvents:
        if (step.slices.size() == 1) {  // as it is in the block
          status = co_await writer.write(step.slices.front().text());
          break;
        }
        [[fallthrough]];
      case Kind::kGap:
        status = co_await writer.write(text_of(step));
        break;
      case Kind::kAgain:
        co_await boost::asio::post(boost::asio::use_awaitable);
        continue;
      case Kind::kFailed:
        co_return Status::kOk;  // in order: the client comes back in a moment
      case Kind::kRead:
        lanes.start_reads();
        [[fallthrough]];
      case Kind::kWait:
        if (steady_clock::now() < heartbeat) {
          co_await signal.wait(heartbeat);
          continue;
        }
        // It also tells client and proxies that the connection lives.
        status = co_await writer.write(position_of(follower->position()) + "\n");
        break;
    }
    if (status != Status::kOk) co_return status;
    heartbeat = steady_clock::now() + limits.heartbeat;
  }
  co_return Status::kOk;
}

}  // namespace godwit::http
