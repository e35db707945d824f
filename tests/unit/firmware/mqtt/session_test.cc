// SPDX-License-Identifier: Apache-2.0
#include "firmware/mqtt/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/firmware/mqtt/script.h"

namespace godwit::mqtt::test {
namespace {

Script connected_script(std::string_view connack = kConnack) {
  Script script(resuming_options());
  script.up().sends(kConnect).feeds(connack).event("connected");
  return script;
}

Message message(std::string_view topic, std::string_view payload, Qos qos = Qos::kAtMostOnce) {
  Message out{};
  out.topic = topic;
  out.payload = as_bytes(payload);
  out.qos = qos;
  return out;
}

std::function<void(Peer&)> publishes(std::string_view topic, std::string_view payload, Qos qos,
                                     std::uint16_t id = 0) {
  return [=](Peer& peer) {
    const auto result = peer.session().publish(peer.now, message(topic, payload, qos));
    ASSERT_TRUE(result.has_value()) << to_string(result.error());
    EXPECT_EQ(*result, id);
  };
}

// Their encoding, kept for the length of a test.
class Encoded {
 public:
  explicit Encoded(const MessageProperties& properties) : bytes_(encode(properties, memory_).value()) {}
  operator Bytes() const { return bytes_; }  // NOLINT(google-explicit-constructor)

