// SPDX-License-Identifier: Apache-2.0
// A session against a hostile server and an awkward application. The input is a list of actions, a byte each
// with what they need behind it, so that bytes of the server, requests, time and the link are mixed freely.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "firmware/mqtt/codec.h"
#include "firmware/mqtt/session.h"
#include "proto/base/assert.h"

namespace {

using namespace godwit;        // NOLINT(google-build-using-namespace)
using namespace godwit::mqtt;  // NOLINT(google-build-using-namespace)

class Run {
 public:
  explicit Run(Bytes input) : input_(input) {
    const std::uint8_t setup = next();
    Options options{.client_id = "fuzz", .user_name = {}, .password = {}};
    const bool keeps = (setup & 1) != 0;
    options.session_expiry_s = keeps ? 60 : 0;
    options.receive_maximum = (setup & 2) != 0 ? 2 : 16;
    const std::size_t transmit_size = (setup & 4) != 0 ? transmit_.size() : 230;
    const std::size_t receive_size = (setup & 8) != 0 ? receive_.size() : 40;
    session_.emplace(Memory{.receive = MutableBytes(receive_).first(receive_size),
                            .transmit = MutableBytes(transmit_).first(transmit_size),
                            .retransmit = keeps ? MutableBytes(retransmit_) : MutableBytes{},
                            .inbound = std::span(inbound_).first((setup & 16) != 0 ? 3 : inbound_.size())},
                     options);
  }

  void go() {
    link_up();
    while (!input_.empty()) {
      step();
      check();
    }
  }

 private:
  std::uint8_t next() {
    if (input_.empty()) return 0;
    const std::uint8_t byte = input_[0];
    input_ = input_.subspan(1);
    return byte;
  }

  void link_up() {
    const Status status = session_->link_up(now_);
    GODWIT_ASSERT(status == Status::kOk || status == Status::kState);
  }

  // Server bytes come as a run of their own length, offered in pieces as the session takes them.
  void step() {
    const std::uint8_t action = next();
    switch (action & 0x0F) {
      case 0:
        session_->link_down(now_);
        GODWIT_ASSERT(session_->transmit().empty());
        GODWIT_ASSERT(!session_->next_deadline());
        break;
      case 1:
        link_up();
        break;
      case 2:
        publish(static_cast<Qos>((action >> 4) % 3));
        break;
      case 3:
        static_cast<void>(session_->subscribe(now_, "t/#", {}));
        break;
      case 4:
        static_cast<void>(session_->unsubscribe(now_, "t/#"));
        break;
      case 5:
        now_ += Millis{1 << (action >> 4)};
        session_->handle_timeout(now_);
        break;
      case 6:
        session_->disconnect(now_);
        break;
      case 7:
        poll();
        break;
      case 8:
        transmit(action >> 4);
        break;
      default:
        feed(next());
        break;
    }
  }

  void feed(std::size_t size) {
    Bytes bytes = input_.first(std::min(size, input_.size()));
    input_ = input_.subspan(bytes.size());
    int refused = 0;
    while (!bytes.empty()) {
      const std::size_t piece = 1 + bytes[0] % 16;
      const std::size_t taken = session_->handle_bytes(now_, bytes.first(std::min(piece, bytes.size())));
      GODWIT_ASSERT(taken <= std::min(piece, bytes.size()));
      bytes = bytes.subspan(taken);
      check();
      refused = taken == 0 ? refused + 1 : 0;
      GODWIT_ASSERT(refused < 2);  // once its events are polled and its answers sent, it takes input
      if (taken > 0) continue;
      poll();
      while (!session_->transmit().empty()) transmit(1);
    }
  }

  void poll() {
    while (const auto* const event = session_->poll_event()) {
      if (event->type != EventType::kMessage) continue;
      GODWIT_ASSERT(is_topic_name(event->message.topic));
      GODWIT_ASSERT(event->message.qos <= Qos::kExactlyOnce);
      GODWIT_ASSERT((event->id != 0) == (event->message.qos != Qos::kAtMostOnce));
      std::uint8_t sum = 0;  // every byte that was lent is readable
      for (const std::uint8_t byte : event->message.payload) sum = static_cast<std::uint8_t>(sum + byte);
      for (std::size_t i = 0; const auto property = user_property(event->message.properties, i); ++i) {
        GODWIT_ASSERT(is_mqtt_string(as_bytes(property->name)) && is_mqtt_string(as_bytes(property->value)));
      }
      sum_ = sum;
    }
  }

  void transmit(std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      const Bytes out = session_->transmit();
      session_->transmitted(now_, std::min<std::size_t>(out.size(), 7));
    }
  }

  void publish(Qos qos) {
    const bool roomy = session_->send_quota() > 0;
    const auto id = session_->publish(now_, {.topic = "t/x", .payload = as_bytes("payload"), .qos = qos});
    if (!id || qos == Qos::kAtMostOnce) return;
    GODWIT_ASSERT(*id != 0 && roomy);
  }

  void check() {
    GODWIT_ASSERT(session_->in_flight() <= Session::kOutboundMax);
    GODWIT_ASSERT(!(session_->connected() && session_->should_close()));
    static_cast<void>(session_->next_deadline());
  }

  Bytes input_;
  Instant now_{Millis{1'000}};
  std::uint8_t sum_ = 0;
  std::array<std::uint8_t, 200> receive_{};
  std::array<std::uint8_t, 400> transmit_{};
  std::array<std::uint8_t, 120> retransmit_{};
  std::array<std::uint16_t, 32> inbound_{};
  std::optional<Session> session_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run run({data, size});
  run.go();
  return 0;
}
