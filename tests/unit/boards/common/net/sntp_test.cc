// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/sntp.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/boards/common/net/rig.h"

namespace godwit::boards {
namespace {

using test::ip;
using test::kServerIp;
using test::Octets;

constexpr SntpNonce kNonce{1, 2, 3, 4, 5, 6, 7, 8};
constexpr std::uint32_t kNtpSeconds = 0xE8A5'0000;  // 2023
constexpr UnixMillis kTime{(std::int64_t{kNtpSeconds} - 2'208'988'800) * 1000 + 250};

// What a server answers that has the time.
Octets answer(const SntpNonce& nonce = kNonce, std::uint32_t seconds = kNtpSeconds) {
  Octets message(kSntpMessageSize);
  message[0] = 0x24;  // no leap second, version 4, server
  message[1] = 2;
  std::ranges::copy(nonce, message.begin() + 24);
  store_be(&message[40], seconds);
  store_be(&message[44], std::uint32_t{1} << 30U);  // a quarter of a second
  return message;
}
SntpNonce nonce_of(const Octets& request) {
  SntpNonce nonce{};
  std::copy_n(request.begin() + 40, nonce.size(), nonce.begin());
  return nonce;
}

TEST(SntpMessages, RequestTellsNothingButTheNonce) {
  const auto request = sntp_request(kNonce);
  EXPECT_EQ(request[0], 0x23);  // version 4, client
  EXPECT_TRUE(
      std::ranges::all_of(Bytes(request).subspan(1, 39), [](std::uint8_t byte) { return byte == 0; }));
  EXPECT_TRUE(std::ranges::equal(Bytes(request).subspan(40), kNonce));
}

TEST(SntpMessages, AnswerGivesTheTimeInMilliseconds) {
  EXPECT_EQ(parse_sntp_answer(answer(), kNonce), kTime);
}

TEST(SntpMessages, AnswerMayCarryMoreThanTheTime) {
  Octets message = answer();
  message.resize(68);  // an authenticator that we do not look at
  EXPECT_EQ(parse_sntp_answer(message, kNonce), kTime);
}

TEST(SntpMessages, TimeGoesOnAfter2036) {
  EXPECT_EQ(parse_sntp_answer(answer(kNonce, 0x0000'0001), kNonce), UnixMillis{2'085'978'497'250});
}

TEST(SntpMessages, EveryShorterAnswerIsMalformed) {
  const Octets message = answer();
  for (std::size_t size = 0; size < message.size(); ++size) {
    EXPECT_EQ(parse_sntp_answer(Bytes(message).first(size), kNonce), std::unexpected(Status::kMalformed))
        << size;
  }
}

struct RefusedCase {
  const char* name;
  std::size_t at;
  std::uint8_t value;
  Status status;
};
class RefusedAnswers : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedAnswers, AreTold) {
  Octets message = answer();
  message[GetParam().at] = GetParam().value;
  EXPECT_EQ(parse_sntp_answer(message, kNonce), std::unexpected(GetParam().status));
}

INSTANTIATE_TEST_SUITE_P(, RefusedAnswers,
                         testing::Values(RefusedCase{"OfAClient", 0, 0x23, Status::kMalformed},
                                         RefusedCase{"OfABroadcast", 0, 0x25, Status::kMalformed},
                                         RefusedCase{"OfVersion0", 0, 0x04, Status::kMalformed},
                                         RefusedCase{"ToAnotherRequest", 24, 0xFF, Status::kMalformed},
                                         RefusedCase{"KissOfDeath", 1, 0, Status::kDenied},
                                         RefusedCase{"OfAnUnsynchronizedClock", 0, 0xE4, Status::kState},
                                         RefusedCase{"OfAStratumTooFar", 1, 16, Status::kState}),
                         [](const auto& each) { return each.param.name; });

TEST(SntpMessages, AnswerWithoutATimeIsRefused) {
  Octets message = answer();
  std::fill_n(message.begin() + 40, 8, std::uint8_t{0});
  EXPECT_EQ(parse_sntp_answer(message, kNonce), std::unexpected(Status::kState));
}

class SntpClientTest : public test::NetRig {
 protected:
  static constexpr std::uint16_t kPort = 10'123;
  static constexpr Network::Options kOptions{.sntp = {.host = "10.0.0.1", .port = kPort}};

  SntpClientTest() {
    segment_.udp = [this](std::uint16_t port, const Octets& request) -> std::optional<Octets> {
      EXPECT_EQ(port, kPort);
      asked_at_.push_back(now());
      return server_ ? server_(request) : std::nullopt;
    };
  }
  // Until the answer is there.
  std::optional<SntpClient::Answer> wait_for_time(Millis time = Millis{10'000}) {
    std::optional<SntpClient::Answer> taken;
    run_until([&] { return (taken = network_->take_time()).has_value(); }, time);
    return taken;
  }

  std::function<std::optional<Octets>(const Octets&)> server_;
  std::vector<Instant> asked_at_;
};

TEST_F(SntpClientTest, HasTheTimeAsSoonAsTheNetworkIsUpAndAsksAgainHourly) {
  server_ = [](const Octets& request) { return answer(nonce_of(request)); };
  start(kOptions);
  const auto time = wait_for_time(Millis{1'000});
  ASSERT_TRUE(time);
  EXPECT_EQ(time->time, kTime);
  EXPECT_EQ(asked_at_.size(), 1U);
  EXPECT_FALSE(network_->take_time());
  EXPECT_FALSE(wait_for_time(Millis{3'590'000}));
  EXPECT_TRUE(wait_for_time(Millis{20'000}));
}

TEST_F(SntpClientTest, AddsHalfTheRoundTrip) {
  start_with_address(kOptions);
  ASSERT_TRUE(run_until([this] { return !asked_at_.empty(); }));
  const SntpNonce nonce = nonce_of(Octets(segment_.sent.back().begin() + 42, segment_.sent.back().end()));
  const Instant asked = asked_at_[0];
  run_until([&] { return now() >= asked + Millis{800}; });
  segment_.deliver_udp(kServerIp, kPort, segment_.board_udp_port(), answer(nonce));
  const auto time = wait_for_time(Millis{0} + Millis{100});
  ASSERT_TRUE(time);
  EXPECT_EQ(time->time.value, kTime.value + (time->at - asked).count() / 2);
}

TEST_F(SntpClientTest, FindsTheServerByName) {
  segment_.hosts["ntp.example"] = kServerIp;
  server_ = [](const Octets& request) { return answer(nonce_of(request)); };
  start({.sntp = {.host = "ntp.example", .port = kPort}});
  EXPECT_TRUE(wait_for_time());
}

TEST_F(SntpClientTest, AsksMoreAndMoreRarelyWhileNobodyAnswers) {
  start(kOptions);
  run(Millis{2 * 3'600'000});
  ASSERT_GE(asked_at_.size(), 5U);
  EXPECT_LE(asked_at_.size(), 12U);
  EXPECT_LE(asked_at_[1] - asked_at_[0], Millis{5'000});  // the first answer may just have been lost
  for (std::size_t i = 2; i < asked_at_.size(); ++i)
    EXPECT_GE(asked_at_[i] - asked_at_[i - 1], Millis{15'000});
}

TEST_F(SntpClientTest, AsksAtOnceWhenTheCableIsBack) {
  start(kOptions);
  run(Millis{3'600'000});
  segment_.cable = false;
  run(Millis{1'000});
  server_ = [](const Octets& request) { return answer(nonce_of(request)); };
  segment_.cable = true;
  EXPECT_TRUE(wait_for_time(Millis{2'000}));
}

TEST_F(SntpClientTest, DoesNotAskAServerAgainForHoursThatSaysNo) {
  server_ = [](const Octets& request) {
    Octets kiss = answer(nonce_of(request));
    kiss[1] = 0;
    return kiss;
  };
  start(kOptions);
  run(Millis{3 * 3'600'000});
  EXPECT_EQ(asked_at_.size(), 1U);
  EXPECT_FALSE(network_->take_time());
}

TEST_F(SntpClientTest, TakesNoTimeFromAServerThatHasNone) {
  server_ = [](const Octets& request) {
    Octets message = answer(nonce_of(request));
    message[0] = 0xE4;
    return message;
  };
  start(kOptions);
  EXPECT_FALSE(wait_for_time(Millis{60'000}));
  server_ = [](const Octets& request) { return answer(nonce_of(request)); };
  EXPECT_TRUE(wait_for_time(Millis{3'600'000}));
}

TEST_F(SntpClientTest, WaitsForTheTrueAnswerWhileOthersSendTheirs) {
  server_ = [this](const Octets& request) {
    const std::uint16_t port = segment_.board_udp_port();
    segment_.deliver_udp(kServerIp, kPort, port, answer(kNonce));  // a guess
    segment_.deliver_udp(ip(10, 0, 0, 66), kPort, port,
                         answer(nonce_of(request), 1'000'000));                              // another host
    segment_.deliver_udp(kServerIp, kPort + 1, port, answer(nonce_of(request), 1'000'000));  // another port
    segment_.deliver_udp(kServerIp, kPort, port, Octets(7, 0xA5));
    segment_.deliver_udp(kServerIp, kPort, port, Octets(1'400, 0x24));
    segment_.deliver_udp(kServerIp, kPort, port, {});
    return answer(nonce_of(request));
  };
  start(kOptions);
  const auto time = wait_for_time();
  ASSERT_TRUE(time);
  EXPECT_EQ(time->time, kTime);
  EXPECT_EQ(asked_at_.size(), 1U);
}

TEST_F(SntpClientTest, AnswerIsTakenOnce) {
  server_ = [this](const Octets& request) {
    segment_.deliver_udp(kServerIp, kPort, segment_.board_udp_port(), answer(nonce_of(request)));
    return answer(nonce_of(request), kNtpSeconds + 1'000);
  };
  start(kOptions);
  const auto time = wait_for_time();
  ASSERT_TRUE(time);
  EXPECT_EQ(time->time, kTime);
  EXPECT_FALSE(wait_for_time(Millis{60'000}));
}

TEST_F(SntpClientTest, NobodyIsAskedWithoutAServer) {
  start_with_address();
  run(Millis{7'200'000});
  EXPECT_TRUE(asked_at_.empty());
}

}  // namespace
}  // namespace godwit::boards
