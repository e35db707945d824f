// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/reader.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "gateway/domain/event_json.h"
#include "gateway/store/database.h"
#include "gateway/store/sqlite.h"

namespace godwit::gateway {
namespace {

// How many steps of SQLite's machine, some 10 us of it, lie between two questions whether to give up.
constexpr int kStepsBetweenQuestions = 1000;
// A filter that most events pass is applied to so many at a time: between two such pieces a read may end.
constexpr std::int64_t kWindow = 2000;

constexpr std::string_view kColumns =
    "SELECT log.offset, type, id, received_at, epoch, seq, count, loss_reason, batch, hello FROM ";

// A device that is not there is damage, see event_of().
std::string events_from(std::string_view source, std::string_view rest) {
  return std::string(kColumns) + std::string(source) + " LEFT JOIN devices ON devices.key = log.device " +
         std::string(rest);
}

// The offsets above ?1, up to ?2, at most ?4: one index search for each type that has its bit in ?3, merged,
// and one for what is lost, whatever it was. Costs what it finds.
std::string hits(std::string_view index, std::string_view condition, bool telemetry) {
  std::string sql =
      "SELECT offset FROM log INDEXED BY log_by_type WHERE type = " + std::to_string(kLostType) +
      " AND type <> 1 AND offset > ?1 AND offset <= ?2";
  for (const EventType type : event_types()) {
    if (type == EventType::kTelemetry && !telemetry) continue;
    const std::string number = std::to_string(static_cast<int>(type));
    sql += " UNION ALL SELECT offset FROM log INDEXED BY " + std::string(index) + " WHERE type = " + number +
           std::string(condition) + " AND offset > ?1 AND offset <= ?2 AND (?3 >> " + number + ") & 1";
  }
  return sql + " ORDER BY 1 LIMIT ?4";
}

constexpr const char* kDevices =
    "SELECT id, online, first_seen, last_seen, firmware, board, boot, reset_reason, key, dropped, refused,"
    " corrupt, missed, stack_used, stack_size, heap_used, heap_size, time_quality, crash_hello, crash_at,"
    " head_epoch, head_seq, forgotten_records, forgotten_lost, log_state, bad_sectors FROM devices ";

// One bit for each type, and that of what is lost; -1: all, whatever they are.
std::int64_t mask_of(const std::vector<EventType>& types) {
  if (types.empty()) return -1;
  std::int64_t mask = std::int64_t{1} << kLostType;
  for (const EventType type : types) mask |= std::int64_t{1} << static_cast<unsigned>(type);
  return mask;
}
constexpr std::int64_t kTelemetryBit = std::int64_t{1} << static_cast<unsigned>(EventType::kTelemetry);

// nullopt: it is lost, or no gateway has written this.
std::optional<Event> event_of(const Query& row) {
  const auto type = std::ranges::find(event_types(), row.integer(1),
                                      [](EventType known) { return static_cast<std::int64_t>(known); });
  const std::string_view device = row.text(2);
  if (type == event_types().end() || device.empty()) return std::nullopt;
  Event event;
  event.offset = {row.integer(0)};
  event.type = *type;
  event.device = device;
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

// What a page's bound counts: the row as it is stored.
std::size_t stored_size(const Event& event) {
  constexpr std::size_t kFields = 32;  // the numbers and the row's frame, about
  return kFields + event.batch.size() + event.hello.size();
}

}  // namespace

struct Reader::Session {
  Session(const Files& files, const std::filesystem::path& file)
      : connection(open_for_reading(files, file)) {}

