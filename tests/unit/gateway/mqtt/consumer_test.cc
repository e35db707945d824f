// SPDX-License-Identifier: Apache-2.0
// Against a real mosquitto with mutual TLS: what matters here is how Paho behaves.
#include "gateway/mqtt/consumer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "tests/support/mosquitto.h"
#include "tests/support/process.h"
#include "tests/support/test_pki.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using godwit::test::Mosquitto;
using godwit::test::PemIdentity;
using godwit::test::Process;
using godwit::test::TempDir;
using godwit::test::TestCa;
using std::chrono::seconds;

class Log {
 public:
  LogSink sink() {
    return [this](LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex_);
      text_.append(line).append("\n");
      changed_.notify_all();
    };
  }
  bool wait_for(std::string_view part) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds{20}, [&] { return text_.find(part) != std::string::npos; });
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
};

// What a consumer hands over.
class Inbox {
 public:
  Consumer::Callbacks callbacks() {
    return {.message =
                [this](Message message) {
                  const std::lock_guard lock(mutex_);
                  messages_.push_back(std::move(message));
                  changed_.notify_all();
                },
            .session_started =
                [this] {
                  const std::lock_guard lock(mutex_);
                  session_started_ = true;
                  changed_.notify_all();
                }};
  }
  // The next one message; none if it does not come, or if a session starts first.
  std::vector<Message> take() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds{20}, [&] { return session_started_ || !messages_.empty(); });
    if (messages_.empty()) return {};
    std::vector<Message> first{std::move(messages_.front())};
    messages_.pop_front();
    return first;
  }
  bool take_session_started() {
    const std::lock_guard lock(mutex_);
    return std::exchange(session_started_, false);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Message> messages_;
  bool session_started_ = false;
};

class ConsumerTest : public testing::Test {
 protected:
  struct Files {
    std::string certificate;
    std::string key;
  };

  Files write(const std::string& name, const PemIdentity& identity) {
    return {dir_.write(name + ".crt", identity.certificate), dir_.write(name + ".key", identity.key)};
  }

  Consumer::Options options(const Files& identity) {
    return {.host = "127.0.0.1",
            .port = broker_.port(),
            .ca_file = ca_file_,
            .certificate_file = identity.certificate,
            .key_file = identity.key,
            .retry_min = std::chrono::milliseconds{50},
            .retry_max = std::chrono::milliseconds{200}};
  }

  // A command of mosquitto-clients as device d1.
  std::vector<std::string> as_device(std::vector<std::string> command) {
    for (const std::string& more :
         {std::string("-h"), std::string("127.0.0.1"), std::string("-p"), std::to_string(broker_.port()),
          std::string("-V"), std::string("mqttv5"), std::string("--cafile"), ca_file_, std::string("--cert"),
          device_.certificate, std::string("--key"), device_.key}) {
      command.push_back(more);
    }
    return command;
  }
  void publish(const std::string& topic, const std::string& text) {
    Process publisher(as_device({"mosquitto_pub", "-q", "1", "-t", topic, "-m", text}));
    ASSERT_EQ(publisher.wait(seconds{20}), 0) << publisher.log();
  }

  std::vector<Message> take() { return inbox_.take(); }
  // Takes the sign that the session has started.
  void wait_for_session() {
    take();
    ASSERT_TRUE(inbox_.take_session_started()) << log_.text();
  }

  TempDir dir_;
  TestCa ca_;
  std::string ca_file_ = dir_.write("ca.crt", ca_.certificate());
  Files server_ = write("server", ca_.server());
  Files gateway_ = write("gateway", ca_.client("gateway"));
  Files device_ = write("d1", ca_.client("d1"));
  Mosquitto broker_{{.tls = Mosquitto::Tls{ca_file_, server_.certificate, server_.key}, .extra = ""}};
  Inbox inbox_;
  Log log_;
};

