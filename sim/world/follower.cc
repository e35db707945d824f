// SPDX-License-Identifier: Apache-2.0
#include "sim/world/follower.h"

#include <utility>

#include "gateway/domain/log_id.h"

namespace godwit::sim {
namespace {

constexpr Millis kConnect{50};
constexpr Millis kLatency{10};
constexpr std::int64_t kRetry_ms = 2'000;  // as long as the server has not said otherwise
constexpr std::size_t kAll = SIZE_MAX;

Millis millis(std::uint64_t count) { return Millis{static_cast<std::int64_t>(count)}; }

}  // namespace

Follower::Follower(const Scene& scene, GatewayNode& gateway, std::size_t index, std::uint64_t seed,
                   std::string_view device)
    : scene_(scene),
      gateway_(gateway),
      random_(seed, 500 + index),
      pace_(random_.pick(std::array{Pace::kQuick, Pace::kQuick, Pace::kSlow, Pace::kStalling})),
      audience_(random_.pick(
          std::array{Audience::kAll, Audience::kAll, Audience::kAll, Audience::kDevice, Audience::kRare})),
      wants_new_only_(random_.chance(150)),
      breaks_(random_.below(20)),
      device_(device),
      index_(scene.judge.add_follower(static_cast<std::uint8_t>(audience_))),
      timer_(scene.engine, [this] { act(); }) {
  timer_.set(millis(random_.below(5'000)));
}

Follower::~Follower() {
  if (stream_ != 0) gateway_.feed()->close(stream_);
}

void Follower::finish() {
  finished_ = true;
  timer_.set(scene_.now());
}

bool Follower::caught_up(gateway::LogId end) const {
  return end == gateway::LogId{} || gateway::parse_log_id(parser_.last_id()) == end;
}

void Follower::readable() {
  if (!timer_.when()) timer_.set(scene_.now() + kLatency);
}

void Follower::ended() {
  stream_ = 0;
  come_back();
}

void Follower::come_back() {
  if (parser_.drop()) scene_.hit(Probe::kFollowerCutInFrame);
  timer_.set(scene_.now() + Millis{parser_.retry_ms().value_or(kRetry_ms)} + millis(random_.below(500)));
}

void Follower::act() {
  if (stream_ == 0) return connect();
  read();
}

void Follower::connect() {
  FeedNode* const feed = gateway_.feed();
  if (feed == nullptr) {
    scene_.hit(Probe::kFollowerGotNoAnswer);
    return come_back();
  }
  using Kind = gateway::LogStart::Kind;
  gateway::LogStart start{.kind = wants_new_only_ ? Kind::kNow : Kind::kBegin, .after = {}};
  if (const auto last = gateway::parse_log_id(parser_.last_id())) {
    start = {.kind = Kind::kAfter, .after = *last};
    scene_.hit(Probe::kFollowerCameBack);
  }
  stream_ = feed->open(*this, start, filter_of(audience_, device_));
  timer_.set(scene_.now() + kConnect);
}

void Follower::read() {
  std::size_t most = kAll;
  Millis pause = kLatency;
  if (!finished_ && pace_ == Pace::kSlow) {
    most = 1 + random_.below(4'000);
    pause = millis(random_.between(10, 5'000));
  }
  if (!finished_ && pace_ == Pace::kStalling && random_.chance(20)) pause = millis(random_.below(300'000));
  const bool breaks = !finished_ && random_.chance(breaks_);
  if (breaks) most = random_.below(2'000);
  const std::string bytes = gateway_.feed()->take(stream_, most);
  scene_.engine.digest.add(as_bytes(bytes));
  parser_.feed(
      bytes,
      [this](const SseEvent& event) {
        if (event.type == "gap") {
          scene_.hit(event.id.starts_with("0-") ? Probe::kFollowerBeganAnew : Probe::kFollowerToldRestored);
        }
        scene_.judge.follower_got(index_, event);
      },
      [this](const std::string& id) {
        const bool begins = std::exchange(beginning_, false) && wants_new_only_;
        scene_.judge.follower_told_position(index_, id, begins);
      });
  if (breaks) {
    gateway_.feed()->close(std::exchange(stream_, 0));
    return come_back();
  }
  // There may be more; if there is not, it is told.
  timer_.set(bytes.empty() ? std::nullopt : std::optional(scene_.now() + pause));
}

}  // namespace godwit::sim
