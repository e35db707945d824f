// SPDX-License-Identifier: Apache-2.0
#include "sim/world/board.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/judge/rows.h"

namespace godwit::sim {
namespace {

constexpr Millis kRebootTime{1'000};
constexpr Millis kGoodbye{15'000};         // for an orderly stop
constexpr Millis kConnectTimeout{10'000};  // of a network that answers nothing
constexpr Millis kResync{600'000};         // of the clock
constexpr std::size_t kCopiesMax = 8;
constexpr Millis kToldWithin{120'000};          // on the slowest link
constexpr std::uint32_t kBadSectorsPassed = 3;  // by one append; see Outbox::open_sector()
constexpr std::array kTears{Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};

// Of what stands in front of a payload, so much belongs to it.
constexpr std::uint64_t kHeader = 8;
// Malformed, protocol error, receive maximum exceeded, topic alias invalid, packet too large (MQTT 5, 2.4).
constexpr std::array<std::int64_t, 5> kProtocolErrors{0x81, 0x82, 0x93, 0x94, 0x95};
// A link that brings nothing is given up in this time, if something is to be delivered: two waits for an
// answer with a pause between them, each as long as they get.
constexpr Millis kSilenceNoticed{160'000};

}  // namespace

Board::Board(Scene& scene, Broker& broker, const DevicePlan& plan, std::size_t index, std::uint64_t seed)
    : scene_(scene),
      broker_(broker),
      plan_(plan),
      index_(index),
      id_("dev-" + std::to_string(index)),
      seed_(seed),
      entropy_(seed, 2),
      table_{.contract = {.name = "sim",
                          .period = Millis{static_cast<std::int64_t>(plan.period)},
                          .channels = kRowTable,
                          .rows_max = static_cast<std::uint16_t>(plan.rows)},
             .age_max = Millis{static_cast<std::int64_t>(plan.age)}},
      flash_(
          scene,
          {.sector_size_bytes = plan.sector, .sector_count = plan.sectors, .program_size_bytes = plan.unit},
          seed),
      timer_(scene.engine, [this] { wake(); }),
      power_timer_(scene.engine, [this] { power_on(); }),
      clock_timer_(scene.engine, [this] { set_clock(); }) {
  if (plan.clock_after == 0) scene.hit(Probe::kClockNeverSet);
}

Board::~Board() {
  if (link_) link_->attach(Link::kDevice, nullptr);
}

// --- Power ---

void Board::power_on() {
  if (device_) return;
  power_timer_.set(std::nullopt);
  booted_at_ = scene_.now();
  ++boots_;
  flash_.power_on();
  if (cuts_left_ > 0) {
    --cuts_left_;
    flash_.arm_power_cut(cut_random_.below(12), cut_random_.pick(kTears));
  }
  device_.emplace(agent::Config{.id = *DeviceId::parse(id_),
                                .firmware = "sim",
                                .board = "world",
                                .boot = boots_,
                                .reset_reason = codec::ResetReason::kPowerOn,
                                .tables = {&table_, 1},
                                .full_policy = plan_.refuse != 0 ? outbox::FullPolicy::kRefuse
                                                                 : outbox::FullPolicy::kDropOldest,
                                .keep_alive_s = static_cast<std::uint16_t>(plan_.keep_alive)},
                  agent::Ports{.flash = flash_, .entropy = *this, .sensors = *this, .log = *this});
  flash_.clear_written();
  seen_refused_ = untold_refused_ = 0;
  scene_.judge.booted(index_);
  const Status status = device_->start(local());
  scene_.say(id_, [&] {
    return "boot " + std::to_string(boots_) + ": " + std::string(to_string(status)) + ", next " +
           std::to_string(device_->outbox().next_seq().value);
  });
  if (!flash_.powered()) return lose_power();
  if (status != Status::kOk)
    throw Violation("device_dead", id_ + " does not start: " + std::string(to_string(status)));
  if (scene_.now() < no_cable_until_) scene_.hit(Probe::kBootedOffline);
  has_log_ = device_->log_state() != codec::LogState::kNone;
  if (!has_log_) scene_.hit(Probe::kStartedWithoutLog);
  if (device_->outbox().stats().bad_sectors > 0) scene_.hit(Probe::kSectorLeftOut);
  seen_next_ = device_->outbox().next_seq();
  if (has_log_) scene_.judge.mounted(index_, seen_next_);
  clock_set_ = clock_true_ = false;
  if (plan_.clock_after > 0)
    clock_timer_.set(scene_.now() + Millis{static_cast<std::int64_t>(plan_.clock_after)});
  after_call();
}

void Board::power_off() {
  if (!device_) return;
  if (link_) link_->abandon(Link::kDevice);
  link_.reset();
  if (connecting_ % 2 == 1) ++connecting_;
  device_.reset();
  timer_.set(std::nullopt);
  clock_timer_.set(std::nullopt);
  flash_.power_off();
  scene_.say(id_, [] { return "power off"; });
}

void Board::restart() {
  power_off();
  power_timer_.set(scene_.now() + kRebootTime);
}

void Board::lose_power() {
  power_off();
  if (++cuts_ > 1) scene_.hit(Probe::kPowerCutTwiceInARow);
  touch_flash(Judge::Flash::kTouched);
  if (cut_random_.chance(300)) {
    scene_.hit(Probe::kTornAppearsLater);
    flash_.power_on();
    flash_.complete_tear();
    flash_.power_off();
  }
  const std::uint64_t pause = cut_random_.between(1'000, 60'000);
  power_timer_.set(scene_.now() + Millis{static_cast<std::int64_t>(finished_ ? 1'000 : pause)});
}

// --- The device and its surroundings ---

void Board::wake() {
  device_->handle_timeout(local());
  after_call();
}

void Board::after_call() {
  note_appended();
  if (flash_.powered()) serve_link();
  if (!device_) return;
  if (!flash_.powered()) return lose_power();
  scene_.judge.acked(index_, device_->acked_seq());
  check_promises();
  std::optional<Time> next;
  if (const auto deadline = device_->next_deadline())
    next = std::max(scene_.now(), booted_at_ + deadline->time_since_epoch());
  timer_.set(next);
}

void Board::check_promises() {
  if (protocol_broken_)
    throw Violation("protocol",
                    id_ + ": one side says that the other breaks the protocol, and links change nothing");
  if (device_->online() && !link_)
    throw Violation("presence", id_ + " says that it is online, without a link");

  const bool waits = link_ && link_->silent() && device_->acked_seq() < device_->outbox().next_seq();
  if (!waits) silent_since_.reset();
  if (waits && !silent_since_) silent_since_ = scene_.now();
  if (silent_since_ && scene_.now() - *silent_since_ > kSilenceNoticed)
    throw Violation("silent_link", id_ + " waits for a link that brings nothing");
}

void Board::note_appended() {
  const outbox::Outbox& live = device_->outbox();
  untold_refused_ += live.stats().refused_records - seen_refused_;
  // What a run of cuts has hit does not show.
  const std::uint64_t twice = flash_.programmed_twice();
  if (std::exchange(seen_twice_, twice) != twice && cuts_ < 2 && !flash_is_anything_)
    throw Violation("programmed_twice", id_ + " programs what was programmed, or hit, and is not erased");
  // A log that was mounted at last: what stands in it is not new.
  const bool has_log = device_->log_state() != codec::LogState::kNone;
  if (has_log && !std::exchange(has_log_, has_log)) seen_next_ = live.next_seq();
  if (live.next_seq() > seen_next_) {
    flash_.set_quiet(true);
    outbox::Outbox copy = live;  // reading moves a cursor, which the device's own must not see
    std::array<std::uint8_t, agent::Device::kBatchSizeMax> payload{};
    for (; seen_next_ < live.next_seq(); seen_next_ = seen_next_ + 1) {
      const auto entry = copy.read(seen_next_, payload);
      if (!entry || entry->kind == outbox::Entry::Kind::kLoss) scene_.judge.rows_given_up(index_);
      if (!entry) continue;
      if (entry->kind == outbox::Entry::Kind::kMark) scene_.hit(Probe::kMarkWritten);
      if (entry->kind == outbox::Entry::Kind::kRefused) {
        scene_.hit(Probe::kRefusedNoted);
        if (entry->count > untold_refused_)
          throw Violation("refused_wrong", id_ + ": more are told than were refused");
        untold_refused_ -= entry->count;
      }
      if (entry->kind == outbox::Entry::Kind::kMark || entry->kind == outbox::Entry::Kind::kRefused) continue;
      // In a sector that does not read, or under a mark of which both copies were hit; or what is due in front
      // of a record, in the only sector that is left, which the record took.
      const bool taken = seen_next_ < live.oldest_seq();
      if (taken) untold_refused_ = 0;
      const bool hidden = flash_.has_unreadable_sector() || flash_.flipped_bits() > 1;
      if (entry->kind == outbox::Entry::Kind::kLoss && (taken || hidden)) continue;
      if (entry->kind != outbox::Entry::Kind::kData)
        throw Violation("append_unreadable", id_ + ": record " + std::to_string(seen_next_.value) +
                                                 " was confirmed, and cannot be read back at once");
      const Bytes bytes = Bytes(payload).first(entry->size_bytes);
      cuts_ = 0;
      if (untold_refused_ > 0)
        throw Violation("refused_wrong", id_ + ": records were refused, and the log does not tell of all");
      place(scene_.judge.appended(index_, live.epoch(), seen_next_, bytes), bytes);
      if (scene_.now() < no_cable_until_) scene_.hit(Probe::kAppendedOffline);
      scene_.say(id_, [&] { return "appended " + std::to_string(seen_next_.value); });
    }
    flash_.set_quiet(false);
  }
  flash_.clear_written();
  note_refused();
}

void Board::note_refused() {
  const std::uint64_t refused = device_->outbox().stats().refused_records;
  if (refused == seen_refused_) return;
  seen_refused_ = refused;
  scene_.judge.rows_given_up(index_);
  if (may_refuse()) return;
  throw Violation("refused", id_ + ": a record was refused, though the flash has good sectors and answers");
}

// A full log, a flash that does not answer, no entropy for a mark, or more bad sectors in a row than an
// append passes over.
bool Board::may_refuse() const {
  const bool full = plan_.refuse != 0 && device_->acked_seq() < device_->outbox().next_seq();
  return full || !flash_.powered() || flash_.silent() || scene_.now() < no_entropy_until_ ||
         flash_.bad_sectors() >= std::min<std::uint32_t>(kBadSectorsPassed, plan_.sectors - 1);
}

// Finds where append() has put the payload.
void Board::place(RecordId id, Bytes payload) {
  if (places_.size() <= id) places_.resize(id + 1);
  for (const WorldFlash::Range& range : flash_.written()) {
    std::vector<std::uint8_t> bytes(range.size);
    if (!flash_.peek(range.offset, bytes)) continue;
    const auto found = std::ranges::search(bytes, payload);
    if (found.empty()) continue;
    const auto at = static_cast<std::uint64_t>(found.begin() - bytes.begin());
    const std::uint64_t head = std::min(at, kHeader);
    places_[id] = {.offset = range.offset + at - head,
                   .bytes = {found.begin() - static_cast<std::ptrdiff_t>(head), found.end()}};
    return;
  }
}

bool Board::holds(RecordId id) const {
  if (id >= places_.size() || places_[id].bytes.empty()) return false;
  std::vector<std::uint8_t> bytes(places_[id].bytes.size());
  return flash_.peek(places_[id].offset, bytes) && bytes == places_[id].bytes;
}

bool Board::holds_unharmed(RecordId id) const {
  return holds(id) && !flash_.harmed(places_[id].offset, places_[id].bytes.size());
}

Status Board::sample(std::size_t /*table*/, Instant /*now*/, std::span<std::int64_t> row) {
  if (finished_) return Status::kIo;
  fill_row(seed_, scene_.judge.rows(index_), row.first<kRowChannels>());
  scene_.judge.sampled(index_, scene_.true_time(),
                       !clock_set_   ? Judge::Clock::kUnset
                       : clock_true_ ? Judge::Clock::kTrue
                                     : Judge::Clock::kFalse);
  return Status::kOk;
}

Status Board::fill(MutableBytes out) {
  if (scene_.now() < no_entropy_until_) {
    scene_.hit(Probe::kEntropyRefused);
    return Status::kIo;
  }
  std::ranges::generate(out, [this] { return static_cast<std::uint8_t>(entropy_.next()); });
  return Status::kOk;
}

void Board::write(ports::LogLevel /*level*/, std::string_view event,
                  std::initializer_list<ports::LogField> fields) {
  for (const ports::LogField& field : fields) {
    const bool wrong = event == "disconnected" && field.key == "reason";
    if (wrong && std::ranges::find(kProtocolErrors, field.number) != kProtocolErrors.end())
      protocol_broken_ = true;
  }
  scene_.say(id_, [&] {
    std::string line = "log " + std::string(event);
    for (const ports::LogField& field : fields) {
      line += " " + std::string(field.key) + "=";
      line += field.text.empty() ? std::to_string(field.number) : std::string(field.text);
    }
    return line;
  });
}

void Board::set_clock() {
  if (!device_) return;
  const bool misled = scene_.now() < clock_false_until_;
  if (misled) {
    scene_.hit(Probe::kClockFalse);
    scene_.judge.clock_misled(index_);
  }
  const std::int64_t off = misled ? clock_off_.count() : 0;
  if (!std::exchange(clock_set_, true)) clock_set_at_ = scene_.now();
  clock_true_ = !misled;
  clock_timer_.set(scene_.now() + kResync);
  device_->set_unix_time(local(), {scene_.true_time().value + off});
  after_call();
}

// --- The link ---

void Board::serve_link() {
  switch (device_->link_request()) {
    case agent::LinkRequest::kConnect:
      return connect();
    case agent::LinkRequest::kClose:
      transmit();
      if (!device_ || !flash_.powered() || !link_) return;
      if (link_->silent()) scene_.hit(Probe::kHalfOpenNoticedByDevice);
      link_->close(Link::kDevice);
      link_.reset();
      device_->link_down(local());
      return;
    case agent::LinkRequest::kStay:
      return transmit();
  }
}

void Board::connect() {
  const std::uint64_t attempt = connecting_;
  if (attempt % 2 == 1) return;  // under way
  ++connecting_;
  const bool cable = scene_.now() >= no_cable_until_;
  const LinkQuality quality = scene_.now() < slow_until_
                                  ? slow_
                                  : LinkQuality{Millis{static_cast<std::int64_t>(plan_.latency)}, plan_.rate};
  Millis pause = quality.latency * 3 / 2;
  if (!cable) pause = cable_fails_at_once_ ? Millis{0} : kConnectTimeout;
  scene_.engine.after(pause, [this, attempt = connecting_, cable, quality] {
    if (attempt != connecting_ || !device_) return;
    ++connecting_;
    if (!cable || !broker_.running()) {
      scene_.hit(Probe::kConnectFailed);
      device_->link_down(local());
      return after_call();
    }
    link_ = std::make_shared<Link>(scene_, quality, index_ * 100'000 + ++links_);
    link_->attach(Link::kDevice, this);
    broker_.accept(link_);
    device_->link_up(local());
    after_call();
  });
}

void Board::transmit() {
  while (link_ && device_ && flash_.powered()) {
    const Bytes bytes = device_->transmit();
    if (bytes.empty()) return;
    const std::size_t taken = link_->send(Link::kDevice, as_text(bytes));
    if (taken == 0) return;
    device_->transmitted(local(), taken);
    note_appended();
  }
}

void Board::link_bytes(Link& link, std::string_view bytes) {
  if (link_.get() != &link) return;
  device_->handle_bytes(local(), as_bytes(bytes));
  after_call();
}

void Board::link_writable(Link& link) {
  if (link_.get() != &link || device_->transmit().empty()) return;
  after_call();
}

void Board::link_closed(Link& link) {
  if (link_.get() != &link) return;
  link_.reset();
  device_->link_down(local());
  after_call();
}

bool Board::delivered() const {
  return device_ && device_->online() && device_->acked_seq() == device_->outbox().next_seq();
}

void Board::tell_clock() const {
  if (device_ && clock_set_ && scene_.now() - clock_set_at_ > kToldWithin)
    scene_.judge.clock_known(index_, device_->outbox().epoch());
}

std::string Board::state() const {
  if (!device_) return "no power";
  return std::string(device_->online() ? "online"
                     : link_           ? "connected"
                                       : "offline") +
         ", acked " + std::to_string(device_->acked_seq().value) + " of " +
         std::to_string(device_->outbox().next_seq().value);
}

// --- Faults ---

void Board::keep_copy() {
  copies_.push_back({flash_.copy(), scene_.judge.path(index_)});
  if (copies_.size() > kCopiesMax) copies_.pop_front();
}

void Board::cut_power_in(std::uint64_t operations, std::uint64_t in_a_row, std::uint64_t stream) {
  if (!device_) return;
  cut_random_ = Random(stream);
  cuts_left_ = in_a_row - 1;
  if (operations == kAtErase) return flash_.cut_power_at_erase(cut_random_.pick(kTears));
  flash_.arm_power_cut(operations, cut_random_.pick(kTears));
}

// `boots` reboots, the network away until the last has lasted.
void Board::offline_boots_from(std::uint64_t boots, Time begin, Millis between) {
  if (boots == 0) return;
  pull_cable_until(begin + (static_cast<std::int64_t>(boots) + 1) * between, true);
  for (std::uint64_t i = 1; i <= boots; ++i) {
    scene_.engine.at(begin + static_cast<std::int64_t>(i) * between, [this] {
      if (!device_ || finished_) return;
      power_off();
      power_timer_.set(scene_.now() + kRebootTime);
    });
  }
}

void Board::boot_offline(std::uint64_t times, Millis between) {
  offline_boots_from(times, scene_.now(), between);
}

void Board::roll_back(std::uint64_t which, std::uint64_t boots, std::uint64_t stream) {
  if (copies_.empty()) return;
  power_off();
  touch_flash(Judge::Flash::kAnything);
  scene_.judge.before_fault(index_);
  const Copy& copy = copies_[copies_.size() - 1 - which % copies_.size()];
  flash_.put_back(copy.flash);
  scene_.hit(Probe::kFlashRolledBack);
  if (copy.path.size() < scene_.judge.path(index_).size()) scene_.hit(Probe::kRollbackForgotRecords);
  scene_.say(id_, [&] {
    return "flash rolled back from " + std::to_string(scene_.judge.path(index_).size()) + " to " +
           std::to_string(copy.path.size());
  });
  scene_.judge.set_path(index_, copy.path);
  scene_.judge.after_fault(index_);
  power_timer_.set(scene_.now() + kRebootTime);
  Random random(stream);
  offline_boots_from(boots, scene_.now() + kRebootTime,
                     Millis{static_cast<std::int64_t>(random.between(5'000, 90'000))});
}

void Board::destroy_tail(std::uint64_t size, std::uint64_t boots, std::uint64_t stream) {
  power_off();
  Random random(stream);
  touch_flash(Judge::Flash::kAnything);
  scene_.judge.before_fault(index_);
  flash_.destroy_tail(size, random);
  scene_.judge.after_fault(index_);
  scene_.hit(Probe::kTailDestroyed);
  scene_.say(id_, [&] { return "the last " + std::to_string(size) + " bytes of the flash are destroyed"; });
  power_timer_.set(scene_.now() + kRebootTime);
  offline_boots_from(boots, scene_.now() + kRebootTime,
                     Millis{static_cast<std::int64_t>(random.between(5'000, 90'000))});
}

void Board::flip_bits(std::uint64_t count, std::uint64_t stream) {
  Random random(stream);
  scene_.judge.before_fault(index_);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (flash_.flip_bit(random)) scene_.hit(Probe::kBitFlippedInUse);
  }
  after_flips();
}

// In the newest entry, before there is another one behind it.
void Board::flip_newest_bit(std::uint64_t stream) {
  Random random(stream);
  scene_.judge.before_fault(index_);
  if (flash_.flip_bit(random, true)) scene_.hit(Probe::kNewestBitFlipped);
  after_flips();
  if (device_) restart();
}

void Board::after_flips() {
  if (!flash_.has_single_flip()) {
    touch_flash(Judge::Flash::kAnything);
    return scene_.judge.after_fault(index_);
  }
  touch_flash(Judge::Flash::kTouched);
  scene_.judge.after_small_fault(index_);
}

void Board::touch_flash(Judge::Flash flash) {
  flash_is_anything_ = flash_is_anything_ || flash == Judge::Flash::kAnything;
  scene_.judge.flash_is(index_, flash);
}

void Board::break_sector(std::uint32_t sector, SectorFault fault) {
  touch_flash(Judge::Flash::kAnything);
  scene_.judge.before_fault(index_);
  flash_.break_sector(sector % plan_.sectors, fault);
  scene_.judge.after_fault(index_);
}

void Board::silence_flash_until(Time end, bool reboot) {
  touch_flash(Judge::Flash::kTouched);
  flash_.silence_until(end);
  if (reboot && device_) restart();
}

void Board::stop(Millis off) {
  if (!device_) return;
  device_->stop(local());
  after_call();
  scene_.engine.after(kGoodbye, [this, off, boot = boots_] {
    if (!device_ || boot != boots_) return;
    power_off();
    power_timer_.set(scene_.now() + (finished_ ? kRebootTime : off));
  });
}

void Board::mislead_clock(Millis off, Time until) {
  clock_off_ = off;
  clock_false_until_ = until;
  if (device_ && plan_.clock_after > 0) set_clock();
}

void Board::cut_link_after(std::uint64_t bytes) {
  if (link_) link_->cut_after(bytes);
}

void Board::pull_cable_until(Time end, bool fails_at_once) {
  no_cable_until_ = std::max(no_cable_until_, end);
  cable_fails_at_once_ = fails_at_once;
  if (!link_) return;
  const std::shared_ptr<Link> link = link_;
  if (!fails_at_once) return link->go_silent();
  link->attach(Link::kDevice, nullptr);
  link->go_silent();
  link_closed(*link);
}

void Board::stall_until(Time end) {
  if (!link_) return;
  scene_.hit(Probe::kStalled);
  link_->stall_until(end);
}

void Board::half_open() {
  if (link_) link_->go_silent();
}

void Board::slow_until(Time end, const LinkQuality& quality) {
  slow_ = quality;
  slow_until_ = end;
  if (!link_) return;
  scene_.hit(Probe::kSlowLink);
  link_->set_quality(quality);
}

void Board::finish() {
  finished_ = true;
  cuts_left_ = 0;
  flash_.disarm();
  no_cable_until_ = no_entropy_until_ = slow_until_ = clock_false_until_ = Time{0};
  flash_.silence_until(Time{0});
  if (link_) link_->set_quality({Millis{static_cast<std::int64_t>(plan_.latency)}, plan_.rate});
  // With no keep-alive, one that has nothing to say would never notice.
  if (plan_.keep_alive == 0 && link_ && link_->silent()) link_->cut();
  // One that started while its flash did not answer has no log until it starts again.
  if (device_ && !has_log_) power_off();
  if (!device_) power_timer_.set(scene_.now() + kRebootTime);
}

}  // namespace godwit::sim
