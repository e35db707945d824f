// SPDX-License-Identifier: Apache-2.0
// Every order of the feed's jobs, up to some length: whatever writer, encoder, server, reads and followers do
// between each other's, each follower gets the log's events once, in order, and is woken when there are some.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/log/rig.h"

namespace godwit::gateway::test {
namespace {

using testing::ElementsAreArray;

constexpr std::string_view kMoves = "PESRWab";

struct Scene {
  const char* description;
  LiveFeed::Options options;
  LogStart start;
  std::size_t step_bytes;
};

// An event of the log, as the queue counts it.
constexpr std::size_t kOneEvent = sizeof(Event) + 100;

// Three events are stored when the gateway starts. One follower wants all of them, one those of `pump`. Both
// have found their place.
class Run {
 public:
  explicit Run(const Scene& scene) : scene_(scene), rig_(scene.options) {
    for (const char* device : {"pump", "fan", "pump"}) rig_.log.append(device, 1);
    rig_.start();
    all_.emplace(rig_.feed, scene.start);
    pump_.emplace(rig_.feed, scene.start, LogReader::Filter{.device = "pump", .types = {}});
    all_->step(scene.step_bytes);
    pump_->step();
    while (rig_.read() && rig_.serve()) {
    }
  }

  // False: the move does nothing here, so neither does what would follow differ.
  bool move(char kind) {
    switch (kind) {
      case 'P':
        rig_.publish(rig_.count % 2 == 0 ? "pump" : "fan");
        return true;
      case 'E':
        return rig_.encode();
      case 'S':
        return rig_.serve();
      case 'R':
        return rig_.read();
      case 'W':
        return rig_.wake_all();
      case 'a':
        return all_->step(scene_.step_bytes);
      default:
        return pump_->step(scene_.step_bytes);
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
      {"from the beginning, a cache that holds nothing", {.cache_bytes_max = 1}, begin(), 64 * 1024},
      {"from the beginning, a cache for two events, a queue for one",
       {.cache_bytes_max = 1400, .queue_bytes_max = kOneEvent},
       begin(),
       1},
      {"from now, a cache for one event, one read at a time",
       {.cache_bytes_max = 700, .reads_at_once = 1},
       now(),
       1},
      {"from now, a large cache, a queue for one event", {.queue_bytes_max = kOneEvent}, now(), 64 * 1024},
  };
  std::size_t runs = 0;
  for (const Scene& scene : scenes) {
    std::string moves;
    explore(scene, moves, 7, runs);
    if (HasFailure()) return;
  }
  EXPECT_GT(runs, 10'000U) << "most moves do something";
  RecordProperty("runs", static_cast<int>(runs));
}

}  // namespace
}  // namespace godwit::gateway::test
