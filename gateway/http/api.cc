// SPDX-License-Identifier: Apache-2.0
#include "gateway/http/api.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <utility>

#include "gateway/domain/batch.h"
#include "gateway/domain/event_json.h"
#include "gateway/domain/hello.h"
#include "gateway/domain/hex.h"
#include "gateway/domain/log_id.h"
#include "gateway/http/api_keys.h"
#include "gateway/http/json.h"
#include "gateway/http/parameters.h"
#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/codec/messages.h"

namespace godwit::http {
namespace {

using gateway::DeviceInfo;
using gateway::Event;
using gateway::LogId;
using gateway::LogOffset;
using gateway::LogReader;

std::string time_text(UnixMillis time) {
  std::string text;
  gateway::append_time(text, time);
  return text;
}

std::string epoch_text(Epoch epoch) {
  std::string text;
  gateway::append_epoch(text, epoch);
  return text;
}

constexpr const char* kKeepButAsk = "private, no-cache";  // whether it has changed
constexpr const char* kKeepNever = "no-store";

Response json_response(std::string body, const char* cache = kKeepButAsk) {
  Response response;
  response.headers = {{"Content-Type", "application/json"}, {"Cache-Control", cache}};
  response.body = std::move(body);
  return response;
}

// A resource of its own, as opposed to a page of a list: it has a version.
Response versioned(std::string body) {
  const auto digest = sha256(body);
  Response response = json_response(std::move(body));
  response.headers.emplace_back("ETag", '"' + gateway::to_hex(Bytes(digest).first(16)) + '"');
  return response;
}

std::expected<void, Problem> check_accepts_json(const Request& request) {
  static constexpr std::array<std::string_view, 1> kOffered{"application/json"};
  if (negotiate(find_header(request.headers, "Accept"), kOffered)) return {};
  return std::unexpected(
      Problem{.kind = ProblemKind::kNotAcceptable, .detail = "This is served as application/json only."});
}

Problem no_such_device(const std::string& id) {
  return {.kind = ProblemKind::kNotFound,
          .detail = "No device '" + id + "' has ever connected. GET /api/v1/devices lists those that have."};
}

std::expected<DeviceInfo, Problem> find_device(const LogReader& log, const std::string& id) {
  if (!DeviceId::parse(id)) return std::unexpected(no_such_device(id));
  auto device = log.device(id);
  if (!device) return std::unexpected(no_such_device(id));
  return std::move(*device);
}

Json health_json(const codec::Health& health) {
  std::string text;
  gateway::append_health(text, health);
  return Json::raw(text);
}

Json crash_json(const gateway::CrashReport& report) {
  const auto hello = gateway::unpack(report.hello);
  if (!hello || !hello->crash) return Json::null();
  std::string text = R"({"boot":)" + std::to_string(hello->boot) + R"(,"reported_at":")" +
                     time_text(report.received_at) + R"(","firmware":)";
  gateway::append_json_string(text, hello->firmware);
  text += ',';
  gateway::append_crash(text, *hello->crash);
  return Json::raw(text += '}');
}

Json stream_json(const std::optional<gateway::StreamInfo>& stream) {
  if (!stream) return Json::null();
  Json json = Json::object();
  json.set("epoch", epoch_text(stream->epoch))
      .set("next_seq", stream->next_seq.value)
      .set("records", stream->records)
      .set("lost_records", stream->lost_records);
  return json;
}

Json log_json(const DeviceInfo& device) {
  Json json = Json::object();
  json.set("state", gateway::log_state_name(device.log_state)).set("bad_sectors", device.bad_sectors);
  return json;
}

Json device_json(const DeviceInfo& device) {
  Json json = Json::object();
  json.set("id", device.id)
      .set("online", device.online)
      .set("first_seen", time_text(device.first_seen))
      .set("last_seen", time_text(device.last_seen))
      .set("firmware", device.firmware)
      .set("board", device.board)
      .set("boot", device.boot)
      .set("reset_reason", gateway::reset_reason_name(device.reset_reason))
      .set("health", health_json(device.health))
      .set("last_crash", crash_json(device.last_crash))
      .set("dropped_records", device.counters.dropped_records)
      .set("refused_records", device.counters.refused_records)
      .set("corrupt_records", device.counters.corrupt_records)
      .set("missed_samples", device.counters.missed_samples)
      .set("log", log_json(device))
      .set("stream", stream_json(device.stream));
  return json;
}

