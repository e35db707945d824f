// SPDX-License-Identifier: Apache-2.0
// Virtual time and the queue of what is to happen in it. One thread; nothing here waits or reads a clock.
// What is due at one instant happens in the order in which it was asked for, so a run is the same every time.
// Allocates one closure per event in flight.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "proto/base/time.h"
#include "sim/engine/digest.h"

namespace godwit::sim {

// Since the world began.
using Time = Millis;

// Somebody spins: the world took kStepsPerInstantMax steps and time did not move.
class Livelock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Engine {
 public:
  static constexpr std::uint64_t kStepsPerInstantMax = 10'000;

  [[nodiscard]] Time now() const { return now_; }
  // Never in the past: `when` before now() is now().
  void at(Time when, std::move_only_function<void()> what);
  void after(Millis pause, std::move_only_function<void()> what) { at(now_ + pause, std::move(what)); }

  // Runs all that is due up to `end`, and leaves the time there. Throws Livelock, and what events throw.
  void run_until(Time end);

  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  // Of every packet, flash and file operation and byte that a follower got.
  Digest digest;

 private:
  struct Entry {
    Time when;
    std::uint64_t order;
    std::move_only_function<void()> what;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
  };

  std::vector<Entry> heap_;
  Time now_{0};
  std::uint64_t order_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t steps_now_ = 0;
};

// One wake-up that can be moved. Must not outlive the engine; may die while it is set.
class Timer {
 public:
  Timer(Engine& engine, std::function<void()> what);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces the time before. nullopt: not at all.
  void set(std::optional<Time> when);
  [[nodiscard]] std::optional<Time> when() const { return when_; }

 private:
  struct State {
    std::function<void()> what;
    Timer* timer;
    std::uint64_t generation = 0;
  };
  Engine& engine_;
  std::shared_ptr<State> state_;
  std::optional<Time> when_;
};

}  // namespace godwit::sim
