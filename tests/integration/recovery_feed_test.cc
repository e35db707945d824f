// SPDX-License-Identifier: Apache-2.0
// The live feed, followed by clients that are not ours, against the log: every event, once, in order and with
// the same content, however often a follower is cut off; and nothing that anybody was shown is ever gone.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/recovery.h"
#include "tests/support/tcp_proxy.h"

namespace godwit::test {
namespace {

constexpr std::chrono::seconds kTimeout{10};

// A client that takes down what it was shown and comes back with the id of the last event.
class Follower {
 public:
  explicit Follower(HttpsOptions https) : https_(std::move(https)) {}

  void connect() { reader_ = std::make_unique<SseReader>(https_, "/api/v1/events", last_id()); }
  // Leaves in the middle of whatever is on the way.
  void leave() { reader_.reset(); }
  // Takes `count` events, or fewer if the stream ends or is silent for 10 s. Returns how many.
  std::size_t take(std::size_t count) {
    for (std::size_t taken = 0; taken < count; ++taken) {
      auto event = reader_->next(kTimeout);
      if (!event) return taken;
      seen_.push_back(std::move(*event));
    }
    return count;
  }
  // Takes everything until the stream ends. False: it has not ended, and is silent for 10 s.
  bool take_to_the_end() {
    while (take(1) == 1) {
    }
    return reader_->wait_for_end(std::chrono::milliseconds(0));
  }

  [[nodiscard]] std::string last_id() const { return seen_.empty() ? "0-00000000" : seen_.back().id; }
  [[nodiscard]] const std::vector<SseEvent>& seen() const { return seen_; }

 private:
  HttpsOptions https_;
  std::vector<SseEvent> seen_;
  std::unique_ptr<SseReader> reader_;
};

// The first difference of what was shown, from the first event on, to the log; empty: there is none.
std::string first_difference(const std::vector<SseEvent>& shown, const std::vector<LogEvent>& log) {
  if (shown.size() > log.size()) {
    return "shown " + std::to_string(shown.size()) + " events, but the log has " + std::to_string(log.size());
  }
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (shown[i].id != log[i].id || shown[i].event != log[i].type ||
        canonical_json(shown[i].data) != log[i].json) {
      return "shown as event " + shown[i].id + ": " + shown[i].data + "\nin the log: " + log[i].json;
    }
  }
  return "";
}

using FeedRecovery = Recovery;

TEST_F(FeedRecovery, BringsEveryEventOnceToAFollowerThatIsCutOffAgainAndAgain) {
  start_fleet({.devices = 20, .more = {"--period", "0.1", "--rows", "2"}});
  TcpProxy proxy(gateway_.http_port());
  HttpsOptions through_proxy = gateway_.https();
  through_proxy.base_url = "https://127.0.0.1:" + std::to_string(proxy.port());
  Follower follower(through_proxy);

  for (int cut = 0; cut < 40; ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    if (random(0, 1) == 0) {
      // Somewhere, be it in the handshake or in the middle of an event.
      proxy.cut_after(random(500, 60'000));
      follower.connect();
      ASSERT_TRUE(follower.take_to_the_end());
    } else {
      const std::size_t count = random(1, 60);
      follower.connect();
      ASSERT_EQ(follower.take(count), count);
      follower.leave();
    }
  }
  expect_promise_at_end();

  const std::vector<LogEvent> log = read_log(gateway_);
  follower.connect();
  ASSERT_LE(follower.seen().size(), log.size());
  follower.take(log.size() - follower.seen().size());
  EXPECT_EQ(follower.last_id(), log.back().id);
  EXPECT_EQ(first_difference(follower.seen(), log), "");
}

TEST_F(FeedRecovery, NeverShowsWhatAKilledGatewayDoesNotHold) {
  start_fleet({.devices = 40, .more = {"--period", "0.1", "--rows", "2"}});
  std::vector<Follower> followers;
  for (int i = 0; i < 4; ++i) followers.emplace_back(gateway_.https());
  for (int kill = 0; kill < 6; ++kill) {
    SCOPED_TRACE("kill " + std::to_string(kill));
    for (Follower& follower : followers) follower.connect();
    ASSERT_EQ(followers.front().take(200), 200U);
    ASSERT_TRUE(take_records(random(1, 200)));
    gateway_.kill_gateway();
    for (Follower& follower : followers) ASSERT_TRUE(follower.take_to_the_end());
    gateway_.start_gateway();
    const std::vector<LogEvent> log = read_log(gateway_);
    for (const Follower& follower : followers) EXPECT_EQ(first_difference(follower.seen(), log), "");
  }
  expect_promise_at_end();
}

}  // namespace
}  // namespace godwit::test