// The same request with another cursor, as a Link header says it. Path and cursor are safe in a URL: they
// have been checked to hold ids, or numbers.
void link_next(Response& response, const Request& request, const std::string& cursor) {
  std::string link = "<" + request.path + "?cursor=" + cursor;
  for (const auto& [name, value] : request.query) {
    if (name != "cursor" && name != "after") link += "&" + name + "=" + percent_encode(value);
  }
  response.headers.emplace_back("Link", link + ">; rel=\"next\"");
}

Result list_devices(const LogReader& log, const Request& request) {
  if (auto known = check_names(request.query, {"cursor", "limit"}); !known)
    return std::unexpected(known.error());
  const auto limit = limit_of(request.query);
  if (!limit) return std::unexpected(limit.error());
  const auto after = device_cursor_of(request.query);
  if (!after) return std::unexpected(after.error());
  std::vector<DeviceInfo> devices = log.devices_after(*after, *limit + 1);
  const bool more = devices.size() > *limit;
  if (more) devices.pop_back();
  Json items = Json::array();
  for (const DeviceInfo& device : devices) items.push(device_json(device));
  Json page = Json::object();
  page.set("items", std::move(items));
  if (!more) {
    page.set("next_cursor", Json::null());
    return json_response(page.dump());
  }
  const std::string cursor = make_cursor(devices.back().id);
  page.set("next_cursor", cursor);
  Response response = json_response(page.dump());
  link_next(response, request, cursor);
  return response;
}

Result show_device(const LogReader& log, const Request& request) {
  if (auto known = check_names(request.query, {}); !known) return std::unexpected(known.error());
  const auto device = find_device(log, request.path_values.at(0));
  if (!device) return std::unexpected(device.error());
  return versioned(device_json(*device).dump());
}

// The last row of a batch, one object for each channel.
void append_latest(Json& channels, const Event& event, const gateway::BatchRows& batch) {
  if (batch.rows == 0) return;
  const std::int64_t after_first = static_cast<std::int64_t>(batch.rows - 1) * batch.table->period_ms;
  for (std::size_t i = 0; i < batch.table->channels.size(); ++i) {
    const gateway::ChannelInfo& info = batch.table->channels[i];
    std::string value;
    gateway::append_value(value, batch.at(batch.rows - 1, i), info.exponent);
    Json item = Json::object();
    item.set("name", info.name)
        .set("table", batch.table->name)
        .set("value", Json::raw(value))
        .set("unit", info.unit);
    if (batch.time.quality == gateway::TimeQuality::kBootRelative) {
      item.set("boot", batch.time.boot)
          .set("boot_ms", std::int64_t{batch.time.boot_time.count()} + after_first);
    } else {
      UnixMillis time = batch.time.unix_time;
      if (__builtin_add_overflow(time.value, after_first, &time.value)) time = batch.time.unix_time;
      item.set("time", time_text(time));
    }
    item.set("time_quality", gateway::time_quality_name(batch.time.quality));
    item.set("received_at", time_text(event.received_at)).set("offset", event.offset.value);
    channels.push(std::move(item));
  }
}

Result show_latest(const LogReader& log, const Request& request) {
  if (auto known = check_names(request.query, {}); !known) return std::unexpected(known.error());
  const auto device = find_device(log, request.path_values.at(0));
  if (!device) return std::unexpected(device.error());
  Json channels = Json::array();
  Json undecoded = Json::array();  // offsets of events whose table the device has not announced
  for (const Event& event : log.latest(device->id)) {
    if (const auto batch = gateway::batch_rows(event, log)) {
      append_latest(channels, event, *batch);
    } else {
      undecoded.push(Json::raw(std::to_string(event.offset.value)));
    }
  }
  Json json = Json::object();
  json.set("device", device->id).set("channels", std::move(channels)).set("undecoded", std::move(undecoded));
  return versioned(json.dump());
}

