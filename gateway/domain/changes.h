// SPDX-License-Identifier: Apache-2.0
// What lasts of the devices, and what one transaction changes of it. Values that own what they hold: Ingest
// makes them, the store writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/domain/history.h"
#include "proto/base/ids.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// What a device said of itself in its last hello.
struct DeviceReport {
  std::string firmware;
  std::string board;
  std::uint32_t boot = 0;
  codec::ResetReason reset_reason = codec::ResetReason::kUnspecified;
  DeviceCounters counters;
  codec::Health health;
  codec::LogState log_state = codec::LogState::kUnspecified;
  std::uint32_t bad_sectors = 0;
  friend bool operator==(const DeviceReport&, const DeviceReport&) = default;
};

struct DeviceRow {
  explicit DeviceRow(const DeviceId& device) : id(device) {}

  DeviceId id;
  bool online = false;
  UnixMillis first_seen;
  UnixMillis last_seen;  // see Ingest::kSeenFlush
  DeviceReport report;
  CrashReport last_crash;
  Mark head;                            // History::head()
  std::uint64_t forgotten_records = 0;  // of streams that are not kept any more
  std::uint64_t forgotten_lost = 0;
};

struct TableState {
  std::uint32_t hash = 0;
  std::uint64_t digest = 0;  // of its content
  bool conflict = false;     // another table with this hash was announced
  std::size_t rows_max = 0;  // codec::ChannelTable
  std::size_t row_size = 0;  // row_json_size()
};

// When the monotonic clock of a boot was zero.
struct BootState {
  Epoch epoch;  // of what it records
  BootTime time;
};

// All that is stored of a device besides its events, as Ingest is made of it.
struct DeviceState {
  explicit DeviceState(const DeviceId& device) : row(device) {}

  DeviceRow row;
  std::vector<StreamState> streams;  // in the order in which they began
  std::vector<TableState> tables;    // the one whose newest event is oldest first
  std::vector<BootState> boots;      // in the order in which they were told
};

struct AckTo {
  DeviceId device;
  codec::Ack ack;
};

struct Changes {
  template <typename Value>
  struct Of {
    DeviceId device;
    Value value;
  };
  struct Table {
    TableInfo info;
    std::uint64_t digest = 0;
  };
  struct TableEvent {
    std::uint32_t hash = 0;
    std::size_t event = 0;  // index in `events`
  };

  // A record that the database refused, to be kept beside the log.
  struct Quarantined {
    std::string device;
    UnixMillis received_at;
    Epoch epoch;
    Seq seq;  // kLiveSeq: live samples
    std::string content;
    std::string why;
  };

  Changes() = default;
  Changes(Changes&&) = default;
  Changes& operator=(Changes&&) = default;
  ~Changes() = default;

  // To be written in this order.
  std::vector<DeviceRow> devices;  // whole, new ones included
  std::vector<Event> events;       // to append; the store sets their offsets
  std::vector<Quarantined> quarantined;
  std::vector<Of<Mark>> forgotten_streams;
  std::vector<Of<StreamState>> streams;
  std::vector<Of<std::uint32_t>> forgotten_tables;  // with their channels and latest event, by hash
  std::vector<Of<Table>> tables;
  std::vector<Of<TableEvent>> conflicts;
  std::vector<Of<TableEvent>> latest;  // the newest event of a table
  std::vector<Of<Epoch>> forgotten_boots;
  std::vector<Of<BootState>> boots;
  std::vector<Of<UnixMillis>> seen;  // DeviceRow::last_seen alone

  // Nothing to write.
  [[nodiscard]] bool empty() const {
    // The rest changes only together with one of these.
    return devices.empty() && events.empty() && streams.empty() && tables.empty() && boots.empty() &&
           seen.empty();
  }

 private:
  friend class Ingest;
  std::vector<AckTo> acks_;  // Ingest::committed() hands them out
};

}  // namespace godwit::gateway
