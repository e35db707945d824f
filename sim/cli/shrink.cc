// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/shrink.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/cli/seeds.h"

namespace godwit::sim {
namespace {

constexpr Time kAfterLastFault{600'000};

class Shrinker {
 public:
  Shrinker(Plan plan, Outcome outcome) : best_{std::move(plan), std::move(outcome)} {}

  Shrunk run() {
    drop_faults();
    drop_devices();
    Plan shorter = best_.plan;
    if (!shorter.faults.empty()) {
      shorter.duration = std::min(shorter.duration, shorter.faults.back().at + kAfterLastFault);
      keep_if_it_fails(shorter);
    }
    for (std::uint64_t followers = 0; followers < best_.plan.followers; ++followers) {
      Plan fewer = best_.plan;
      fewer.followers = followers;
      if (keep_if_it_fails(fewer)) break;
    }
    calm_numbers();
    drop_faults();
    return best_;
  }

 private:
  bool keep_if_it_fails(const Plan& plan) {
    ++best_.runs;
    Outcome outcome = run_apart(plan);
    if (outcome.violation != best_.outcome.violation) return false;
    best_.plan = plan;
    best_.outcome = std::move(outcome);
    return true;
  }

  // Half of them at once, then quarters, at last one by one.
  void drop_faults() {
    for (std::size_t size = std::max<std::size_t>(best_.plan.faults.size() / 2, 1); size > 0; size /= 2) {
      for (std::size_t start = 0; start < best_.plan.faults.size();) {
        Plan fewer = best_.plan;
        const auto first = fewer.faults.begin() + static_cast<std::ptrdiff_t>(start);
        const auto count = std::min(size, fewer.faults.size() - start);
        fewer.faults.erase(first, first + static_cast<std::ptrdiff_t>(count));
        if (!keep_if_it_fails(fewer)) start += size;
      }
    }
  }

  // A device is known by its number, which seeds it: only the last ones can go.
  void drop_devices() {
    while (best_.plan.devices.size() > 1) {
      Plan fewer = best_.plan;
      fewer.devices.pop_back();
      const auto gone = fewer.devices.size();
      if (std::ranges::any_of(fewer.faults, [&](const Fault& fault) { return fault.device >= gone; })) return;
      if (!keep_if_it_fails(fewer)) return;
    }
  }

  void calm_numbers() {
    for (std::size_t i = 0; i < best_.plan.faults.size(); ++i) {
      for (std::uint64_t Fault::* const number : {&Fault::a, &Fault::b}) {
        while (best_.plan.faults[i].*number > 0) {
          Plan calmer = best_.plan;
          calmer.faults[i].*number /= 2;
          if (!keep_if_it_fails(calmer)) break;
        }
      }
    }
  }

  Shrunk best_;
};

}  // namespace

Outcome run_apart(const Plan& plan) {
  Outcome outcome;
  run_seeds(
      {.begin = 0, .end = 1, .jobs = 1}, [&](std::uint64_t /*seed*/) { return sim::run(plan, {}); },
      [&](const SeedResult& result) {
        outcome = result.outcome;
        return true;
      });
  return outcome;
}

Shrunk shrink(Plan plan, Outcome outcome) { return Shrinker(std::move(plan), std::move(outcome)).run(); }

}  // namespace godwit::sim
