// SPDX-License-Identifier: Apache-2.0
// What a new connection makes of what the one before it left (4.4).
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/firmware/mqtt/script.h"

namespace godwit::mqtt::test {
namespace {

std::function<void(Peer&)> publishes(std::string_view topic, Qos qos, std::uint16_t id) {
  return [=](Peer& peer) {
    Message message{};
    message.topic = topic;
    message.qos = qos;
    EXPECT_EQ(peer.session().publish(peer.now, message).value_or(0), id);
  };
}

// Two messages of each QoS: 1 and 2 at QoS 1, 3 and 4 at QoS 2 of which 3 is released.
Script interrupted_script() {
  Script script(resuming_options());
  script.up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .does(publishes("a", Qos::kAtLeastOnce, 1))
      .does(publishes("b", Qos::kAtLeastOnce, 2))
      .does(publishes("c", Qos::kExactlyOnce, 3))
      .does(publishes("d", Qos::kExactlyOnce, 4))
      .sends(
          "32 06 00 01 'a' 00 01 00 32 06 00 01 'b' 00 02 00 34 06 00 01 'c' 00 03 00 34 06 00 01 'd' 00 04 "
          "00")
      .feeds("50 02 00 03")
      .sends("62 02 00 03")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kResume);
  return script;
}

TEST(Resume, SendsAgainAllThatWasNotAcknowledgedInOrder) {
  interrupted_script()
      .feeds(kConnackPresent)
      .event("connected session_present")
      .sends("62 02 00 03 3A 06 00 01 'a' 00 01 00 3A 06 00 01 'b' 00 02 00 3C 06 00 01 'd' 00 04 00")
      .feeds("40 02 00 01 40 02 00 02 50 02 00 04 70 02 00 03")
      .event("published id=1")
      .event("published id=2")
      .event("published id=3")
      .sends("62 02 00 04")
      .feeds("70 02 00 04")
      .event("published id=4")
      .run();
}

TEST(Resume, WithoutTheServersSessionSendsQos1AsNewAndReportsQos2AsLost) {
  interrupted_script()
      .feeds(kConnack)
      .event("connected")
      .event("publish_lost id=3 reason=80")
      .event("publish_lost id=4 reason=80")
      .sends("32 06 00 01 'a' 00 01 00 32 06 00 01 'b' 00 02 00")
      .feeds("40 02 00 01 40 02 00 02")
      .event("published id=1")
      .event("published id=2")
      .does([](Peer& peer) { EXPECT_EQ(peer.session().in_flight(), 0); })
      .run();
}

TEST(Resume, KeepsToTheReceiveMaximumOfTheNewConnection) {
  interrupted_script()
      .feeds("20 06 01 00 03 21 00 01")
      .event("connected session_present")
      .sends("62 02 00 03 3A 06 00 01 'a' 00 01 00")
      .feeds("40 02 00 01")
      .event("published id=1")
      .sends("3A 06 00 01 'b' 00 02 00")
      .feeds("40 02 00 02")
      .event("published id=2")
      .sends("3C 06 00 01 'd' 00 04 00")
      .run();
}

TEST(Resume, EndsMessagesThatTheServerOfTheNewConnectionCannotTake) {
  interrupted_script()
      .feeds("20 05 01 00 02 24 01")
      .event("connected session_present")
      .event("published id=4 reason=9B")
      .sends("62 02 00 03 3A 06 00 01 'a' 00 01 00 3A 06 00 01 'b' 00 02 00")
      .run();
  interrupted_script()
      .feeds("20 08 01 00 05 27 00 00 00 07")
      .event("connected session_present")
      .event("published id=1 reason=95")
      .event("published id=2 reason=95")
      .event("published id=4 reason=95")
      .sends("62 02 00 03")
      .run();
}

TEST(Resume, WithoutRetransmitMemoryReportsEachMessageAsLost) {
  Options options = resuming_options();
  options.session_expiry_s = 0;
  Script(options, {.retransmit = 0})
      .does([](Peer& peer) {
        Message message{};
        message.topic = "a";
        message.qos = Qos::kAtLeastOnce;
        EXPECT_EQ(peer.session().publish(peer.now, message).error(), Status::kState);
        EXPECT_EQ(peer.session().send_quota(), 0);
      })
      .up()
      .sends("10 1D 00 04 'MQTT' 05 02 00 3C 0D 11 00 00 00 00 21 00 08 27 00 00 01 00 00 03 'dev'")
      .feeds(kConnack)
      .event("connected")
      .does(publishes("a", Qos::kAtLeastOnce, 1))
      .does(publishes("b", Qos::kExactlyOnce, 2))
      .sends("32 06 00 01 'a' 00 01 00 34 06 00 01 'b' 00 02 00")
      .down()
      .event("publish_lost id=1 reason=80")
      .event("publish_lost id=2 reason=80")
      .event("disconnected reason=80")
      .up()
      .sends("10 1D 00 04 'MQTT' 05 02 00 3C 0D 11 00 00 00 00 21 00 08 27 00 00 01 00 00 03 'dev'")
      .run();
}

TEST(Resume, SendsWhatWasPublishedWithoutALinkAsNew) {
  Script(resuming_options())
      .does(publishes("a", Qos::kAtLeastOnce, 1))
      .does(publishes("b", Qos::kExactlyOnce, 2))
      .up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .sends("32 06 00 01 'a' 00 01 00 34 06 00 01 'b' 00 02 00")
      .run();
}

TEST(Resume, KeepsTheOrderOfOldAndNewMessages) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .does(publishes("a", Qos::kAtLeastOnce, 1))
      .sends("32 06 00 01 'a' 00 01 00")
      .down()
      .event("disconnected reason=80")
      .does(publishes("b", Qos::kAtLeastOnce, 2))
      .up()
      .sends(kResume)
      .does(publishes("c", Qos::kAtLeastOnce, 3))
      .feeds(kConnackPresent)
      .event("connected session_present")
      .sends("3A 06 00 01 'a' 00 01 00 32 06 00 01 'b' 00 02 00 32 06 00 01 'c' 00 03 00")
      .run();
}

