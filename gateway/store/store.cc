// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/store.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "gateway/store/database.h"
#include "gateway/store/reader.h"
#include "gateway/store/sqlite.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

// 4 MB of write-ahead log: large enough to write each page of the database once for many commits.
constexpr int kCheckpointPages = 1000;

}  // namespace

struct Store::Impl {
  Impl(const std::filesystem::path& directory, Term drawn)
      : lock(directory),
        connection(open_for_writing(directory / "godwit.db")),
        reader(directory / "godwit.db"),
        term(unused_term(drawn)) {
    sqlite3_wal_hook(connection.get(), &Impl::on_commit, this);
  }

  static int on_commit(void* self, sqlite3*, const char*, int pages) {
    static_cast<Impl*>(self)->wal_pages = pages;
    return SQLITE_OK;
  }

  Term unused_term(Term drawn);
  std::int64_t key_of(std::string_view device);
  void write(Changes& changes);
  void write_device(const DeviceState& device, const Changes& changes);
  void write_event(Event& event);
  void write_table(const Changes::Table& table);

  DirectoryLock lock;
  Connection connection;
  Reader reader;                                       // after the connection, which makes the file
  std::unordered_map<std::string, std::int64_t> keys;  // devices.key by devices.id
  int wal_pages = 0;
  int checkpoint_at_pages = kCheckpointPages;
  const Term term;
  bool term_stored = false;  // with its first event

