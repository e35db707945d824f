// SPDX-License-Identifier: Apache-2.0
// godwit-mqtt conformance against a server that is a script: what it sends, and which bytes it wants back.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

#include "tests/support/process.h"

namespace godwit::test {
namespace {

using std::chrono::seconds;
using namespace std::string_literals;

constexpr int kTimeoutMs = 10'000;

const std::string kConnack = "\x20\x03\x00\x00\x00"s;
// One end of a loopback connection; waits with a deadline.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void send(const std::string& bytes) const { ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Exactly so many bytes; fewer if the peer closes or is silent.
  [[nodiscard]] std::string read(std::size_t size) const {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      pollfd source{fd_, POLLIN, 0};
      if (::poll(&source, 1, kTimeoutMs) <= 0) break;
      const ssize_t got = ::recv(fd_, bytes.data() + have, size - have, 0);
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    return bytes.substr(0, have);
  }
  // One MQTT packet of fewer than 128 bytes.
  [[nodiscard]] std::string packet() const {
    std::string bytes = read(2);
    if (bytes.size() == 2) bytes += read(static_cast<unsigned char>(bytes[1]));
    return bytes;
  }

 private:
  int fd_;
};

class ConformanceMode : public testing::Test {
 protected:
  ConformanceMode() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 4) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no port");
    }
    port_ = std::to_string(ntohs(address.sin_port));
  }
  ~ConformanceMode() override { ::close(listener_); }

  // Gives an order, and takes the connection that it leads to, up to the CONNECT.
  std::unique_ptr<Peer> order(const std::string& rest) {
    client_.write_stdin(port_ + " " + rest + "\n");
    pollfd source{listener_, POLLIN, 0};
    if (::poll(&source, 1, kTimeoutMs) != 1) throw std::runtime_error("no connection: " + client_.log());
    auto peer = std::make_unique<Peer>(::accept(listener_, nullptr, nullptr));
    connect_ = peer->packet();
    return peer;
  }
  // The line that reports the end of the last connection.
  std::string outcome() {
    const std::size_t from = reported_;
    const auto line = client_.wait_for_line("\n", seconds(10), from);
    const std::string log = client_.log();
    reported_ = log.find('\n', from) + 1;
    return line ? log.substr(from, reported_ - 1 - from) : "nothing";
  }

  int listener_;
  std::string port_;
  Process client_{{GODWIT_MQTT_PROGRAM, "conformance"}};
  std::string connect_;
  std::size_t reported_ = 0;
};

TEST_F(ConformanceMode, ConnectsAsItIsTold) {
  for (const bool clean : {true, false}) {
    const auto peer = order(clean ? "5 1" : "5 0");
    ASSERT_GE(connect_.size(), 12U);
    EXPECT_EQ(connect_.substr(2, 7), "\x00\x04MQTT\x05"s);
    EXPECT_EQ((connect_[9] & 0x02) != 0, clean);
    EXPECT_NE(connect_.find("\x00\x07"s
                            "fuzzish"),
              std::string::npos);
  }
  EXPECT_EQ(outcome(), "closed by the server");
}

TEST_F(ConformanceMode, AnswersOtherVersionsUnsupported) {
  client_.write_stdin("1 4 1\n1 3.1.1 1 publish-1\n");
  EXPECT_EQ(outcome(), "unsupported");
  EXPECT_EQ(outcome(), "unsupported");
}

TEST_F(ConformanceMode, PublishesOnceAndReportsTheEnd) {
  const auto peer = order("5 1 publish-1");
  peer->send(kConnack);
  EXPECT_EQ(peer->packet(), "\x32\x11\x00\x05topic\x00\x01\x00message"s);
  peer->send("\x40\x02\x00\x01"s);
  peer->send("\xe0\x00"s);  // DISCONNECT
  EXPECT_EQ(outcome(), "disconnected by the server: reason 0x00");
}

