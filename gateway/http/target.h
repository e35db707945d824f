// SPDX-License-Identifier: Apache-2.0
// The request target: its path and its query, decoded once, strictly. Anything that two programs could read
// in two ways (dot segments, empty segments, encoded slashes, control characters, a parameter given twice) is
// refused instead of being normalised, so that what an access rule saw is what a handler sees.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace godwit::http {

using Query = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::size_t kQueryParametersMax = 32;

struct Target {
  std::string path;  // decoded; begins with '/'; or "*" (OPTIONS)
  Query query;       // decoded, in order, names unique
};

// Takes origin form ("/a?b=c"), absolute form ("https://host/a?b=c") and "*". The error says in words what is
// wrong.
std::expected<Target, std::string> parse_target(std::string_view target);

// `text` as the value of a query parameter: what parse_target() decodes to it.
[[nodiscard]] std::string percent_encode(std::string_view text);

}  // namespace godwit::http
