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

// An event's place in this log: 1, 2, 3 and so on, without holes.
struct LogOffset {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(LogOffset, LogOffset) = default;
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
  kTelemetry = 1,      // a record: `batch`
  kLoss = 2,           // records seq .. seq + count - 1 will never come: `loss_reason`
  kEpoch = 3,          // a device was seen for the first time, or with a freshly formatted outbox
  kDeviceOnline = 4,   // its hello, or any other message of a device that was not online
  kDeviceOffline = 5,  // its last will, or silence after the gateway's session with the broker (re)started
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
  Term term;  // this and the offset: set by the store
  EventType type = EventType::kTelemetry;
  std::string device;
  UnixMillis received_at;
  Epoch epoch;              // of live samples, online and offline: the device's current one
  Seq seq;                  // kTelemetry, kLoss
  std::uint64_t count = 1;  // kLoss
  codec::LossReason loss_reason = codec::LossReason::kUnspecified;  // kLoss
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
