// SPDX-License-Identifier: Apache-2.0
// The broker of the worlds does what mosquitto does, packet by packet (tests/support/broker_script.h). What
// the gateway gets has no packets here: its topics and payloads are compared.
#include "sim/world/broker.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>

#include "tests/support/broker_script.h"

namespace godwit::sim {
namespace {

constexpr Millis kSettled{50};  // all hops of a packet and what it causes

class NoWitness final : public Judge::Witness {
  bool holds(std::size_t /*device*/, RecordId /*record*/) const override { return false; }
  bool holds_unharmed(std::size_t /*device*/, RecordId /*record*/) const override { return false; }
};

class ModelSide final : public test::BrokerSide, private Broker::Subscriber {
 public:
  void open(const std::string& name, bool /*quiet*/) override {
    if (clients_.contains(name)) cut(name);
    Client& client = *(clients_[name] = std::make_unique<Client>());
    client.link = std::make_shared<Link>(scene_, LinkQuality{.latency = Millis{1}, .rate = 100'000'000}, 1);
    client.link->attach(Link::kDevice, &client);
    broker_.accept(client.link);
  }
  void send(const std::string& name, std::string_view bytes) override {
    ASSERT_EQ(clients_.at(name)->link->send(Link::kDevice, bytes), bytes.size());
  }
  void cut(const std::string& name) override { clients_.at(name)->link->close(Link::kDevice); }
  void gateway_up() override { ASSERT_TRUE(broker_.subscribe(this)); }
  void gateway_down() override { broker_.unsubscribe(); }
  void gateway_says(const std::string& topic, const std::string& payload) override {
    broker_.publish(topic, payload);
  }
  void stop() override { broker_.stop(); }
  void die() override { broker_.kill(); }
  void start() override { broker_.start(); }
  void wait(Millis time) override { engine_.run_until(engine_.now() + time); }
  void settle() override { engine_.run_until(engine_.now() + kSettled); }
  std::string take(const std::string& name) override {
    return std::exchange(clients_.at(name)->received, std::string());
  }
  bool take_closed(const std::string& name) override {
    return std::exchange(clients_.at(name)->closed, false);
  }
  std::vector<std::pair<std::string, std::string>> take_gateway() override {
    return std::exchange(messages_, {});
  }

 private:
  struct Client final : Link::End {
    void link_bytes(Link& /*link*/, std::string_view bytes) override { received += bytes; }
    void link_writable(Link& /*link*/) override {}
    void link_closed(Link& /*link*/) override { closed = true; }
    std::shared_ptr<Link> link;
    std::string received;
    bool closed = false;
  };
  void broker_message(std::string_view topic, std::string_view payload) override {
    messages_.emplace_back(topic, payload);
  }
  void broker_lost() override {}

  Engine engine_;
  NoWitness witness_;
  Judge judge_{witness_};
  Probes probes_;
  Scene scene_{.engine = engine_, .judge = judge_, .probes = probes_, .trace = {}};
  std::map<std::string, std::unique_ptr<Client>> clients_;  // must outlive the broker
  std::vector<std::pair<std::string, std::string>> messages_;
  Broker broker_{scene_};
};

TEST(Broker, DoesWhatMosquittoDoes) {
  const auto behaviours = test::read_behaviours(GODWIT_MOSQUITTO_BEHAVIOURS);
  EXPECT_GE(behaviours.size(), 20U);
  for (const test::Behaviour& behaviour : behaviours) {
    SCOPED_TRACE(behaviour.name);
    ModelSide side;
    EXPECT_EQ(test::play(behaviour, side), test::expected_of(behaviour, Broker::kMosquitto));
  }
}

}  // namespace
}  // namespace godwit::sim
