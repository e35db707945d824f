// SPDX-License-Identifier: Apache-2.0
// What a server may get wrong, and the DISCONNECT that it must be answered with. One row per rule.
#include <gtest/gtest.h>

#include <iterator>
#include <string>

#include "tests/unit/firmware/mqtt/script.h"

namespace godwit::mqtt::test {
namespace {

struct Case {
  const char* description;
  const char* bytes;  // from the server
  const char* reason;
};

constexpr const char* kMalformed = "81";
constexpr const char* kProtocol = "82";

class Malformed : public testing::TestWithParam<Case> {};
class MalformedBeforeConnack : public testing::TestWithParam<Case> {};

std::string disconnect(const char* reason) { return std::string("E0 01 ") + reason; }
std::string disconnected(const char* reason) { return std::string("disconnected reason=") + reason; }

TEST_P(MalformedBeforeConnack, EndsTheConnectionWithTheReasonOfTheStandard) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .feeds(GetParam().bytes)
      .sends(disconnect(GetParam().reason))
      .event(disconnected(GetParam().reason))
      .closes()
      .run();
}

// A PUBLISH of QoS 1 (id 1), one of QoS 2 (id 2), a SUBSCRIBE (3) and an UNSUBSCRIBE (4) are under way.
TEST_P(Malformed, EndsTheConnectionWithTheReasonOfTheStandard) {
  Script(resuming_options())
      .up()
      .sends(kConnect)
      .feeds(kConnack)
      .event("connected")
      .does([](Peer& peer) {
        for (const Qos qos : {Qos::kAtLeastOnce, Qos::kExactlyOnce}) {
          Message message{};
          message.topic = "t";
          message.qos = qos;
          EXPECT_TRUE(peer.session().publish(peer.now, message).has_value());
        }
        EXPECT_TRUE(peer.session().subscribe(peer.now, "s", {}).has_value());
        EXPECT_TRUE(peer.session().unsubscribe(peer.now, "u").has_value());
      })
      .sends("32 06 00 01 't' 00 01 00  34 06 00 01 't' 00 02 00")
      .sends("82 07 00 03 00 00 01 's' 01  A2 06 00 04 00 00 01 'u'")
      .feeds(GetParam().bytes)
      .sends(disconnect(GetParam().reason))
      .event(disconnected(GetParam().reason))
      .closes()
      .run();
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  std::string name;
  for (const char c : std::string(info.param.description))
    name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
}

constexpr Case kBeforeConnack[] = {
    {"publish", "30 04 00 01 't' 00", kProtocol},
    {"puback", "40 02 00 01", kProtocol},
    {"pingresp", "D0 00", kProtocol},
    {"disconnect", "E0 00", kProtocol},
    {"auth", "F0 00", kProtocol},
    {"suback", "90 04 00 01 00 00", kProtocol},
    {"connack with flags in the fixed header", "21 03 00 00 00", kMalformed},
    {"connack without body", "20 00", kMalformed},
    {"connack without property length", "20 02 00 00", kMalformed},
    {"connack with trailing byte", "20 04 00 00 00 00", kMalformed},
    {"connack with property length past the end", "20 03 00 00 01", kMalformed},
    {"connack with overlong property length", "20 04 00 00 80 00", kMalformed},
    {"connack with reserved flag", "20 03 02 00 00", kMalformed},
    {"connack with high reserved flag", "20 03 80 00 00", kMalformed},
    {"session present though clean start", "20 03 01 00 00", kProtocol},
    {"session present with an error", "20 03 01 87 00", kProtocol},
    {"reason code of no packet", "20 03 00 03 00", kProtocol},
    {"reason code of version 3", "20 03 00 01 00", kProtocol},
    {"reason code of another packet", "20 03 00 8B 00", kProtocol},
    {"reason code above all", "20 03 00 FF 00", kProtocol},
    {"receive maximum zero", "20 06 00 00 03 21 00 00", kProtocol},
    {"receive maximum cut", "20 05 00 00 02 21 00", kMalformed},
    {"receive maximum twice", "20 09 00 00 06 21 00 05 21 00 05", kProtocol},
    {"maximum qos two", "20 05 00 00 02 24 02", kProtocol},
    {"maximum qos twice", "20 07 00 00 04 24 01 24 01", kProtocol},
    {"retain available two", "20 05 00 00 02 25 02", kProtocol},
    {"maximum packet size zero", "20 08 00 00 05 27 00 00 00 00", kProtocol},
    {"wildcard available two", "20 05 00 00 02 28 02", kProtocol},
    {"subscription identifiers available two", "20 05 00 00 02 29 02", kProtocol},
    {"shared available two", "20 05 00 00 02 2A FF", kProtocol},
    {"session expiry twice", "20 0D 00 00 0A 11 00 00 00 01 11 00 00 00 01", kProtocol},
    {"assigned identifier twice", "20 0B 00 00 08 12 00 01 'a' 12 00 01 'a'", kProtocol},
    {"assigned identifier with null character", "20 07 00 00 04 12 00 01 00", kMalformed},
    {"reason string not utf8", "20 07 00 00 04 1F 00 01 FF", kMalformed},
    {"reason string with surrogate", "20 09 00 00 06 1F 00 03 ED A0 80", kMalformed},
    {"reason string twice", "20 0B 00 00 08 1F 00 01 'a' 1F 00 01 'a'", kProtocol},
    {"reason string longer than the properties", "20 07 00 00 04 1F 00 02 'a'", kMalformed},
    {"user property without value", "20 07 00 00 04 26 00 01 'a'", kMalformed},
    {"assigned identifier though we have one", "20 07 00 00 04 12 00 01 'a'", kProtocol},
    {"property of a publish", "20 05 00 00 02 01 00", kMalformed},
    {"property of a connect", "20 05 00 00 02 17 00", kMalformed},
    {"property of a will", "20 08 00 00 05 18 00 00 00 00", kMalformed},
    {"property that does not exist", "20 05 00 00 02 7E 00", kMalformed},
    {"property identifier in two bytes", "20 06 00 00 03 A4 00 01", kMalformed},
    {"remaining length of five bytes", "20 80 80 80 80", kMalformed},
    {"remaining length in more bytes than needed", "20 83 00 00 00 00", kMalformed},
    {"larger than the receive memory", "20 FE 01", "95"},
};
INSTANTIATE_TEST_SUITE_P(Connack, MalformedBeforeConnack, testing::ValuesIn(kBeforeConnack), name_of);

constexpr Case kPackets[] = {
    {"type zero", "00 00", kMalformed},
    {"connect", "10 00", kProtocol},
    {"second connack", "20 03 00 00 00", kProtocol},
    {"subscribe", "82 06 00 01 00 00 01 'a'", kProtocol},
    {"unsubscribe", "A2 06 00 01 00 00 01 'a'", kProtocol},
    {"pingreq", "C0 00", kProtocol},
    {"auth", "F0 02 18 00", kProtocol},
    {"pingresp with flags", "D1 00", kMalformed},
    {"pingresp with body", "D0 01 00", kMalformed},
    {"larger than the receive memory", "30 FE 01", "95"},
    {"largest remaining length", "30 FF FF FF 7F", "95"},
    {"remaining length of five bytes", "30 FF FF FF FF", kMalformed},
    {"remaining length in more bytes than needed", "30 84 00", kMalformed},
};
INSTANTIATE_TEST_SUITE_P(Header, Malformed, testing::ValuesIn(kPackets), name_of);

constexpr Case kPublish[] = {
    {"qos three", "36 06 00 01 't' 00 01 00", kMalformed},
    {"duplicate at qos zero", "38 04 00 01 't' 00", kMalformed},
    {"without body", "30 00", kMalformed},
    {"topic longer than the packet", "30 04 00 09 't' 00", kMalformed},
    {"without property length", "30 03 00 01 't'", kMalformed},
    {"without packet identifier", "32 04 00 01 't' 00", kMalformed},
    {"packet identifier zero at qos one", "32 06 00 01 't' 00 00 00", kProtocol},
    {"packet identifier zero at qos two", "34 06 00 01 't' 00 00 00", kProtocol},
    {"empty topic without alias", "30 03 00 00 00", kProtocol},
    {"topic with plus", "30 04 00 01 '+' 00", kMalformed},
    {"topic with hash", "30 06 00 03 'a/#' 00", kMalformed},
    {"topic with control character", "30 04 00 01 1F 00", kMalformed},
    {"topic with delete character", "30 04 00 01 7F 00", kMalformed},
    {"topic with control character of two bytes", "30 05 00 02 C2 9F 00", kMalformed},
    {"topic with null character", "30 04 00 01 00 00", kMalformed},
    {"topic not utf8", "30 05 00 02 C3 28 00", kMalformed},
    {"topic with surrogate", "30 06 00 03 ED A0 80 00", kMalformed},
    {"topic overlong", "30 05 00 02 C0 80 00", kMalformed},
    {"topic alias though our maximum is zero", "30 07 00 01 't' 03 23 00 01", "94"},
    {"topic alias zero", "30 07 00 01 't' 03 23 00 00", "94"},
    {"topic alias instead of topic", "30 06 00 00 03 23 00 01", "94"},
    {"topic alias twice", "30 0A 00 01 't' 06 23 00 01 23 00 01", kProtocol},
    {"payload format two", "30 06 00 01 't' 02 01 02", kProtocol},
    {"payload format twice", "30 08 00 01 't' 04 01 00 01 00", kProtocol},
    {"payload not in the format it says at qos zero", "30 07 00 01 't' 02 01 01 FF", "99"},
    {"message expiry cut", "30 08 00 01 't' 04 02 00 00 00", kMalformed},
    {"message expiry twice", "30 0E 00 01 't' 0A 02 00 00 00 01 02 00 00 00 01", kProtocol},
    {"response topic with wildcard", "30 08 00 01 't' 04 08 00 01 '#'", kProtocol},
    {"response topic empty", "30 07 00 01 't' 03 08 00 00", kProtocol},
    {"response topic twice", "30 0C 00 01 't' 08 08 00 01 'r' 08 00 01 'r'", kProtocol},
    {"correlation data longer than the properties", "30 08 00 01 't' 04 09 00 02 'r'", kMalformed},
    {"content type twice", "30 0C 00 01 't' 08 03 00 01 'r' 03 00 01 'r'", kProtocol},
    {"subscription identifier zero", "30 06 00 01 't' 02 0B 00", kProtocol},
    {"subscription identifier overlong", "30 07 00 01 't' 03 0B 81 00", kMalformed},
    {"user property with null character", "30 0B 00 01 't' 07 26 00 01 'a' 00 01 00", kMalformed},
    {"property of a connack", "30 06 00 01 't' 02 24 01", kMalformed},
    {"property that does not exist", "30 05 00 01 't' 01 00", kMalformed},
    {"properties longer than the packet", "30 04 00 01 't' 05", kMalformed},
};
INSTANTIATE_TEST_SUITE_P(Publish, Malformed, testing::ValuesIn(kPublish), name_of);

constexpr Case kAcks[] = {
    {"puback with flags", "41 02 00 01", kMalformed},
    {"pubrec with flags", "52 02 00 02", kMalformed},
    {"pubrel without its flag", "60 02 00 09", kMalformed},
    {"pubrel with another flag", "63 02 00 09", kMalformed},
    {"pubcomp with flags", "72 02 00 02", kMalformed},
    {"puback without body", "40 00", kMalformed},
    {"puback with half an identifier", "40 01 00", kMalformed},
    {"pubrel without body", "62 00", kMalformed},
    {"puback with identifier zero", "40 02 00 00", kProtocol},
    {"pubrec with identifier zero", "50 02 00 00", kProtocol},
    {"pubrel with identifier zero", "62 02 00 00", kProtocol},
    {"pubcomp with identifier zero", "70 02 00 00", kProtocol},
    {"puback for qos two", "40 02 00 02", kProtocol},
    {"puback for a subscribe", "40 02 00 03", kProtocol},
    {"pubrec for qos one", "50 02 00 01", kProtocol},
    {"pubcomp before pubrec", "70 02 00 02", kProtocol},
    {"puback with a reason that is not its own", "40 03 00 01 92", kProtocol},
    {"pubrec with a reason that is not its own", "50 03 00 02 8B", kProtocol},
    {"pubrel with a reason that is not its own", "62 03 00 09 80", kProtocol},
    {"pubcomp with a reason that is not its own", "70 03 00 02 10", kProtocol},
    {"puback with trailing byte", "40 05 00 01 00 00 00", kMalformed},
    {"puback with properties cut", "40 04 00 01 00 04", kMalformed},
    {"puback with a property of publish", "40 06 00 01 00 02 01 00", kMalformed},
    {"puback with two reason strings", "40 0C 00 01 00 08 1F 00 01 'a' 1F 00 01 'a'", kProtocol},
    {"suback with flags", "92 04 00 03 00 01", kMalformed},
    {"suback without body", "90 00", kMalformed},
    {"suback without property length", "90 02 00 03", kMalformed},
    {"suback without reason code", "90 03 00 03 00", kProtocol},
    {"suback with two reason codes", "90 05 00 03 00 01 01", kProtocol},
    {"suback with identifier zero", "90 04 00 00 00 01", kProtocol},
    {"suback for an unsubscribe", "90 04 00 04 00 01", kProtocol},
    {"suback for a publish", "90 04 00 01 00 01", kProtocol},
    {"suback with a reason that is not its own", "90 04 00 03 00 11", kProtocol},
    {"suback with qos three", "90 04 00 03 00 03", kProtocol},
    {"suback with a higher qos than asked for", "90 04 00 03 00 02", kProtocol},
    {"suback with a property of connack", "90 06 00 03 02 24 01 01", kMalformed},
    {"unsuback with flags", "B2 04 00 04 00 00", kMalformed},
    {"unsuback without reason code", "B0 03 00 04 00", kProtocol},
    {"unsuback with two reason codes", "B0 05 00 04 00 00 00", kProtocol},
    {"unsuback as of version 3", "B0 02 00 04", kMalformed},
    {"unsuback for a subscribe", "B0 04 00 03 00 00", kProtocol},
    {"unsuback with a reason that is not its own", "B0 04 00 04 00 01", kProtocol},
};
INSTANTIATE_TEST_SUITE_P(Acknowledgements, Malformed, testing::ValuesIn(kAcks), name_of);

constexpr Case kDisconnects[] = {
    {"with flags", "E1 00", kMalformed},
    {"with a reason of clients", "E0 01 04", kProtocol},
    {"with a reason that is not its own", "E0 01 84", kProtocol},
    {"with trailing byte", "E0 03 00 00 00", kMalformed},
    {"with properties cut", "E0 02 00 05", kMalformed},
    {"with session expiry", "E0 07 00 05 11 00 00 00 01", kProtocol},
    {"with a property of connack", "E0 04 00 02 24 01", kMalformed},
    {"with two server references", "E0 0A 9D 08 1C 00 01 'a' 1C 00 01 'a'", kProtocol},
};
INSTANTIATE_TEST_SUITE_P(Disconnect, Malformed, testing::ValuesIn(kDisconnects), name_of);

}  // namespace
}  // namespace godwit::mqtt::test
