// SPDX-License-Identifier: Apache-2.0
// What came of a run, in figures.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>

namespace godwit::sim {

struct Report {
  std::uint64_t devices = 0;
  double seconds = 0;
  std::uint64_t seed = 0;
  std::uint64_t recorded = 0;  // records that append() confirmed
  std::uint64_t acked = 0;     // recorded ones that the devices knew to be committed
  std::uint64_t stored = 0;    // recorded ones in the gateway's log
  std::uint64_t lost = 0;      // recorded ones that a loss event names
  std::uint64_t dropped = 0;   // entries that devices gave up because their outbox was full
  std::uint64_t missing = 0;   // recorded ones that are neither stored nor lost
  std::uint64_t in_doubt = 0;  // stored ones that append() had not confirmed when power went
  std::uint64_t online = 0;    // devices, at the end
  std::uint64_t restores = 0;  // of the database, while it ran
  std::map<std::string, std::uint64_t> violations;  // by kind, see sim/judge/README.md
  std::string first_violation;                      // in words; empty: there was none
  std::uint64_t sse_events = 0;                     // of these devices' entries, received
  std::uint64_t sse_gaps = 0;                       // that the feed told of
  std::uint64_t sse_reconnects = 0;
  double latency_p50_ms = 0;  // from append() to the follower
  double latency_p99_ms = 0;
  double latency_max_ms = 0;
  std::map<std::string, std::uint64_t> faults;

  // Every record is stored once, in its place, with its rows, or a loss names it; the feed told all of it. A
  // loss may be of what a full outbox gave up, or, if the database was put back, of what was acked before.
  [[nodiscard]] bool promise_held() const {
    return recorded > 0 && missing == 0 && violations.empty() && (lost <= dropped || restores > 0);
  }
  // Violations: stored more than once; in another place than recorded; with other rows, or a wrong time.
  [[nodiscard]] std::uint64_t duplicated() const;
  [[nodiscard]] std::uint64_t out_of_order() const;
  [[nodiscard]] std::uint64_t corrupted() const;
  [[nodiscard]] std::string to_json() const;
  [[nodiscard]] std::string to_text() const;

 private:
  [[nodiscard]] std::uint64_t count(std::initializer_list<const char*> kinds) const;
};

}  // namespace godwit::sim