TEST(Resume, ForgetsSubscribesThatWereNotAnswered) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .does([](Peer& peer) { EXPECT_TRUE(peer.session().subscribe(peer.now, "a", {}).has_value()); })
      .sends("82 07 00 01 00 00 01 'a' 01")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kResume)
      .feeds(kConnackPresent)
      .event("connected session_present")
      .feeds("90 04 00 01 00 01")  // too late: no event, no answer
      .run();
}

TEST(Resume, StartsCleanUntilAConnectionWasAccepted) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kConnect)
      .feeds("20 03 00 89 00")
      .event("refused reason=89")
      .down()
      .up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kResume)
      .run();
}

TEST(Resume, StartsCleanAgainIfTheServerKeepsNoSession) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .feeds("20 08 00 00 05 11 00 00 00 00")
      .event("connected")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kConnect)
      .run();
}

TEST(Resume, GoesOnWithASessionFromBeforeIfAskedTo) {
  Options options = resuming_options();
  options.clean_start = false;
  Script(options)
      .up()
      .sends(kResume)
      .feeds(kConnackPresent)
      .event("connected session_present")
      .feeds("62 02 00 07")
      .sends("70 03 00 07 92")
      .run();
}

TEST(Resume, ForgetsReceivedQos2IdentifiersWithTheServersSession) {
  Script script(resuming_options());
  script.up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .feeds("34 06 00 01 't' 00 05 00")
      .event("message id=5 qos=2 topic=t payload=")
      .sends("50 02 00 05")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kResume);
  Script(script)
      .feeds(kConnackPresent)
      .event("connected session_present")
      .feeds("3C 06 00 01 't' 00 05 00")
      .sends("50 02 00 05")
      .run();
  Script(script)
      .feeds(kConnack)
      .event("connected")
      .feeds("34 06 00 01 't' 00 05 00")
      .event("message id=5 qos=2 topic=t payload=")
      .sends("50 02 00 05")
      .run();
}

TEST(Resume, DeliversAMessageThatWaitedWhenTheLinkWent) {
  Peer peer(resuming_options(), {});
  peer.link_up();
  peer.feed(hex(kConnack));
  const auto publish = hex("34 06 00 01 't' 00 05 00");
  ASSERT_EQ(peer.session().handle_bytes(peer.now, publish), publish.size());
  peer.session().link_down(peer.now);
  ASSERT_EQ(peer.session().link_up(peer.now), Status::kOk);
  EXPECT_EQ(peer.session().handle_bytes(peer.now, hex(kConnackPresent)), 0U) << "its memory is in use";
  peer.events.clear();
  peer.sent.clear();
  peer.drain();
  EXPECT_EQ(peer.events,
            (std::vector<std::string>{"message id=5 qos=2 topic=t payload=", "disconnected reason=80"}));
  EXPECT_EQ(to_hex(peer.sent), to_hex(hex(kResume))) << "the acknowledgement went with the connection";
  peer.sent.clear();
  peer.feed(hex(kConnackPresent));
  peer.feed(hex("3C 06 00 01 't' 00 05 00"));
  EXPECT_EQ(to_hex(peer.sent), "50 02 00 05 ");
  EXPECT_EQ(peer.events.back(), "connected session_present") << "it is not delivered again";
}

TEST(Resume, PacketIdentifiersInUseAreNotUsedAgain) {
  Peer peer(resuming_options(), {});
  peer.link_up();
  peer.feed(hex(kConnack));
  publishes("a", Qos::kAtLeastOnce, 1)(peer);
  Message message{};
  message.topic = "b";
  message.qos = Qos::kAtLeastOnce;
  for (unsigned id = 2; id <= 0xFFFF; ++id) {
    ASSERT_EQ(peer.session().publish(peer.now, message).value_or(0), id);
    peer.drain();
    const std::uint8_t puback[] = {0x40, 2, static_cast<std::uint8_t>(id >> 8),
                                   static_cast<std::uint8_t>(id)};
    peer.feed(puback);
    peer.events.clear();
    peer.sent.clear();
  }
  EXPECT_EQ(peer.session().publish(peer.now, message).value_or(0), 2) << "neither 0 nor 1";
}

}  // namespace
}  // namespace godwit::mqtt::test
