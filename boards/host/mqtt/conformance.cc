// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt conformance: a client that test programs drive against servers of their own, hostile ones
// included. One connection for each line of input, over when the connection is.
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <istream>
#include <memory>
#include <ostream>
#include <sstream>

#include "boards/host/files.h"
#include "boards/host/host_clock.h"
#include "boards/host/host_link.h"
#include "boards/host/mqtt/client.h"
#include "boards/host/mqtt/commands.h"
#include "firmware/mqtt/session.h"

namespace godwit::boards {
namespace {

enum class Action : std::uint8_t { kNone, kPublish1, kPublish2, kUnsubscribe };

struct Order {
  std::uint16_t port = 0;
  bool version_5 = false;
  bool clean_start = true;
  Action action = Action::kNone;
};

// PORT VERSION CLEAN [publish-1|publish-2|unsubscribe]
std::optional<Order> parse(const std::string& line) {
  std::istringstream words(line);
  Order order;
  std::string version;
  std::string clean;
  std::string action;
  if (!(words >> order.port >> version >> clean) || order.port == 0) return std::nullopt;
  order.version_5 = version == "5" || version == "5.0" || version == "mqttv5";
  const std::string clean_names[] = {"0", "1", "false", "true", "False", "True"};
  const auto* const clean_name = std::ranges::find(clean_names, clean);
  if (clean_name == std::end(clean_names)) return std::nullopt;
  order.clean_start = (clean_name - std::begin(clean_names)) % 2 == 1;
  if (!(words >> action)) return order;
  const std::string action_names[] = {"none", "publish-1", "publish-2", "unsubscribe"};  // as in Action
  const auto* const action_name = std::ranges::find(action_names, action);
  if (action_name == std::end(action_names) || words >> action) return std::nullopt;
  order.action = static_cast<Action>(action_name - std::begin(action_names));
  return order;
}

class Conversation {
 public:
  explicit Conversation(const Order& order)
      : order_(order),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        link_(epoll_.get(), this, {.host = "127.0.0.1", .port = order.port}),
        session_(
            {.receive = receive_, .transmit = transmit_, .retransmit = retransmit_, .inbound = inbound_},
            {.client_id = "fuzzish", .clean_start = order.clean_start, .session_expiry_s = kSessionExpiryS}) {
  }

  // Until the connection is over; how it ended.
  std::string run() {
    over_at_ = clock_.now() + kDurationMax;
    link_.open(clock_.now());
    while (link_.advance(clock_.now()) == Status::kBusy) wait(link_.deadline());
    if (!link_.is_open()) return "no connection: " + std::string(link_.error());
    if (session_.link_up(clock_.now()) != Status::kOk) return "internal error";
    while (link_.is_open() && !(session_.should_close() && session_.transmit().empty())) {
      session_.handle_timeout(clock_.now());
      if (clock_.now() >= over_at_) {
        session_.disconnect(clock_.now());
        over_at_ = Instant::max();
      }
      send();
      const bool over = session_.should_close() && session_.transmit().empty();
      if (!receive() && link_.is_open() && !over) wait(session_.next_deadline());
    }
    if (link_.is_open()) linger();
    session_.link_down(clock_.now());
    take_events();
    return outcome_.empty() ? "closed by the server" : outcome_;
  }

 private:
  static constexpr std::uint32_t kSessionExpiryS = 60;
  static constexpr Millis kLingerTimeout{1'000};
  static constexpr Millis kDurationMax{300'000};  // of a server that is well-behaved and never ends

  // True: there may be more.
  bool receive() {
    std::array<std::uint8_t, 4096> buffer;
    const auto size = link_.read(buffer);
    if (!size || *size == 0) return false;
    Bytes bytes = Bytes(buffer).first(*size);
    while (!bytes.empty() && !session_.should_close() && link_.is_open()) {
      const std::size_t taken = session_.handle_bytes(clock_.now(), bytes);
      bytes = bytes.subspan(taken);
      take_events();
      send();
    }
    take_events();
    return true;
  }

  void take_events() {
    while (const auto* const event = session_.poll_event()) {
      switch (event->type) {
        case mqtt::EventType::kConnected:
          // A new connection every time, so there is no session on our side that could be present (3.2.2-5).
          if (event->session_present) {
            session_.disconnect(clock_.now(), mqtt::ReasonCode::kProtocolError);
          } else {
            act();
          }
          break;
        case mqtt::EventType::kRefused:
          end("refused by the server: " + describe(event->reason));
          break;
        case mqtt::EventType::kDisconnected:
          // Without a DISCONNECT of either side the server has simply closed.
          if (event->by_server) {
            end("disconnected by the server: " + describe(event->reason));
          } else if (session_.should_close()) {
            end("disconnected by the client: " + describe(event->reason));
          }
          break;
        default:
          break;
      }
    }
  }

  void end(std::string outcome) {
    if (outcome_.empty()) outcome_ = std::move(outcome);
  }

  void act() {
    const auto publish = [this](mqtt::Qos qos) {
      return session_.publish(clock_.now(), {.topic = "topic", .payload = as_bytes("message"), .qos = qos})
          .has_value();
    };
    bool done = true;
    switch (order_.action) {
      case Action::kNone:
        break;
      case Action::kPublish1:
        done = publish(mqtt::Qos::kAtLeastOnce);
        break;
      case Action::kPublish2:
        done = publish(mqtt::Qos::kExactlyOnce);
        break;
      case Action::kUnsubscribe:
        done = session_.unsubscribe(clock_.now(), "topic").has_value();
        break;
    }
    // The server may have forbidden it in its CONNACK.
    if (!done) session_.disconnect(clock_.now());
  }

  void send() {
    while (link_.is_open() && !session_.transmit().empty()) {
      const auto size = link_.write(session_.transmit());
      if (!size) return;
      session_.transmitted(clock_.now(), *size);
    }
  }

  // A close while something is unread would reset the connection and might take our DISCONNECT with it.
  void linger() {
    link_.finish_writing();
    const Instant until = clock_.now() + kLingerTimeout;
    std::array<std::uint8_t, 4096> unread;
    while (link_.is_open() && clock_.now() < until) {
      const auto size = link_.read(unread);
      if (!size && size.error() == Status::kBusy) wait(until);
    }
    link_.close();
  }

  void wait(std::optional<Instant> until) {
    const Instant wake = std::min(until.value_or(over_at_), over_at_);
    const Millis time = std::clamp(Millis(wake - clock_.now()), Millis{0}, Millis{60'000});
    pollfd source{epoll_.get(), POLLIN, 0};
    ::poll(&source, 1, static_cast<int>(time.count()));
  }

  Order order_;
  HostClock clock_;
  Instant over_at_{};
  UniqueFd epoll_;
  HostLink link_;
  std::array<std::uint8_t, 64 * 1024> receive_;
  std::array<std::uint8_t, 64 * 1024> transmit_;
  std::array<std::uint8_t, 4 * 1024> retransmit_;
  std::array<std::uint16_t, 16> inbound_;
  mqtt::Session session_;
  std::string outcome_;
};

}  // namespace

int conformance(std::istream& in, std::ostream& out) {
  for (std::string line; std::getline(in, line);) {
    const auto order = parse(line);
    if (!order) {
      out << "error: PORT VERSION CLEAN [publish-1|publish-2|unsubscribe] is wanted" << std::endl;
    } else if (!order->version_5) {
      out << "unsupported" << std::endl;
    } else {
      out << std::make_unique<Conversation>(*order)->run() << std::endl;
    }
  }
  return 0;
}

}  // namespace godwit::boards
