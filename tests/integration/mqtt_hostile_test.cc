// SPDX-License-Identifier: Apache-2.0
// Servers that break the protocol, or come close to it, against the firmware's MQTT client in a process of
// its own. Section numbers are of MQTT Version 5.0.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "tests/integration/mqtt_conformance.h"

namespace godwit::test {
namespace {

// "20 03" -> bytes; 'text' in single quotes stands for its characters.
std::string hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
    } else if (text[i] == '\'') {
      const std::size_t end = text.find('\'', i + 1);
      bytes += text.substr(i + 1, end - i - 1);
      i = end + 1;
    } else {
      bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
      i += 2;
    }
  }
  return bytes;
}

std::string to_hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    text += kDigits[static_cast<unsigned char>(byte) >> 4U];
    text += kDigits[static_cast<unsigned char>(byte) & 15U];
    text += ' ';
  }
  return text;
}

std::string times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

enum class End : std::uint8_t { kClosed, kOpen };

struct Sequence {
  const char* name;
  const char* order;   // behind the port
  std::string server;  // after CONNECT
  std::string client;  // all that comes back
  End end;
};

const std::string kConnack = "20 03 00 00 00 ";
const std::string kPublish1 = "32 11 00 05 'topic' 00 01 00 'message' ";  // ours
const std::string kPublish2 = "34 11 00 05 'topic' 00 01 00 'message' ";
const std::string kUnsubscribe = "A2 0A 00 01 00 00 05 'topic' ";
const std::string kMalformed = "E0 01 81";
const std::string kProtocolError = "E0 01 82";

class HostileServer : public ConformanceMode {
 protected:
  enum class Pace : std::uint8_t { kAtOnce, kByteByByte };

  void run(const Sequence& sequence, Pace pace) {
    SCOPED_TRACE(std::string(sequence.name) + (pace == Pace::kAtOnce ? "" : ", byte by byte"));
    const auto peer = order(sequence.order);
    const std::string bytes = hex(sequence.server);
    if (pace == Pace::kAtOnce) {
      peer->send(bytes);
    } else {
      peer->send_byte_by_byte(bytes);
    }
    const std::string expected = hex(sequence.client);
    EXPECT_EQ(to_hex(peer->read(expected.size())), to_hex(expected));
    if (sequence.end == End::kOpen) {
      peer->send(hex("32 0A 00 05 'alive' FF FF 00"));
      EXPECT_EQ(to_hex(peer->read(4)), "40 02 FF FF ");
      peer->send(hex("E0 00"));
    }
    EXPECT_EQ(to_hex(peer->read(1)), "") << "not closed";
    peer->shut();
    const std::string said = outcome();
    const bool ours = sequence.end == End::kClosed && !expected.empty();
    EXPECT_NE(said.find(ours ? " by the client: " : " by the server: "), std::string::npos) << said;
  }
  void run_all(const std::vector<Sequence>& sequences) {
    for (const Sequence& sequence : sequences) {
      for (const Pace pace : {Pace::kAtOnce, Pace::kByteByByte}) run(sequence, pace);
      if (HasFatalFailure()) return;
    }
  }
};

