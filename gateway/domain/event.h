// SPDX-License-Identifier: Apache-2.0
// What the gateway's one durable log holds. Values; the store writes and reads them, HTTP shows them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proto/base/ids.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// An event's place in the log: SSE event id, REST cursor. Grows by at least 1 from event to event, never
// reused.
struct LogOffset {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(LogOffset, LogOffset) = default;
};

// When something happened: rules and timers count with `at`, which never jumps; people are shown `unix_time`.
struct Received {
  Instant at;  // the gateway's monotonic clock
  UnixMillis unix_time;
};

// Stored as numbers: never renumber.
enum class EventType : std::uint8_t {
  kTelemetry = 1,         // a record: `batch`
  kLoss = 2,              // records seq .. seq + count - 1 will never come: `loss_reason`
  kEpoch = 3,             // a device was seen for the first time, or with a freshly formatted outbox
  kDeviceOnline = 4,      // its hello, or any other message of a device that was not online
  kDeviceOffline = 5,     // its last will, or silence after the gateway's session with the broker (re)started
  kDeviceThrottled = 10,  // `count` of its messages were not taken in: `throttle_reason`
};

// The reason of a loss that the gateway itself causes: the database refused the record, and only this one.
inline constexpr auto kLossQuarantined = static_cast<codec::LossReason>(6);

// Stored as numbers: never renumber.
enum class ThrottleReason : std::uint8_t {
  kUnspecified = 0,
  kQueueFull = 1,  // too much of it waits
  kDayBudget = 2,  // its bytes for this day are used up
  kDiskLow = 3,    // the disk is nearly full, and it has had its share
};

// The `seq` of live samples: they have no place in a stream.
inline constexpr Seq kLiveSeq{0};

struct ChannelInfo {
  std::string name;
  std::string unit;
  int exponent = 0;  // value = raw * 10^exponent
  std::int64_t min = 0;
  std::int64_t max = 0;
};

struct TableInfo {
  std::uint32_t hash = 0;
  std::string name;
  std::uint32_t period_ms = 0;
  bool durable = true;
  std::vector<ChannelInfo> channels;
};

struct Event {
  LogOffset offset;
  EventType type = EventType::kTelemetry;
  std::string device;
  UnixMillis received_at;
  Epoch epoch;              // of live samples, online and offline: the device's current one
  Seq seq;                  // kTelemetry, kLoss
  std::uint64_t count = 1;  // kLoss, kDeviceThrottled
  codec::LossReason loss_reason = codec::LossReason::kUnspecified;  // kLoss
  ThrottleReason throttle_reason = ThrottleReason::kUnspecified;    // kDeviceThrottled
  std::string batch;  // kTelemetry: an encoded godwit.v1.Batch, as the device stored it
  // kDeviceOnline: what the device said, see pack() in hello.h, with a crash only when it is news; empty if
  // it did not come with a hello.
  std::string hello;
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
