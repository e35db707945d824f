// SPDX-License-Identifier: Apache-2.0
// How many messages a second become durable through a real broker and gateway, as a share of what the same
// broker delivers to a subscriber that does nothing with them. Both are measured in turn, several times, with
// the same devices, certificates, messages and windows; the medians are compared, so the share holds on a
// slow or shared machine too. Beside it what a message costs: processor time, transactions (each one sync of
// the disk), memory.
//
//   ingest_bench [--json FILE] [--quick]
//
// --quick shows only that it runs.
#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/arguments.h"
#include "tests/bench/load.h"
#include "tests/bench/usage.h"
#include "tests/support/gateway_fixture.h"

namespace {

using namespace godwit;
using bench::Load;
using bench::Usage;

struct Plan {
  std::vector<Load::Options> loads = {{.devices = 100, .window = 16}, {.devices = 8, .window = 200}};
  std::size_t records = 100'000;  // in each round
  std::size_t rounds = 5;
};

// One round. Costs are per message.
struct Round {
  double per_second = 0;
  double broker_cpu_us = 0;
  double gateway_cpu_us = 0;
  double commits = 0;
};

struct Result {
  Load::Options load;
  std::size_t message_size = 0;
  Round bare;     // medians
  Round durable;  // likewise
  double resident_mib = 0;
  double resident_max_mib = 0;
  [[nodiscard]] double share() const { return durable.per_second / bare.per_second; }
};

std::uint64_t counter(const std::string& metrics, const std::string& name) {
  const auto at = metrics.find("\n" + name + " ");
  if (at == std::string::npos) throw std::runtime_error("/metrics has no " + name);
  return std::stoull(metrics.substr(at + name.size() + 2));
}

double median(std::span<const Round> rounds, double Round::* figure) {
  std::vector<double> values;
  for (const Round& round : rounds) values.push_back(round.*figure);
  std::ranges::sort(values);
  return values[values.size() / 2];
}

Round medians(std::span<const Round> rounds) {
  return {.per_second = median(rounds, &Round::per_second),
          .broker_cpu_us = median(rounds, &Round::broker_cpu_us),
          .gateway_cpu_us = median(rounds, &Round::gateway_cpu_us),
          .commits = median(rounds, &Round::commits)};
}

double us_per_message(const Usage& before, const Usage& after, std::size_t messages) {
  return (after.cpu_s - before.cpu_s) * 1e6 / static_cast<double>(messages);
}

Round run_bare(test::GatewayFixture& fixture, Load& load, std::size_t records) {
  load.attach_subscriber();
  const Usage broker = bench::usage_of(fixture.broker().pid());
  const double seconds = load.run(records).count();
  Round round{.per_second = static_cast<double>(records) / seconds,
              .broker_cpu_us = us_per_message(broker, bench::usage_of(fixture.broker().pid()), records)};
  load.detach_subscriber();
  return round;
}

Round run_durable(test::GatewayFixture& fixture, Load& load, std::size_t records, Result& result) {
  fixture.start_gateway();
  load.introduce();
  const std::string metrics_before = fixture.get("/metrics").body;
  const Usage broker = bench::usage_of(fixture.broker().pid());
  const Usage gateway = bench::usage_of(fixture.gateway().pid());
  const double seconds = load.run(records).count();
  const Usage gateway_after = bench::usage_of(fixture.gateway().pid());
  const Usage broker_after = bench::usage_of(fixture.broker().pid());
  const std::string metrics = fixture.get("/metrics").body;
  const auto grown = [&](const char* name) { return counter(metrics, name) - counter(metrics_before, name); };
  if (grown("godwit_records_total") != records || grown("godwit_duplicates_total") != 0 ||
      grown("godwit_gaps_total") != 0) {
    throw std::runtime_error("the gateway has not stored each record once:\n" + metrics);
  }
  if (fixture.gateway().stop() != 0) throw std::runtime_error(fixture.gateway().log());
  fixture.kill_gateway();
  result.resident_mib = static_cast<double>(gateway_after.resident_kib) / 1024;
  result.resident_max_mib = static_cast<double>(gateway_after.resident_max_kib) / 1024;
  return {.per_second = static_cast<double>(records) / seconds,
          .broker_cpu_us = us_per_message(broker, broker_after, records),
          .gateway_cpu_us = us_per_message(gateway, gateway_after, records),
          .commits = static_cast<double>(grown("godwit_commits_total")) / static_cast<double>(records)};
}

Result measure(const Load::Options& options, const Plan& plan) {
  test::GatewayFixture fixture;
  fixture.start_broker();
  Load load(fixture, options);
  Result result{.load = options, .message_size = load.message_size()};
  std::vector<Round> bare;
  std::vector<Round> durable;
  for (std::size_t i = 0; i < plan.rounds; ++i) {
    bare.push_back(run_bare(fixture, load, plan.records));
    durable.push_back(run_durable(fixture, load, plan.records, result));
    std::printf("%zu devices, window %llu, round %zu: bare subscriber %.0f/s, durable %.0f/s\n",
                options.devices, static_cast<unsigned long long>(options.window), i + 1,
                bare.back().per_second, durable.back().per_second);
    std::fflush(stdout);
  }
  result.bare = medians(bare);
  result.durable = medians(durable);
  return result;
}

void print_table(std::span<const Result> results) {
  std::printf("\nMedians. CPU in us per message, transactions (syncs of the disk) per 1,000 messages.\n\n");
  std::printf("%7s %6s %7s  %9s %10s  %9s %10s %11s %7s %8s %7s  %6s\n", "devices", "window", "payload",
              "bare/s", "broker CPU", "durable/s", "broker CPU", "gateway CPU", "commits", "RSS MiB", "max",
              "share");
  for (const Result& r : results) {
    std::printf("%7zu %6llu %7zu  %9.0f %10.1f  %9.0f %10.1f %11.1f %7.2f %8.1f %7.1f  %6.2f\n",
                r.load.devices, static_cast<unsigned long long>(r.load.window), r.message_size,
                r.bare.per_second, r.bare.broker_cpu_us, r.durable.per_second, r.durable.broker_cpu_us,
                r.durable.gateway_cpu_us, r.durable.commits * 1000, r.resident_mib, r.resident_max_mib,
                r.share());
  }
  std::printf("\nshare: durable / bare; the goal is at least 0.5.\n");
}

void write_json(std::span<const Result> results, const std::string& path) {
  std::ofstream file(path);
  file << "{\"benchmark\": \"ingest\", \"results\": [";
  for (const Result& r : results) {
    file << (&r == results.data() ? "\n" : ",\n") << "  {\"devices\": " << r.load.devices
         << ", \"window\": " << r.load.window << ", \"payload_bytes\": " << r.message_size
         << ", \"bare_messages_per_s\": " << r.bare.per_second
         << ", \"durable_messages_per_s\": " << r.durable.per_second << ", \"share\": " << r.share()
         << ",\n   \"broker_cpu_us_per_message_bare\": " << r.bare.broker_cpu_us
         << ", \"broker_cpu_us_per_message\": " << r.durable.broker_cpu_us
         << ", \"gateway_cpu_us_per_message\": " << r.durable.gateway_cpu_us
         << ", \"commits_per_message\": " << r.durable.commits
         << ",\n   \"gateway_resident_mib\": " << r.resident_mib
         << ", \"gateway_resident_max_mib\": " << r.resident_max_mib << "}";
  }
  file << "\n]}\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace

int main(int argc, char** argv) try {
  Plan plan;
  const auto arguments = godwit::bench::parse_arguments(argc, argv, "ingest_bench");
  if (arguments.quick) plan = {.loads = {{.devices = 4, .window = 16}}, .records = 2'000, .rounds = 1};
  std::vector<Result> results;
  results.reserve(plan.loads.size());
  for (const Load::Options& load : plan.loads) results.push_back(measure(load, plan));
  print_table(results);
  if (!arguments.json.empty()) write_json(results, arguments.json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "ingest_bench: %s\n", error.what());
  return 1;
}
