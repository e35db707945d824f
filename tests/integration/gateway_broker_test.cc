// SPDX-License-Identifier: Apache-2.0
// Who may do what at the broker that `godwit-gateway init` configures. The clients are mosquitto's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "gateway/pki/certificate.h"
#include "tests/support/gateway_fixture.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::chrono::seconds kTimeout{10};

std::vector<std::string> operator+(std::vector<std::string> command, const std::vector<std::string>& more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

class GatewayBroker : public testing::Test {
 protected:
  GatewayBroker() {
    fixture_.add_device("alice");
    fixture_.add_device("bob");
    fixture_.start_broker();
  }

  Outcome publish(const std::string& device, const std::string& topic, const std::string& text,
                  const std::vector<std::string>& more = {}) {
    return run_program(fixture_.device_peer("mosquitto_pub", device) +
                       std::vector<std::string>{"-t", topic, "-m", text} + more);
  }
  Outcome publish_as_gateway(const std::string& topic, const std::string& text) {
    return run_program(fixture_.gateway_peer("mosquitto_pub") +
                       std::vector<std::string>{"-t", topic, "-m", text});
  }
  // A subscriber that prints "TOPIC TEXT" lines; returns once the broker has answered its subscription.
  static std::unique_ptr<Process> subscribe(std::vector<std::string> peer,
                                            const std::vector<std::string>& filters) {
    for (const std::string& filter : filters) peer = std::move(peer) + std::vector<std::string>{"-t", filter};
    // Debug output (-d) names the SUBACK; line buffering would otherwise be the pipe's.
    auto process = std::make_unique<Process>(std::vector<std::string>{"stdbuf", "-oL"} + peer +
                                             std::vector<std::string>{"-v", "-d"});
    EXPECT_TRUE(process->wait_for_line("received SUBACK", kTimeout)) << process->log();
    return process;
  }

  // mosquitto_pub with a certificate of this key and authority.
  Outcome publish_with(const pki::Certificate& certificate, const pki::Key& key) {
    const TempDir dir;
    const auto certificate_file = dir.write("x.crt", certificate.pem());
    const auto key_file = dir.write("x.key", key.pem());
    return run_program(fixture_.peer("mosquitto_pub", certificate_file, key_file) +
                       std::vector<std::string>{"-t", "gw1/d/alice/up/rec", "-m", "x"});
  }
  pki::Authority authority() {
    return {pki::Key::read(fixture_.dir() / "ca.key"), pki::Certificate::read(fixture_.dir() / "ca.crt")};
  }
  static pki::Seconds now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  }

  GatewayFixture fixture_;
};

TEST_F(GatewayBroker, LetsADeviceInWithItsCertificate) {
  EXPECT_EQ(publish("alice", "gw1/d/alice/up/rec", "x").status, 0);
  const pki::Key key = pki::Key::generate();
  EXPECT_EQ(
      publish_with(pki::Certificate::issue(authority(), key, {.common_name = "alice"}, now()), key).status, 0)
      << "the cases below differ from this one in one thing each";
}

TEST_F(GatewayBroker, RefusesAClientWithoutACertificate) {
  const Outcome refused = run_program(
      {"mosquitto_pub", "-V", "5", "-h", "127.0.0.1", "-p", std::to_string(fixture_.mqtt_port()), "-q", "1",
       "--cafile", (fixture_.dir() / "ca.crt").string(), "-t", "gw1/d/alice/up/rec", "-m", "x"});
  EXPECT_NE(refused.status, 0);
  EXPECT_TRUE(fixture_.broker().wait_for_line("peer did not return a certificate", kTimeout));
}

TEST_F(GatewayBroker, RefusesAClientWithoutTls) {
  const Outcome refused =
      run_program({"mosquitto_pub", "-V", "5", "-h", "127.0.0.1", "-p", std::to_string(fixture_.mqtt_port()),
                   "-q", "1", "-t", "gw1/d/alice/up/rec", "-m", "x"});
  EXPECT_NE(refused.status, 0);
}

TEST_F(GatewayBroker, RefusesACertificateOfAnotherAuthority) {
  pki::Key other_key = pki::Key::generate();
  // Even one that calls itself by the same name.
  pki::Certificate other_certificate =
      pki::Certificate::self_signed(other_key, authority().certificate.common_name(), now());
  const pki::Authority other{std::move(other_key), std::move(other_certificate)};
  const pki::Key key = pki::Key::generate();
  EXPECT_NE(publish_with(pki::Certificate::issue(other, key, {.common_name = "alice"}, now()), key).status,
            0);
  EXPECT_TRUE(fixture_.broker().wait_for_line("certificate verify failed", kTimeout));
}

