// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt against a real mosquitto, and against mosquitto's own tools as independent peers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/mosquitto.h"
#include "tests/support/process.h"
#include "tests/support/tcp_proxy.h"
#include "tests/support/test_pki.h"

namespace godwit::test {
namespace {

using std::chrono::seconds;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> numbered(int count) {
  std::vector<std::string> lines;
  for (int i = 0; i < count; ++i) lines.push_back("message " + std::to_string(i));
  return lines;
}

std::vector<std::string> operator+(std::vector<std::string> words, const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::vector<std::string> tool(const std::string& command, std::uint16_t port) {
  return {GODWIT_MQTT_PROGRAM, command, "-h", "127.0.0.1", "-p", std::to_string(port)};
}
std::vector<std::string> peer(const std::string& program, std::uint16_t port) {
  return {program, "-V", "5", "-h", "127.0.0.1", "-p", std::to_string(port)};
}

// The broker's certificates, and a client's, as files.
class Credentials {
 public:
  Credentials() {
    const PemIdentity server = ca_.server();
    const PemIdentity client = ca_.client("tester");
    ca = dir_.write("ca.crt", ca_.certificate());
    broker = {.ca = ca,
              .certificate = dir_.write("server.crt", server.certificate),
              .key = dir_.write("server.key", server.key)};
    certificate = dir_.write("client.crt", client.certificate);
    key = dir_.write("client.key", client.key);
  }
  [[nodiscard]] std::vector<std::string> options() const {
    return {"--cafile", ca.string(), "--cert", certificate.string(), "--key", key.string()};
  }
  std::filesystem::path write(const std::string& name, const std::string& content) {
    return dir_.write(name, content);
  }

  std::filesystem::path ca;
  std::filesystem::path certificate;
  std::filesystem::path key;
  Mosquitto::Tls broker;

 private:
  TempDir dir_;
  TestCa ca_;
};

// Whether the broker has taken a subscription; its log is the only witness that serves every client.
void await_subscription(Mosquitto& broker, std::size_t from) {
  ASSERT_TRUE(broker.process().wait_for_line("Sending SUBACK", seconds(10), from)) << broker.process().log();
}

void feed(Process& publisher, const std::vector<std::string>& messages) {
  std::string lines;
  for (const std::string& message : messages) lines += message + "\n";
  publisher.write_stdin(lines);
  publisher.close_stdin();
}

// For mosquitto_sub at QoS 2: Mosquitto 2.0.11 sends more at once than its own client takes, which ends the
// connection. So the next few lines are given only once the subscriber has the last ones.
void feed_gently(Process& publisher, Process& subscriber, const std::vector<std::string>& messages) {
  constexpr std::size_t kGroup = 4;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    publisher.write_stdin(messages[i] + "\n");
    if (i % kGroup != kGroup - 1) continue;
    ASSERT_TRUE(subscriber.wait_for_line(messages[i] + "\n", seconds(60)))
        << publisher.log() << subscriber.log();
  }
  publisher.close_stdin();
}

struct Direction {
  const char* name;
  bool tool_publishes;
  bool tool_subscribes;
  int qos;
  bool tls;
};
class Interoperation : public testing::TestWithParam<Direction> {};

TEST_P(Interoperation, DeliversEveryMessageInOrder) {
  const Direction& direction = GetParam();
  const Credentials credentials;
  Mosquitto broker({.tls = direction.tls ? std::optional(credentials.broker) : std::nullopt, .extra = ""});
  const auto security = direction.tls ? credentials.options() : std::vector<std::string>{};
  const std::vector<std::string> topic{"-t", "a/b", "-q", std::to_string(direction.qos)};
  const auto messages = numbered(100);

  Process subscriber(
      (direction.tool_subscribes ? tool("sub", broker.port()) : peer("mosquitto_sub", broker.port())) +
      topic + security + std::vector<std::string>{"-C", "100"});
  await_subscription(broker, 0);
  Process publisher(
      (direction.tool_publishes ? tool("pub", broker.port()) : peer("mosquitto_pub", broker.port())) + topic +
      security + std::vector<std::string>{"-l"});
  if (direction.tool_subscribes || direction.qos < 2) {
    feed(publisher, messages);
  } else {
    feed_gently(publisher, subscriber, messages);
  }

  EXPECT_EQ(publisher.wait(seconds(20)), 0) << publisher.log();
  EXPECT_EQ(subscriber.wait(seconds(20)), 0) << subscriber.log();
  EXPECT_EQ(lines_of(subscriber.output()), messages);
}

std::vector<Direction> directions() {
  std::vector<Direction> all;
  for (const bool tls : {false, true}) {
    for (int qos = 0; qos <= 2; ++qos) {
      all.push_back({"ToolToMosquitto", true, false, qos, tls});
      all.push_back({"MosquittoToTool", false, true, qos, tls});
      all.push_back({"ToolToTool", true, true, qos, tls});
    }
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, Interoperation, testing::ValuesIn(directions()), [](const auto& each) {
  return std::string(each.param.name) + "Qos" + std::to_string(each.param.qos) +
         (each.param.tls ? "Tls" : "");
});

// The broker keeps the session when the proxy resets the connection, and both ends go on where they were.
struct Cut {
  const char* name;
  bool publisher;  // whose connection is cut
  int qos;
  bool tls;
};
class CutConnection : public testing::TestWithParam<Cut> {};

TEST_P(CutConnection, LosesNothingAndAtQos2RepeatsNothing) {
  const Cut& cut = GetParam();
  const Credentials credentials;
  Mosquitto broker({.tls = cut.tls ? std::optional(credentials.broker) : std::nullopt,
                    .extra = "max_queued_messages 0\n"});
  const auto security = cut.tls ? credentials.options() : std::vector<std::string>{};
  TcpProxy proxy(broker.port());
  const std::vector<std::string> topic{"-t", "a", "-q", std::to_string(cut.qos)};
  const auto messages = numbered(500);

  // The end mark is published apart, once all else is acknowledged.
  Process subscriber(tool("sub", cut.publisher ? broker.port() : proxy.port()) + topic + security);
  await_subscription(broker, 0);
  const std::size_t subscribed_at = broker.process().log().size();
  Process publisher(tool("pub", cut.publisher ? proxy.port() : broker.port()) + topic + security +
                    std::vector<std::string>{"-l"});
  ASSERT_TRUE(broker.process().wait_for_line("Sending CONNACK", seconds(10), subscribed_at))
      << publisher.log();
  // Each time somewhere else in a packet and in the flow; a TLS handshake alone takes 3 KB.
  proxy.cut_after(cut.tls ? 6'000 : 2'000, 4);
  feed(publisher, messages);
  ASSERT_EQ(publisher.wait(seconds(60)), 0) << publisher.log();
  Process last(tool("pub", broker.port()) + topic + security + std::vector<std::string>{"-m", "the end"});
  ASSERT_EQ(last.wait(seconds(20)), 0) << last.log();
  ASSERT_TRUE(subscriber.wait_for_line("the end", seconds(60))) << subscriber.log();
  EXPECT_EQ(subscriber.stop(), 0) << subscriber.log();

  EXPECT_GE(proxy.connections(), 2U) << "the connection was not cut";
  std::vector<std::string> received = lines_of(subscriber.output());
  std::erase(received, "the end");
  if (cut.qos == 2) {
    EXPECT_EQ(received, messages);
    return;
  }
  for (const std::string& message : messages) EXPECT_THAT(received, testing::Contains(message));
}

INSTANTIATE_TEST_SUITE_P(
    All, CutConnection,
    testing::Values(Cut{"PublisherQos1", true, 1, false}, Cut{"PublisherQos2", true, 2, false},
                    Cut{"PublisherQos2Tls", true, 2, true}, Cut{"SubscriberQos1", false, 1, false},
                    Cut{"SubscriberQos2", false, 2, false}, Cut{"SubscriberQos2Tls", false, 2, true}),
    [](const auto& each) { return std::string(each.param.name); });

// Mosquitto 2.0.11 refills its whole window with each acknowledgement of its oldest message, so far more than
// the receive maximum is under way.
TEST(MqttTool, TakesABurstOfQos2ThatWaitedForIt) {
  Mosquitto broker({.tls = {}, .extra = "max_queued_messages 0\n"});
  const std::vector<std::string> session{"-i", "late", "-t", "a", "-q", "2", "-x", "300"};
  {
    Process first(tool("sub", broker.port()) + session);
    await_subscription(broker, 0);
    EXPECT_EQ(first.stop(), 0) << first.log();
  }
  const auto messages = numbered(500);
  for (const std::string program : {"mosquitto_pub", "godwit-mqtt"}) {
    Process publisher(
        (program == "mosquitto_pub" ? peer(program, broker.port()) : tool("pub", broker.port())) +
        std::vector<std::string>{"-t", "a", "-q", "2", "-l"});
    feed(publisher, messages);
    ASSERT_EQ(publisher.wait(seconds(20)), 0) << publisher.log();
    Process second(tool("sub", broker.port()) + session + std::vector<std::string>{"--resume", "-C", "500"});
    EXPECT_EQ(second.wait(seconds(20)), 0) << second.log();
    EXPECT_EQ(lines_of(second.output()), messages);
  }
}

class BrokerRestart : public testing::TestWithParam<int> {};

TEST_P(BrokerRestart, LosesNothingThatTheBrokerKept) {
  const TempDir database;
  Mosquitto broker({.tls = {},
                    .extra = "max_queued_messages 0\npersistence true\npersistence_location " +
                             database.path().string() + "/\n"});
  const std::vector<std::string> topic{"-t", "a", "-q", std::to_string(GetParam()), "-x", "300"};
  const auto messages = numbered(600);
  Process subscriber(tool("sub", broker.port()) + topic);
  await_subscription(broker, 0);
  Process publisher(tool("pub", broker.port()) + topic + std::vector<std::string>{"-l"});
  std::string lines;
  for (const std::string& message : messages) lines += message + "\n";
  publisher.write_stdin(lines);
  ASSERT_TRUE(subscriber.wait_for_line("message 50\n", seconds(20))) << subscriber.log();
  EXPECT_EQ(broker.process().stop(), 0);  // in the midst of it, or soon after
  publisher.write_stdin("the end\n");
  publisher.close_stdin();
  broker.start();
  EXPECT_EQ(publisher.wait(seconds(60)), 0) << publisher.log();
  EXPECT_TRUE(subscriber.wait_for_line("the end\n", seconds(60))) << subscriber.log();
  EXPECT_EQ(subscriber.stop(), 0) << subscriber.log();

  std::vector<std::string> received = lines_of(subscriber.output());
  std::erase(received, "the end");
  if (GetParam() == 2) {
    EXPECT_EQ(received, messages);
    return;
  }
  for (const std::string& message : messages) EXPECT_THAT(received, testing::Contains(message));
}
INSTANTIATE_TEST_SUITE_P(Qos, BrokerRestart, testing::Values(1, 2),
                         [](const auto& each) { return std::to_string(each.param); });

TEST(MqttTool, SendsTheContentOfAFileManyTimesWithATopicAlias) {
  Mosquitto broker;
  const TempDir dir;
  const std::string content(50'000, 'x');
  const auto file = dir.write("payload", content);
  Process subscriber(peer("mosquitto_sub", broker.port()) +
                     std::vector<std::string>{"-t", "a/long/topic/name", "-q", "1", "-C", "20"});
  await_subscription(broker, 0);
  Process publisher(tool("pub", broker.port()) + std::vector<std::string>{"-t", "a/long/topic/name", "-q",
                                                                          "1", "-f", file.string(), "-c",
                                                                          "20", "--topic-alias"});
  EXPECT_EQ(publisher.wait(seconds(20)), 0) << publisher.log();
  EXPECT_EQ(subscriber.wait(seconds(20)), 0);
  EXPECT_EQ(lines_of(subscriber.output()), std::vector<std::string>(20, content));
}

TEST(MqttTool, ReceivesLargeMessagesOverTls) {
  const Credentials credentials;
  Mosquitto broker({.tls = credentials.broker, .extra = ""});
  Process subscriber(tool("sub", broker.port()) + credentials.options() +
                     std::vector<std::string>{"-t", "a", "-q", "1", "-C", "1"});
  await_subscription(broker, 0);
  const TempDir dir;
  const auto file = dir.write("payload", std::string(300'000, 'y'));
  Process publisher(peer("mosquitto_pub", broker.port()) + credentials.options() +
                    std::vector<std::string>{"-t", "a", "-q", "1", "-f", file.string()});
  EXPECT_EQ(publisher.wait(seconds(20)), 0) << publisher.log();
  EXPECT_EQ(subscriber.wait(seconds(20)), 0) << subscriber.log();
  EXPECT_EQ(subscriber.output().size(), 300'001U);
}

struct Refusal {
  const char* name;
  std::vector<std::string> options;
  std::string message;
};

TEST(MqttTool, SaysWhatIsWrongAndEndsWithAnError) {
  Credentials credentials;
  Mosquitto broker({.tls = credentials.broker, .extra = ""});
  const TestCa stranger("Stranger");
  const PemIdentity unknown = stranger.client("unknown");
  const std::string ca = credentials.ca.string();
  const std::string strange_ca = credentials.write("strange.crt", stranger.certificate()).string();
  const std::string strange_cert = credentials.write("unknown.crt", unknown.certificate).string();
  const std::string strange_key = credentials.write("unknown.key", unknown.key).string();
  const std::vector<Refusal> refusals{
      {"broker of another authority", {"--cafile", strange_ca}, "server certificate not trusted"},
      {"no client certificate", {"--cafile", ca}, "client certificate"},
      {"client of another authority",
       {"--cafile", ca, "--cert", strange_cert, "--key", strange_key},
       "client certificate refused by the broker"},
      {"another name", {"--cafile", ca, "--server-name", "elsewhere"}, "host name mismatch"},
      {"TLS without an authority", {}, "if this is its TLS port, give --cafile"},
      {"file that is missing", {"--cafile", "/nowhere"}, "cannot read /nowhere"},
      {"key without certificate", {"--cafile", ca, "--key", strange_key}, "needs its"},
  };
  for (const Refusal& refusal : refusals) {
    for (const std::string version : {"1.2", "1.3"}) {
      Process publisher(tool("pub", broker.port()) + refusal.options +
                        std::vector<std::string>{"--tls-version", version, "-t", "a", "-m", "x", "-q", "1"});
      EXPECT_EQ(publisher.wait(seconds(20)), 1)
          << refusal.name << ", TLS " << version << ": " << publisher.log();
      EXPECT_NE(publisher.log().find(refusal.message), std::string::npos)
          << refusal.name << ", TLS " << version << ": " << publisher.log();
    }
  }
}

TEST(MqttTool, HelpsWithItsOptions) {
  const std::string program = GODWIT_MQTT_PROGRAM;
  const std::vector<Refusal> mistakes{
      {"no command", {program}, "--help"},
      {"no topic", {program, "pub", "-m", "x"}, "--topic is required"},
      {"no message", {program, "pub", "-t", "a"}, "-m,--message"},
      {"QoS 3", {program, "sub", "-t", "a", "-q", "3"}, "--qos"},
  };
  for (const Refusal& mistake : mistakes) {
    Process process(mistake.options);
    EXPECT_EQ(process.wait(seconds(10)), 2) << mistake.name;
    EXPECT_NE(process.log().find(mistake.message), std::string::npos) << mistake.name << process.log();
  }
  const std::vector<Refusal> topics{
      {"topic with a wildcard", {program, "pub", "-t", "a/#", "-m", "x"}, "no wildcards"},
      {"filter with # in its midst", {program, "sub", "-t", "a/#/b"}, "at its end"},
  };
  for (const Refusal& topic : topics) {
    Process process(topic.options);
    EXPECT_EQ(process.wait(seconds(10)), 1) << topic.name;
    EXPECT_NE(process.log().find(topic.message), std::string::npos) << topic.name << process.log();
  }
  for (const std::string command : {"pub", "sub", "conformance"}) {
    Process process({program, command, "--help"});
    EXPECT_EQ(process.wait(seconds(10)), 0);
    EXPECT_NE(process.output().find("Usage: godwit-mqtt " + command), std::string::npos) << process.output();
  }
}

TEST(MqttTool, EndsWithAnErrorWhereNobodyListens) {
  Process publisher(tool("pub", free_port()) + std::vector<std::string>{"-t", "a", "-m", "x"});
  EXPECT_EQ(publisher.wait(seconds(10)), 1);
  EXPECT_NE(publisher.log().find("Connection refused"), std::string::npos) << publisher.log();
}

TEST(MqttTool, ResumesASessionFromAnEarlierRun) {
  Mosquitto broker;
  const std::vector<std::string> session{"-i", "sleeper", "-t", "a", "-q", "2", "-x", "300"};
  {
    Process first(tool("sub", broker.port()) + session);
    await_subscription(broker, 0);
    EXPECT_EQ(first.stop(), 0) << first.log();
  }
  Process publisher(tool("pub", broker.port()) +
                    std::vector<std::string>{"-t", "a", "-q", "2", "-m", "meanwhile"});
  EXPECT_EQ(publisher.wait(seconds(10)), 0) << publisher.log();
  Process second(tool("sub", broker.port()) + session + std::vector<std::string>{"--resume", "-C", "1"});
  EXPECT_EQ(second.wait(seconds(10)), 0) << second.log();
  EXPECT_EQ(second.output(), "meanwhile\n");
}

}  // namespace
}  // namespace godwit::test
