// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/report.h"

#include <cjson/cJSON.h>

#include <cstdio>
#include <memory>

namespace godwit::sim {
namespace {

void add(cJSON* object, const char* name, std::uint64_t value) {
  cJSON_AddNumberToObject(object, name, static_cast<double>(value));
}

std::string format(const char* pattern, auto... values) {
  char line[160];
  std::snprintf(line, sizeof line, pattern, values...);
  return line;
}

}  // namespace

std::uint64_t Report::count(std::initializer_list<const char*> kinds) const {
  std::uint64_t sum = 0;
  for (const char* const kind : kinds) {
    const auto found = violations.find(kind);
    if (found != violations.end()) sum += found->second;
  }
  return sum;
}

std::uint64_t Report::duplicated() const { return count({"stored_twice", "appended_twice"}); }

std::uint64_t Report::out_of_order() const { return count({"order", "wrong_place", "log_order"}); }

std::uint64_t Report::corrupted() const { return count({"wrong_content", "wrong_rows", "wrong_time"}); }

std::string Report::to_json() const {
  const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> root(cJSON_CreateObject(), &cJSON_Delete);
  cJSON_AddBoolToObject(root.get(), "promise_held", promise_held());
  add(root.get(), "devices", devices);
  cJSON_AddNumberToObject(root.get(), "seconds", seconds);
  add(root.get(), "seed", seed);
  add(root.get(), "recorded", recorded);
  add(root.get(), "in_doubt", in_doubt);
  add(root.get(), "acked", acked);
  add(root.get(), "stored", stored);
  add(root.get(), "lost", lost);
  add(root.get(), "dropped", dropped);
  add(root.get(), "missing", missing);
  add(root.get(), "duplicated", duplicated());
  add(root.get(), "out_of_order", out_of_order());
  add(root.get(), "corrupted", corrupted());
  cJSON* broken = cJSON_AddObjectToObject(root.get(), "violations");
  for (const auto& [kind, times] : violations) add(broken, kind.c_str(), times);
  if (!first_violation.empty())
    cJSON_AddStringToObject(root.get(), "first_violation", first_violation.c_str());
  add(root.get(), "online", online);
  add(root.get(), "sse_events", sse_events);
  add(root.get(), "sse_gaps", sse_gaps);
  add(root.get(), "sse_reconnects", sse_reconnects);
  cJSON* latency = cJSON_AddObjectToObject(root.get(), "latency_ms");
  cJSON_AddNumberToObject(latency, "p50", latency_p50_ms);
  cJSON_AddNumberToObject(latency, "p99", latency_p99_ms);
  cJSON_AddNumberToObject(latency, "max", latency_max_ms);
  cJSON* injected = cJSON_AddObjectToObject(root.get(), "faults");
  for (const auto& [name, count] : faults) add(injected, name.c_str(), count);
  const std::unique_ptr<char, decltype(&cJSON_free)> text(cJSON_Print(root.get()), &cJSON_free);
  return std::string(text.get()) + "\n";
}

std::string Report::to_text() const {
  const auto n = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::string out;
  out += format("devices %llu, %.0f s, seed %llu\n", n(devices), seconds, n(seed));
  out += format("recorded %llu, acked %llu, stored %llu\n", n(recorded), n(acked), n(stored));
  out += format("dropped by full outboxes %llu, lost and said so %llu; in doubt after power cuts %llu\n",
                n(dropped), n(lost), n(in_doubt));
  out += format("missing %llu, duplicated %llu, out of order %llu, corrupted %llu\n", n(missing),
                n(duplicated()), n(out_of_order()), n(corrupted()));
  out += format("live feed: %llu events, %llu gaps, %llu reconnects\n", n(sse_events), n(sse_gaps),
                n(sse_reconnects));
  out += format("record to live feed: p50 %.1f ms, p99 %.1f ms, max %.1f ms\n", latency_p50_ms,
                latency_p99_ms, latency_max_ms);
  for (const auto& [name, count] : faults) out += format("fault %s: %llu\n", name.c_str(), n(count));
  for (const auto& [kind, times] : violations) out += format("VIOLATION %s: %llu\n", kind.c_str(), n(times));
  if (!first_violation.empty()) out += "first: " + first_violation + "\n";
  out += promise_held() ? "The promise held.\n" : "THE PROMISE DID NOT HOLD.\n";
  return out;
}

}  // namespace godwit::sim
