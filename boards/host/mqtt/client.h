// SPDX-License-Identifier: Apache-2.0
// An MQTT session on a link that is opened again whenever it is lost: the part that godwit-mqtt's commands
// share. It waits in poll(2), so it is for programs with one connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "boards/host/files.h"
#include "boards/host/host_clock.h"
#include "boards/host/host_link.h"
#include "firmware/mqtt/backoff.h"
#include "firmware/mqtt/session.h"

namespace godwit::boards {

// E.g. "not authorized (0x87)".
[[nodiscard]] std::string describe(mqtt::ReasonCode reason);

class MqttClient {
 public:
  struct Options {
    HostLink::Options link;
    mqtt::Options session;  // text is borrowed
    std::size_t packet_size_max = 1U << 20U;
    bool reconnect = true;
    Millis give_up_after{60'000};  // without a connection, once there has been one
  };

  explicit MqttClient(Options options);

  // Moves bytes; waits until something has happened if nothing has. `input_fd` (-1: none): returns when it is
  // readable as well. False: over, see error(). Poll all events before each call.
  bool wait(int input_fd = -1);
  [[nodiscard]] bool input_ready() const { return input_ready_; }
  const mqtt::Event* poll_event();  // nullptr: none
  // Lets the broker finish the flows of QoS 2 that it has begun, so that it does not begin them again in a
  // later run; then says goodbye and waits until that is taken. For 5 s at most. What arrives now is left to
  // the broker.
  void finish();

  [[nodiscard]] mqtt::Session& session() { return session_; }
  [[nodiscard]] Instant now() const { return clock_.now(); }
  [[nodiscard]] const std::string& error() const { return error_; }
  // A signal asks the program to end.
  [[nodiscard]] bool interrupted() const { return interrupted_; }

 private:
  // Keeps the buffers alive for the session; not initialised, so untouched pages cost nothing.
  struct Buffers {
    explicit Buffers(std::size_t size);
    std::unique_ptr<std::uint8_t[]> receive;
    std::unique_ptr<std::uint8_t[]> transmit;
    std::unique_ptr<std::uint8_t[]> retransmit;
    std::unique_ptr<std::uint16_t[]> inbound;
    mqtt::Memory memory;
  };

  void pump();
  void advance_link(Instant now);
  void receive(Instant now);
  void transmit(Instant now);
  void offer(Instant now);
  void wait_for_link(Millis time);
  void lost(Instant now, Status status);
  [[nodiscard]] int timeout_ms(Instant now) const;

  Options options_;
  HostClock clock_;
  UniqueFd epoll_;
  UniqueFd signals_;
  HostLink link_;
  Buffers buffers_;
  mqtt::Session session_;
  mqtt::Backoff backoff_;
  std::array<std::uint8_t, 16 * 1024> input_;
  Bytes unread_;  // of input_, not taken by the session yet
  bool ever_connected_ = false;
  bool over_ = false;
  bool interrupted_ = false;
  bool input_ready_ = false;
  bool drained_ = false;  // the last read found nothing more
  std::optional<Instant> retry_at_;
  Instant connected_last_{};
  std::string error_;
};

}  // namespace godwit::boards
