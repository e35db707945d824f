// SPDX-License-Identifier: Apache-2.0
// One who follows the gateway's log, as a client of the REST API does: page by page after the last id it has,
// through restarts of the gateway. Its reading is what the server does for it (gateway/http/api.cc): an id
// that is ahead of the log is refused, and it starts anew.
#pragma once

#include <cstdint>

#include "sim/world/gateway_node.h"
#include "sim/world/scene.h"

namespace godwit::sim {

class Follower {
 public:
  Follower(Scene& scene, GatewayNode& gateway, std::size_t index, std::uint64_t seed);

  // From now on it reads often.
  void finish();
  [[nodiscard]] bool caught_up() const;

 private:
  void read();
  void read_all(const gateway::LogReader& log);

  Scene& scene_;
  GatewayNode& gateway_;
  std::size_t index_;
  Random random_;
  Timer timer_;
  gateway::LogOffset at_;
  bool finished_ = false;
};

}  // namespace godwit::sim
