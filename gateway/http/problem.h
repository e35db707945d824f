// SPDX-License-Identifier: Apache-2.0
// Errors as clients see them: RFC 9457 problem details. The list of kinds is closed and part of the API
// (docs/reference/rest.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/message.h"

namespace godwit::http {

enum class ProblemKind : std::uint8_t {
  kMalformedRequest,
  kInvalidParameter,
  kUnauthorized,
  kNotFound,
  kMethodNotAllowed,
  kNotAcceptable,
  kRequestTimeout,
  kLogReplaced,
  kContentTooLarge,
  kUriTooLong,
  kExpectationFailed,
  kRateLimited,
  kHeadersTooLarge,
  kInternal,
  kUnsupportedCoding,
  kUnavailable,
  kVersionNotSupported,
};

struct Problem {
  ProblemKind kind = ProblemKind::kInternal;
  std::string detail = {};     // for the reader of the error: what was wrong, what to do
  std::string parameter = {};  // kInvalidParameter, kLogReplaced: its name
  std::string after = {};      // kLogReplaced: the id to go on from
  Headers headers = {};        // to go with the response, e.g. Allow
};

// All kinds, for tests and documentation.
[[nodiscard]] const std::vector<ProblemKind>& all_problem_kinds();
[[nodiscard]] int status_of(ProblemKind kind);
// "urn:godwit:problem:not-found"
[[nodiscard]] std::string type_of(ProblemKind kind);

// `instance` is the path asked for, `trace_id` as in Request.
[[nodiscard]] Response to_response(const Problem& problem, std::string_view instance,
                                   std::string_view trace_id);

}  // namespace godwit::http