 private:
  std::array<std::uint8_t, 128> memory_{};
  Bytes bytes_;
};

TEST(Connect, CarriesEveryOption) {
  const UserProperty user[] = {{"k", "v"}};
  const UserProperty will_user[] = {{"w", "x"}};
  const Encoded properties({.user = user});
  const Encoded will_properties({.will_delay_s = 5,
                                 .text_payload = true,
                                 .expiry_s = 7,
                                 .content_type = "ct",
                                 .response_topic = "rt",
                                 .correlation_data = as_bytes("cd"),
                                 .user = will_user});
  Message will = message("gone", "bye", Qos::kAtLeastOnce);
  will.retain = true;
  will.properties = will_properties;
  Options options = resuming_options();
  options.user_name = "user";
  options.password = as_bytes("pass");
  options.keep_alive_s = 0x0102;
  options.receive_maximum = 16;
  options.will = &will;
  options.properties = properties;
  Script(options)
      .up()
      .sends("10 5E 00 04 'MQTT' 05 EE 01 02")
      .sends("14 11 00 00 0E 10 21 00 10 27 00 00 01 00 26 00 01 'k' 00 01 'v'")
      .sends("00 03 'dev'")
      .sends("22 18 00 00 00 05 01 01 02 00 00 00 07 03 00 02 'ct' 08 00 02 'rt' 09 00 02 'cd'")
      .sends("26 00 01 'w' 00 01 'x' 00 04 'gone' 00 03 'bye'")
      .sends("00 04 'user' 00 04 'pass'")
      .run();
}

TEST(Connect, RefusesOptionsThatContradictEachOther) {
  const auto status = [](const Options& options, const Peer::Sizes& sizes) {
    Peer peer(options, sizes);
    return peer.session().link_up(peer.now);
  };
  EXPECT_EQ(status(resuming_options(), {}), Status::kOk);
  EXPECT_EQ(status(resuming_options(), {.retransmit = 0}), Status::kInvalidArgument);
  EXPECT_EQ(status(resuming_options(), {.transmit = 115}), Status::kInvalidArgument);
  for (const std::size_t size : {0U, 1U, 4U}) {
    EXPECT_EQ(status(resuming_options(), {.receive = size}), Status::kInvalidArgument)
        << "the fixed header of a packet must fit before its size is known";
    EXPECT_EQ(status(resuming_options(), {.transmit = size}), Status::kInvalidArgument);
  }
  Options options = resuming_options();
  options.client_id = "";
  EXPECT_EQ(status(options, {}), Status::kInvalidArgument);
  options.session_expiry_s = 0;
  EXPECT_EQ(status(options, {}), Status::kOk);
  options.clean_start = false;
  EXPECT_EQ(status(options, {}), Status::kInvalidArgument);
  options = resuming_options();
  options.receive_maximum = 0;
  EXPECT_EQ(status(options, {}), Status::kInvalidArgument);
  const Message will = message("a/#", "");
  options = resuming_options();
  options.will = &will;
  EXPECT_EQ(status(options, {}), Status::kInvalidArgument);
  options = resuming_options();
  options.client_id = "\xFF";
  EXPECT_EQ(status(options, {}), Status::kInvalidArgument);
}

TEST(Connect, TakesAnAssignedIdentifierAndEveryOtherProperty) {
  Options options = resuming_options();
  options.client_id = "";
  options.session_expiry_s = 0;
  Script(options)
      .up()
      .sends("10 1A 00 04 'MQTT' 05 02 00 3C 0D 11 00 00 00 00 21 00 08 27 00 00 01 00 00 00")
      .feeds("20 3F 00 00 3C 11 00 00 00 3C 21 00 05 24 01 25 00 27 00 00 02 00 12 00 03 'abc' 22 00 0A")
      .feeds(
          "1F 00 02 'hi' 26 00 01 'k' 00 01 'v' 26 00 01 'k' 00 01 'v' 28 00 29 00 2A 00 13 00 0A 1C 00 03 "
          "'srv'")
      .event("connected 'hi' use=srv")
      .run();
}

TEST(Connect, ReportsEveryReasonOfARefusalAndCloses) {
  for (const char* code : {"80", "81", "82", "83", "84", "85", "86", "87", "88", "89", "8A",
                           "8C", "90", "95", "97", "99", "9A", "9B", "9C", "9D", "9F"}) {
    SCOPED_TRACE(code);
    Script(resuming_options())
        .up()
        .sends(kConnect)
        .feeds("20 08 00 " + std::string(code) + " 05 1F 00 02 'no'")
        .event("refused reason=" + std::string(code) + " 'no'")
        .closes()
        .run();
  }
}

TEST(Messages, ComeWithAllThatTheirSenderSaid) {
  connected_script()
      .feeds("31 2A 00 03 'a/b' 22 01 01 02 00 00 00 05 03 00 02 'ct' 08 00 02 'rt' 09 00 02 'cd'")
      .feeds("0B 01 0B 80 01 26 00 01 'k' 00 01 'v'")
      .feeds("'hi'")
      .event("message qos=0 topic=a/b payload=hi retain text expiry=5 type=ct response=rt correlation=cd k:v")
      .run();
}

TEST(Messages, MayBeEmptyOrFillTheReceiveMemory) {
  connected_script()
      .feeds("30 04 00 01 't' 00")
      .event("message qos=0 topic=t payload=")
      .feeds("30 FD 01 00 01 't' 00 '" + std::string(249, 'x') + "'")
      .event("message qos=0 topic=t payload=" + std::string(249, 'x'))
      .run();
}

TEST(Messages, AreAcknowledgedInOrderOnceTheirEventIsConsumed) {
  connected_script()
      .feeds("32 07 00 01 't' 00 0A 00 'a' 34 07 00 01 't' 00 0B 00 'b' 32 07 00 01 't' 00 0C 00 'c'")
      .event("message id=10 qos=1 topic=t payload=a")
      .event("message id=11 qos=2 topic=t payload=b")
      .event("message id=12 qos=1 topic=t payload=c")
      .sends("40 02 00 0A 50 02 00 0B 40 02 00 0C")
      .feeds("62 02 00 0B")
      .sends("70 02 00 0B")
      .run();
}

TEST(Messages, AreNotAcknowledgedWhileTheirEventIsBorrowed) {
  Peer peer(resuming_options(), {});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.sent.clear();
  const auto publish = hex("32 07 00 01 't' 00 0A 00 'a'");
  EXPECT_EQ(peer.session().handle_bytes(peer.now, publish), publish.size());
  EXPECT_EQ(peer.session().handle_bytes(peer.now, publish), 0U) << "its event has not been polled";
  ASSERT_NE(peer.session().poll_event(), nullptr);
  EXPECT_TRUE(peer.session().transmit().empty());
  EXPECT_EQ(peer.session().poll_event(), nullptr);
  EXPECT_EQ(to_hex(peer.session().transmit()), "40 02 00 0A ");
}

TEST(Messages, AreLentFromTheReceiveMemoryWithoutACopy) {
  std::array<std::uint8_t, 64> receive{};
  std::array<std::uint8_t, 128> transmit{};
  Options options = resuming_options();
  options.session_expiry_s = 0;
  Session session({.receive = receive, .transmit = transmit, .retransmit = {}}, options);
  ASSERT_EQ(session.link_up(Instant{}), Status::kOk);
  const auto connack = hex(kConnack);
  ASSERT_EQ(session.handle_bytes(Instant{}, connack), connack.size());
  ASSERT_NE(session.poll_event(), nullptr);
  const auto publish = hex("30 05 00 01 't' 00 'p'");
  ASSERT_EQ(session.handle_bytes(Instant{}, publish), publish.size());
  const Event* const event = session.poll_event();
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->message.payload.data(), receive.data() + 6);
}

TEST(Messages, OfQos2AreDeliveredOnceHoweverOftenTheyCome) {
  connected_script()
      .feeds("34 07 00 01 't' 00 05 00 'a'")
      .event("message id=5 qos=2 topic=t payload=a")
      .sends("50 02 00 05")
      .feeds("3C 07 00 01 't' 00 05 00 'a'")
      .sends("50 02 00 05")
      .feeds("62 02 00 05")
      .sends("70 02 00 05")
      .feeds("34 07 00 01 't' 00 05 00 'b'")
      .event("message id=5 qos=2 topic=t payload=b")
      .sends("50 02 00 05")
      .run();
}

TEST(Messages, WithAPayloadThatIsNotTheTextItClaimsAreRefusedOneByOne) {
  connected_script()
      .feeds("32 09 00 01 't' 00 05 02 01 01 FF  34 09 00 01 't' 00 06 02 01 01 FF")
      .sends("40 03 00 05 99 50 03 00 06 99")
      .feeds("32 0A 00 01 't' 00 05 02 01 01 C3 A4")
      .event("message id=5 qos=1 topic=t payload=\xC3\xA4 text")
      .sends("40 02 00 05")
      .run();
}

TEST(Messages, OfQos1ThatReuseAnIdentifierOfQos2AreRefused) {
  connected_script()
      .feeds("34 06 00 01 't' 00 05 00")
      .event("message id=5 qos=2 topic=t payload=")
      .sends("50 02 00 05")
      .feeds("32 06 00 01 't' 00 05 00")
      .sends("40 03 00 05 91")
      .run();
}

TEST(Messages, BeyondTheReceiveMaximumEndTheConnection) {
  Options options = resuming_options();
  options.receive_maximum = 2;
  Script(options)
      .up()
      .sends("10 1D 00 04 'MQTT' 05 02 00 3C 0D 11 00 00 0E 10 21 00 02 27 00 00 01 00 00 03 'dev'")
      .feeds(kConnack)
      .event("connected")
      .feeds("34 06 00 01 't' 00 01 00 34 06 00 01 't' 00 02 00")
      .event("message id=1 qos=2 topic=t payload=")
      .event("message id=2 qos=2 topic=t payload=")
      .sends("50 02 00 01 50 02 00 02")
      .feeds("62 02 00 01")
      .sends("70 02 00 01")
      .feeds("32 06 00 01 't' 00 03 00")
      .event("message id=3 qos=1 topic=t payload=")
      .sends("40 02 00 03")
      .feeds("34 06 00 01 't' 00 04 00")
      .event("message id=4 qos=2 topic=t payload=")
      .sends("50 02 00 04")
      .feeds("32 06 00 01 't' 00 05 00")
      .sends("E0 01 93")
      .event("disconnected reason=93")
      .closes()
      .run();
}

// Mosquitto 2.0.11 sends more of them at once than the receive maximum allows.
TEST(Messages, OfQos1NoLongerCountOnceTheirAcknowledgementIsWritten) {
  Options options = resuming_options();
  options.receive_maximum = 2;
  Peer peer(options, {});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.sent.clear();
  peer.link_blocked = true;
  for (int i = 0; i < 4; ++i) peer.feed(hex("32 06 00 01 't' 00 01 00 32 06 00 01 't' 00 02 00"));
  EXPECT_EQ(peer.events.size(), 1U + 8U);
  peer.link_blocked = false;
  peer.drain();
  EXPECT_EQ(to_hex(peer.sent), to_hex(hex("40 02 00 01 40 02 00 02 40 02 00 01 40 02 00 02 "
                                          "40 02 00 01 40 02 00 02 40 02 00 01 40 02 00 02")));
}

// PUBREL does not use up the server's send quota (4.9): on a new connection it may send a whole window of
// PUBLISH beside what it has to release.
TEST(Messages, OfAnEarlierConnectionDoNotCountAgainstTheReceiveMaximum) {
  Options options = resuming_options();
  options.receive_maximum = 2;
  Peer peer(options, {.inbound = 4});
  const auto connect = [&peer](std::string_view connack) {
    peer.link_up();
    peer.feed(hex(connack));
  };
  connect(kConnack);
  peer.feed(hex("34 06 00 01 't' 00 01 00 34 06 00 01 't' 00 02 00"));
  peer.link_down();
  connect(kConnackPresent);
  peer.feed(hex("62 02 00 01"));
  peer.feed(hex("34 06 00 01 't' 00 03 00 34 06 00 01 't' 00 04 00"));
  EXPECT_TRUE(peer.session().connected());
  peer.feed(hex("62 02 00 02"));  // gives nothing back that it did not take
  peer.feed(hex("34 06 00 01 't' 00 05 00"));
  EXPECT_EQ(peer.events.back(), "disconnected reason=93");
}

TEST(Messages, OfQos2NeedMemoryForTheirIdentifiers) {
  Peer peer(resuming_options(), {.inbound = 0});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.feed(hex("32 06 00 01 't' 00 01 00"));
  EXPECT_EQ(peer.events.back(), "message id=1 qos=1 topic=t payload=");
  peer.feed(hex("34 06 00 01 't' 00 02 00"));
  EXPECT_EQ(peer.events.back(), "disconnected reason=93");
}

TEST(UnknownIdentifiers, AreAnsweredSoThatTheServerCanForgetThem) {
  connected_script()
      .feeds("40 02 00 09 90 04 00 09 00 01 B0 04 00 09 00 00")  // want no answer
      .feeds("50 02 00 09")
      .sends("62 03 00 09 92")
      .feeds("70 03 00 09 92")
      .feeds("50 03 00 09 87")  // has ended already
      .feeds("62 02 00 09")
      .sends("70 03 00 09 92")
      .run();
}

// `count` PUBRELs with identifiers that are not known, and what they are answered with.
std::vector<std::uint8_t> pubrels(int count) {
  std::vector<std::uint8_t> packets;
  for (int id = 1; id <= count; ++id)
    packets.insert(packets.end(), {0x62, 2, 0, static_cast<std::uint8_t>(id)});
  return packets;
}
std::string pubcomps(int count) {
  std::string text;
  for (int id = 1; id <= count; ++id) {
    const auto low = static_cast<std::uint8_t>(id);
    text += "70 03 00 " + to_hex({&low, 1}) + "92 ";
  }
  return text;
}

TEST(Replies, HaveRoomThoughTheApplicationHasFilledTheTransmitMemory) {
  Peer peer(resuming_options(), {.transmit = 200});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.sent.clear();
  peer.link_blocked = true;
  std::string expected;
  while (peer.session().publish(peer.now, message("t", "0123456789")).has_value()) {
    expected += to_hex(hex("30 0E 00 01 't' 00 '0123456789'"));
  }
  EXPECT_FALSE(expected.empty());
  peer.feed(pubrels(16));  // twice the receive maximum
  EXPECT_TRUE(peer.session().connected());
  peer.link_blocked = false;
  peer.drain();
  EXPECT_EQ(to_hex(peer.sent), expected + pubcomps(16));
}

TEST(Replies, BeyondAllRoomEndTheConnectionAndLoseNoneBefore) {
  Peer peer(resuming_options(), {.transmit = 200});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.sent.clear();
  peer.link_blocked = true;
  peer.feed(pubrels(100));
  EXPECT_EQ(peer.events.back(), "disconnected reason=96");
  peer.link_blocked = false;
  peer.drain();
  EXPECT_EQ(to_hex(peer.sent), pubcomps(39) + "E0 01 96 ");
}

TEST(Publish, RunsTheFlowOfEachQos) {
  connected_script()
      .does(publishes("t", "a", Qos::kAtMostOnce))
      .sends("30 05 00 01 't' 00 'a'")
      .does(publishes("t", "b", Qos::kAtLeastOnce, 1))
      .sends("32 07 00 01 't' 00 01 00 'b'")
      .does(publishes("t", "c", Qos::kExactlyOnce, 2))
      .sends("34 07 00 01 't' 00 02 00 'c'")
      .feeds("40 02 00 01")
      .event("published id=1")
      .feeds("50 02 00 02")
      .sends("62 02 00 02")
      .feeds("70 02 00 02")
      .event("published id=2")
      .run();
}

TEST(Publish, WorksTheSameWithoutRetransmitMemory) {
  Options options = resuming_options();
  options.session_expiry_s = 0;
  Script(options, {.retransmit = 0})
      .up()
      .sends("10 1D 00 04 'MQTT' 05 02 00 3C 0D 11 00 00 00 00 21 00 08 27 00 00 01 00 00 03 'dev'")
      .feeds(kConnack)
      .event("connected")
      .does(publishes("t", "b", Qos::kAtLeastOnce, 1))
      .sends("32 07 00 01 't' 00 01 00 'b'")
      .does(publishes("t", "c", Qos::kExactlyOnce, 2))
      .sends("34 07 00 01 't' 00 02 00 'c'")
      .feeds("50 02 00 02")
      .sends("62 02 00 02")
      .feeds("70 02 00 02 40 02 00 01")
      .event("published id=2")
      .event("published id=1")
      .run();
}

TEST(Publish, CarriesEveryPropertyAndFlag) {
  connected_script()
      .does([](Peer& peer) {
        const UserProperty user[] = {{"k", "v"}, {"k", ""}};
        Message out = message("t", "p", Qos::kAtLeastOnce);
        out.retain = true;
        const Encoded properties({.text_payload = true,
                                  .expiry_s = 0x01020304,
                                  .content_type = "ct",
                                  .response_topic = "rt",
                                  .correlation_data = as_bytes("cd"),
                                  .user = user});
        out.properties = properties;
        EXPECT_EQ(peer.session().publish(peer.now, out).value_or(0), 1);
      })
      .sends("33 2A 00 01 't' 00 01 23 01 01 02 01 02 03 04 03 00 02 'ct' 08 00 02 'rt' 09 00 02 'cd'")
      .sends("26 00 01 'k' 00 01 'v' 26 00 01 'k' 00 00 'p'")
      .run();
}

TEST(Publish, ReportsEveryReasonOfTheServer) {
  for (const char* code : {"10", "80", "83", "87", "90", "91", "95", "97", "99"}) {
    SCOPED_TRACE(code);
    const std::string reason = " reason=" + std::string(code);
    connected_script()
        .does(publishes("t", "", Qos::kAtLeastOnce, 1))
        .sends("32 06 00 01 't' 00 01 00")
        .does(publishes("t", "", Qos::kExactlyOnce, 2))
        .sends("34 06 00 01 't' 00 02 00")
        .feeds("40 08 00 01 " + std::string(code) + " 04 1F 00 01 'x'")
        .event("published id=1" + reason + " 'x'")
        .feeds("50 03 00 02 " + std::string(code))
        .does([code](Peer& peer) {
          // 0x10 is no error: the flow goes on.
          if (std::string_view(code) == "10") peer.feed(hex("70 02 00 02"));
        })
        .sends(std::string_view(code) == "10" ? "62 02 00 02" : "")
        .event(std::string_view(code) == "10" ? "published id=2" : "published id=2" + reason)
        .run();
  }
}

TEST(Publish, SendsPubrelInTheOrderOfPubrec) {
  connected_script()
      .does(publishes("t", "", Qos::kExactlyOnce, 1))
      .does(publishes("t", "", Qos::kExactlyOnce, 2))
      .does(publishes("t", "", Qos::kExactlyOnce, 3))
      .sends("34 06 00 01 't' 00 01 00 34 06 00 01 't' 00 02 00 34 06 00 01 't' 00 03 00")
      .feeds("50 02 00 02 50 02 00 03 50 02 00 01")
      .sends("62 02 00 02 62 02 00 03 62 02 00 01")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kResume)
      .feeds(kConnackPresent)
      .event("connected session_present")
      .sends("62 02 00 02 62 02 00 03 62 02 00 01")
      .run();
}

