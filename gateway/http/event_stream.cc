// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/event_stream.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "gateway/log/sse_stream.h"

namespace godwit::http {
namespace {

using boost::asio::awaitable;
using gateway::SseStream;

// A stream that the lanes know of.
class Place {
 public:
  Place(FeedLanes& lanes, const Limits& limits, Subscription subscription, Signal& signal)
      : lanes_(lanes),
        stream_(std::in_place, lanes.feed(), subscription.start, std::move(subscription.filter), limits.retry,
                [&signal] { signal.notify(); }) {
    lanes_.followers_changed();
  }
  ~Place() {
    stream_.reset();
    lanes_.followers_changed();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  SseStream* operator->() { return &*stream_; }

 private:
  FeedLanes& lanes_;
  std::optional<SseStream> stream_;
};

}  // namespace

awaitable<Status> run_event_stream(FeedLanes& lanes, const Limits& limits, Subscription subscription,
                                   Signal& signal, const bool& stopping, BodyWriter& writer) {
  using Kind = SseStream::Next::Kind;
  using std::chrono::steady_clock;
  Place stream(lanes, limits, std::move(subscription), signal);
  SteadyTime heartbeat = steady_clock::now() + limits.heartbeat;
  while (!stopping) {
    const SseStream::Next next = stream->next(limits.stream_batch_bytes, steady_clock::now() >= heartbeat);
    if (next.read) lanes.start_reads();
    switch (next.kind) {
      case Kind::kAgain:
        co_await boost::asio::post(boost::asio::use_awaitable);
        break;
      case Kind::kEnd:
        co_return Status::kOk;  // in order: the client comes back in a moment
      case Kind::kWait:
        co_await signal.wait(heartbeat);
        break;
      case Kind::kWrite:
        const Status status = co_await writer.write(next.text);
        if (status != Status::kOk) co_return status;
        heartbeat = steady_clock::now() + limits.heartbeat;
    }
  }
  co_return Status::kOk;
}

}  // namespace godwit::http
