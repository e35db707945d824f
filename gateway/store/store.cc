// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/store.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "gateway/domain/batch.h"
#include "gateway/store/database.h"
#include "gateway/store/reader.h"
#include "gateway/store/rebuild.h"
#include "gateway/store/sqlite.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

// 4 MB of write-ahead log: large enough to write each page of the database once for many commits.
constexpr int kCheckpointPages = 1000;
constexpr int kPageSize = 4096;
constexpr int kBusyTimeoutMs = 1000;  // as open_for_writing() sets it
constexpr int kRestartTimeoutMs = 50;
constexpr const char* kDatabaseName = "godwit.db";

}  // namespace

struct Store::Impl {
  Impl(const std::filesystem::path& folder, Term drawn, Files& its_files)
      : files(its_files),
        directory(folder),
        lock(lock_directory(files, directory)),
        connection(open_for_writing(files, directory / kDatabaseName)),
        reader(files, directory / kDatabaseName),
        term(unused_term(drawn)) {
    sqlite3_wal_hook(connection.get(), &Impl::on_commit, this);
  }

  static int on_commit(void* self, sqlite3*, const char*, int pages) {
    static_cast<Impl*>(self)->wal_pages = pages;
    return SQLITE_OK;
  }

  Term unused_term(Term drawn);
  std::int64_t key_of(std::string_view device);
  std::int64_t key_of(const DeviceId& device) { return key_of(device.view()); }
  void commit_once(Changes& changes);
  void write(Changes& changes);
  void write_device(const DeviceRow& device);
  void write_event(Event& event);
  void write_table(const DeviceId& device, const Changes::Table& table);
  void write_tables(const Changes& changes);
  void roll_back();

  Files& files;
  const std::filesystem::path directory;
  std::unique_ptr<Files::Lock> lock;
  Connection connection;
  Reader reader;                                       // after the connection, which makes the file
  std::unordered_map<std::string, std::int64_t> keys;  // devices.key by devices.id
  int wal_pages = 0;
  int checkpoint_at_pages = kCheckpointPages;
  const Term term;
  bool term_stored = false;          // with its first event
  std::optional<std::int64_t> lost;  // see take_rebuilt()
  // What is being written, should the database refuse it.
  std::string_view current_device;
  std::optional<std::size_t> current_event;