TEST_F(ConsumerTest, QueuesWhatDevicesPublishAndSendsThemAcks) {
  Consumer consumer(options(gateway_), inbox_.callbacks(), log_.sink());
  consumer.start();
  wait_for_session();
  EXPECT_TRUE(consumer.stats().connected);

  publish("gw1/d/d1/up/rec", "first");
  publish("gw1/d/d1/up/unheard-of", "of a later version");
  publish("gw1/d/d1/up/hello", "second");
  const auto first = take();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].device.view(), "d1");
  EXPECT_EQ(first[0].leaf, topics::Leaf::kRecord);
  EXPECT_EQ(first[0].payload, "first");
  EXPECT_EQ(first[0].qos, 1);
  EXPECT_EQ(take().at(0).payload, "second");
  EXPECT_EQ(consumer.stats().foreign, 1U);

  Process subscriber(as_device(
      {"mosquitto_sub", "-i", "d1", "-C", "1", "-W", "20", "-F", "got %x", "-t", "gw1/d/d1/dn/ack"}));
  ASSERT_TRUE(broker_.process().wait_for_line("Sending SUBACK to d1", seconds{20}).has_value());
  const std::vector<AckTo> acks{{test::device(), {.try_id = {0x89abcdef}, .next_seq = Seq{7}}}};
  consumer.send(acks);
  EXPECT_TRUE(subscriber.wait_for_line("got 0defcdab891007", seconds{20}).has_value()) << subscriber.log();
  EXPECT_EQ(consumer.stats().acks, 1U);
}

TEST_F(ConsumerTest, ComesBackAfterTheBrokerDied) {
  Consumer consumer(options(gateway_), inbox_.callbacks(), log_.sink());
  consumer.start();
  wait_for_session();
  broker_.kill();
  EXPECT_TRUE(log_.wait_for("lost the broker"));
  const std::vector<AckTo> acks{{test::device(), {}}};
  consumer.send(acks);
  EXPECT_EQ(consumer.stats().dropped_acks, 1U);
  broker_.start();
  wait_for_session();
  publish("gw1/d/d1/up/rec", "again");
  EXPECT_EQ(take().at(0).payload, "again");
  EXPECT_EQ(consumer.stats().sessions, 2U);
}

TEST_F(ConsumerTest, SaysWhatIsWrongWithCertificates) {
  const TestCa stranger("Stranger");
  Consumer consumer(options(write("stranger", stranger.client("gateway"))), inbox_.callbacks(), log_.sink());
  consumer.start();
  EXPECT_TRUE(log_.wait_for("cannot connect to the broker")) << log_.text();
  EXPECT_FALSE(consumer.stats().connected);

  auto wrong_ca = options(gateway_);
  wrong_ca.ca_file = dir_.write("stranger-ca.crt", stranger.certificate());
  Consumer distrustful(wrong_ca, inbox_.callbacks(), log_.sink());
  distrustful.start();
  EXPECT_TRUE(log_.wait_for("certificate verify failed")) << log_.text();
}

TEST_F(ConsumerTest, SaysThatASecondGatewayTookOver) {
  Consumer first(options(gateway_), inbox_.callbacks(), log_.sink());
  first.start();
  wait_for_session();
  Inbox other_inbox;
  Log other_log;
  Consumer second(options(gateway_), other_inbox.callbacks(), other_log.sink());
  second.start();
  EXPECT_TRUE(log_.wait_for("is a second gateway running")) << log_.text();
}

TEST_F(ConsumerTest, StopsWhereverItIs) {
  auto nowhere = options(gateway_);
  nowhere.port = 1;
  Consumer connecting(nowhere, inbox_.callbacks(), log_.sink());
  connecting.start();
  connecting.stop();
  Consumer never_started(nowhere, inbox_.callbacks(), log_.sink());
  never_started.stop();
  Consumer connected(options(gateway_), inbox_.callbacks(), log_.sink());
  connected.start();
  wait_for_session();
  connected.stop();
  EXPECT_FALSE(connected.stats().connected);
}

}  // namespace
}  // namespace godwit::gateway
