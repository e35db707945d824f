// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/http1.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <optional>
#include <utility>

namespace godwit::http {
namespace {

namespace beast_http = boost::beast::http;
using boost::asio::awaitable;
using std::chrono::steady_clock;
using Parser = beast_http::request_parser<beast_http::string_body>;

constexpr std::size_t kWritePiece = 64 * 1024;  // each has Limits::write_timeout

Problem malformed(std::string detail) {
  return {.kind = ProblemKind::kMalformedRequest, .detail = std::move(detail)};
}

Problem explain(const boost::system::error_code& error, const Parser& parser, const Limits& limits) {
  if (error == beast_http::error::header_limit) {
    if (parser.get().target().empty()) {
      return {.kind = ProblemKind::kUriTooLong,
              .detail = "The limit is " + std::to_string(limits.target_bytes_max) + " bytes."};
    }
    return {.kind = ProblemKind::kHeadersTooLarge,
            .detail = "The limit is " + std::to_string(limits.header_bytes_max) + " bytes in all."};
  }
  if (error == beast_http::error::body_limit) {
    return {.kind = ProblemKind::kContentTooLarge,
            .detail = "The limit is " + std::to_string(limits.body_bytes_max) + " bytes."};
  }
  if (error == beast_http::error::bad_version) {
    return {.kind = ProblemKind::kVersionNotSupported, .detail = "Speak HTTP/1.1."};
  }
  return malformed("It does not follow RFC 9112: " + error.message() + ".");
}

// RFC 9112, 6.1 and 6.3: every way in which this server and a proxy before it could see the end of a request
// at different places is refused, and the connection ends.
std::optional<Problem> check_framing(const Parser& parser) {
  const auto& fields = parser.get();
  const auto coding_count = fields.count(beast_http::field::transfer_encoding);
  const auto length_count = fields.count(beast_http::field::content_length);
  if (coding_count + length_count > 1)
    return malformed("It has more than one Content-Length or Transfer-Encoding.");
  const auto length = fields[beast_http::field::content_length];
  if (length.find_first_not_of("0123456789") != length.npos) {  // Beast takes a list of equal ones
    return malformed("Its Content-Length is not a number.");
  }
  if (coding_count == 1) {
    if (fields.version() < 11) return malformed("HTTP/1.0 has no Transfer-Encoding.");
    if (!boost::beast::iequals(fields[beast_http::field::transfer_encoding], "chunked")) {
      return Problem{.kind = ProblemKind::kUnsupportedCoding,
                     .detail = "The only transfer coding here is chunked."};
    }
  }
  const auto host_count = fields.count(beast_http::field::host);
  if (host_count > 1 || (host_count == 0 && fields.version() >= 11)) {
    return malformed("It must have exactly one Host.");
  }
  const auto expect = fields[beast_http::field::expect];
  if (!expect.empty() && !boost::beast::iequals(expect, "100-continue")) {
    return Problem{.kind = ProblemKind::kExpectationFailed,
                   .detail = "The only expectation here is 100-continue."};
  }
  return std::nullopt;
}

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
      const Response refusal = service_.refuse(*problem);
      (void)co_await write(refusal, Framing{});  // the connection ends either way
      co_return false;
    }
    const Response response = co_await service_.respond(std::move(request), connection_.signal);
    if (response.events || connection_.stopping) framing.keep_alive = false;
    const bool written = co_await write(response, framing);
    if (!written) co_return false;
    if (response.events) co_await stream_events(*response.events, framing);
    co_return framing.keep_alive;
  }

  // kOk: either `request` or `problem` is set.
  awaitable<Status> read_request(Request& request, Framing& framing, std::optional<Problem>& problem) {
    const SteadyTime deadline = steady_clock::now() + limits_.request_timeout;
    const auto parser = std::make_unique<Parser>();
    parser->header_limit(static_cast<std::uint32_t>(limits_.header_bytes_max));
    parser->body_limit(limits_.body_bytes_max);
    if (input_.starts_with("\r\n")) input_.erase(0, 2);  // RFC 9112, 2.2: one empty line may come before
    for (;;) {
      problem = parse_input(*parser);
      if (problem) co_return Status::kOk;
      if (parser->is_done()) break;
      if (waits_for_continue(*parser)) {
        const Status status = co_await stream_.write("HTTP/1.1 100 Continue\r\n\r\n", deadline);
        if (status != Status::kOk) co_return status;
      }
      const Status status = co_await stream_.read(input_, deadline);
      if (status != Status::kOk) co_return status;
    }
    take_request(*parser, request, framing);
    co_return Status::kOk;
  }

  // Hands the parser what there is.
  std::optional<Problem> parse_input(Parser& parser) {
    while (!input_.empty() && !parser.is_done()) {
      const bool had_header = parser.is_header_done();
      boost::system::error_code error;
      const std::size_t used = parser.put(boost::asio::buffer(input_), error);
      const bool need_more = error == beast_http::error::need_more;
      if (error && !need_more) return explain(error, parser, limits_);
      input_.erase(0, used);
      if (!had_header && parser.is_header_done()) {
        if (auto problem = check_framing(parser)) return problem;
        continue;
      }
      if (!parser.is_header_done() && input_.size() >= limits_.header_bytes_max) {
        return explain(beast_http::error::header_limit, parser, limits_);
      }
      if (need_more || used == 0) break;
    }
    return std::nullopt;
  }

  bool waits_for_continue(Parser& parser) {
    if (continued_ == &parser || !parser.is_header_done() || !input_.empty()) return false;
    if (parser.get()[beast_http::field::expect].empty()) return false;
    continued_ = &parser;
    return true;
  }

  void take_request(Parser& parser, Request& request, Framing& framing) {
    continued_ = nullptr;
    framing.keep_alive = parser.keep_alive();
    framing.chunked = parser.get().version() >= 11;
    auto message = parser.release();
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) request.headers.emplace_back(field.name_string(), field.value());
    request.body = std::move(message.body());
    request.remote_address = connection_.remote_address;
    framing.head = request.method == "HEAD";
  }

  awaitable<bool> write(const Response& response, const Framing& framing) {
    std::string text = head_of(response, framing);
    if (!framing.head && !response.events) text += response.body;
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
  std::string input_;                  // bytes not yet parsed
  const Parser* continued_ = nullptr;  // the one that a 100 Continue was sent for
};

}  // namespace

awaitable<void> serve_http1(Connection& connection, Service& service, const Limits& limits,
                            TransportCounters& counters) {
  Session session(connection, service, limits, counters);
  co_await session.run();
}

}  // namespace godwit::http
