// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/event_stream.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "gateway/log/sse_stream.h"

namespace godwit::http {
namespace {

using boost::asio::awaitable;
using gateway::SseStream;

}  // namespace

awaitable<Status> run_event_stream(gateway::LiveFeed& live, const Limits& limits, Subscription subscription,
                                   Signal& signal, const bool& stopping, BodyWriter& writer) {
  using Kind = SseStream::Next::Kind;
  using std::chrono::steady_clock;
  SseStream stream(live.feed(), subscription.start, std::move(subscription.filter), limits.retry,
                   [&signal] { signal.notify(); });
  SteadyTime heartbeat = steady_clock::now() + limits.heartbeat;
  while (!stopping) {
    const SseStream::Next next = stream.next(limits.stream_batch_bytes, steady_clock::now() >= heartbeat);
    if (next.read) live.start_reads();
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