TEST(Publish, WritesThePayloadInPlaceAndCanBeCancelled) {
  connected_script()
      .does([](Peer& peer) {
        EXPECT_FALSE(peer.session().commit_publish().has_value());
        for (const Qos qos : {Qos::kAtMostOnce, Qos::kAtLeastOnce}) {
          ASSERT_TRUE(peer.session().begin_publish(peer.now, message("t", "", qos), 2).has_value());
          peer.session().cancel_publish();
          EXPECT_FALSE(peer.session().commit_publish().has_value());
          const auto span = peer.session().begin_publish(peer.now, message("t", "", qos), 2);
          ASSERT_TRUE(span.has_value());
          ASSERT_EQ(span->size(), 2U);
          (*span)[0] = 'x';
          (*span)[1] = 'y';
          EXPECT_EQ(peer.session().commit_publish().value_or(99), qos == Qos::kAtMostOnce ? 0 : 1);
        }
      })
      .sends("30 06 00 01 't' 00 'xy' 32 08 00 01 't' 00 01 00 'xy'")
      .run();
}

TEST(Publish, RefusesWhatTheServerOrTheStandardForbids) {
  connected_script("20 10 00 00 0D 24 01 25 00 27 00 00 00 40 28 00 2A 00")
      .does([](Peer& peer) {
        const auto publish = [&peer](const Message& out) {
          return peer.session().publish(peer.now, out).error();
        };
        EXPECT_EQ(publish(message("t", "", Qos::kExactlyOnce)), Status::kInvalidArgument) << "maximum QoS";
        Message out = message("t", "");
        out.retain = true;
        EXPECT_EQ(publish(out), Status::kInvalidArgument) << "retain not available";
        EXPECT_EQ(publish(message("t", std::string(60, 'x'))), Status::kInvalidArgument)
            << "maximum packet size";
        EXPECT_TRUE(peer.session().publish(peer.now, message("t", std::string(58, 'x'))).has_value());
        peer.drain();
        peer.sent.clear();
        EXPECT_EQ(publish(message("", "")), Status::kInvalidArgument);
        EXPECT_EQ(publish(message("a/+", "")), Status::kInvalidArgument);
        EXPECT_EQ(publish(message("\xFF", "")), Status::kInvalidArgument);
        std::array<std::uint8_t, 16> memory{};
        EXPECT_EQ(encode({.response_topic = "#"}, memory).error(), Status::kInvalidArgument);
        EXPECT_EQ(encode({.content_type = "\xFF"}, memory).error(), Status::kInvalidArgument);
        EXPECT_EQ(encode({.content_type = "too long for it"}, memory).error(), Status::kFull);
        const auto subscribe = [&peer](std::string_view filter) {
          return peer.session().subscribe(peer.now, filter, {}).error();
        };
        EXPECT_EQ(subscribe(std::string(60, 'x')), Status::kInvalidArgument) << "maximum packet size";
        EXPECT_EQ(peer.session().server_maximum_packet_size(), 64U);
      })
      .run();
}

