// SPDX-License-Identifier: Apache-2.0
#include "firmware/agent/device.h"

#include <algorithm>

#include "proto/base/assert.h"

namespace godwit::agent {
namespace {

using ports::LogLevel;

// A clock that is set again within this is a correction, not news for the gateway.
constexpr std::int64_t kBootTimeTolerance_ms = 1'000;
constexpr Millis kRefusedInterval{10'000};  // between two lines about records refused for the same cause

mqtt::Options session_options(const Config& config, const mqtt::Message& will) {
  // No session on the broker: what counts is in the outbox, and the gateway says where to go on.
  return {.client_id = config.id.view(),
          .clean_start = true,
          .session_expiry_s = 0,
          .keep_alive_s = config.keep_alive_s,
          .use_topic_alias = true,
          .will = &will};
}

// What has not come within the keep-alive will not come.
Millis answer_timeout_max(const Config& config) {
  return std::chrono::seconds{config.keep_alive_s > 0 ? config.keep_alive_s : 60};
}

std::int64_t number(mqtt::ReasonCode reason) { return static_cast<std::int64_t>(reason); }

}  // namespace

Device::Device(const Config& config, const Ports& ports)
    : config_(config),
      ports_(ports),
      filter_(topics::device_filter(config.id)),
      ack_topic_(topics::make(config.id, topics::Leaf::kAck)),
      live_topic_(topics::make(config.id, topics::Leaf::kLive)),
      gone_topic_(topics::make(config.id, topics::Leaf::kGone)),
      will_{.topic = gone_topic_.view(), .payload = {}, .qos = mqtt::Qos::kAtLeastOnce},
      outbox_(ports.flash, ports.entropy, config.full_policy),
      session_({.receive = receive_, .transmit = transmit_, .retransmit = {}},
               session_options(config_, will_)),
      uplink_(config_.id, {.boot = config.boot, .answer_timeout_max = answer_timeout_max(config)}, outbox_,
              session_, *this, ports.log),
      backoff_(config.reconnect) {
  // A damaged record of a crash must not keep the gateway from taking the hello.
  if (config_.last_crash && !codec::is_label(config_.last_crash->where, codec::kWhereSizeMax))
    config_.last_crash->where = {};
}

Status Device::check_config() const {
  if (config_.tables.empty() || config_.tables.size() > kTablesMax) return Status::kInvalidArgument;
  if (!codec::is_label(config_.firmware, codec::kVersionSizeMax) ||
      !codec::is_label(config_.board, codec::kVersionSizeMax)) {
    return Status::kInvalidArgument;
  }
  for (const telemetry::Table& table : config_.tables) {
    if (const Status status = telemetry::Recorder::check(table); status != Status::kOk) return status;
  }
  return Status::kOk;
}

Status Device::mount() {
  const Status status = outbox_.mount();
  if (status == Status::kInvalidArgument) return status;
  has_log_ = status == Status::kOk;
  if (!has_log_) {
    ports_.log.write(LogLevel::kError, "log_unusable", {{.key = "status", .text = to_string(status)}});
    return Status::kOk;
  }
  outbox_.add_refused(config_.refused_before);
  return outbox_.record_size_max() < kBatchSizeMax ? Status::kInvalidArgument : Status::kOk;
}

Status Device::start(Instant now) {
  if (const Status status = check_config(); status != Status::kOk) return status;
  if (const Status status = mount(); status != Status::kOk) return status;
  for (std::size_t i = 0; i < config_.tables.size(); ++i) {
    recorders_[i].emplace(config_.tables[i], batches_[i]);
    announced_[i] = codec::announced(config_.tables[i].contract);
  }
  const codec::Hello fixed{.firmware = config_.firmware, .board = config_.board};
  constexpr std::size_t kNumbersMax =
      codec::kHelloNumbersMax - (codec::kHelloMarksMax - 1) * codec::kMarkSizeMax;  // with one mark
  if (codec::encoded_size(fixed, tables()) + kNumbersMax > Uplink::kHelloSizeMax)
    return Status::kInvalidArgument;
  life_ = Life::kRunning;
  connect_at_ = now;
  return Status::kOk;
}

void Device::set_unix_time(Instant now, UnixMillis unix_time) {
  if (unix_time.value < 0 || unix_time.value > codec::kTimeMax.count()) return;
  const UnixMillis boot_time{unix_time.value - now.time_since_epoch().count()};
  const bool news = !boot_time_ || boot_time.value - boot_time_->value > kBootTimeTolerance_ms ||
                    boot_time_->value - boot_time.value > kBootTimeTolerance_ms;
  boot_time_ = boot_time;
  if (!news) return;
  uplink_.hello_changed(now);
  drain(now);
}

void Device::set_health(Instant now, const codec::Health& health) {
  const bool news = !health_ || health_->time_quality != health.time_quality;
  health_ = health;
  if (!news) return;
  uplink_.hello_changed(now);
  drain(now);
}

void Device::link_up(Instant now) {
  if (life_ == Life::kStopped) return;  // a connect that was under way; link_request() is kClose
  link_ = Link::kUp;
  const Status status = session_.link_up(now);
  // Else the board opened it twice, or the options do not fit: a mistake of the program.
  GODWIT_ASSERT(status == Status::kOk);
  drain(now);
}

void Device::link_down(Instant now) {
  if (link_ == Link::kUp) {
    session_.link_down(now);
    uplink_.session_closed();
    backoff_.link_down(now);
  }
  link_ = Link::kDown;
  if (life_ == Life::kRunning) connect_at_ = now + backoff_.next_delay(random());
  drain(now);
}

void Device::handle_bytes(Instant now, Bytes bytes) {
  if (!bytes.empty()) uplink_.broker_heard();
  while (!bytes.empty() && !session_.should_close()) {
    bytes = bytes.subspan(session_.handle_bytes(now, bytes));
    drain(now);
  }
}

void Device::handle_timeout(Instant now) {
  sample_due(now);
  session_.handle_timeout(now);
  uplink_.handle_timeout(now);
  if (life_ == Life::kRunning && link_ == Link::kDown && now >= connect_at_) link_ = Link::kConnecting;
  drain(now);
}

std::optional<Instant> Device::next_deadline() const {
  std::optional<Instant> next = session_.next_deadline();
  const auto consider = [&next](std::optional<Instant> deadline) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  };
  consider(uplink_.next_deadline());
  if (life_ == Life::kStopping) consider(stop_by_);
  if (life_ != Life::kRunning) return next;
  if (link_ == Link::kDown) consider(connect_at_);
  for (const auto& recorder : recorders_) {
    if (!recorder) continue;
    consider(recorder->next_sample());
    consider(recorder->next_due());
  }
  return next;
}

void Device::transmitted(Instant now, std::size_t size) {
  session_.transmitted(now, size);
  drain(now);
}

LinkRequest Device::link_request() const {
  if (life_ == Life::kStopped) return LinkRequest::kClose;
  if (link_ == Link::kConnecting) return LinkRequest::kConnect;
  return link_ == Link::kUp && session_.should_close() ? LinkRequest::kClose : LinkRequest::kStay;
}

void Device::stop(Instant now) {
  if (life_ != Life::kRunning) return;
  for (std::size_t i = 0; i < config_.tables.size(); ++i) close_batch(i, now);
  life_ = Life::kStopping;
  stop_by_ = now + kGoodbyeMax;
  drain(now);
}

void Device::stop_when_delivered(Instant now) {
  if (life_ != Life::kStopping) return;
  const bool delivered = online() && acked_seq() == outbox_.next_seq();
  if (link_ == Link::kUp && !delivered && now < stop_by_) return;
  // Untold, the gateway would take it for online until it is missed. The will says less, but needs no room.
  const bool told =
      session_.publish(now, {.topic = gone_topic_.view(), .payload = as_bytes("stopped")}).has_value();
  session_.disconnect(now, told ? mqtt::ReasonCode::kSuccess : mqtt::ReasonCode::kDisconnectWithWill);
  uplink_.session_closed();
  life_ = Life::kStopped;
}

Stats Device::stats() const {
  Stats stats = stats_;
  stats.published = uplink_.published();
  return stats;
}

codec::LogState Device::log_state() const {
  if (!has_log_) return codec::LogState::kNone;
  return outbox_.stats().bad_sectors > 0 ? codec::LogState::kDegraded : codec::LogState::kOk;
}

std::uint32_t Device::refused_untold() const {
  if (has_log_) return outbox_.refused_untold();
  return config_.refused_before + static_cast<std::uint32_t>(stats_.refused);
}

codec::Hello Device::hello() {
  std::uint64_t missed = 0;
  for (std::size_t i = 0; i < config_.tables.size(); ++i) missed += recorder(i).missed_samples();
  const outbox::Stats& stats = outbox_.stats();
  bad_sectors_said_ = stats.bad_sectors;
  return {.firmware = config_.firmware,
          .board = config_.board,
          .boot = config_.boot,
          .reset_reason = config_.reset_reason,
          .boot_time = boot_time_,
          .dropped_records = stats.dropped_records,
          .refused_records = stats_.refused,
          .corrupt_records = stats.corrupt_records,
          .missed_samples = missed,
          .health = health_,
          .crash = config_.last_crash,
          .log_state = log_state(),
          .bad_sectors = stats.bad_sectors};
}

std::span<const codec::AnnouncedTable> Device::tables() {
  return std::span(announced_).first(config_.tables.size());
}

std::uint32_t Device::random() {
  std::array<std::uint8_t, 4> bytes{};
  if (ports_.entropy.fill(bytes) != Status::kOk) return UINT32_MAX;
  return load_le<std::uint32_t>(bytes.data());
}

telemetry::Recorder& Device::recorder(std::size_t table) {
  auto& recorder = recorders_[table];
  GODWIT_ASSERT(recorder.has_value());
  return *recorder;
}

telemetry::Stamp Device::stamp(Instant now) const {
  telemetry::Stamp stamp{.now = now, .unix_time = {}, .holdover = false, .boot = config_.boot};
  stamp.holdover = health_ && health_->time_quality == codec::TimeQuality::kHoldover;
  if (boot_time_) stamp.unix_time = UnixMillis{boot_time_->value + now.time_since_epoch().count()};
  return stamp;
}

void Device::sample_due(Instant now) {
  if (life_ != Life::kRunning) return;
  for (std::size_t i = 0; i < config_.tables.size(); ++i) {
    if (now >= recorder(i).next_sample()) sample(i, now);
    if (recorder(i).due(now)) close_batch(i, now);
  }
}

void Device::sample(std::size_t table, Instant now) {
  std::array<std::int64_t, codec::kChannelsMax> values{};
  const auto row = std::span(values).first(config_.tables[table].contract.channels.size());
  if (ports_.sensors.sample(table, now, row) != Status::kOk) {
    recorder(table).skip(now);
    return;
  }
  Status status = recorder(table).sample(stamp(now), row);
  if (status == Status::kFull) {
    close_batch(table, now);
    status = recorder(table).sample(stamp(now), row);
  }
  GODWIT_ASSERT(status == Status::kOk);  // an empty batch takes any row of a checked table
  ++stats_.sample_rows;
}

void Device::close_batch(std::size_t table, Instant now) {
  const Bytes batch = recorder(table).close();
  if (batch.empty()) return;
  if (config_.tables[table].contract.channel_class == codec::ChannelClass::kLive) {
    // Newest wins: what finds no link, or no room, is not worth keeping.
    if (online()) ignore(session_.publish(now, {.topic = live_topic_.view(), .payload = batch}));
    return;
  }
  const Status status = has_log_ ? outbox_.append(batch) : Status::kUnsupported;
  if (status == Status::kOk) {
    ++stats_.recorded;
  } else {
    count_refused(status, now);
  }
}

// The outbox itself tells the gateway of what it refused. Without a log there is nothing new to say each
// time.
void Device::count_refused(Status status, Instant now) {
  ++stats_.refused;
  Instant& due = refused_due_[status == Status::kFull ? 0 : 1];
  if (!has_log_ || now < due) return;
  due = now + kRefusedInterval;
  ports_.log.write(LogLevel::kError, "record_refused",
                   {{.key = "status", .text = to_string(status)},
                    {.key = "refused", .number = static_cast<std::int64_t>(stats_.refused)},
                    {.key = "next_seq", .number = static_cast<std::int64_t>(outbox_.next_seq().value)}});
}

void Device::drain(Instant now) {
  while (const mqtt::Event* const event = session_.poll_event()) handle_event(now, *event);
  if (outbox_.stats().bad_sectors != bad_sectors_said_) uplink_.hello_changed(now);
  uplink_.pump(now);
  if (uplink_.link_is_dead()) {
    ports_.log.write(LogLevel::kWarning, "broker_silent", {});
    session_.disconnect(now, mqtt::ReasonCode::kUnspecifiedError);
    uplink_.session_closed();
  }
  stop_when_delivered(now);
}

void Device::handle_event(Instant now, const mqtt::Event& event) {
  switch (event.type) {
    case mqtt::EventType::kConnected:
      ++stats_.sessions;
      if (const auto id = session_.subscribe(now, filter_.view(), {.qos = mqtt::Qos::kAtLeastOnce}); !id) {
        ports_.log.write(LogLevel::kError, "subscribe_not_sent",
                         {{.key = "status", .text = to_string(id.error())}});
        session_.disconnect(now);
      }
      return;
    case mqtt::EventType::kSubscribed:
      if (!mqtt::is_error(event.reason)) return uplink_.session_opened(now);
      ports_.log.write(LogLevel::kError, "subscribe_refused",
                       {{.key = "reason", .number = number(event.reason)}});
      session_.disconnect(now);
      return;
    case mqtt::EventType::kRefused:
      ports_.log.write(LogLevel::kError, "connect_refused",
                       {{.key = "reason", .number = number(event.reason)},
                        {.key = "use_instead", .text = event.server_reference}});
      return;
    case mqtt::EventType::kMessage:
      return handle_message(now, event.message);
    case mqtt::EventType::kPublished:
      return uplink_.handle_published(now, event.id, event.reason);
    case mqtt::EventType::kDisconnected:
      uplink_.session_closed();
      if (mqtt::is_error(event.reason)) {
        ports_.log.write(LogLevel::kWarning, "disconnected",
                         {{.key = "reason", .number = number(event.reason)},
                          {.key = "by", .text = event.by_server ? "broker" : "device"}});
      }
      return;
    case mqtt::EventType::kPublishLost:  // the outbox still has it
    case mqtt::EventType::kUnsubscribed:
      return;
  }
}

void Device::handle_message(Instant now, const mqtt::Message& message) {
  if (message.topic != ack_topic_.view())
    return;  // a later gateway may send what this firmware does not know
  const auto ack = codec::decode_ack(message.payload);
  if (!ack) {
    ports_.log.write(LogLevel::kWarning, "ack_malformed",
                     {{.key = "size", .number = static_cast<std::int64_t>(message.payload.size())}});
    return;
  }
  backoff_.link_useful(now);
  uplink_.handle_ack(now, *ack);
}

}  // namespace godwit::agent
