// SPDX-License-Identifier: Apache-2.0
// Reading what a request asks for: query parameters, cursors, Accept. Errors are problems ready to be sent.
#pragma once

#include <cstdint>
#include <expected>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/domain/event.h"
#include "gateway/domain/reader.h"
#include "gateway/http/problem.h"
#include "gateway/log/feed.h"

namespace godwit::http {

[[nodiscard]] Problem invalid_parameter(std::string name, std::string detail);

// kInvalidParameter for a name that is not in the list: a misspelt filter must not silently show everything.
std::expected<void, Problem> check_names(const Query& query, std::initializer_list<std::string_view> known);
[[nodiscard]] std::optional<std::string_view> find_parameter(const Query& query, std::string_view name);

// Decimal digits only, at most INT64_MAX.
[[nodiscard]] std::optional<std::int64_t> parse_decimal(std::string_view text);

std::expected<std::size_t, Problem> limit_of(const Query& query);
// A cursor is opaque to clients. It is a letter for the kind of list, then where to go on.
std::expected<std::optional<gateway::LogId>, Problem> log_cursor_of(const Query& query);
[[nodiscard]] std::string make_cursor(gateway::LogId after);
std::expected<std::string, Problem> device_cursor_of(const Query& query);  // empty: from the start
[[nodiscard]] std::string make_cursor(std::string_view after_device);
// "now", "begin" or an event's id. `name` is for the problem.
std::expected<gateway::LogStart, Problem> start_of(std::string_view text, const std::string& name);
// device= and type=
std::expected<gateway::LogReader::Filter, Problem> filter_of(const Query& query);

// The offered media type that the Accept header likes best, the earlier one on equal terms; nullopt: none.
[[nodiscard]] std::optional<std::size_t> negotiate(std::optional<std::string_view> accept,
                                                   std::span<const std::string_view> offered);

}  // namespace godwit::http