TEST(Publish, KeepsToTheReceiveMaximumOfTheServer) {
  connected_script("20 06 00 00 03 21 00 02")
      .does([](Peer& peer) { EXPECT_EQ(peer.session().send_quota(), 2); })
      .does(publishes("t", "", Qos::kAtLeastOnce, 1))
      .does(publishes("t", "", Qos::kExactlyOnce, 2))
      .sends("32 06 00 01 't' 00 01 00 34 06 00 01 't' 00 02 00")
      .does([](Peer& peer) {
        EXPECT_EQ(peer.session().send_quota(), 0);
        EXPECT_EQ(peer.session().in_flight(), 2);
        EXPECT_EQ(peer.session().publish(peer.now, message("t", "", Qos::kAtLeastOnce)).error(),
                  Status::kBusy);
        EXPECT_TRUE(peer.session().publish(peer.now, message("t", "")).has_value()) << "QoS 0 is not limited";
      })
      .sends("30 04 00 01 't' 00")
      .feeds("50 02 00 02")
      .sends("62 02 00 02")
      .does([](Peer& peer) { EXPECT_EQ(peer.session().send_quota(), 0) << "only PUBCOMP frees it"; })
      .feeds("70 02 00 02")
      .event("published id=2")
      .does([](Peer& peer) { EXPECT_EQ(peer.session().send_quota(), 1); })
      .run();
}

