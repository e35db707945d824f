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

// A gateway by the rules of docs/adr/0012-every-mark-is-an-epoch.md, without a database.
struct ModelGateway {
  // One entry of a device's log, or a part of a loss that lies within one epoch.
  struct Item {
    std::uint64_t epoch;  // of the mark in force
    std::uint64_t seq;
    std::uint64_t lost = 0;       // > 0: so many entries will never come
    std::uint64_t refused = 0;    // > 0: so many records were refused before the next one
    std::string batch;            // else: empty for a mark
    bool unknown_before = false;  // what was before it, and was not stored, is unknown
  };
  struct Stream {
    Mark mark;
    std::uint64_t expected = 0;
  };
  // What would outlive a restart, and what a backup would hold.
  struct Database {
    std::vector<Stream> streams;
    std::vector<Item> log;
    std::uint64_t unknown = 0;  // events that say: what was before is unknown
  };
  Database database;

  std::uint64_t duplicates = 0;
  std::uint64_t gaps = 0;
  std::uint64_t hellos = 0;
  std::uint64_t strays = 0;          // records under another try than that of the last hello
  std::string last_hello;            // encoded
  std::vector<std::uint32_t> tries;  // of all hellos
  bool send_hello_once = false;
  bool always_rewinds = false;  // takes no record, and has the device begin again
  std::uint64_t acks_too_high_by = 0;

  // The encoded Ack, or empty if the message is none of a gateway's business.
  std::string handle(std::string_view topic, std::string_view payload);
  // Forgets what only memory holds, as a restart does; what it would ask of the device then.
  std::string restart();

 private:
  // The history of the log as its device named it, up to the newest mark that both know.
  struct Path {
    Try try_id{};
    std::vector<Mark> marks;  // oldest first
    std::uint64_t next = 0;   // the place that is expected
    bool unknown_before = false;
  };
  std::string handle_hello(std::string_view payload);
  std::string handle_record(std::string_view payload);
  std::string ack(bool rewind);
  Stream* find(const Mark& mark);
  void take(std::uint64_t end, Item item);

  Path path_;
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
  std::uint64_t goodbyes = 0;      // of the device itself, on up/gone
  std::uint64_t wills = 0;         // published: the link was lost, or DISCONNECT asked for it
  std::uint8_t record_reason = 0;  // PUBACK of a record says so and the broker forgets it

  void link_up();
  void link_down();                                      // without DISCONNECT: publishes the will
  void feed(std::string_view bytes);                     // from the device, split anywhere
  std::string take_output();                             // to the device
  [[nodiscard]] bool closed() const { return closed_; }  // the device said DISCONNECT, or was refused
  void send_disconnect(std::uint8_t reason);
  // To the device's dn/ack.
  void send_ack(std::string_view ack) { publish(ack_topic_, ack); }

 private:
  void handle_packet(std::uint8_t first, std::string_view body);
  void handle_publish(std::uint8_t first, std::string_view body);
  void publish(std::string_view topic, std::string_view payload);

  ModelGateway& gateway_;
  std::string input_;
  std::string output_;
  std::string filter_;
  std::string ack_topic_;  // of the device that published last
  std::map<std::uint16_t, std::string> aliases_;
  bool connected_ = false;
  bool closed_ = true;
};

}  // namespace godwit::test
