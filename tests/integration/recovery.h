// SPDX-License-Identifier: Apache-2.0
// What the recovery tests share: a fleet under load at a broker and a gateway, faults at random moments from
// a seed that is printed (GODWIT_SEED=n replays another one), and the count at the end.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>

#include "tests/support/fleet_run.h"
#include "tests/support/gateway_log.h"

namespace godwit::test {

class Recovery : public testing::Test {
 protected:
  Recovery();
  // On failure prints what the fleet, the broker and the gateway wrote last.
  void TearDown() override;

  void start_fleet(FleetOptions options);
  // Waits until the gateway has taken so many more records: the fleet is at work. False: it has not within
  // 30 s.
  [[nodiscard]] bool take_records(std::uint64_t count) const;
  // From `first` to `last`.
  [[nodiscard]] unsigned random(unsigned first, unsigned last);

  // Ends the sampling, waits until all is delivered and judged, and expects what the promise says: of the
  // fleet's own report, and of the log by itself.
  FleetReport expect_promise_at_end();

  GatewayFixture gateway_;
  std::unique_ptr<FleetRun> fleet_;
  std::uint64_t seed_;

 private:
  std::minstd_rand random_;
};

}  // namespace godwit::test