  Statement begin{connection, "BEGIN IMMEDIATE"};
  Statement commit{connection, "COMMIT"};
  Statement find_key{connection, "SELECT key FROM devices WHERE id = ?1"};
  Statement put_device{
      connection,
      "INSERT INTO devices (id, online, first_seen, firmware, board, boot, reset_reason,"
      " dropped, refused, corrupt, missed, stack_used, stack_size, heap_used, heap_size, time_quality,"
      " crash_hello, crash_at, last_seen, head_epoch, head_seq, forgotten_records, forgotten_lost,"
      " log_state, bad_sectors)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,"
      " ?21, ?22, ?23, ?24, ?25)"
      " ON CONFLICT (id) DO UPDATE SET"
      " online = ?2, first_seen = ?3, firmware = ?4, board = ?5, boot = ?6, reset_reason = ?7,"
      " dropped = ?8, refused = ?9, corrupt = ?10, missed = ?11, stack_used = ?12, stack_size = ?13,"
      " heap_used = ?14, heap_size = ?15, time_quality = ?16, crash_hello = ?17, crash_at = ?18,"
      " last_seen = ?19, head_epoch = ?20, head_seq = ?21, forgotten_records = ?22, forgotten_lost = ?23,"
      " log_state = ?24, bad_sectors = ?25"};
  Statement put_event{
      connection,
      "INSERT INTO log (type, device, received_at, epoch, seq, count, loss_reason, batch, hello)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"};
  Statement put_term{connection, "INSERT INTO terms (first_offset, term) VALUES (?1, ?2)"};
  Statement put_stream{
      connection,
      "INSERT INTO streams (device, epoch, first_seq, expected, records, lost)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
      " ON CONFLICT (device, epoch, first_seq) DO UPDATE SET expected = ?4, records = ?5, lost = ?6"};
  Statement drop_stream{connection,
                        "DELETE FROM streams WHERE device = ?1 AND epoch = ?2 AND first_seq = ?3"};
  Statement put_latest{connection,
                       "INSERT OR REPLACE INTO latest (device, hash, offset) VALUES (?1, ?2, ?3)"};
  Statement put_table{
      connection,
      "INSERT OR REPLACE INTO tables (device, hash, name, period_ms, durable, rows_max, digest)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"};
  Statement put_conflict{connection, "UPDATE tables SET conflict = ?3 WHERE device = ?1 AND hash = ?2"};
  Statement put_channel{
      connection,
      "INSERT OR REPLACE INTO channels (device, hash, position, name, unit, exponent, min, max, prior)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"};
  Statement put_quarantined{connection,
                            "INSERT INTO quarantine (device, received_at, epoch, seq, content, why)"
                            " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"};
  Statement count_quarantined{connection, "SELECT count(*) FROM quarantine WHERE ?1 = '' OR device = ?1"};
  Statement drop_table{connection, "DELETE FROM tables WHERE device = ?1 AND hash = ?2"};
  Statement drop_channels{connection, "DELETE FROM channels WHERE device = ?1 AND hash = ?2"};
  Statement drop_latest{connection, "DELETE FROM latest WHERE device = ?1 AND hash = ?2"};
  Statement put_boot{connection,
                     "INSERT INTO boots (device, epoch, unix_time, quality) VALUES (?1, ?2, ?3, ?4)"
                     " ON CONFLICT (device, epoch) DO UPDATE SET unix_time = ?3, quality = ?4"};
  Statement drop_boot{connection, "DELETE FROM boots WHERE device = ?1 AND epoch = ?2"};
  Statement put_seen{connection, "UPDATE devices SET last_seen = ?2 WHERE key = ?1"};
};

Term Store::Impl::unused_term(Term drawn) {
  if (drawn.value == 0) {
    drawn.value = static_cast<std::uint32_t>(
        connection.integer("SELECT term FROM terms ORDER BY first_offset DESC LIMIT 1"));
  }
  const Statement known(connection, "SELECT 1 FROM terms WHERE term = ?1");
  while (drawn.value == 0 || Query(known, drawn.value).next()) ++drawn.value;
  return drawn;
}

std::int64_t Store::Impl::key_of(std::string_view device) {
  const auto known = keys.find(std::string(device));
  if (known != keys.end()) return known->second;
  Query row(find_key, device);
  const bool found = row.next();
  GODWIT_ASSERT(found);  // a device is written before anything that names it
  return keys.emplace(device, row.integer(0)).first->second;
}

void Store::Impl::write_event(Event& event) {
  std::optional<std::uint64_t> count;
  std::optional<std::uint64_t> reason;
  if (has_count(event.type)) count = event.count;
  if (event.type == EventType::kLoss) reason = static_cast<std::uint64_t>(event.loss_reason);
  if (event.type == EventType::kDeviceOffline) reason = static_cast<std::uint64_t>(event.offline_reason);
  if (event.type == EventType::kDeviceThrottled) reason = static_cast<std::uint64_t>(event.throttle_reason);
  run(put_event, static_cast<int>(event.type), key_of(event.device), event.received_at.value,
      event.epoch.value, event.seq.value, count, reason, as_bytes(event.batch), as_bytes(event.hello));
  event.offset = {sqlite3_last_insert_rowid(connection.get())};
  event.term = term;
}

void Store::Impl::write_table(const DeviceId& id, const Changes::Table& table) {
  const std::int64_t device = key_of(id);
  const TableInfo& info = table.info;
  run(put_table, device, info.hash, std::string_view(info.name), info.period_ms, info.durable, info.rows_max,
      table.digest);
  std::size_t position = 0;
  for (const ChannelInfo& channel : info.channels) {
    run(put_channel, device, info.hash, position++, std::string_view(channel.name),
        std::string_view(channel.unit), channel.exponent, channel.min, channel.max, channel.prior);
  }
}

