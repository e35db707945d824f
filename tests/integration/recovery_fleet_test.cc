// SPDX-License-Identifier: Apache-2.0
// The promise under fire: every record that a device has confirmed to itself is stored exactly once and in
// order, and the live feed brings all of them, whatever is killed, cut off or loses power meanwhile.
#include <csignal>

#include "tests/integration/recovery.h"

namespace godwit::test {
namespace {

constexpr std::chrono::seconds kTimeout{10};

using FleetRecovery = Recovery;

TEST_F(FleetRecovery, KeepsThePromiseWhenTheGatewayIsKilledUnderLoad) {
  start_fleet({.devices = 40, .more = {"--period", "0.1", "--rows", "3"}});
  constexpr int kKills = 6;
  for (int kill = 0; kill < kKills; ++kill) {
    ASSERT_TRUE(take_records(random(20, 300)));
    gateway_.kill_gateway();
    gateway_.start_gateway();
  }
  ASSERT_TRUE(take_records(20));
  const FleetReport report = expect_promise_at_end();
  EXPECT_GE(report.figure("sse_reconnects"), kKills);
}

TEST_F(FleetRecovery, KeepsThePromiseWhenTheBrokerIsKilledUnderLoad) {
  start_fleet({.devices = 40, .more = {"--period", "0.1", "--rows", "3"}});
  // Not more often: a device that is thrown out again and again waits longer each time.
  for (int kill = 0; kill < 4; ++kill) {
    ASSERT_TRUE(take_records(random(20, 300)));
    gateway_.kill_broker();
    gateway_.start_broker();
  }
  ASSERT_TRUE(take_records(20));
  expect_promise_at_end();
}

TEST_F(FleetRecovery, KeepsThePromiseWhenDevicesLosePowerAndLinksFail) {
  start_fleet({.devices = 40,
               .more = {"--period", "0.1", "--rows", "3", "--power-cuts", "12", "--drops", "4", "--stalls",
                        "4", "--half-opens", "4"}});
  ASSERT_TRUE(take_records(1'500));
  const FleetReport report = expect_promise_at_end();
  for (const char* fault : {"power_cuts", "drops", "stalls", "half_opens"}) {
    EXPECT_GT(report.fault(fault), 0) << fault;
  }
}

TEST_F(FleetRecovery, KeepsThePromiseWhenEverythingFailsAtOnce) {
  start_fleet({.devices = 100,
               .more = {"--period", "0.2", "--rows", "3", "--power-cuts", "6", "--drops", "2", "--stalls",
                        "2", "--half-opens", "2"}});
  for (int round = 0; round < 6; ++round) {
    ASSERT_TRUE(take_records(random(20, 300))) << "round " << round;
    const unsigned victims = random(1, 3);
    if ((victims & 1U) != 0) gateway_.kill_gateway();
    if ((victims & 2U) != 0) gateway_.kill_broker();
    if ((victims & 2U) != 0) gateway_.start_broker();
    if ((victims & 1U) != 0) gateway_.start_gateway();
  }
  ASSERT_TRUE(take_records(20));
  const FleetReport report = expect_promise_at_end();
  EXPECT_GT(report.fault("power_cuts"), 0);
}

TEST_F(FleetRecovery, LosesNothingAcceptedWhenTheGatewayIsStoppedUnderLoad) {
  start_fleet({.devices = 40, .more = {"--period", "0.1", "--rows", "3"}});
  for (int stop = 0; stop < 4; ++stop) {
    ASSERT_TRUE(take_records(random(20, 300)));
    gateway_.gateway().signal(SIGTERM);
    ASSERT_EQ(gateway_.gateway().wait(kTimeout), 0) << "exit status of a stop on request";
    gateway_.start_gateway();
  }
  ASSERT_TRUE(take_records(20));
  expect_promise_at_end();
}

}  // namespace
}  // namespace godwit::test
