// SPDX-License-Identifier: Apache-2.0
// What a simulated device costs godwit-sim in memory, its TLS session, certificate, flash and records
// included: the difference between a small and a large fleet, each of which delivers to a real broker and
// gateway, for one device of that difference.
//
//   fleet_bench [--json FILE] [--quick]
//
// --quick shows only that it runs.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "firmware/agent/device.h"
#include "tests/bench/arguments.h"
#include "tests/bench/usage.h"
#include "tests/support/gateway_fixture.h"

namespace {

using namespace godwit;

struct Plan {
  std::size_t small = 100;
  std::size_t large = 500;
  std::chrono::milliseconds delivering{
      20'000};  // before memory is looked at; each device samples once a second
};

struct Result {
  Plan plan;
  double small_mib = 0;
  double large_mib = 0;
  [[nodiscard]] double kib_per_device() const {
    return (large_mib - small_mib) * 1024 / static_cast<double>(plan.large - plan.small);
  }
};

// Resident MiB of godwit-sim with `devices` that have all been online for a while.
double resident_mib(const test::GatewayFixture& fixture, std::size_t devices,
                    std::chrono::milliseconds delivering) {
  const std::string count = std::to_string(devices);
  test::Process simulator({GODWIT_SIM_PROGRAM, "run", "--gateway-dir", fixture.dir().string(), "--devices",
                           count, "--seconds", "0", "--ramp", "200"});
  if (!simulator.wait_for_line(count + " of " + count + " devices online", std::chrono::seconds(60))) {
    throw std::runtime_error("not all devices come online:\n" + simulator.log());
  }
  std::this_thread::sleep_for(delivering);
  return static_cast<double>(bench::usage_of(simulator.pid()).resident_kib) / 1024;
}

Result run(const Plan& plan) {
  test::GatewayFixture fixture;
  fixture.start_broker();
  fixture.start_gateway();
  const test::Outcome issued = test::run_gateway_program(
      {"device", "add", fixture.dir().string(), "--count", std::to_string(plan.large), "--prefix", "sim-"});
  if (issued.status != 0) throw std::runtime_error(issued.log);
  Result result{.plan = plan};
  result.small_mib = resident_mib(fixture, plan.small, plan.delivering);
  result.large_mib = resident_mib(fixture, plan.large, plan.delivering);
  return result;
}

void print(const Result& result) {
  std::printf("godwit-sim with %zu devices: %.1f MiB resident; with %zu: %.1f MiB.\n", result.plan.small,
              result.small_mib, result.plan.large, result.large_mib);
  std::printf("A simulated device: %.1f KiB. Of it the firmware's Device, which a board has too: %.1f KiB.\n",
              result.kib_per_device(), static_cast<double>(sizeof(agent::Device)) / 1024);
}

void write_json(const Result& result, const std::string& path) {
  std::ofstream file(path);
  file << "{\"benchmark\": \"fleet\", \"small\": {\"devices\": " << result.plan.small
       << ", \"resident_mib\": " << result.small_mib << "}, \"large\": {\"devices\": " << result.plan.large
       << ", \"resident_mib\": " << result.large_mib
       << "},\n \"resident_kib_per_device\": " << result.kib_per_device()
       << ", \"device_bytes\": " << sizeof(agent::Device) << "}\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace

int main(int argc, char** argv) try {
  Plan plan;
  const auto arguments = godwit::bench::parse_arguments(argc, argv, "fleet_bench");
  if (arguments.quick) plan = {.small = 2, .large = 6, .delivering = std::chrono::milliseconds(100)};
  const Result result = run(plan);
  print(result);
  if (!arguments.json.empty()) write_json(result, arguments.json);
} catch (const std::exception& error) {
  std::fprintf(stderr, "fleet_bench: %s\n", error.what());
  return 1;
}