TEST(Publish, IsBusyWhileThereIsNoRoomAndNeverForever) {
  Peer peer(resuming_options(), {.transmit = 240, .retransmit = 100});
  peer.link_up();
  peer.feed(hex(kConnack));
  peer.link_blocked = true;
  EXPECT_EQ(peer.session().publish(peer.now, message("t", std::string(200, 'x'))).error(),
            Status::kInvalidArgument);
  EXPECT_EQ(peer.session().publish(peer.now, message("t", std::string(100, 'x'), Qos::kAtLeastOnce)).error(),
            Status::kInvalidArgument);
  int sent = 0;
  while (peer.session().publish(peer.now, message("t", std::string(20, 'x'))).has_value()) ++sent;
  EXPECT_EQ(sent, 5);
  EXPECT_EQ(peer.session().publish(peer.now, message("t", std::string(20, 'x'))).error(), Status::kBusy);
  EXPECT_TRUE(
      peer.session().publish(peer.now, message("t", std::string(80, 'x'), Qos::kAtLeastOnce)).has_value());
  EXPECT_EQ(peer.session().publish(peer.now, message("t", std::string(20, 'x'), Qos::kAtLeastOnce)).error(),
            Status::kBusy);
  peer.link_blocked = false;
  peer.drain();
  EXPECT_TRUE(peer.session().publish(peer.now, message("t", std::string(20, 'x'))).has_value());
  peer.feed(hex("40 02 00 01"));
  EXPECT_TRUE(
      peer.session().publish(peer.now, message("t", std::string(20, 'x'), Qos::kAtLeastOnce)).has_value());
}

