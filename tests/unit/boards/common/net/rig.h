// SPDX-License-Identifier: Apache-2.0
// A Network on a Segment in virtual time. lwIP is a process-wide global, so its clock never goes back: each
// test goes on where the one before ended.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "boards/common/net/network.h"
#include "tests/support/seeded_entropy.h"
#include "tests/unit/boards/common/net/segment.h"

namespace godwit::test {

class NetRig : public testing::Test {
 protected:
  // Polls as a main loop does, until `done` or until this time is over.
  bool run_until(const std::function<bool()>& done, Millis time = Millis{60'000}) {
    const Instant end = now() + time;
    while (!done()) {
      if (now() >= end) return false;
      step(end);
    }
    return true;
  }
  void run(Millis time) {
    run_until([] { return false; }, time);
  }
  void start(const boards::Network::Options& options = {}) {
    network_.emplace(segment_, entropy_, options);
    ASSERT_EQ(network_->start(now()), Status::kOk);
  }
  void start_with_address(const boards::Network::Options& options = {}) {
    start(options);
    ASSERT_TRUE(run_until([this] { return network_->up(); }));
  }
  static Instant now() { return clock_; }

  // To be done in each turn of the loop, after the network's work.
  std::function<void()> turn_;
  SeededEntropy entropy_;
  Segment segment_;
  std::optional<boards::Network> network_;

 private:
  void step(Instant end) {
    network_->poll(now());
    if (turn_) turn_();
    // An interrupt of the controller ends the sleep.
    const Instant wake = segment_.has_frames() ? now() : network_->next_deadline(now());
    clock_ = std::clamp(wake, now() + Millis{1}, std::max(end, now() + Millis{1}));
  }
  inline static Instant clock_{Millis{0xFFFF'0000}};  // soon wraps in 32 bits
};

}  // namespace godwit::test
