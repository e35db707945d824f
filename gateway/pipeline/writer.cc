// SPDX-License-Identifier: Apache-2.0
#include "gateway/pipeline/writer.h"

#include <algorithm>
#include <string>
#include <utility>

namespace godwit::gateway {

namespace {

const char* what_to_do(StoreTrouble trouble) {
  switch (trouble) {
    case StoreTrouble::kFull:
      return "; make room on the disk, no restart is needed";
    case StoreTrouble::kDisk:
      return "; look for errors of the disk in the kernel's log, and whether it is mounted and may be "
             "written; no "
             "restart is needed";
    case StoreTrouble::kDamaged:  // which says it itself
      return "";
    case StoreTrouble::kOther:
      break;
  }
  return "; no restart is needed";
}

}  // namespace

Writer::Writer(Store& store, const Options& options, Callbacks callbacks, LogSink log)
    : store_(store),
      options_(options),
      callbacks_(std::move(callbacks)),
      log_(std::move(log)),
      ingest_(std::in_place, options_.limits, store.load()) {}

void Writer::take(Intake& intake, Received now) {
  for (const Decoded& decoded : std::exchange(decoded_, {})) intake.charge(decoded, now.at);
  auto* const gathering = std::get_if<Gathering>(&state_);
  if (gathering == nullptr) return;
  if (intake.messages() > 0 && !gathering->until) gathering->until = now.at + options_.gather;
  const bool gathered =
      gathering->until && (now.at >= *gathering->until || intake.messages() >= options_.batch_messages);
  if (!gathered && !intake.urgent() && !hurry_ && now.at < tick_at_) return;

  intake.set_disk_low(stats_.disk_low);
  intake.take(messages_, options_.batch_messages, options_.batch_bytes);
  throttled_ = intake.take_throttled();
  session_started_ = intake.take_session_started() || session_started_;
  state_ = Writing{};
}

Writer::Wait Writer::wait() const {
  constexpr std::size_t kNoMessages = SIZE_MAX;
  if (const auto* const gathering = std::get_if<Gathering>(&state_)) {
    if (!gathering->until) return {.until = tick_at_, .messages = 1};
    return {.until = std::min(*gathering->until, tick_at_), .messages = options_.batch_messages};
  }
  const auto* const retrying = std::get_if<Retrying>(&state_);
  return {.until = retrying != nullptr ? retrying->at : Instant{}, .messages = kNoMessages};
}

bool Writer::idle() const {
  return std::holds_alternative<Gathering>(state_) || (hurry_ && std::holds_alternative<Retrying>(state_));
}

void Writer::turn(Received now) {
  if (std::holds_alternative<Gathering>(state_)) return;
  if (const auto* const retrying = std::get_if<Retrying>(&state_)) {
    if (now.at < retrying->at) return;
  }
  try {
    try {
      apply(now);
      if (!changes_->empty()) {
        store_.commit(*changes_);
        ++stats_.commits;
      }
    } catch (const Refused& refused) {
      return isolate(refused, now);
    }
  } catch (const StoreError& error) {
    return failed(error, now);
  }
  committed(now);
}

// Makes a transaction of what was taken; again does nothing.
void Writer::apply(Received now) {
  if (!ingest_) {
    ingest_.emplace(options_.limits, store_.load());
    ingest_->set_counters(stats_.ingest);
    session_started_ = true;  // who was heard, and who was asked, went with the old one
  }
  if (changes_) return;
  if (std::exchange(session_started_, false)) ingest_->session_started();
  for (const Message& message : messages_) {
    if (blocked(message.device)) continue;
    const Status status = ingest_->handle(message);
    if (status != Status::kOk) report(message, status, now);
  }
  messages_.clear();
  for (const Throttled& throttled : std::exchange(throttled_, {})) ingest_->throttled(throttled);
  ingest_->tick(now);
  changes_ = ingest_->take();
  decoded_ = ingest_->take_decoded();
}

void Writer::committed(Received now) {
  if (const auto lost = store_.take_rebuilt()) {
    log_(LogLevel::kError,
         "pages of the database were damaged: it was rebuilt from the others, and " + std::to_string(*lost) +
             " events are lost, which the log shows as gaps; is the disk failing? Make a backup");
  }
  if (!stats_.writable) log_(LogLevel::kInfo, "the database can be written again");
  stats_.writable = true;
  stats_.ingest = ingest_->counters();
  stats_.quarantined += changes_->quarantined.size();
  const std::vector<Event> events = std::exchange(changes_->events, {});
  stats_.events += events.size();
  std::vector<AckTo> acks = ingest_->committed(*std::exchange(changes_, std::nullopt));
  if (!asked_at_ || now.at - *asked_at_ >= options_.asks_pause) {
    const std::vector<AckTo> asks = ingest_->take_asks(options_.asks_max, now.at);
    acks.insert(acks.end(), asks.begin(), asks.end());
    asked_at_ = now.at;
  }
  if (!acks.empty() && callbacks_.acks) callbacks_.acks(acks);
  if (!events.empty() && callbacks_.feed) callbacks_.feed(events);
  store_.checkpoint();

  const auto reserve = static_cast<double>(options_.disk_reserve_percent) / 100;
  stats_.disk_low = store_.free_share().value_or(1) < reserve;
  std::erase_if(blocked_, [&](const auto& entry) { return now.at >= entry.second; });
  tick_at_ = now.at + (ingest_->asks_due() ? options_.asks_pause : kTick);
  state_ = Gathering{};
}

void Writer::failed(const StoreError& error, Received now) {
  ++stats_.failed_commits;
  const bool was_writable = std::exchange(stats_.writable, false);
  const bool another = std::exchange(stats_.trouble, error.trouble()) != error.trouble();
  if (was_writable || (another && trouble_limit_.allow(now.at))) {
    log_(LogLevel::kError,
         std::string("cannot write the database, so nothing is acknowledged until it works again: ") +
             error.what() + what_to_do(error.trouble()));
  }
  if (error.trouble() == StoreTrouble::kDamaged && callbacks_.damaged) callbacks_.damaged();
  const auto* const before = std::get_if<Retrying>(&state_);
  const Millis pause =
      before == nullptr ? options_.retry_min : std::min(2 * before->pause, options_.retry_max);
  state_ = Retrying{.at = now.at + pause, .pause = pause};
}

// Throws StoreError if the disk fails.
void Writer::isolate(const Refused& refused, Received now) {
  ++stats_.failed_commits;
  const bool room = refused.event() && store_.quarantine_has_room(refused.device());
  if (!room || !ingest_->quarantine(*changes_, *refused.event(), refused.what())) {
    return give_up(refused, now);
  }
  if (refused_limit_.allow(now.at)) {
    log_(LogLevel::kError,
         "device " + refused.device() + ": the database refused a record (" + refused.what() +
             "); it is kept in the table `quarantine` of godwit.db and shown as lost, everything else goes "
             "on; please report this line");
  }
  state_ = Writing{};
}

void Writer::give_up(const Refused& refused, Received now) {
  if (refused_limit_.allow(now.at)) {
    log_(LogLevel::kError, "device " + refused.device() + ": the database refuses what it sends (" +
                               refused.what() +
                               ") and the quarantine is full or not for this; the device keeps its records, "
                               "and is not listened to for 10 minutes. Please report this line; records in "
                               "the table `quarantine` of godwit.db may be deleted");
  }
  if (const auto device = DeviceId::parse(refused.device())) {
    if (blocked_.size() >= kBlockedMax) blocked_.erase(blocked_.begin());
    blocked_.emplace_back(*device, now.at + kBlockedTime);
  }
  changes_.reset();
  ingest_.reset();  // what it holds is not in the database
  state_ = Gathering{};
}

bool Writer::blocked(const DeviceId& device) const {
  return std::ranges::any_of(blocked_, [&](const auto& entry) { return entry.first == device; });
}

void Writer::report(const Message& message, Status status, Received now) {
  const std::string who = "device " + std::string(message.device.view()) + ": ";
  if (status == Status::kMalformed && malformed_limit_.allow(now.at)) {
    const bool unsure = message.leaf == topics::Leaf::kRecord && message.qos == 0;
    log_(
        LogLevel::kWarning,
        who + "a message of " + std::to_string(message.payload.size()) +
            (unsure ? " bytes is a record at QoS 0 and is dropped: records must be published at QoS 1"
                    : " bytes does not decode and is dropped (firmware and gateway of different versions?)"));
  }
  if (status == Status::kFull && full_limit_.allow(now.at)) {
    log_(LogLevel::kWarning, who +
                                 "over a limit: either it is new and there are [store] devices_max devices "
                                 "already, or it has announced too many tables");
  }
}

}  // namespace godwit::gateway
