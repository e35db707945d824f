// SPDX-License-Identifier: Apache-2.0
// A broker and a gateway reduced to their rules, for driving a Device in virtual time: it parses what the
// device sends (MQTT 5, one client), keeps what a gateway would commit, and answers. Written apart from the
// real ones on purpose, so that the same mistake is not made twice.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proto/codec/messages.h"

namespace godwit::test {

// What the gateway's database would hold.
struct ModelGateway {
  struct Item {
    std::uint64_t epoch;
    std::uint64_t seq;
    std::uint64_t lost = 0;  // > 0: a loss range of so many records
    std::string batch;
  };
  std::map<std::uint64_t, std::uint64_t> expected;  // by epoch
  std::vector<Item> log;
  std::uint64_t duplicates = 0;
  std::uint64_t gaps = 0;
  std::uint64_t hellos = 0;
  std::string last_hello;  // encoded
  bool send_hello_once = false;

  // The encoded Ack, or empty if the message is none of a gateway's business.
  std::string handle(std::string_view topic, std::string_view payload);

 private:
  std::string ack(std::uint64_t epoch, bool rewind);
};

class ModelBroker {
 public:
  explicit ModelBroker(ModelGateway& gateway) : gateway_(gateway) {}

  bool gateway_present = true;  // false: PUBACK "no matching subscribers", as mosquitto answers then
  bool commit_acks = true;      // false: the gateway commits but its acks are lost
  bool drop_records = false;    // the broker acknowledges and forgets, as a killed one does
  bool silent = false;          // takes everything and answers nothing but pings
  std::uint32_t maximum_packet_size = 0;  // 0: none stated
  std::uint8_t connack_reason = 0;
  std::uint16_t topic_alias_maximum = 8;
  std::vector<std::pair<std::string, std::string>> live;  // topic, payload of what was not for the log
  std::uint64_t connects = 0;
  std::uint64_t wills = 0;

  void link_up();
  void link_down();                                      // without DISCONNECT: publishes the will
  void feed(std::string_view bytes);                     // from the device, split anywhere
  std::string take_output();                             // to the device
  [[nodiscard]] bool closed() const { return closed_; }  // the device said DISCONNECT, or was refused
  void send_disconnect(std::uint8_t reason);

 private:
  void handle_packet(std::uint8_t first, std::string_view body);
  void handle_publish(std::uint8_t first, std::string_view body);
  void publish(std::string_view topic, std::string_view payload);

  ModelGateway& gateway_;
  std::string input_;
  std::string output_;
  std::string filter_;
  std::map<std::uint16_t, std::string> aliases_;
  bool connected_ = false;
  bool closed_ = true;
};

}  // namespace godwit::test
