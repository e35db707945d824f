// SPDX-License-Identifier: Apache-2.0
// Whatever bytes a client sends, in whatever pieces: the parser gives the same requests, or refuses, within
// its limits.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/parameters.h"
#include "gateway/http/request_parser.h"
#include "gateway/http/target.h"

namespace {

using godwit::http::Limits;
using godwit::http::RequestParser;

void require(bool holds) {
  if (!holds) std::abort();
}

// What a connection would see, as text: the requests in order, and how it ended.
std::string read_all(std::string_view bytes, std::size_t piece, const Limits& limits) {
  std::string seen;
  std::string input;
  for (;;) {
    RequestParser parser(limits);
    auto progress = parser.feed(input);
    while (progress == RequestParser::Progress::kNeedMore) {
      if (bytes.empty()) return seen;
      const std::size_t size = std::min(piece, bytes.size());
      input.append(bytes.substr(0, size));
      bytes.remove_prefix(size);
      progress = parser.feed(input);
    }
    if (progress == RequestParser::Progress::kRefused) return seen + "refused";
    const auto request = parser.take();
    require(request.body.size() <= limits.body_bytes_max);
    seen += request.method + " " + request.target + "\n";
    for (const auto& [name, value] : request.headers) seen += name + ": " + value + "\n";
    seen += request.body + "\n";
    if (const auto target = godwit::http::parse_target(request.target)) {
      require(target->path.find("/../") == std::string::npos && target->path.find('\0') == std::string::npos);
      (void)godwit::http::filter_of(target->query);
      (void)godwit::http::limit_of(target->query);
      (void)godwit::http::log_cursor_of(target->query);
    }
    const std::vector<std::string_view> offered{"text/event-stream", "application/json"};
    (void)godwit::http::negotiate(godwit::http::find_header(request.headers, "accept"), offered);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Limits limits;
  limits.header_bytes_max = 512;
  limits.body_bytes_max = 256;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string whole = read_all(bytes, bytes.size() + 1, limits);
  // In pieces a refusal may come at another place, for a limit; but never another request.
  const std::string pieces = read_all(bytes, 1, limits);
  const bool refused = whole.ends_with("refused") || pieces.ends_with("refused");
  if (!refused) require(whole == pieces);
  return 0;
}