  Statement begin{connection, "BEGIN IMMEDIATE"};
  Statement commit{connection, "COMMIT"};
  Statement find_key{connection, "SELECT key FROM devices WHERE id = ?1"};
  Statement put_device{
      connection,
      "INSERT INTO devices (id, online, first_seen, firmware, board, boot, reset_reason,"
      " dropped, refused, corrupt, missed, stack_used, stack_size, heap_used, heap_size, time_quality,"
      " crash_hello, crash_at)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
      " ON CONFLICT (id) DO UPDATE SET"
      " online = ?2, first_seen = ?3, firmware = ?4, board = ?5, boot = ?6, reset_reason = ?7,"
      " dropped = ?8, refused = ?9, corrupt = ?10, missed = ?11, stack_used = ?12, stack_size = ?13,"
      " heap_used = ?14, heap_size = ?15, time_quality = ?16, crash_hello = ?17, crash_at = ?18"};
  Statement put_event{
      connection,
      "INSERT INTO log (type, device, received_at, epoch, seq, count, loss_reason, batch, hello)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"};
  Statement put_term{connection, "INSERT INTO terms (first_offset, term) VALUES (?1, ?2)"};
  Statement put_stream{
      connection,
      "INSERT INTO streams (device, epoch, next_seq, records, lost) VALUES (?1, ?2, ?3, ?4, ?5)"
      " ON CONFLICT (device, epoch) DO UPDATE SET next_seq = ?3, records = ?4, lost = ?5"};
  Statement drop_stream{connection, "DELETE FROM streams WHERE device = ?1 AND epoch = ?2"};
  Statement put_latest{connection,
                       "INSERT OR REPLACE INTO latest (device, hash, offset) VALUES (?1, ?2, ?3)"};
  Statement put_table{connection,
                      "INSERT OR REPLACE INTO tables (device, hash, name, period_ms, durable)"
                      " VALUES (?1, ?2, ?3, ?4, ?5)"};
  Statement put_channel{
      connection,
      "INSERT OR REPLACE INTO channels (device, hash, position, name, unit, exponent, min, max)"
      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"};
  Statement put_boot{connection,
                     "INSERT OR REPLACE INTO boots (device, epoch, boot, unix_time) VALUES (?1, ?2, ?3, ?4)"};
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
  std::optional<std::uint64_t> loss_reason;
  if (event.type == EventType::kLoss) {
    count = event.count;
    loss_reason = static_cast<std::uint64_t>(event.loss_reason);
  }
  run(put_event, static_cast<int>(event.type), key_of(event.device), event.received_at.value,
      event.epoch.value, event.seq.value, count, loss_reason, as_bytes(event.batch), as_bytes(event.hello));
  event.offset = {sqlite3_last_insert_rowid(connection.get())};
  event.term = term;
}

void Store::Impl::write_table(const Changes::Table& entry) {
  const std::int64_t device = key_of(entry.device.view());
  const TableInfo& table = entry.table;
  run(put_table, device, table.hash, std::string_view(table.name), table.period_ms, table.durable);
  std::size_t position = 0;
  for (const ChannelInfo& channel : table.channels) {
    run(put_channel, device, table.hash, position++, std::string_view(channel.name),
        std::string_view(channel.unit), channel.exponent, channel.min, channel.max);
  }
}

// After the events, whose offsets it needs.
void Store::Impl::write_device(const DeviceState& device, const Changes& changes) {
  const std::int64_t key = key_of(device.id.view());
  for (const StreamState& stream : device.streams) {
    if (!stream.changed) continue;
    run(put_stream, key, stream.epoch.value, stream.expected.value, stream.records, stream.lost);
  }
  for (const TableState& table : device.tables) {
    if (table.latest) run(put_latest, key, table.hash, changes.events[*table.latest].offset.value);
  }
}

void Store::Impl::write(Changes& changes) {
  for (const DeviceState* const device : changes.devices) {
    if (!device->changed) continue;
    run(put_device, device->id.view(), device->online, device->first_seen.value,
        std::string_view(device->firmware), std::string_view(device->board), device->boot,
        static_cast<std::uint32_t>(device->reset_reason), device->counters.dropped_records,
        device->counters.refused_records, device->counters.corrupt_records, device->counters.missed_samples,
        device->health.stack_used, device->health.stack_size, device->health.heap_used,
        device->health.heap_size, static_cast<std::uint32_t>(device->health.time_quality),
        as_bytes(device->last_crash.hello), device->last_crash.received_at.value);
  }
  for (Event& event : changes.events) write_event(event);
  if (!term_stored && !changes.events.empty()) {
    run(put_term, changes.events.front().offset.value, term.value);
  }
  for (const Changes::Forgotten& stream : changes.forgotten) {
    run(drop_stream, key_of(stream.device.view()), stream.epoch.value);
  }
  for (const DeviceState* const device : changes.devices) write_device(*device, changes);
  for (const Changes::Table& table : changes.tables) write_table(table);
  for (const Changes::Boot& boot : changes.boots) {
    run(put_boot, key_of(boot.device.view()), boot.epoch.value, boot.boot, boot.unix_time.value);
  }
}

Store::Store(const std::filesystem::path& directory, Term term)
    : impl_(std::make_unique<Impl>(directory, term)) {}
Store::~Store() = default;

std::vector<DeviceState> Store::load() {
  std::vector<DeviceState> devices;
  std::unordered_map<std::int64_t, std::size_t> index_of;
  Connection& connection = impl_->connection;

  const Statement all(connection,
                      "SELECT key, id, online, first_seen, firmware, board, boot, reset_reason, dropped,"
                      " refused, corrupt, missed, stack_used, stack_size, heap_used, heap_size,"
                      " time_quality, crash_hello, crash_at FROM devices");
  for (Query row(all); row.next();) {
    const auto id = DeviceId::parse(row.text(1));
    if (!id)
      throw StoreError("the database names a device \"" + std::string(row.text(1)) + "\", which is no name");
    index_of.emplace(row.integer(0), devices.size());
    DeviceState& device = devices.emplace_back(*id);
    device.online = row.integer(2) != 0;
    device.first_seen = {row.integer(3)};
    device.firmware = row.text(4);
    device.board = row.text(5);
    device.boot = row.word(6);
    device.reset_reason = static_cast<codec::ResetReason>(row.word(7));
    device.counters = {.dropped_records = row.bits(8),
                       .refused_records = row.bits(9),
                       .corrupt_records = row.bits(10),
                       .missed_samples = row.bits(11)};
    device.health = {.stack_used = row.word(12),
                     .stack_size = row.word(13),
                     .heap_used = row.word(14),
                     .heap_size = row.word(15),
                     .time_quality = static_cast<codec::TimeQuality>(row.word(16))};
    device.last_crash = {.hello = std::string(row.text(17)), .received_at = {row.integer(18)}};
  }
  const auto device_of = [&](std::int64_t key) -> DeviceState& {
    const auto known = index_of.find(key);
    if (known != index_of.end()) return devices[known->second];
    throw StoreError("the database is damaged: it has a stream or table of device " + std::to_string(key) +
                     ", but no such device");
  };
  const Statement streams(connection,
                          "SELECT device, epoch, next_seq, records, lost FROM streams ORDER BY key");
  for (Query row(streams); row.next();) {
    StreamState& stream = device_of(row.integer(0)).streams.emplace_back();
    stream.epoch = {row.bits(1)};
    stream.expected = {row.bits(2)};
    stream.records = row.bits(3);
    stream.lost = row.bits(4);
  }
  const Statement tables(connection, "SELECT device, hash FROM tables");
  for (Query row(tables); row.next();) {
    device_of(row.integer(0)).tables.emplace_back().hash = row.word(1);
  }
  return devices;
}

void Store::commit(Changes& changes) {
  try {
    run(impl_->begin);
    impl_->write(changes);
    run(impl_->commit);
    impl_->term_stored = impl_->term_stored || !changes.events.empty();
  } catch (const SqliteError&) {
    // Some errors end the transaction by themselves.
    if (sqlite3_get_autocommit(impl_->connection.get()) == 0) impl_->connection.execute("ROLLBACK");
    impl_->keys.clear();  // of devices that are not there now
    throw;
  }
}

void Store::checkpoint() {
  if (impl_->wal_pages < impl_->checkpoint_at_pages) return;
  int pages = 0;
  int moved = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(impl_->connection.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  // Complete: the next commit starts the file over. Otherwise a reader held it up, or the disk: later.
  const bool complete = code == SQLITE_OK && moved == pages;
  impl_->checkpoint_at_pages = complete ? kCheckpointPages : impl_->wal_pages + kCheckpointPages;
}

const LogReader& Store::reader() const { return impl_->reader; }
void Store::interrupt_reads() { impl_->reader.interrupt(); }

}  // namespace godwit::gateway
