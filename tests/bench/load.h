// SPDX-License-Identifier: Apache-2.0
// Devices that publish records as fast as the path takes them, or at a given rate: each with its own
// certificate and session, a hello, records in order, and a window of records that the end of the path has
// not taken yet. That end is the gateway, which says so with its acks, or a bare subscriber of the gateway's
// topics, which just counts. What a real device does beyond that (flash, sampling, redelivery) is left out: a
// benchmark with a gap in it is wrong anyway, and ends with an exception.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proto/base/ids.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/mqtt_peer.h"

namespace godwit::bench {

class Load {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    std::size_t devices = 100;
    std::uint64_t window = 16;  // records in flight of each device; 16: as the firmware
  };

  // Issues credentials and connects all devices to the broker, which must run.
  Load(test::GatewayFixture& fixture, const Options& options);

  // A subscriber takes the messages; the gateway must not run.
  void attach_subscriber();
  void detach_subscriber() { subscriber_.reset(); }
  // The gateway, which must run, takes them: all devices say hello and hear where to go on.
  void introduce();

  // Publishes `records`, and returns when all are taken: the time that this took.
  std::chrono::duration<double> run(std::size_t records);
  // The same, at most `per_second`. `on_send` is called just before a record is published.
  using OnSend = std::function<void(std::string_view device, Seq seq)>;
  void run_paced(std::size_t records, double per_second, const OnSend& on_send);

  [[nodiscard]] std::size_t message_size() const;  // of the payload, on average

 private:
  struct Device {
    std::string id;
    std::string topic;
    Epoch epoch;
    Try try_id{1};  // of the last hello
    test::MqttPeer peer;
    Seq next = kFirstSeq;   // to be sent
    Seq taken = kFirstSeq;  // all before it are
    bool answered = false;  // the gateway has, to the hello
  };

  void say_hello(Device& device);
  void send_mark(Device& device);
  void send_record(Device& device);
  void fill_windows(std::size_t& left);
  void poll(std::chrono::nanoseconds timeout);
  void take_ack(Device& device, Bytes payload);
  void take_delivery(std::string_view topic, Bytes payload);
  [[nodiscard]] bool all_taken() const;
  void drain();

  test::GatewayFixture& fixture_;
  std::uint64_t window_;
  std::vector<std::string> batches_;
  std::vector<Device> devices_;
  std::unordered_map<std::string, Device*> by_topic_;
  std::optional<test::MqttPeer> subscriber_;
};

}  // namespace godwit::bench