TEST(TopicAlias, ReplacesTopicsThatTheServerKnows) {
  connected_script("20 06 00 00 03 22 00 02")
      .does(publishes("a", "", Qos::kAtMostOnce))
      .does(publishes("b", "", Qos::kAtLeastOnce, 1))
      .does(publishes("c", "", Qos::kAtMostOnce))
      .sends("30 07 00 01 'a' 03 23 00 01  32 09 00 01 'b' 00 01 03 23 00 02  30 04 00 01 'c' 00")
      .does(publishes("b", "x", Qos::kAtMostOnce))
      .does(publishes("a", "y", Qos::kExactlyOnce, 2))
      .sends("30 07 00 00 03 23 00 02 'x'  34 09 00 00 00 02 03 23 00 01 'y'")
      .down()
      .event("disconnected reason=80")
      .up()
      .sends(kResume)
      .feeds("20 06 01 00 03 22 00 09")  // aliases end with the connection
      .event("connected session_present")
      .sends("3A 09 00 01 'b' 00 01 03 23 00 01  3C 0A 00 01 'a' 00 02 03 23 00 02 'y'")
      .run();
}

TEST(TopicAlias, OfACancelledPublishIsNotTakenAsKnown) {
  connected_script("20 06 00 00 03 22 00 02")
      .does([](Peer& peer) {
        ASSERT_TRUE(peer.session().begin_publish(peer.now, message("a", ""), 0).has_value());
        peer.session().cancel_publish();
      })
      .does(publishes("a", "", Qos::kAtMostOnce))
      .sends("30 07 00 01 'a' 03 23 00 01")
      .run();
}