  Connection connection;
  Statement begin{connection, "BEGIN"};
  Statement end{connection, "COMMIT"};
  Statement all{connection, events_from("log",
                                        "WHERE log.offset > ?1 AND log.offset <= ?2"
                                        " AND (?3 < 0 OR (1 << type) & ?3) ORDER BY log.offset LIMIT ?4")};
  Statement hits_of_device{
      connection, hits("log_by_device", " AND device = (SELECT key FROM devices WHERE id = ?5)", true)};
  Statement hits_without_telemetry{connection, hits("log_by_type", " AND type <> 1", false)};
  Statement at{connection, events_from("log", "WHERE log.offset = ?1")};
  Statement latest{
      connection,
      events_from("latest CROSS JOIN log ON log.offset = latest.offset",
                  "WHERE latest.device = (SELECT key FROM devices WHERE id = ?1) ORDER BY log.offset")};
  // From AUTOINCREMENT's memory, so that it does not fall when the log is trimmed.
  Statement last{connection, "SELECT seq FROM sqlite_sequence WHERE name = 'log'"};
  Statement first{connection, "SELECT offset FROM log ORDER BY offset LIMIT 1"};
  // Newest first, so that those of a page are at the front.
  Statement terms{connection,
                  "SELECT first_offset, term FROM terms WHERE first_offset <= ?1 ORDER BY first_offset DESC"};
  Statement term_range{connection,
                       "SELECT first_offset, (SELECT min(later.first_offset) FROM terms AS later"
                       " WHERE later.first_offset > terms.first_offset) FROM terms WHERE term = ?1"};
  Statement devices{connection, std::string(kDevices) + "WHERE id > ?1 ORDER BY id LIMIT ?2"};
  Statement device{connection, std::string(kDevices) + "WHERE id = ?1"};
  Statement streams{connection,
                    "SELECT epoch = ?2 AND first_seq = ?3, expected, records, lost FROM streams"
                    " WHERE device = ?1"};
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

  [[nodiscard]] LogOffset last_offset() const {
    Query row(last);
    return {row.next() ? row.integer(0) : 0};
  }
  // Of the oldest event there is, or of the next one. If the oldest ones cannot be read, what was trimmed
  // before them is part of that gap.
  [[nodiscard]] LogOffset first_offset() const try {
    Query row(first);
    return {row.next() ? row.integer(0) : last_offset().value + 1};
  } catch (const SqliteError& error) {
    if (error.damaged()) return {1};
    throw;
  }
  [[nodiscard]] LogId id_of(LogOffset offset) const {
    if (offset.value == 0) return {};
    Query row(terms, offset.value);
    return {offset, {row.next() ? row.word(1) : 0}};
  }
  // `events` ascending.
  void set_terms(std::vector<Event>& events) const {
    if (events.empty()) return;
    Query row(terms, events.back().offset.value);
    bool found = row.next();
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
      while (found && row.integer(0) > event->offset.value) found = row.next();
      if (found) event->term = {row.word(1)};
    }
  }

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
    info.stream = {.epoch = head, .next_seq = {}, .records = row.bits(22), .lost_records = row.bits(23)};
    // Not summed up by SQLite, which fails if 63 bits are not enough: a device may claim any loss.
    for (Query stream(streams, row.integer(8), head.value, row.bits(21)); stream.next();) {
      if (stream.integer(0) != 0) info.stream->next_seq = {stream.bits(1)};
      info.stream->records += stream.bits(2);
      info.stream->lost_records += stream.bits(3);
    }
    return info;
  }
};

// A session for one call, inside a read transaction: all of its statements see the same state.
class Reader::Lease {
 public:
  explicit Lease(const Reader& reader) : reader_(reader) {
    if (reader_.interrupted_) throw StoreError("reading has been stopped");
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
      ask_now_and_then();
      run(session_->begin);
    } catch (...) {
      discard();
      throw;
    }
  }
  ~Lease() {
    give_up_ = nullptr;
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

  // While `give_up` says so, statements end with SQLITE_INTERRUPT. Must outlive its use; nullptr: none.
  void set_give_up(const std::function<bool()>* give_up) { give_up_ = give_up; }

 private:
  void ask_now_and_then() {
    const auto asked = [](void* self) -> int {
      const auto& lease = *static_cast<const Lease*>(self);
      return lease.reader_.interrupted_ || (lease.give_up_ != nullptr && (*lease.give_up_)()) ? 1 : 0;
    };
    sqlite3_progress_handler(session_->connection.get(), kStepsBetweenQuestions, asked, this);
  }

  void discard() {
    session_.reset();
    const std::lock_guard lock(reader_.mutex_);
    --reader_.sessions_;
    reader_.returned_.notify_one();
  }

  const Reader& reader_;
  std::unique_ptr<Session> session_;
  const std::function<bool()>* give_up_ = nullptr;
};