void Store::Impl::write_tables(const Changes& changes) {
  for (const auto& [device, hash] : changes.forgotten_tables) {
    current_device = device.view();
    for (const Statement* const drop : {&drop_table, &drop_channels, &drop_latest}) {
      run(*drop, key_of(device), hash);
    }
  }
  for (const auto& [device, table] : changes.tables) {
    current_device = device.view();
    write_table(device, table);
  }
  for (const auto& [device, conflict] : changes.conflicts) {
    current_device = device.view();
    run(put_conflict, key_of(device), conflict.hash, changes.events[conflict.event].offset.value);
  }
  for (const auto& [device, latest] : changes.latest) {
    current_device = device.view();
    run(put_latest, key_of(device), latest.hash, changes.events[latest.event].offset.value);
  }
}

void Store::Impl::write_device(const DeviceRow& device) {
  const DeviceReport& report = device.report;
  run(put_device, device.id.view(), device.online, device.first_seen.value, std::string_view(report.firmware),
      std::string_view(report.board), report.boot, static_cast<std::uint32_t>(report.reset_reason),
      report.counters.dropped_records, report.counters.refused_records, report.counters.corrupt_records,
      report.counters.missed_samples, report.health.stack_used, report.health.stack_size,
      report.health.heap_used, report.health.heap_size,
      static_cast<std::uint32_t>(report.health.time_quality), as_bytes(device.last_crash.hello),
      device.last_crash.received_at.value, device.last_seen.value, device.head.epoch.value,
      device.head.first_seq.value, device.forgotten_records, device.forgotten_lost,
      static_cast<std::uint32_t>(report.log_state), report.bad_sectors);
}

void Store::Impl::write(Changes& changes) {
  for (const DeviceRow& device : changes.devices) {
    current_device = device.id.view();
    write_device(device);
  }
  for (std::size_t i = 0; i < changes.events.size(); ++i) {
    current_device = changes.events[i].device;
    current_event = i;
    write_event(changes.events[i]);
  }
  current_event.reset();
  current_device = {};
  if (!term_stored && !changes.events.empty()) {
    run(put_term, changes.events.front().offset.value, term.value);
  }
  for (const Changes::Quarantined& record : changes.quarantined) {
    current_device = record.device;
    run(put_quarantined, std::string_view(record.device), record.received_at.value, record.epoch.value,
        record.seq.value, as_bytes(record.content), std::string_view(record.why));
  }
  for (const auto& [device, mark] : changes.forgotten_streams) {
    current_device = device.view();
    run(drop_stream, key_of(device), mark.epoch.value, mark.first_seq.value);
  }
  for (const auto& [device, stream] : changes.streams) {
    current_device = device.view();
    run(put_stream, key_of(device), stream.mark.epoch.value, stream.mark.first_seq.value,
        stream.expected.value, stream.records, stream.lost);
  }
  write_tables(changes);
  for (const auto& [device, epoch] : changes.forgotten_boots) {
    current_device = device.view();
    run(drop_boot, key_of(device), epoch.value);
  }
  for (const auto& [device, boot] : changes.boots) {
    current_device = device.view();
    run(put_boot, key_of(device), boot.epoch.value, boot.time.unix_time.value,
        static_cast<std::uint32_t>(boot.time.quality));
  }
  for (const auto& [device, at] : changes.seen) {
    current_device = device.view();
    run(put_seen, key_of(device), at.value);
  }
}

// Some errors end the transaction by themselves. Should this fail, the next commit or load() tries it again
// first.
void Store::Impl::roll_back() {
  if (sqlite3_get_autocommit(connection.get()) == 0) connection.execute("ROLLBACK");
}