// A page of the log from `after` on.
Response events_page(const LogReader& log, const Request& request, LogOffset after, std::size_t limit,
                     const LogReader::Filter& filter) {
  const auto deadline = std::chrono::steady_clock::now() + kPageTimeMax;
  const gateway::LogPage page =
      log.read(after, filter, {.events = limit, .bytes = kPageBytesMax, .give_up = [deadline] {
                                 return std::chrono::steady_clock::now() > deadline;
                               }});
  std::string body = R"({"items":[)";
  std::size_t count = 0;
  for (; count < page.events.size() && body.size() < kPageBytesMax; ++count) {
    if (count > 0) body += ',';
    gateway::append_json(body, page.events[count], log);
  }
  body += ']';
  if (page.gap) {  // never skip silently what was asked for
    body += R"(,"gap":)";
    gateway::append_json(body, *page.gap);
  }
  const bool cut = count < page.events.size();
  const bool more = cut || page.more;
  LogId through = page.through;
  if (cut) through = {page.events[count - 1].offset, page.events[count - 1].term};
  const std::string cursor = more ? make_cursor(through) : "";
  body += more ? R"(,"next_cursor":")" + cursor + '"' : R"(,"next_cursor":null)";
  body += R"(,"last_id":")" + gateway::to_text(through) + "\"}";
  Response response = json_response(std::move(body));
  if (more) link_next(response, request, cursor);
  return response;
}

// What a client says it has seen is gone from this log: it would take other events for those it knows.
std::expected<LogOffset, Problem> within(const LogReader& log, LogId id, const char* name) {
  const gateway::Resumption resumption = log.resume(id);
  if (!resumption.gap) return id.offset;
  const std::string next = gateway::to_text(resumption.from);
  return std::unexpected(
      Problem{.kind = ProblemKind::kLogReplaced,
              .detail = "This log does not have " + gateway::to_text(id) +
                        ": the gateway's database was replaced by an older copy. What you hold of events " +
                        std::to_string(resumption.gap->from.value) + " to " +
                        std::to_string(resumption.gap->to.value) +
                        " is not in it; others have these numbers now. Go on with after=" + next + ".",
              .parameter = name,
              .after = next});
}

std::expected<LogOffset, Problem> offset_of(const LogReader& log, const gateway::LogStart& start) {
  if (start.kind == gateway::LogStart::Kind::kAfter) return within(log, start.after, "after");
  const gateway::LogEnds ends = log.ends();
  return start.kind == gateway::LogStart::Kind::kNow ? ends.last.offset : ends.before_first.offset;
}

Result list_telemetry(const LogReader& log, const Request& request) {
  if (auto known = check_names(request.query, {"cursor", "limit", "order"}); !known) {
    return std::unexpected(known.error());
  }
  if (find_parameter(request.query, "order").value_or("asc") != "asc") {
    return std::unexpected(invalid_parameter("order", "Only asc: oldest first, in the order of arrival."));
  }
  const auto limit = limit_of(request.query);
  if (!limit) return std::unexpected(limit.error());
  const auto cursor = log_cursor_of(request.query);
  if (!cursor) return std::unexpected(cursor.error());
  const auto device = find_device(log, request.path_values.at(0));
  if (!device) return std::unexpected(device.error());
  const auto after = cursor->has_value() ? within(log, **cursor, "cursor") : log.ends().before_first.offset;
  if (!after) return std::unexpected(after.error());
  return events_page(log, request, *after, *limit,
                     {.device = device->id, .types = {gateway::EventType::kTelemetry}});
}

Result list_events(const LogReader& log, const Request& request) {
  if (auto known = check_names(request.query, {"after", "cursor", "limit", "device", "type"}); !known) {
    return std::unexpected(known.error());
  }
  const auto limit = limit_of(request.query);
  if (!limit) return std::unexpected(limit.error());
  const auto filter = filter_of(request.query);
  if (!filter) return std::unexpected(filter.error());
  const auto cursor = log_cursor_of(request.query);
  if (!cursor) return std::unexpected(cursor.error());
  const auto start = start_of(find_parameter(request.query, "after").value_or("begin"), "after");
  if (!start) return std::unexpected(start.error());
  const auto after = cursor->has_value() ? within(log, **cursor, "cursor") : offset_of(log, *start);
  if (!after) return std::unexpected(after.error());
  return events_page(log, request, *after, *limit, *filter);
}

