// SPDX-License-Identifier: Apache-2.0
#include "tests/power_loss/device_world.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "sim/judge/rows.h"

namespace godwit::test {
namespace {

using sim::SimFlash;
using sim::Tear;
using sim::Violation;
using sim::Wear;

constexpr std::uint64_t kRowSeed = 3;
constexpr int kRowsLarge = 40;  // about 100 bytes
constexpr std::chrono::minutes kPeriod{30};
constexpr std::uint64_t kHeader = 8;  // what stands in front of a payload
constexpr int kRounds = 200;          // in which everything is delivered
constexpr std::array kTears = {Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};
constexpr std::array kWays = {
    Wear{.erase = Status::kIo},
    Wear{.program = Status::kIo, .erase = Status::kIo},
    Wear{.read = Status::kCorrupt, .program = Status::kIo, .erase = Status::kIo},
    Wear{.read = Status::kIo, .program = Status::kIo, .erase = Status::kIo},
};

// The smallest sectors that a device takes, and a bit.
ports::FlashGeometry geometry_of(std::uint32_t unit) {
  return {.sector_size_bytes = unit < 256 ? 768 : 5 * unit, .sector_count = 3, .program_size_bytes = unit};
}

// The next number of what a move leaves open, below `end`.
std::uint64_t take(std::uint64_t& choice, std::uint64_t end) {
  const std::uint64_t taken = choice % end;
  choice /= end;
  return taken;
}

}  // namespace

DeviceWorld::DeviceWorld(std::uint32_t unit)
    : table_{.contract = {.name = "t", .period = kPeriod, .channels = sim::kRowTable, .rows_max = kRowsLarge},
             .age_max = telemetry::age_for(kPeriod, kRowsLarge)},
      state_(geometry_of(unit)),
      broker_(state_.gateway) {}

void DeviceWorld::begin() {
  const sim::Judge::Witness& witness = *this;
  judge_.emplace(witness);
  judge_->add_device("pump-3", kRowSeed, kRowsLarge);
  boot();
}

DeviceWorld::Snapshot DeviceWorld::save() const {
  Snapshot snapshot{state_, {}, *judge_};
  std::memcpy(snapshot.device.data(), static_cast<const void*>(&device_), sizeof device_);
  return snapshot;
}

void DeviceWorld::restore(const Snapshot& snapshot) {
  state_ = snapshot.state;
  std::memcpy(static_cast<void*>(&device_), snapshot.device.data(), sizeof device_);
  judge_.emplace(snapshot.judge);
  places_.resize(state_.places);
  while (images_.size() > state_.images) images_.pop_back();
}

void DeviceWorld::make(Move move, std::uint64_t choice) {
  images_.push_back({state_.flash, state_.generations, state_.tail, judge_->path(0)});
  switch (move) {
    case Move::kAppendSmall:
      append(1);
      break;
    case Move::kAppendLarge:
      append(kRowsLarge);
      break;
    case Move::kFill: {
      const Seq oldest = device_->outbox().oldest_seq();
      for (int i = 0; i < 20 && device_->outbox().oldest_seq() == oldest; ++i) append(kRowsLarge);
      break;
    }
    case Move::kCut:
      cut(choice);
      break;
    case Move::kReboot:
      boot();
      break;
    case Move::kDrain:
      drain();
      break;
    case Move::kLoseAcks:
      lose_acks();
      break;
    case Move::kRollBack:
      roll_back(choice);
      break;
    case Move::kDestroyTail:
      destroy_tail(choice);
      break;
    case Move::kKillSector:
      kill_sector(choice);
      break;
  }
  check_log();
  state_.places = places_.size();
  state_.images = images_.size();
}

void DeviceWorld::finish() {
  drain();
  check_log();
  if (unreadable_sectors() < 3) judge_->finish();
}

std::string DeviceWorld::state() const {
  const outbox::Outbox& log = device_->outbox();
  std::string text = "oldest " + std::to_string(log.oldest_seq().value) + ", next " +
                     std::to_string(log.next_seq().value) + ", acked " +
                     std::to_string(device_->acked_seq().value) + ", log " +
                     std::to_string(static_cast<int>(device_->log_state()));
  const sim::Judge::Counts counts = judge_->counts();
  for (std::size_t sector = 0; sector < 3; ++sector) {
    if (state_.killed[sector] > 0)
      text += ", sector " + std::to_string(sector) + " killed " + std::to_string(state_.killed[sector]);
  }
  return text + "; records " + std::to_string(counts.records) + ", stored " + std::to_string(counts.stored) +
         ", lost " + std::to_string(counts.lost) + ", destroyed " + std::to_string(counts.destroyed);
}

// --- The device ---

void DeviceWorld::boot() {
  state_.flash.disarm();
  state_.flash.power_on();
  state_.now += kPeriod;  // or two boots would sample one instant
  device_.emplace(
      agent::Config{.id = *DeviceId::parse("pump-3"),
                    .firmware = "1.0",
                    .board = "prover",
                    .boot = ++state_.boots,
                    .tables = {&table_, 1}},
      agent::Ports{.flash = state_.flash, .entropy = state_.entropy, .sensors = *this, .log = *this});
  const Status status = device_->start(state_.now);
  if (status != Status::kOk) throw Violation("device_dead", "start() says " + std::string(to_string(status)));
  if (!has_log() && unreadable_sectors() < state_.unreadable.size())
    throw Violation("no_log", "there are sectors that can be read");
  state_.seen_next = device_->outbox().next_seq();
  state_.refused = 0;
  if (!has_log()) return;
  judge_->mounted(0, state_.seen_next);
  judge_->rows_given_up(0);  // what was sampled and not appended
}

Status DeviceWorld::sample(std::size_t /*table*/, Instant /*now*/, std::span<std::int64_t> row) {
  if (rows_due_ == 0) return Status::kIo;
  --rows_due_;
  sim::fill_row(kRowSeed, judge_->rows(0), row.first<sim::kRowChannels>());
  judge_->sampled(0, {}, sim::Judge::Clock::kUnset);
  return Status::kOk;
}

// A record of so many rows.
void DeviceWorld::append(int rows) {
  for (rows_due_ = rows; rows_due_ > 0;) {
    state_.now = telemetry::nearest_instant(state_.now, kPeriod) + kPeriod;
    device_->handle_timeout(state_.now);
    note_erased();
    note_refused();
    note_appended();
  }
  if (rows < kRowsLarge) {
    state_.now += table_.age_max;
    device_->handle_timeout(state_.now);
  }
  after_call();
}

void DeviceWorld::cut(std::uint64_t choice) {
  const std::uint64_t operation = take(choice, 24);
  state_.flash.arm({.operation = operation, .tear = kTears[take(choice, kTears.size())]});
  for (int i = 0; i < 3 && state_.flash.powered(); ++i) append(take(choice, 2) == 0 ? 1 : kRowsLarge);
  const std::uint64_t charged = take(choice, 4);  // cells that were charged halfway read as they were meant
  if (charged == 0) state_.flash.complete_tear();
  boot();
  if (charged != 1) return;
  state_.flash.complete_tear();
  boot();
}

// --- The link ---

void DeviceWorld::connect() {
  for (int i = 0; device_->link_request() != agent::LinkRequest::kConnect; ++i) {
    if (i == kRounds || !device_->next_deadline()) throw Violation("drain", "the device does not connect");
    state_.now = std::max(state_.now, *device_->next_deadline());
    device_->handle_timeout(state_.now);
  }
  broker_.link_up();
  device_->link_up(state_.now);
}

void DeviceWorld::exchange(bool to_online) {
  while (!to_online || !device_->online()) {
    const Bytes out = device_->transmit();
    if (!out.empty()) {
      broker_.feed(as_text(out));
      device_->transmitted(state_.now, out.size());
      continue;
    }
    const std::string in = broker_.take_output();
    if (in.empty()) return;
    device_->handle_bytes(state_.now, as_bytes(in));
  }
}

void DeviceWorld::disconnect() {
  broker_.link_down();
  device_->link_down(state_.now);
  after_call();
  state_.gateway.tries.clear();
}

void DeviceWorld::drain() {
  // Nothing answers: there is nothing to deliver, and only the next boot will say so.
  if (has_log() && unreadable_sectors() == 3) return;
  connect();
  for (int i = 0; i < kRounds; ++i) {
    exchange(false);
    after_call();
    const bool drained = device_->acked_seq() == device_->outbox().next_seq();
    if (device_->online() && drained) return disconnect();
    if (broker_.closed() || device_->link_request() == agent::LinkRequest::kClose) {
      disconnect();
      connect();
      continue;
    }
    const auto next = device_->next_deadline();
    if (!next) break;
    state_.now = std::max(state_.now, *next);
    device_->handle_timeout(state_.now);
  }
  throw Violation("drain", "acked up to " + std::to_string(device_->acked_seq().value) + " of " +
                               std::to_string(device_->outbox().next_seq().value));
}

// The gateway commits, and says so to nobody.
void DeviceWorld::lose_acks() {
  connect();
  exchange(true);
  broker_.commit_acks = false;
  exchange(false);
  broker_.commit_acks = true;
  disconnect();
}

// --- What happens to the flash ---

void DeviceWorld::roll_back(std::uint64_t choice) {
  device_.reset();
  judge_->before_fault(0);
  const Image& image = images_[take(choice, images_.size())];
  state_.flash.roll_back(image.flash);
  state_.generations = image.generations;
  state_.tail = image.tail;
  // What it held, and nobody can read any more, is destroyed; what it had given up, it knows.
  sim::Path path = image.path;
  for (sim::RecordId& id : path) {
    if (id != 0 && !holds(0, id) && was_in(image, id)) id = 0;
  }
  judge_->set_path(0, std::move(path));
  judge_->after_fault(0);
  boot();
}

void DeviceWorld::destroy_tail(std::uint64_t choice) {
  device_.reset();
  judge_->before_fault(0);
  const std::uint64_t size = state_.flash.geometry().sector_size_bytes;
  const std::uint64_t unit = state_.flash.geometry().program_size_bytes;
  const std::uint64_t begin = state_.tail / size * size;
  std::vector<std::uint8_t> image = state_.flash.image();
  std::uint64_t end = begin + size;
  while (end > begin && image[end - 1] == 0xFF) --end;
  end = (end + unit - 1) / unit * unit;
  const bool garbage = take(choice, 2) == 0;
  std::uint64_t at = end - std::min(end - begin, (take(choice, 160) / unit + 1) * unit);
  for (; at < end; ++at) {
    choice = choice * 0x5851F42D4C957F2D + 0x14057B7EF767814F;
    image[at] = garbage ? static_cast<std::uint8_t>(choice >> 40) : std::uint8_t{0xFF};
  }
  state_.flash.load(image);
  state_.generations[begin / size] = ++state_.last_generation;
  judge_->after_fault(0);
  boot();
}

void DeviceWorld::kill_sector(std::uint64_t choice) {
  judge_->before_fault(0);
  const std::uint64_t sector = take(choice, 3);
  const Wear& way = kWays[take(choice, kWays.size())];
  state_.flash.break_sector(static_cast<std::uint32_t>(sector), way);
  state_.killed[sector] = static_cast<int>(&way - kWays.data()) + 1;
  state_.unreadable[sector] |= way.read != Status::kOk;
  state_.generations[sector] = ++state_.last_generation;
  judge_->after_fault(0);
}

// --- What is judged ---

bool DeviceWorld::holds(std::size_t /*device*/, sim::RecordId id) const {
  if (id >= places_.size() || places_[id].bytes.empty()) return false;
  const Place& place = places_[id];
  const std::size_t sector = sector_of(place.offset);
  return !state_.unreadable[sector] && state_.flash.holds(place.offset, place.bytes);
}

bool DeviceWorld::was_in(const Image& image, sim::RecordId id) const {
  return places_[id].generation == image.generations[sector_of(places_[id].offset)];
}

bool DeviceWorld::holds_unharmed(std::size_t device, sim::RecordId id) const {
  return holds(device, id) && places_[id].generation == state_.generations[sector_of(places_[id].offset)];
}

void DeviceWorld::after_call() {
  note_erased();
  note_refused();
  note_appended();
  note_logged();
  judge_->acked(0, device_->acked_seq());
}

void DeviceWorld::note_erased() {
  for (std::uint32_t sector = 0; sector < state_.erases.size(); ++sector) {
    const std::uint32_t erases = state_.flash.erases(sector);
    if (std::exchange(state_.erases[sector], erases) != erases)
      state_.generations[sector] = ++state_.last_generation;
  }
}

// The last sector that can be written is not erased before all is acked.
void DeviceWorld::note_refused() {
  const std::uint64_t refused = device_->outbox().stats().refused_records;
  if (std::exchange(state_.refused, refused) == refused) return;
  judge_->rows_given_up(0);
  if (state_.flash.powered() && std::ranges::count(state_.killed, 0) > 1)
    throw Violation("refused", "a record, though there are sectors that can be written");
}

// What append() has confirmed, read back from a copy of the outbox: the device's own must not see it.
void DeviceWorld::note_appended() {
  if (device_->outbox().next_seq() == state_.seen_next) return;
  const bool powered = state_.flash.powered();
  state_.flash.power_on();
  outbox::Outbox copy = device_->outbox();
  std::array<std::uint8_t, agent::Device::kBatchSizeMax> payload;
  for (; state_.seen_next < copy.next_seq(); state_.seen_next = state_.seen_next + 1) {
    const auto entry = copy.read(state_.seen_next, payload);
    if (entry && (entry->kind == outbox::Kind::kMark || entry->kind == outbox::Kind::kRefused)) continue;
    // A ring of one sector that can be written gave it up for what came behind it.
    if (entry && state_.seen_next < copy.oldest_seq()) continue;
    if (!entry || entry->kind != outbox::Kind::kData) {
      // In a sector that takes what it is given and does not read it back: it is not held.
      if (unreadable_sectors() > 0) continue;
      throw Violation("append_unreadable", "seq " + std::to_string(state_.seen_next.value) +
                                               " was confirmed, and cannot be read back at once");
    }
    const Bytes bytes = Bytes(payload).first(entry->size_bytes);
    const sim::RecordId id = judge_->appended(0, copy.epoch(), state_.seen_next, bytes);
    places_.resize(id + 1);
    Place& place = places_[id];
    place.offset = state_.tail = state_.flash.programmed_at();
    place.generation = state_.generations[sector_of(place.offset)];
    place.bytes.resize(kHeader + bytes.size());
    if (state_.flash.read(place.offset, place.bytes) != Status::kOk ||
        !std::ranges::equal(Bytes(place.bytes).subspan(kHeader), bytes))
      throw Violation("append_elsewhere",
                      "seq " + std::to_string(state_.seen_next.value) + " is not where it was programmed");
  }
  if (!powered) state_.flash.power_off();
}

void DeviceWorld::note_logged() {
  for (const ModelGateway::Item& item : state_.gateway.database.log) {
    sim::Logged logged{.device = 0, .epoch = {item.epoch}, .seq = {item.seq}, .json = "{}"};
    if (item.unknown_before) {
      logged.kind = sim::Logged::Kind::kUnknownBefore;
      logged.id.offset = static_cast<std::int64_t>(++state_.logged);
      judge_->logged(logged);
    }
    logged.kind = item.lost > 0         ? sim::Logged::Kind::kLoss
                  : !item.batch.empty() ? sim::Logged::Kind::kRecord
                                        : sim::Logged::Kind::kOther;
    logged.count = std::max<std::uint64_t>(item.lost, 1);
    logged.batch = as_bytes(item.batch);
    logged.id.offset = static_cast<std::int64_t>(++state_.logged);
    judge_->logged(logged);
  }
  state_.gateway.database.log.clear();
}

// All that stands unharmed in the flash, and belongs to its log, is served, in its place.
void DeviceWorld::check_log() {
  if (!has_log() || unreadable_sectors() == 3) return;
  outbox::Outbox copy = device_->outbox();
  const sim::Path& path = judge_->path(0);
  std::array<std::uint8_t, agent::Device::kBatchSizeMax> payload;
  const auto fail = [](std::string_view kind, std::uint64_t seq) {
    throw Violation(kind, "seq " + std::to_string(seq));
  };
  const auto miss = [&](std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t seq = begin; seq < std::min<std::uint64_t>(end, path.size()); ++seq) {
      if (path[seq] != 0 && holds_unharmed(0, path[seq])) fail("held_not_served", seq);
    }
  };
  miss(1, copy.oldest_seq().value);
  for (Seq seq = copy.oldest_seq(); seq < copy.next_seq();) {
    const auto entry = copy.read(seq, payload);
    if (!entry || entry->count == 0 || entry->seq != seq) fail("not_read", seq.value);
    const std::uint64_t next = seq.value + (entry->kind == outbox::Kind::kLoss ? entry->count : 1);
    if (entry->kind != outbox::Kind::kData) {
      miss(seq.value, next);
    } else if (const sim::RecordId id = seq.value < path.size() ? path[seq.value] : 0; id != 0) {
      if (!std::ranges::equal(Bytes(payload).first(entry->size_bytes),
                              Bytes(places_[id].bytes).subspan(kHeader)))
        fail("another_content", seq.value);
    }
    seq = {next};
  }
  miss(copy.next_seq().value, path.size());
}

}  // namespace godwit::test
