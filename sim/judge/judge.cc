// SPDX-License-Identifier: Apache-2.0
#include "sim/judge/judge.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "proto/codec/samples.h"
#include "sim/judge/fnv1a.h"

namespace godwit::sim {
namespace {

constexpr std::int64_t kTimeTolerance_ms = 1'000;

std::string text(std::uint64_t value) { return std::to_string(value); }
std::string text(EventId id) { return std::to_string(id.offset) + "-" + std::to_string(id.term); }

// The rows as an event shows them, if all exponents are 0.
std::string json_of(const RowSource& source, const RowRange& range) {
  std::string json;
  std::array<std::int64_t, codec::kChannelsMax> row{};
  const auto channels = source.channels();
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    json += (channel == 0 ? "{\"" : ",\"") + std::string(channels[channel].name) + "\":[";
    for (std::uint64_t i = 0; i < range.count; ++i) {
      source.row(range.first + i, std::span(row).first(channels.size()));
      json += (i == 0 ? "" : ",") + std::to_string(row[channel]);
    }
    json += "]";
  }
  return json + "}";
}

}  // namespace

void Judge::fail(std::string_view kind, const Device& device, const std::string& what) const {
  throw Violation(kind, device.id + ": " + what);
}

std::string Judge::name(const Record& record) const {
  const std::string seq = "record " + text(record.seq.value);
  if (record.rows == 0) return seq;
  return seq + " (rows " + text(record.first) + " to " + text(record.first + record.rows - 1) + ")";
}

// --- What devices do ---

std::size_t Judge::add_device(std::string_view id, std::uint64_t seed, std::size_t rows_max) {
  return add(id, std::make_shared<SeededRows>(seed), rows_max);
}

std::size_t Judge::add_device(std::string_view id, const RowSource* rows, std::size_t rows_max) {
  return add(id, std::shared_ptr<const RowSource>(std::shared_ptr<const RowSource>(), rows), rows_max);
}

std::size_t Judge::add(std::string_view id, std::shared_ptr<const RowSource> rows, std::size_t rows_max) {
  by_id_.emplace(id, devices_.size());
  devices_.emplace_back();
  devices_.back().id = id;
  devices_.back().source = std::move(rows);
  devices_.back().rows_max = rows_max;
  return devices_.size() - 1;
}

std::optional<std::size_t> Judge::find_device(std::string_view id) const {
  const auto found = by_id_.find(std::string(id));
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

void Judge::booted(std::size_t index) {
  Device& device = devices_[index];
  device.boot_row = device.rows.size();
  device.next_row = device.boot_row;
}

void Judge::sampled(std::size_t device, UnixMillis true_time, Clock clock) {
  devices_[device].rows.push_back({.true_time = true_time, .clock = clock});
}

void Judge::clock_misled(std::size_t index) {
  Device& device = devices_[index];
  for (std::size_t n = device.boot_row; n < device.rows.size(); ++n) {
    if (device.rows[n].clock == Clock::kUnset) device.rows[n].clock = Clock::kFalse;
  }
}

RecordId Judge::appended(std::size_t index, Epoch epoch, Seq seq, Bytes batch) {
  Device& device = devices_[index];
  std::expected<RowRange, Status> range;
  if (device.source != nullptr) range = rows_of(*device.source, device.rows_max, batch);
  if (!range) fail("wrong_rows", device, "appended as record " + text(seq.value) + " what was never sampled");
  if (range->first + range->count > device.rows.size())
    fail("wrong_rows", device, "appended a row before it was sampled");
  if (device.next_row && range->first != *device.next_row) {
    fail("row_lost", device,
         "record " + text(seq.value) + " begins with row " + text(range->first) + ", and row " +
             text(*device.next_row) + " was never appended");
  }
  device.next_row = range->first + range->count;
  const auto id = static_cast<RecordId>(records_.size());
  for (std::uint64_t n = range->first; n < range->first + range->count; ++n) {
    if (device.rows[n].owner != 0) fail("appended_twice", device, "row " + text(n) + " is in two records");
    device.rows[n].owner = id;
  }
  records_.push_back({.device = index,
                      .epoch = epoch,
                      .seq = seq,
                      .first = range->first,
                      .rows = range->count,
                      .digest = fnv1a(batch),
                      .confirmed = true});
  device.records.push_back(id);
  by_name_[{epoch.value, seq.value}] = id;
  if (device.path.size() <= seq.value) device.path.resize(seq.value + 1);
  device.path[seq.value] = id;
  return id;
}

void Judge::acked(std::size_t index, Seq next) const {
  const Device& device = devices_[index];
  for (std::size_t seq = 1; seq < std::min<std::size_t>(device.path.size(), next.value); ++seq) {
    const Record& record = records_[device.path[seq]];
    if (device.path[seq] == 0 || record.stored || record.lost || record.destroyed) continue;
    // An ack of before the copy may still have been on its way.
    if (next <= device.committed_once && record.ever_settled) continue;
    // Given up before, or hidden by damage: finish() judges how.
    if (!witness_.holds_unharmed(index, device.path[seq])) continue;
    fail("acked_not_stored", device,
         name(record) + " counts as acked up to " + text(next.value) + ", and no commit holds it");
  }
}

// --- What the world does to them ---

void Judge::before_fault(std::optional<std::size_t> of) {
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    if (of && *of != index) continue;
    for (const RecordId id : devices_[index].records) {
      Record& record = records_[id];
      record.safe_before =
          record.stored || record.lost || (of && record.to_be_told) || witness_.holds(index, id);
    }
  }
}

