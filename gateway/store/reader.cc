// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/reader.h"

#include <cstdint>
#include <string>
#include <utility>

#include "gateway/store/database.h"
#include "gateway/store/sqlite.h"

namespace godwit::gateway {
namespace {

// CROSS JOIN: the log is the outer loop, in the order of its offsets.
std::string events_from(std::string_view source, std::string_view rest) {
  std::string sql =
      "SELECT log.offset, type, id, received_at, epoch, seq, count, loss_reason, batch, hello FROM ";
  sql += source;
  sql += " CROSS JOIN devices ON devices.key = log.device ";
  return sql += rest;
}

constexpr const char* kDevices =
    "SELECT id, online, first_seen,"
    " max(last_seen, ifnull((SELECT received_at FROM log WHERE log.device = devices.key"
    "  ORDER BY log.offset DESC LIMIT 1), 0)),"
    " firmware, board, boot, reset_reason, key, dropped, refused, corrupt, missed,"
    " stack_used, stack_size, heap_used, heap_size, time_quality, crash_hello, crash_at,"
    " head_epoch, head_seq, forgotten_records, forgotten_lost, log_state, bad_sectors FROM devices ";

// One bit for each type; what SQL tests with (1 << type).
std::uint32_t mask_of(const std::vector<EventType>& types) {
  if (types.empty()) return ~0U;
  std::uint32_t mask = 0;
  for (const EventType type : types) mask |= 1U << static_cast<unsigned>(type);
  return mask;
}
constexpr std::uint32_t kTelemetryBit = 1U << static_cast<unsigned>(EventType::kTelemetry);

EventType type_of(const Query& row) {
  const std::int64_t type = row.integer(1);
  if (type >= static_cast<int>(EventType::kTelemetry) && type <= static_cast<int>(kEventTypeLast)) {
    return static_cast<EventType>(type);
  }
  throw StoreError("the database is damaged: its event " + std::to_string(row.integer(0)) + " is of type " +
                   std::to_string(type) + ", which does not exist");
}

Event event_of(const Query& row) {
  Event event;
  event.offset = {row.integer(0)};
  event.type = type_of(row);
  event.device = row.text(2);
  event.received_at = {row.integer(3)};
  event.epoch = {row.bits(4)};
  event.seq = {row.bits(5)};
  if (has_count(event.type)) event.count = row.bits(6);
  if (event.type == EventType::kLoss) event.loss_reason = static_cast<LossReason>(row.word(7));
  if (event.type == EventType::kDeviceOffline) event.offline_reason = static_cast<OfflineReason>(row.word(7));
  if (event.type == EventType::kDeviceThrottled)
    event.throttle_reason = static_cast<ThrottleReason>(row.word(7));
  event.batch = row.text(8);
  event.hello = row.text(9);
  return event;
}

}  // namespace

struct Reader::Session {
  Session(const Files& files, const std::filesystem::path& file)
      : connection(open_for_reading(files, file)) {}

