// SPDX-License-Identifier: Apache-2.0
// What befalls a live run and when: data, made from a seed.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

namespace godwit::live {

using Millis = std::chrono::milliseconds;

enum class FaultKind : std::uint8_t {
  kGatewayKill,    // SIGKILL; every fourth time the broker too
  kBrokerKill,     // SIGKILL
  kGatewayStop,    // SIGSTOP, for as long
  kBrokerStop,     // SIGSTOP, for as long
  kLinksCut,       // every connection through a proxy ends now, and later ones at any byte, for as long
  kLinksStall,     // nothing passes for as long
  kLinksSlow,      // some kB/s for as long
  kDiskFull,       // for as long
  kClock,          // the gateway's clock steps
  kBackup,         // with the gateway dead, its database is copied
  kRestore,        // with the gateway dead, the copy is put back
  kBoardPowerCut,  // one of the boards; SIGKILL to QEMU
};
[[nodiscard]] std::string_view name_of(FaultKind kind);
// All of them, by their values.
[[nodiscard]] const std::vector<FaultKind>& all_kinds();

struct Fault {
  Millis at{0};  // since the begin
  FaultKind kind = FaultKind::kGatewayKill;
  Millis time{0};            // how long it lasts
  std::uint64_t random = 0;  // for what else is left to chance
};

// In the order of time. In 10 minutes the gateway is killed 60 times, and the broker 30 times besides those
// when both are; all else is in proportion too, and everything comes at least once.
[[nodiscard]] std::vector<Fault> make_plan(std::uint64_t seed, Millis duration,
                                           const std::set<FaultKind>& without);

}  // namespace godwit::live
