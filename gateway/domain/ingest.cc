// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/ingest.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "gateway/domain/hello.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

// Sequence numbers are stored as signed 64-bit integers. No device gets near.
constexpr std::uint64_t kSeqMax = std::numeric_limits<std::int64_t>::max();

// True if `since` is unset or at least `pause` ago; also if the clock was set back.
bool passed(const std::optional<UnixMillis>& since, Millis pause, UnixMillis now) {
  return !since || now < *since || now.value - since->value >= pause.count();
}

TableInfo table_info(std::uint32_t hash, const codec::ChannelTable& table) {
  TableInfo info;
  info.hash = hash;
  info.name = table.name;
  info.period_ms = static_cast<std::uint32_t>(table.period.count());
  info.durable = table.channel_class == codec::ChannelClass::kDurable;
  info.channels.reserve(table.channels.size());
  for (const codec::Channel& channel : table.channels) {
    info.channels.push_back({.name = std::string(channel.name),
                             .unit = std::string(channel.unit),
                             .exponent = channel.exponent,
                             .min = channel.min,
                             .max = channel.max});
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

}  // namespace

Ingest::Ingest(IngestLimits limits, std::vector<DeviceState> devices) : limits_(limits) {
  GODWIT_ASSERT(limits.epochs_per_device_max > 0);
  devices_.reserve(devices.size());
  for (DeviceState& device : devices) {
    const DeviceId id = device.id;
    order_.push_back(&devices_.emplace(id, std::move(device)).first->second);
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
  if (!hello || hello->epoch == Epoch{}) return Status::kMalformed;
  const auto found = find_or_add(message.device, message.received.unix_time);
  if (!found) return found.error();
  DeviceState& device = **found;

  StreamState& current = stream(device, hello->epoch, message.received.unix_time);
  answer(device, current);
  note_hello(device, *hello, message.received.unix_time);
  if (hello->boot_time) {
    touch(device);
    changes_.boots.push_back({message.device, hello->epoch, hello->boot, *hello->boot_time});
  }
  return add_tables(device, std::move(collector.tables));
}

void Ingest::note_hello(DeviceState& device, codec::Hello hello, UnixMillis now) {
  bool restarted = device.boot != hello.boot;
  if (hello.crash) {
    // Every hello of a boot tells of the crash before it: it is one crash.
    const auto known = unpack(device.last_crash.hello);
    if (known && known->boot == hello.boot && known->crash == hello.crash) {
      hello.crash.reset();
    } else {
      device.last_crash = {.hello = pack(hello), .received_at = now};
      restarted = true;
    }
  }
  const codec::Health health = hello.health.value_or(codec::Health{});
  const DeviceCounters counters{.dropped_records = hello.dropped_records,
                                .refused_records = hello.refused_records,
                                .corrupt_records = hello.corrupt_records,
                                .missed_samples = hello.missed_samples};
  if (restarted || device.firmware != hello.firmware || device.board != hello.board ||
      device.reset_reason != hello.reset_reason || device.counters != counters || device.health != health) {
    device.firmware = hello.firmware;
    device.board = hello.board;
    device.boot = hello.boot;
    device.reset_reason = hello.reset_reason;
    device.counters = counters;
    device.health = health;
    touch(device);
    device.changed = true;
  }
  if (restarted) device.online = false;  // it was away, even if its last will never came
  if (Event* const event = came_online(device, hello.epoch, now)) event->hello = pack(hello);
}

Status Ingest::add_tables(DeviceState& device, std::vector<TableInfo> tables) {
  Status status = Status::kOk;
  for (TableInfo& table : tables) {
    if (find_table(device, table.hash) != nullptr) continue;
    if (device.tables.size() >= limits_.tables_per_device_max) {
      status = Status::kFull;
      continue;
    }
    touch(device);
    device.tables.emplace_back().hash = table.hash;
    changes_.tables.push_back({device.id, std::move(table)});
  }
  return status;
}

Status Ingest::handle_record(const Message& message) {
  const auto record = codec::decode_record(as_bytes(message.payload));
  if (!record || record->epoch == Epoch{} || record->seq < kFirstSeq) return Status::kMalformed;
  // One past the last record of it.
  const std::uint64_t count = record->loss ? record->loss->count : 1;
  if (count == 0 || count > kSeqMax || record->seq.value > kSeqMax - count) return Status::kMalformed;
  const Seq end = record->seq + count;

  const UnixMillis now = message.received.unix_time;
  const auto found = find_or_add(message.device, now);
  if (!found) return found.error();
  DeviceState& device = **found;
  StreamState& current = stream(device, record->epoch, now);
  came_online(device, record->epoch, now);

  if (record->seq > current.expected) {
    ++counters_.gaps;
    if (!passed(current.rewound_at, kRewindPause, now)) return Status::kOk;
    current.rewound_at = now;
    current.rewind = true;
    answer(device, current);
    return Status::kOk;
  }
  answer(device, current);
  if (end <= current.expected) {
    ++counters_.duplicates;
    return Status::kOk;
  }

  const Seq first = current.expected;  // a loss range may begin below: only the rest of it is new
  current.expected = end;
  current.changed = true;
  current.rewind = false;
  current.rewound_at.reset();
  if (record->loss) {
    Event& event = append(device, EventType::kLoss, record->epoch, now);
    event.seq = first;
    event.count = end - first;
    event.loss_reason = record->loss->reason;
    current.lost += event.count;
    ++counters_.losses;
    counters_.lost_records += event.count;
    return Status::kOk;
  }
  ++current.records;
  ++counters_.records;
  Event& event = append(device, EventType::kTelemetry, record->epoch, now);
  event.seq = first;
  event.batch = as_text(*record->batch);
  // A batch that this build cannot read is kept all the same: refused, it would hold up the stream for ever.
  if (const auto batch = codec::decode_batch(*record->batch)) note_table(device, batch->table, now);
  return Status::kOk;
}

Status Ingest::handle_live(const Message& message) {
  const auto batch = codec::decode_batch(as_bytes(message.payload));
  if (!batch) return Status::kMalformed;
  DeviceState* const device = find(message.device);
  if (device == nullptr) return Status::kNotFound;
  const Epoch epoch = device->current_epoch();
  came_online(*device, epoch, message.received.unix_time);
  Event& event = append(*device, EventType::kTelemetry, epoch, message.received.unix_time);
  event.seq = kLiveSeq;
  event.batch = message.payload;
  note_table(*device, batch->table, message.received.unix_time);
  ++counters_.live;
  return Status::kOk;
}

Status Ingest::handle_gone(const Message& message) {
  DeviceState* const device = find(message.device);
  if (device == nullptr) return Status::kNotFound;
  went_offline(*device, message.received.unix_time);
  return Status::kOk;
}

void Ingest::throttled(const Throttled& throttled) {
  DeviceState* const device = find(throttled.device);
  if (device == nullptr) return;
  Event& event =
      append(*device, EventType::kDeviceThrottled, device->current_epoch(), throttled.received.unix_time);
  event.count = throttled.count;
  event.throttle_reason = throttled.reason;
}

void Ingest::session_started(UnixMillis now) {
  for (DeviceState* const device : order_) {
    device->heard = false;
    if (device->online) ask_for_hello(*device, now);
  }
  silence_ends_ = UnixMillis{now.value + kSilenceMax.count()};
}

void Ingest::tick(UnixMillis now) {
  if (!silence_ends_ || now < *silence_ends_) return;
  silence_ends_.reset();
  for (DeviceState* const device : order_) {
    if (!device->heard) went_offline(*device, now);
  }
}

void Ingest::committed(std::vector<AckTo>& acks) {
  for (DeviceState* const device : changes_.devices) {
    device->changed = device->touched = false;
    for (StreamState& stream : device->streams) stream.changed = false;
    for (TableState& table : device->tables) table.latest.reset();
  }
  changes_.events.clear();
  changes_.devices.clear();
  changes_.tables.clear();
  changes_.boots.clear();
  changes_.forgotten.clear();
  changes_.quarantined.clear();

  acks.clear();
  for (DeviceState* const device : answers_) {
    // The stream that a device sends is the one whose acks it heeds; without one, the current.
    if (std::ranges::none_of(device->streams, &StreamState::ack_due)) device->streams.back().ack_due = true;
    for (StreamState& stream : device->streams) {
      if (!stream.ack_due) continue;
      acks.push_back({device->id,
                      {.epoch = stream.epoch,
                       .next_seq = stream.expected,
                       .rewind = stream.rewind,
                       .send_hello = device->hello_due}});
      stream.ack_due = stream.rewind = false;
    }
    device->hello_due = device->answering = false;
  }
  answers_.clear();
}

DeviceState* Ingest::find(const DeviceId& id) {
  const auto entry = devices_.find(id);
  return entry == devices_.end() ? nullptr : &entry->second;
}

std::expected<DeviceState*, Status> Ingest::find_or_add(const DeviceId& id, UnixMillis now) {
  if (DeviceState* const device = find(id)) return device;
  if (devices_.size() >= limits_.devices_max) return std::unexpected(Status::kFull);
  DeviceState& device = devices_.emplace(id, DeviceState(id)).first->second;
  order_.push_back(&device);
  device.first_seen = now;
  device.changed = true;
  touch(device);
  return &device;
}

StreamState& Ingest::stream(DeviceState& device, Epoch epoch, UnixMillis now) {
  const auto known = std::ranges::find(device.streams, epoch, &StreamState::epoch);
  if (known != device.streams.end()) return *known;
  if (device.streams.size() >= limits_.epochs_per_device_max) {
    changes_.forgotten.push_back({device.id, device.streams.front().epoch});
    device.streams.erase(device.streams.begin());
  }
  append(device, EventType::kEpoch, epoch, now);
  StreamState& added = device.streams.emplace_back();
  added.epoch = epoch;
  added.changed = true;
  return added;
}

TableState* Ingest::find_table(DeviceState& device, std::uint32_t hash) {
  const auto table = std::ranges::find(device.tables, hash, &TableState::hash);
  return table == device.tables.end() ? nullptr : &*table;
}

// The newest event is of the table with this hash.
void Ingest::note_table(DeviceState& device, std::uint32_t hash, UnixMillis now) {
  if (TableState* const table = find_table(device, hash)) {
    table->latest = changes_.events.size() - 1;
  } else if (device.tables.size() < limits_.tables_per_device_max) {
    ask_for_hello(device, now);
  }
}

Event* Ingest::came_online(DeviceState& device, Epoch epoch, UnixMillis now) {
  device.heard = true;
  if (device.online) return nullptr;
  device.online = device.changed = true;
  return &append(device, EventType::kDeviceOnline, epoch, now);
}

void Ingest::went_offline(DeviceState& device, UnixMillis now) {
  if (!device.online) return;
  device.online = false;
  device.changed = true;
  append(device, EventType::kDeviceOffline, device.current_epoch(), now);
}

void Ingest::answer(DeviceState& device, StreamState& stream) {
  stream.ack_due = true;
  list_answer(device);
}

void Ingest::ask_for_hello(DeviceState& device, UnixMillis now) {
  if (device.streams.empty() || !passed(device.hello_asked_at, kHelloPause, now)) return;
  device.hello_asked_at = now;
  device.hello_due = true;
  list_answer(device);
}

void Ingest::list_answer(DeviceState& device) {
  if (std::exchange(device.answering, true)) return;
  answers_.push_back(&device);
}

void Ingest::touch(DeviceState& device) {
  if (std::exchange(device.touched, true)) return;
  changes_.devices.push_back(&device);
}

Event& Ingest::append(DeviceState& device, EventType type, Epoch epoch, UnixMillis now) {
  touch(device);
  Event& event = changes_.events.emplace_back();
  event.type = type;
  event.device = device.id.view();
  event.received_at = now;
  event.epoch = epoch;
  return event;
}

}  // namespace godwit::gateway
