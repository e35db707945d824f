// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/event_log.h"

#include <cjson/cJSON.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <stdexcept>

#include "proto/codec/samples.h"
#include "sim/judge/fnv1a.h"

namespace godwit::sim {
namespace {

using Json = std::unique_ptr<cJSON, decltype(&cJSON_Delete)>;

Json parse(std::string_view text) {
  Json json(cJSON_ParseWithLength(text.data(), text.size()), &cJSON_Delete);
  if (json == nullptr) throw std::runtime_error("no JSON: " + std::string(text));
  return json;
}

std::string print(const cJSON* json) {
  const std::unique_ptr<char, decltype(&cJSON_free)> text(cJSON_PrintUnformatted(json), &cJSON_free);
  return text.get();
}

std::string text_of(const cJSON* object, const char* name) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsString(item) ? item->valuestring : "";
}

std::uint64_t number_of(const cJSON* object, const char* name, std::uint64_t otherwise) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(item) ? static_cast<std::uint64_t>(item->valuedouble) : otherwise;
}

// 2026-01-31T12:00:00.123Z
std::optional<UnixMillis> parse_time(const std::string& text) {
  std::tm time{};
  int millis = 0;
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d.%dZ", &time.tm_year, &time.tm_mon, &time.tm_mday,
                  &time.tm_hour, &time.tm_min, &time.tm_sec, &millis) != 7)
    return std::nullopt;
  time.tm_year -= 1'900;
  time.tm_mon -= 1;
  return UnixMillis{static_cast<std::int64_t>(::timegm(&time)) * 1'000 + millis};
}

LogEvent event_of(cJSON* object) {
  LogEvent event{.id = text_of(object, "id"),
                 .type = text_of(object, "type"),
                 .device = text_of(object, "device"),
                 .reason = text_of(object, "reason"),
                 .seq = {number_of(object, "seq", 0)},
                 .count = number_of(object, "count", 1),
                 .json = print(object)};
  if (!parse_event_id(event.id) || event.type.empty())
    throw std::runtime_error("no event of the log: " + event.json);
  const std::string epoch = text_of(object, "epoch");
  std::from_chars(epoch.data(), epoch.data() + epoch.size(), event.epoch.value, 16);
  const std::string quality = text_of(object, "time_quality");
  if (quality == "boot_relative" || quality == "resolved") {
    for (const char* name : {"time", "time_quality", "boot", "boot_ms"})
      cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    event.digest = fnv1a(as_bytes(print(object)));
  } else {
    event.digest = fnv1a(as_bytes(event.json));
  }
  return event;
}

}  // namespace

std::string canonical_json(std::string_view text) { return print(parse(text).get()); }

LogEvent LogEvent::parse(std::string_view json) { return event_of(sim::parse(json).get()); }

std::uint64_t LogEvent::places() const {
  if (seq == Seq{}) return 0;
  if (type == "telemetry" || type == "epoch") return 1;
  if (type != "loss") return 0;
  return reason.starts_with("refused_") ? 1 : count;
}

std::optional<std::vector<std::int64_t>> LogEvent::values(std::span<const codec::Channel> channels) const {
  const Json parsed = sim::parse(json);
  const cJSON* const columns = cJSON_GetObjectItemCaseSensitive(parsed.get(), "channels");
  const std::uint64_t rows = number_of(parsed.get(), "rows", 0);
  if (cJSON_GetArraySize(columns) != static_cast<int>(channels.size())) return std::nullopt;
  std::vector<std::int64_t> values(rows * channels.size());
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const cJSON* const column =
        cJSON_GetObjectItemCaseSensitive(columns, std::string(channels[c].name).c_str());
    if (cJSON_GetArraySize(column) != static_cast<int>(rows)) return std::nullopt;
    const double unit = std::pow(10.0, -channels[c].exponent);
    const cJSON* cell = nullptr;
    std::size_t row = 0;
    cJSON_ArrayForEach(cell, column) {
      values[row++ * channels.size() + c] =
          cJSON_IsNumber(cell) ? std::llround(cell->valuedouble * unit) : codec::kMissing;
    }
  }
  return values;
}