TEST(TopicAlias, IsLeftOutWhereThePacketWouldBeTooLargeWithIt) {
  connected_script("20 0B 00 00 08 22 00 01 27 00 00 00 0A")
      .does(publishes("a", "1234", Qos::kAtMostOnce))
      .sends("30 08 00 01 'a' 00 '1234'")
      .does(publishes("a", "", Qos::kAtMostOnce))
      .sends("30 07 00 01 'a' 03 23 00 01")
      .does(publishes("a", "1234", Qos::kAtMostOnce))  // the server knows the alias now
      .sends("30 08 00 01 'a' 00 '1234'")
      .does(publishes("a", "12", Qos::kAtLeastOnce, 1))
      .sends("32 08 00 01 'a' 00 01 00 '12'")
      .does(publishes("a", "12", Qos::kAtMostOnce))
      .sends("30 08 00 00 03 23 00 01 '12'")
      .run();
}

TEST(TopicAlias, CanBeTurnedOff) {
  Options options = resuming_options();
  options.use_topic_alias = false;
  Script(options)
      .up()
      .sends(kConnect)
      .feeds("20 06 00 00 03 22 00 02")
      .event("connected")
      .does(publishes("a", "", Qos::kAtMostOnce))
      .sends("30 04 00 01 'a' 00")
      .run();
}

TEST(Subscribe, ReportsWhatTheServerGrantedOrRefused) {
  for (const char* code : {"00", "01", "02", "80", "83", "87", "8F", "91", "97", "9E", "A1", "A2"}) {
    SCOPED_TRACE(code);
    connected_script()
        .does([](Peer& peer) {
          EXPECT_EQ(peer.session()
                        .subscribe(peer.now, "a/#",
                                   {.qos = Qos::kExactlyOnce,
                                    .no_local = true,
                                    .retain_as_published = true,
                                    .retain_handling = 2})
                        .value_or(0),
                    1);
        })
        .sends("82 09 00 01 00 00 03 'a/#' 2E")
        .feeds("90 08 00 01 04 1F 00 01 'x' " + std::string(code))
        .event("subscribed id=1" + (std::string_view(code) == "00" ? "" : " reason=" + std::string(code)) +
               " 'x'")
        .run();
  }
}

