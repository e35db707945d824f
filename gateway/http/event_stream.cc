// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/event_stream.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <memory>
#include <optional>

namespace godwit::http {
namespace {

using boost::asio::awaitable;
using gateway::Event;
using gateway::LogOffset;

constexpr std::size_t kPageEvents = 256;

void append_gap(std::string& out, LogOffset from, LogOffset to) {
  const std::string last = std::to_string(to.value);
  out += "id: " + last + "\nevent: gap\ndata: {\"type\":\"gap\",\"from\":" + std::to_string(from.value) +
         ",\"to\":" + last + "}\n\n";
}

// Where the stream is, as an id without an event: the client's Last-Event-ID from then on, though the filter
// may have let nothing through.
std::string position(LogOffset cursor) { return "id: " + std::to_string(cursor.value) + "\n"; }

// nullopt: the log cannot be read now.
awaitable<std::optional<StreamPage>> read_page(const StreamContext& context, const Subscription& subscription,
                                               Signal& signal) {
  const auto page = std::make_shared<std::optional<StreamPage>>();
  std::function<void()> work = [page, subscription, &log = context.log,
                                bytes_max = context.limits.stream_batch_bytes] {
    try {
      *page = read_stream_page(log, subscription, bytes_max);
    } catch (const std::exception&) {  // reported by every request and by /readyz; here the stream just ends
    }
  };
  const Status status = co_await context.reads.run(signal, std::move(work));
  if (status != Status::kOk) co_return std::nullopt;
  co_return std::move(*page);
}

}  // namespace

StreamPage read_stream_page(const gateway::LogReader& log, const Subscription& subscription,
                            std::size_t bytes_max) {
  StreamPage page{.text = {}, .cursor = subscription.after};
  // In this order: what is committed after `end` may be missing from `events`, what is trimmed before `first`
  // too.
  const LogOffset end = log.last_offset();
  const std::vector<Event> events = log.events_after(page.cursor, kPageEvents, subscription.filter);
  const LogOffset first = log.first_offset();
  if (first.value > page.cursor.value + 1) {
    const LogOffset last_trimmed{first.value - 1};
    append_gap(page.text, {page.cursor.value + 1}, last_trimmed);
    page.cursor = last_trimmed;
  }
  for (const Event& event : events) {
    if (event.offset <= page.cursor) continue;
    if (page.text.size() >= bytes_max) return page;
    append_frame(page.text, event, log);
    page.cursor = event.offset;
  }
  if (events.size() < kPageEvents) page.cursor = std::max(page.cursor, end);
  return page;
}

awaitable<Status> run_event_stream(StreamContext context, Subscription subscription, Signal& signal,
                                   BodyWriter& writer) {
  using std::chrono::steady_clock;
  const Feed::Subscriber subscriber(context.feed, signal);
  // A client that began with "now" and were cut off before its first event would otherwise begin again with
  // another "now", and miss what came between.
  std::string out =
      position(subscription.after) + "retry: " + std::to_string(context.limits.retry.count()) + "\n\n";
  for (;;) {
    if (!out.empty()) {
      const Status status = co_await writer.write(out);
      if (status != Status::kOk) co_return status;
      std::string().swap(out);  // an idle stream holds no buffer
    }
    const SteadyTime heartbeat = steady_clock::now() + context.limits.heartbeat;
    while (out.empty()) {
      if (context.stopping) co_return Status::kOk;
      const LogOffset before = subscription.after;
      if (context.feed.covers(before)) {
        context.feed.collect(subscription.after, subscription.filter, context.limits.stream_batch_bytes, out);
      } else {
        auto page = co_await read_page(context, subscription, signal);
        if (!page) co_return context.stopping ? Status::kOk : Status::kIo;
        subscription.after = page->cursor;
        out = std::move(page->text);
      }
      if (!out.empty() || subscription.after > before) continue;
      if (steady_clock::now() < heartbeat) {
        co_await signal.wait(heartbeat);
      } else {
        out = position(subscription.after) + "\n";  // also tells client and proxies that the connection lives
      }
    }
  }
}

}  // namespace godwit::http
