// SPDX-License-Identifier: Apache-2.0
#include "gateway/mqtt/consumer.h"

#include <mqtt/async_client.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

#include "gateway/domain/clock.h"
#include "proto/codec/messages.h"
#include "proto/topics/topics.h"

namespace godwit::gateway {
namespace {

constexpr std::chrono::seconds kConnectTimeout{10};
// A session that ends sooner has proved nothing: the pause before the next attempt grows on.
constexpr std::chrono::seconds kStableAfter{10};

// What an operator can do about a reason code of MQTT 5 (section 2.4).
std::string_view advice(int reason) {
  switch (reason) {
    case 0x84:
      return "the broker does not speak MQTT 5: use mosquitto 2.0 or newer";
    case 0x86:
    case 0x87:
      return "the broker does not know the gateway's certificate: check its ACL and user settings";
    case 0x88:
    case 0x89:
      return "the broker is not available or busy";
    case 0x8E:
      return "another client took over this client id: is a second gateway running on the same broker?";
    case 0x97:
      return "over a quota of the broker";
    default:
      return {};
  }
}

std::string describe(std::string_view what, int reason) {
  std::string text(what);
  const std::string_view hint = advice(reason);
  if (!hint.empty()) text.append(" (").append(hint).append(")");
  return text;
}

}  // namespace

class Consumer::Session {
 public:
  Session(Options options, Callbacks callbacks, LogSink log)
      : options_(std::move(options)),
        callbacks_(std::move(callbacks)),
        log_(std::move(log)),
        client_("ssl://" + options_.host + ":" + std::to_string(options_.port), options_.client_id,
                create_options()) {
    // Paho goes through a web proxy if the environment names one, even with an empty name, which no broker is
    // behind.
    for (const char* const proxy : {"http_proxy", "https_proxy"}) ::unsetenv(proxy);
    client_.set_message_callback([this](const mqtt::const_message_ptr& message) { received(*message); });
    client_.set_connection_lost_handler(
        [this](const std::string& cause) { lost(cause.empty() ? "connection lost" : cause); });
    client_.set_disconnected_handler([this](const mqtt::properties&, mqtt::ReasonCode reason) {
      lost(describe("the broker disconnected us, reason " + std::to_string(static_cast<int>(reason)),
                    static_cast<int>(reason)));
    });
  }

  void start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  void stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

  void send(std::span<const AckTo> acks) {
    for (const AckTo& entry : acks) {
      ++(send_one(entry) ? acks_ : dropped_acks_);
    }
  }

  Stats stats() const {
    return {.connected = connected_,
            .sessions = sessions_,
            .messages = messages_,
            .foreign = foreign_,
            .acks = acks_,
            .dropped_acks = dropped_acks_};
  }

 private:
  mqtt::create_options create_options() const {
    mqtt::create_options create(MQTTVERSION_5, static_cast<int>(options_.acks_buffered_max));
    create.set_send_while_disconnected(false);  // an ack of yesterday is of no use: devices say hello
    return create;
  }

  mqtt::connect_options connect_options() {
    mqtt::ssl_options tls;
    tls.set_trust_store(options_.ca_file);
    tls.set_key_store(options_.certificate_file);
    tls.set_private_key(options_.key_file);
    tls.set_enable_server_cert_auth(true);
    tls.set_verify(true);  // the certificate must name the host
    tls.set_error_handler([this](const std::string& text) { keep_tls_error(text); });

    mqtt::connect_options connect;
    connect.set_mqtt_version(MQTTVERSION_5);
    // The broker need not keep anything for us: devices send again what we have not acknowledged.
    connect.set_clean_start(true);
    connect.set_keep_alive_interval(static_cast<int>(options_.keep_alive_s));
    connect.set_connect_timeout(kConnectTimeout);
    connect.set_automatic_reconnect(false);  // run() does it, with a log line that says what is wrong
    connect.set_ssl(std::move(tls));
    mqtt::properties properties;
    properties.add({mqtt::property::RECEIVE_MAXIMUM, static_cast<std::int32_t>(options_.receive_max)});
    properties.add(
        {mqtt::property::MAXIMUM_PACKET_SIZE, static_cast<std::int32_t>(options_.packet_size_max)});
    connect.set_properties(std::move(properties));
    return connect;
  }

  void run(const std::stop_token& stop) {
    auto pause = options_.retry_min;
    while (!stop.stop_requested()) {
      const auto began = std::chrono::steady_clock::now();
      if (open(stop)) wait_until_lost(stop);
      close();
      if (stop.stop_requested()) break;
      if (std::chrono::steady_clock::now() - began >= kStableAfter) pause = options_.retry_min;
      sleep(stop, pause);
      pause = std::min(2 * pause, options_.retry_max);
    }
  }

