// SPDX-License-Identifier: Apache-2.0
// A device with good credentials and bad intentions, and somebody without credentials at the gateway's HTTPS
// port. Each in a thread of its own; they come back whatever becomes of their connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

#include "tests/support/gateway_fixture.h"
#include "tests/support/mqtt_peer.h"

namespace godwit::live {

class Hostile {
 public:
  // Issues the device.
  Hostile(test::GatewayFixture& gateway, std::uint64_t seed);
  ~Hostile();
  Hostile(const Hostile&) = delete;
  Hostile& operator=(const Hostile&) = delete;

  void stop();
  [[nodiscard]] std::uint64_t messages() const { return messages_; }
  [[nodiscard]] std::uint64_t connections() const { return connections_; }

 private:
  void run_device();
  void run_stranger();
  void attack(test::MqttPeer& peer);
  void publish(test::MqttPeer& peer, const std::string& leaf, const std::string& payload);
  std::string random_bytes(std::size_t size);

  test::MqttPeer::Options credentials_;
  std::uint16_t http_port_;
  std::mt19937_64 random_;  // the device's thread's
  std::uint64_t seed_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> messages_ = 0;
  std::atomic<std::uint64_t> connections_ = 0;
  std::thread device_;
  std::thread stranger_;
};

}  // namespace godwit::live
