// SPDX-License-Identifier: Apache-2.0
// Every order of the feed's steps, up to some length: whatever writer, encoder, reads and followers do
// between each other's steps, each follower gets the log's events once, in order, and is woken when there are
// some.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/log/rig.h"

namespace godwit::gateway::test {
namespace {

using testing::ElementsAreArray;

constexpr std::string_view kMoves = "PERFabs";

struct Scene {
  const char* description;
  std::size_t cache_bytes_max;
  LogStart start;
  std::size_t step_bytes;
};

// Three events are stored when the gateway starts. One follower wants all of them, one those of `pump`. Both
// have found their place.
class Run {
 public:
  explicit Run(const Scene& scene) : scene_(scene), rig_(scene.cache_bytes_max) {
    for (const char* device : {"pump", "fan", "pump"}) rig_.log.append(device, 1);
    rig_.start();
    all_.emplace(rig_.feed, scene.start);
    pump_.emplace(rig_.feed, scene.start, LogReader::Filter{.device = "pump", .types = {}});
    all_->step(scene.step_bytes);
    pump_->step();
    while (rig_.read() && rig_.finish()) {
    }
  }

  // False: the move does nothing here, so neither does what would follow differ.
  bool move(char kind) {
    switch (kind) {
      case 'P':
        rig_.publish(rig_.count % 2 == 0 ? "pump" : "fan");
        return true;
      case 'E':
        return rig_.encode_some();
      case 'R':
        return rig_.read();
      case 'F':
        return rig_.finish();
      case 'a':
        return all_->step(scene_.step_bytes);
      case 'b':
        return pump_->step(scene_.step_bytes);
      default:  // an event that the queue leaves out
        rig_.queue.set_wanted(false);
        rig_.publish("pump");
        rig_.queue.set_wanted(true);
        return true;
    }
  }

  void expect_all_at_the_end() {
    rig_.run(*all_, *pump_);
    const std::int64_t first = scene_.start.kind == LogStart::Kind::kNow ? 4 : 1;
    std::vector<std::int64_t> wanted;
    std::vector<std::int64_t> of_pump;
    for (const Event& event : rig_.log.read({first - 1}, {}, {.events = 1000}).events) {
      wanted.push_back(event.offset.value);
      if (event.device == "pump") of_pump.push_back(event.offset.value);
    }
    EXPECT_THAT(all_->offsets(), ElementsAreArray(wanted));
    EXPECT_THAT(pump_->offsets(), ElementsAreArray(of_pump));
    EXPECT_TRUE(all_->gaps().empty());
    EXPECT_EQ(all_->follower().position(), rig_.feed.tail());
    EXPECT_EQ(pump_->follower().position(), rig_.feed.tail());
    EXPECT_EQ(rig_.feed.tail(), rig_.log.ends().last);
  }

 private:
  const Scene& scene_;
  Rig rig_;
  std::optional<Reader> all_;
  std::optional<Reader> pump_;
};

// Depth first; each sequence is run anew, since a run cannot be copied.
void explore(const Scene& scene, std::string& moves, std::size_t depth, std::size_t& runs) {
  Run run(scene);
  for (std::size_t i = 0; i < moves.size(); ++i) {
    if (!run.move(moves[i])) return;
  }
  if (moves.size() == depth) {
    ++runs;
    run.expect_all_at_the_end();
    if (testing::Test::HasFailure()) {
      FAIL() << scene.description << ", after the moves " << moves;
    }
    return;
  }
  for (const char move : kMoves) {
    moves.push_back(move);
    explore(scene, moves, depth, runs);
    moves.pop_back();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(FeedInterleavings, EachFollowerGetsEachEventOnceAndInOrder) {
  const Scene scenes[] = {
      {"from the beginning, a cache that holds nothing", 1, begin(), 64 * 1024},
      {"from the beginning, a cache for two events", 1400, begin(), 1},
      {"from now, a cache for one event", 700, now(), 1},
      {"from now, a large cache", 1 << 20, now(), 64 * 1024},
  };
  std::size_t runs = 0;
  for (const Scene& scene : scenes) {
    std::string moves;
    explore(scene, moves, 6, runs);
    if (HasFailure()) return;
  }
  EXPECT_GT(runs, 5'000U) << "most moves do something";
  RecordProperty("runs", static_cast<int>(runs));
}

}  // namespace
}  // namespace godwit::gateway::test
