// SPDX-License-Identifier: Apache-2.0
#include "boards/host/mqtt/client.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

namespace godwit::boards {
namespace {

using mqtt::ReasonCode;

constexpr Millis kGoodbyeTimeout{5'000};
constexpr Millis kGoodbyeTick{100};          // TLS may hold bytes that poll(2) knows nothing of
constexpr std::size_t kInboundMax = 65'535;  // every packet identifier that there is
constexpr mqtt::Backoff::Options kReconnect{
    .least = Millis{20}, .first = Millis{200}, .max = Millis{5'000}, .stable_after = Millis{5'000}};

struct ReasonText {
  ReasonCode code;
  const char* text;
};
constexpr ReasonText kReasonTexts[] = {
    {ReasonCode::kUnspecifiedError, "unspecified error"},
    {ReasonCode::kMalformedPacket, "malformed packet"},
    {ReasonCode::kProtocolError, "protocol error"},
    {ReasonCode::kUnsupportedProtocolVersion, "unsupported protocol version"},
    {ReasonCode::kClientIdentifierNotValid, "client identifier not valid"},
    {ReasonCode::kBadUserNameOrPassword, "bad user name or password"},
    {ReasonCode::kNotAuthorized, "not authorized"},
    {ReasonCode::kServerUnavailable, "server unavailable"},
    {ReasonCode::kServerBusy, "server busy"},
    {ReasonCode::kBanned, "banned"},
    {ReasonCode::kServerShuttingDown, "server shutting down"},
    {ReasonCode::kKeepAliveTimeout, "keep alive timeout"},
    {ReasonCode::kSessionTakenOver, "session taken over by another client of this id"},
    {ReasonCode::kTopicFilterInvalid, "topic filter invalid"},
    {ReasonCode::kTopicNameInvalid, "topic name invalid"},
    {ReasonCode::kPacketIdentifierInUse, "packet identifier in use"},
    {ReasonCode::kPacketIdentifierNotFound, "packet identifier not found"},
    {ReasonCode::kReceiveMaximumExceeded, "receive maximum exceeded"},
    {ReasonCode::kTopicAliasInvalid, "topic alias invalid"},
    {ReasonCode::kPacketTooLarge, "packet too large"},
    {ReasonCode::kQuotaExceeded, "quota exceeded"},
    {ReasonCode::kPayloadFormatInvalid, "payload format invalid"},
    {ReasonCode::kRetainNotSupported, "retain not supported"},
    {ReasonCode::kQosNotSupported, "QoS not supported"},
    {ReasonCode::kUseAnotherServer, "use another server"},
    {ReasonCode::kServerMoved, "server moved"},
};

UniqueFd stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

std::string describe(ReasonCode reason) {
  const auto* known = std::ranges::find(kReasonTexts, reason, &ReasonText::code);
  std::array<char, 8> code{};
  std::snprintf(code.data(), code.size(), "0x%02X", static_cast<unsigned>(reason));
  if (known == std::end(kReasonTexts)) return std::string("reason ") + code.data();
  return std::string(known->text) + " (" + code.data() + ")";
}

MqttClient::Buffers::Buffers(std::size_t size)
    : receive(std::make_unique_for_overwrite<std::uint8_t[]>(size)),
      transmit(std::make_unique_for_overwrite<std::uint8_t[]>(size)),
      retransmit(std::make_unique_for_overwrite<std::uint8_t[]>(size)),
      inbound(std::make_unique_for_overwrite<std::uint16_t[]>(kInboundMax)),
      memory{.receive = {receive.get(), size},
             .transmit = {transmit.get(), size},
             .retransmit = {retransmit.get(), size},
             .inbound = {inbound.get(), kInboundMax}} {}

MqttClient::MqttClient(Options options)
    : options_(std::move(options)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      signals_(stop_signals()),
      link_(epoll_.get(), this, options_.link),
      buffers_(options_.packet_size_max),
      session_(buffers_.memory, options_.session),
      backoff_(kReconnect),
      retry_at_(Instant{}) {}

const mqtt::Event* MqttClient::poll_event() {
  for (;;) {
    const mqtt::Event* const event = session_.poll_event();
    if (event) {
      if (event->type == mqtt::EventType::kConnected) ever_connected_ = true;
      if (event->type == mqtt::EventType::kPublished || event->type == mqtt::EventType::kMessage) {
        backoff_.link_useful(clock_.now());
      }
      return event;
    }
    // The session takes the rest of what was read only now that its events are out.
    const std::size_t before = unread_.size();
    offer(clock_.now());
    if (unread_.size() == before) return nullptr;
  }
}

void MqttClient::offer(Instant now) {
  if (!unread_.empty()) unread_ = unread_.subspan(session_.handle_bytes(now, unread_));
}

bool MqttClient::wait(int input_fd) {
  if (over_) return false;
  const Instant now = clock_.now();
  transmit(now);  // what the caller has asked for since
  std::array<pollfd, 3> sources{pollfd{epoll_.get(), POLLIN, 0}, pollfd{signals_.get(), POLLIN, 0},
                                pollfd{input_fd, POLLIN, 0}};
  ::poll(sources.data(), sources.size(), timeout_ms(now));
  interrupted_ = interrupted_ || (sources[1].revents & POLLIN) != 0;
  input_ready_ = (sources[2].revents & (POLLIN | POLLHUP)) != 0;
  pump();
  return true;  // an end that has come is told by the next call: events are to be polled first
}

int MqttClient::timeout_ms(Instant now) const {
  if (link_.is_open() && !drained_) return 0;  // TLS may hold bytes that poll(2) knows nothing of
  Instant wake = now + Millis{60'000};
  for (const auto& due : {session_.next_deadline(), link_.deadline(), retry_at_}) {
    if (due) wake = std::min(wake, *due);
  }
  return static_cast<int>(std::max<std::int64_t>((wake - now).count(), 0));
}

void MqttClient::pump() {
  const Instant now = clock_.now();
  advance_link(now);
  session_.handle_timeout(now);
  receive(now);
  transmit(now);
  if (link_.is_open() && session_.should_close() && session_.transmit().empty()) {
    link_.close();
    session_.link_down(now);
    lost(now, Status::kOk);
  }
  if (link_.is_open() && session_.connected()) connected_last_ = now;
}

void MqttClient::advance_link(Instant now) {
  if (link_.is_open() || over_) return;
  if (link_.is_closed()) {
    if (!retry_at_ || now < *retry_at_) return;
    retry_at_.reset();
    link_.open(now);
  }
  const Status status = link_.advance(now);
  if (status == Status::kBusy) return;
  if (status != Status::kOk) {
    lost(now, status);
    return;
  }
  unread_ = {};
  if (session_.link_up(now) == Status::kOk) return;
  link_.close();
  over_ = true;
  error_ = "these options contradict each other";
}

void MqttClient::receive(Instant now) {
  drained_ = false;
  while (link_.is_open() && unread_.empty()) {
    const auto size = link_.read(input_);
    drained_ = !size && size.error() == Status::kBusy;
    if (drained_) return;
    if (!size || *size == 0) {
      session_.link_down(now);
      lost(now, size ? Status::kIo : size.error());
      return;
    }
    unread_ = Bytes(input_).first(*size);
    offer(now);
    transmit(now);
  }
}

void MqttClient::transmit(Instant now) {
  while (link_.is_open() && !session_.transmit().empty()) {
    const auto size = link_.write(session_.transmit());
    if (!size && size.error() == Status::kBusy) return;
    if (!size) {
      session_.link_down(now);
      lost(now, size ? Status::kIo : size.error());
      return;
    }
    session_.transmitted(now, *size);
  }
}

// A refusal does not pass by itself, and a broker that never answered is more likely mistyped than cut off.
void MqttClient::lost(Instant now, Status status) {
  error_ = link_.error();
  if (!ever_connected_ && error_.starts_with("cannot connect"))
    error_ += "; is the broker there? See -h and -p";
  if (!ever_connected_ && !options_.link.tls && !error_.starts_with("cannot")) {
    error_ += " before the broker answered: if this is its TLS port, give --cafile";
  }
  over_ = !options_.reconnect || !ever_connected_ || status == Status::kDenied ||
          now >= connected_last_ + options_.give_up_after;
  backoff_.link_down(now);
  if (!over_) retry_at_ = now + backoff_.next_delay(std::random_device{}());
}

void MqttClient::finish() {
  const Instant until = clock_.now() + kGoodbyeTimeout;
  options_.reconnect = false;
  retry_at_.reset();
  while (session_.connected() && session_.unreleased() > 0 && clock_.now() < until) {
    while (const auto* const event = poll_event()) {
      if (event->type != mqtt::EventType::kMessage) continue;
      transmit(clock_.now());
      session_.link_down(clock_.now());  // a DISCONNECT would acknowledge it
      link_.close();
      return;
    }
    transmit(clock_.now());
    wait_for_link(kGoodbyeTick);
    pump();
  }
  session_.disconnect(clock_.now());
  while (clock_.now() < until && !link_.is_closed()) {
    while (session_.poll_event() != nullptr) continue;
    pump();
    if (link_.is_closed()) return;
    wait_for_link(kGoodbyeTick);
  }
}

void MqttClient::wait_for_link(Millis time) {
  pollfd source{epoll_.get(), POLLIN, 0};
  ::poll(&source, 1, static_cast<int>(time.count()));
}

}  // namespace godwit::boards
