// SPDX-License-Identifier: Apache-2.0
// The rules by which messages of devices become events of the log, so that the log holds each record once and
// in order whatever is repeated, reordered, lost or restored on the way (history.h has those of one device's
// log). Pure: no I/O, no clock; the order of everything it does follows from the order of its calls. Not
// thread-safe.
//
//   ingest.handle(...)...; ingest.tick(now);
//   Changes changes = ingest.take();
//   if (!changes.empty()) store.commit(changes);
//   send(ingest.committed(std::move(changes)));
//
// If the transaction fails, the same changes may be tried again. If they are given up, so must be the Ingest:
// it is made anew from what the database holds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gateway/domain/changes.h"
#include "gateway/domain/event.h"
#include "gateway/domain/history.h"
#include "gateway/domain/intake.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"
#include "proto/base/time.h"
#include "proto/codec/batch.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// What any client can make grow, and what happens at the limit.
struct IngestLimits {
  // A new device beyond is ignored: no ack, so it keeps its records.
  std::size_t devices_max = 100'000;
  // The epoch that began first is forgotten; an event says so, at most one a minute and device. Should a copy
  // of the device's storage from that time return, what it still holds is stored again.
  std::size_t epochs_per_device_max = 64;
  // The table least recently used is forgotten: records that name it are shown raw. Of a hello with more
  // tables the rest is not kept.
  std::size_t tables_per_device_max = 64;
  // The time that was told first is forgotten: what was recorded then without a set clock has none.
  std::size_t boots_per_device_max = 64;
};

struct IngestCounters {
  std::uint64_t messages = 0;
  std::uint64_t records = 0;  // taken, loss ranges not included
  std::uint64_t losses = 0;   // loss ranges taken
  std::uint64_t lost_records = 0;
  std::uint64_t live = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t gaps = 0;       // above what was expected
  std::uint64_t foreign = 0;    // under another try than that of the last hello
  std::uint64_t malformed = 0;  // did not decode; dropped
  std::uint64_t refused = 0;    // over a limit
  std::uint64_t replaced = 0;   // devices came back with another copy of their storage
  std::uint64_t forgotten_epochs = 0;
  std::uint64_t table_conflicts = 0;
};

class Ingest {
 public:
  // Limits above 0.
  Ingest(IngestLimits limits, std::vector<DeviceState> devices);

  // kMalformed: dropped, no ack. kFull: over a limit, see IngestLimits; for a table, the rest of the hello
  // was taken. kNotFound: live samples or a will of a device that was never introduced; dropped.
  // kUnsupported: no message of a device; dropped.
  Status handle(const Message& message);

  // A device was refused something: an event says so, if it was ever introduced.
  void throttled(const Throttled& throttled);

  // The gateway's session with the broker (re)started, so wills may have been missed: every device that
  // counts as online is to be asked for a hello. The first time for this object the others are too, after
  // them: the database may be a restored copy, which lacks what they have had acknowledged.
  void session_started();
  // At most `max` requests for a hello that are due; they may be sent at once, whatever is not committed. A
  // device that counts as online and is not heard within kAskPause is due again, kAsksMax times in all.
  [[nodiscard]] std::vector<AckTo> take_asks(std::size_t max, Instant now);
  // Some may be due; call take_asks() soon.
  [[nodiscard]] bool asks_due() const { return !to_ask_.empty(); }
  // To be called now and then, about once a second: the silent go offline, last_seen is flushed.
  void tick(Received now);

  // What was gathered since the last call, to be committed. Precondition: so was what it returned before.
  [[nodiscard]] Changes take();
  // Of the devices whose batches decode to more than their messages counted as, how much more, since the last
  // call: for Intake::charge().
  [[nodiscard]] std::vector<Decoded> take_decoded() { return std::exchange(decoded_, {}); }
  // The database refuses the content of this event, and the disk is well: the content is kept beside the log,
  // a record becomes a loss, live samples an event without samples. False, and nothing changes: it is
  // neither, or has no content. Precondition: `changes` are what take() returned last.
  bool quarantine(Changes& changes, std::size_t event, std::string_view why);
  // `changes` is durable, or empty(). Returns what must be sent now: at most two acks per device.
  [[nodiscard]] std::vector<AckTo> committed(Changes changes);