TEST_F(ConformanceMode, PublishesAtQos2) {
  const auto peer = order("5 1 publish-2");
  peer->send(kConnack);
  EXPECT_EQ(peer->packet(), "\x34\x11\x00\x05topic\x00\x01\x00message"s);
  peer->send("\x50\x02\x00\x01"s);
  EXPECT_EQ(peer->packet(), "\x62\x02\x00\x01"s);
  peer->send("\x70\x02\x00\x01"s);
}

TEST_F(ConformanceMode, Unsubscribes) {
  const auto peer = order("5 1 unsubscribe");
  peer->send(kConnack);
  EXPECT_EQ(peer->packet(), "\xa2\x0a\x00\x01\x00\x00\x05topic"s);
  peer->send("\xb0\x04\x00\x01\x00\x00"s);
}

TEST_F(ConformanceMode, AcknowledgesMessagesThatItNeverAskedFor) {
  const auto peer = order("5 1");
  peer->send(kConnack);
  peer->send("\x32\x0f\x00\x05topic\x00\x07\x00hello"s);
  EXPECT_EQ(peer->packet().substr(0, 4), "\x40\x02\x00\x07"s);
  peer->send("\x34\x0f\x00\x05topic\x00\x08\x00hello"s);
  EXPECT_EQ(peer->packet().substr(0, 4), "\x50\x02\x00\x08"s);
  peer->send("\x62\x02\x00\x08"s);
  EXPECT_EQ(peer->packet().substr(0, 4), "\x70\x02\x00\x08"s);
}

struct Violation {
  const char* name;
  std::string bytes;
  std::string reason;  // of the DISCONNECT
};

TEST_F(ConformanceMode, EndsTheConnectionAsSpecifiedAndGoesOnWithTheNext) {
  const std::vector<Violation> violations{
      {"reserved packet type", "\x00\x00"s, "\x81"s},
      {"remaining length of five bytes", "\x30\xff\xff\xff\xff\x01"s, "\x81"s},
      {"QoS 3", "\x36\x0f\x00\x05topic\x00\x07\x00hello"s, "\x81"s},
      {"second CONNACK", kConnack, "\x82"s},
      {"packet that only clients send", "\xc0\x00"s, "\x82"s},
      {"packet identifier 0", "\x32\x0f\x00\x05topic\x00\x00\x00hello"s, ""},
      {"wildcard in a topic name",
       "\x30\x08\x00\x05"
       "a/#/b\x00"s,
       ""},
      {"unknown topic alias", "\x30\x06\x00\x00\x03\x23\x00\x09"s, "\x94"s},
  };
  for (const Violation& violation : violations) {
    auto peer = order("5 1");
    peer->send(kConnack);
    peer->send(violation.bytes);
    const std::string answer = peer->packet();
    ASSERT_GE(answer.size(), 3U) << violation.name;
    EXPECT_EQ(answer[0], '\xe0') << violation.name;
    const std::string expected = violation.reason.empty() ? answer.substr(2, 1) : violation.reason;
    EXPECT_EQ(answer.substr(2, 1), expected) << violation.name;
    EXPECT_EQ(peer->read(1), "") << "closed after " << violation.name;
    peer.reset();
    EXPECT_TRUE(outcome().starts_with("disconnected by the client: ")) << violation.name;
  }
}

TEST_F(ConformanceMode, OutlivesNonsenseUntilItsInputEnds) {
  client_.write_stdin("\nnonsense\n99999 5 1\n1 5 1\n");
  EXPECT_TRUE(outcome().starts_with("error: "));
  EXPECT_TRUE(outcome().starts_with("error: "));
  EXPECT_TRUE(outcome().starts_with("error: "));
  EXPECT_TRUE(outcome().starts_with("no connection: "));
  for (int i = 0; i < 50; ++i) {  // a server that sends noise, or hangs up
    const auto peer = order("5 1 publish-2");
    peer->send(i % 2 == 0 ? kConnack : "");
    std::string noise;
    for (int n = 0; n < i * 7; ++n) noise += static_cast<char>((n * 31 + i * 17) % 256);
    peer->send(noise);
  }
  client_.close_stdin();
  EXPECT_EQ(client_.wait(seconds(20)), 0) << client_.log();
}

}  // namespace
}  // namespace godwit::test
