// SPDX-License-Identifier: Apache-2.0
// The gateway's MQTT session: subscribes to what devices publish, hands each message over, and sends acks.
// Reconnects by itself with back-off. Eclipse Paho's threads call in; nothing here waits for the database,
// because Paho delivers, acknowledges and sends pings on the one thread that calls us.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "gateway/domain/ingest.h"
#include "gateway/domain/log.h"
#include "gateway/domain/message.h"

namespace godwit::gateway {

class Consumer {
 public:
  struct Options {
    std::string host = "localhost";  // must be a name in the broker's certificate
    std::uint16_t port = 8883;
    std::string client_id = "gateway";
    std::string ca_file;  // PEM files
    std::string certificate_file;
    std::string key_file;
    std::uint16_t keep_alive_s = 30;
    std::uint16_t receive_max = 1000;             // QoS 1 messages the broker may have on the way to us
    std::uint32_t packet_size_max = 256U << 10U;  // bytes; the broker drops what is larger
    std::size_t acks_buffered_max = 2000;         // over it acks are dropped: the device asks again
    std::chrono::milliseconds retry_min{250};
    std::chrono::milliseconds retry_max{10'000};
  };
  struct Stats {
    bool connected = false;      // and subscribed
    std::uint64_t sessions = 0;  // connections made
    std::uint64_t messages = 0;  // received
    std::uint64_t foreign = 0;   // on topics that are not of our grammar
    std::uint64_t acks = 0;      // handed to Paho
    std::uint64_t dropped_acks = 0;
  };

  // Called on Paho's threads; must not wait or throw.
  struct Callbacks {
    std::function<void(Message)> message;
    std::function<void()> session_started;  // subscribed: devices may have come or gone unseen
  };

  // Takes http_proxy and https_proxy out of the environment: make it
  // before other threads use that.
  Consumer(Options options, Callbacks callbacks, LogSink log);
  // As stop().
  ~Consumer();
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // Returns at once; connects in the background until stop().
  void start();
  // Disconnects and ends the thread; no callback is called afterwards. Takes at most about 2 s.
  // Idempotent.
  void stop();

  // Never waits; from any thread.
  void send(std::span<const AckTo> acks);
  [[nodiscard]] Stats stats() const;  // from any thread

 private:
  class Session;
  std::unique_ptr<Session> session_;
};

}  // namespace godwit::gateway
