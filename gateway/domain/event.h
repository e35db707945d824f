// SPDX-License-Identifier: Apache-2.0
// What the gateway's one durable log holds. Values; the store writes and reads them, HTTP shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proto/base/ids.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// An event's place in this log: 1, 2, 3 and so on, without holes.
struct LogOffset {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(LogOffset, LogOffset) = default;
};

// When something happened: rules and timers count with `at`, which never jumps; people are shown `unix_time`.
struct Received {
  Instant at;  // the gateway's monotonic clock
  UnixMillis unix_time;
};

// One run of the gateway, at random: two logs that part ways (a restored copy, a disk that lost what it had
// promised) go on under different terms. 0: none.
struct Term {
  std::uint32_t value = 0;
  friend constexpr bool operator==(Term, Term) = default;
};

// Names an event for ever, in every copy of the log: SSE event id, REST cursor. {0, 0}: before the first one.
struct LogId {
  LogOffset offset;
  Term term;  // of the event at that offset
  friend constexpr bool operator==(const LogId&, const LogId&) = default;
};

// Stored as numbers: never renumber.
enum class EventType : std::uint8_t {
  kTelemetry = 1,        // a record: `batch`
  kLoss = 2,             // entries seq .. seq + count - 1 will never come: `loss_reason`
  kEpoch = 3,            // a mark, at `seq`: what the device records from here on is of a new start of it
  kDeviceOnline = 4,     // its hello, or any other message of a device that was not online
  kDeviceOffline = 5,    // `offline_reason`
  kHistoryReplaced = 6,  // the log goes on with `seq` where `count` was expected: another copy of the storage
  kHistoryUnknown = 7,   // what became of entries before `seq` that are not in the log is not known
  kHistoryForgotten = 8,  // the oldest `count` epochs: a copy of them that returns would be stored again
  kTableConflict = 9,     // two tables have the hash `count`: rows that name it are shown raw from here on
  kDeviceThrottled = 10,  // `count` of its messages were not taken in: `throttle_reason`
};

// Stored as numbers: never renumber. The first four are codec::LossReason.
enum class LossReason : std::uint8_t {
  kUnspecified = 0,
  kDroppedFull = 1,
  kCorrupt = 2,
  kNotHeld = 3,
  // `count` records had no seq and were refused by the device in front of the next one, for its log was full
  // or its flash failed. `seq` is that of the entry that says so.
  kRefusedFull = 4,
  kRefusedFlash = 5,
  kQuarantined = 6,  // the database refused the record, and only this one
};

// Stored as numbers: never renumber.
enum class ThrottleReason : std::uint8_t {
  kUnspecified = 0,
  kQueueFull = 1,  // too much of it waits
  kDayBudget = 2,  // its bytes for this day are used up
  kDiskLow = 3,    // the disk is nearly full, and it has had its share
};

// Stored as numbers: never renumber.
enum class OfflineReason : std::uint8_t {
  kUnspecified = 0,
  kWill = 1,       // its connection broke
  kStopped = 2,    // it said goodbye
  kSilent = 3,     // asked repeatedly after the gateway had been away
  kRestarted = 4,  // a hello of another boot, though nothing had said that it was gone
};

// The `seq` of live samples: they have no place in a stream.
inline constexpr Seq kLiveSeq{0};

struct ChannelInfo {
  std::string name;
  std::string unit;
  int exponent = 0;  // value = raw * 10^exponent
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::uint64_t prior = 0;  // codec::Channel
};

struct TableInfo {
  std::uint32_t hash = 0;
  std::string name;
  std::uint32_t period_ms = 0;
  bool durable = true;
  std::uint32_t rows_max = 0;  // codec::ChannelTable
  std::vector<ChannelInfo> channels;
  // The event that found another table with this hash: what rows from there on mean cannot be known.
  std::optional<LogOffset> conflict;
};

struct Event {
  LogOffset offset;
  Term term;  // this and the offset: set by the store
  EventType type = EventType::kTelemetry;
  std::string device;
  UnixMillis received_at;
  // That of the entry; of live samples: of the boot that took them; of the rest: the device's newest. 0:
  // none.
  Epoch epoch;
  Seq seq;
  std::uint64_t count = 1;
  LossReason loss_reason = LossReason::kUnspecified;              // kLoss
  OfflineReason offline_reason = OfflineReason::kUnspecified;     // kDeviceOffline
  ThrottleReason throttle_reason = ThrottleReason::kUnspecified;  // kDeviceThrottled
  std::string batch;  // kTelemetry: an encoded codec::Batch, as the device stored it
  // kDeviceOnline: what the device said, see pack() in hello.h, with a crash only when it is news; empty if
  // it did not come with a hello.
  std::string hello;
};

// Events of this type use `count`.
[[nodiscard]] constexpr bool has_count(EventType type) {
  return type == EventType::kLoss || type == EventType::kHistoryReplaced ||
         type == EventType::kHistoryForgotten || type == EventType::kTableConflict ||
         type == EventType::kDeviceThrottled;
}

// How many seqs of its epoch the event stands for, `seq` the first: each seq of a device's log is in one
// event.
[[nodiscard]] constexpr std::uint64_t places(const Event& event) {
  const bool refused =
      event.loss_reason == LossReason::kRefusedFull || event.loss_reason == LossReason::kRefusedFlash;
  switch (event.type) {
    case EventType::kTelemetry:
      return event.seq == kLiveSeq ? 0 : 1;
    case EventType::kLoss:
      return refused ? 1 : event.count;
    case EventType::kEpoch:
      return 1;
    default:
      return 0;
  }
}

// When the monotonic clock of a boot was zero, as far as its clock could be trusted when it told: kSynced or
// kHoldover.
struct BootTime {
  UnixMillis unix_time;
  codec::TimeQuality quality = codec::TimeQuality::kSynced;
  friend bool operator==(const BootTime&, const BootTime&) = default;
};

// How a device came to its last crash, as far as it told.
struct CrashReport {
  std::string hello;  // the first one that told of it, see pack() in hello.h; empty: no crash is known
  UnixMillis received_at;
};

// What a device counted, as of its last hello.
struct DeviceCounters {
  std::uint64_t dropped_records =
      0;  // since its log was formatted: the outbox was full and gave up the oldest
  std::uint64_t refused_records =
      0;  // since its boot, as the rest: full and told to refuse, or its flash failed
  std::uint64_t corrupt_records = 0;  // found damaged
  std::uint64_t missed_samples = 0;   // an instant passed unsampled
  friend bool operator==(const DeviceCounters&, const DeviceCounters&) = default;
};

}  // namespace godwit::gateway
