// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gateway_log.h"

#include <cjson/cJSON.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <utility>

namespace godwit::test {
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

LoggedEvent event_of(const cJSON* object) {
  LoggedEvent event{.id = text_of(object, "id"),
                    .type = text_of(object, "type"),
                    .device = text_of(object, "device"),
                    .epoch = text_of(object, "epoch"),
                    .json = print(object)};
  if (event.type == "telemetry" || event.type == "loss") {
    event.seq = number_of(object, "seq", 0);  // samples of live channels have none
    event.count = event.seq == 0 ? 0 : number_of(object, "count", 1);
  }
  // A mark and a note of refused records have one seq each, whatever they tell of.
  const bool is_note = event.type == "epoch" || text_of(object, "reason").starts_with("refused_");
  event.first_place = number_of(object, "seq", 0);
  if (event.type == "epoch" || event.seq != 0) event.places = is_note ? 1 : event.count;
  return event;
}

}  // namespace

std::string canonical_json(std::string_view text) { return print(parse(text).get()); }

std::vector<LoggedEvent> read_log(const GatewayFixture& gateway, const std::string& after) {
  std::vector<LoggedEvent> log;
  std::string path = "/api/v1/events?limit=500&after=" + after;
  while (!path.empty()) {
    const HttpsResponse response = https_get(gateway.https(), path, {"Accept: application/json"});
    if (response.status != 200) throw std::runtime_error("GET " + path + ": " + response.body);
    const Json page = parse(response.body);
    const cJSON* object = nullptr;
    cJSON_ArrayForEach(object, cJSON_GetObjectItemCaseSensitive(page.get(), "items")) {
      log.push_back(event_of(object));
    }
    const std::string cursor = text_of(page.get(), "next_cursor");
    path = cursor.empty() ? "" : "/api/v1/events?limit=500&cursor=" + cursor;
  }
  return log;
}

std::string first_disorder(const std::vector<LoggedEvent>& log) {
  std::map<std::string, std::uint64_t> next;
  std::uint64_t last_offset = 0;
  for (const LoggedEvent& event : log) {
    const std::uint64_t offset = std::stoull(event.id);
    if (offset <= last_offset) return "offset " + event.id + " after " + std::to_string(last_offset);
    last_offset = offset;
    if (event.places == 0) continue;
    std::uint64_t& expected = next.try_emplace(event.device, 1).first->second;
    if (event.first_place != expected) return "seq " + std::to_string(expected) + " expected: " + event.json;
    expected += event.places;
  }
  return "";
}

}  // namespace godwit::test
