// SPDX-License-Identifier: Apache-2.0
// Keep-alive and time-outs in virtual time.
#include <gtest/gtest.h>

#include "tests/unit/firmware/mqtt/script.h"

namespace godwit::mqtt::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr std::string_view kPing = "C0 00";

Script connected_script(std::string_view connack = kConnack) {
  Script script(resuming_options());
  script.up().sends(kConnect).feeds(connack).event("connected");
  return script;
}

TEST(KeepAlive, PingsBeforeTheIntervalHasPassed) {
  connected_script()
      .wait(52'499ms)
      .wait(1ms)
      .sends(kPing)
      .feeds("D0 00")
      .wait(52'499ms)
      .wait(1ms)
      .sends(kPing)
      .run();
}

TEST(KeepAlive, DoesNotPingWhilePacketsGoBothWays) {
  Script script = connected_script();
  for (int i = 0; i < 5; ++i) {
    script.wait(50s).does([](Peer& peer) {
      Message message{};
      message.topic = "t";
      message.qos = Qos::kAtLeastOnce;
      EXPECT_TRUE(peer.session().publish(peer.now, message).has_value());
      peer.drain();
      const std::uint8_t id = peer.sent[6];
      peer.feed(hex("40 02 00"));
      peer.feed({&id, 1});
      peer.sent.clear();
      peer.events.clear();
    });
  }
  script.run();
}

TEST(KeepAlive, NoticesAServerThatOnlyListens) {
  connected_script()
      .wait(30s)
      .does([](Peer& peer) {
        Message message{};
        message.topic = "t";
        EXPECT_TRUE(peer.session().publish(peer.now, message).has_value());
      })
      .sends("30 04 00 01 't' 00")
      .wait(22'500ms)
      .sends(kPing)
      .wait(20s)
      .event("disconnected reason=8D")
      .closes()
      .run();
}

TEST(KeepAlive, ClosesTheLinkWithoutADisconnectIfThePingIsNotAnswered) {
  connected_script()
      .wait(52'500ms)
      .sends(kPing)
      .wait(19'999ms)
      .wait(1ms)
      .event("disconnected reason=8D")
      .closes()
      .run();
}

TEST(KeepAlive, IsWhatTheServerSays) {
  connected_script("20 06 00 00 03 13 00 08")
      .wait(7s)
      .sends(kPing)
      .feeds("D0 00")
      .wait(7s)
      .sends(kPing)
      .run();
  connected_script("20 06 00 00 03 13 00 00").wait(3600s).run();
}

TEST(KeepAlive, GoesOnWhileAnAnswerIsAwaited) {
  connected_script("20 06 00 00 03 13 00 08")
      .wait(7s)
      .sends(kPing)
      .wait(7s)
      .sends(kPing)
      .wait(6s)
      .sends("")
      .run();
}

TEST(KeepAlive, ClosesALinkThatTakesNothing) {
  Peer peer(resuming_options(), {});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.link_blocked = true;
  peer.wait(52'500ms);
  EXPECT_EQ(to_hex(peer.session().transmit()), "C0 00 ");
  peer.wait(20s);
  EXPECT_TRUE(peer.session().should_close());
  EXPECT_TRUE(peer.session().transmit().empty()) << "or the owner would wait for ever to close the link";
}

TEST(Timeouts, CloseTheLinkIfConnackDoesNotCome) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .wait(19'999ms)
      .wait(1ms)
      .event("disconnected reason=8D")
      .closes()
      .run();
}

TEST(Timeouts, CloseTheLinkIfASubscribeIsNotAnswered) {
  const auto subscribes = [](Peer& peer) {
    EXPECT_TRUE(peer.session().subscribe(peer.now, "a", {}).has_value());
  };
  connected_script()
      .does(subscribes)
      .sends("82 07 00 01 00 00 01 'a' 01")
      .wait(10s)
      .does(subscribes)
      .sends("82 07 00 02 00 00 01 'a' 01")
      .wait(9s)
      .feeds("90 04 00 01 00 01")
      .event("subscribed id=1 reason=01")
      .wait(19s)
      .wait(1s)
      .event("disconnected reason=8D")
      .closes()
      .run();
}

TEST(Timeouts, EndTheWaitForALinkThatDoesNotTakeTheDisconnect) {
  Peer peer(resuming_options(), {});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.link_blocked = true;
  peer.session().disconnect(peer.now);
  EXPECT_FALSE(peer.session().transmit().empty());
  peer.wait(20s);
  EXPECT_TRUE(peer.session().transmit().empty());
  EXPECT_TRUE(peer.session().should_close());
  EXPECT_FALSE(peer.session().next_deadline().has_value());
}

TEST(Timeouts, EarlyAndRepeatedCallsChangeNothing) {
  connected_script()
      .does([](Peer& peer) {
        for (int i = 0; i < 100; ++i) peer.session().handle_timeout(peer.now);
      })
      .wait(52'500ms)
      .sends(kPing)
      .does([](Peer& peer) {
        for (int i = 0; i < 100; ++i) peer.session().handle_timeout(peer.now);
      })
      .feeds("D0 00")
      .run();
}

}  // namespace
}  // namespace godwit::mqtt::test
