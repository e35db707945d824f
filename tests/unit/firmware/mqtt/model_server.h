// SPDX-License-Identifier: Apache-2.0
// The server's half of QoS 1 and 2 (4.3), as plainly as the standard tells it, with a session that survives
// its connections. It trusts the client: malformed packets fail the test.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "firmware/mqtt/types.h"
#include "proto/base/bytes.h"

namespace godwit::mqtt::test {

class ModelServer {
 public:
  // Messages for the client: payloads, all on topic "t".
  void queue(Qos qos, const std::string& payload);

  void connected();
  void handle_bytes(Bytes bytes);
  std::vector<std::uint8_t> transmit;

  std::vector<std::string> received;  // payloads, as they are passed on to subscribers
  [[nodiscard]] bool idle() const { return outgoing_.empty(); }

 private:
  struct Outgoing {
    std::uint16_t id;
    Qos qos;
    std::string payload;
    bool sent = false;
    bool released = false;  // PUBREC came
  };
  void handle_packet(std::uint8_t first, Bytes body);
  void handle_publish(std::uint8_t first, Bytes body);
  void send_publish(Outgoing& message, bool duplicate);
  void put(std::uint8_t first, std::uint16_t id);

  std::vector<std::uint8_t> input_;
  std::deque<Outgoing> outgoing_;
  std::set<std::uint16_t> unreleased_;  // QoS 2 identifiers of the client
  std::uint16_t last_id_ = 0;
  bool has_session_ = false;
  bool was_connected_ = false;  // as the client knows it: it has sent more than CONNECT
};

}  // namespace godwit::mqtt::test
