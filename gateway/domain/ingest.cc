// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/ingest.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "gateway/domain/batch.h"
#include "gateway/domain/event_json.h"
#include "gateway/domain/hello.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

bool passed(const std::optional<Instant>& since, Millis pause, Instant now) {
  return !since || now - *since >= pause;
}

TableInfo table_info(std::uint32_t hash, const codec::ChannelTable& table) {
  TableInfo info;
  info.hash = hash;
  info.name = table.name;
  info.period_ms = static_cast<std::uint32_t>(table.period.count());
  info.durable = table.channel_class == codec::ChannelClass::kDurable;
  info.rows_max = table.rows_max;
  info.channels.reserve(table.channels.size());
  for (const codec::Channel& channel : table.channels) {
    info.channels.push_back({.name = std::string(channel.name),
                             .unit = std::string(channel.unit),
                             .exponent = channel.exponent,
                             .min = channel.min,
                             .max = channel.max,
                             .prior = channel.prior});
  }
  return info;
}

class TableCollector : public codec::TableVisitor {
 public:
  void table(std::uint32_t hash, const codec::ChannelTable& table) override {
    tables.push_back(table_info(hash, table));
  }
  std::vector<TableInfo> tables;
};

// FNV-1a with 64 bits: beside a CRC-32 that is equal, tables that differ have different ones.
class Digest {
 public:
  void add(std::string_view text) {
    for (const char c : text) add_byte(static_cast<std::uint8_t>(c));
    add_byte(0);  // no name or unit has one: where the text ends is part of the content
  }
  void add(std::int64_t number) {
    for (unsigned i = 0; i < 8; ++i) {
      add_byte(static_cast<std::uint8_t>(static_cast<std::uint64_t>(number) >> (8 * i)));
    }
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  void add_byte(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3U; }
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

TableState state_of(const TableInfo& table, std::uint64_t digest) {
  std::size_t exponents = 0;
  for (const ChannelInfo& channel : table.channels) {
    exponents += static_cast<std::size_t>(std::abs(channel.exponent));
  }
  return {.hash = table.hash,
          .digest = digest,
          .rows_max = table.rows_max,
          .row_size = row_json_size(table.channels.size(), exponents)};
}

std::uint64_t digest_of(const TableInfo& table) {
  Digest digest;
  digest.add(table.name);
  digest.add(std::int64_t{table.period_ms});
  digest.add(std::int64_t{table.durable});
  digest.add(std::int64_t{table.rows_max});
  for (const ChannelInfo& channel : table.channels) {
    digest.add(channel.name);
    digest.add(channel.unit);
    digest.add(std::int64_t{channel.exponent});
    digest.add(channel.min);
    digest.add(channel.max);
    digest.add(static_cast<std::int64_t>(channel.prior));
  }
  return digest.value();
}

DeviceReport report_of(const codec::Hello& hello) {
  return {.firmware = std::string(hello.firmware),
          .board = std::string(hello.board),
          .boot = hello.boot,
          .reset_reason = hello.reset_reason,
          .counters = {.dropped_records = hello.dropped_records,
                       .refused_records = hello.refused_records,
                       .corrupt_records = hello.corrupt_records,
                       .missed_samples = hello.missed_samples},
          .health = hello.health.value_or(codec::Health{}),
          .log_state = hello.log_state,
          .bad_sectors = hello.bad_sectors};
}

// nullopt: not within what a stream can hold.
std::optional<History::Entry> entry_of(const codec::Record& record) {
  History::Entry entry{.try_id = record.try_id, .seq = record.seq, .end = {}};
  std::uint64_t places = 1;
  if (record.loss) {
    entry.kind = History::Kind::kLoss;
    places = record.loss->count;
  } else if (record.mark) {
    entry.kind = History::Kind::kMark;
    entry.epoch = *record.mark;
  } else if (record.refused) {
    entry.kind = History::Kind::kRefused;
    entry.count = record.refused->count;
    if (entry.count > kSeqMax) return std::nullopt;
  }
  if (record.seq < kFirstSeq || places == 0 || places > kSeqMax || record.seq.value > kSeqMax - places) {
    return std::nullopt;
  }
  entry.end = record.seq + places;
  return entry;
}

LossReason reason_of(codec::RefusedReason reason) {
  return reason == codec::RefusedReason::kFlash ? LossReason::kRefusedFlash : LossReason::kRefusedFull;
}

}  // namespace

Ingest::Ingest(IngestLimits limits, std::vector<DeviceState> devices) : limits_(limits) {
  GODWIT_ASSERT(limits.epochs_per_device_max > 0 && limits.tables_per_device_max > 0 &&
                limits.boots_per_device_max > 0);
  by_id_.reserve(devices.size());
  for (DeviceState& state : devices) {
    Device& device = devices_.emplace_back(
        state.row, History(limits.epochs_per_device_max, std::move(state.streams), state.row.head));
    by_id_.emplace(device.row.id, &device);
    device.boots = std::move(state.boots);
    for (const TableState& table : state.tables) device.tables.push_back({table, ++table_uses_, {}});
  }
}

Status Ingest::handle(const Message& message) {
  ++counters_.messages;
  Status status = Status::kUnsupported;
  // Nobody would send it again had it been lost on the way.
  if (message.leaf == topics::Leaf::kRecord && message.qos == 0) {
    ++counters_.malformed;
    return Status::kMalformed;
  }
  switch (message.leaf) {
    case topics::Leaf::kHello:
      status = handle_hello(message);
      break;
    case topics::Leaf::kRecord:
      status = handle_record(message);
      break;
    case topics::Leaf::kLive:
      status = handle_live(message);
      break;
    case topics::Leaf::kGone:
      status = handle_gone(message);
      break;
    case topics::Leaf::kAck:
      break;  // ours; the broker's ACL lets no device publish it
  }
  if (status == Status::kMalformed) ++counters_.malformed;
  if (status == Status::kFull) ++counters_.refused;
  return status;
}

Status Ingest::handle_hello(const Message& message) {
  TableCollector collector;
  const auto hello = codec::decode_hello(as_bytes(message.payload), collector);
  if (!hello || hello->next_seq.value > kSeqMax) return Status::kMalformed;
  const Received now = message.received;
  const auto found = find_or_add(message.device, now);
  if (!found) return found.error();
  Device& device = **found;

  heard(device, now);
  device.boot_epoch = hello->epoch;
  device.hello_asked_at.reset();
  device.rewound_at.reset();
  device.turn.ask = device.turn.rewind = false;
  if (device.history.hear(*hello)) {
    device.turn.answer = true;
    list(device);
  } else {
    ask_for_hello(device, now.at);
  }
  note_report(device, *hello, now);
  note_boot(device, *hello);
  return note_tables(device, std::move(collector.tables), now);
}

void Ingest::note_report(Device& device, codec::Hello hello, Received now) {
  bool restarted = device.row.report.boot != hello.boot;
  if (hello.crash) {
    // Every hello of a boot tells of the crash before it: it is one crash.
    const auto known = unpack(device.row.last_crash.hello);
    if (known && known->boot == hello.boot && known->crash == hello.crash) {
      hello.crash.reset();
    } else {
      device.row.last_crash = {.hello = pack(hello), .received_at = now.unix_time};
      restarted = true;
    }
  }
  if (DeviceReport report = report_of(hello); restarted || report != device.row.report) {
    device.row.report = std::move(report);
    device.turn.row = true;
    list(device);
  }
  if (restarted) go_offline(device, OfflineReason::kRestarted, now);
  go_online(device, now, &hello);
}

// What was told first is kept: it is nearest to what was recorded before the clock was set. A better clock
// replaces it.
void Ingest::note_boot(Device& device, const codec::Hello& hello) {
  if (!hello.boot_time || hello.epoch == Epoch{}) return;
  const bool holdover = hello.health && hello.health->time_quality == codec::TimeQuality::kHoldover;
  const BootState boot{
      .epoch = hello.epoch,
      .time = {.unix_time = *hello.boot_time,
               .quality = holdover ? codec::TimeQuality::kHoldover : codec::TimeQuality::kSynced}};
  const auto known = std::ranges::find(device.boots, boot.epoch, &BootState::epoch);
  if (known != device.boots.end()) {
    if (holdover || known->time.quality == codec::TimeQuality::kSynced) return;
    *known = boot;
  } else {
    while (device.boots.size() >= limits_.boots_per_device_max) {
      const Epoch oldest = device.boots.front().epoch;
      // One that came in this transaction would be written after it is deleted.
      std::erase_if(changes_.boots, [&](const auto& entry) {
        return entry.device == device.row.id && entry.value.epoch == oldest;
      });
      changes_.forgotten_boots.push_back({device.row.id, oldest});
      device.boots.erase(device.boots.begin());
    }
    device.boots.push_back(boot);
  }
  changes_.boots.push_back({device.row.id, boot});
}

Status Ingest::note_tables(Device& device, std::vector<TableInfo> tables, Received now) {
  const std::uint64_t began = table_uses_;
  device.tables_refused = false;
  for (TableInfo& table : tables) {
    const std::uint64_t digest = digest_of(table);
    const auto known =
        std::ranges::find(device.tables, table.hash, [](const Table& t) { return t.state.hash; });
    if (known != device.tables.end()) {
      known->used = ++table_uses_;
      if (known->state.digest == digest || known->state.conflict) continue;
      known->state.conflict = true;
      ++counters_.table_conflicts;
      append(device, EventType::kTableConflict, device.history.head().epoch, now).count = table.hash;
      changes_.conflicts.push_back({device.row.id, {table.hash, changes_.events.size() - 1}});
      continue;
    }
    if (!make_room_for_table(device, began)) {
      device.tables_refused = true;
      continue;
    }
    device.tables.push_back({state_of(table, digest), ++table_uses_, {}});
    changes_.tables.push_back({device.row.id, {std::move(table), digest}});
  }
  return device.tables_refused ? Status::kFull : Status::kOk;
}

// False: all of them were announced since `hello_began`.
bool Ingest::make_room_for_table(Device& device, std::uint64_t hello_began) {
  if (device.tables.size() < limits_.tables_per_device_max) return true;
  const auto oldest = std::ranges::min_element(device.tables, {}, &Table::used);
  if (oldest->used > hello_began) return false;
  const std::uint32_t hash = oldest->state.hash;
  device.tables.erase(oldest);
  std::erase_if(changes_.conflicts,
                [&](const auto& entry) { return entry.device == device.row.id && entry.value.hash == hash; });
  // One that came in this transaction is not written at all.
  const auto unwritten = std::erase_if(changes_.tables, [&](const auto& entry) {
    return entry.device == device.row.id && entry.value.info.hash == hash;
  });
  if (unwritten == 0) changes_.forgotten_tables.push_back({device.row.id, hash});
  return true;
}

Status Ingest::handle_record(const Message& message) {
  const auto record = codec::decode_record(as_bytes(message.payload));
  if (!record) return Status::kMalformed;
  auto entry = entry_of(*record);
  if (!entry) return Status::kMalformed;

  const Received now = message.received;
  const auto found = find_or_add(message.device, now);
  if (!found) return found.error();
  Device& device = **found;
  heard(device, now);
  go_online(device, now, nullptr);

  // A range that covers marks is taken in pieces, one for each stream.
  while (entry->seq < entry->end) {
    const auto end = take_entry(device, *record, *entry, now);
    if (!end) break;
    entry->seq = *end;
  }
  return Status::kOk;
}

std::optional<Seq> Ingest::take_entry(Device& device, const codec::Record& record,
                                      const History::Entry& entry, Received now) {
  const History::Outcome outcome = device.history.take(entry);
  switch (outcome.verdict) {
    case History::Verdict::kTaken:
      note_path(device, outcome, now);
      append_entry(device, record, outcome, now);
      device.turn.answer = true;
      device.turn.rewind = false;
      device.rewound_at.reset();
      return outcome.end;
    case History::Verdict::kRepeat:
      ++counters_.duplicates;
      device.turn.answer = true;
      list(device);
      return std::nullopt;
    case History::Verdict::kAhead:
      ++counters_.gaps;
      if (!passed(device.rewound_at, kRewindPause, now.at)) return std::nullopt;
      device.rewound_at = now.at;
      device.turn.answer = device.turn.rewind = true;
      list(device);
      return std::nullopt;
    case History::Verdict::kForeign:
      ++counters_.foreign;
      ask_for_hello(device, now.at);
      return std::nullopt;
  }
  return std::nullopt;
}

// What is to be said of the path in front of the entry.
void Ingest::note_path(Device& device, const History::Outcome& outcome, Received now) {
  if (outcome.replaced) {
    ++counters_.replaced;
    Event& event = append(device, EventType::kHistoryReplaced, outcome.epoch, now);
    event.seq = outcome.first;
    event.count = outcome.replaced->value;
  }
  if (outcome.unknown_before) {
    append(device, EventType::kHistoryUnknown, outcome.epoch, now).seq = outcome.first;
  }
  if (!outcome.forgotten) return;
  ++counters_.forgotten_epochs;
  ++device.forgotten;
  if (!passed(device.forgotten_told_at, kForgottenPause, now.at)) return;
  device.forgotten_told_at = now.at;
  append(device, EventType::kHistoryForgotten, *outcome.forgotten, now).count =
      std::exchange(device.forgotten, 0);
}

void Ingest::append_entry(Device& device, const codec::Record& record, const History::Outcome& outcome,
                          Received now) {
  if (record.mark) {
    append(device, EventType::kEpoch, outcome.epoch, now).seq = outcome.first;
    return;
  }
  if (record.batch) {
    ++counters_.records;
    Event& event = append(device, EventType::kTelemetry, outcome.epoch, now);
    event.seq = outcome.first;
    event.batch = as_text(*record.batch);
    // A batch that this build cannot read is kept all the same: refused, it would hold up the stream for
    // ever.
    if (const auto batch = codec::decode_batch(*record.batch)) use_table(device, *batch, now);
    return;
  }
  ++counters_.losses;
  Event& event = append(device, EventType::kLoss, outcome.epoch, now);
  event.seq = outcome.first;
  event.count = record.refused ? record.refused->count : outcome.end - outcome.first;
  event.loss_reason =
      record.refused ? reason_of(record.refused->reason) : static_cast<LossReason>(record.loss->reason);
  counters_.lost_records += event.count;
}

Status Ingest::handle_live(const Message& message) {
  const auto batch = codec::decode_batch(as_bytes(message.payload));
  if (!batch) return Status::kMalformed;
  Device* const device = find(message.device);
  if (device == nullptr) return Status::kNotFound;
  const Received now = message.received;
  heard(*device, now);
  go_online(*device, now, nullptr);
  Event& event = append(*device, EventType::kTelemetry, device->boot_epoch, now);
  event.seq = kLiveSeq;
  event.batch = message.payload;
  use_table(*device, *batch, now);
  ++counters_.live;
  return Status::kOk;
}

Status Ingest::handle_gone(const Message& message) {
  Device* const device = find(message.device);
  if (device == nullptr) return Status::kNotFound;
  go_offline(*device, message.payload.empty() ? OfflineReason::kWill : OfflineReason::kStopped,
             message.received);
  return Status::kOk;
}

void Ingest::use_table(Device& device, const codec::Batch& batch, Received now) {
  const auto known =
      std::ranges::find(device.tables, batch.table, [](const Table& table) { return table.state.hash; });
  if (known != device.tables.end()) {
    known->used = ++table_uses_;
    known->latest = changes_.events.size() - 1;
    const TableState& table = known->state;
    const std::size_t counted = changes_.events.back().batch.size() + Intake::kMessageCost;
    const std::size_t decoded = std::min(batch.rows_of(table.rows_max) * table.row_size, kEventJsonMax);
    if (!table.conflict && decoded > counted) device.turn.decoded += decoded - counted;
    list(device);
    return;
  }
  if (device.tables_refused || !passed(device.tables_asked_at, kHelloPause, now.at)) return;
  device.tables_asked_at = now.at;
  ask_for_hello(device, now.at);
}

void Ingest::throttled(const Throttled& throttled) {
  Device* const device = find(throttled.device);
  if (device == nullptr) return;
  Event& event = append(*device, EventType::kDeviceThrottled, device->boot_epoch, throttled.received);
  event.count = throttled.count;
  event.throttle_reason = throttled.reason;
}

void Ingest::session_started() {
  to_ask_.clear();
  asked_.clear();
  for (Device& device : devices_) {
    device.heard = false;
    device.asks = 0;
    if (device.row.online) to_ask_.push_back(&device);
  }
  if (std::exchange(session_known_, true)) return;
  for (Device& device : devices_) {
    if (!device.row.online) to_ask_.push_back(&device);
  }
}

std::vector<AckTo> Ingest::take_asks(std::size_t max, Instant now) {
  std::vector<AckTo> asks;
  while (asks.size() < max && !to_ask_.empty()) {
    Device& device = *to_ask_.front();
    to_ask_.pop_front();
    if (device.heard) continue;
    ++device.asks;
    device.hello_asked_at = now;
    asks.push_back({device.row.id, {.send_hello = true}});
    if (device.row.online) asked_.push_back({&device, now});
  }
  return asks;
}

void Ingest::tick(Received now) {
  while (!asked_.empty() && now.at - asked_.front().at >= kAskPause) {
    Device& device = *asked_.front().device;
    asked_.pop_front();
    if (device.heard) continue;
    if (device.asks < kAsksMax) {
      to_ask_.push_back(&device);
    } else {
      go_offline(device, OfflineReason::kSilent, now);
    }
  }
  if (!passed(flushed_at_, kSeenFlush, now.at)) return;
  flushed_at_ = now.at;
  flush_seen();
}

void Ingest::flush_seen() {
  for (Device* const device : seen_) {
    device->seen_listed = false;
    changes_.seen.push_back({device->row.id, device->row.last_seen});
  }
  seen_.clear();
}

Changes Ingest::take() {
  GODWIT_ASSERT(!std::exchange(committing_, true));
  for (Device* const device : listed_) {
    History::Changes history = device->history.take_changes();
    Turn& turn = device->turn;
    if (device->row.head != device->history.head()) {
      device->row.head = device->history.head();
      turn.row = true;
    }
    for (const StreamState& stream : history.forgotten) {
      device->row.forgotten_records += stream.records;
      device->row.forgotten_lost += stream.lost;
      changes_.forgotten_streams.push_back({device->row.id, stream.mark});
      turn.row = true;
    }
    for (const StreamState& stream : history.streams) changes_.streams.push_back({device->row.id, stream});
    for (Table& table : device->tables) {
      if (!table.latest) continue;
      changes_.latest.push_back({device->row.id, {table.state.hash, *table.latest}});
      table.latest.reset();
    }
    if (turn.row) changes_.devices.push_back(device->row);
    if (const auto answer = device->history.answer(); answer && turn.answer) {
      changes_.acks_.push_back({device->row.id,
                                {.try_id = answer->try_id,
                                 .next_seq = answer->next_seq,
                                 .rewind = turn.rewind,
                                 .marks_before = answer->marks_before}});
    }
    if (turn.decoded > 0) decoded_.push_back({.device = device->row.id, .bytes = turn.decoded});
    // Under no try: whatever try the device is at by now, it heeds this.
    if (turn.ask) changes_.acks_.push_back({device->row.id, {.send_hello = true}});
    turn = {};
  }
  listed_.clear();
  return std::exchange(changes_, {});
}

bool Ingest::quarantine(Changes& changes, std::size_t index, std::string_view why) {
  Event& event = changes.events[index];
  if (event.type != EventType::kTelemetry || event.batch.empty()) return false;
  changes.quarantined.push_back({.device = event.device,
                                 .received_at = event.received_at,
                                 .epoch = event.epoch,
                                 .seq = event.seq,
                                 .content = std::exchange(event.batch, {}),
                                 .why = std::string(why)});
  std::erase_if(changes.latest, [index](const auto& latest) { return latest.value.event == index; });
  if (event.seq == kLiveSeq) return true;
  event.type = EventType::kLoss;
  event.loss_reason = LossReason::kQuarantined;
  by_id_.at(*DeviceId::parse(event.device))->history.lose(event.epoch, event.seq);
  for (auto& [device, stream] : changes.streams) {
    if (device.view() == event.device && stream.holds(event.epoch, event.seq)) stream.lose();
  }
  return true;
}

std::vector<AckTo> Ingest::committed(Changes changes) {
  GODWIT_ASSERT(std::exchange(committing_, false));
  return std::move(changes.acks_);
}

Ingest::Device* Ingest::find(const DeviceId& id) {
  const auto entry = by_id_.find(id);
  return entry == by_id_.end() ? nullptr : entry->second;
}

std::expected<Ingest::Device*, Status> Ingest::find_or_add(const DeviceId& id, Received now) {
  if (Device* const device = find(id)) return device;
  if (devices_.size() >= limits_.devices_max) return std::unexpected(Status::kFull);
  Device& device = devices_.emplace_back(DeviceRow(id), History(limits_.epochs_per_device_max, {}, {}));
  by_id_.emplace(id, &device);
  device.row.first_seen = now.unix_time;
  device.turn.row = true;
  list(device);
  return &device;
}

void Ingest::heard(Device& device, Received now) {
  device.heard = true;
  device.row.last_seen = now.unix_time;
  if (!std::exchange(device.seen_listed, true)) seen_.push_back(&device);
}

void Ingest::go_online(Device& device, Received now, const codec::Hello* hello) {
  if (device.row.online) return;
  device.row.online = device.turn.row = true;
  Event& event = append(device, EventType::kDeviceOnline, device.history.head().epoch, now);
  if (hello != nullptr) event.hello = pack(*hello);
}

void Ingest::go_offline(Device& device, OfflineReason reason, Received now) {
  if (!device.row.online) return;
  device.row.online = false;
  device.turn.row = true;
  append(device, EventType::kDeviceOffline, device.history.head().epoch, now).offline_reason = reason;
}

void Ingest::ask_for_hello(Device& device, Instant now) {
  if (!passed(device.hello_asked_at, kHelloPause, now)) return;
  device.hello_asked_at = now;
  device.turn.ask = true;
  list(device);
}

void Ingest::list(Device& device) {
  if (!std::exchange(device.turn.listed, true)) listed_.push_back(&device);
}

Event& Ingest::append(Device& device, EventType type, Epoch epoch, Received now) {
  list(device);
  Event& event = changes_.events.emplace_back();
  event.type = type;
  event.device = device.row.id.view();
  event.received_at = now.unix_time;
  event.epoch = epoch;
  return event;
}

}  // namespace godwit::gateway