  // Connects and subscribes. Logs why not, but the same reason only once.
  bool open(const std::stop_token& stop) {
    {
      const std::lock_guard lock(mutex_);
      lost_ = false;
    }
    try {
      if (!finish(*client_.connect(connect_options()), stop)) return failed("no answer");
      const auto token = client_.subscribe(std::string(topics::kGatewayFilter), 1);
      if (!finish(*token, stop)) return failed("no answer to the subscription");
      const auto codes = token->get_subscribe_response().get_reason_codes();
      if (codes.empty() || static_cast<int>(codes.front()) >= 0x80) {
        return failed(
            "the subscription was refused: check the broker's ACL for the gateway's certificate name");
      }
    } catch (const mqtt::exception& error) {
      return failed(describe(error.what(), error.get_reason_code()));
    }
    ++sessions_;
    connected_ = true;
    last_failure_.clear();
    log_(LogLevel::kInfo, "connected to the broker at " + where());
    callbacks_.session_started();
    return true;
  }

  // Waits for the token; false: it did not complete in time, or we are to stop. Throws mqtt::exception if it
  // failed.
  static bool finish(mqtt::token& token, const std::stop_token& stop) {
    const auto deadline = std::chrono::steady_clock::now() + 2 * kConnectTimeout;
    while (!stop.stop_requested() && std::chrono::steady_clock::now() < deadline) {
      if (token.wait_for(std::chrono::milliseconds{100})) return true;
    }
    return false;
  }

  void wait_until_lost(const std::stop_token& stop) {
    const auto since = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return lost_; });
    connected_ = false;
    if (!lost_) return;
    // mosquitto 2.0.11 just closes the connection when another client takes over.
    const bool soon = std::chrono::steady_clock::now() - since < kStableAfter;
    log_(LogLevel::kWarning, "lost the broker at " + where() + ": " + cause_ + "; connecting again" +
                                 (soon ? " (so soon: is a second gateway running on the same broker?)" : ""));
  }

  void close() {
    connected_ = false;
    if (!client_.is_connected()) return;
    try {
      client_.disconnect(1000)->wait_for(std::chrono::milliseconds{2000});
    } catch (const mqtt::exception&) {
      // It is closed all the same.
    }
  }

  bool failed(const std::string& why) {
    std::string text = "cannot connect to the broker at " + where() + ": " + why;
    {
      const std::lock_guard lock(mutex_);
      if (!tls_error_.empty()) text += ": " + std::exchange(tls_error_, {});
    }
    if (text != last_failure_) {
      log_(LogLevel::kWarning,
           text + "; is it running, and are host, port and certificates right? Trying again");
      last_failure_ = text;
    }
    return false;
  }

  void sleep(const std::stop_token& stop, std::chrono::milliseconds pause) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, pause, [] { return false; });
  }

  // On Paho's receive thread, which also acknowledges to the broker once this returns.
  void received(const mqtt::message& message) {
    ++messages_;
    const auto topic = topics::parse(message.get_topic());
    if (!topic) {
      ++foreign_;
      return;
    }
    callbacks_.message({.device = topic->device,
                        .leaf = topic->leaf,
                        .received = received_now(),
                        .payload = message.get_payload_str(),
                        .qos = static_cast<std::uint8_t>(message.get_qos())});
  }

  bool send_one(const AckTo& entry) {
    if (!connected_) return false;
    std::array<std::uint8_t, codec::kAckSizeMax> payload{};
    const auto size = codec::encode(entry.ack, payload);
    if (!size) return false;
    try {
      client_.publish(std::string(topics::make(entry.device, topics::Leaf::kAck).view()), payload.data(),
                      *size, 0, false);
      return true;
    } catch (const mqtt::exception&) {
      return false;  // Paho's buffer is full, or the connection has just gone
    }
  }

  void lost(std::string cause) {
    const std::lock_guard lock(mutex_);
    if (lost_) return;  // the first cause tells more
    lost_ = true;
    cause_ = std::move(cause);
    changed_.notify_all();
  }

  void keep_tls_error(std::string_view text) {
    while (text.ends_with('\n')) text.remove_suffix(1);
    const std::lock_guard lock(mutex_);
    tls_error_ = text;
  }

  std::string where() const { return options_.host + ":" + std::to_string(options_.port); }

  const Options options_;
  const Callbacks callbacks_;
  const LogSink log_;

  std::mutex mutex_;  // of the four below
  std::condition_variable_any changed_;
  bool lost_ = false;
  std::string cause_;
  std::string tls_error_;

  std::string last_failure_;  // of the thread
  std::atomic<bool> connected_ = false;
  std::atomic<std::uint64_t> sessions_ = 0;
  std::atomic<std::uint64_t> messages_ = 0;
  std::atomic<std::uint64_t> foreign_ = 0;
  std::atomic<std::uint64_t> acks_ = 0;
  std::atomic<std::uint64_t> dropped_acks_ = 0;

  mqtt::async_client client_;
  std::jthread thread_;
};

Consumer::Consumer(Options options, Callbacks callbacks, LogSink log)
    : session_(std::make_unique<Session>(std::move(options), std::move(callbacks), std::move(log))) {}
Consumer::~Consumer() { stop(); }
void Consumer::start() { session_->start(); }
void Consumer::stop() { session_->stop(); }
void Consumer::send(std::span<const AckTo> acks) { session_->send(acks); }
Consumer::Stats Consumer::stats() const { return session_->stats(); }

}  // namespace godwit::gateway