ToldTime LogEvent::time() const {
  const Json parsed = sim::parse(json);
  const auto time = parse_time(text_of(parsed.get(), "time"));
  return {.synced = time.has_value(),
          .unix_time = time.value_or(UnixMillis{}),
          .period = Millis{static_cast<std::int64_t>(number_of(parsed.get(), "period_ms", 0))}};
}

Followed take_down(const SseEvent& event) {
  Followed taken{.note = {.gap = event.type == "gap"}, .event = std::nullopt};
  taken.note.id = parse_event_id(event.id).value_or(EventId{});
  if (taken.note.gap) return taken;
  try {
    taken.event = LogEvent::parse(event.data);
  } catch (const std::runtime_error&) {
    return taken;
  }
  if (taken.event->id == event.id && taken.event->type == event.type) taken.note.digest = taken.event->digest;
  return taken;
}

void refuse_missing(const Missing& missing) {
  throw Violation("log_gap", "the log does not show events " + std::to_string(missing.from) + " to " +
                                 std::to_string(missing.to) + " (" +
                                 (missing.reason.empty() ? "and does not say so" : missing.reason) + ")");
}

void read_log(const Get& get, const std::string& after, const std::function<void(const LogEvent&)>& show,
              const std::function<void(const Missing&)>& missing) {
  std::int64_t due = parse_event_id(after).value_or(EventId{}).offset + 1;
  std::string path = "/api/v1/events?limit=500&after=" + after;
  while (!path.empty()) {
    const Json page = parse(get(path));
    const cJSON* const items = cJSON_GetObjectItemCaseSensitive(page.get(), "items");
    if (!cJSON_IsArray(items)) throw std::runtime_error("GET " + path + ": no `items` in the answer");
    const cJSON* const gap = cJSON_GetObjectItemCaseSensitive(page.get(), "gap");
    if (cJSON_IsObject(gap)) {
      const auto from = static_cast<std::int64_t>(number_of(gap, "from", 0));
      const auto to = static_cast<std::int64_t>(number_of(gap, "to", 0));
      missing({.reason = text_of(gap, "reason"), .from = from, .to = to});
      if (from == due) due = to + 1;  // and any other one excuses nothing
    }
    cJSON* object = nullptr;
    cJSON_ArrayForEach(object, items) {
      const LogEvent event = event_of(object);
      const std::int64_t offset = parse_event_id(event.id)->offset;
      if (offset > due) missing({.reason = "", .from = due, .to = offset - 1});
      due = offset + 1;
      show(event);
    }
    const std::string cursor = text_of(page.get(), "next_cursor");
    path = cursor.empty() ? "" : "/api/v1/events?limit=500&cursor=" + cursor;
  }
}

Logged to_logged(const LogEvent& event, const Judge& judge, std::vector<std::int64_t>& values) {
  using Kind = Logged::Kind;
  Logged logged{.id = *parse_event_id(event.id),
                .epoch = event.epoch,
                .seq = event.seq,
                .json = event.json,
                .digest = event.digest};
  const auto device = judge.find_device(event.device);
  if (!device) return logged;
  logged.device = *device;
  logged.places = event.places();
  if (event.is_record()) {
    logged.kind = Kind::kRecord;
    const RowSource* const source = judge.source(*device);
    values.clear();
    if (source != nullptr) values = event.values(source->channels()).value_or(std::vector<std::int64_t>{});
    logged.values = values;
  } else if (event.type == "loss" && !event.reason.starts_with("refused_")) {
    logged.kind = Kind::kLoss;
    logged.count = event.count;
  } else if (event.type == "history.replaced") {
    logged.kind = Kind::kReplaced;
  } else if (event.type == "history.unknown") {
    logged.kind = Kind::kUnknownBefore;
  } else if (event.type == "epoch") {
    logged.kind = Kind::kEpoch;
  } else if (event.type == "device.online") {
    logged.kind = Kind::kOnline;
  } else if (event.type == "device.offline") {
    logged.kind = Kind::kOffline;
  }
  return logged;
}

void show(const LogEvent& event, Judge& judge) {
  std::vector<std::int64_t> values;
  const Logged logged = to_logged(event, judge, values);
  judge.logged(logged);
  if (logged.kind != Logged::Kind::kRecord || values.empty()) return;
  if (const auto rows = rows_of(*judge.source(logged.device), values))
    judge.told_time(logged.device, *rows, event.time());
}

}  // namespace godwit::sim