TEST_F(HostileServer, IsAnsweredAsTheStandardDemandsBeforeConnack) {
  const auto closes = [](const char* name, const char* server, const std::string& client) {
    return Sequence{name, "5 1", server, client, End::kClosed};
  };
  run_all({
      closes("packet of type 0", "00 00", kMalformed),
      closes("PUBLISH (3.1.4)", "30 08 00 05 'topic' 00", kProtocolError),
      closes("PUBACK", "40 02 00 01", kProtocolError),
      closes("PINGRESP", "D0 00", kProtocolError),
      closes("DISCONNECT (3.14)", "E0 00", kProtocolError),
      closes("AUTH (4.12.0-6)", "F0 00", kProtocolError),
      closes("CONNACK with flags in its header", "22 03 00 00 00", kMalformed),
      closes("CONNACK without properties", "20 02 00 00", kMalformed),
      closes("CONNACK with a byte too many", "20 04 00 00 00 00", kMalformed),
      closes("CONNACK with a reserved flag", "20 03 02 00 00", kMalformed),
      closes("session present at clean start (3.2.2-4)", "20 03 01 00 00", kProtocolError),
      {"session present that we do not have (3.2.2-5)", "5 0", "20 03 01 00 00", kProtocolError,
       End::kClosed},
      closes("session present beside an error (3.2.2-6)", "20 03 01 87 00", kProtocolError),
      closes("refusal as in version 3.1.1", "20 03 00 01 00", kProtocolError),
      closes("reason code that does not exist", "20 03 00 FF 00", kProtocolError),
      closes("refusal", "20 03 00 87 00", ""),
      closes("refusal with a reason string", "20 08 00 87 05 1F 00 02 'no'", ""),
      closes("receive maximum 0", "20 06 00 00 03 21 00 00", kProtocolError),
      closes("receive maximum twice", "20 09 00 00 06 21 00 05 21 00 05", kProtocolError),
      closes("maximum QoS 2", "20 05 00 00 02 24 02", kProtocolError),
      closes("maximum packet size 0", "20 08 00 00 05 27 00 00 00 00", kProtocolError),
      closes("assigned client identifier though we have one", "20 07 00 00 04 12 00 01 'p'", kProtocolError),
      closes("assigned client identifier that is empty", "20 06 00 00 03 12 00 00", kProtocolError),
      closes("property of PUBLISH", "20 05 00 00 02 01 00", kMalformed),
      closes("property that does not exist", "20 05 00 00 02 7F 00", kMalformed),
      closes("properties longer than the packet", "20 03 00 00 05", kMalformed),
      closes("property identifier in more bytes than needed", "20 07 00 00 04 A1 00 00 05", kMalformed),
      closes("reason string with U+0000", "20 07 00 00 04 1F 00 01 00", kMalformed),
      closes("largest remaining length", "20 FF FF FF 7F", "E0 01 95"),
      closes("remaining length of five bytes", "20 FF FF FF FF 01", kMalformed),
      closes("remaining length in more bytes than needed", "20 83 00 00 00 00", kMalformed),
      {"forbids QoS 1", "5 1 publish-1", "20 05 00 00 02 24 00", "E0 01 00", End::kClosed},
      {"allows packets of 5 bytes", "5 1 publish-1", "20 08 00 00 05 27 00 00 00 05", "E0 01 00",
       End::kClosed},
      {"every property", "5 1",
       "20 2B 00 00 28 11 00 00 00 3C 21 00 05 24 01 25 00 27 00 00 02 00 22 00 0A 1F 00 02 'hi' "
       "26 00 01 'k' 00 00 28 00 29 00 2A 00 13 00 0A",
       "", End::kOpen},
  });
}

TEST_F(HostileServer, IsAnsweredAsTheStandardDemandsOnAnyPacket) {
  const auto closes = [](const char* name, const std::string& server, const std::string& client) {
    return Sequence{name, "5 1", kConnack + server, client, End::kClosed};
  };
  const auto stays = [](const char* name, const std::string& server, const std::string& client) {
    return Sequence{name, "5 1", kConnack + server, client, End::kOpen};
  };
  run_all({
      closes("packet of type 0", "00 00", kMalformed),
      closes("second CONNACK", kConnack, kProtocolError),
      closes("CONNECT", "10 00", kProtocolError),
      closes("SUBSCRIBE", "82 0B 00 01 00 00 05 'topic' 00", kProtocolError),
      closes("UNSUBSCRIBE", "A2 0A 00 01 00 00 05 'topic'", kProtocolError),
      closes("PINGREQ", "C0 00", kProtocolError),
      closes("AUTH (4.12.0-6)", "F0 02 18 00", kProtocolError),
      stays("PINGRESP that answers nothing", "D0 00", ""),
      closes("PINGRESP with a body", "D0 01 00", kMalformed),
      closes("PINGRESP with flags", "D4 00", kMalformed),
      closes("packet larger than we accept (3.1.2-24)", "30 81 80 04", "E0 01 95"),
      closes("what follows a violation is not looked at", "00 00 32 0A 00 05 'topic' 00 07 00", kMalformed),
      closes("DISCONNECT", "E0 00", ""),
      closes("DISCONNECT with reason and properties", "E0 07 8B 05 1F 00 02 'by'", ""),
      closes("DISCONNECT with a reason of clients", "E0 01 04", kProtocolError),
      closes("DISCONNECT with a reason of CONNACK", "E0 01 84", kProtocolError),
      closes("DISCONNECT with a session expiry (3.14.2-2)", "E0 07 00 05 11 00 00 00 01", kProtocolError),
      closes("DISCONNECT with a byte too many", "E0 03 00 00 00", kMalformed),
      closes("DISCONNECT with flags (3.14.1-1)", "E1 00", kMalformed),
      stays("SUBACK that answers nothing", "90 04 00 09 00 00", ""),
      stays("UNSUBACK that answers nothing", "B0 04 00 09 00 00", ""),
      closes("SUBACK with flags", "92 04 00 09 00 00", kMalformed),
      closes("SUBACK with identifier 0", "90 04 00 00 00 00", kProtocolError),
      closes("SUBACK without properties", "90 02 00 09", kMalformed),
      closes("UNSUBACK with a property of CONNACK", "B0 06 00 09 02 24 01 00", kMalformed),
  });
}

