// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt sub: a message is acknowledged once it is on stdout.
#include <cstdio>

#include "boards/host/mqtt/setup.h"
#include "firmware/mqtt/codec.h"

namespace godwit::boards {
namespace {

class Subscriber {
 public:
  Subscriber(MqttClient& client, const ConnectArguments& connect, const SubscribeArguments& arguments)
      : client_(client), connect_(connect), arguments_(arguments) {}

  int run() {
    for (;;) {
      while (const auto* const event = client_.poll_event()) {
        if (!handle(*event)) return complain(failure_);
        if (arguments_.count != 0 && received_ >= arguments_.count) {
          client_.finish();  // acknowledges the last message, too
          return 0;
        }
      }
      if (!subscribe_some()) return complain(failure_);
      if (client_.interrupted()) {
        client_.finish();
        return arguments_.count == 0 ? 0 : complain("interrupted before all messages were received");
      }
      if (!client_.wait()) return complain(client_.error());
    }
  }

 private:
  bool handle(const mqtt::Event& event) {
    failure_ = fatal_reason(event);
    if (!failure_.empty()) return false;
    switch (event.type) {
      case mqtt::EventType::kConnected:
        // A session that the broker kept has its subscriptions. Those unanswered when the link went are asked
        // again.
        subscribed_ = event.session_present ? confirmed_ : 0;
        confirmed_ = subscribed_;
        return true;
      case mqtt::EventType::kSubscribed:
        if (mqtt::is_error(event.reason)) {
          failure_ = "the broker refused the subscription: " + describe(event.reason);
          return false;
        }
        ++confirmed_;
        if (connect_.verbose) std::fprintf(stderr, "subscribed\n");
        return true;
      case mqtt::EventType::kMessage:
        print(event.message);
        return true;
      default:
        return true;
    }
  }

  void print(const mqtt::Message& message) {
    if (connect_.verbose) {
      std::fwrite(message.topic.data(), 1, message.topic.size(), stdout);
      std::fputc(' ', stdout);
    }
    std::fwrite(message.payload.data(), 1, message.payload.size(), stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
    ++received_;
  }

  bool subscribe_some() {
    while (client_.session().connected() && subscribed_ < arguments_.topics.size()) {
      const auto id = client_.session().subscribe(client_.now(), arguments_.topics[subscribed_],
                                                  {.qos = static_cast<mqtt::Qos>(connect_.qos)});
      if (!id && (id.error() == Status::kBusy || id.error() == Status::kState)) return true;
      if (!id) {
        failure_ = "the broker takes no such subscription: " + arguments_.topics[subscribed_];
        return false;
      }
      ++subscribed_;
    }
    return true;
  }

  MqttClient& client_;
  const ConnectArguments& connect_;
  const SubscribeArguments& arguments_;
  std::string failure_;
  std::size_t subscribed_ = 0;  // topics asked for
  std::size_t confirmed_ = 0;   // topics that the broker has confirmed
  std::uint64_t received_ = 0;
};

}  // namespace

int subscribe(const ConnectArguments& connect, const SubscribeArguments& arguments) {
  for (const std::string& topic : arguments.topics) {
    if (mqtt::is_topic_filter(topic)) continue;
    return complain("-t '" + topic +
                    "': + stands for one whole level of a topic, # for all the rest at its end");
  }
  auto setup = make_setup(connect);
  if (!setup) return complain(setup.error());
  // Mosquitto 2.0.11 does not keep to a receive maximum: with each PUBACK or PUBCOMP of its oldest message it
  // sends a whole window more. So the window is as large as can be, which is what the standard assumes by
  // default, too.
  (*setup)->options.session.receive_maximum = 65'535;
  MqttClient client((*setup)->options);
  return Subscriber(client, (*setup)->arguments, arguments).run();
}

}  // namespace godwit::boards
