// SPDX-License-Identifier: Apache-2.0
// The way of a record through broker and gateway: published by a client that is not ours, stored,
// acknowledged, shown over REST and fed to followers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mqtt/async_client.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "proto/codec/batch.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"
#include "proto/topics/topics.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/loopback.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::chrono::seconds kTimeout{10};
constexpr Epoch kEpoch{0x1234};
constexpr Try kTry{7};
constexpr std::array<codec::Channel, 1> kChannels{{{.name = "temperature", .unit = "Cel", .exponent = -1}}};
const codec::ChannelTable kTable{.name = "climate", .period = Millis(1000), .channels = kChannels};

std::vector<std::uint8_t> encoded(std::vector<std::uint8_t> buffer,
                                  const std::expected<std::size_t, Status>& size) {
  EXPECT_TRUE(size.has_value());
  buffer.resize(size.value_or(0));
  return buffer;
}

// Of a device whose log begins with the mark of kEpoch.
std::vector<std::uint8_t> hello(const std::optional<codec::Crash>& crash = {}) {
  codec::Hello hello;
  hello.try_id = kTry;
  hello.epoch = kEpoch;
  hello.oldest_seq = kFirstSeq;
  hello.next_seq = Seq{100};
  hello.marks[0] = {kEpoch, kFirstSeq};
  hello.marks_count = 1;
  hello.firmware = "test";
  hello.board = "by-hand";
  hello.boot = 1;
  hello.health = codec::Health{.stack_used = 3120, .stack_size = 8192};
  hello.crash = crash;
  const std::array tables{codec::announced(kTable)};
  std::vector<std::uint8_t> buffer(1024);
  const auto size = codec::encode(hello, tables, buffer);
  return encoded(std::move(buffer), size);
}

std::vector<std::uint8_t> mark() {
  std::vector<std::uint8_t> buffer(codec::kNoticeSizeMax);
  const auto size = codec::encode(codec::Record{.try_id = kTry, .seq = kFirstSeq, .mark = kEpoch}, buffer);
  return encoded(std::move(buffer), size);
}

// The n-th record, behind the mark: two rows, n and n + 0.5 degrees.
std::vector<std::uint8_t> record(std::uint64_t n) {
  std::array<codec::ChannelModel, 1> models;
  std::vector<std::uint8_t> samples(64);
  codec::SampleEncoder encoder(models, samples);
  for (const std::uint64_t tenths : {n * 10, (n * 10) + 5}) {
    const std::array<std::int64_t, 1> row{static_cast<std::int64_t>(tenths)};
    EXPECT_EQ(encoder.add(row), Status::kOk);
  }
  samples.resize(encoder.finish());

  codec::Batch batch;
  batch.table = codec::hash(kTable);
  batch.quality = codec::TimeQuality::kSynced;
  batch.time = Millis{1'790'000'000'000};
  batch.rows = 2;
  batch.samples = samples;
  std::vector<std::uint8_t> body(256);
  const auto body_size = codec::encode(batch, body);
  body = encoded(std::move(body), body_size);
  std::vector<std::uint8_t> message(codec::kRecordPrefixMax);
  const auto prefix_size = codec::encode_record_prefix(kTry, kFirstSeq + n, body.size(), message);
  message = encoded(std::move(message), prefix_size);
  message.insert(message.end(), body.begin(), body.end());
  return message;
}

// A device by hand, on an MQTT client that is not the firmware's.
class DevicePeer {
 public:
  DevicePeer(const GatewayFixture& fixture, std::string_view id)
      : id_(*DeviceId::parse(id)),
        client_("ssl://127.0.0.1:" + std::to_string(fixture.mqtt_port()), std::string(id),
                mqtt::create_options(MQTTVERSION_5)) {
    const auto credentials = fixture.dir() / "devices" / id;
    mqtt::ssl_options tls;
    tls.set_trust_store((credentials / "ca.crt").string());
    tls.set_key_store((credentials / "device.crt").string());
    tls.set_private_key((credentials / "device.key").string());
    mqtt::connect_options options;
    options.set_mqtt_version(MQTTVERSION_5);
    options.set_clean_start(true);
    options.set_ssl(std::move(tls));
    client_.start_consuming();
    client_.connect(options)->wait();
    client_.subscribe(std::string(topics::device_filter(id_).view()), 1)->wait();
  }
  ~DevicePeer() { client_.disconnect()->wait(); }
  DevicePeer(const DevicePeer&) = delete;
  DevicePeer& operator=(const DevicePeer&) = delete;

