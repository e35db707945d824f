// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>
#include <utility>

namespace godwit::http {
namespace {

namespace beast_http = boost::beast::http;
using Parser = beast_http::request_parser<beast_http::string_body>;

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

}  // namespace

struct RequestParser::Grammar {
  Parser parser;
};

RequestParser::RequestParser(const Limits& limits) : limits_(limits), grammar_(std::make_unique<Grammar>()) {
  grammar_->parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes_max));
  grammar_->parser.body_limit(limits.body_bytes_max);
}

RequestParser::~RequestParser() = default;

RequestParser::Progress RequestParser::feed(std::string& input) {
  Parser& parser = grammar_->parser;
  if (!began_) {
    if (input == "\r") return Progress::kNeedMore;
    if (input.starts_with("\r\n")) input.erase(0, 2);  // RFC 9112, 2.2: one empty line may come before
    began_ = !input.empty();
  }
  while (!input.empty() && !parser.is_done()) {
    const bool had_header = parser.is_header_done();
    boost::system::error_code error;
    const std::size_t used = parser.put(boost::asio::buffer(input), error);
    const bool need_more = error == beast_http::error::need_more;
    if (error && !need_more) return refuse(explain(error, parser, limits_));
    input.erase(0, used);
    if (!had_header && parser.is_header_done()) {
      if (auto problem = check_framing(parser)) return refuse(std::move(*problem));
      keep_head();
      continue;
    }
    // What the grammar leaves is one line or section that is not complete. Beast's limits know the header and
    // the data of the body, not what stands around the data.
    if (input.size() >= limits_.header_bytes_max) {
      if (!parser.is_header_done()) return refuse(explain(beast_http::error::header_limit, parser, limits_));
      return refuse({.kind = ProblemKind::kHeadersTooLarge,
                     .detail = "The limit for a chunk's extensions, and for trailers, is " +
                               std::to_string(limits_.header_bytes_max) + " bytes."});
    }
    if (need_more || used == 0) break;
  }
  return parser.is_done() ? Progress::kDone : Progress::kNeedMore;
}

RequestParser::Progress RequestParser::refuse(Problem problem) {
  problem_ = std::move(problem);
  return Progress::kRefused;
}

// Trailers would be added to the fields of the header, where they could authenticate, or name another host.
void RequestParser::keep_head() {
  const auto& message = grammar_->parser.get();
  request_.method = std::string(message.method_string());
  request_.target = std::string(message.target());
  for (const auto& field : message) request_.headers.emplace_back(field.name_string(), field.value());
  keep_alive_ = grammar_->parser.keep_alive();
  knows_chunks_ = message.version() >= 11;
  waits_for_continue_ = message.count(beast_http::field::expect) > 0;
}

const Request* RequestParser::take_head() {
  const Parser& parser = grammar_->parser;
  if (head_given_ || !parser.is_header_done() || parser.is_done()) return nullptr;
  head_given_ = true;
  return &request_;
}

bool RequestParser::take_continue() { return std::exchange(waits_for_continue_, false); }

Request RequestParser::take() {
  request_.body = std::move(grammar_->parser.release().body());
  return std::move(request_);
}

}  // namespace godwit::http
