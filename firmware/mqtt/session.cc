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

Session::Session(const Memory& memory, const Options& options)
    : resumable_(!options.clean_start), memory_(memory), options_(options) {}

Status Session::link_up(Instant now) {
  if (phase_ != Phase::kDown) return Status::kState;
  if (!options_are_valid()) return Status::kInvalidArgument;
  Writer writer(memory_.transmit);
  write_connect(writer);
  if (writer.size() + reserve() > memory_.transmit.size()) return Status::kInvalidArgument;
  transmit_end_ = writer.size();
  server_ = {};
  alias_count_ = 0;
  carried_count_ = received_count_;
  quota_ = 0;
  last_sent_ = now;
  last_received_ = now;
  phase_ = Phase::kConnecting;
  answer_deadline_ = now + options_.ack_timeout;
  return Status::kOk;
}

void Session::link_down(Instant) {
  if (phase_ == Phase::kDown) return;
  if (phase_ != Phase::kClosing) close({EventType::kDisconnected, ReasonCode::kUnspecifiedError});
  phase_ = Phase::kDown;
  answer_deadline_ = Instant::max();
  drop_transmit();
  draft_ = {};
  ack_first_byte_ = 0;  // it would belong to the connection that is gone
  packet_size_ = 0;
  receive_size_ = 0;
  abandon_requests();
}

// Our side ends the connection and says why.
void Session::end(Instant now, ReasonCode reason) {
  put_disconnect(reason);
  close({EventType::kDisconnected, reason});
  answer_deadline_ = now + options_.ack_timeout;
}

// No packet is taken or made from here on.
void Session::close(const Ended& ended) {
  phase_ = Phase::kClosing;
  answer_deadline_ = subscribe_deadline_ = Instant::max();
  draft_ = {};
  ended_ = ended;
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

std::optional<Instant> Session::next_deadline() const {
  Instant next = std::min(answer_deadline_, subscribe_deadline_);
  if (phase_ == Phase::kConnected && silence_max_ != Millis{0}) {
    // Silence of the server counts too: a client that only sends would not notice otherwise that nobody
    // listens.
    next = std::min(next, std::min(last_sent_, last_received_) + silence_max_);
  }
  if (next == Instant::max()) return std::nullopt;
  return next;
}

void Session::handle_timeout(Instant now) {
  const std::optional<Instant> deadline = next_deadline();
  if (!deadline || now < *deadline) return;
  if (now >= answer_deadline_ || now >= subscribe_deadline_) {
    // Nobody answers, so a DISCONNECT would reach nobody: give up what is queued and ask for the link to be
    // closed.
    if (phase_ != Phase::kClosing) close({EventType::kDisconnected, ReasonCode::kKeepAliveTimeout});
    answer_deadline_ = Instant::max();
    drop_transmit();
    return;
  }
  last_sent_ = now;
  last_received_ = now;
  const bool waiting = answer_deadline_ != Instant::max();
  if (!waiting) answer_deadline_ = now + options_.ack_timeout;
  // Unless one has not even left yet.
  if (has_reply_room() && !(waiting && !transmit().empty())) put_pingreq();
}

// The event last polled is done with: what it borrowed is free, and its message is acknowledged
// (4.3.2, 4.3.3).
void Session::consume_event() {
  if (event_state_ != EventState::kBorrowed) return;
  event_state_ = EventState::kNone;
  properties_ = {};
  receive_size_ = 0;
  packet_size_ = 0;
  if (ack_first_byte_ != 0 && phase_ == Phase::kConnected)
    put_ack(ack_first_byte_, event_.id, ReasonCode::kSuccess);
  ack_first_byte_ = 0;
}

std::optional<Event> Session::poll_event() {
  consume_event();
  if (event_state_ == EventState::kWaiting) {
    event_state_ = EventState::kBorrowed;
    // From here the message counts as delivered, and must not be delivered again (4.3.3).
    if (event_.message.qos == Qos::kExactlyOnce) memory_.inbound[received_count_++] = event_.id;
  } else if (!take_request_event() && !take_end_event()) {
    return std::nullopt;
  }
  return event_;
}

// Requests that ended without a packet from the server.
bool Session::take_request_event() {
  for (Request& request : std::span(requests_).first(request_count_)) {
    if (request.state < RequestState::kLost) continue;
    event_ = {.type = request.state == RequestState::kLost ? EventType::kPublishLost : EventType::kPublished,
              .id = request.id,
              .reason = request.reason};
    remove_request(request);
    return true;
  }
  return false;
}

bool Session::take_end_event() {
  if (!ended_) return false;
  event_ = {.type = ended_->type,
            .reason = ended_->reason,
            .by_server = ended_->by_server,
            .reason_string = ended_->reason_string};
  ended_.reset();
  return true;
}

std::optional<UserProperty> Session::user_property(std::size_t index) const {
  return properties_.user(index);
}

}  // namespace godwit::mqtt
