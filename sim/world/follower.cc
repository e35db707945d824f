// SPDX-License-Identifier: Apache-2.0
#include "sim/world/follower.h"

namespace godwit::sim {
namespace {

constexpr std::size_t kPage = 100;
constexpr Millis kFastest{500};
constexpr std::uint64_t kSlowest_ms = 120'000;

}  // namespace

Follower::Follower(Scene& scene, GatewayNode& gateway, std::size_t index, std::uint64_t seed)
    : scene_(scene),
      gateway_(gateway),
      index_(scene.judge.add_follower()),
      random_(seed, 500 + index),
      timer_(scene.engine, [this] { read(); }) {
  timer_.set(kFastest);
}

void Follower::finish() {
  finished_ = true;
  timer_.set(scene_.now());
}

bool Follower::caught_up() const {
  const gateway::LogReader* const log = gateway_.log();
  return log != nullptr && at_ == log->ends().last.offset;
}

void Follower::read() {
  const Millis slow{static_cast<std::int64_t>(random_.between(500, kSlowest_ms))};
  timer_.set(scene_.now() + (finished_ ? kFastest : slow));
  const gateway::LogReader* const log = gateway_.log();
  if (log == nullptr) return;
  try {
    read_all(*log);
  } catch (const gateway::StoreError&) {
    scene_.hit(Probe::kFollowerGotNoAnswer);
  }
}

void Follower::read_all(const gateway::LogReader& log) {
  if (at_ > log.ends().last.offset) {
    scene_.hit(Probe::kFollowerAhead);
    at_ = {};
    scene_.judge.follower_told_gap(index_, 0);
  }
  while (true) {
    const auto events = log.read(at_, {}, {.events = kPage}).events;
    for (const gateway::Event& event : events) {
      at_ = event.offset;
      const std::uint64_t digest = digest_of_event(event);
      scene_.engine.digest.add(digest);
      scene_.judge.follower_got(index_, event.offset.value, digest);
    }
    if (events.size() < kPage) return;
    scene_.hit(Probe::kFollowerReadPages);
  }
}

}  // namespace godwit::sim
