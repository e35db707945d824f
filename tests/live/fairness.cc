// SPDX-License-Identifier: Apache-2.0
#include "tests/live/fairness.h"

#include <array>
#include <optional>
#include <stdexcept>

#include "sim/judge/judge.h"
#include "tests/live/hostile.h"
#include "tests/support/fleet_run.h"

namespace godwit::live {
namespace {

constexpr std::chrono::seconds kSettle{3};  // for handshakes beside a flood
constexpr std::chrono::seconds kDrainMax{60};

Fairness beside(Stage& stage, const FairnessOptions& options, std::optional<Flood> flood) {
  Fairness result{.flood = flood ? std::string(name_of(*flood)) : "none"};
  std::string name = result.flood;
  for (char& each : name) each = each == '_' ? '-' : each;
  std::optional<Hostile> hostile;
  if (flood)
    hostile.emplace(stage.gateway(),
                    Hostile::Options{.id = "evil-" + name, .seed = options.seed, .only = flood});
  const test::FleetReport report =
      test::FleetRun(
          stage.gateway(),
          test::FleetOptions{.devices = options.devices,
                             .prefix = "beside-" + name + "-",
                             .seconds = options.seconds,
                             .seed = options.seed,
                             .more = {"--broker-port", std::to_string(stage.broker_port()), "--settle",
                                      std::to_string(kSettle.count()), "--period", "0.1", "--rows", "2",
                                      "--drain-seconds", std::to_string(kDrainMax.count())}})
          .report(std::chrono::milliseconds(static_cast<std::int64_t>(options.seconds * 1'000)) + kSettle +
                  kDrainMax + std::chrono::seconds(30));
  if (hostile) {
    hostile->stop();
    result.hostile_messages = hostile->messages();
  }
  if (report.json.empty()) throw std::runtime_error("the fleet left no report:\n" + report.log);
  if (report.status != 0)
    throw sim::Violation("fleet", "beside the flood " + result.flood + ":\n" + report.log);
  result.p50_ms = report.figure("latency_ms.p50");
  result.p99_ms = report.figure("latency_ms.p99");
  result.max_ms = report.figure("latency_ms.max");
  if (result.p50_ms <= 0 || (flood && result.hostile_messages == 0))
    throw std::runtime_error("beside the flood " + result.flood + " nothing was measured:\n" + report.log);
  return result;
}

}  // namespace

std::vector<Fairness> measure_fairness(Stage& stage, const FairnessOptions& options) {
  std::vector<Fairness> measured{beside(stage, options, std::nullopt)};
  for (const Flood flood : {Flood::kMalformedQos0, Flood::kLargeRecords, Flood::kBombs, Flood::kHellos})
    measured.push_back(beside(stage, options, flood));
  return measured;
}

}  // namespace godwit::live
