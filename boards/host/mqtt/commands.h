// SPDX-License-Identifier: Apache-2.0
// The commands of godwit-mqtt. Each returns the exit status of the program.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace godwit::boards {

// Where, as whom and how: common to pub and sub.
struct ConnectArguments {
  std::string host = "localhost";
  std::uint16_t port = 0;  // 0: 8883 with TLS, otherwise 1883
  std::string ca;          // with it TLS, without it plain TCP
  std::string certificate;
  std::string key;
  std::string server_name;
  std::string tls_version = "1.3";
  std::string client_id;  // empty: a random one
  std::string user_name;
  std::string password;
  int qos = 0;
  std::uint16_t keep_alive_s = 60;
  std::uint32_t session_expiry_s = 60;
  bool resume = false;
  bool verbose = false;
};

struct PublishArguments {
  std::string topic;
  std::optional<std::string> message;
  std::string file;
  bool lines = false;
  bool retain = false;
  bool topic_alias = false;
  std::uint32_t count = 1;
};

struct SubscribeArguments {
  std::vector<std::string> topics;
  std::uint32_t count = 0;  // 0: no end
};

int publish(const ConnectArguments& connect, const PublishArguments& arguments);
int subscribe(const ConnectArguments& connect, const SubscribeArguments& arguments);
// Reads its orders from `in` until the end; one line of `out` for each.
int conformance(std::istream& in, std::ostream& out);

}  // namespace godwit::boards
