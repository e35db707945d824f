// SPDX-License-Identifier: Apache-2.0
// Hostile neighbours of a board: frames, and answers of DHCP, DNS, time server and TCP peer that are right
// but for their content. Nothing may crash, lwIP's own checks (on in host builds) must hold, and afterwards
// the board must come back to an address and a connection that carries bytes.
//
// The input is a list of steps: one byte what, two bytes size (little-endian), and so many bytes.
#include <algorithm>
#include <optional>
#include <string>

#include "boards/common/net/host_lookup.h"
#include "boards/common/net/network.h"
#include "boards/common/net/tcp_stream.h"
#include "proto/base/assert.h"
#include "tests/support/seeded_entropy.h"
#include "tests/unit/boards/common/net/segment.h"

namespace {

using namespace godwit;
using boards::TcpStream;
using test::Octets;

constexpr std::size_t kStepsMax = 64;
constexpr std::uint16_t kSntpPort = 123;
constexpr std::uint16_t kBrokerPort = 8883;

// lwIP is a process-wide global: its clock may not go back.
Instant g_now{Millis{1}};

class Rig {
 public:
  Rig() {
    segment_.hosts["broker"] = test::kServerIp;
    segment_.udp = [this](std::uint16_t port, const Octets& request) -> std::optional<Octets> {
      if (port == kSntpPort) time_request_ = request;
      return std::nullopt;
    };
    GODWIT_ASSERT(network_.start(g_now) == Status::kOk);
    run(Millis{100});
    connect();
  }

  void step(std::uint8_t what, const Octets& bytes) {
    switch (what % 8) {
      case 0:
        segment_.deliver(frame(bytes));
        break;
      case 1:
        segment_.answer_dhcp(bytes);
        break;
      case 2:
        segment_.answer_dns(bytes);
        break;
      case 3:
        answer_time(bytes);
        break;
      case 4:
        send_segment(bytes);
        break;
      case 5:
        run(Millis{bytes.empty() ? 1 : bytes[0] * 64});
        break;
      case 6:
        use(bytes);
        break;
      case 7:
        segment_.dhcp.answers = !bytes.empty();
        segment_.dns_answers = bytes.size() > 1;
        segment_.cable = bytes.size() < 3;
        break;
    }
    run(Millis{1});
  }

  void check_recovery() {
    // Somebody may have given it a lease of years on a network of his own. A cable that was out ends that.
    segment_.cable = false;
    run(Millis{500});
    segment_.cable = segment_.dhcp.answers = segment_.dns_answers = segment_.dhcp.refuses = true;
    for (int i = 0; i < 500 && (!network_.cable() || network_.up()); ++i) run(Millis{1});
    segment_.dhcp.refuses = false;
    for (int i = 0; i < 2'000 && network_.address() != kAddress; ++i) run(Millis{100});
    GODWIT_ASSERT(network_.address() == kAddress);
    connect();
    GODWIT_ASSERT(stream_.state() == TcpStream::State::kOpen);
    GODWIT_ASSERT(stream_.write(as_bytes("ping")) == 4U);
    segment_.tcp.send("pong");
    run(Millis{100});
    GODWIT_ASSERT(segment_.tcp.received() == "ping");
    std::array<std::uint8_t, 8> in{};
    GODWIT_ASSERT(stream_.read(in) == 4U);
  }

 private:
  static constexpr boards::Network::Ipv4 kAddress{10, 0, 0, 7};

  void run(Millis time) {
    const Instant end = g_now + time;
    while (g_now < end) {
      network_.poll(g_now);
      const Instant wake = segment_.has_frames() ? g_now : network_.next_deadline(g_now);
      g_now = std::clamp(wake, g_now + Millis{1}, std::max(end, g_now + Millis{1}));
    }
    segment_.sent.clear();
  }
  void connect() {
    lookup_.begin();
    ip_addr_t server{};
    IP_ADDR4(&server, 10, 0, 0, 1);
    if (stream_.connect(server, kBrokerPort) != Status::kOk) return;
    for (int i = 0; i < 100 && stream_.state() == TcpStream::State::kConnecting; ++i) run(Millis{100});
  }
  static Octets frame(Octets bytes) {
    bytes.resize(std::clamp<std::size_t>(bytes.size(), 14, 1514));
    return bytes;
  }
  // A right answer to the last request but for what is in `bytes`.
  void answer_time(Octets bytes) {
    if (bytes.size() >= 32 && time_request_.size() >= 48) {
      std::copy_n(time_request_.begin() + 40, 8, bytes.begin() + 24);
    }
    segment_.deliver_udp(test::kServerIp, kSntpPort, segment_.board_udp_port(), bytes);
  }
  void send_segment(const Octets& bytes) {
    if (bytes.size() < 4) return;
    segment_.tcp.send_segment({.flags = bytes[0],
                               .sequence_offset = static_cast<std::int8_t>(bytes[1]),
                               .options_words = std::size_t{bytes[2]} % 11,
                               .content = Octets(bytes.begin() + 3, bytes.end())});
  }
  void use(const Octets& bytes) {
    if (bytes.empty()) return;
    std::array<std::uint8_t, 256> buffer{};
    switch (bytes[0] % 5) {
      case 0:
        ignore(stream_.read(MutableBytes(buffer).first(1 + bytes.size() % buffer.size())));
        break;
      case 1:
        ignore(stream_.write(bytes));
        break;
      case 2:
        stream_.close();
        break;
      case 3:
        lookup_.begin();
        break;
      case 4:
        connect();
        break;
    }
  }

  test::SeededEntropy entropy_;
  test::Segment segment_;
  boards::Network network_{
      segment_, entropy_, {.hostname = "fuzz", .sntp = {.host = "10.0.0.1", .port = kSntpPort}}};
  // lwIP cannot be told to forget a question.
  static inline boards::HostLookup lookup_{"broker"};
  TcpStream stream_;
  Octets time_request_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes input(data, size);
  Rig rig;
  for (std::size_t steps = 0; steps < kStepsMax && input.size() >= 3; ++steps) {
    const std::uint8_t what = input[0];
    const std::size_t length = std::min<std::size_t>(load_le<std::uint16_t>(&input[1]), input.size() - 3);
    const Bytes bytes = input.subspan(3, length);
    rig.step(what, Octets(bytes.begin(), bytes.end()));
    input = input.subspan(3 + length);
  }
  rig.check_recovery();
  return 0;
}
