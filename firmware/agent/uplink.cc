// SPDX-License-Identifier: Apache-2.0
#include "firmware/agent/uplink.h"

#include <algorithm>
#include <array>

namespace godwit::agent {
namespace {

codec::LossReason to_wire(outbox::LossReason reason) {
  switch (reason) {
    case outbox::LossReason::kDroppedFull:
      return codec::LossReason::kDroppedFull;
    case outbox::LossReason::kCorrupt:
      return codec::LossReason::kCorrupt;
    case outbox::LossReason::kNotHeld:
      return codec::LossReason::kNotHeld;
  }
  return codec::LossReason::kNotHeld;
}

}  // namespace

Uplink::Uplink(const DeviceId& device, outbox::Outbox& outbox, mqtt::Session& session, Owner& owner,
               ports::Log& log)
    : outbox_(outbox),
      session_(session),
      owner_(owner),
      log_(log),
      hello_topic_(topics::make(device, topics::Leaf::kHello)),
      record_topic_(topics::make(device, topics::Leaf::kRecord)) {}

void Uplink::session_opened(Instant now) { greet(now); }

void Uplink::session_closed() {
  state_ = State::kClosed;
  hello_due_ = false;
  silent_hellos_ = 0;
  deadline_.reset();
}

void Uplink::hello_changed(Instant now) {
  if (state_ == State::kSending || state_ == State::kGreeting) greet(now);
}

// The answer to a hello says where to go on, so there is no other way of resending.
void Uplink::greet(Instant now) {
  state_ = State::kGreeting;
  hello_due_ = true;
  hello_arrived_ = false;
  deadline_ = now + kAnswerTimeout;
}

void Uplink::wait(Instant now) {
  state_ = State::kWaiting;
  hello_due_ = false;
  deadline_ = now + Millis{200} + backoff_.next_delay(owner_.random());
}

void Uplink::handle_ack(Instant now, const codec::Ack& ack) {
  if (state_ == State::kClosed || ack.epoch != outbox_.epoch()) return;
  if (ack.next_seq > shared_) return begin_epoch(now, ack.next_seq);
  // An answer is all it takes to prove the gateway there: start from the shortest delay again.
  backoff_.link_useful(now);
  backoff_.link_down(now);
  const bool resume = state_ != State::kSending || ack.rewind;
  if (ack.next_seq > acked_) deadline_ = now + kAnswerTimeout;
  if (resume || ack.next_seq > acked_) acked_ = ack.next_seq;
  send_ = resume ? acked_ : std::max(send_, acked_);
  ignore(outbox_.ack(acked_));  // fails only above next_seq()
  // A hello that found no room yet has something to tell that this answer cannot know.
  state_ = hello_due_ ? State::kGreeting : State::kSending;
  if (ack.send_hello) return greet(now);
  if (state_ == State::kSending && send_ == acked_) deadline_.reset();
}

// The gateway holds records of our epoch that this log does not know: its flash lost some, or was replaced by
// an older copy. Records made since the mount may have been given the same numbers, and would be taken for
// repeats, so they get a new epoch; what was there at the mount the gateway has.
void Uplink::begin_epoch(Instant now, Seq expected) {
  log_.write(ports::LogLevel::kWarning, "epoch_conflict",
             {{.key = "gateway_expects", .number = static_cast<std::int64_t>(expected.value)},
              {.key = "known_to_both", .number = static_cast<std::int64_t>(shared_.value)}});
  ignore(outbox_.ack(shared_));  // never above next_seq()
  if (outbox_.begin_epoch() != Status::kOk) return wait(now);
  shared_ = kFirstSeq;
  greet(now);
}

void Uplink::handle_published(Instant now, std::uint16_t id, mqtt::ReasonCode reason) {
  if (state_ == State::kClosed) return;
  if (id == hello_id_) {
    hello_arrived_ = true;
    silent_hellos_ = 0;
  }
  if (reason == mqtt::ReasonCode::kSuccess || state_ == State::kWaiting) return;
  if (state_ == State::kGreeting && id != hello_id_) return;  // of a record before: the hello settles it
  if (mqtt::is_error(reason)) {
    log_.write(ports::LogLevel::kWarning, "publish_refused",
               {{.key = "reason", .number = static_cast<std::int64_t>(reason)}});
  }
  wait(now);
}

void Uplink::handle_timeout(Instant now) {
  if (!deadline_ || now < *deadline_) return;
  if (state_ != State::kGreeting) return greet(now);
  if (!hello_arrived_) ++silent_hellos_;
  wait(now);
}

void Uplink::pump(Instant now) {
  if (hello_due_) hello_due_ = !send_hello(now);
  if (state_ != State::kSending) return;
  while (send_ < outbox_.next_seq() && send_ - acked_ < kWindowRecords && send_next(now)) {
  }
}

bool Uplink::send_hello(Instant now) {
  const auto payload = session_.begin_publish(
      now, {.topic = hello_topic_.view(), .qos = mqtt::Qos::kAtLeastOnce}, owner_.hello_size());
  if (!payload && payload.error() != Status::kBusy) {
    log_.write(ports::LogLevel::kError, "hello_not_sent",
               {{.key = "status", .text = to_string(payload.error())}});
    return true;  // as if it were lost: tried again later
  }
  if (!payload) return false;
  if (owner_.write_hello(*payload) != Status::kOk) {
    session_.cancel_publish();
    return false;
  }
  const auto id = session_.commit_publish();
  if (!id) return false;
  hello_id_ = *id;
  return true;
}

// False: nothing could be sent now.
bool Uplink::send_next(Instant now) {
  const auto entry = outbox_.peek(send_);
  Status status = entry ? Status::kOk : entry.error();
  if (entry) {
    status = entry->kind == outbox::Entry::Kind::kRecord ? send_record(now, *entry) : send_loss(now, *entry);
  }
  if (status == Status::kOk) {
    ++published_;
    shared_ = std::max(shared_, send_);
    if (!deadline_) deadline_ = now + kAnswerTimeout;
    return true;
  }
  // No room in the session passes by itself; the rest (flash that cannot be read, a record larger than the
  // broker takes) an operator has to know. It is tried again after the next hello.
  if (status != Status::kBusy && !deadline_) {
    log_.write(ports::LogLevel::kError, "record_not_sent",
               {{.key = "seq", .number = static_cast<std::int64_t>(send_.value)},
                {.key = "status", .text = to_string(status)}});
    deadline_ = now + kAnswerTimeout;
  }
  return false;
}

// The payload goes from flash straight into the packet that TLS will read.
Status Uplink::send_record(Instant now, const outbox::Entry& entry) {
  std::array<std::uint8_t, codec::kRecordPrefixMax> prefix{};
  const auto prefix_size = codec::encode_record_prefix(outbox_.epoch(), send_, entry.size_bytes, prefix);
  if (!prefix_size) return prefix_size.error();
  const auto payload = session_.begin_publish(
      now, {.topic = record_topic_.view(), .qos = mqtt::Qos::kAtLeastOnce}, *prefix_size + entry.size_bytes);
  if (!payload) return payload.error();
  std::ranges::copy(Bytes(prefix).first(*prefix_size), payload->begin());
  const auto read = outbox_.read(send_, payload->subspan(*prefix_size));
  if (!read || read->kind != outbox::Entry::Kind::kRecord) {
    session_.cancel_publish();
    return read ? send_loss(now, *read) : read.error();
  }
  const auto id = session_.commit_publish();
  if (!id) return id.error();
  send_ = send_ + 1;
  return Status::kOk;
}

Status Uplink::send_loss(Instant now, const outbox::Entry& entry) {
  const Seq end = entry.seq + entry.count;  // the entry may begin before the place that was asked for
  const codec::Loss loss{.count = end - send_, .reason = to_wire(entry.reason)};
  std::array<std::uint8_t, codec::kLossRecordSizeMax> record{};
  const auto size = codec::encode(outbox_.epoch(), send_, loss, record);
  if (!size) return size.error();
  const auto id = session_.publish(
      now,
      {.topic = record_topic_.view(), .payload = Bytes(record).first(*size), .qos = mqtt::Qos::kAtLeastOnce});
  if (!id) return id.error();
  send_ = end;
  return Status::kOk;
}

}  // namespace godwit::agent
