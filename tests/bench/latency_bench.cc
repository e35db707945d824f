// SPDX-License-Identifier: Apache-2.0
// The time from a record's departure to its arrival at a follower of the live feed, through a real broker and
// gateway: mutual TLS, commit with a full sync, HTTPS. At rates far below what the path can do, so that it is
// the path that is measured and not a queue.
//
//   latency_bench [--json FILE] [--quick]
//
// --quick shows only that it runs.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "sim/fleet/api_client.h"
#include "sim/fleet/installation.h"
#include "tests/bench/arguments.h"
#include "tests/bench/load.h"
#include "tests/bench/usage.h"
#include "tests/support/gateway_fixture.h"

namespace {

using namespace godwit;
using bench::Load;
using Clock = Load::Clock;

struct Plan {
  std::size_t devices = 250;
  std::vector<double> rates = {100, 1'000};  // messages per second
  double seconds = 15;
};

struct Result {
  std::size_t devices = 0;
  double per_second = 0;
  std::size_t events = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  double max_ms = 0;
  double gateway_cpu_us = 0;  // per message
};

// When each record left, and how long it was on its way. Two threads: the load's and the follower's.
class Stopwatch {
 public:
  void sent(std::string_view device, Seq seq) {
    const std::lock_guard lock(mutex_);
    sent_at_[key(device, seq.value)] = Clock::now();
  }
  void received(const sim::SseEvent& event) {
    const auto now = Clock::now();
    if (event.type != "telemetry") return;
    const std::string_view device = field(event.data, "\"device\":\"", "\"");
    const std::string_view number = field(event.data, "\"seq\":", ",");
    std::uint64_t seq = 0;
    std::from_chars(number.data(), number.data() + number.size(), seq);
    const std::lock_guard lock(mutex_);
    const auto sent = sent_at_.find(key(device, seq));
    if (sent == sent_at_.end()) {
      ++strangers_;
      return;
    }
    latencies_ms_.push_back(std::chrono::duration<double, std::milli>(now - sent->second).count());
    sent_at_.erase(sent);
  }
  [[nodiscard]] bool all_received() const {
    const std::lock_guard lock(mutex_);
    return sent_at_.empty();
  }
  // Sorted; to be called when all are received.
  std::vector<double> take() {
    const std::lock_guard lock(mutex_);
    if (strangers_ != 0) throw std::runtime_error("the feed has events that nobody sent, or sent once only");
    std::ranges::sort(latencies_ms_);
    return std::exchange(latencies_ms_, {});
  }

 private:
  static std::string key(std::string_view device, std::uint64_t seq) {
    return std::string(device) + "/" + std::to_string(seq);
  }
  static std::string_view field(std::string_view json, std::string_view before, std::string_view after) {
    const std::size_t at = json.find(before);
    if (at == std::string_view::npos) return {};
    json.remove_prefix(at + before.size());
    return json.substr(0, json.find(after));
  }

  mutable std::mutex mutex_;
  std::map<std::string, Clock::time_point> sent_at_;
  std::vector<double> latencies_ms_;
  std::size_t strangers_ = 0;  // events of no record, or of one that has been received
};

void wait_until(const std::function<bool()>& condition, const char* what) {
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (Clock::now() > deadline) throw std::runtime_error(what);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Result measure(test::GatewayFixture& fixture, Load& load, Stopwatch& stopwatch, double rate,
               const Plan& plan) {
  const auto records = static_cast<std::size_t>(rate * plan.seconds);
  const auto on_send = [&](std::string_view device, Seq seq) { stopwatch.sent(device, seq); };
  const bench::Usage before = bench::usage_of(fixture.gateway().pid());
  load.run_paced(records, rate, on_send);
  wait_until([&] { return stopwatch.all_received(); }, "the feed has not brought all records");
  const bench::Usage after = bench::usage_of(fixture.gateway().pid());
  const std::vector<double> sorted = stopwatch.take();
  const auto quantile = [&](std::size_t percent) { return sorted[(sorted.size() - 1) * percent / 100]; };
  return {.devices = plan.devices,
          .per_second = rate,
          .events = sorted.size(),
          .p50_ms = quantile(50),
          .p99_ms = quantile(99),
          .max_ms = sorted.back(),
          .gateway_cpu_us = (after.cpu_s - before.cpu_s) * 1e6 / static_cast<double>(records)};
}

std::vector<Result> run(const Plan& plan) {
  test::GatewayFixture fixture;
  fixture.start_broker();
  fixture.start_gateway();
  Load load(fixture, {.devices = plan.devices});
  load.introduce();
  Stopwatch stopwatch;
  const sim::EventFollower follower(sim::Installation::read(fixture.dir()).api,
                                    [&](const auto& event) { stopwatch.received(event); });
  // What the first events cost (connections, caches) is not what is asked.
  wait_until([&] { return follower.following(); }, "the live feed does not start");
  static_cast<void>(measure(fixture, load, stopwatch, 100, {.devices = plan.devices, .seconds = 0.5}));
  std::vector<Result> results;
  results.reserve(plan.rates.size());
  for (const double rate : plan.rates) {
    results.push_back(measure(fixture, load, stopwatch, rate, plan));
  }
  return results;
}

void print_table(std::span<const Result> results) {
  std::printf(
      "From the device's departure to the follower of the live feed, in ms; CPU in us per message.\n\n");
  std::printf("%7s %10s %7s  %7s %7s %7s  %11s\n", "devices", "messages/s", "events", "p50", "p99", "max",
              "gateway CPU");
  for (const Result& r : results) {
    std::printf("%7zu %10.0f %7zu  %7.2f %7.2f %7.2f  %11.1f\n", r.devices, r.per_second, r.events, r.p50_ms,
                r.p99_ms, r.max_ms, r.gateway_cpu_us);
  }
}

void write_json(std::span<const Result> results, const std::string& path) {
  std::ofstream file(path);
  file << "{\"benchmark\": \"latency\", \"results\": [";
  for (const Result& r : results) {
    file << (&r == results.data() ? "\n" : ",\n") << "  {\"devices\": " << r.devices
         << ", \"messages_per_s\": " << r.per_second << ", \"events\": " << r.events
         << ", \"latency_ms\": {\"p50\": " << r.p50_ms << ", \"p99\": " << r.p99_ms
         << ", \"max\": " << r.max_ms << "}, \"gateway_cpu_us_per_message\": " << r.gateway_cpu_us << "}";
  }
  file << "\n]}\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace

int main(int argc, char** argv) try {
  Plan plan;
  const auto arguments = godwit::bench::parse_arguments(argc, argv, "latency_bench");
  if (arguments.quick) plan = {.devices = 4, .rates = {100}, .seconds = 1};
  const std::vector<Result> results = run(plan);
  print_table(results);
  if (!arguments.json.empty()) write_json(results, arguments.json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "latency_bench: %s\n", error.what());
  return 1;
}
