// SPDX-License-Identifier: Apache-2.0
// What the broker of the simulated worlds is held to, played on the real one: the installed mosquitto with
// the configuration of `godwit-gateway init`, but for TLS, in place of which clients say a user name.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <sstream>
#include <system_error>
#include <thread>

#include "tests/support/broker_script.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/loopback.h"
#include "tests/support/mosquitto.h"

namespace godwit::test {
namespace {

constexpr int kAnswer_ms = 5'000;
const std::string kPing = packet_of(0xC0, {});
const std::string kPong = packet_of(0xD0, {});

// The lines that init wrote, without those of TLS and of the listener.
std::string configuration(const std::filesystem::path& dir) {
  constexpr std::array kLeftOut{
      "listener",        "cafile",   "certfile", "keyfile",   "tls_version", "require_certificate",
      "allow_anonymous", "use_iden", "log_dest", "log_type ", "user "};
  std::istringstream lines(read_file(dir / "mosquitto.conf"));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    const bool left_out =
        std::ranges::any_of(kLeftOut, [&](const char* start) { return line.starts_with(start); });
    if (!left_out) text += line + "\n";
  }
  return text;
}

// A client's end of a connection.
class Wire {
 public:
  Wire(std::uint16_t port, bool quiet)
      : quiet_(quiet), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = loopback(port);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      throw std::system_error(errno, std::generic_category(), "the broker takes no connection");
  }
  ~Wire() { ::close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send(std::string_view bytes) {
    if (bytes == kPing) ++pongs_due_;
    ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Until an answer to a ping has come, behind which nothing is left that was caused before. One that must
  // not ping, or is not connected yet, gets what there is.
  void settle() {
    if (closed_) return;
    if (quiet_ || !connected_) {
      const bool waits = !connected_ && !asked_;
      asked_ = true;
      return static_cast<void>(read(waits ? kAnswer_ms : 100));
    }
    const std::size_t due = pongs_due_ + 1;
    ::send(fd_, kPing.data(), kPing.size(), MSG_NOSIGNAL);
    while (pongs_ < due) {
      if (!read(kAnswer_ms)) break;
    }
    if (pongs_ < due) return;
    received_.erase(last_pong_, kPong.size());  // the answer to ours
    --pongs_;
  }
  std::string take() {
    pongs_ = pongs_due_ = 0;
    return std::exchange(received_, std::string());
  }
  bool take_closed() { return std::exchange(tells_closed_, false); }

 private:
  // False: nothing came, or the broker has closed.
  bool read(int timeout_ms) {
    pollfd source{fd_, POLLIN, 0};
    if (::poll(&source, 1, timeout_ms) <= 0) return false;
    std::array<char, 65'536> buffer{};
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      closed_ = tells_closed_ = true;
      return false;
    }
    received_.append(buffer.data(), static_cast<std::size_t>(got));
    pongs_ = 0;
    std::string_view rest = received_;
    for (std::string_view packet = take_packet(rest); !packet.empty(); packet = take_packet(rest)) {
      if (packet == kPong) {
        ++pongs_;
        last_pong_ = static_cast<std::size_t>(packet.data() - received_.data());
      }
      if (packet.starts_with('\x20')) connected_ = true;
    }
    return true;
  }

  const bool quiet_;
  const int fd_;
  std::string received_;
  std::size_t pongs_due_ = 0;  // answers to pings of the script
  std::size_t pongs_ = 0;
  std::size_t last_pong_ = 0;  // where it begins
  bool asked_ = false;
  bool connected_ = false;
  bool closed_ = false;
  bool tells_closed_ = false;
};

class RealSide final : public BrokerSide {
 public:
  explicit RealSide(const std::string& extra) : mosquitto_({.tls = {}, .extra = extra}) {}

  void open(const std::string& name, bool quiet) override {
    wires_[name] = std::make_unique<Wire>(mosquitto_.port(), quiet);
  }
  void send(const std::string& name, std::string_view bytes) override { wires_.at(name)->send(bytes); }
  void cut(const std::string& name) override { wires_.erase(name); }
  void gateway_up() override {
    gateway_ = std::make_unique<Wire>(mosquitto_.port(), false);
    gateway_->send(connect_packet("gateway", {"nowill"}));
    gateway_->settle();
    gateway_->send(subscribe_packet(1, "gw1/d/+/up/#"));
    gateway_->settle();
    static_cast<void>(gateway_->take());
  }
  void gateway_down() override { gateway_.reset(); }
  void gateway_says(const std::string& topic, const std::string& payload) override {
    const char size[2] = {0, static_cast<char>(topic.size())};
    gateway_->send(packet_of(0x30, std::string(size, 2) + topic + '\0' + payload));
  }
  void stop() override { mosquitto_.process().stop(); }
  void die() override { mosquitto_.kill(); }
  void start() override { mosquitto_.start(); }
  void wait(Millis time) override { std::this_thread::sleep_for(time); }
  // Twice: the broker may look at one connection before it has seen the end of another.
  void settle() override {
    for (int round = 0; round < 2; ++round) {
      for (const auto& [name, wire] : wires_) wire->settle();
      if (gateway_) gateway_->settle();
    }
  }
  std::string take(const std::string& name) override {
    const auto found = wires_.find(name);
    return found == wires_.end() ? std::string() : found->second->take();
  }
  bool take_closed(const std::string& name) override {
    const auto found = wires_.find(name);
    return found != wires_.end() && found->second->take_closed();
  }
  std::vector<std::pair<std::string, std::string>> take_gateway() override {
    std::vector<std::pair<std::string, std::string>> messages;
    const std::string bytes = gateway_ ? gateway_->take() : std::string();
    std::string_view rest = bytes;
    for (std::string_view packet = take_packet(rest); !packet.empty(); packet = take_packet(rest)) {
      if ((packet[0] & 0xF0) != 0x30) continue;
      Published message = published(packet);
      messages.emplace_back(std::move(message.topic), std::move(message.payload));
      if (message.id == 0) continue;
      gateway_->send(packet_of(0x40, std::string{static_cast<char>(message.id >> 8U & 0xFFU),
                                                 static_cast<char>(message.id & 0xFFU)}));
    }
    return messages;
  }

 private:
  Mosquitto mosquitto_;
  std::map<std::string, std::unique_ptr<Wire>> wires_;
  std::unique_ptr<Wire> gateway_;
};

// "mosquitto version 2.0.11": the last word.
std::string installed_version() {
  const std::string text = run_program({"mosquitto", "-h"}).log;
  const std::string line = text.substr(0, text.find('\n'));
  return line.substr(line.rfind(' ') + 1);
}

TEST(BrokerBehaviours, AreThoseOfTheInstalledMosquitto) {
  const GatewayFixture installation;
  const std::string extra = configuration(installation.dir());
  const std::string version = installed_version();
  const auto behaviours = read_behaviours(GODWIT_MOSQUITTO_BEHAVIOURS);
  for (const Behaviour& behaviour : behaviours) {
    SCOPED_TRACE(behaviour.name + ", mosquitto " + version);
    RealSide side(extra);
    EXPECT_EQ(play(behaviour, side), expected_of(behaviour, version));
  }
}

}  // namespace
}  // namespace godwit::test
