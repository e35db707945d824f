// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/target.h"

#include <algorithm>
#include <optional>

#include "gateway/domain/hex.h"
#include "gateway/http/text.h"

namespace godwit::http {
namespace {

using Text = std::expected<std::string, std::string>;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Decodes exactly once: "%2541" gives "%41".
Text percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
      if (low < 0) return std::unexpected("a '%' is not followed by two hexadecimal digits");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return std::unexpected("control characters are not allowed");
    out.push_back(c);
  }
  return out;
}

Text decode_path(std::string_view raw) {
  if (raw.empty() || raw.front() != '/') return std::unexpected("the path must begin with '/'");
  std::string path;
  for (std::size_t begin = 1; begin <= raw.size();) {
    const std::size_t end = std::min(raw.find('/', begin), raw.size());
    const auto segment = percent_decode(raw.substr(begin, end - begin), /*plus_is_space=*/false);
    if (!segment) return segment;
    if (*segment == "." || *segment == "..") return std::unexpected("the path must not hold '.' or '..'");
    if (segment->find_first_of("/\\") != std::string::npos) {
      return std::unexpected("a path segment must not hold a slash or backslash");
    }
    if (segment->empty() && end < raw.size()) return std::unexpected("the path holds an empty segment");
    path += '/';
    path += *segment;
    begin = end + 1;
  }
  return path;
}

std::expected<Query, std::string> decode_query(std::string_view raw) {
  Query query;
  while (!raw.empty()) {
    const std::size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view pair = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    auto name = percent_decode(pair.substr(0, equals), /*plus_is_space=*/true);
    if (!name) return std::unexpected(name.error());
    auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())), /*plus_is_space=*/true);
    if (!value) return std::unexpected(value.error());
    if (name->empty()) return std::unexpected("a query parameter has no name");
    if (std::ranges::any_of(query, [&](const auto& known) { return known.first == *name; })) {
      return std::unexpected("the query parameter '" + *name + "' is given twice");
    }
    if (query.size() == kQueryParametersMax) return std::unexpected("too many query parameters");
    query.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

}  // namespace

std::expected<Target, std::string> parse_target(std::string_view target) {
  if (target == "*") return Target{"*", {}};
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    // RFC 9112, 3.2.2: the authority replaces the Host header; this server has one name space for all hosts.
    target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
    if (target.empty()) target = "/";
    break;
  }
  if (target.find('#') != std::string_view::npos)
    return std::unexpected("the target must not hold a fragment");
  const std::size_t question = std::min(target.find('?'), target.size());
  auto path = decode_path(target.substr(0, question));
  if (!path) return std::unexpected(path.error());
  auto query = decode_query(target.substr(std::min(question + 1, target.size())));
  if (!query) return std::unexpected(query.error());
  return Target{std::move(*path), std::move(*query)};
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    // RFC 3986, 3.4: these stand for themselves in a query; the comma so that lists stay readable.
    if (is_letter_or_digit(c) || std::string_view("-._~,").contains(c)) {
      out += c;
    } else {
      out += '%';
      gateway::append_hex(out, static_cast<unsigned char>(c), 2);
    }
  }
  return out;
}

}  // namespace godwit::http