void Judge::after_fault(std::optional<std::size_t> of) {
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    if (of && *of != index) continue;
    for (const RecordId id : devices_[index].records) {
      Record& record = records_[id];
      if (record.stored || record.lost) continue;
      // What was given up as unknown stays so while only harmed bytes of it stand.
      record.destroyed = record.destroyed ? !witness_.holds_unharmed(index, id)
                                          : record.safe_before && !witness_.holds(index, id);
    }
  }
}

void Judge::after_small_fault(std::size_t index) {
  for (const RecordId id : devices_[index].records) {
    Record& record = records_[id];
    const bool taken = record.safe_before && !record.stored && !record.lost && !witness_.holds(index, id);
    record.to_be_told = record.to_be_told || taken;
  }
}

void Judge::mounted(std::size_t index, Seq next) {
  Device& device = devices_[index];
  device.path.resize(std::min<std::size_t>(device.path.size(), next.value));
  device.committed_once = std::min(device.committed_once, next);
}

// A record that the device gave up by its policy, and whose loss was not reported yet, is known from the path
// alone.
void Judge::set_path(std::size_t index, Path path) {
  Device& device = devices_[index];
  for (std::size_t seq = 0; seq < device.path.size(); ++seq) {
    Record& record = records_[device.path[seq]];
    const bool kept = seq < path.size() && path[seq] == device.path[seq];
    if (kept || record.stored || record.lost || witness_.holds(index, device.path[seq])) continue;
    record.destroyed = true;
  }
  device.path = std::move(path);
  device.forked = true;
}

// --- What the gateway has committed ---

RecordId Judge::record_at(const Device& device, Epoch epoch, Seq seq) const {
  const RecordId here = seq.value < device.path.size() ? device.path[seq.value] : 0;
  if (here != 0 && records_[here].epoch == epoch) return here;
  const auto named = by_name_.find({epoch.value, seq.value});
  if (named != by_name_.end() && devices_[records_[named->second].device].id == device.id)
    return named->second;
  return here;
}

RecordId Judge::claim_by_name(const Device& device, const Logged& event) {
  const std::uint64_t digest = fnv1a(event.batch);
  const auto [named, is_new] = by_name_.try_emplace({event.epoch.value, event.seq.value}, records_.size());
  if (is_new) {
    records_.push_back({.device = event.device, .epoch = event.epoch, .seq = event.seq, .digest = digest});
  } else if (records_[named->second].device != event.device || records_[named->second].digest != digest) {
    fail("wrong_content", device, "stored other bytes for " + name(records_[named->second]));
  }
  return named->second;
}

