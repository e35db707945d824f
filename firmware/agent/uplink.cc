// SPDX-License-Identifier: Apache-2.0
#include "firmware/agent/uplink.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proto/base/assert.h"

namespace godwit::agent {
namespace {

using ports::LogLevel;

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

codec::RefusedReason to_wire(outbox::RefusedReason reason) {
  return reason == outbox::RefusedReason::kFull ? codec::RefusedReason::kFull : codec::RefusedReason::kFlash;
}

std::int64_t number(Seq seq) { return static_cast<std::int64_t>(seq.value); }

}  // namespace

Uplink::Uplink(const DeviceId& device, const Options& options, outbox::Outbox& outbox, mqtt::Session& session,
               Owner& owner, ports::Log& log)
    : outbox_(outbox),
      session_(session),
      owner_(owner),
      log_(log),
      hello_topic_(topics::make(device, topics::Leaf::kHello)),
      record_topic_(topics::make(device, topics::Leaf::kRecord)),
      tries_(options.boot << 16),
      answer_timeout_max_(std::max(options.answer_timeout_max, kAnswerTimeoutMin)) {}

void Uplink::session_closed() {
  state_ = State::kClosed;
  silences_ = 0;
  deadline_.reset();
}

void Uplink::hello_changed(Instant now) {
  if (state_ == State::kSent || state_ == State::kSending) greet(now);
}

// The answer to a hello says where to go on, so there is no other way of resending. Nothing counts under a
// try of 0 until the hello is sent.
void Uplink::greet(Instant now, Seq marks_before) {
  state_ = State::kDue;
  hello_ = {.marks_before = marks_before};
  deadline_ = now + answer_timeout_;
}

void Uplink::wait(Instant now) {
  state_ = State::kWaiting;
  deadline_ = now + backoff_.next_delay(owner_.random());
}

void Uplink::handle_ack(Instant now, const codec::Ack& ack) {
  if (state_ == State::kClosed || state_ == State::kDue) return;
  if (ack.try_id == Try{}) return answer_wish(now, ack);
  if (ack.try_id != hello_.try_id) return;
  if (ack.next_seq > outbox_.next_seq()) {
    // It takes another log for ours. Believed, it would free what nobody has.
    log_.write(LogLevel::kWarning, "ack_too_high",
               {{.key = "gateway_expects", .number = number(ack.next_seq)},
                {.key = "next_seq", .number = number(outbox_.next_seq())}});
    return wait(now);
  }
  if (!hello_.answered)
    answer_timeout_ = std::clamp(2 * (now - hello_.sent_at), kAnswerTimeoutMin, answer_timeout_max_);
  if (ack.marks_before == Seq{}) move_to(now, ack);
  if (ack.send_hello || ack.marks_before != Seq{}) answer_wish(now, ack);
}

// The first answer under a try sets place and reclaim mark, backward too. A later one that is lower was
// overtaken.
void Uplink::move_to(Instant now, const codec::Ack& ack) {
  const bool first = !hello_.answered;
  const bool forward = ack.next_seq > acked_;
  if (!first && !forward && (ack.next_seq < acked_ || state_ == State::kWaiting)) return;
  // To begin at one place again and again costs the window each time: another hello does, and pauses first.
  if (ack.rewind && !first && std::exchange(hello_.rewound, ack.next_seq) == ack.next_seq) return wait(now);
  const bool progress = forward || ack.next_seq == outbox_.next_seq();
  const bool resume = first || ack.rewind || state_ != State::kSending;
  hello_.answered = true;
  acked_ = ack.next_seq;
  send_ = resume ? acked_ : std::max(send_, acked_);
  ignore(outbox_.ack(acked_));  // fails only above next_seq()
  state_ = State::kSending;
  if (progress) backoff_.reset();
  if (send_ == acked_) {
    deadline_.reset();
  } else if (progress) {
    deadline_ = now + answer_timeout_;
  }
}

// The gateway wants a hello, or one that goes further back.
void Uplink::answer_wish(Instant now, const codec::Ack& ack) {
  const Seq before = ack.marks_before;
  const bool goes_back = before != Seq{} && (hello_.marks_before == Seq{} || before < hello_.marks_before);
  if (goes_back || now - hello_.sent_at >= kHelloPause) return greet(now, before);
  wait(now);
}

void Uplink::handle_published(Instant now, std::uint16_t id, mqtt::ReasonCode reason) {
  const bool of_hello = id == hello_.packet_id;
  if (of_hello) hello_.packet_id = 0;
  if (reason == mqtt::ReasonCode::kSuccess || state_ == State::kClosed || state_ == State::kWaiting) return;
  if (state_ != State::kSending && !of_hello) return;  // of an entry before: the hello settles it
  if (mqtt::is_error(reason)) {
    log_.write(LogLevel::kWarning, "publish_refused",
               {{.key = "reason", .number = static_cast<std::int64_t>(reason)}});
  }
  wait(now);
}

void Uplink::handle_timeout(Instant now) {
  if (!deadline_ || now < *deadline_) return;
  if (state_ == State::kWaiting) return greet(now);
  ++silences_;
  answer_timeout_ = std::min(2 * answer_timeout_, answer_timeout_max_);
  wait(now);
}

void Uplink::pump(Instant now) {
  if ((state_ == State::kSent || state_ == State::kSending) && outbox_.epoch() != hello_.epoch) greet(now);
  if (state_ == State::kDue && send_hello(now)) state_ = State::kSent;
  if (state_ != State::kSending) return;
  while (send_ < outbox_.next_seq() && send_ - acked_ < kWindowEntries && send_next(now)) {
  }
}

// Random, and unlike all tries before it: they are counted, over boots too, so a source of randomness that
// fails or repeats itself gives no try twice within 65,536 hellos of a boot and 65,536 boots.
Try Uplink::draw_try() {
  Try drawn;
  while (drawn == Try{}) drawn = {owner_.random() + tries_++};
  return drawn;
}

// False: there is no room for it now.
bool Uplink::send_hello(Instant now) {
  codec::Hello hello = owner_.hello();
  hello.try_id = draw_try();
  hello.marks_before = hello_.marks_before;
  hello.oldest_seq = outbox_.oldest_seq();
  hello.next_seq = outbox_.next_seq();
  hello.epoch = outbox_.epoch();
  Status status = add_marks(hello);
  if (status == Status::kOk) status = publish_hello(now, hello);
  if (status == Status::kBusy) return false;
  if (status != Status::kOk) {  // as if it were lost: tried again later
    log_.write(LogLevel::kError, "hello_not_sent", {{.key = "status", .text = to_string(status)}});
  }
  hello_.try_id = hello.try_id;
  hello_.epoch = hello.epoch;
  hello_.sent_at = now;
  return true;
}

Status Uplink::add_marks(codec::Hello& hello) {
  if (hello.next_seq == kFirstSeq) return Status::kOk;  // nothing was ever appended, or there is no log
  const Seq before = hello.marks_before == Seq{} ? hello.next_seq : hello.marks_before;
  const std::size_t room = kHelloSizeMax - codec::encoded_size(hello, owner_.tables());
  const auto named = std::span(hello.marks).first(std::min(hello.marks.size(), room / codec::kMarkSizeMax));
  const auto count = outbox_.marks_before(before, named);
  if (!count) return count.error();
  hello.marks_count = *count;
  if (*count == 0) return Status::kOk;
  std::array<Mark, 1> older;
  const auto more = outbox_.marks_before(named[*count - 1].first_seq, older);
  if (!more) return more.error();
  hello.more_marks = *more > 0;
  return Status::kOk;
}

Status Uplink::publish_hello(Instant now, const codec::Hello& hello) {
  const auto payload =
      session_.begin_publish(now, {.topic = hello_topic_.view(), .qos = mqtt::Qos::kAtLeastOnce},
                             codec::encoded_size(hello, owner_.tables()));
  if (!payload) return payload.error();
  const auto size = codec::encode(hello, owner_.tables(), *payload);
  GODWIT_ASSERT(size && *size == payload->size());
  const auto id = session_.commit_publish();
  if (!id) return id.error();
  hello_.packet_id = *id;
  return Status::kOk;
}

// False: nothing could be sent now.
bool Uplink::send_next(Instant now) {
  const auto entry = outbox_.peek(send_);
  Status status = entry ? Status::kOk : entry.error();
  if (entry)
    status = entry->kind == outbox::Entry::Kind::kData ? send_data(now, *entry) : send_notice(now, *entry);
  if (status == Status::kOk) {
    ++published_;
    if (!deadline_) deadline_ = now + answer_timeout_;
    return true;
  }
  // No room in the session passes by itself; the rest (flash that cannot be read, a record larger than the
  // broker takes) an operator has to know. It is tried again after the next hello.
  if (status != Status::kBusy && !deadline_) {
    log_.write(LogLevel::kError, "record_not_sent",
               {{.key = "seq", .number = number(send_)}, {.key = "status", .text = to_string(status)}});
    deadline_ = now + answer_timeout_;
  }
  return false;
}

Status Uplink::send_notice(Instant now, const outbox::Entry& entry) {
  codec::Record record{.try_id = hello_.try_id, .seq = send_};
  Seq end = send_ + 1;
  switch (entry.kind) {
    case outbox::Entry::Kind::kData:
      return Status::kInvalidArgument;
    case outbox::Entry::Kind::kMark:
      record.mark = entry.epoch;
      break;
    case outbox::Entry::Kind::kRefused:
      record.refused = {.count = entry.count, .reason = to_wire(entry.refused_reason)};
      break;
    case outbox::Entry::Kind::kLoss:
      end = entry.seq + entry.count;  // it may begin before the place that was asked for
      record.loss = {.count = end - send_, .reason = to_wire(entry.reason)};
      break;
  }
  std::array<std::uint8_t, codec::kNoticeSizeMax> bytes{};
  const auto size = codec::encode(record, bytes);
  if (!size) return size.error();
  const auto id = session_.publish(
      now,
      {.topic = record_topic_.view(), .payload = Bytes(bytes).first(*size), .qos = mqtt::Qos::kAtLeastOnce});
  if (!id) return id.error();
  send_ = end;
  return Status::kOk;
}

// The payload goes from flash straight into the packet that TLS will read.
Status Uplink::send_data(Instant now, const outbox::Entry& entry) {
  std::array<std::uint8_t, codec::kRecordPrefixMax> prefix{};
  const auto prefix_size = codec::encode_record_prefix(hello_.try_id, send_, entry.size_bytes, prefix);
  if (!prefix_size) return prefix_size.error();
  const auto payload = session_.begin_publish(
      now, {.topic = record_topic_.view(), .qos = mqtt::Qos::kAtLeastOnce}, *prefix_size + entry.size_bytes);
  if (!payload) return payload.error();
  std::ranges::copy(Bytes(prefix).first(*prefix_size), payload->begin());
  const auto read = outbox_.read(send_, payload->subspan(*prefix_size));
  if (!read || read->kind != outbox::Entry::Kind::kData) {
    session_.cancel_publish();
    return read ? send_notice(now, *read) : read.error();
  }
  const auto id = session_.commit_publish();
  if (!id) return id.error();
  send_ = send_ + 1;
  return Status::kOk;
}

}  // namespace godwit::agent