Reader::Reader(const Files& files, std::filesystem::path file) : files_(files), file_(std::move(file)) {}
Reader::~Reader() = default;

void Reader::interrupt() { interrupted_ = true; }

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

// One read of a page, within one transaction.
class Reader::PageRead {
 public:
  PageRead(const Session& session, const Filter& filter, const PageBounds& bounds)
      : session_(session), filter_(filter), bounds_(bounds) {}

  LogPage run(LogOffset after) {
    end_ = std::min(session_.last_offset(), bounds_.up_to);
    after_ = after;
    through_ = after;
    const LogOffset first = session_.first_offset();
    if (first.value > after.value + 1) {
      through_ = {first.value - 1};
      page_.gap =
          LogGap{.reason = GapReason::kTrimmed, .from = {after.value + 1}, .to = through_, .next = {}};
    }
    while (!scanned()) {
    }
    return std::move(page_);
  }
  [[nodiscard]] LogOffset through() const { return through_; }

 private:
  // False: what cannot be read is passed over, the rest is to be scanned.
  bool scanned() {
    try {
      scan();
    } catch (const SqliteError& error) {
      const bool progress = page_.gap || !page_.events.empty() || through_ != after_;
      if (error.damaged() && !row_by_row_) {
        row_by_row_ = true;  // an index may be what is damaged, and a filter hides where
        return false;
      }
      if (error.damaged() && skip_damaged(last_unreadable())) return false;
      if (!error.damaged() && !(error.interrupted() && progress)) throw;
      page_.more = true;
    }
    return true;
  }

  void scan() {
    const std::int64_t mask = mask_of(filter_.types);
    if (row_by_row_) {
      take_rows_up_to_end(-1);
    } else if (!filter_.device.empty()) {
      take_hits_up_to_end(session_.hits_of_device, mask, std::string_view(filter_.device));
    } else if ((mask & kTelemetryBit) == 0) {
      take_hits_up_to_end(session_.hits_without_telemetry, mask);
    } else {
      take_rows_up_to_end(mask);
    }
  }

  void take_rows_up_to_end(std::int64_t mask) {
    while (through_ < end_ && !page_.more) {
      take_rows({std::min(end_.value, through_.value + kWindow)}, mask);
    }
  }

  // The end of what begins behind `through_`: twice as far each time until reading works, then between.
  LogOffset last_unreadable() {
    const std::int64_t first = through_.value + 1;
    std::int64_t bad = first;
    std::int64_t good = first;
    for (std::int64_t step = 1; good == first; step *= 2) {
      const std::int64_t next = std::min(first + step, end_.value + 1);
      if (next > end_.value || readable(next)) {
        good = next;
      } else {
        bad = next;
      }
    }
    while (good - bad > 1) {
      const std::int64_t middle = bad + (good - bad) / 2;
      (readable(middle) ? good : bad) = middle;
    }
    return {good - 1};
  }

  [[nodiscard]] bool readable(std::int64_t offset) const {
    try {
      Query row(session_.all, offset - 1, end_.value, std::int64_t{-1}, 1);
      row.next();
      return true;
    } catch (const SqliteError& error) {
      if (!error.damaged()) throw;
      return false;
    }
  }

  // One more than wanted tells whether there is more. SQLite takes a negative limit for none.
  [[nodiscard]] std::int64_t limit() const {
    const std::size_t left = bounds_.events - page_.events.size();
    if (row_by_row_) return -1;  // rows of which some pass
    return left < INT64_MAX ? static_cast<std::int64_t>(left) + 1 : -1;
  }