// The record whose rows these are; one that append() had not confirmed is entered now.
RecordId Judge::claim(Device& device, const Logged& event) {
  if (device.source == nullptr) return claim_by_name(device, event);
  const auto range = event.batch.empty() ? rows_of(*device.source, event.values)
                                         : rows_of(*device.source, device.rows_max, event.batch);
  if (!range)
    fail("wrong_content", device, "stored as record " + text(event.seq.value) + " what was never sampled");
  if (range->first + range->count > device.rows.size())
    fail("wrong_content", device, "stored a row before it was sampled");
  const RecordId owner = device.rows[range->first].owner;
  if (owner != 0) {
    const Record& record = records_[owner];
    const bool same = event.batch.empty() ? range->first == record.first && range->count == record.rows
                                          : fnv1a(event.batch) == record.digest;
    if (!same) fail("wrong_content", device, "stored other bytes for " + name(record));
    return owner;
  }
  const auto id = static_cast<RecordId>(records_.size());
  for (std::uint64_t n = range->first; n < range->first + range->count; ++n) {
    if (device.rows[n].owner != 0) fail("wrong_content", device, "stored parts of two records as one");
    device.rows[n].owner = id;
  }
  records_.push_back({.device = event.device,
                      .epoch = event.epoch,
                      .seq = event.seq,
                      .first = range->first,
                      .rows = range->count,
                      .digest = fnv1a(event.batch),
                      .confirmed = false});
  return id;
}

void Judge::store(const Logged& event) {
  Device& device = devices_[event.device];
  Record& record = records_[claim(device, event)];
  const bool again = record.stored || record.lost;
  if (again && std::ranges::find(device.forgotten, event.epoch) != device.forgotten.end()) return;
  if (record.stored) fail("stored_twice", device, name(record) + " is stored twice");
  if (record.lost) fail("stored_and_lost", device, name(record) + " is stored, and a loss names it");
  if (record.seq != event.seq || record.epoch != event.epoch)
    fail("wrong_place", device, name(record) + " is stored as record " + text(event.seq.value));
  Stream& stream = device.streams[event.epoch.value];
  if (event.seq <= stream.seq || record.first < stream.row_end)
    fail("order", device, name(record) + " is stored after record " + text(stream.seq.value));
  stream = {.seq = event.seq, .row_end = record.first + record.rows};
  // Without another copy of the flash there is one path, in which rows only go up.
  if (!device.forked && record.first < device.row_end)
    fail("order", device, name(record) + " is stored after row " + text(device.row_end - 1));
  device.row_end = record.first + record.rows;
  record.stored = record.ever_settled = true;
}

void Judge::begin(Device& device, Epoch epoch) const {
  if (std::ranges::find(device.begun, epoch) != device.begun.end()) return;
  device.begun.push_back(epoch);
  if (device.begun.size() <= kept_) return;
  device.forgotten.push_back(device.begun.front());
  device.begun.erase(device.begun.begin());
}