  // Publishes and waits for the gateway's answer. kTimeout: there is none.
  std::expected<codec::Ack, Status> publish(topics::Leaf leaf, const std::vector<std::uint8_t>& payload) {
    client_.publish(std::string(topics::make(id_, leaf).view()), payload.data(), payload.size(), 1, false)
        ->wait();
    mqtt::const_message_ptr answer;
    if (!client_.try_consume_message_for(&answer, kTimeout) || answer == nullptr) {
      return std::unexpected(Status::kTimeout);
    }
    EXPECT_EQ(answer->get_topic(), topics::make(id_, topics::Leaf::kAck).view());
    return codec::decode_ack(as_bytes(answer->get_payload_str()));
  }

 private:
  DeviceId id_;
  mqtt::async_client client_;
};

class GatewayPath : public testing::Test {
 protected:
  GatewayPath() {
    for (const char* const proxy : {"http_proxy", "https_proxy"}) ::unsetenv(proxy);  // Paho would use them
    fixture_.add_device("pump-3");
    fixture_.start_broker();
    fixture_.start_gateway();
  }

  static void introduce(DevicePeer& device) {
    const auto hello_ack = device.publish(topics::Leaf::kHello, hello());
    ASSERT_TRUE(hello_ack.has_value());
    EXPECT_EQ(hello_ack->try_id, kTry);
    EXPECT_EQ(hello_ack->next_seq, kFirstSeq);
    const auto mark_ack = device.publish(topics::Leaf::kRecord, mark());
    ASSERT_TRUE(mark_ack.has_value());
    EXPECT_EQ(mark_ack->next_seq, Seq{2});
  }

  [[nodiscard]] std::string telemetry() const {
    return fixture_.get("/api/v1/devices/pump-3/telemetry").body;
  }

  GatewayFixture fixture_;
};

TEST_F(GatewayPath, ARecordIsStoredAcknowledgedShownAndFed) {
  SseReader feed(fixture_.https(), "/api/v1/events?type=telemetry");
  ASSERT_EQ(feed.status(kTimeout), 200);
  DevicePeer device(fixture_, "pump-3");

  introduce(device);
  const auto record_ack = device.publish(topics::Leaf::kRecord, record(1));
  ASSERT_TRUE(record_ack.has_value());
  EXPECT_EQ(record_ack->next_seq, Seq{3});

  // Acknowledged is stored: no waiting here.
  EXPECT_THAT(telemetry(), HasSubstr(R"("seq":2)"));
  EXPECT_THAT(telemetry(), HasSubstr(R"("temperature":[1,1.5])"));
  EXPECT_THAT(fixture_.get("/api/v1/devices").body, HasSubstr("\"pump-3\""));
  EXPECT_THAT(fixture_.get("/api/v1/devices/pump-3").body, HasSubstr("by-hand"));
  EXPECT_THAT(fixture_.get("/api/v1/devices/pump-3/latest").body, HasSubstr("temperature"));
  const auto event = feed.next(kTimeout);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->event, "telemetry");
  EXPECT_THAT(event->data, HasSubstr(R"("temperature":[1,1.5])"));
  EXPECT_THAT(event->data, HasSubstr("{\"id\":\"" + event->id + "\","));
}

TEST_F(GatewayPath, TakesARecordFromMosquittoPub) {
  {
    DevicePeer device(fixture_, "pump-3");
    introduce(device);
  }
  SseReader feed(fixture_.https(), "/api/v1/events?type=telemetry");
  ASSERT_EQ(feed.status(kTimeout), 200);
  const TempDir files;
  const auto payload = record(1);
  const auto file = files.write("record", {reinterpret_cast<const char*>(payload.data()), payload.size()});
  auto command = fixture_.device_peer("mosquitto_pub", "pump-3");
  command.insert(command.end(), {"-t", "gw1/d/pump-3/up/rec", "-f", file.string()});
  EXPECT_EQ(run_program(command).status, 0);
  const auto event = feed.next(kTimeout);
  ASSERT_TRUE(event.has_value());
  EXPECT_THAT(event->data, HasSubstr(R"("temperature":[1,1.5])"));
}

