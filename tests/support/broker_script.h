// SPDX-License-Identifier: Apache-2.0
// What clients of a broker do and see, as text, so that the same behaviour can be played on a real broker and
// on a model of one, and compared packet by packet. tests/support/mosquitto.behaviours holds what mosquitto
// does. A behaviour is a line "= name", then steps and what is seen after each:
//
//   > gateway up | down | says TOPIC PAYLOAD     its messages come at QoS 1; what it says is of QoS 0
//   > NAME connect [keep=S] [clean=0] [expiry=S] [quiet] [pieces] [nowill] [as=ID] [full] [again]
//                                                as a device does: its will is on gw1/d/NAME/up/gone;
//                                                quiet: never pings; pieces: byte by byte;
//                                                as: under another's client id;
//                                                full: with what its CONNACK allows;
//                                                again: on the same connection
//   > NAME publish [qos=1] [id=N] [topic=T] [payload=P] [alias=N] [dup]
//   > NAME subscribe id=N filter=F
//   > NAME disconnect HEX | ping | cut           cut: the connection ends without a word
//   > NAME bytes HEX ...                         as the first words on a new connection, if there is none
//   > wait MS
//   > broker stops | dies | starts               SIGTERM, SIGKILL
//   < NAME PACKET ... | closed                   what came to it, in order
//   < gateway TOPIC PAYLOAD
//   <VERSION ...                                 only of this version
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/base/time.h"

namespace godwit::test {

// A broker, its clients, and a gateway that subscribes to what devices send.
class BrokerSide {
 public:
  virtual ~BrokerSide() = default;
  // A link comes up, in place of the one before. `quiet`: settle() must not ping on it.
  virtual void open(const std::string& name, bool quiet) = 0;
  virtual void send(const std::string& name, std::string_view bytes) = 0;
  virtual void cut(const std::string& name) = 0;
  virtual void gateway_up() = 0;
  virtual void gateway_down() = 0;
  virtual void gateway_says(const std::string& topic, const std::string& payload) = 0;
  virtual void stop() = 0;
  virtual void die() = 0;
  virtual void start() = 0;
  virtual void wait(Millis time) = 0;
  // Returns when all that was caused has come to everybody.
  virtual void settle() = 0;
  // What came since the last call.
  virtual std::string take(const std::string& name) = 0;
  virtual std::vector<std::pair<std::string, std::string>> take_gateway() = 0;  // topic, payload
  // By the broker; once.
  virtual bool take_closed(const std::string& name) = 0;
};

struct Behaviour {
  std::string name;
  std::vector<std::string> lines;
};
// Throws std::runtime_error if it cannot be read.
[[nodiscard]] std::vector<Behaviour> read_behaviours(const std::filesystem::path& file);
// As its lines are for this version of mosquitto.
[[nodiscard]] std::string expected_of(const Behaviour& behaviour, std::string_view version);
// Plays its steps; the same with what was seen. Throws std::runtime_error if a step cannot be understood.
[[nodiscard]] std::string play(const Behaviour& behaviour, BrokerSide& side);

// Takes one whole packet off the front. Empty: there is none yet.
[[nodiscard]] std::string_view take_packet(std::string_view& bytes);
// Of a PUBLISH without topic alias: topic, payload, packet identifier (0 at QoS 0).
struct Published {
  std::string topic;
  std::string payload;
  unsigned id = 0;
};
[[nodiscard]] Published published(std::string_view packet);
// With a length in one byte or two.
[[nodiscard]] std::string packet_of(unsigned first, std::string_view body);
[[nodiscard]] std::string connect_packet(const std::string& name, const std::vector<std::string>& options);
[[nodiscard]] std::string subscribe_packet(unsigned id, const std::string& filter);

}  // namespace godwit::test
