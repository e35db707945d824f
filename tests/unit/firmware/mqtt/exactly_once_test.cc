// SPDX-License-Identifier: Apache-2.0
// A session and a model server exchange messages of QoS 1 and 2 both ways over a link that is cut behind byte
// n of all that crosses it, for every n, and then behind every further byte m of a sample.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "firmware/mqtt/session.h"
#include "tests/unit/firmware/mqtt/model_server.h"

namespace godwit::mqtt::test {
namespace {

constexpr std::size_t kNever = 1'000'000;

class Exchange {
 public:
  Exchange() : receive_(64), transmit_(200), retransmit_(128), inbound_(16), session_(memory(), options()) {
    for (const char* payload : {"s1", "s2", "s3"}) server_.queue(Qos::kExactlyOnce, payload);
    for (const char* payload : {"u1", "u2"}) server_.queue(Qos::kAtLeastOnce, payload);
  }

  // Runs one connection until nothing moves or `bytes` have crossed the link; returns how many did.
  std::size_t connect(std::size_t bytes) {
    crossed_ = 0;
    limit_ = bytes;
    server_.connected();
    EXPECT_EQ(session_.link_up(now_), Status::kOk);
    bool moved = true;
    while (moved && crossed_ < limit_) {
      moved = publish();
      moved = to_server() || moved;
      moved = to_client() || moved;
    }
    session_.link_down(now_);
    poll();
    return crossed_;
  }

  void check() {
    EXPECT_EQ(unfinished_, 0U);
    EXPECT_EQ(session_.in_flight(), 0);
    EXPECT_TRUE(server_.idle());
    EXPECT_EQ(with_prefix(delivered_, 's'), (std::vector<std::string>{"s1", "s2", "s3"}));
    EXPECT_EQ(with_prefix(server_.received, 'c'), (std::vector<std::string>{"c1", "c2", "c3"}));
    check_at_least_once(with_prefix(delivered_, 'u'), {"u1", "u2"});
    check_at_least_once(with_prefix(server_.received, 'd'), {"d1", "d2"});
  }

 private:
  Memory memory() {
    return {.receive = receive_, .transmit = transmit_, .retransmit = retransmit_, .inbound = inbound_};
  }
  static Options options() {
    return {.client_id = "dev", .user_name = {}, .password = {}, .session_expiry_s = 60};
  }

  static std::vector<std::string> with_prefix(const std::vector<std::string>& all, char prefix) {
    std::vector<std::string> out;
    std::ranges::copy_if(all, std::back_inserter(out), [=](const std::string& s) { return s[0] == prefix; });
    return out;
  }

  static void check_at_least_once(const std::vector<std::string>& seen,
                                  const std::vector<std::string>& expected) {
    std::vector<std::string> first;  // of each, in the order of first arrival
    for (const std::string& s : seen) {
      if (std::ranges::find(first, s) == first.end()) first.push_back(s);
    }
    EXPECT_EQ(first, expected);
  }

  bool publish() {
    static const std::vector<std::string> kPayloads{"c1", "d1", "c2", "d2", "c3"};
    bool moved = false;
    while (published_ < kPayloads.size()) {
      Message message{};
      message.topic = "t";
      message.payload = as_bytes(kPayloads[published_]);
      message.qos = kPayloads[published_][0] == 'c' ? Qos::kExactlyOnce : Qos::kAtLeastOnce;
      if (!session_.publish(now_, message)) break;
      ++published_;
      ++unfinished_;
      moved = true;
    }
    return moved;
  }

  bool to_server() {
    const Bytes out = session_.transmit();
    const Bytes part = out.first(std::min(out.size(), limit_ - crossed_));
    const std::vector<std::uint8_t> copy(part.begin(), part.end());
    crossed_ += copy.size();
    session_.transmitted(now_, copy.size());
    server_.handle_bytes(copy);
    return !copy.empty();
  }

  bool to_client() {
    std::vector<std::uint8_t> in = std::move(server_.transmit);
    server_.transmit.clear();
    in.resize(std::min(in.size(), limit_ - crossed_));
    crossed_ += in.size();
    Bytes rest = in;
    while (!rest.empty()) {
      const std::size_t taken = session_.handle_bytes(now_, rest);
      rest = rest.subspan(taken);
      // Replies wait for the server's turn, which comes before a cut only if bytes are left for it.
      if (!poll() && taken == 0) {
        ADD_FAILURE() << "stuck";
        return false;
      }
    }
    return !in.empty();
  }

  bool poll() {
    bool any = false;
    while (const auto event = session_.poll_event()) {
      any = true;
      if (event->type == EventType::kMessage) delivered_.emplace_back(as_text(event->message.payload));
      if (event->type == EventType::kPublished) --unfinished_;
      EXPECT_NE(event->type, EventType::kPublishLost);
    }
    return any;
  }

  std::vector<std::uint8_t> receive_;
  std::vector<std::uint8_t> transmit_;
  std::vector<std::uint8_t> retransmit_;
  std::vector<std::uint16_t> inbound_;
  Session session_;
  ModelServer server_;
  Instant now_{};
  std::size_t crossed_ = 0;
  std::size_t limit_ = 0;
  std::size_t published_ = 0;
  std::size_t unfinished_ = 0;
  std::vector<std::string> delivered_;
};

TEST(ExactlyOnce, HoldsWhereverTheLinkIsCut) {
  std::size_t total = 0;
  {
    Exchange exchange;
    total = exchange.connect(kNever);
    exchange.check();
  }
  ASSERT_GT(total, 150U);
  for (std::size_t cut = 0; cut < total && !testing::Test::HasFailure(); ++cut) {
    SCOPED_TRACE("cut behind byte " + std::to_string(cut));
    Exchange exchange;
    exchange.connect(cut);
    exchange.connect(kNever);
    exchange.check();
  }
}

TEST(ExactlyOnce, HoldsWhenTheNextConnectionIsCutAsWell) {
  for (std::size_t first = 0; first < 250 && !testing::Test::HasFailure(); first += 3) {
    for (std::size_t second = 0; second < 250; second += 5) {
      SCOPED_TRACE("cut behind bytes " + std::to_string(first) + " and " + std::to_string(second));
      Exchange exchange;
      exchange.connect(first);
      exchange.connect(second);
      exchange.connect(kNever);
      exchange.check();
    }
  }
}

}  // namespace
}  // namespace godwit::mqtt::test