Store::Store(const std::filesystem::path& directory, Term term, Files& files)
    : impl_(std::make_unique<Impl>(directory, term, files)) {}
Store::~Store() = default;

namespace {

DeviceState device_of(const Query& row) {
  const auto id = DeviceId::parse(row.text(1));
  if (!id) {
    throw StoreError(
        "the database names a device \"" + std::string(row.text(1)) + "\", which is no name: restore a copy",
        StoreTrouble::kDamaged);
  }
  DeviceState state(*id);
  DeviceRow& device = state.row;
  device.online = row.integer(2) != 0;
  device.first_seen = {row.integer(3)};
  device.report = {.firmware = std::string(row.text(4)),
                   .board = std::string(row.text(5)),
                   .boot = row.word(6),
                   .reset_reason = static_cast<codec::ResetReason>(row.word(7)),
                   .counters = {.dropped_records = row.bits(8),
                                .refused_records = row.bits(9),
                                .corrupt_records = row.bits(10),
                                .missed_samples = row.bits(11)},
                   .health = {.stack_used = row.word(12),
                              .stack_size = row.word(13),
                              .heap_used = row.word(14),
                              .heap_size = row.word(15),
                              .time_quality = static_cast<codec::TimeQuality>(row.word(16))},
                   .log_state = static_cast<codec::LogState>(row.word(24)),
                   .bad_sectors = row.word(25)};
  device.last_crash = {.hello = std::string(row.text(17)), .received_at = {row.integer(18)}};
  device.last_seen = {row.integer(19)};
  device.head = {.epoch = {row.bits(20)}, .first_seq = {row.bits(21)}};
  device.forgotten_records = row.bits(22);
  device.forgotten_lost = row.bits(23);
  return state;
}

}  // namespace

std::vector<DeviceState> Store::load() {
  impl_->roll_back();
  std::vector<DeviceState> devices;
  std::unordered_map<std::int64_t, std::size_t> index_of;
  Connection& connection = impl_->connection;

  const Statement all(connection,
                      "SELECT key, id, online, first_seen, firmware, board, boot, reset_reason, dropped,"
                      " refused, corrupt, missed, stack_used, stack_size, heap_used, heap_size,"
                      " time_quality, crash_hello, crash_at, last_seen, head_epoch, head_seq,"
                      " forgotten_records, forgotten_lost, log_state, bad_sectors FROM devices ORDER BY key");
  for (Query row(all); row.next();) {
    index_of.emplace(row.integer(0), devices.size());
    devices.push_back(device_of(row));
  }
  const auto device = [&](const Query& row) -> DeviceState& {
    const auto known = index_of.find(row.integer(0));
    if (known != index_of.end()) return devices[known->second];
    throw StoreError("the database is damaged: it has a stream, table or boot of device " +
                         std::to_string(row.integer(0)) + ", but no such device: restore a copy",
                     StoreTrouble::kDamaged);
  };
  const Statement streams(
      connection, "SELECT device, epoch, first_seq, expected, records, lost FROM streams ORDER BY key");
  for (Query row(streams); row.next();) {
    device(row).streams.push_back({.mark = {.epoch = {row.bits(1)}, .first_seq = {row.bits(2)}},
                                   .expected = {row.bits(3)},
                                   .records = row.bits(4),
                                   .lost = row.bits(5)});
  }
  const Statement tables(connection,
                         "SELECT tables.device, hash, digest, conflict IS NOT NULL, rows_max,"
                         " (SELECT count(*) FROM channels"
                         "  WHERE channels.device = tables.device AND channels.hash = tables.hash),"
                         " (SELECT sum(abs(exponent)) FROM channels"
                         "  WHERE channels.device = tables.device AND channels.hash = tables.hash)"
                         " FROM tables LEFT JOIN latest USING (device, hash)"
                         " ORDER BY tables.device, offset, hash");
  for (Query row(tables); row.next();) {
    device(row).tables.push_back({.hash = row.word(1),
                                  .digest = row.bits(2),
                                  .conflict = row.integer(3) != 0,
                                  .rows_max = row.word(4),
                                  .row_size = row_json_size(row.word(5), row.word(6))});
  }
  const Statement boots(connection, "SELECT device, epoch, unix_time, quality FROM boots ORDER BY key");
  for (Query row(boots); row.next();) {
    device(row).boots.push_back(
        {.epoch = {row.bits(1)},
         .time = {.unix_time = {row.integer(2)}, .quality = static_cast<codec::TimeQuality>(row.word(3))}});
  }
  return devices;
}

