// SPDX-License-Identifier: Apache-2.0
// Cuts the power at every single flash operation of a reference workload, in every way a cut can leave the
// flash, on several geometries; then at every pair of operations of a short one. The body is re-entrant:
// after a cut it mounts, checks the ledger, and goes on with the step that failed.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <optional>
#include <span>
#include <vector>

#include "firmware/outbox/outbox.h"
#include "sim/flash/sim_flash.h"
#include "tests/power_loss/outbox_ledger.h"
#include "tests/support/seeded_entropy.h"

namespace godwit {
namespace {

using outbox::FullPolicy;
using outbox::Outbox;
using sim::SimFlash;
using sim::Tear;
using test::OutboxLedger;

struct Step {
  enum class Kind : std::uint8_t { kAppend, kAckAll, kBeginEpoch };
  Kind kind;
  std::size_t size_bytes = 0;
};

struct Setting {
  const char* description;
  ports::FlashGeometry geometry;
  std::size_t ack_every;  // appends; 0: never, so that the oldest are dropped
  std::size_t steps;
};

constexpr std::array kTears = {Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};

// Sizes from 1 byte to a good part of a sector, wrapping around the ring; an epoch is begun on the way.
std::vector<Step> workload(const Setting& setting) {
  std::vector<Step> steps;
  const std::size_t largest = setting.geometry.sector_size_bytes / 3;
  for (std::size_t i = 0; i < setting.steps; ++i) {
    if (setting.ack_every != 0 && i % setting.ack_every == 0) steps.push_back({.kind = Step::Kind::kAckAll});
    if (i == setting.steps / 2) steps.push_back({.kind = Step::Kind::kBeginEpoch});
    steps.push_back({.kind = Step::Kind::kAppend, .size_bytes = 1 + i * 37 % largest});
  }
  return steps;
}

class CutRun {
 public:
  explicit CutRun(const Setting& setting) : setting_(setting), flash_(setting.geometry, 7) {}

  // Works through `steps` with the power cut at each of `cuts` in turn, each counted from the one before.
  // True: all of them happened.
  bool perform(std::span<const Step> steps, std::span<const SimFlash::Fault> cuts) {
    const std::size_t faults = cuts.size();
    faults_ = cuts;
    arm_next();
    restart();
    for (std::size_t i = 0; i < steps.size() && !testing::Test::HasFailure(); ++i) {
      // Each try has a payload of its own, so that a seq which is given again shows whose it is.
      auto number = static_cast<std::uint32_t>(i);
      for (; attempt(steps[i], number) != Status::kOk && !testing::Test::HasFailure(); number += 1000)
        recover(number + 500);
    }
    const bool all_happened = faults_.empty() && !flash_.armed();
    flash_.disarm();
    restart();
    // Half-charged cells read as they were meant, long after the log went on without them.
    flash_.complete_tear();
    restart();
    EXPECT_EQ(ledger_.append(*box_, OutboxLedger::payload(9999, 5)), Status::kOk);
    restart();
    // mount() leaves out one unit that may have been hit unseen. Behind two cuts in a row there can be two.
    EXPECT_LE(flash_.counts().refused, faults - 1) << "programmed a unit twice";
    return all_happened;
  }

 private:
  Status attempt(const Step& step, std::uint32_t number) {
    switch (step.kind) {
      case Step::Kind::kAppend:
        return ledger_.append(*box_, OutboxLedger::payload(number, step.size_bytes));
      case Step::Kind::kAckAll:
        return ledger_.ack(*box_, box_->next_seq());
      case Step::Kind::kBeginEpoch:
        return ledger_.begin_epoch(*box_);
    }
    return Status::kState;
  }

  void arm_next() {
    if (faults_.empty()) return;
    flash_.arm(faults_.front());
    faults_ = faults_.subspan(1);
  }

  // Power came back, or a plain error passed. Life goes on with something else than the step that failed: a
  // record so small that it may fit where that did not.
  void recover(std::uint32_t number) {
    ASSERT_FALSE(flash_.armed()) << "a call failed without a fault";
    arm_next();
    if (flash_.powered()) {
      ledger_.check(*box_, setting_.ack_every == 0);
    } else {
      flash_.power_on();
      restart();
    }
    if (!flash_.armed()) {
      EXPECT_EQ(ledger_.append(*box_, OutboxLedger::payload(number, 1)), Status::kOk);
    }
  }

