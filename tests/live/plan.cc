// SPDX-License-Identifier: Apache-2.0
#include "tests/live/plan.h"

#include <algorithm>
#include <array>
#include <random>

namespace godwit::live {
namespace {

struct Rate {
  FaultKind kind;
  std::string_view name;
  double per_minute;
  unsigned time_min_ms;
  unsigned time_max_ms;
};

// Those that last hold up the plan, but for the links': together some 15 s of a minute.
constexpr std::array kRates{
    Rate{FaultKind::kGatewayKill, "gateway_kill", 6, 0, 1'500},
    Rate{FaultKind::kBrokerKill, "broker_kill", 3, 0, 1'500},
    Rate{FaultKind::kGatewayStop, "gateway_stop", 0.7, 500, 4'000},
    Rate{FaultKind::kBrokerStop, "broker_stop", 0.7, 500, 4'000},
    Rate{FaultKind::kLinksCut, "links_cut", 2, 0, 8'000},
    Rate{FaultKind::kLinksStall, "links_stall", 1, 500, 6'000},
    Rate{FaultKind::kLinksSlow, "links_slow", 1, 2'000, 8'000},
    Rate{FaultKind::kDiskFull, "disk_full", 0.5, 2'000, 5'000},
    Rate{FaultKind::kClock, "clock", 2, 0, 0},
    Rate{FaultKind::kBackup, "backup", 0.4, 0, 0},
    Rate{FaultKind::kRestore, "restore", 0.3, 0, 0},
    Rate{FaultKind::kBoardPowerCut, "board_power_cut", 1.5, 0, 2'000},
};

}  // namespace

std::string_view name_of(FaultKind kind) { return std::ranges::find(kRates, kind, &Rate::kind)->name; }

const std::vector<FaultKind>& all_kinds() {
  static const std::vector<FaultKind> kinds = [] {
    std::vector<FaultKind> all;
    for (const Rate& rate : kRates) all.push_back(rate.kind);
    return all;
  }();
  return kinds;
}

std::vector<Fault> make_plan(std::uint64_t seed, Millis duration, const std::set<FaultKind>& without) {
  std::vector<Fault> plan;
  const auto total = static_cast<double>(duration.count());
  // Neither before the devices are there nor after the last of them could notice.
  std::uniform_real_distribution<double> when(0.05 * total, 0.95 * total);
  for (const Rate& rate : kRates) {
    // A stream of its own: leaving out one kind changes nothing of the others.
    std::mt19937_64 random(seed * 100 + static_cast<std::uint64_t>(rate.kind));
    const auto count = std::max(1L, std::lround(rate.per_minute * total / 60'000));
    for (long i = 0; i < count; ++i) {
      Fault fault{.at = Millis{static_cast<std::int64_t>(when(random))}, .kind = rate.kind};
      fault.time = Millis{std::uniform_int_distribution(rate.time_min_ms, rate.time_max_ms)(random)};
      fault.random = random();
      if (!without.contains(rate.kind)) plan.push_back(fault);
    }
  }
  // The first copy comes before it is needed.
  const auto backup = std::ranges::find(plan, FaultKind::kBackup, &Fault::kind);
  if (backup != plan.end()) backup->at = duration / 4;
  for (Fault& fault : plan)
    if (fault.kind == FaultKind::kRestore) fault.at = std::max(fault.at, duration / 2);
  std::ranges::stable_sort(plan, {}, &Fault::at);
  return plan;
}

}  // namespace godwit::live
