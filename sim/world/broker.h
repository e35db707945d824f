// SPDX-License-Identifier: Apache-2.0
// A broker in virtual time, as devices and a gateway meet mosquitto: MQTT 5 over links that cut at any byte,
// QoS 0 and 1, wills, keep-alive, topic aliases, take-over of a client id, "no matching subscribers" (0x10).
// Held to mosquitto packet by packet: tests/unit/sim/world/broker_test.cc.
// It holds nothing that outlives a kill: what it has acknowledged and not yet passed on is gone then, which
// is what the devices must survive. The gateway's side has no bytes: Paho is tested live.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/world/network.h"
#include "sim/world/scene.h"

namespace godwit::sim {

class Broker final : private Link::End {
 public:
  // The gateway's MQTT client.
  class Subscriber {
   public:
    virtual void broker_message(std::string_view topic, std::string_view payload) = 0;
    virtual void broker_lost() = 0;

   protected:
    ~Subscriber() = default;
  };
  // The one it is held to; 2.0.11 differs in what no device depends on.
  static constexpr std::string_view kMosquitto = "2.0.21";
  // As the configuration of `godwit-gateway init` says.
  static constexpr std::uint16_t kTopicAliasMax = 10;
  static constexpr std::uint16_t kReceiveMax = 1'000;
  static constexpr std::uint32_t kPacketMax = 16'384;
  static constexpr Millis kHop{1};  // from client to client, on this machine

  explicit Broker(Scene& scene) : scene_(scene) {}
  ~Broker();

  [[nodiscard]] bool running() const { return running_; }
  void start() { running_ = true; }
  void kill();
  // As kill(), in an orderly way.
  void stop();
  // It acknowledges, and passes nothing on.
  void forget_until(Time end) { forget_until_ = end; }
  // It passes everything on twice, as after a connection of the gateway that broke: at once, or all that
  // devices have published till then at the end.
  void double_until(Time end, bool at_the_end);
  // Is killed between acknowledging the next message and passing it on.
  void kill_with_message(Millis down) { killed_for_ = down; }
  // No more faults.
  void finish();

  // A device's connection has come up. Precondition: running().
  void accept(std::shared_ptr<Link> link);

  // The gateway subscribes to what devices send. False: nobody is there.
  bool subscribe(Subscriber* gateway);
  void unsubscribe();
  // From the gateway, QoS 0.
  void publish(const std::string& topic, const std::string& payload);

 private:
  enum Reason : std::uint8_t {  // MQTT 5, 2.4
    kNoMatchingSubscribers = 0x10,
    kMalformed = 0x81,
    kProtocolError = 0x82,
    kNotAuthorized = 0x87,
    kSessionTakenOver = 0x8E,
    kTopicAliasInvalid = 0x94,
    kPacketTooLarge = 0x95,
  };
  struct Connection {
    std::shared_ptr<Link> link;
    std::string input;
    std::string client;
    std::string filter;
    std::string will_topic;
    std::string will_payload;
    bool has_will = false;
    bool connected = false;
    std::map<std::uint16_t, std::string> aliases;
    Millis silence_max{0};
    Time heard{0};
  };

  void link_bytes(Link& link, std::string_view bytes) override;
  void link_writable(Link& /*link*/) override {}
  void link_closed(Link& link) override;

  Connection* find(const Link& link);
  void drop(Connection& connection, bool will);
  // Says DISCONNECT and drops it; false.
  bool refuse(Connection& connection, Reason reason);
  // False: the connection is gone.
  bool handle_packet(Connection& connection, std::uint8_t first, std::string_view body);
  bool handle_connect(Connection& connection, std::string_view body);
  void handle_subscribe(Connection& connection, std::string_view body);
  // Of no value: `topic` is what it stands for.
  static std::optional<Reason> resolve_alias(Connection& connection, std::uint16_t number,
                                             std::string& topic);
  bool handle_publish(Connection& connection, std::uint8_t first, std::string_view body);
  void watch(const std::shared_ptr<Link>& link);
  void pass_on(const std::string& topic, std::string payload);
  void repeat();
  static void send(Connection& connection, std::uint8_t first, std::string_view body);

  Scene& scene_;
  bool running_ = true;
  Time forget_until_{0};
  Time double_until_{0};
  bool doubles_at_the_end_ = false;
  std::deque<std::pair<std::string, std::string>> to_repeat_;  // topics and payloads
  std::optional<Millis> killed_for_;
  std::uint64_t life_ = 0;  // counts kills, and changes of the gateway's session
  Subscriber* gateway_ = nullptr;
  std::size_t queued_ = 0;  // to the gateway
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace godwit::sim