// Reads nothing: the stream finds its place by itself, in the queue of all streams.
Result follow_events(const Request& request) {
  if (auto known = check_names(request.query, {"after", "device", "type"}); !known) {
    return std::unexpected(known.error());
  }
  auto filter = filter_of(request.query);
  if (!filter) return std::unexpected(filter.error());
  // A client that connects again repeats its URL, so what it has seen wins over where it once began.
  const std::string_view last_id = find_header(request.headers, "Last-Event-ID").value_or("");
  const auto start = last_id.empty()
                         ? start_of(find_parameter(request.query, "after").value_or("now"), "after")
                         : start_of(last_id, "Last-Event-ID");
  if (!start) return std::unexpected(start.error());
  Response response;
  response.headers = {
      {"Content-Type", "text/event-stream"}, {"Cache-Control", kKeepNever}, {"X-Accel-Buffering", "no"}};
  response.events = Subscription{.start = *start, .filter = std::move(*filter)};
  return response;
}

// 0: as a stream; 1: as a page.
std::optional<std::size_t> form_of_events(const Request& request) {
  static constexpr std::array<std::string_view, 2> kOffered{"text/event-stream", "application/json"};
  return negotiate(find_header(request.headers, "Accept"), kOffered);
}

Result events(const LogReader& log, const Request& request) {
  const auto chosen = form_of_events(request);
  if (!chosen) {
    return std::unexpected(Problem{.kind = ProblemKind::kNotAcceptable,
                                   .detail = "This is served as text/event-stream (the live feed) or "
                                             "application/json (a page of the log)."});
  }
  return *chosen == 0 ? follow_events(request) : list_events(log, request);
}

Result health(const Request& request) {
  if (auto known = check_names(request.query, {}); !known) return std::unexpected(known.error());
  return json_response(R"({"status":"ok"})", kKeepNever);
}

Result readiness(const Sources& sources, const Request& request) {
  if (auto known = check_names(request.query, {}); !known) return std::unexpected(known.error());
  bool ready = true;
  Json checks = Json::array();
  for (const Check& check : sources.readiness ? sources.readiness() : std::vector<Check>()) {
    ready = ready && check.ok;
    Json item = Json::object();
    item.set("name", check.name).set("ok", check.ok).set("detail", check.detail);
    checks.push(std::move(item));
  }
  Json json = Json::object();
  json.set("status", ready ? "ready" : "not_ready").set("checks", std::move(checks));
  Response response = json_response(json.dump(), kKeepNever);
  if (!ready) {
    response.status = 503;
    response.headers.emplace_back("Retry-After", "5");
  }
  return response;
}

Result metrics(const Sources& sources, const Request& request) {
  if (auto known = check_names(request.query, {}); !known) return std::unexpected(known.error());
  Response response;
  response.headers = {{"Content-Type", "text/plain; version=0.0.4"}, {"Cache-Control", kKeepNever}};
  response.body = sources.metrics();
  return response;
}

}  // namespace

std::vector<Route> api_routes(const Sources& sources) {
  const LogReader& log = *sources.log;
  const auto json_of_log = [&log](Result (*show)(const LogReader&, const Request&)) -> Handler {
    return [&log, show](const Request& request) -> Result {
      if (auto accepted = check_accepts_json(request); !accepted) return std::unexpected(accepted.error());
      return show(log, request);
    };
  };
  std::vector<Route> routes = {
      {.method = "GET", .pattern = "/api/v1/devices", .handler = json_of_log(list_devices)},
      {.method = "GET", .pattern = "/api/v1/devices/{id}", .handler = json_of_log(show_device)},
      {.method = "GET", .pattern = "/api/v1/devices/{id}/latest", .handler = json_of_log(show_latest)},
      {.method = "GET", .pattern = "/api/v1/devices/{id}/telemetry", .handler = json_of_log(list_telemetry)},
      {.method = "GET",
       .pattern = "/api/v1/events",
       .handler = [&log](const Request& request) { return events(log, request); },
       .at_once = [](const Request& request) { return form_of_events(request) != 1; }},
      {.method = "GET",
       .pattern = "/healthz",
       .access = Access::kOpen,
       .runs = Runs::kAtOnce,
       .handler = health},
      {.method = "GET",
       .pattern = "/readyz",
       .access = Access::kOpen,
       .runs = Runs::kAtOnce,
       .handler = [sources](const Request& request) { return readiness(sources, request); }},
  };
  if (sources.metrics) {
    routes.push_back({.method = "GET",
                      .pattern = "/metrics",
                      .access = Access::kOpen,
                      .runs = Runs::kAtOnce,
                      .handler = [sources](const Request& request) { return metrics(sources, request); }});
  }
  return routes;
}

}  // namespace godwit::http
