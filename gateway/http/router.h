// SPDX-License-Identifier: Apache-2.0
// Which handler answers which path. A handler is a plain function from a request to a response or a problem:
// it knows nothing of connections and may block on a read of the log.
#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/message.h"
#include "gateway/http/problem.h"

namespace godwit::http {

using Result = std::expected<Response, Problem>;
using Handler = std::function<Result(const Request&)>;

enum class Access { kKey, kOpen };           // needs an API key, or not
enum class Runs { kOnReadThread, kAtOnce };  // kAtOnce: must not block

struct Route {
  std::string method;   // GET stands for HEAD too
  std::string pattern;  // "/api/v1/devices/{id}"; {..} is one segment, not empty
  Access access = Access::kKey;
  Runs runs = Runs::kOnReadThread;
  Handler handler;
  // If it is there: requests for which it says true run at once, whatever `runs` is.
  std::function<bool(const Request&)> at_once = {};
};

class Router {
 public:
  explicit Router(std::vector<Route> routes) : routes_(std::move(routes)) {}

  struct Match {
    const Route* route = nullptr;          // nullptr: see `allow`
    std::vector<std::string> path_values;  // in the order of the pattern
    std::string allow;  // methods that the path has, as the Allow header lists them; empty: no such path
  };
  // `path` as of parse_target. The route is borrowed from the router.
  [[nodiscard]] Match match(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace godwit::http
