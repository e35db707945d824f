// SPDX-License-Identifier: Apache-2.0
// Runs items of schedules on all cores, in full or every so many of them, and then random ones; counts them
// and says the first failure of each item.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::test {

// What an item counts and says. One thread.
class Prover {
 public:
  using Clock = std::chrono::steady_clock;

  Prover(std::uint64_t one_of, std::uint64_t seed, Clock::time_point deadline)
      : one_of_(one_of), seed_(seed), next_(seed % one_of), deadline_(deadline) {}

  // Whether the next schedule of the item is to be run; counts it.
  bool take() {
    if (next_ > 0) {
      --next_;
      return false;
    }
    if (!go_on()) return false;
    next_ = one_of_ - 1;
    return true;
  }
  // The same for a schedule that is never left out: whether there is time for it.
  bool go_on() {
    if (schedules_ % 16 == 0 && Clock::now() > deadline_) cut_short_ = true;
    if (cut_short_) return false;
    ++schedules_;
    return true;
  }
  void fail(const std::string& what, const std::string& where) { failure_ = where + ": " + what; }
  // Said should the program abort.
  static void running(std::string_view what);

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::uint64_t schedules() const { return schedules_; }
  [[nodiscard]] bool cut_short() const { return cut_short_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  std::uint64_t one_of_;
  std::uint64_t seed_;
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

// What can be run alone besides the items, as --item PREFIX:TEXT.
struct Single {
  std::string prefix;
  void (*run)(Prover& prover, std::string_view text);
};

// A random schedule.
using Walk = void (*)(Prover& prover, std::uint64_t seed);

// The program: its flags, progress, table and exit code.
int prove(int argc, char** argv, const std::vector<Item>& items, const std::vector<Single>& singles,
          Walk walk);

}  // namespace godwit::test
