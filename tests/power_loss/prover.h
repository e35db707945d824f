// SPDX-License-Identifier: Apache-2.0
// Runs items of schedules on all cores, in full or every so many of them, and then random ones until the time
// is over; counts them and says the first failure of each item.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace godwit::test {

// What an item counts and says. One thread.
class Prover {
 public:
  using Clock = std::chrono::steady_clock;

  Prover(std::uint64_t every, std::uint64_t offset, Clock::time_point deadline)
      : every_(every), next_(offset % every), deadline_(deadline) {}

  // Whether the next schedule of the item is to be run; counts it.
  bool take() {
    if (next_ > 0) {
      --next_;
      return false;
    }
    if (schedules_ % 8 == 0 && Clock::now() > deadline_) {
      cut_short_ = true;
      return false;
    }
    next_ = every_ - 1;
    ++schedules_;
    return true;
  }
  void fail(const std::string& what, const std::string& where) { failure_ = where + ": " + what; }

  [[nodiscard]] std::uint64_t schedules() const { return schedules_; }
  [[nodiscard]] bool cut_short() const { return cut_short_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  std::uint64_t every_;
  std::uint64_t next_;
  Clock::time_point deadline_;
  std::uint64_t schedules_ = 0;
  bool cut_short_ = false;
  std::string failure_;
};

struct Item {
  std::string name;
  std::string group;  // that it is counted under
  std::function<void(Prover&)> run;
};

// A random schedule; false: it failed.
using Walk = bool (*)(Prover& prover, std::uint64_t seed);

// The program: its flags, progress, table and exit code.
int prove(int argc, char** argv, const std::string& name, const std::vector<Item>& items, Walk walk);

}  // namespace godwit::test
