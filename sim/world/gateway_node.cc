// SPDX-License-Identifier: Apache-2.0
#include "sim/world/gateway_node.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "gateway/domain/batch.h"
#include "gateway/domain/event_json.h"
#include "proto/codec/messages.h"
#include "proto/topics/topics.h"
#include "sim/world/copy_checks.h"

namespace godwit::sim {
namespace {

constexpr Millis kCommit{3};  // what a commit takes
constexpr Millis kReconnect{1'000};
constexpr Millis kRestart{10'000};  // of a service that could not start
constexpr std::uint64_t kLookAtAcks = 200;
constexpr const char* kFolder = "/data";
constexpr std::size_t kPage = 500;
constexpr Millis kLinePause{10'000};      // between two lines of one cause
constexpr Millis kThrottledLate{30'000};  // an event may be committed so long after its message
constexpr std::size_t kHostileClients = 4;
constexpr Millis kPulse{100};  // of a flood
constexpr std::uint64_t kPulseMessages = 900;
constexpr std::uint64_t kPulsesShare = 2;  // of the messages of the plan

// A line without what differs from one to the next.
std::string cause_of(std::string_view line) {
  std::string cause;
  std::size_t at = 0;
  while (at < line.size()) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    const std::string_view word = line.substr(at, end - at);
    if (word.find_first_of("0123456789") == std::string_view::npos && !word.starts_with("evil"))
      cause += word;
    at = end + 1;
  }
  return cause;
}

// Knows nothing of tables and boots.
class NoContext final : public gateway::BatchContext {
 public:
  std::shared_ptr<const gateway::TableInfo> table(std::string_view, std::uint32_t) const override {
    return nullptr;
  }
  std::optional<gateway::BootTime> boot_time(std::string_view, Epoch) const override { return std::nullopt; }
};

bool is_refused(const gateway::Event& event) {
  return event.loss_reason == gateway::LossReason::kRefusedFull ||
         event.loss_reason == gateway::LossReason::kRefusedFlash;
}

Logged::Reason reason_of(gateway::LossReason reason) {
  switch (reason) {
    case gateway::LossReason::kDroppedFull:
      return Logged::Reason::kDropped;
    case gateway::LossReason::kCorrupt:
      return Logged::Reason::kDamaged;
    case gateway::LossReason::kNotHeld:
      return Logged::Reason::kAcked;
    default:
      return Logged::Reason::kOther;
  }
}

}  // namespace

gateway::LogReader::Filter filter_of(Audience audience, std::string_view device) {
  gateway::LogReader::Filter filter;
  if (audience == Audience::kDevice) filter.device = device;
  if (audience == Audience::kRare) {
    const auto types = gateway::event_types();
    filter.types.assign(types.begin(), types.end());
    std::erase(filter.types, gateway::EventType::kTelemetry);
  }
  return filter;
}

GatewayNode::GatewayNode(Scene& scene, Broker& broker, const Options& options)
    : scene_(scene),
      broker_(broker),
      options_(options),
      disk_(options.seed),
      turn_timer_(scene.engine, [this] { turn(); }),
      connect_timer_(scene.engine, [this] { connect(); }),
      start_timer_(scene.engine, [this] { start(); }) {
  for (const Audience audience : {Audience::kAll, Audience::kDevice, Audience::kRare})
    audiences_.emplace_back(audience, filter_of(audience, options.device));
  Disk::reset_sqlite(options.seed);
  disk_.make_directory(kFolder);
  disk_.set_hook([this](const Disk::Operation& operation) { return answer(operation); });
}

GatewayNode::~GatewayNode() { die(false); }

Disk::Answer GatewayNode::answer(const Disk::Operation& operation) {
  using Kind = Disk::Operation::Kind;
  if (quiet_) return Disk::Answer::kDo;
  if (dies_in_ && operation.changes() && (*dies_in_)-- == 0) {
    dies_in_.reset();
    scene_.hit(Probe::kGatewayDiedInFileOperation);
    return Disk::Answer::kDie;
  }
  if (scene_.now() >= trouble_until_) return Disk::Answer::kDo;
  const auto fail = [this](Probe probe, Disk::Answer answer) {
    scene_.hit(probe);
    return answer;
  };
  switch (trouble_) {
    case DiskTrouble::kFull:
      if (operation.kind == Kind::kWrite) return fail(Probe::kDiskFull, Disk::Answer::kFull);
      break;
    case DiskTrouble::kSyncFails:
      if (operation.kind == Kind::kSync) return fail(Probe::kSyncFailed, Disk::Answer::kFail);
      break;
    case DiskTrouble::kReadsFail:
      if (operation.kind == Kind::kRead) return fail(Probe::kReadFailed, Disk::Answer::kFail);
      break;
    case DiskTrouble::kSyncLies:
      if (operation.kind != Kind::kSync) break;
      lied_ = true;
      return fail(Probe::kSyncLied, Disk::Answer::kLie);
  }
  return Disk::Answer::kDo;
}

// --- Life ---

void GatewayNode::start() {
  if (running()) return;
  start_timer_.set(std::nullopt);
  ++life_;
  disk_.set_time(wall_clock());
  const bool troubled = scene_.now() < trouble_until_;
  try {
    Random random(options_.seed, life_);
    store_.emplace(kFolder, gateway::Term{static_cast<std::uint32_t>(random.between(1, UINT32_MAX))}, disk_);
    intake_.emplace(gateway::Intake::Limits{});
    writer_.emplace(*store_,
                    gateway::Writer::Options{.limits = {.epochs_per_device_max = options_.kept,
                                                        .tables_per_device_max = options_.kept,
                                                        .boots_per_device_max = options_.kept},
                                             .batch_messages = options_.batch},
                    gateway::Writer::Callbacks{
                        .acks = [this](std::span<const gateway::AckTo> acks) { take_acks(acks); },
                        .feed = [this](std::span<const gateway::Event> events) { feed_->publish(events); }},
                    [this](gateway::LogLevel, std::string_view line) { note_line(line); });
    // Small ones make followers read the log.
    feed_.emplace(scene_, store_->reader(),
                  FeedNode::Options{
                      .seed = random.next(),
                      .cache_bytes_max = random.pick(std::array<std::size_t, 3>{16'000, 256'000, 24'000'000}),
                      .queue_bytes_max = random.pick(std::array<std::size_t, 3>{3'000, 30'000, 6'000'000}),
                      .step_bytes = random.pick(std::array<std::size_t, 3>{1'000, 8'000, 64'000}),
                      .disk_is_in_trouble = [this] { return scene_.now() < trouble_until_; },
                      .was_read =
                          [this] {
                            if (disk_.dead()) die_here();
                          }});
  } catch (const gateway::StoreError& error) {
    scene_.say("gateway", [&] { return std::string("does not start: ") + error.what(); });
    if (!disk_.dead() && !troubled) throw Violation("gateway_dead", error.what());
    die(disk_.dead() && dies_of_power_);
    return start_timer_.set(scene_.now() + kRestart);
  }
  scene_.say("gateway", [] { return "started"; });
  read_log();
  connect();
}

void GatewayNode::die(bool power) {
  ++life_;
  disk_.kill();
  feed_.reset();
  writer_.reset();
  store_.reset();
  intake_.reset();
  acks_.clear();
  waiting_since_.clear();
  lines_.clear();
  throttled_at_.clear();
  busy_until_ = Time{0};
  if (connected_) broker_.unsubscribe();
  connected_ = false;
  for (Timer* const timer : {&turn_timer_, &connect_timer_}) timer->set(std::nullopt);
  kill_at_.reset();
  dies_in_.reset();
  dies_of_power_ = false;
  if (!power) return disk_.restart();
  scene_.hit(Probe::kGatewayLostPower);
  scene_.judge.before_fault(std::nullopt);
  disk_.crash(mix64(options_.seed ^ life_));
  // A disk that lied may have lost what was acknowledged: nobody but the world did that.
  if (std::exchange(lied_, false)) {
    try {
      read_image();
    } catch (
        const gateway::StoreError&) {  // damaged, and the gateway says so: the operator does what it says
      scene_.hit(Probe::kLiesDamaged);
      put_back(backups_.empty() ? kStartAnew : 0);
    }
  }
  scene_.judge.after_fault(std::nullopt);
}

void GatewayNode::kill(KillPoint point, Millis down, std::uint64_t operations) {
  if (!running()) return;
  kill_down_ = down;
  dies_of_power_ = false;
  if (point == KillPoint::kFileOperation) {
    dies_in_ = operations;
    return;
  }
  if (point != KillPoint::kNow) {
    kill_at_ = point;
    return;
  }
  scene_.hit(Probe::kGatewayKilledIdle);
  scene_.say("gateway", [] { return "killed"; });
  die(false);
  start_timer_.set(scene_.now() + down);
}

void GatewayNode::lose_power(std::uint64_t operations, Millis down) {
  if (!running()) return;
  kill_down_ = down;
  if (operations > 0) {
    dies_in_ = operations - 1;
    dies_of_power_ = true;
    return;
  }
  scene_.say("gateway", [] { return "lost power"; });
  die(true);
  start_timer_.set(scene_.now() + down);
}

void GatewayNode::trouble_disk_until(Time end, DiskTrouble trouble) {
  trouble_until_ = end;
  trouble_ = trouble;
}

void GatewayNode::finish() {
  ack_trouble_until_ = trouble_until_ = Time{0};
  dies_in_.reset();
  kill_at_.reset();
}

void GatewayNode::connect() {
  if (connected_ || !running()) return;
  if (!broker_.subscribe(this)) return connect_timer_.set(scene_.now() + kReconnect);
  connected_ = true;
  intake_->session_started();
  plan_turn();
}

void GatewayNode::broker_lost() {
  connected_ = false;
  connect_timer_.set(scene_.now() + kReconnect);
}

// --- Messages ---

void GatewayNode::broker_message(std::string_view topic, std::string_view payload) {
  const auto parsed = topics::parse(topic);
  if (!parsed) return;
  scene_.engine.digest.add(as_bytes(payload));
  push({parsed->device, parsed->leaf, received(), std::string(payload)});
  plan_turn();
}

void GatewayNode::push(gateway::Message message) {
  const DeviceId device = message.device;
  const std::string id(device.view());
  const bool honest = scene_.judge.find_device(id).has_value();
  if (honest && intake_->waiting(device) == 0) waiting_since_.emplace(id, taken_);
  const gateway::Intake::Limits limits;
  const bool taken = intake_->push(std::move(message));
  if (honest && !taken)
    throw Violation("honest_dropped", id + ": a message was dropped, and it sends by its acks");
  if (!honest && !taken) scene_.hit(Probe::kHostileThrottled);
  if (intake_->waiting(device) > limits.device_messages || intake_->messages() > limits.messages)
    throw Violation("queue_bound", id + ": more messages wait than declared");
}

// Deficit round robin: before a message that finds its queue empty, each other device is served a quantum of
// bytes and one message; and it is in the middle of a transaction.
void GatewayNode::check_served(std::uint64_t taken) {
  taken_ += taken;
  constexpr std::uint64_t kTurn = gateway::Intake::kQuantum / gateway::Intake::kMessageCost + 1;
  const std::uint64_t bound = (options_.devices + kHostileClients) * kTurn + 2 * options_.batch;
  std::erase_if(waiting_since_, [&](const auto& entry) {
    if (taken_ - entry.second > bound)
      throw Violation("unfair", entry.first + ": " + std::to_string(taken_ - entry.second) +
                                    " messages of others were taken before its one");
    const bool served = intake_->waiting(*DeviceId::parse(entry.first)) == 0;
    if (served && scene_.now() < flood_until_ && intake_->messages() > 0)
      scene_.hit(Probe::kServedBesideAFlood);
    return served;
  });
}

// In one commit there is one at most, so commits tell when they were made.
void GatewayNode::note_throttled(const std::string& device) {
  const auto [last, first] = throttled_at_.emplace(device, scene_.now());
  if (!first && scene_.now() - last->second < gateway::Intake::kThrottledPause - kThrottledLate)
    throw Violation("log_flood", device + ": two events within a minute say that it is throttled");
  last->second = scene_.now();
}

void GatewayNode::note_line(std::string_view line) {
  scene_.say("gateway", [&] { return std::string(line); });
  const auto [last, first] = lines_.emplace(cause_of(line), scene_.now());
  if (!first && scene_.now() - last->second < kLinePause)
    throw Violation("log_flood", "two lines of one cause within 10 s: " + std::string(line));
  last->second = scene_.now();
}

void GatewayNode::plan_turn() {
  const gateway::Writer::Wait wait = writer_->wait();
  const Time due = wait.over(*intake_) ? scene_.now() : Time(wait.until.time_since_epoch());
  turn_timer_.set(std::max({scene_.now(), busy_until_, due}));
}

void GatewayNode::die_here() {
  die(disk_.dead() && dies_of_power_);
  start_timer_.set(scene_.now() + kill_down_);
}

void GatewayNode::turn() {
  const std::size_t waited = intake_->messages();
  writer_->take(*intake_, received());
  check_served(waited - intake_->messages());
  if (!writer_->idle()) busy_until_ = scene_.now() + kCommit;
  if (kill_at_ == KillPoint::kBeforeCommit && !writer_->idle()) {
    scene_.hit(Probe::kGatewayKilledBeforeCommit);
    return die_here();
  }
  const std::uint64_t failed = writer_->stats().failed_commits;
  writer_->turn(received());
  if (disk_.dead()) return die_here();
  if (writer_->stats().failed_commits > failed) note_failed_commit();
  read_log();
  if (!acks_.empty()) check_worst_crash();
  if (!acks_.empty() && kill_at_ == KillPoint::kBeforeAcks) {
    scene_.hit(Probe::kGatewayKilledBeforeAcks);
    return die_here();
  }
  scene_.engine.after(kCommit, [this, life = life_, acks = std::exchange(acks_, {})] {
    if (life != life_) return;
    for (const gateway::AckTo& ack : acks) send_ack(ack);
  });
  plan_turn();
}

// It is tried again after a pause, whatever the wall clock says.
void GatewayNode::note_failed_commit() {
  scene_.hit(Probe::kCommitFailed);
  if (writer_->stats().writable) return;  // what was refused is gone, and the rest goes on at once
  const Millis pause = Time(writer_->wait().until.time_since_epoch()) - scene_.now();
  const gateway::Writer::Options options;
  if (pause < options.retry_min || pause > options.retry_max)
    throw Violation("retry_pause",
                    "a commit that failed is tried again after " + std::to_string(pause.count()) + " ms");
}

// On the writer's stack: what is in the database now is what the acks cover.
void GatewayNode::take_acks(std::span<const gateway::AckTo> acks) {
  acks_.assign(acks.begin(), acks.end());
  if (acks_.size() > 1) scene_.hit(Probe::kCommitHeldManyDevices);
}

void GatewayNode::send_ack(const gateway::AckTo& to) {
  if (!connected_) return;
  std::array<std::uint8_t, codec::kAckSizeMax> payload{};
  const auto size = codec::encode(to.ack, payload);
  if (!size) return;
  if (to.ack.rewind) scene_.hit(Probe::kRewindAsked);
  if (to.ack.send_hello) scene_.hit(Probe::kHelloAsked);
  if (to.ack.marks_before != Seq{}) scene_.hit(Probe::kOlderMarksAsked);
  const std::string topic(topics::make(to.device, topics::Leaf::kAck).view());
  const std::string bytes(as_text(Bytes(payload).first(*size)));
  const auto publish_after = [&](Millis pause) {
    scene_.engine.after(pause, [this, topic, bytes] {
      if (broker_.running()) broker_.publish(topic, bytes);
    });
  };
  if (scene_.now() >= ack_trouble_until_) return publish_after(Broker::kHop);
  switch (ack_random_.below(4)) {
    case 0:
      return scene_.hit(Probe::kAckLost);
    case 1:
      scene_.hit(Probe::kAckLate);
      return publish_after(Millis{
          static_cast<std::int64_t>(ack_random_.between(1, static_cast<std::uint64_t>(ack_late_.count())))});
    case 2:
      scene_.hit(Probe::kAckDoubled);
      publish_after(Broker::kHop);
      [[fallthrough]];
    default:
      return publish_after(Broker::kHop);
  }
}

// Shows the judge what has been committed since.
void GatewayNode::read_log() {
  quiet_ = true;
  if (store_->reader().ends().last.offset < shown_)
    throw Violation("commit_lost", "the log ends at " +
                                       std::to_string(store_->reader().ends().last.offset.value) +
                                       " after a restart, and ended at " + std::to_string(shown_.value));
  for (bool more = true; more;) {
    const gateway::LogPage page = store_->reader().read(shown_, {}, {.events = kPage});
    if (page.gap) throw Violation("log_damaged", "events that were committed cannot be read");
    for (const gateway::Event& event : page.events) {
      if (event.type == gateway::EventType::kDeviceThrottled) note_throttled(event.device);
      show(event);
    }
    more = page.more;
  }
  quiet_ = false;
}

// The files are others now: the judge sees all of the log again.
void GatewayNode::read_image() {
  Disk look(options_.seed);
  look.make_directory(kFolder);
  look.restore(disk_.image());
  scene_.judge.log_replaced();
  shown_ = {};
  const gateway::Store store(kFolder, {}, look);
  for (const gateway::Event& event : store.reader().read({}, {}, {.events = 1'000'000}).events) show(event);
}

// Where nothing is unsynced the worst crash leaves what is there, which the judge has seen. Now and then it
// is looked at all the same.
void GatewayNode::check_worst_crash() {
  if (lied_) return;
  if (disk_.settled() && ++settled_acks_ % kLookAtAcks != 0) return;
  Disk worst(options_.seed);
  worst.make_directory(kFolder);
  worst.restore(disk_.image());
  worst.crash(std::nullopt);
  scene_.hit(Probe::kWorstCrashChecked);
  const gateway::Store store(kFolder, {}, worst);
  if (store.reader().ends().last.offset < shown_)
    throw Violation("ack_not_durable", "an ack covers event " + std::to_string(shown_.value) +
                                           ", and a power cut now would leave " +
                                           std::to_string(store.reader().ends().last.offset.value));
}

void GatewayNode::show(const gateway::Event& event) {
  shown_ = event.offset;
  std::string json;
  gateway::append_json(json, event, NoContext());
  std::uint8_t audience = 0;
  for (const auto& [each, filter] : audiences_) {
    if (gateway::LogReader::passes(filter, event.type, event.device))
      audience |= static_cast<std::uint8_t>(each);
  }
  scene_.engine.digest.add(as_bytes(json));
  const auto device = scene_.judge.find_device(event.device);
  const Logged logged{.id = {event.offset.value, event.term.value},
                      .kind = kind_of(event, device.has_value()),
                      .device = device.value_or(0),
                      .epoch = event.epoch,
                      .seq = event.seq,
                      .count = event.count,
                      .reason = reason_of(event.loss_reason),
                      .batch = as_bytes(event.batch),
                      .json = json,
                      .audience = audience,
                      .places = device ? gateway::places(event) : 0};
  note_probes(event, device.has_value());
  scene_.say("gateway", [&] {
    return "stored " + std::to_string(event.offset.value) + " type " +
           std::to_string(static_cast<int>(event.type)) + " of " + event.device + " seq " +
           std::to_string(event.seq.value) + " count " + std::to_string(event.count) + " epoch " +
           std::to_string(event.epoch.value);
  });
  scene_.judge.logged(logged);
}

Logged::Kind GatewayNode::kind_of(const gateway::Event& event, bool honest) const {
  using gateway::EventType;
  using Kind = Logged::Kind;
  if (!honest) return Kind::kOther;
  switch (event.type) {
    case EventType::kTelemetry:
      return event.seq == gateway::kLiveSeq ? Kind::kOther : Kind::kRecord;
    case EventType::kLoss:
      return is_refused(event) ? Kind::kOther : Kind::kLoss;
    case EventType::kHistoryUnknown:
      return Kind::kUnknownBefore;
    case EventType::kHistoryReplaced:
      return Kind::kReplaced;
    case EventType::kEpoch:
      return Kind::kEpoch;
    case EventType::kDeviceOnline:
      return Kind::kOnline;
    case EventType::kDeviceOffline:
      return Kind::kOffline;
    default:
      return Kind::kOther;
  }
}

void GatewayNode::note_probes(const gateway::Event& event, bool honest) const {
  using gateway::EventType;
  using gateway::OfflineReason;
  if (!honest) return scene_.hit(Probe::kHostileStored);
  switch (event.type) {
    case EventType::kLoss:
      if (is_refused(event)) return scene_.hit(Probe::kRefusedStored);
      return scene_.hit(event.count > 1 ? Probe::kLossOfMany : Probe::kLossStored);
    case EventType::kEpoch:
      return scene_.hit(Probe::kNewEpochStored);
    case EventType::kHistoryReplaced:
      return scene_.hit(Probe::kPathsParted);
    case EventType::kHistoryUnknown:
      return scene_.hit(Probe::kHistoryUnknown);
    case EventType::kHistoryForgotten:
      return scene_.hit(Probe::kHistoryForgotten);
    case EventType::kDeviceOffline:
      return scene_.hit(event.offline_reason == OfflineReason::kWill      ? Probe::kOfflineByWill
                        : event.offline_reason == OfflineReason::kStopped ? Probe::kOfflineStopped
                        : event.offline_reason == OfflineReason::kSilent  ? Probe::kOfflineSilent
                                                                          : Probe::kOfflineRestarted);
    default:
      return;
  }
}

// In a world where nothing befalls anybody nothing is sent twice.
void GatewayNode::check_calm() const {
  const gateway::IngestCounters& counters = writer_->stats().ingest;
  const std::uint64_t again = counters.duplicates + counters.gaps + counters.foreign;
  if (again > 0)
    throw Violation("repeats",
                    std::to_string(again) + " entries came twice or out of turn, and nothing was lost");
}

void GatewayNode::check_goodbyes() const {
  if (scene_.probes[Probe::kOfflineRestarted] > 0)
    throw Violation("presence", "a device said goodbye, and the gateway has not heard it");
}

void GatewayNode::check_rows() {
  for (const gateway::DeviceState& state : store_->load()) {
    if (std::max({state.streams.size(), state.tables.size(), state.boots.size()}) <= options_.kept) continue;
    throw Violation("rows_unbounded", std::string(state.row.id.view()) +
                                          " has more epochs, tables or boots than " +
                                          std::to_string(options_.kept));
  }
}

void GatewayNode::check_reads() const { check_catching_up(scene_, disk_, kFolder); }

void GatewayNode::tell_times() const {
  const gateway::LogReader& reader = store_->reader();
  gateway::LogOffset after{};
  while (true) {
    const auto events =
        reader.read(after, {.device = {}, .types = {gateway::EventType::kTelemetry}}, {.events = kPage})
            .events;
    for (const gateway::Event& event : events) {
      after = event.offset;
      const auto device = scene_.judge.find_device(event.device);
      const auto info = gateway::batch_info(event, reader);
      if (!device || !info) continue;
      const auto quality = info->time.quality;
      scene_.hit(quality == gateway::TimeQuality::kBootRelative ? Probe::kTimeUnknown
                 : quality == gateway::TimeQuality::kResolved   ? Probe::kTimeResolved
                                                                : Probe::kTimeSynced);
      const auto table = reader.table(event.device, info->table_hash);
      scene_.judge.told_time(*device, as_bytes(event.batch),
                             {.synced = info->time.quality != gateway::TimeQuality::kBootRelative,
                              .epoch = event.epoch,
                              .unix_time = info->time.unix_time,
                              .period = Millis{table ? table->period_ms : 0}});
    }
    if (events.size() < kPage) return;
  }
}

// --- Faults ---

void GatewayNode::trouble_acks_until(Time end, Millis late, std::uint64_t stream) {
  ack_trouble_until_ = end;
  ack_late_ = late;
  ack_random_ = Random(stream);
}

void GatewayNode::back_up() {
  if (!running()) return;
  backups_.push_back(disk_.copy());  // between two commits it is one consistent database
  scene_.hit(Probe::kBackedUp);
}

void GatewayNode::restore(std::uint64_t which, Millis down) {
  if (backups_.empty() && which != kStartAnew) return;
  const gateway::LogOffset before = shown_;
  die(false);
  start_timer_.set(scene_.now() + down);
  scene_.judge.before_fault(std::nullopt);
  put_back(which);
  scene_.judge.after_fault(std::nullopt);
  scene_.say("gateway", [&] { return "database restored to " + std::to_string(shown_.value); });
  if (++restores_ > 1) scene_.hit(Probe::kRestoredTwice);
  scene_.hit(Probe::kRestored);
  if (shown_ < before) scene_.hit(Probe::kRestoreForgotRecords);
}

void GatewayNode::put_back(std::uint64_t which) {
  if (which == kStartAnew) {
    scene_.hit(Probe::kStartedAnew);
    disk_.restore({});
    disk_.make_directory(kFolder);
  } else {
    disk_.restore(backups_[backups_.size() - 1 - which % backups_.size()]);
  }
  read_image();
}

void GatewayNode::look_at_rotten_copy(std::uint64_t pages, std::uint64_t stream) {
  if (!running()) return;
  quiet_ = true;
  check_rotten(scene_, disk_, kFolder, *store_, pages, stream);
  quiet_ = false;
}

void GatewayNode::hostile(std::uint64_t messages, Hostile kind, std::uint64_t stream) {
  Random random(stream);
  if (kind == Hostile::kFlood) {
    flood_until_ = scene_.now() + static_cast<std::int64_t>(messages / kPulsesShare) * kPulse;
    return flood(messages / kPulsesShare, 0, random);
  }
  for (std::uint64_t i = 0; i < messages; ++i) push_hostile("evil", kind, i, random);
}

void GatewayNode::flood(std::uint64_t pulses, std::uint64_t number, Random random) {
  if (pulses == 0) return;
  for (std::uint64_t i = 0; i < kPulseMessages; ++i, ++number) {
    push_hostile("evil" + std::to_string(number % (kHostileClients - 1)), Hostile::kFlood, number, random);
  }
  scene_.engine.after(kPulse, [this, pulses, number, random] { flood(pulses - 1, number, random); });
}

void GatewayNode::push_hostile(std::string_view client, Hostile kind, std::uint64_t number, Random& random) {
  if (!connected_) return;
  HostileMessage message = hostile_message(kind, number, random);
  push({*DeviceId::parse(client), message.leaf, received(), std::move(message.payload)});
  plan_turn();
}

}  // namespace godwit::sim