TEST_F(HostileServer, IsAnsweredAsTheStandardDemandsOnPublish) {
  const auto closes = [](const char* name, const std::string& server, const std::string& client) {
    return Sequence{name, "5 1", kConnack + server, client, End::kClosed};
  };
  const auto stays = [](const char* name, const std::string& server, const std::string& client) {
    return Sequence{name, "5 1", kConnack + server, client, End::kOpen};
  };
  std::string eight_of_qos_2;
  std::string eight_pubrecs;
  for (const char digit : std::string("12345678")) {
    eight_of_qos_2 += std::string("34 0A 00 05 'topic' 00 0") + digit + " 00 ";
    eight_pubrecs += std::string("50 02 00 0") + digit + " ";
  }
  run_all({
      closes("QoS 3 (3.3.1-4)", "36 0A 00 05 'topic' 00 07 00", kMalformed),
      closes("DUP at QoS 0 (3.3.1-2)", "38 08 00 05 'topic' 00", kMalformed),
      closes("identifier 0 at QoS 1 (2.2.1-3)", "32 0A 00 05 'topic' 00 00 00", kProtocolError),
      closes("identifier 0 at QoS 2", "34 0A 00 05 'topic' 00 00 00", kProtocolError),
      closes("without identifier", "32 07 00 05 'topic'", kMalformed),
      closes("without properties", "30 07 00 05 'topic'", kMalformed),
      closes("empty", "30 00", kMalformed),
      closes("topic longer than the packet", "30 05 00 09 'top'", kMalformed),
      closes("topic with + (3.3.2-2)", "30 06 00 03 'a/+' 00", kMalformed),
      closes("topic with #", "30 06 00 03 'a/#' 00", kMalformed),
      closes("topic with U+0000 (1.5.4-2)", "30 06 00 03 'a' 00 'b' 00", kMalformed),
      closes("topic with a surrogate (1.5.4-1)", "30 06 00 03 ED A0 80 00", kMalformed),
      closes("topic with an overlong character", "30 05 00 02 C1 81 00", kMalformed),
      closes("topic with a control character", "30 06 00 03 'a' 01 'b' 00", kMalformed),
      closes("no topic and no alias", "30 03 00 00 00", kProtocolError),
      closes("topic alias though our maximum is 0", "30 0B 00 05 'topic' 03 23 00 01", "E0 01 94"),
      closes("topic alias 0", "30 0B 00 05 'topic' 03 23 00 00", "E0 01 94"),
      closes("topic alias alone", "30 06 00 00 03 23 00 09", "E0 01 94"),
      closes("topic alias twice", "30 0E 00 05 'topic' 06 23 00 01 23 00 01", kProtocolError),
      closes("content type twice", "30 10 00 05 'topic' 08 03 00 01 'a' 03 00 01 'a'", kProtocolError),
      closes("payload format 2", "30 0A 00 05 'topic' 02 01 02", kProtocolError),
      closes("response topic with a wildcard", "30 0C 00 05 'topic' 04 08 00 01 '#'", kProtocolError),
      closes("subscription identifier 0", "30 0A 00 05 'topic' 02 0B 00", kProtocolError),
      closes("subscription identifier in five bytes", "30 0E 00 05 'topic' 06 0B 80 80 80 80 01", kMalformed),
      closes("user property without value", "30 0C 00 05 'topic' 04 26 00 01 'a'", kMalformed),
      closes("property of CONNACK", "30 0D 00 05 'topic' 05 11 00 00 00 01", kMalformed),
      closes("properties longer than the packet", "30 08 00 05 'topic' 7F", kMalformed),
      stays("two subscription identifiers", "32 0E 00 05 'topic' 00 07 04 0B 01 0B 02", "40 02 00 07"),
      stays("supplementary character", "32 09 00 04 F0 AA 9B 94 00 07 00", "40 02 00 07"),
      stays("empty user property", "32 0F 00 05 'topic' 00 07 05 26 00 00 00 00", "40 02 00 07"),
      stays("payload that is not the text it claims at QoS 1", "32 0D 00 05 'topic' 00 07 02 01 01 FF",
            "40 03 00 07 99"),
      closes("payload that is not the text it claims at QoS 0", "30 0B 00 05 'topic' 02 01 01 FF",
             "E0 01 99"),
      stays("QoS 2 twice, and released twice (4.3.3)",
            "34 0A 00 05 'topic' 00 07 00 3C 0A 00 05 'topic' 00 07 00 62 02 00 07 62 02 00 07",
            "50 02 00 07 50 02 00 07 70 02 00 07 70 03 00 07 92"),
      stays("QoS 1 with the identifier of an open QoS 2",
            "34 0A 00 05 'topic' 00 07 00 32 0A 00 05 'topic' 00 07 00", "50 02 00 07 40 03 00 07 91"),
      stays("twenty of QoS 1 at once", times(20, "32 0A 00 05 'topic' 00 07 00 "), times(20, "40 02 00 07 ")),
      closes("QoS 2 beyond our receive maximum (3.3.4-9)", eight_of_qos_2 + "34 0A 00 05 'topic' 00 09 00",
             eight_pubrecs + "E0 01 93"),
      stays("QoS 2 within our receive maximum",
            eight_of_qos_2 + "62 02 00 01 34 0A 00 05 'topic' 00 09 00 62 02 00 02",
            eight_pubrecs + "70 02 00 01 50 02 00 09 70 02 00 02"),
      closes("QoS 1 beyond our receive maximum", eight_of_qos_2 + "32 0A 00 05 'topic' 00 09 00",
             eight_pubrecs + "E0 01 93"),
      stays("PUBREL of something unknown", "62 02 00 09", "70 03 00 09 92"),
      closes("PUBREL with wrong flags (3.6.1-1)", "60 02 00 09", kMalformed),
      closes("PUBREL with identifier 0", "62 02 00 00", kProtocolError),
      closes("PUBREL with a reason of PUBACK", "62 03 00 09 80", kProtocolError),
      closes("PUBREL without identifier", "62 00", kMalformed),
  });
}