  Connection connection;
  Statement begin{connection, "BEGIN"};
  Statement end{connection, "COMMIT"};
  Statement all{
      connection,
      events_from("log", "WHERE log.offset > ?1 AND (1 << type) & ?2 ORDER BY log.offset LIMIT ?3")};
  Statement of_device{connection, events_from("log INDEXED BY log_by_device",
                                              "WHERE log.offset > ?1 AND (1 << type) & ?2"
                                              " AND log.device = (SELECT key FROM devices WHERE id = ?4)"
                                              " ORDER BY log.offset LIMIT ?3")};
  Statement without_telemetry{connection,
                              events_from("log INDEXED BY log_without_telemetry",
                                          "WHERE log.offset > ?1 AND type <> 1 AND (1 << type) & ?2"
                                          " AND (?4 = '' OR id = ?4) ORDER BY log.offset LIMIT ?3")};
  Statement latest{
      connection,
      events_from("latest CROSS JOIN log ON log.offset = latest.offset",
                  "WHERE latest.device = (SELECT key FROM devices WHERE id = ?1) ORDER BY log.offset")};
  // From AUTOINCREMENT's memory, so that it does not fall when the log is trimmed.
  Statement last{connection, "SELECT seq FROM sqlite_sequence WHERE name = 'log'"};
  Statement first{connection, "SELECT offset FROM log ORDER BY offset LIMIT 1"};
  Statement devices{connection, std::string(kDevices) + "WHERE id > ?1 ORDER BY id LIMIT ?2"};
  Statement device{connection, std::string(kDevices) + "WHERE id = ?1"};
  // Of the head, and the sums over all.
  Statement stream{
      connection,
      "SELECT max(expected) FILTER (WHERE epoch = ?2 AND first_seq = ?3), sum(records), sum(lost)"
      " FROM streams WHERE device = ?1"};
  Statement table{connection,
                  "SELECT name, period_ms, durable, rows_max, ifnull(conflict, 0) FROM tables"
                  " WHERE device = (SELECT key FROM devices WHERE id = ?1) AND hash = ?2"};
  Statement channels{
      connection,
      "SELECT name, unit, exponent, min, max, prior FROM channels"
      " WHERE device = (SELECT key FROM devices WHERE id = ?1) AND hash = ?2 ORDER BY position"};
  Statement boot{connection,
                 "SELECT unix_time, quality FROM boots"
                 " WHERE device = (SELECT key FROM devices WHERE id = ?1) AND epoch = ?2"};

  DeviceInfo device_of(const Query& row) const {
    DeviceInfo info;
    info.id = row.text(0);
    info.online = row.integer(1) != 0;
    info.first_seen = {row.integer(2)};
    info.last_seen = {row.integer(3)};
    info.firmware = row.text(4);
    info.board = row.text(5);
    info.boot = row.word(6);
    info.reset_reason = static_cast<codec::ResetReason>(row.word(7));
    info.counters = {.dropped_records = row.bits(9),
                     .refused_records = row.bits(10),
                     .corrupt_records = row.bits(11),
                     .missed_samples = row.bits(12)};
    info.health = {.stack_used = row.word(13),
                   .stack_size = row.word(14),
                   .heap_used = row.word(15),
                   .heap_size = row.word(16),
                   .time_quality = static_cast<codec::TimeQuality>(row.word(17))};
    info.last_crash = {.hello = std::string(row.text(18)), .received_at = {row.integer(19)}};
    info.log_state = static_cast<codec::LogState>(row.word(24));
    info.bad_sectors = row.word(25);
    const Epoch head{row.bits(20)};
    if (head == Epoch{}) return info;
    Query sums(stream, row.integer(8), head.value, row.bits(21));
    sums.next();
    info.stream = {.epoch = head,
                   .next_seq = {sums.bits(0)},
                   .records = row.bits(22) + sums.bits(1),
                   .lost_records = row.bits(23) + sums.bits(2)};
    return info;
  }
};

// A session for one call, inside a read transaction: all of its statements see the same state.
class Reader::Lease {
 public:
  explicit Lease(const Reader& reader) : reader_(reader) {
    {
      std::unique_lock lock(reader_.mutex_);
      reader_.returned_.wait(lock,
                             [&] { return !reader_.idle_.empty() || reader_.sessions_ < kSessionsMax; });
      if (reader_.idle_.empty()) {
        ++reader_.sessions_;
      } else {
        session_ = std::move(reader_.idle_.back());
        reader_.idle_.pop_back();
      }
    }
    try {
      if (!session_) session_ = std::make_unique<Session>(reader_.files_, reader_.file_);
      run(session_->begin);
    } catch (...) {
      discard();
      throw;
    }
  }
  ~Lease() {
    try {
      run(session_->end);
    } catch (const StoreError&) {
      discard();  // the next call opens a new one, and reports what is wrong
      return;
    }
    const std::lock_guard lock(reader_.mutex_);
    reader_.idle_.push_back(std::move(session_));
    reader_.returned_.notify_one();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  Session* operator->() const { return session_.get(); }

 private:
  void discard() {
    session_.reset();
    const std::lock_guard lock(reader_.mutex_);
    --reader_.sessions_;
    reader_.returned_.notify_one();
  }

  const Reader& reader_;
  std::unique_ptr<Session> session_;
};

Reader::Reader(const Files& files, std::filesystem::path file) : files_(files), file_(std::move(file)) {}
Reader::~Reader() = default;

std::shared_ptr<const TableInfo> Reader::table(std::string_view device, std::uint32_t hash) const {
  std::pair<std::string, std::uint32_t> key(device, hash);
  std::uint64_t forgotten = 0;
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = tables_.find(key); known != tables_.end()) return known->second;
    forgotten = tables_forgotten_;
  }
  const Lease session(*this);
  Query row(session->table, device, hash);
  if (!row.next()) return nullptr;
  auto table = std::make_shared<TableInfo>();
  table->hash = hash;
  table->name = row.text(0);
  table->period_ms = row.word(1);
  table->durable = row.integer(2) != 0;
  table->rows_max = row.word(3);
  if (row.integer(4) != 0) table->conflict = LogOffset{row.integer(4)};
  Query channel(session->channels, device, hash);
  while (channel.next()) {
    table->channels.push_back({.name = std::string(channel.text(0)),
                               .unit = std::string(channel.text(1)),
                               .exponent = static_cast<int>(channel.integer(2)),
                               .min = channel.integer(3),
                               .max = channel.integer(4),
                               .prior = static_cast<std::uint64_t>(channel.integer(5))});
  }
  const std::lock_guard lock(mutex_);
  if (forgotten != tables_forgotten_) return table;
  if (tables_.size() >= kCachedTablesMax) tables_.clear();
  tables_.emplace(std::move(key), table);
  return table;
}