TEST_F(GatewayPath, ARepeatedRecordIsAcknowledgedAgainAndStoredOnce) {
  DevicePeer device(fixture_, "pump-3");
  introduce(device);
  ASSERT_TRUE(device.publish(topics::Leaf::kRecord, record(1)).has_value());
  const auto again = device.publish(topics::Leaf::kRecord, record(1));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->next_seq, Seq{3});
  const std::string stored = telemetry();
  EXPECT_NE(stored.find(R"("seq":2)"), std::string::npos);
  EXPECT_EQ(stored.find(R"("seq":2)"), stored.rfind(R"("seq":2)"));
}

TEST_F(GatewayPath, ARecordThatComesTooEarlyIsSentBack) {
  DevicePeer device(fixture_, "pump-3");
  ASSERT_TRUE(device.publish(topics::Leaf::kHello, hello()).has_value());
  const auto ack = device.publish(topics::Leaf::kRecord, record(3));
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->next_seq, kFirstSeq);
  EXPECT_TRUE(ack->rewind);
  EXPECT_THAT(telemetry(), Not(HasSubstr(R"("seq":4)")));
}

TEST_F(GatewayPath, WhatWasAcknowledgedSurvivesSigkillAndTheStreamGoesOn) {
  {
    DevicePeer device(fixture_, "pump-3");
    introduce(device);
    ASSERT_TRUE(device.publish(topics::Leaf::kRecord, record(1)).has_value());
  }
  fixture_.kill_gateway();
  fixture_.start_gateway();
  EXPECT_THAT(telemetry(), HasSubstr(R"("seq":2)"));
  DevicePeer device(fixture_, "pump-3");
  const auto expected = device.publish(topics::Leaf::kHello, hello());
  ASSERT_TRUE(expected.has_value());
  EXPECT_EQ(expected->next_seq, Seq{3});
  const auto ack = device.publish(topics::Leaf::kRecord, record(2));
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->next_seq, Seq{4});
}

TEST_F(GatewayPath, ACrashIsFedOnceAndStaysWithItsDeviceOverARestart) {
  SseReader feed(fixture_.https(), "/api/v1/events?type=device.online");
  ASSERT_EQ(feed.status(kTimeout), 200);
  const codec::Crash crash{.kind = codec::CrashKind::kFault, .pc = 0x1234, .cause = 0x0200'0000};
  const char* const shown =
      R"("kind":"fault","pc":"0x00001234","cause":"0x02000000","causes":["divide by zero"])";
  {
    DevicePeer device(fixture_, "pump-3");
    ASSERT_TRUE(device.publish(topics::Leaf::kHello, hello(crash)).has_value());
    ASSERT_TRUE(device.publish(topics::Leaf::kHello, hello(crash)).has_value());
    const auto event = feed.next(kTimeout);
    ASSERT_TRUE(event.has_value());
    EXPECT_THAT(event->data, HasSubstr(shown));
  }
  fixture_.kill_gateway();
  fixture_.start_gateway();
  DevicePeer device(fixture_, "pump-3");
  ASSERT_TRUE(device.publish(topics::Leaf::kHello, hello(crash)).has_value());
  const std::string body = fixture_.get("/api/v1/devices/pump-3").body;
  EXPECT_THAT(body, HasSubstr(shown));
  EXPECT_THAT(body, HasSubstr(R"("health":{"stack_used":3120,"stack_size":8192})"));
  const std::string log = https_get(fixture_.https(), "/api/v1/events?type=device.online&after=begin",
                                    {"Accept: application/json"})
                              .body;
  EXPECT_EQ(log.find(shown), log.rfind(shown)) << "once: " << log;
}

TEST_F(GatewayPath, AFollowerGoesOnWhereItStopped) {
  DevicePeer device(fixture_, "pump-3");
  introduce(device);
  ASSERT_TRUE(device.publish(topics::Leaf::kRecord, record(1)).has_value());
  std::string last_seen;
  {
    SseReader feed(fixture_.https(), "/api/v1/events?type=telemetry", "0-00000000");
    const auto event = feed.next(kTimeout);
    ASSERT_TRUE(event.has_value());
    EXPECT_THAT(event->data, HasSubstr(R"("seq":2)"));
    last_seen = event->id;
  }
  ASSERT_TRUE(device.publish(topics::Leaf::kRecord, record(2)).has_value());
  ASSERT_TRUE(device.publish(topics::Leaf::kRecord, record(3)).has_value());
  SseReader feed(fixture_.https(), "/api/v1/events?type=telemetry", last_seen);
  for (const char* seq : {R"("seq":3)", R"("seq":4)"}) {
    const auto event = feed.next(kTimeout);
    ASSERT_TRUE(event.has_value());
    EXPECT_THAT(event->data, HasSubstr(seq));
  }
}

TEST_F(GatewayPath, GoesOnAfterTheBrokerWasKilled) {
  {
    DevicePeer device(fixture_, "pump-3");
    introduce(device);
  }
  fixture_.kill_broker();
  const std::size_t before = fixture_.gateway().log().size();
  fixture_.start_broker();
  ASSERT_TRUE(fixture_.gateway().wait_for_line("connected to the broker", kTimeout, before))
      << fixture_.gateway().log();
  DevicePeer device(fixture_, "pump-3");
  const auto ack = device.publish(topics::Leaf::kRecord, record(1));
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->next_seq, Seq{3});
}