// Which records a loss names is settled when it is seen first: when a copy of the database shows it again,
// the device may be on another path.
const std::vector<RecordId>& Judge::named_by(const Logged& event) {
  const auto [named, first] = losses_.try_emplace({event.id.offset, event.id.term});
  if (!first) return named->second;
  const Device& device = devices_[event.device];
  // Nothing was appended behind the longest path, so there is nothing to look for.
  const std::uint64_t end =
      std::min<std::uint64_t>(event.seq.value + event.count, device.path.size() + 1'000);
  for (std::uint64_t seq = event.seq.value; seq < end; ++seq) {
    const RecordId id = record_at(device, event.epoch, Seq{seq});
    if (id != 0) named->second.push_back(id);
  }
  return named->second;
}

void Judge::lose(const Logged& event) {
  const Device& device = devices_[event.device];
  // In a copy of the database it is seen again: it was true when it was said, whatever came back since.
  const bool first = !losses_.contains({event.id.offset, event.id.term});
  if (first) check_reason(event);
  for (const RecordId id : named_by(event)) {
    Record& record = records_[id];
    if (record.stored && std::ranges::find(device.forgotten, record.epoch) != device.forgotten.end())
      continue;
    if (record.stored) fail("loss_of_stored", device, "a loss names " + name(record) + ", which is stored");
    if (first && witness_.holds_unharmed(event.device, id))
      fail("loss_of_held", device, "a loss names " + name(record) + ", which the flash still holds");
    const bool again = std::ranges::find(device.forgotten, record.epoch) != device.forgotten.end();
    if (record.lost && !again) fail("lost_twice", device, "two losses name " + name(record));
    if (event.reason == Logged::Reason::kAcked && !record.ever_settled)
      fail("wrong_reason", device,
           name(record) + " is said to be given up after an ack, and was never stored or lost");
    record.lost = record.ever_settled = true;
  }
}

void Judge::check_reason(const Logged& event) const {
  const Device& device = devices_[event.device];
  const std::string which = "a loss at " + text(event.seq.value) + " is said to be ";
  if (event.reason == Logged::Reason::kDamaged && device.flash == Flash::kWhole)
    fail("wrong_reason", device, which + "damage, and nothing befell the flash");
  if (event.reason == Logged::Reason::kDropped && !device.drops)
    fail("wrong_reason", device, which + "dropped, and a full log refuses");
}

// The gateway says that it cannot know what it never had of the path before this place, nor of one that was
// given up unread for a log that begins anew.
void Judge::lose_before(const Logged& event) {
  Device& device = devices_[event.device];
  const std::size_t end = std::min<std::size_t>(event.seq.value, device.path.size());
  for (std::size_t seq = 0; seq < end; ++seq) {
    Record& record = records_[device.path[seq]];
    if (device.path[seq] == 0 || record.stored || record.lost) continue;
    if (witness_.holds_unharmed(event.device, device.path[seq]))
      fail("loss_of_held", device, name(record) + " is said to be unknown, and the flash still holds it");
    record.lost = record.ever_settled = true;
  }
  for (const RecordId id : device.records) {
    Record& record = records_[id];
    const bool on_path = record.seq.value < device.path.size() && device.path[record.seq.value] == id;
    if (on_path || record.stored || record.lost || witness_.holds_unharmed(event.device, id)) continue;
    record.destroyed = true;  // and stored after all if a copy of that log comes back
  }
}

void Judge::logged(const Logged& event) {
  if (!log_.empty() && event.id.offset <= log_.back().id.offset)
    throw Violation("log_order", "offset " + std::to_string(event.id.offset) + " comes after " +
                                     std::to_string(log_.back().id.offset));
  const auto shown = parse_shown(event.json);
  if (!shown) throw Violation("log_json", "the event is no JSON object: " + std::string(event.json));
  LogItem item{.id = event.id,
               .digest = shown->digest,
               .raw = fnv1a(as_bytes(shown->content)),
               .audience = event.audience,
               .noted = event.digest};
  if (event.kind == Logged::Kind::kRecord && !event.batch.empty()) {
    const Device& device = devices_[event.device];
    if (device.source != nullptr) {
      if (const auto range = rows_of(*device.source, device.rows_max, event.batch))
        item.rows = fnv1a(as_bytes(json_of(*device.source, *range)));
    }
  }
  log_.push_back(item);
  if (event.kind <= Logged::Kind::kEpoch) begin(devices_[event.device], event.epoch);
  if (event.kind == Logged::Kind::kReplaced || event.kind == Logged::Kind::kUnknownBefore)
    devices_[event.device].place = event.seq;
  const Flash flash = event.kind == Logged::Kind::kReplaced ? devices_[event.device].flash : Flash::kUnknown;
  if (!replaced_ && (flash == Flash::kWhole || flash == Flash::kTouched))
    fail("false_fork", devices_[event.device],
         "its log is said to go on at " + text(event.seq.value) + " on another path, and it has only one");
  if (event.places > 0) take_places(event);
  if (event.kind == Logged::Kind::kRecord) store(event);
  if (event.kind == Logged::Kind::kLoss) lose(event);
  if (event.kind == Logged::Kind::kUnknownBefore) lose_before(event);
  if (event.kind == Logged::Kind::kOnline || event.kind == Logged::Kind::kOffline) {
    Device& device = devices_[event.device];
    const bool online = event.kind == Logged::Kind::kOnline;
    // Before the log's first event it is offline; where another one was shown first, that is not known.
    const bool known = device.online || log_.front().id.offset == 1;
    if (known && device.online.value_or(false) == online)
      fail("presence", device,
           std::string("is said to go ") + (online ? "online" : "offline") + " twice in a row");
    device.online = online;
  }
}

void Judge::take_places(const Logged& event) {
  Device& device = devices_[event.device];
  const Seq due = std::exchange(device.place, event.seq + event.places);
  if (due != Seq{} && event.seq != due)
    fail("order", device,
         "the log tells of entry " + text(event.seq.value) + ", where " + text(due.value) + " is due");
}

void Judge::log_replaced() {
  log_.clear();
  for (Device& device : devices_) {
    device.committed_once = std::max(device.committed_once, device.place);
    for (const RecordId id : device.records) {
      const Record& record = records_[id];
      if (record.stored || record.lost)
        device.committed_once = std::max(device.committed_once, record.seq + 1);
    }
    device.streams.clear();
    device.row_end = 0;
    device.online.reset();
    device.begun.clear();
    device.forgotten.clear();
    device.place = first_place_;
  }
  for (Record& record : records_) record.stored = record.lost = false;
  replaced_ = true;
}

void Judge::log_is_whole() {
  first_place_ = kFirstSeq;
  for (Device& device : devices_) device.place = first_place_;
}

void Judge::told_time(std::size_t index, Bytes batch, const ToldTime& time) const {
  const Device& device = devices_[index];
  if (const auto range = rows_of(*device.source, device.rows_max, batch)) told_time(index, *range, time);
}

void Judge::told_time(std::size_t index, const RowRange& range, const ToldTime& time) const {
  const Device& device = devices_[index];
  if (!time.synced && time.epoch != Epoch{} && time.epoch == device.clock_known)
    fail("time_unknown", device,
         "row " + text(range.first) + " has no time, and the clock of its boot is set");
  if (!time.synced) return;
  for (std::uint64_t i = 0; i < range.count; ++i) {
    const Row& row = device.rows[range.first + i];
    if (row.clock == Clock::kFalse) continue;
    const std::int64_t told = time.unix_time.value + static_cast<std::int64_t>(i) * time.period.count();
    if (std::llabs(told - row.true_time.value) <= kTimeTolerance_ms) continue;
    fail("wrong_time", device,
         "row " + text(range.first + i) + " was sampled at " + std::to_string(row.true_time.value) +
             " and is told as " + std::to_string(told));
  }
}

// --- What followers get ---

std::size_t Judge::add_follower(std::uint8_t audience_bit) {
  followers_.push_back({.audience_bit = audience_bit, .at = {}, .got = {}});
  return followers_.size() - 1;
}

void Judge::fail_follower(std::string_view kind, std::size_t index, const std::string& what) const {
  const EventId at = followers_[index].at;
  throw Violation(kind, "follower " + std::to_string(index) + ", after " + text(at) + ": " + what);
}

const Judge::LogItem* Judge::item_at(std::int64_t offset) const {
  const auto found =
      std::ranges::lower_bound(log_, offset, {}, [](const LogItem& item) { return item.id.offset; });
  return found != log_.end() && found->id.offset == offset ? &*found : nullptr;
}

// nullptr: it has all.
const Judge::LogItem* Judge::next_for(const Follower& follower) const {
  auto item = std::ranges::upper_bound(log_, follower.at.offset, {},
                                       [](const LogItem& each) { return each.id.offset; });
  while (item != log_.end() && (item->audience & follower.audience_bit) == 0) ++item;
  return item != log_.end() ? &*item : nullptr;
}

// The log has the place at which it is, and what it got there.
bool Judge::still_holds(const Follower& follower) const {
  if (follower.at == EventId{}) return true;
  const LogItem* const item = item_at(follower.at.offset);
  if (item == nullptr || item->id != follower.at) return false;
  const auto at = static_cast<std::size_t>(follower.at.offset);
  return at >= follower.got.size() || follower.got[at] == 0 || follower.got[at] == item->digest;
}

// The last event that this log has in common with one that has `id`: of the same term, or nothing.
EventId Judge::last_common(EventId id) const {
  EventId last;
  for (const LogItem& item : log_) {
    if (item.id.term == id.term && item.id.offset <= id.offset) last = item.id;
  }
  return last;
}

void Judge::told_gap(std::size_t index, EventId next, const Shown& gap) {
  Follower& follower = followers_[index];
  if (gap.reason != "restored" || still_holds(follower))
    fail_follower("false_gap", index,
                  "it is told of a gap, " + std::string(gap.reason) + ", and there is none");
  if (next != last_common(follower.at) || gap.from != next.offset + 1 || gap.to != follower.at.offset) {
    fail_follower("false_gap", index,
                  "the log parts after " + text(last_common(follower.at)) + ", and it is told " +
                      std::to_string(gap.from) + " to " + std::to_string(gap.to) + ", and to go on after " +
                      text(next));
  }
  follower.at = next;
  follower.from = std::min(follower.from, next.offset);
  follower.got.resize(std::min(follower.got.size(), static_cast<std::size_t>(next.offset) + 1));
}

void Judge::follower_got(std::size_t index, const SseEvent& event) {
  Follower& follower = followers_[index];
  const auto id = parse_event_id(event.id);
  const auto shown = parse_shown(event.data);
  if (!id || !shown)
    fail_follower("follower_content", index, "neither id nor JSON: " + event.id + " " + event.data);
  if (event.type == "gap") return told_gap(index, *id, *shown);
  const std::string which = "event " + event.id + " ";
  const LogItem* const item = item_at(id->offset);
  const std::uint64_t content = fnv1a(as_bytes(shown->content));
  if (item == nullptr || item->id != *id || item->digest != shown->digest || shown->id != event.id ||
      shown->type != event.type || (content != item->raw && content != item->rows))
    fail_follower("follower_content", index, which + "is not what the log holds: " + event.data);
  if (!still_holds(follower))
    fail_follower("follower_gap", index, which + "comes though the log was replaced, and nothing said so");
  const LogItem* const next = next_for(follower);
  if (next != item) fail_follower("follower_order", index, which + "is not the next one");
  follower.at = *id;
  if (follower.got.size() <= static_cast<std::size_t>(id->offset))
    follower.got.resize(static_cast<std::size_t>(id->offset) + 1);
  follower.got[static_cast<std::size_t>(id->offset)] = shown->digest;
}

void Judge::follower_told_position(std::size_t index, std::string_view told, bool begins) {
  Follower& follower = followers_[index];
  const auto id = parse_event_id(told);
  if (!id) fail_follower("follower_content", index, "no id: " + std::string(told));
  if (*id == follower.at) return;
  const LogItem* const item = item_at(id->offset);
  if (*id != EventId{} && (item == nullptr || item->id != *id))
    fail_follower("follower_gap", index,
                  "it is told to be at " + text(*id) + ", which the log does not have");
  if (begins) follower.from = id->offset;
  if (!begins && !still_holds(follower))
    fail_follower("follower_gap", index, "the log was replaced, and nothing says so but the id " + text(*id));
  const LogItem* const next = next_for(follower);
  const bool passed_over = next != nullptr && next->id.offset <= id->offset;
  if (!begins && (id->offset < follower.at.offset || passed_over))
    fail_follower("follower_order", index, "it is told to be at " + text(*id));
  follower.at = *id;
}

void Judge::follower_wrote(std::string_view name, std::int64_t after, std::span<const FollowerNote> notes,
                           std::size_t restores) const {
  const auto fail = [&](std::string_view kind, EventId id, const std::string& what) {
    throw Violation(kind, "follower " + std::string(name) + ": event " + text(id) + " " + what);
  };
  const auto is_there = [this](const FollowerNote& note) {
    const LogItem* const item = item_at(note.id.offset);
    return item != nullptr && item->id == note.id && item->noted == note.digest;
  };
  std::vector<FollowerNote> held;  // behind `after`
  std::int64_t at = after;
  std::size_t gaps = 0;
  for (const FollowerNote& note : notes) {
    if (!note.gap) {
      if (note.id.offset <= at) fail("follower_order", note.id, "comes after " + std::to_string(at));
      at = note.id.offset;
      if (at > after) held.push_back(note);
      continue;
    }
    if (note.id.offset > at || ++gaps > restores)
      fail("follower_gap", note.id,
           "follows a gap after " + std::to_string(at) + ", and the log was not put back then");
    at = note.id.offset;
    // Where the log has nothing of its run, it begins anew, whatever both have.
    const bool anew = note.id == EventId{} && !held.empty() && last_common(held.back().id) == EventId{};
    for (; !held.empty() && held.back().id.offset > at; held.pop_back()) {
      if (!anew && is_there(held.back()))
        fail("follower_gap", held.back().id, "is said to be gone, and is there");
    }
  }
  auto mine = held.begin();
  for (const LogItem& item : log_) {
    if (item.id.offset <= after) continue;
    if (mine == held.end() || mine->id.offset > item.id.offset)
      fail("follower_gap", item.id, "was never shown, and no gap says so");
    if (!is_there(*mine)) fail("follower_content", mine->id, "was shown as something else");
    ++mine;
  }
  if (mine != held.end()) fail("follower_content", mine->id, "was shown, and the log has it not");
}

// --- After the drain ---

bool Judge::drained() const {
  const auto settled = [](const Record& record) {
    return !record.confirmed || record.stored || record.lost || record.destroyed;
  };
  return std::ranges::all_of(records_, settled) &&
         std::ranges::all_of(followers_, [this](const Follower& each) {
           return still_holds(each) && next_for(each) == nullptr;
         });
}

void Judge::finish() const {
  for (const Device& device : devices_) {
    if (device.online == false && !device.left) fail("presence", device, "is back, and said to be offline");
  }
  for (const Record& record : records_) {
    if (!record.confirmed || record.stored || record.lost || record.destroyed) continue;
    fail("silent_loss", devices_[record.device],
         name(record) + " is neither stored nor lost, and nobody destroyed it");
  }
  for (std::size_t index = 0; index < followers_.size(); ++index) {
    const Follower& follower = followers_[index];
    for (const LogItem& item : log_) {
      const auto at = static_cast<std::size_t>(item.id.offset);
      if ((item.audience & follower.audience_bit) == 0 || item.id.offset <= follower.from) continue;
      if (at < follower.got.size() && follower.got[at] == item.digest) continue;
      fail_follower("follower_gap", index, "it never got event " + text(item.id) + ", and no gap says so");
    }
  }
}

Judge::Counts Judge::counts() const {
  Counts counts{.events = log_.size()};
  for (const Device& device : devices_) counts.rows += device.rows.size();
  for (const Record& record : records_) {
    counts.records += record.confirmed ? 1 : 0;
    counts.stored += record.stored ? 1 : 0;
    counts.lost += record.confirmed && record.lost ? 1 : 0;
    counts.destroyed += record.confirmed && record.destroyed && !record.stored && !record.lost ? 1 : 0;
    counts.missing += record.confirmed && !record.stored && !record.lost && !record.destroyed ? 1 : 0;
    counts.unconfirmed += record.stored && !record.confirmed ? 1 : 0;
  }
  return counts;
}

}  // namespace godwit::sim