  void take_rows(LogOffset end, std::int64_t mask) {
    const bool all = mask < 0;  // then no offset can be missing
    const std::int64_t most = limit();
    std::int64_t rows = 0;
    Query row(session_.all, through_.value, end.value, mask, most);
    while (row.next()) {
      ++rows;
      const LogOffset offset{row.integer(0)};
      if (all && offset.value > through_.value + 1 && !skip_damaged({offset.value - 1})) return;
      if (!add(offset, event_of(row))) return;
    }
    if (rows == most) return;  // some are in a gap: there may be more
    if (all && through_ < end && !skip_damaged(end)) return;
    through_ = std::max(through_, end);
  }

  template <typename... More>
  void take_hits_up_to_end(const Statement& statement, std::int64_t mask, const More&... more) {
    while (through_ < end_ && !page_.more) take_hits(statement, mask, more...);
  }

  template <typename... More>
  void take_hits(const Statement& statement, std::int64_t mask, const More&... more) {
    const std::int64_t most = limit();
    std::int64_t hits = 0;
    Query hit(statement, through_.value, end_.value, mask, most, more...);
    while (hit.next()) {
      ++hits;
      const LogOffset offset{hit.integer(0)};
      Query row(session_.at, offset.value);
      if (!add(offset, row.next() ? event_of(row) : std::nullopt)) return;
    }
    if (hits == most) return;  // some are in a gap: there may be more
    through_ = std::max(through_, end_);
  }

  // These two are false if the page has to end in front of it.
  bool add(LogOffset offset, std::optional<Event> event) {
    if (!event) return skip_damaged(offset);
    if (row_by_row_ && !passes(filter_, event->type, event->device)) {
      through_ = offset;
      return true;
    }
    if (page_.events.size() >= bounds_.events || bytes_ >= bounds_.bytes) {
      page_.more = true;
      return false;
    }
    bytes_ += stored_size(*event);
    through_ = offset;
    page_.events.push_back(std::move(*event));
    return true;
  }
  bool skip_damaged(LogOffset to) {
    if (page_.events.empty() && (!page_.gap || page_.gap->reason == GapReason::kDamaged)) {
      const LogOffset from = page_.gap ? page_.gap->from : LogOffset{through_.value + 1};
      page_.gap = LogGap{.reason = GapReason::kDamaged, .from = from, .to = to, .next = {}};
      through_ = to;
      return true;
    }
    page_.more = true;  // a page has its gap in front
    return false;
  }

  const Session& session_;
  const Filter& filter_;
  const PageBounds& bounds_;
  LogPage page_;
  LogOffset after_;
  LogOffset through_;
  LogOffset end_;
  std::size_t bytes_ = 0;
  bool row_by_row_ = false;  // and all of them, whatever the filter
};

LogPage Reader::read(LogOffset after, const Filter& filter, const PageBounds& bounds) const {
  Lease session(*this);
  PageRead read(*session.operator->(), filter, bounds);
  if (bounds.give_up) session.set_give_up(&bounds.give_up);
  LogPage page = read.run(after);
  session.set_give_up(nullptr);
  session->set_terms(page.events);
  page.through = session->id_of(read.through());
  if (page.gap) page.gap->next = session->id_of(page.gap->to);
  return page;
}

LogEnds Reader::ends() const {
  const Lease session(*this);
  return {.before_first = session->id_of({session->first_offset().value - 1}),
          .last = session->id_of(session->last_offset())};
}

Resumption Reader::resume(LogId id) const {
  const Lease session(*this);
  std::optional<TermRange> known;
  Query row(session->term_range, id.term.value);
  if (row.next()) {
    const std::int64_t next = row.integer(1);  // NULL, which reads as 0, of the newest term
    known = TermRange{.first = {row.integer(0)},
                      .last = next == 0 ? session->last_offset() : LogOffset{next - 1}};
  }
  return gateway::resume(id, known);
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
  while (row.next()) {
    if (auto event = event_of(row)) events.push_back(std::move(*event));
  }
  session->set_terms(events);
  return events;
}

}  // namespace godwit::gateway
