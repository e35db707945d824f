// SPDX-License-Identifier: Apache-2.0
// What godwit-mqtt conformance is asked to do, and what it says about it.
#include "tests/integration/mqtt_conformance.h"

#include <gtest/gtest.h>

namespace godwit::test {
namespace {

using std::chrono::seconds;
using namespace std::string_literals;

const std::string kConnack = "\x20\x03\x00\x00\x00"s;

TEST_F(ConformanceMode, ConnectsAsItIsTold) {
  for (const bool clean : {true, false}) {
    const auto peer = order(clean ? "5 1" : "5 0");
    ASSERT_GE(connect_.size(), 12U);
    EXPECT_EQ(connect_.substr(2, 7), "\x00\x04MQTT\x05"s);
    EXPECT_EQ((connect_[9] & 0x02) != 0, clean);
    EXPECT_NE(connect_.find("\x00\x07"s
                            "fuzzish"),
              std::string::npos);
  }
  EXPECT_EQ(outcome(), "closed by the server");
}

TEST_F(ConformanceMode, AnswersOtherVersionsUnsupported) {
  for (const std::string version : {"3", "4", "3.1", "3.1.1", "mqttv311"}) {
    client_.write_stdin("1 " + version + " 1 publish-1\n");
    EXPECT_EQ(outcome(), "unsupported");
  }
}

TEST_F(ConformanceMode, PublishesOnceAndReportsTheEnd) {
  const auto peer = order("5 1 publish-1");
  peer->send(kConnack);
  EXPECT_EQ(peer->packet(), "\x32\x11\x00\x05topic\x00\x01\x00message"s);
  peer->send("\x40\x02\x00\x01"s);
  peer->send("\xe0\x00"s);  // DISCONNECT
  EXPECT_EQ(outcome(), "disconnected by the server: reason 0x00");
}

TEST_F(ConformanceMode, PublishesAtQos2) {
  const auto peer = order("5 1 publish-2");
  peer->send(kConnack);
  EXPECT_EQ(peer->packet(), "\x34\x11\x00\x05topic\x00\x01\x00message"s);
  peer->send("\x50\x02\x00\x01"s);
  EXPECT_EQ(peer->packet(), "\x62\x02\x00\x01"s);
  peer->send("\x70\x02\x00\x01"s);
}

TEST_F(ConformanceMode, Unsubscribes) {
  const auto peer = order("5 1 unsubscribe");
  peer->send(kConnack);
  EXPECT_EQ(peer->packet(), "\xa2\x0a\x00\x01\x00\x00\x05topic"s);
  peer->send("\xb0\x04\x00\x01\x00\x00"s);
}

TEST_F(ConformanceMode, AcknowledgesMessagesThatItNeverAskedFor) {
  const auto peer = order("5 1");
  peer->send(kConnack);
  peer->send("\x32\x0f\x00\x05topic\x00\x07\x00hello"s);
  EXPECT_EQ(peer->packet().substr(0, 4), "\x40\x02\x00\x07"s);
  peer->send("\x34\x0f\x00\x05topic\x00\x08\x00hello"s);
  EXPECT_EQ(peer->packet().substr(0, 4), "\x50\x02\x00\x08"s);
  peer->send("\x62\x02\x00\x08"s);
  EXPECT_EQ(peer->packet().substr(0, 4), "\x70\x02\x00\x08"s);
}

TEST_F(ConformanceMode, OutlivesNonsenseUntilItsInputEnds) {
  client_.write_stdin("\nnonsense\n99999 5 1\n1 5 1\n");
  EXPECT_TRUE(outcome().starts_with("error: "));
  EXPECT_TRUE(outcome().starts_with("error: "));
  EXPECT_TRUE(outcome().starts_with("error: "));
  EXPECT_TRUE(outcome().starts_with("no connection: "));
  for (int i = 0; i < 50; ++i) {  // a server that sends noise, or hangs up
    const auto peer = order("5 1 publish-2");
    peer->send(i % 2 == 0 ? kConnack : "");
    std::string noise;
    for (int n = 0; n < i * 7; ++n) noise += static_cast<char>((n * 31 + i * 17) % 256);
    peer->send(noise);
  }
  client_.close_stdin();
  EXPECT_EQ(client_.wait(seconds(20)), 0) << client_.log();
}

}  // namespace
}  // namespace godwit::test