TEST_F(GatewayBroker, RefusesAnExpiredCertificate) {
  const pki::Key key = pki::Key::generate();
  const auto expired =
      pki::Certificate::issue(authority(), key, {.common_name = "alice"}, now(), -std::chrono::seconds(1));
  EXPECT_NE(publish_with(expired, key).status, 0);
  EXPECT_TRUE(fixture_.broker().wait_for_line("certificate verify failed", kTimeout));
}

TEST_F(GatewayBroker, RefusesAServersCertificateAsAClient) {
  const Outcome refused = run_program(
      fixture_.peer("mosquitto_pub", fixture_.dir() / "broker.crt", fixture_.dir() / "broker.key") +
      std::vector<std::string>{"-t", "gw1/d/broker/up/rec", "-m", "x"});
  EXPECT_NE(refused.status, 0);
  EXPECT_TRUE(fixture_.broker().wait_for_line("certificate verify failed", kTimeout));
}

TEST_F(GatewayBroker, RefusesWhatADevicePublishesOutsideItsOwnTopics) {
  const auto gateway = subscribe(fixture_.gateway_peer("mosquitto_sub"), {"gw1/d/+/up/#", "#"});
  for (const char* topic :
       {"gw1/d/alice/up/other", "gw1/d/alice/up/rec/x", "gw1/d/bob/up/rec", "gw1/d/bob/dn/ack",
        "gw1/d/alice/dn/ack", "gw1/d/alice", "gw1/x", "other", "gw1/d/gateway/up/rec"}) {
    EXPECT_THAT(publish("alice", topic, "forbidden").log, HasSubstr("Not authorized")) << topic;
  }
  EXPECT_EQ(publish("alice", "gw1/d/alice/up/rec", "allowed").log, "");
  ASSERT_TRUE(gateway->wait_for_line("gw1/d/alice/up/rec allowed", kTimeout)) << gateway->log();
  EXPECT_THAT(gateway->log(), Not(HasSubstr("forbidden")))
      << "everything before it would have come before it";
}

TEST_F(GatewayBroker, DeliversToADeviceOnlyWhatIsItsOwn) {
  const auto bob = subscribe(fixture_.device_peer("mosquitto_sub", "bob"),
                             {"#", "gw1/#", "gw1/d/+/dn/#", "gw1/d/alice/#", "$share/x/gw1/d/alice/dn/#"});
  EXPECT_EQ(publish_as_gateway("gw1/d/alice/dn/ack", "secret").status, 0);
  EXPECT_EQ(publish("alice", "gw1/d/alice/up/rec", "secret").status, 0);
  EXPECT_EQ(publish_as_gateway("gw1/d/bob/dn/ack", "for-bob").status, 0);
  ASSERT_TRUE(bob->wait_for_line("gw1/d/bob/dn/ack for-bob", kTimeout)) << bob->log();
  EXPECT_THAT(bob->log(), Not(HasSubstr("secret")));
}

TEST_F(GatewayBroker, DoesNotPublishALastWillOnANeighboursTopic) {
  const auto gateway = subscribe(fixture_.gateway_peer("mosquitto_sub"), {"gw1/d/+/up/#"});
  for (const char* topic : {"gw1/d/bob/up/gone", "gw1/d/alice/up/gone"}) {
    const std::size_t before = fixture_.broker().log().size();
    const auto alice =
        subscribe(fixture_.device_peer("mosquitto_sub", "alice") +
                      std::vector<std::string>{"--will-topic", topic, "--will-payload", "will"},
                  {"gw1/d/alice/dn/#"});
    alice->signal(SIGKILL);
    ASSERT_TRUE(fixture_.broker().wait_for_line("Client alice", kTimeout, before)) << fixture_.broker().log();
  }
  EXPECT_TRUE(gateway->wait_for_line("gw1/d/alice/up/gone will", kTimeout)) << gateway->log();
  EXPECT_THAT(gateway->log(), Not(HasSubstr("gw1/d/bob/up/gone")));
}

TEST_F(GatewayBroker, DoesNotLetADeviceEndANeighboursSession) {
  const auto bob = subscribe(fixture_.device_peer("mosquitto_sub", "bob"), {"gw1/d/bob/dn/#"});
  EXPECT_EQ(publish("alice", "gw1/d/alice/up/rec", "x", {"-i", "bob"}).status, 0);
  EXPECT_EQ(publish_as_gateway("gw1/d/bob/dn/ack", "still-here").status, 0);
  EXPECT_TRUE(bob->wait_for_line("still-here", kTimeout)) << bob->log();
}

}  // namespace
}  // namespace godwit::test
