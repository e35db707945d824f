// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/firmware/mqtt/model_server.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace godwit::mqtt::test {

void ModelServer::queue(Qos qos, const std::string& payload) {
  outgoing_.push_back({.id = ++last_id_, .qos = qos, .payload = payload});
}

void ModelServer::connected() {
  input_.clear();
  transmit.clear();
}

void ModelServer::handle_bytes(Bytes bytes) {
  input_.insert(input_.end(), bytes.begin(), bytes.end());
  // All packets of these tests are shorter than 128 bytes.
  while (input_.size() >= 2 && input_.size() >= 2U + input_[1]) {
    const std::vector<std::uint8_t> packet(input_.begin(), input_.begin() + 2 + input_[1]);
    input_.erase(input_.begin(), input_.begin() + 2 + input_[1]);
    handle_packet(packet[0], Bytes(packet).subspan(2));
  }
}

void ModelServer::handle_packet(std::uint8_t first, Bytes body) {
  if (first >> 4 != 1) was_connected_ = true;
  const auto id = [&body] { return load_be<std::uint16_t>(body.data()); };
  const auto find = [this, &id] { return std::ranges::find(outgoing_, id(), &Outgoing::id); };
  switch (first >> 4) {
    case 1: {
      if ((body[7] & 0x02) != 0) {  // clean start
        EXPECT_FALSE(was_connected_) << "the client gave its session up";
        has_session_ = false;
        unreleased_.clear();
        for (Outgoing& message : outgoing_) message.sent = message.released = false;
      }
      transmit.insert(transmit.end(), {0x20, 3, static_cast<std::uint8_t>(has_session_ ? 1 : 0), 0, 0});
      has_session_ = true;
      for (Outgoing& message : outgoing_) {
        if (message.released) {
          put(0x62, message.id);
        } else {
          send_publish(message, message.sent);
        }
      }
      break;
    }
    case 3:
      handle_publish(first, body);
      break;
    case 4:
      if (find() != outgoing_.end()) outgoing_.erase(find());
      break;
    case 5:
      ASSERT_NE(find(), outgoing_.end());
      find()->released = true;
      put(0x62, id());
      break;
    case 6:
      unreleased_.erase(id());
      put(0x70, id());
      break;
    case 7:
      if (find() != outgoing_.end()) outgoing_.erase(find());
      break;
    default:
      ADD_FAILURE() << "packet type " << (first >> 4);
  }
}

void ModelServer::handle_publish(std::uint8_t first, Bytes body) {
  const std::size_t topic_size = load_be<std::uint16_t>(body.data());
  body = body.subspan(2 + topic_size);
  const auto id = load_be<std::uint16_t>(body.data());
  ASSERT_EQ(body[2], 0) << "properties";
  const std::string payload(as_text(body.subspan(3)));
  const bool exactly_once = (first & 0x06) == 0x04;
  if (!exactly_once || unreleased_.insert(id).second) received.push_back(payload);
  put(exactly_once ? 0x50 : 0x40, id);
}

void ModelServer::send_publish(Outgoing& message, bool duplicate) {
  message.sent = true;
  const unsigned flags = static_cast<unsigned>(message.qos) << 1 | (duplicate ? 8U : 0U);
  transmit.push_back(static_cast<std::uint8_t>(0x30 | flags));
  transmit.push_back(static_cast<std::uint8_t>(6 + message.payload.size()));
  transmit.insert(transmit.end(), {0, 1, 't', static_cast<std::uint8_t>(message.id >> 8),
                                   static_cast<std::uint8_t>(message.id), 0});
  transmit.insert(transmit.end(), message.payload.begin(), message.payload.end());
}

void ModelServer::put(std::uint8_t first, std::uint16_t id) {
  transmit.insert(transmit.end(),
                  {first, 2, static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)});
}

}  // namespace godwit::mqtt::test
