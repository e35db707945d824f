// SPDX-License-Identifier: Apache-2.0
// Runs N devices in one thread and one epoll loop, in real time, and breaks them as told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "boards/host/files.h"
#include "boards/host/host_clock.h"
#include "sim/fleet/member.h"
#include "sim/fleet/trial.h"

namespace godwit::sim {

// Mean events per device and minute; 0: never.
struct FaultRates {
  double drops = 0;       // the connection is reset
  double stalls = 0;      // nothing is read or written for up to 10 s
  double half_opens = 0;  // the peer is silent from now on: only keep-alive can tell
  double power_cuts = 0;  // the device is gone in mid-write, and back after 2 s
  [[nodiscard]] double total() const { return drops + stalls + half_opens + power_cuts; }
};

struct FleetOptions {
  MemberOptions member;
  std::string credentials_dir;  // holds <id>/device.crt and <id>/device.key for each device
  std::vector<std::string> ids;
  double ramp_per_s = 100;  // devices started per second
  std::uint64_t seed = 1;
  FaultRates faults;
};

class Fleet {
 public:
  struct Presence {
    std::size_t started = 0;
    std::size_t online = 0;
  };

  // Reads all credentials. Throws std::runtime_error naming the file and what to do. `trial` must outlive
  // it.
  Fleet(const FleetOptions& options, Trial& trial, ports::Log& log);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Runs for `time` or until `done` says so; `each_second` is called about once a second.
  void run(Millis time, const std::function<bool()>& done, const std::function<void()>& each_second);
  // No more faults and no more samples: what is recorded is still delivered while run() runs.
  void finish();

  [[nodiscard]] Presence presence() const;
  // The devices know that all they have recorded is committed.
  [[nodiscard]] bool delivered() const;
  // Given up by outboxes that were full.
  [[nodiscard]] std::uint64_t dropped_records() const;
  // Faults injected so far, by name.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& faults() const { return fault_counts_; }

 private:
  struct Wake {
    Instant at;
    std::size_t member;
    friend bool operator>(const Wake& a, const Wake& b) { return a.at > b.at; }
  };

  void start_due(Instant now);
  void wake_due(Instant now);
  void poll(Instant now, Instant end);
  void run_member(std::size_t index, Instant now);
  void schedule(std::size_t index, Instant at);
  void schedule_fault(std::size_t index, Instant now);
  void inject_fault(std::size_t index, Instant now);
  [[nodiscard]] Millis random_millis(double mean_ms);

  FleetOptions options_;
  Trial& trial_;
  boards::HostClock clock_;
  boards::HostEntropy entropy_;
  boards::TlsContext tls_;
  boards::TrustAnchors trust_;
  std::minstd_rand random_;
  boards::UniqueFd epoll_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Instant> wake_at_;   // the one valid wake of each member; others in the queue are stale
  std::vector<Instant> fault_at_;  // Instant::max(): none
  std::priority_queue<Wake, std::vector<Wake>, std::greater<>> wakes_;
  std::unordered_map<const void*, std::size_t> by_tag_;
  std::map<std::string, std::uint64_t> fault_counts_;
  std::size_t started_ = 0;
  bool finishing_ = false;
};

}  // namespace godwit::sim
