// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/problem.h"

#include <algorithm>

#include "gateway/http/json.h"

namespace godwit::http {
namespace {

struct Entry {
  ProblemKind kind;
  int status;
  const char* name;
  const char* title;
};

constexpr Entry kEntries[] = {
    {ProblemKind::kMalformedRequest, 400, "malformed-request", "The request is malformed"},
    {ProblemKind::kInvalidParameter, 400, "invalid-parameter", "A query parameter is not valid"},
    {ProblemKind::kUnauthorized, 401, "unauthorized", "A valid API key is needed"},
    {ProblemKind::kNotFound, 404, "not-found", "There is no such resource"},
    {ProblemKind::kMethodNotAllowed, 405, "method-not-allowed", "The resource does not have this method"},
    {ProblemKind::kNotAcceptable, 406, "not-acceptable", "The resource has no such representation"},
    {ProblemKind::kRequestTimeout, 408, "request-timeout", "The request did not arrive in time"},
    {ProblemKind::kLogReplaced, 410, "log-replaced", "The log was replaced by an older copy"},
    {ProblemKind::kContentTooLarge, 413, "content-too-large", "The body is too large"},
    {ProblemKind::kUriTooLong, 414, "uri-too-long", "The request target is too long"},
    {ProblemKind::kExpectationFailed, 417, "expectation-failed", "The expectation cannot be met"},
    {ProblemKind::kRateLimited, 429, "rate-limited", "Too many requests"},
    {ProblemKind::kHeadersTooLarge, 431, "headers-too-large", "The header fields are too large"},
    {ProblemKind::kInternal, 500, "internal", "The gateway failed to answer"},
    {ProblemKind::kUnsupportedCoding, 501, "unsupported-coding", "The transfer coding is not supported"},
    {ProblemKind::kUnavailable, 503, "unavailable", "The gateway cannot answer at present"},
    {ProblemKind::kVersionNotSupported, 505, "version-not-supported", "The HTTP version is not supported"},
};

const Entry& entry_of(ProblemKind kind) { return *std::ranges::find(kEntries, kind, &Entry::kind); }

}  // namespace

const std::vector<ProblemKind>& all_problem_kinds() {
  static const std::vector<ProblemKind> kinds = [] {
    std::vector<ProblemKind> list;
    for (const Entry& entry : kEntries) list.push_back(entry.kind);
    return list;
  }();
  return kinds;
}

int status_of(ProblemKind kind) { return entry_of(kind).status; }

std::string type_of(ProblemKind kind) { return std::string("urn:godwit:problem:") + entry_of(kind).name; }

Response to_response(const Problem& problem, std::string_view instance, std::string_view trace_id) {
  const Entry& entry = entry_of(problem.kind);
  Json body = Json::object();
  body.set("type", type_of(problem.kind)).set("title", entry.title).set("status", entry.status);
  if (!problem.detail.empty()) body.set("detail", problem.detail);
  if (!instance.empty()) body.set("instance", instance);
  body.set("trace_id", trace_id);
  if (!problem.after.empty()) body.set("after", problem.after);
  if (!problem.parameter.empty()) {
    Json error = Json::object();
    error.set("parameter", problem.parameter).set("detail", problem.detail);
    Json errors = Json::array();
    errors.push(std::move(error));
    body.set("errors", std::move(errors));
  }
  Response response{.status = entry.status, .headers = problem.headers, .body = body.dump(), .events = {}};
  response.headers.emplace_back("Content-Type", "application/problem+json");
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace godwit::http