TEST_F(HostileServer, IsAnsweredAsTheStandardDemandsOnAcknowledgements) {
  const auto at_qos_1 = [](const char* name, const std::string& server, const std::string& client, End end) {
    return Sequence{name, "5 1 publish-1", kConnack + server, kPublish1 + client, end};
  };
  const auto at_qos_2 = [](const char* name, const std::string& server, const std::string& client, End end) {
    return Sequence{name, "5 1 publish-2", kConnack + server, kPublish2 + client, end};
  };
  const auto unsubscribing = [](const char* name, const std::string& server, const std::string& client,
                                End end) {
    return Sequence{name, "5 1 unsubscribe", kConnack + server, kUnsubscribe + client, end};
  };
  run_all({
      at_qos_1("PUBACK", "40 02 00 01", "", End::kOpen),
      at_qos_1("PUBACK twice", "40 02 00 01 40 02 00 01", "", End::kOpen),
      at_qos_1("PUBACK: nobody subscribed", "40 04 00 01 10 00", "", End::kOpen),
      at_qos_1("PUBACK: not authorized, and why", "40 09 00 01 87 05 1F 00 02 'no'", "", End::kOpen),
      at_qos_1("PUBACK of something else", "40 02 00 02", "", End::kOpen),
      at_qos_1("PUBACK with a reason that does not exist", "40 03 00 01 FF", kProtocolError, End::kClosed),
      at_qos_1("PUBACK with a reason of PUBREL", "40 03 00 01 92", kProtocolError, End::kClosed),
      at_qos_1("PUBACK with flags", "42 02 00 01", kMalformed, End::kClosed),
      at_qos_1("PUBACK with half an identifier", "40 01 00", kMalformed, End::kClosed),
      at_qos_1("PUBACK with a byte too many", "40 05 00 01 00 00 00", kMalformed, End::kClosed),
      at_qos_1("PUBACK with two reason strings", "40 0C 00 01 00 08 1F 00 01 'p' 1F 00 01 'q'",
               kProtocolError, End::kClosed),
      at_qos_1("PUBACK with a property of PUBLISH", "40 06 00 01 00 02 01 00", kMalformed, End::kClosed),
      at_qos_1("PUBREC at QoS 1", "50 02 00 01", kProtocolError, End::kClosed),
      at_qos_1("SUBACK for it", "90 04 00 01 00 00", kProtocolError, End::kClosed),
      at_qos_2("PUBREC and PUBCOMP", "50 02 00 01 70 02 00 01", "62 02 00 01", End::kOpen),
      at_qos_2("PUBREC twice", "50 02 00 01 50 02 00 01", "62 02 00 01 62 02 00 01", End::kOpen),
      at_qos_2("PUBREC: quota exceeded", "50 03 00 01 97", "", End::kOpen),
      at_qos_2("PUBREC of something else", "50 02 00 05", "62 03 00 05 92", End::kOpen),
      at_qos_2("PUBREC with an error, of something else", "50 03 00 05 80", "", End::kOpen),
      at_qos_2("PUBCOMP: identifier not found", "50 02 00 01 70 03 00 01 92", "62 02 00 01", End::kOpen),
      at_qos_2("PUBCOMP of something else", "70 02 00 05", "", End::kOpen),
      at_qos_2("PUBCOMP before PUBREC", "70 02 00 01", kProtocolError, End::kClosed),
      at_qos_2("PUBACK at QoS 2", "40 02 00 01", kProtocolError, End::kClosed),
      at_qos_2("PUBREC with a reason of PUBREL", "50 03 00 01 92", kProtocolError, End::kClosed),
      at_qos_2("PUBREC with properties cut short", "50 05 00 01 00 01 1F", kMalformed, End::kClosed),
      unsubscribing("UNSUBACK", "B0 04 00 01 00 00", "", End::kOpen),
      unsubscribing("UNSUBACK: there was none", "B0 04 00 01 00 11", "", End::kOpen),
      unsubscribing("UNSUBACK with a reason string", "B0 08 00 01 04 1F 00 01 'p' 00", "", End::kOpen),
      unsubscribing("UNSUBACK without a reason", "B0 03 00 01 00", kProtocolError, End::kClosed),
      unsubscribing("UNSUBACK with two reasons", "B0 05 00 01 00 00 00", kProtocolError, End::kClosed),
      unsubscribing("UNSUBACK as in version 3.1.1", "B0 02 00 01", kMalformed, End::kClosed),
      unsubscribing("UNSUBACK with a reason of SUBACK", "B0 04 00 01 00 01", kProtocolError, End::kClosed),
      unsubscribing("SUBACK for it", "90 04 00 01 00 00", kProtocolError, End::kClosed),
  });
}

TEST_F(HostileServer, MayHangUpAnywhere) {
  const std::string bytes = hex(kConnack + "34 0A 00 05 'topic' 00 07 00 62 02 00 07");
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    SCOPED_TRACE(cut);
    auto peer = order("5 1 publish-2");
    peer->send(bytes.substr(0, cut));
    peer.reset();
    EXPECT_EQ(outcome(), "closed by the server");
  }
}

TEST_F(HostileServer, MayLeaveItsAnswersUnread) {
  const auto peer = order("5 1");
  peer->send(hex(kConnack));
  std::string pubrels;
  for (int i = 0; i < 50'000; ++i) pubrels += hex("62 02 00 09");
  for (int i = 0; i < 60; ++i) peer->send(pubrels);  // more than the sockets and the session hold of answers
  std::string answers = peer->read_all();
  ASSERT_GE(answers.size(), 3U);
  EXPECT_EQ(to_hex(answers.substr(answers.size() - 3)), "E0 01 96 ");
  EXPECT_NE(outcome().find("0x96"), std::string::npos);
}

}  // namespace
}  // namespace godwit::test
