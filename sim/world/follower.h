// SPDX-License-Identifier: Apache-2.0
// One who follows the gateway's log as a client of the live feed does: connects, parses the text of the event
// stream, breaks off in the middle of a frame, and comes back with the last id it has. Some read what there
// is, some slowly, some stop reading for minutes; some want one device only, or what is not telemetry, or
// what is new.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/domain/reader.h"
#include "sim/engine/random.h"
#include "sim/judge/sse.h"
#include "sim/world/feed_node.h"
#include "sim/world/gateway_node.h"
#include "sim/world/scene.h"

namespace godwit::sim {

class Follower final : private FeedNode::Client {
 public:
  // `device`: one that there is, for those who want one only.
  Follower(const Scene& scene, GatewayNode& gateway, std::size_t index, std::uint64_t seed,
           std::string_view device);
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // From now on it stays connected and reads what there is.
  void finish();
  // It has been told that nothing is in front of the end of the log.
  [[nodiscard]] bool caught_up(gateway::LogId end) const;

 private:
  enum class Pace : std::uint8_t { kQuick, kSlow, kStalling };

  void readable() override;
  void ended() override;
  void act();
  void connect();
  void read();
  void come_back();

  const Scene& scene_;
  GatewayNode& gateway_;
  Random random_;
  const Pace pace_;
  const Audience audience_;
  const bool wants_new_only_;
  const std::uint64_t breaks_;  // off, in so many of 1,000 reads
  const std::string device_;
  const std::size_t index_;  // of the judge
  Timer timer_;
  FeedNode::StreamId stream_ = 0;  // 0: not connected
  SseParser parser_;
  bool beginning_ = true;  // it has never been told where it is
  bool finished_ = false;
};

}  // namespace godwit::sim