  void restart() {
    box_.emplace(flash_, entropy_, FullPolicy::kDropOldest);
    while (box_->mount() != Status::kOk) {
      ASSERT_FALSE(flash_.armed()) << "mount failed without a fault";
      flash_.power_on();
      arm_next();
      box_.emplace(flash_, entropy_, FullPolicy::kDropOldest);
    }
    if (setting_.ack_every != 0) ledger_.resume(*box_);
    ledger_.check(*box_, setting_.ack_every == 0);
  }

  const Setting& setting_;
  SimFlash flash_;
  test::SeededEntropy entropy_;
  OutboxLedger ledger_;
  std::optional<Outbox> box_;
  std::span<const SimFlash::Fault> faults_;
};

constexpr std::array kSettings = {
    Setting{"bytes, two sectors", {256, 2, 1}, 1, 12},
    Setting{"words, four sectors", {256, 4, 4}, 2, 28},
    Setting{"double words, dropping", {256, 3, 8}, 0, 28},
    Setting{"two sectors, dropping", {512, 2, 16}, 0, 40},
    Setting{"odd sector size", {416, 5, 32}, 3, 40},
    Setting{"pages", {2048, 3, 256}, 0, 40},
    Setting{"blocks", {4096, 3, 512}, 2, 40},
    Setting{"header and one block", {1024, 3, 512}, 0, 12},
};

class OutboxPowerLoss : public testing::TestWithParam<Setting> {};

TEST_P(OutboxPowerLoss, KeepsThePromiseWhenCutAtAnyOperation) {
  const auto steps = workload(GetParam());
  std::uint64_t cuts = 0;
  for (const Tear tear : kTears) {
    for (const auto kind : {SimFlash::Fault::Kind::kPowerCut, SimFlash::Fault::Kind::kError}) {
      for (std::uint64_t operation = 0;; ++operation) {
        SCOPED_TRACE(testing::Message() << "tear " << static_cast<int>(tear) << ", kind "
                                        << static_cast<int>(kind) << ", operation " << operation);
        const std::array fault = {SimFlash::Fault{.operation = operation, .tear = tear, .kind = kind}};
        const bool happened = CutRun(GetParam()).perform(steps, fault);
        ASSERT_FALSE(HasFailure());
        if (!happened) break;
        ++cuts;
      }
    }
  }
  std::printf("%s: %llu cuts\n", GetParam().description, static_cast<unsigned long long>(cuts));
}

TEST(OutboxPowerLossTwice, KeepsThePromiseWhenRecoveryIsCutToo) {
  constexpr std::array kShort = {
      Setting{
          "double words", {.sector_size_bytes = 128, .sector_count = 2, .program_size_bytes = 8}, false, 6},
      Setting{"pages", {256, 3, 64}, 0, 6},
  };
  std::uint64_t cuts = 0;
  for (const Setting& setting : kShort) {
    const auto steps = workload(setting);
    for (const Tear tear : kTears) {
      for (const Tear second_tear : kTears) {
        for (std::uint64_t operation = 0, found = 1; found != 0; ++operation) {
          found = 0;
          for (std::uint64_t second = 0;; ++second, ++found) {
            SCOPED_TRACE(testing::Message() << setting.description << ", tears " << static_cast<int>(tear)
                                            << " and " << static_cast<int>(second_tear) << ", operations "
                                            << operation << " and " << second);
            const std::array faults = {SimFlash::Fault{.operation = operation, .tear = tear},
                                       SimFlash::Fault{.operation = second, .tear = second_tear}};
            const bool happened = CutRun(setting).perform(steps, faults);
            ASSERT_FALSE(HasFailure());
            if (!happened) break;
          }
          cuts += found;
        }
      }
    }
  }
  std::printf("%llu pairs of cuts\n", static_cast<unsigned long long>(cuts));
}

INSTANTIATE_TEST_SUITE_P(Geometries, OutboxPowerLoss, testing::ValuesIn(kSettings),
                         [](const auto& setting) { return "setting" + std::to_string(setting.index); });

}  // namespace
}  // namespace godwit