  [[nodiscard]] const IngestCounters& counters() const { return counters_; }
  void set_counters(const IngestCounters& counters) { counters_ = counters; }

  static constexpr Millis kRewindPause{1000};       // between two rewinds without progress
  static constexpr Millis kHelloPause{5000};        // between two requests without a hello, or for tables
  static constexpr Millis kForgottenPause{60'000};  // between two events of forgotten epochs of one device
  static constexpr Millis kAskPause{20'000};
  static constexpr unsigned kAsksMax = 3;
  // How late `last_seen` may be on the disk.
  static constexpr Millis kSeenFlush{10'000};

 private:
  struct IdHash {
    std::size_t operator()(const DeviceId& id) const { return std::hash<std::string_view>{}(id.view()); }
  };
  struct Table {
    TableState state;
    std::uint64_t used = 0;             // grows with each use of any table
    std::optional<std::size_t> latest;  // the newest event of this transaction
  };
  // What this transaction does with a device.
  struct Turn {
    bool listed = false;  // in listed_
    bool row = false;     // the row is to be written
    bool answer = false;  // an ack is due
    bool rewind = false;  // with a rewind
    bool ask = false;     // for a hello
    // See take_decoded().
    std::size_t decoded = 0;
  };
  struct Device {
    Device(const DeviceRow& stored, History streams) : row(stored), history(std::move(streams)) {}

    DeviceRow row;
    History history;
    std::vector<Table> tables;
    std::vector<BootState> boots;
    Turn turn;

    // Known only since this object was made.
    bool heard = false;                     // since the session started
    unsigned asks = 0;                      // since then
    bool seen_listed = false;               // in seen_
    bool tables_refused = false;            // its last hello had too many
    Epoch boot_epoch;                       // its last hello's
    std::uint64_t forgotten = 0;            // epochs, of which no event has told
    std::optional<Instant> rewound_at;      // and no progress since
    std::optional<Instant> hello_asked_at;  // and no hello since
    std::optional<Instant> tables_asked_at;
    std::optional<Instant> forgotten_told_at;
  };
  struct Asked {
    Device* device;
    Instant at;
  };

  Status handle_hello(const Message& message);
  Status handle_record(const Message& message);
  Status handle_live(const Message& message);
  Status handle_gone(const Message& message);

  Device* find(const DeviceId& id);
  std::expected<Device*, Status> find_or_add(const DeviceId& id, Received now);

  // Up to where it was taken; nullopt: nothing of it is new.
  std::optional<Seq> take_entry(Device& device, const codec::Record& record, const History::Entry& entry,
                                Received now);
  void append_entry(Device& device, const codec::Record& record, const History::Outcome& outcome,
                    Received now);
  void note_path(Device& device, const History::Outcome& outcome, Received now);
  void note_report(Device& device, codec::Hello hello, Received now);
  void note_boot(Device& device, const codec::Hello& hello);
  Status note_tables(Device& device, std::vector<TableInfo> tables, Received now);
  bool make_room_for_table(Device& device, std::uint64_t hello_began);
  // The newest event has this batch.
  void use_table(Device& device, const codec::Batch& batch, Received now);

  void heard(Device& device, Received now);
  void go_online(Device& device, Received now, const codec::Hello* hello);
  void go_offline(Device& device, OfflineReason reason, Received now);
  Event& append(Device& device, EventType type, Epoch epoch, Received now);

  void list(Device& device);
  void ask_for_hello(Device& device, Instant now);
  void flush_seen();

  IngestLimits limits_;
  std::deque<Device> devices_;  // in the order in which they came; their addresses stay
  std::unordered_map<DeviceId, Device*, IdHash> by_id_;  // for look-up only: its order is that of hashes
  Changes changes_;
  std::vector<Decoded> decoded_;
  std::vector<Device*> listed_;
  bool committing_ = false;
  bool session_known_ = false;
  std::deque<Device*> to_ask_;
  std::deque<Asked> asked_;    // oldest first
  std::vector<Device*> seen_;  // heard since the last flush
  std::optional<Instant> flushed_at_;
  std::uint64_t table_uses_ = 0;
  IngestCounters counters_;
};

}  // namespace godwit::gateway
