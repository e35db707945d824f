// SPDX-License-Identifier: Apache-2.0
// The judge of a run: what each device recorded, against what the gateway stored (asked over REST) and what a
// follower of the live feed received. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "proto/base/ids.h"
#include "sim/fleet/api_client.h"
#include "sim/fleet/synthetic_sensors.h"

namespace godwit::sim {

struct Report {
  std::uint64_t devices = 0;
  double seconds = 0;
  std::uint64_t seed = 0;
  std::uint64_t recorded = 0;      // records that append() confirmed
  std::uint64_t acked = 0;         // recorded ones that the devices know to be committed
  std::uint64_t stored = 0;        // recorded ones in the gateway's database
  std::uint64_t lost = 0;          // recorded ones that a loss event explains
  std::uint64_t dropped = 0;       // recorded ones that devices dropped because their outbox was full
  std::uint64_t missing = 0;       // recorded ones that are neither stored nor explained
  std::uint64_t in_doubt = 0;      // held after a power cut but never confirmed: may be stored or lost
  std::uint64_t duplicated = 0;    // stored more than once
  std::uint64_t out_of_order = 0;  // stored after a later one
  std::uint64_t corrupted = 0;     // stored with other values than were sampled, or never recorded at all
  std::uint64_t sse_events = 0;    // telemetry and loss events received
  std::uint64_t sse_gaps = 0;      // records that the feed skipped, repeated or never sent
  std::uint64_t sse_reconnects = 0;
  double latency_p50_ms = 0;  // from append() to the follower
  double latency_p99_ms = 0;
  double latency_max_ms = 0;
  std::map<std::string, std::uint64_t> faults;

  // Every record is stored once, in order, with its values, and the feed told all of them.
  [[nodiscard]] bool promise_held() const;
  [[nodiscard]] std::string to_json() const;
  [[nodiscard]] std::string to_text() const;
};

class Ledger {
 public:
  using Clock = std::chrono::steady_clock;

  // `sensors` tell what the values must be; borrowed.
  void add_device(const std::string& id, const SyntheticSensors* sensors);
  // The device's outbox has grown to `next` in this epoch; called right after the append. Marks count as
  // records.
  void recorded(const std::string& id, Epoch epoch, Seq next);
  // After a power cut the outbox was found to reach to `next`: what append() had not confirmed is in doubt.
  void recovered(const std::string& id, Seq next);
  void acked(const std::string& id, Seq next);
  // An event of the live feed.
  void received(const EventFollower::Event& event);

  // The offset of the last event received from the feed.
  [[nodiscard]] std::int64_t last_offset() const;
  [[nodiscard]] bool all_acked() const;
  [[nodiscard]] std::uint64_t recorded_count() const;
  [[nodiscard]] std::uint64_t acked_count() const;
  [[nodiscard]] std::uint64_t received_count() const;

  // Reads the gateway's log back through `get`, which yields the body of a REST path or throws, and compares
  // it with what the devices recorded. Throws std::runtime_error if the answer is no page of the log.
  using Get = std::function<std::string(const std::string& path)>;
  [[nodiscard]] Report judge(const Get& get) const;

 private:
  // One log, whose entries are numbered over all starts of the device.
  struct Device {
    const SyntheticSensors* sensors = nullptr;
    Seq next = kFirstSeq;
    Seq acked = kFirstSeq;
    Seq feed_next = kFirstSeq;                // the entry that the feed must bring next
    std::vector<Clock::time_point> appended;  // of entries 1, 2, ...
    std::vector<Epoch> epochs;                // as above; 0: in doubt, and so of any epoch
  };
  struct Item;

  [[nodiscard]] static bool values_match(const Device& device, const Item& item);
  static void judge_item(const Device& device, const Item& item, std::vector<bool>& seen, Report& report);
  void extend(const std::string& id, Epoch epoch, Seq next);

  mutable std::mutex mutex_;
  std::map<std::string, Device, std::less<>> devices_;
  std::vector<double> latencies_ms_;
  std::uint64_t forgotten_ = 0;  // confirmed records that a log did not hold any more after a power cut
  std::uint64_t sse_events_ = 0;
  std::uint64_t sse_gaps_ = 0;
  std::int64_t last_offset_ = 0;
};

}  // namespace godwit::sim