// Whoever opens more connections than there are descriptors takes none that database and broker need.
TEST_F(GatewayPath, WithFewDescriptorsItServesFewerConnectionsAndGoesOn) {
  constexpr unsigned kDescriptors = 100;
  constexpr std::uint64_t kServed = kDescriptors - 64;
  fixture_.launch_gateway({.environment = {}, .directory = {}, .descriptors_max = kDescriptors});
  EXPECT_THAT(fixture_.gateway().log(), HasSubstr("this process may open only 100 files: 36 connections"));

  std::vector<int> strangers;
  for (unsigned i = 0; i < 2 * kDescriptors; ++i) {
    strangers.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(fixture_.http_port());
    ASSERT_EQ(::connect(strangers.back(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  fixture_.kill_broker();  // so that it needs another descriptor
  const std::size_t before = fixture_.gateway().log().size();
  fixture_.start_broker();
  ASSERT_TRUE(fixture_.gateway().wait_for_line("connected to the broker", kTimeout, before));
  DevicePeer device(fixture_, "pump-3");
  introduce(device);
  EXPECT_TRUE(device.publish(topics::Leaf::kRecord, record(1)).has_value());

  for (const int stranger : strangers) ::close(stranger);
  ASSERT_NE(fixture_.wait_for_body("/metrics", "godwit_http_connections_refused_total"), "");
  EXPECT_GE(fixture_.metric("godwit_http_connections_refused_total"), 2 * kDescriptors - kServed);
  EXPECT_THAT(telemetry(), HasSubstr(R"("seq":2)"));
}

TEST_F(GatewayPath, GoesStraightToTheBrokerWhateverProxyTheEnvironmentNames) {
  fixture_.kill_gateway();
  for (const char* const proxy : {"", "http://127.0.0.1:9"}) {
    ::setenv("http_proxy", proxy, 1);
    ::setenv("https_proxy", proxy, 1);
    EXPECT_NO_THROW(fixture_.start_gateway()) << "proxy: " << proxy;
    fixture_.kill_gateway();
  }
  ::unsetenv("http_proxy");
  ::unsetenv("https_proxy");
}

TEST_F(GatewayPath, StopEndsEventStreamsAndLeavesWhatWasAcknowledged) {
  DevicePeer device(fixture_, "pump-3");
  introduce(device);
  ASSERT_TRUE(device.publish(topics::Leaf::kRecord, record(1)).has_value());
  SseReader feed(fixture_.https(), "/api/v1/events");
  ASSERT_EQ(feed.status(kTimeout), 200);
  fixture_.gateway().signal(SIGTERM);
  EXPECT_EQ(fixture_.gateway().wait(kTimeout), 0);
  EXPECT_TRUE(feed.wait_for_end(kTimeout));
  fixture_.start_gateway();
  EXPECT_THAT(telemetry(), HasSubstr(R"("seq":2)"));
}

TEST_F(GatewayPath, WithoutAValidKeyNothingIsShown) {
  HttpsOptions options = fixture_.https();
  for (const char* key : {"", "gwk_0000000000000000000000000000000000000000"}) {
    options.api_key = key;
    for (const char* path : {"/api/v1/devices", "/api/v1/devices/pump-3", "/api/v1/devices/pump-3/latest",
                             "/api/v1/devices/pump-3/telemetry", "/api/v1/events"}) {
      EXPECT_EQ(https_get(options, path).status, 401) << path;
    }
    EXPECT_EQ(https_get(options, "/healthz").status, 200);
  }
  options = fixture_.https();
  options.ca = fixture_.dir() / "gateway.crt";
  EXPECT_EQ(https_get(options, "/healthz").status, 0) << "the client checks the server's certificate";
}

}  // namespace
}  // namespace godwit::test