void Store::Impl::commit_once(Changes& changes) {
  current_device = {};
  current_event.reset();
  try {
    roll_back();
    run(begin);
    write(changes);
    current_device = {};
    run(commit);
    term_stored = term_stored || !changes.events.empty();
  } catch (const SqliteError& error) {
    keys.clear();  // of devices that are not there now
    try {
      roll_back();
    } catch (const SqliteError&) {
      // The first error is the one to report.
    }
    if (!error.refused() || current_device.empty()) throw;
    throw Refused(error.what(), current_device, current_event);
  }
}

void Store::commit(Changes& changes) {
  try {
    impl_->commit_once(changes);
  } catch (const SqliteError& error) {
    if (!error.damaged()) throw;
    impl_->lost = impl_->lost.value_or(0) + rebuild(impl_->files, impl_->directory / kDatabaseName);
    impl_->commit_once(changes);
  }
  for (const auto& [device, hash] : changes.forgotten_tables) impl_->reader.forget_table(device.view(), hash);
  for (const auto& [device, conflict] : changes.conflicts) {
    impl_->reader.forget_table(device.view(), conflict.hash);
  }
}

std::optional<std::int64_t> Store::take_rebuilt() { return std::exchange(impl_->lost, std::nullopt); }

bool Store::quarantine_has_room(std::string_view device) {
  const auto count = [this](std::string_view of) {
    Query row(impl_->count_quarantined, of);
    return row.next() ? row.integer(0) : 0;
  };
  return count("") < kQuarantineMax && count(device) < kQuarantinePerDeviceMax;
}

void Store::checkpoint() {
  if (impl_->wal_pages < impl_->checkpoint_at_pages) return;
  sqlite3* const connection = impl_->connection.get();
  const bool too_long = static_cast<std::size_t>(impl_->wal_pages) >= kWalSizeMax / kPageSize;
  int pages = 0;
  int moved = 0;
  // The log starts over at a commit that finds all of it moved and nobody reading it: with readers that
  // overlap for ever that never comes, unless new ones are let wait for the old.
  if (too_long) sqlite3_busy_timeout(connection, kRestartTimeoutMs);
  const int code = sqlite3_wal_checkpoint_v2(
      connection, nullptr, too_long ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  if (too_long) sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  // Complete: the next commit starts the file over. Otherwise a reader held it up, or the disk: later.
  const bool complete = code == SQLITE_OK && moved == pages;
  impl_->checkpoint_at_pages = complete ? kCheckpointPages : impl_->wal_pages + kCheckpointPages;
}

std::optional<double> Store::free_share() const {
  const auto space = impl_->files.space(impl_->directory);
  if (!space || space->total_bytes == 0) return std::nullopt;
  return static_cast<double>(space->free_bytes) / static_cast<double>(space->total_bytes);
}

Store::Sizes Store::sizes() const {
  const auto size = [this](const char* name) {
    return impl_->files.size(impl_->directory / name).value_or(0);
  };
  const auto space = impl_->files.space(impl_->directory);
  Sizes sizes{.database_bytes = size("godwit.db"), .wal_bytes = size("godwit.db-wal"), .disk_free_bytes = {}};
  if (space) sizes.disk_free_bytes = space->free_bytes;
  return sizes;
}

const LogReader& Store::reader() const { return impl_->reader; }
void Store::interrupt_reads() { impl_->reader.interrupt(); }

}  // namespace godwit::gateway
