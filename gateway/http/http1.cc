// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http1.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "gateway/http/request_parser.h"

namespace godwit::http {
namespace {

using boost::asio::awaitable;
using std::chrono::steady_clock;

constexpr std::size_t kWritePiece = 64 * 1024;  // each has Limits::write_timeout

struct Framing {
  bool keep_alive = false;
  bool chunked = false;  // the peer can take a chunked response
  bool head = false;
};

std::string head_of(const Response& response, const Framing& framing) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " ";
  text += reason_phrase(response.status);
  text += "\r\n";
  for (const auto& [name, value] : response.headers) text += name + ": " + value + "\r\n";
  if (response.events) {
    if (framing.chunked) text += "Transfer-Encoding: chunked\r\n";
  } else if (response.status != 204 && response.status != 304) {
    const bool stream_head = framing.head && response.body.empty();
    if (!stream_head) text += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  text += framing.keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  return text;
}

// The body of an event stream, in chunks if the peer knows them.
class ChunkWriter : public BodyWriter {
 public:
  ChunkWriter(TlsStream& stream, bool chunked, milliseconds timeout)
      : stream_(stream), chunked_(chunked), timeout_(timeout) {}

  awaitable<Status> write(std::string_view text) override {
    std::string chunk;
    if (chunked_) {
      std::array<char, 16> size{};
      const auto end = std::to_chars(size.data(), size.data() + size.size(), text.size(), 16).ptr;
      chunk.reserve(text.size() + 12);
      chunk.append(size.data(), end).append("\r\n").append(text).append("\r\n");
      text = chunk;
    }
    co_return co_await stream_.write(text, steady_clock::now() + timeout_);
  }

  awaitable<Status> finish() {
    if (!chunked_) co_return Status::kOk;
    co_return co_await stream_.write("0\r\n\r\n", steady_clock::now() + timeout_);
  }

 private:
  TlsStream& stream_;
  const bool chunked_;
  const milliseconds timeout_;
};

class Session {
 public:
  Session(Connection& connection, Service& service, const Limits& limits, TransportCounters& counters)
      : connection_(connection),
        stream_(*connection.stream),
        service_(service),
        limits_(limits),
        counters_(counters) {}

  awaitable<void> run() {
    milliseconds patience = limits_.first_byte_timeout;
    while (!connection_.stopping) {
      connection_.idle = true;
      if (input_.empty()) {
        const Status status = co_await stream_.read(input_, steady_clock::now() + patience);
        if (status != Status::kOk) co_return;
      }
      connection_.idle = false;
      const bool go_on = co_await serve_one();
      if (!go_on) co_return;
      if (input_.empty()) std::string().swap(input_);  // an idle connection holds no buffer
      patience = limits_.idle_timeout;
    }
  }

 private:
  // False: the connection must end.
  awaitable<bool> serve_one() {
    Request request;
    Framing framing;
    std::optional<Problem> problem;
    const Status status = co_await read_request(request, framing, problem);
    if (status == Status::kTimeout) {
      problem = Problem{.kind = ProblemKind::kRequestTimeout, .detail = "Send a request in one go."};
    } else if (status != Status::kOk) {
      co_return false;
    }
    ++counters_.requests;
    if (problem) {  // where the next request begins is not known
      Response refusal = service_.refuse(*problem);
      (void)co_await write(refusal, Framing{});  // the connection ends either way
      co_return false;
    }
    Response response = co_await service_.respond(std::move(request), connection_.signal);
    if (response.events || connection_.stopping) framing.keep_alive = false;
    const bool written = co_await write(response, framing);
    if (!written) co_return false;
    if (response.events) co_await stream_events(*response.events, framing);
    co_return framing.keep_alive;
  }

  // kOk: either `request` or `problem` is set.
  awaitable<Status> read_request(Request& request, Framing& framing, std::optional<Problem>& problem) {
    const SteadyTime deadline = steady_clock::now() + limits_.request_timeout;
    RequestParser parser(limits_);
    RequestParser::Progress progress = parser.feed(input_);
    while (progress == RequestParser::Progress::kNeedMore) {
      if (const Request* const head = parser.take_head()) {
        problem = service_.refuse_unread(*head);
        if (problem) co_return Status::kOk;
      }
      if (input_.empty() && parser.take_continue()) {
        const Status status = co_await stream_.write("HTTP/1.1 100 Continue\r\n\r\n", deadline);
        if (status != Status::kOk) co_return status;
      }
      const Status status = co_await stream_.read(input_, deadline);
      if (status != Status::kOk) co_return status;
      progress = parser.feed(input_);
    }
    if (progress == RequestParser::Progress::kRefused) {
      problem = parser.problem();
      co_return Status::kOk;
    }
    framing.keep_alive = parser.keep_alive();
    framing.chunked = parser.knows_chunks();
    request = parser.take();
    request.remote_address = connection_.remote_address;
    framing.head = request.method == "HEAD";
    co_return Status::kOk;
  }

  // Takes the body: it is not held twice.
  awaitable<bool> write(Response& response, const Framing& framing) {
    std::string text = head_of(response, framing);
    if (!framing.head && !response.events) text += response.body;
    std::string().swap(response.body);
    for (std::string_view rest = text; !rest.empty();
         rest.remove_prefix(std::min(rest.size(), kWritePiece))) {
      const Status status =
          co_await stream_.write(rest.substr(0, kWritePiece), steady_clock::now() + limits_.write_timeout);
      if (status != Status::kOk) co_return false;
    }
    co_return true;
  }

  awaitable<void> stream_events(const Subscription& subscription, const Framing& framing) {
    // Whatever the client still sends, it does not want this stream any more.
    stream_.watch_for_end([stream = &stream_, signal = &connection_.signal, gone = &connection_.stopping] {
      *gone = true;
      stream->abort();
      signal->notify();
    });
    ChunkWriter writer(stream_, framing.chunked, limits_.write_timeout);
    ++counters_.subscribers;
    const Status status =
        co_await service_.stream(subscription, connection_.signal, connection_.stopping, writer);
    --counters_.subscribers;
    if (status == Status::kTimeout) ++counters_.slow_subscribers;
    if (status == Status::kOk) (void)co_await writer.finish();  // the connection ends either way
  }

  Connection& connection_;
  TlsStream& stream_;
  Service& service_;
  const Limits& limits_;
  TransportCounters& counters_;
  std::string input_;  // bytes not yet parsed
};

}  // namespace

awaitable<void> serve_http1(Connection& connection, Service& service, const Limits& limits,
                            TransportCounters& counters) {
  Session session(connection, service, limits, counters);
  co_await session.run();
}

}  // namespace godwit::http
