// SPDX-License-Identifier: Apache-2.0
// An MQTT 5 client over mutual TLS that costs as little as possible, so that a benchmark measures broker and
// gateway and not the load: QoS 1 publishing with any number of messages in flight, and subscribing. OpenSSL
// on a socket that never waits; what is published leaves in one TLS record per flush(). Not a client to learn
// from: no reconnects, no redelivery. Every failure throws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "boards/host/files.h"
#include "proto/base/bytes.h"

struct ssl_ctx_st;
struct ssl_st;

namespace godwit::test {

class MqttPeer {
 public:
  struct Options {
    std::uint16_t port = 0;  // of 127.0.0.1
    std::filesystem::path ca;
    std::filesystem::path certificate;
    std::filesystem::path key;
    std::string client_id;
  };
  // Borrowed for the call.
  using OnMessage = std::function<void(std::string_view topic, Bytes payload)>;

  // Connected when it returns, as the next is subscribed.
  explicit MqttPeer(const Options& options);
  void subscribe(std::string_view filter);

  // Sent by flush() at the latest.
  enum class Qos : std::uint8_t { kAtMostOnce, kAtLeastOnce };
  void publish(std::string_view topic, Bytes payload, Qos qos = Qos::kAtLeastOnce);
  // Sends what the socket takes.
  void flush();
  [[nodiscard]] bool wants_to_write() const { return !out_.empty(); }

  // Takes all that has arrived; messages at QoS 1 are acknowledged with the next flush().
  void receive(const OnMessage& on_message);

  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  struct Free {
    void operator()(ssl_ctx_st* context) const;
    void operator()(ssl_st* ssl) const;
  };

  void open(const Options& options);
  [[noreturn]] void fail(const std::string& what) const;
  void begin_packet(std::uint8_t type, std::size_t size);
  void wait_for(std::uint8_t packet_type);
  void take_packets(const OnMessage& on_message);
  void take_packet(std::uint8_t first, std::string_view body, const OnMessage& on_message);
  void take_publish(std::uint8_t first, std::string_view body, const OnMessage& on_message);

  std::string name_;
  std::unique_ptr<ssl_ctx_st, Free> context_;
  boards::UniqueFd socket_;
  std::unique_ptr<ssl_st, Free> ssl_;
  std::string out_;
  std::string in_;
  std::uint16_t last_id_ = 0;
  std::uint8_t answered_ = 0;  // type of the last CONNACK or SUBACK
};

}  // namespace godwit::test
