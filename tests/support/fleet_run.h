// SPDX-License-Identifier: Apache-2.0
// godwit-sim as a child process against a GatewayFixture, and what its report says.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace godwit::test {

// The paths of the programs.
[[nodiscard]] std::string sim_program();
[[nodiscard]] std::string device_program();

struct FleetReport {
  int status = -1;   // of the process: 0 only if it says that the promise held
  std::string json;  // empty: it wrote none
  std::string log;   // what it printed

  // A number of the report, by the dotted path of its key: "recorded", "latency_ms.p50". Throws if there is
  // none. Faults that never happened are not in a report: use fault().
  [[nodiscard]] double figure(std::string_view path) const;
  [[nodiscard]] double fault(const std::string& name) const;
};

struct FleetOptions {
  unsigned devices = 20;
  std::string prefix = "sim-";  // of their ids
  double seconds = 0;           // how long it samples; 0: until finish()
  std::uint64_t seed = 1;
  std::vector<std::string> more;  // further arguments of `godwit-sim run`
};

class FleetRun {
 public:
  // Issues the devices' credentials and starts them; broker and gateway must run.
  FleetRun(GatewayFixture& gateway, const FleetOptions& options);

  // No more samples: what is recorded is still delivered.
  void finish();
  // Waits for the end. After the timeout it is killed, which its status shows.
  [[nodiscard]] FleetReport report(std::chrono::milliseconds timeout);
  [[nodiscard]] std::string log() const { return process_.log(); }

 private:
  static std::vector<std::string> command(GatewayFixture& gateway, const FleetOptions& options,
                                          const std::string& report_file);

  TempDir dir_;
  std::string report_file_;
  Process process_;
};

}  // namespace godwit::test
