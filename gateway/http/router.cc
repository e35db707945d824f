// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/router.h"

#include <algorithm>

namespace godwit::http {
namespace {

// Takes "/segment" off the front of `path`. Precondition: not empty.
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view segment = path.substr(0, end);
  path.remove_prefix(end);
  return segment;
}

bool match_path(std::string_view pattern, std::string_view path, std::vector<std::string>& values) {
  values.clear();
  while (!pattern.empty() && !path.empty()) {
    const std::string_view expected = take_segment(pattern);
    const std::string_view segment = take_segment(path);
    if (expected.starts_with('{')) {
      if (segment.empty()) return false;
      values.emplace_back(segment);
    } else if (expected != segment) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

}  // namespace

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match match;
  if (path == "*") {
    match.allow = "GET, HEAD, OPTIONS";
    return match;
  }
  const std::string_view sought = method == "HEAD" ? "GET" : method;
  std::vector<std::string> values;
  for (const Route& route : routes_) {
    if (!match_path(route.pattern, path, values)) continue;
    match.allow += route.method == "GET" ? "GET, HEAD, " : route.method + ", ";
    if (route.method != sought) continue;
    match.route = &route;
    match.path_values = values;
  }
  if (!match.allow.empty()) match.allow += "OPTIONS";
  return match;
}

}  // namespace godwit::http
