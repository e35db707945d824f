// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/service.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <optional>
#include <stdexcept>

#include "gateway/domain/clock.h"
#include "gateway/domain/hex.h"
#include "gateway/http/api.h"
#include "gateway/http/text.h"

namespace godwit::http {
namespace {

using boost::asio::awaitable;

std::string random_id() {
  std::array<std::uint8_t, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw std::runtime_error("no randomness");
  return gateway::to_hex(bytes);
}

bool is_lower_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// W3C Trace Context, 3.2.2: version "-" trace-id "-" parent-id "-" flags. What is not of that form is
// ignored.
std::optional<std::string> trace_id_of(const Headers& headers) {
  const std::string_view text = find_header(headers, "traceparent").value_or("");
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace_id = text.substr(3, 32);
  if (!is_lower_hex(version) || version == "ff" || (version == "00" && text.size() != 55))
    return std::nullopt;
  if (!is_lower_hex(trace_id) || !is_lower_hex(text.substr(36, 16)) || !is_lower_hex(text.substr(53, 2))) {
    return std::nullopt;
  }
  if (trace_id.find_first_not_of('0') == std::string_view::npos) return std::nullopt;
  return std::string(trace_id);
}

// A caller's own id is kept if it is harmless in logs and headers.
std::optional<std::string> request_id_of(const Headers& headers) {
  const std::string_view text = find_header(headers, "X-Request-Id").value_or("");
  if (!is_name(text)) return std::nullopt;
  return std::string(text);
}

std::string http_date(std::time_t now) {  // RFC 9110, 5.6.7
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text.data(), size};
}

void add_common_headers(Response& response, const std::string& request_id) {
  response.headers.emplace_back("Date", http_date(std::time(nullptr)));
  response.headers.emplace_back("X-Request-Id", request_id);
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
}

// RFC 9110, 13.1.2: weak comparison.
bool names_version(std::string_view if_none_match, std::string_view etag) {
  while (!if_none_match.empty()) {
    std::string_view item = take_item(if_none_match, ',');
    if (item.starts_with("W/")) item.remove_prefix(2);
    if (item == etag || item == "*") return true;
  }
  return false;
}

void apply_if_none_match(const Request& request, Response& response) {
  const auto wanted = find_header(request.headers, "If-None-Match");
  const auto etag = find_header(response.headers, "ETag");
  if (response.status != 200 || !wanted || !etag || !names_version(*wanted, *etag)) return;
  response.status = 304;
  response.body.clear();
  std::erase_if(response.headers, [](const auto& header) { return header.first == "Content-Type"; });
}

Problem unavailable(std::string detail) {
  return {.kind = ProblemKind::kUnavailable, .detail = std::move(detail), .headers = {{"Retry-After", "2"}}};
}

// Below /api/ even what does not exist needs a key.
Access access_of(const Router::Match& match, std::string_view path) {
  if (match.route != nullptr) return match.route->access;
  return path.starts_with("/api") ? Access::kKey : Access::kOpen;
}

Problem unauthorized(const Request& request) {
  const bool showed_key = find_header(request.headers, "Authorization").has_value();
  Problem problem{.kind = ProblemKind::kUnauthorized};
  problem.detail =
      showed_key ? "This API key is not known to the gateway. Its file of keys is read at the start."
                 : "Send 'Authorization: Bearer KEY' with the API key in the file api-key of the folder "
                   "that `godwit-gateway init` made.";
  problem.headers.emplace_back("WWW-Authenticate", showed_key
                                                       ? "Bearer realm=\"godwit\", error=\"invalid_token\""
                                                       : "Bearer realm=\"godwit\"");
  return problem;
}

}  // namespace

Result Failures::call(const Handler& handler, const Request& request) {
  try {
    return handler(request);
  } catch (const gateway::StoreError& error) {
    report(database_, request, error);
    return std::unexpected(unavailable("The database cannot be read at present."));
  } catch (const std::exception& error) {
    report(others_, request, error);
    return std::unexpected(Problem{.kind = ProblemKind::kInternal});
  }
}

void Failures::report(gateway::LogLimit& limit, const Request& request, const std::exception& error) {
  {
    const std::lock_guard lock(mutex_);
    if (!limit.allow(gateway::received_now().at)) return;
  }
  if (log_sink_) log_sink_(gateway::LogLevel::kError, request.path + ": " + error.what());
}

Service::Service(const Limits& limits, ApiKeys keys, const Sources& sources, gateway::LiveFeed& live,
                 ReadPool& reads)
    : limits_(limits),
      keys_(std::move(keys)),
      failures_(sources.log_sink),
      live_(live),
      reads_(reads),
      router_(api_routes(sources)),
      rate_(limits.requests_per_second, limits.request_burst),
      streams_(limits.subscribers_max),
      response_bytes_(limits.responses_bytes_max) {}

