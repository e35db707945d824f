// SPDX-License-Identifier: Apache-2.0
// Cuts the power at every flash operation of a board's life, in every way that a cut can leave the flash,
// then at every pair of operations. The body is re-entrant: after a cut it starts again, checks the ledger,
// and goes on with the step that failed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "boards/common/storage/node_state.h"
#include "sim/flash/sim_flash.h"

namespace godwit {
namespace {

using boards::NodeState;
using sim::SimFlash;
using sim::Tear;
using Session = std::vector<std::uint8_t>;

constexpr std::array kTears = {Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};
constexpr std::uint32_t kOwner = 7;

class NoLog final : public ports::Log {
  void write(ports::LogLevel, std::string_view, std::initializer_list<ports::LogField>) override {}
};

Session session_of(std::uint32_t number) {
  std::minstd_rand random(number + 1);
  Session bytes(1 + number * 97 % NodeState::kSessionSizeMax);
  std::ranges::generate(bytes, [&random] { return static_cast<std::uint8_t>(random() >> 8); });
  return bytes;
}

enum class Step : std::uint8_t { kRestart, kSave, kClear };
constexpr std::array kLife = {Step::kSave,  Step::kRestart, Step::kSave,    Step::kSave, Step::kRestart,
                              Step::kClear, Step::kRestart, Step::kRestart, Step::kSave};

class CutRun {
 public:
  explicit CutRun(const ports::FlashGeometry& geometry) : flash_(geometry, 7) {}

  // True: all cuts happened.
  bool perform(std::span<const SimFlash::Fault> cuts) {
    cuts_ = cuts;
    arm_next();
    restart();
    std::uint32_t number = 0;
    for (const Step step : kLife) {
      while (attempt(step, ++number) != Status::kOk && !testing::Test::HasFailure()) recover();
    }
    const bool all_happened = cuts_.empty() && !flash_.armed();
    flash_.disarm();
    flash_.complete_tear();  // cells that were charged halfway read as they were meant
    restart();
    EXPECT_EQ(flash_.counts().refused, 0U) << "programmed a unit twice";
    return all_happened;
  }

 private:
  Status attempt(Step step, std::uint32_t number) {
    switch (step) {
      case Step::kRestart:
        restart();
        return Status::kOk;
      case Step::kSave: {
        const Session session = session_of(number);
        return note(session, state_->save_session(kOwner, {}, session));
      }
      case Step::kClear:
        return note({}, state_->clear_session());
    }
    return Status::kState;
  }

  // After kOk the session is what was saved; otherwise it may be that, or what it may have been before.
  Status note(const Session& session, Status status) {
    if (status == Status::kOk) sessions_.clear();
    sessions_.insert(session);
    return status;
  }

  void arm_next() {
    if (cuts_.empty()) return;
    flash_.arm(cuts_.front());
    cuts_ = cuts_.subspan(1);
  }

  void recover() {
    ASSERT_FALSE(flash_.armed()) << "a call failed without a fault";
    const bool was_on = flash_.powered();
    flash_.power_on();
    arm_next();
    if (was_on) {
      check();
    } else {
      restart();
    }
  }

  void restart() {
    NoLog log;
    for (int tries = 0;; ++tries) {
      ASSERT_LT(tries, 5) << "mount keeps failing";
      state_.emplace(flash_);
      if (state_->mount(log) == Status::kOk) break;
      ASSERT_FALSE(flash_.armed()) << "mount failed without a fault";
      flash_.power_on();
      arm_next();
    }
    EXPECT_GT(state_->boot(), last_boot_) << "a number was given out twice";
    EXPECT_LE(state_->boot(), last_boot_ + 5);
    last_boot_ = state_->boot();
    sessions_ = {check()};  // from now on there is no doubt
  }

  Session check() {
    Session found(NodeState::kSessionSizeMax);
    const auto size = state_->load_session(kOwner, found);
    EXPECT_TRUE(size || size.error() == Status::kNotFound);
    found.resize(size.value_or(0));
    EXPECT_TRUE(sessions_.contains(found)) << "neither the older nor the newer";
    return found;
  }

  SimFlash flash_;
  std::optional<NodeState> state_;
  std::span<const SimFlash::Fault> cuts_;
  std::uint32_t last_boot_ = 0;
  std::set<Session> sessions_{{}};  // one, or more while it is undecided; empty: none
};

constexpr std::array kGeometries = {
    ports::FlashGeometry{.sector_size_bytes = 1536, .sector_count = 2, .program_size_bytes = 512},
    ports::FlashGeometry{.sector_size_bytes = 4096, .sector_count = 2, .program_size_bytes = 16},
    ports::FlashGeometry{.sector_size_bytes = 1280, .sector_count = 2, .program_size_bytes = 256},
};

TEST(NodeStatePowerLoss, KeepsTheOlderOrTheNewerWhenCutAtAnyOperation) {
  std::uint64_t cuts = 0;
  for (const auto& geometry : kGeometries) {
    for (const Tear tear : kTears) {
      for (const auto kind : {SimFlash::Fault::Kind::kPowerCut, SimFlash::Fault::Kind::kError}) {
        for (std::uint64_t operation = 0;; ++operation, ++cuts) {
          SCOPED_TRACE(testing::Message()
                       << "unit " << geometry.program_size_bytes << ", tear " << static_cast<int>(tear)
                       << ", kind " << static_cast<int>(kind) << ", operation " << operation);
          const std::array fault = {SimFlash::Fault{.operation = operation, .tear = tear, .kind = kind}};
          const bool happened = CutRun(geometry).perform(fault);
          ASSERT_FALSE(HasFailure());
          if (!happened) break;
        }
      }
    }
  }
  std::printf("%llu cuts\n", static_cast<unsigned long long>(cuts));
}

TEST(NodeStatePowerLoss, KeepsTheOlderOrTheNewerWhenCutTwice) {
  std::uint64_t cuts = 0;
  for (const Tear tear : kTears) {
    for (const Tear second_tear : kTears) {
      for (std::uint64_t operation = 0, found = 1; found != 0; ++operation) {
        found = 0;
        for (std::uint64_t second = 0; second < 12; ++second, ++found) {
          SCOPED_TRACE(testing::Message()
                       << "tears " << static_cast<int>(tear) << " and " << static_cast<int>(second_tear)
                       << ", operations " << operation << " and " << second);
          const std::array faults = {SimFlash::Fault{.operation = operation, .tear = tear},
                                     SimFlash::Fault{.operation = second, .tear = second_tear}};
          const bool happened = CutRun(kGeometries[0]).perform(faults);
          ASSERT_FALSE(HasFailure());
          if (!happened) break;
        }
        cuts += found;
      }
    }
  }
  std::printf("%llu pairs of cuts\n", static_cast<unsigned long long>(cuts));
}

}  // namespace
}  // namespace godwit
