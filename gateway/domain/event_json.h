// SPDX-License-Identifier: Apache-2.0
// The one mapping of events to JSON, for REST, SSE and whatever follows. Append-only writers: no tree, no
// floating point (a decimal is exactly raw * 10^exponent). Values; safe from any thread. The format:
// docs/reference/events.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/domain/event.h"
#include "gateway/domain/reader.h"
#include "proto/base/ids.h"
#include "proto/base/time.h"

namespace godwit::gateway {

// "telemetry", "loss", "device.online" and so on: JSON `type` and SSE `event:`.
// Precondition: one of the enumerators.
[[nodiscard]] std::string_view type_name(EventType type);
// All of them, ascending.
[[nodiscard]] std::span<const EventType> event_types();
// nullopt: no type of this name.
[[nodiscard]] std::optional<EventType> event_type(std::string_view name);

// A batch of a few hundred bytes may stand for 1,024 rows of 16 channels with 37 digits each. One that would
// take more than this is shown undecoded.
inline constexpr std::size_t kEventJsonMax = std::size_t{64} * 1024;

// One JSON object, no newline in it. What cannot be decoded (a table that was never announced, damaged
// samples) or is too large is shown raw, as base64, never left out. May throw StoreError out of `context`.
void append_json(std::string& out, const Event& event, const BatchContext& context);

// "text", escaped as JSON demands.
void append_json_string(std::string& out, std::string_view text);
// A cell of a batch: null for codec::kMissing, otherwise append_decimal().
void append_value(std::string& out, std::int64_t raw, int exponent);
// raw * 10^exponent as a JSON number, without trailing zeros after the point.
void append_decimal(std::string& out, std::int64_t raw, int exponent);
// 2026-01-01T00:00:00.000Z, without quotes. Any value: times before the year 0 or after 9999 are shown as
// the first or last millisecond of that range, since RFC 3339 knows no others.
void append_time(std::string& out, UnixMillis time);
// 16 lower-case hexadecimal digits, without quotes: how an epoch is shown everywhere.
void append_epoch(std::string& out, Epoch epoch);

}  // namespace godwit::gateway
