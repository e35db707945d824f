// SPDX-License-Identifier: Apache-2.0
// The life of the link, time, and events. Inbound packets are in inbound.cc, outbound ones in outbound.cc.
//
//            link_up          CONNACK 0x00          our DISCONNECT, or the server's end
//   kDown ------------> kConnecting ------> kConnected ------------------------> kClosing
//     ^                      |                  |                                   |
//     +----------------------+-----  link_down  +-----------------------------------+
#include "firmware/mqtt/session.h"

#include <algorithm>

#include "firmware/mqtt/codec.h"
#include "proto/base/assert.h"

namespace godwit::mqtt {
namespace {

// Not the operators of std::chrono, which cost a device three times the code.
bool reached(Instant deadline, Instant now) {
  return now.time_since_epoch().count() >= deadline.time_since_epoch().count();
}
Instant earlier(Instant a, Instant b) { return reached(a, b) ? a : b; }

}  // namespace

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): what is not in use costs no code
Session::Session(const Memory& memory, const Options& options)
    : resumable_(!options.clean_start), memory_(memory), options_(options) {}

Status Session::link_up(Instant now) {
  if (phase_ != Phase::kDown) return Status::kState;
  if (!options_are_valid()) return Status::kInvalidArgument;
  if (const Status status = put_connect(); status != Status::kOk) return status;
  alias_count_ = 0;
  carried_count_ = received_count_;
  quota_ = 0;
  last_sent_ = now;
  last_received_ = now;
  phase_ = Phase::kConnecting;
  expect_answer(now);
  return Status::kOk;
}

void Session::link_down(Instant) {
  if (phase_ == Phase::kDown) return;
  if (phase_ != Phase::kClosing) end_with(ReasonCode::kUnspecifiedError);
  phase_ = Phase::kDown;
  answer_deadline_ = Instant::max();
  drop_transmit();
  cancel_publish();
  ack_first_byte_ = 0;  // it would belong to the connection that is gone
  packet_size_ = 0;
  receive_size_ = 0;
  abandon_requests();
}

void Session::expect_answer(Instant now) { answer_deadline_ = now + options_.ack_timeout; }

// Our side ends the connection and says why.
void Session::end(Instant now, ReasonCode reason) {
  put_disconnect(reason);
  end_with(reason);
  expect_answer(now);
}

// No packet is taken or made from here on.
void Session::close() {
  phase_ = Phase::kClosing;
  answer_deadline_ = subscribe_deadline_ = Instant::max();
  cancel_publish();
}

// The same, and the event that says why comes from here, not from a packet of the server.
void Session::end_with(ReasonCode reason) {
  close();
  end_due_ = true;
  end_reason_ = reason;
}

void Session::drop_transmit() { transmit_start_ = transmit_end_ = 0; }

void Session::disconnect(Instant now, ReasonCode reason) {
  if (phase_ != Phase::kConnecting && phase_ != Phase::kConnected) return;
  consume_event();
  end(now, reason);
}

bool Session::should_close() const { return phase_ == Phase::kClosing; }
bool Session::connected() const { return phase_ == Phase::kConnected; }
std::uint32_t Session::server_maximum_packet_size() const {
  return std::min(server_.maximum_packet_size, kPacketSizeMax);
}

Instant Session::due() const {
  Instant next = earlier(answer_deadline_, subscribe_deadline_);
  if (phase_ == Phase::kConnected && silence_max_ != Millis{0}) {
    // Silence of the server counts too: a client that only sends would not notice otherwise that nobody
    // listens.
    next = earlier(next, earlier(last_sent_, last_received_) + silence_max_);
  }
  return next;
}

std::optional<Instant> Session::next_deadline() const {
  const Instant next = due();
  if (next == Instant::max()) return std::nullopt;
  return next;
}

void Session::handle_timeout(Instant now) {
  if (!reached(due(), now)) return;
  if (reached(earlier(answer_deadline_, subscribe_deadline_), now)) {
    // Nobody answers, so a DISCONNECT would reach nobody: give up what is queued and ask for the link to be
    // closed.
    if (phase_ != Phase::kClosing) end_with(ReasonCode::kKeepAliveTimeout);
    answer_deadline_ = Instant::max();
    drop_transmit();
    return;
  }
  last_sent_ = now;
  last_received_ = now;
  const bool waiting = answer_deadline_ != Instant::max();
  if (!waiting) expect_answer(now);
  // Unless one has not even left yet.
  if (has_reply_room() && !(waiting && !transmit().empty())) put_pingreq();
}

// The event last polled is done with: what it borrowed is free, and its message is acknowledged
// (4.3.2, 4.3.3).
void Session::consume_event() {
  if (event_state_ != EventState::kBorrowed) return;
  event_state_ = EventState::kNone;
  receive_size_ = 0;
  packet_size_ = 0;
  if (ack_first_byte_ != 0 && phase_ == Phase::kConnected)
    put_ack(ack_first_byte_, event_.id, ReasonCode::kSuccess);
  ack_first_byte_ = 0;
}

const Event* Session::poll_event() {
  consume_event();
  if (event_state_ == EventState::kWaiting) {
    event_state_ = EventState::kBorrowed;
    // From here the message counts as delivered, and must not be delivered again (4.3.3).
    if (event_.message.qos == Qos::kExactlyOnce) memory_.inbound[received_count_++] = event_.id;
  } else if (!take_request_event()) {
    if (!end_due_) return nullptr;
    end_due_ = false;
    set_event(EventType::kDisconnected, 0, end_reason_);
  }
  return &event_;
}

void Session::set_event(EventType type, std::uint16_t id, ReasonCode reason) {
  event_ = {.type = type, .id = id, .reason = reason};
}

// Requests that ended without a packet from the server.
bool Session::take_request_event() {
  for (Request& request : std::span(requests_).first(request_count_)) {
    if (request.state < RequestState::kLost) continue;
    set_event(request.state == RequestState::kLost ? EventType::kPublishLost : EventType::kPublished,
              request.id, request.reason);
    remove_request(request);
    return true;
  }
  return false;
}

}  // namespace godwit::mqtt
