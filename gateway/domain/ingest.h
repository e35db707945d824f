// SPDX-License-Identifier: Apache-2.0
// The rules by which messages of devices become events of the log: a record is taken only if it is the next
// one of its stream (device, epoch), so that the log holds each record once and in order whatever is
// repeated, reordered or lost on the way. Pure: no I/O, no clock. Not thread-safe: lives on the writer
// thread.
//
//   expected := 1 for an epoch not seen before (an event says so)
//   seq == expected   take it; expected grows by 1, by a loss range's count
//   seq <  expected   a repeat: acknowledge again (of a loss range that reaches further, the rest is taken)
//   seq >  expected   a gap: acknowledge `expected` with rewind, once per gap until there is progress or
//                     kRewindPause has passed (the device's resend timer is the last resort)
//
// handle() gathers changes; the caller writes them in one transaction, then calls committed() and only then
// sends acks(). If the transaction fails, this object is thrown away and made anew from what the database
// holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/domain/intake.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// What any client can make grow, and what happens at the limit.
struct IngestLimits {
  // A new device beyond is ignored: no ack, so it keeps its records.
  std::size_t devices_max = 100'000;
  // The oldest epoch is forgotten: a formatted outbox does not come back.
  std::size_t epochs_per_device_max = 32;
  // A new table beyond is not kept: its records are, as raw bytes.
  std::size_t tables_per_device_max = 256;
};

// One epoch of a device.
struct StreamState {
  Epoch epoch;
  Seq expected = kFirstSeq;
  std::uint64_t records = 0;  // stored
  std::uint64_t lost = 0;     // explained by loss events

  bool changed = false;  // since the last commit
  bool ack_due = false;
  bool rewind = false;
  std::optional<UnixMillis> rewound_at;  // a rewind was sent and nothing has arrived since
};

struct TableState {
  std::uint32_t hash = 0;
  std::optional<std::size_t> latest;  // the newest of Changes::events with this table, since the last commit
};

struct DeviceState {
  explicit DeviceState(const DeviceId& device) : id(device) {}

  DeviceId id;
  bool online = false;
  UnixMillis first_seen;
  std::string firmware;
  std::string board;
  std::uint32_t boot = 0;
  codec::ResetReason reset_reason = codec::ResetReason::kUnspecified;
  DeviceCounters counters;
  codec::Health health;
  CrashReport last_crash;
  std::vector<StreamState> streams;  // oldest epoch first; the last one is current
  std::vector<TableState> tables;

  [[nodiscard]] Epoch current_epoch() const { return streams.empty() ? Epoch{} : streams.back().epoch; }

  bool changed = false;    // the fields above `streams`, since the last commit
  bool touched = false;    // listed in Changes::devices
  bool heard = false;      // since the broker session started
  bool answering = false;  // an ack is due ...
  bool hello_due = false;  // ... that asks for a hello
  std::optional<UnixMillis> hello_asked_at;
};

// What one transaction has to write.
struct Changes {
  struct Table {
    DeviceId device;
    TableInfo table;
  };
  struct Boot {  // Unix time of monotonic zero of a boot
    DeviceId device;
    Epoch epoch;
    std::uint32_t boot;
    UnixMillis unix_time;
  };
  struct Forgotten {
    DeviceId device;
    Epoch epoch;
  };

  // What the database refused, see quarantine.h.
  struct Quarantined {
    std::string device;
    UnixMillis received_at;
    Epoch epoch;
    Seq seq;
    std::string content;
    std::string why;
  };

  std::vector<Event> events;          // to append in this order; the store sets their offsets
  std::vector<DeviceState*> devices;  // of which something is `changed`; borrowed from the Ingest
  std::vector<Table> tables;
  std::vector<Boot> boots;
  std::vector<Forgotten> forgotten;
  std::vector<Quarantined> quarantined;

  [[nodiscard]] bool empty() const { return devices.empty(); }
};

struct AckTo {
  DeviceId device;
  codec::Ack ack;
};

struct IngestCounters {
  std::uint64_t messages = 0;
  std::uint64_t records = 0;  // taken, loss ranges not included
  std::uint64_t losses = 0;   // loss ranges taken
  std::uint64_t lost_records = 0;
  std::uint64_t live = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t gaps = 0;
  std::uint64_t malformed = 0;  // did not decode; dropped
  std::uint64_t refused = 0;    // over a limit
};

class Ingest {
 public:
  Ingest(IngestLimits limits, std::vector<DeviceState> devices);

  // kMalformed: dropped, no ack. kFull: over a limit, see IngestLimits; for a table, the rest of the hello
  // was taken. kNotFound: live samples or a will of a device that was never introduced; dropped.
  // kUnsupported: no message of a device; dropped.
  Status handle(const Message& message);

  // A device was refused something: an event says so, if it was ever introduced.
  void throttled(const Throttled& throttled);

  // The gateway's session with the broker (re)started, so wills may have been missed: every device that
  // counts as online is asked for a hello, and is offline if it has not been heard kSilenceMax later.
  void session_started(UnixMillis now);
  void tick(UnixMillis now);

  // What was gathered since committed(); the caller's store sets the offsets of its events.
  [[nodiscard]] Changes& changes() { return changes_; }
  // What is gathered is durable: forgets it, and replaces `acks` with what must be sent now, at most one per
  // stream.
  void committed(std::vector<AckTo>& acks);

  [[nodiscard]] const IngestCounters& counters() const { return counters_; }
  void set_counters(const IngestCounters& counters) { counters_ = counters; }

  static constexpr Millis kRewindPause{1000};
  static constexpr Millis kHelloPause{5000};  // between two requests for a hello of one device
  static constexpr Millis kSilenceMax{60'000};

 private:
  struct IdHash {
    std::size_t operator()(const DeviceId& id) const { return std::hash<std::string_view>{}(id.view()); }
  };

  Status handle_hello(const Message& message);
  Status handle_record(const Message& message);
  Status handle_live(const Message& message);
  Status handle_gone(const Message& message);

  DeviceState* find(const DeviceId& id);
  std::expected<DeviceState*, Status> find_or_add(const DeviceId& id, UnixMillis now);
  StreamState& stream(DeviceState& device, Epoch epoch, UnixMillis now);
  static TableState* find_table(DeviceState& device, std::uint32_t hash);
  Status add_tables(DeviceState& device, std::vector<TableInfo> tables);
  void note_table(DeviceState& device, std::uint32_t hash, UnixMillis now);

  // The event that says so, until the next is appended; nullptr if it was online already.
  Event* came_online(DeviceState& device, Epoch epoch, UnixMillis now);
  // Keeps what the hello says of the device itself.
  void note_hello(DeviceState& device, codec::Hello hello, UnixMillis now);
  void went_offline(DeviceState& device, UnixMillis now);
  Event& append(DeviceState& device, EventType type, Epoch epoch, UnixMillis now);
  void touch(DeviceState& device);

  void answer(DeviceState& device, StreamState& stream);
  void ask_for_hello(DeviceState& device, UnixMillis now);
  void list_answer(DeviceState& device);

  IngestLimits limits_;
  std::unordered_map<DeviceId, DeviceState, IdHash> devices_;
  std::vector<DeviceState*> order_;  // in which they were first seen
  Changes changes_;
  std::vector<DeviceState*> answers_;  // devices that get an ack
  std::optional<UnixMillis> silence_ends_;
  IngestCounters counters_;
};

}  // namespace godwit::gateway