awaitable<Response> Service::respond(Request request, Signal& signal) {
  request.trace_id = trace_id_of(request.headers).value_or(random_id());
  const std::string request_id = request_id_of(request.headers).value_or(request.trace_id);
  Result result = co_await answer(request, signal);
  Response response =
      result ? std::move(*result) : to_response(result.error(), request.path, request.trace_id);
  apply_if_none_match(request, response);
  if (request.method == "HEAD") response.events.reset();
  add_common_headers(response, request_id);
  co_return response;
}

std::optional<Problem> Service::refuse_unread(const Request& head) const {
  const auto target = parse_target(head.target);
  if (!target) return std::nullopt;  // answer() says what is wrong with it
  if (access_of(router_.match(head.method, target->path), target->path) == Access::kOpen) return std::nullopt;
  if (key_of(head) != nullptr) return std::nullopt;
  return unauthorized(head);
}

Response Service::refuse(const Problem& problem) {
  const std::string id = random_id();
  Response response = to_response(problem, "", id);
  add_common_headers(response, id);
  return response;
}

awaitable<Result> Service::answer(Request& request, Signal& signal) {
  if (request.target.size() > limits_.target_bytes_max) {
    co_return std::unexpected(
        Problem{.kind = ProblemKind::kUriTooLong,
                .detail = "The limit is " + std::to_string(limits_.target_bytes_max) + " bytes."});
  }
  auto target = parse_target(request.target);
  if (!target) {
    co_return std::unexpected(Problem{.kind = ProblemKind::kMalformedRequest,
                                      .detail = "The request target is refused: " + target.error() + "."});
  }
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  Router::Match match = router_.match(request.method, request.path);
  auto caller = admit(request, access_of(match, request.path));
  if (!caller) co_return std::unexpected(std::move(caller.error()));
  if (match.allow.empty()) {
    co_return std::unexpected(
        Problem{.kind = ProblemKind::kNotFound, .detail = "There is nothing at this path."});
  }
  if (match.route == nullptr) {
    if (request.method == "OPTIONS") {
      Response options;
      options.status = 204;
      options.headers = {{"Allow", match.allow}, {"Cache-Control", "no-store"}};
      co_return options;
    }
    Problem problem{.kind = ProblemKind::kMethodNotAllowed,
                    .detail = "This resource has: " + match.allow + "."};
    problem.headers.emplace_back("Allow", match.allow);
    co_return std::unexpected(std::move(problem));
  }
  request.path_values = std::move(match.path_values);
  Result result = co_await run(*match.route, *caller, request, signal);
  if (!result) co_return std::unexpected(std::move(result.error()));
  co_return within_share(std::move(*result), *caller);
}

Result Service::within_share(Response response, const std::string& caller) {
  if (response.events) {
    response.held = streams_.take(caller, 1);
    if (!response.held) {
      return std::unexpected(
          unavailable("There are as many event streams as the gateway serves, or as one key may have."));
    }
  } else if (response.body.size() > limits_.large_response_bytes) {
    response.held = response_bytes_.take(caller, response.body.size());
    if (!response.held) {
      return std::unexpected(unavailable("Too many large responses wait for clients that do not take them."));
    }
  }
  return response;
}

const ApiKey* Service::key_of(const Request& request) const {
  const auto authorization = find_header(request.headers, "Authorization");
  return authorization ? keys_.find(*authorization) : nullptr;
}

std::expected<std::string, Problem> Service::admit(const Request& request, Access access) {
  const ApiKey* const key = key_of(request);
  std::string caller = key != nullptr ? "key " + key->name : "address " + request.remote_address;
  if (const auto wait = rate_.take(caller, std::chrono::steady_clock::now())) {
    const auto wait_s = std::chrono::ceil<seconds>(*wait).count();
    Problem problem{.kind = ProblemKind::kRateLimited,
                    .detail = "Ask again in " + std::to_string(wait_s) + " s, and more slowly."};
    problem.headers.emplace_back("Retry-After", std::to_string(wait_s));
    return std::unexpected(std::move(problem));
  }
  if (access == Access::kOpen || key != nullptr) return caller;
  return std::unexpected(unauthorized(request));
}

awaitable<Result> Service::run(const Route& route, const std::string& caller, Request& request,
                               Signal& signal) {
  if (route.runs == Runs::kAtOnce || (route.at_once && route.at_once(request))) {
    co_return failures_.call(route.handler, request);
  }
  struct Read {
    Request request;
    std::optional<Result> result;
  };
  const auto read = std::make_shared<Read>();  // may outlast this coroutine, see ReadPool::run
  read->request = request;
  std::function<void()> work = [this, read, &handler = route.handler] {
    read->result = failures_.call(handler, read->request);
  };
  const Status status = co_await reads_.run(caller, signal, std::move(work));
  if (status == Status::kFull) co_return std::unexpected(unavailable("Too many reads wait already."));
  if (status != Status::kOk) co_return std::unexpected(unavailable("The database did not answer in time."));
  co_return std::move(*read->result);
}

awaitable<Status> Service::stream(Subscription subscription, Signal& signal, const bool& stopping,
                                  BodyWriter& writer) {
  co_return co_await run_event_stream(live_, limits_, std::move(subscription), signal, stopping, writer);
}

}  // namespace godwit::http