void Reader::forget_table(std::string_view device, std::uint32_t hash) {
  const std::lock_guard lock(mutex_);
  ++tables_forgotten_;
  tables_.erase({std::string(device), hash});
}

std::optional<BootTime> Reader::boot_time(std::string_view device, Epoch epoch) const {
  const Lease session(*this);
  Query row(session->boot, device, epoch.value);
  if (!row.next()) return std::nullopt;
  return BootTime{.unix_time = {row.integer(0)}, .quality = static_cast<codec::TimeQuality>(row.word(1))};
}

std::vector<Event> Reader::events_after(LogOffset after, std::size_t limit, const Filter& filter) const {
  const std::uint32_t mask = mask_of(filter.types);
  const Lease session(*this);
  std::vector<Event> events;
  const auto read = [&](const Statement& statement, const auto&... more) {
    Query row(statement, after.value, mask, limit, more...);
    while (row.next()) events.push_back(event_of(row));
  };
  if ((mask & kTelemetryBit) == 0) {
    read(session->without_telemetry, std::string_view(filter.device));
  } else if (!filter.device.empty()) {
    read(session->of_device, std::string_view(filter.device));
  } else {
    read(session->all);
  }
  return events;
}

LogOffset Reader::last_offset() const {
  const Lease session(*this);
  Query row(session->last);
  return {row.next() ? row.integer(0) : 0};
}

LogOffset Reader::first_offset() const {
  const Lease session(*this);
  Query first(session->first);
  if (first.next()) return {first.integer(0)};
  Query last(session->last);
  return {(last.next() ? last.integer(0) : 0) + 1};
}

std::vector<DeviceInfo> Reader::devices_after(std::string_view after, std::size_t limit) const {
  const Lease session(*this);
  std::vector<DeviceInfo> devices;
  Query row(session->devices, after, limit);
  while (row.next()) devices.push_back(session->device_of(row));
  return devices;
}

std::optional<DeviceInfo> Reader::device(std::string_view id) const {
  const Lease session(*this);
  Query row(session->device, id);
  if (!row.next()) return std::nullopt;
  return session->device_of(row);
}

std::vector<Event> Reader::latest(std::string_view device) const {
  const Lease session(*this);
  std::vector<Event> events;
  Query row(session->latest, device);
  while (row.next()) events.push_back(event_of(row));
  return events;
}

}  // namespace godwit::gateway