TEST(Unsubscribe, ReportsTheAnswer) {
  for (const char* code : {"00", "11", "80", "83", "87", "8F", "91"}) {
    SCOPED_TRACE(code);
    connected_script()
        .does([](Peer& peer) { EXPECT_EQ(peer.session().unsubscribe(peer.now, "a/#").value_or(0), 1); })
        .sends("A2 08 00 01 00 00 03 'a/#'")
        .feeds("B0 04 00 01 00 " + std::string(code))
        .event("unsubscribed id=1" + (std::string_view(code) == "00" ? "" : " reason=" + std::string(code)))
        .run();
  }
}

TEST(Subscribe, RefusesWhatIsTooMuch) {
  Peer peer(resuming_options(), {});
  EXPECT_EQ(peer.session().subscribe(peer.now, "a", {}).error(), Status::kState);
  EXPECT_EQ(peer.session().unsubscribe(peer.now, "a").error(), Status::kState);
  peer.link_up();
  peer.feed(hex(kConnack));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(peer.session().subscribe(peer.now, "a", {}).has_value());
  EXPECT_EQ(peer.session().subscribe(peer.now, "a", {}).error(), Status::kBusy);
  EXPECT_EQ(peer.session().in_flight(), 0);
  EXPECT_GT(peer.session().send_quota(), 0);
}

TEST(Disconnect, OfOursIsTheLastPacket) {
  connected_script()
      .feeds("32 06 00 01 't' 00 05 00")
      .event("message id=5 qos=1 topic=t payload=")
      .sends("40 02 00 05")
      .does([](Peer& peer) { peer.session().disconnect(peer.now, ReasonCode::kDisconnectWithWill); })
      .sends("E0 01 04")
      .event("disconnected reason=04")
      .closes()
      .feeds("32 06 00 01 't' 00 06 00 FF FF FF FF FF")
      .does([](Peer& peer) {
        peer.session().disconnect(peer.now);
        EXPECT_EQ(peer.session().publish(peer.now, message("t", "")).error(), Status::kState);
      })
      .run();
}

TEST(Disconnect, AcknowledgesTheMessageInHandFirst) {
  Peer peer(resuming_options(), {});
  peer.link_up();
  peer.feed(hex(kConnack));
  const auto publish = hex("32 06 00 01 't' 00 05 00");
  ASSERT_EQ(peer.session().handle_bytes(peer.now, publish), publish.size());
  ASSERT_NE(peer.session().poll_event(), nullptr);
  peer.session().disconnect(peer.now);
  EXPECT_EQ(to_hex(peer.session().transmit()), "40 02 00 05 E0 01 00 ");
}

TEST(Disconnect, OfTheServerIsReportedWithItsReason) {
  for (const char* code :
       {"80", "81", "82", "83", "87", "89", "8B", "8C", "8D", "8E", "8F", "90", "93", "94",
        "95", "96", "97", "98", "99", "9A", "9B", "9C", "9D", "9E", "9F", "A0", "A1", "A2"}) {
    SCOPED_TRACE(code);
    connected_script()
        .feeds("E0 0B " + std::string(code) + " 09 1F 00 02 'by' 1C 00 01 's'")
        .event("disconnected reason=" + std::string(code) + " by_server 'by' use=s")
        .closes()
        .run();
  }
  connected_script().feeds("E0 00").event("disconnected by_server").closes().run();
  connected_script().feeds("E0 01 8B").event("disconnected reason=8B by_server").closes().run();
}

TEST(Session, TakesNothingWithoutALinkAndRefusesASecondOne) {
  Peer peer(resuming_options(), {});
  EXPECT_EQ(peer.session().handle_bytes(peer.now, hex("20 03 00 00 00")), 5U);
  EXPECT_TRUE(peer.session().transmit().empty());
  EXPECT_FALSE(peer.session().next_deadline().has_value());
  peer.link_up();
  EXPECT_EQ(peer.session().link_up(peer.now), Status::kState);
}

}  // namespace
}  // namespace godwit::mqtt::test
