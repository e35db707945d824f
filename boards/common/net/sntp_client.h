// SPDX-License-Identifier: Apache-2.0
// Asks one server for the time of day: at once when the network comes up, then hourly, and less and less
// often while no answer comes. lwIP's own SNTP client takes the time of servers that say they have none,
// which certificates must not be checked against. Main loop only; nothing waits.
#pragma once

#include <optional>

#include "boards/common/net/host_lookup.h"
#include "boards/common/net/sntp.h"
#include "firmware/ports/entropy.h"
#include "proto/base/time.h"

struct pbuf;
struct udp_pcb;

namespace godwit::boards {

class SntpClient {
 public:
  struct Server {
    const char* host = "";  // borrowed; empty: nobody is asked
    std::uint16_t port = 123;
  };
  // What a server said: its time of day was `time` at `at` of our clock, give or take half a round trip.
  struct Answer {
    Instant at{};
    UnixMillis time{};
  };

  SntpClient(ports::Entropy& entropy, const Server& server)
      : entropy_(entropy), server_(server), lookup_(server.host) {}
  ~SntpClient();
  SntpClient(const SntpClient&) = delete;
  SntpClient& operator=(const SntpClient&) = delete;

  // Does what is due. While the network is down nobody is asked.
  void poll(Instant now, bool network_up);
  // When poll() must be called even if nothing arrives.
  [[nodiscard]] std::optional<Instant> deadline() const {
    return state_ == State::kIdle ? std::nullopt : due_;
  }

  // An answer that came since the last call.
  [[nodiscard]] std::optional<Answer> take_answer();

 private:
  // kIdle: no network, or no server. kWaiting: until due_. kLookingUp, kAsked: for something, at most until
  // due_.
  enum class State : std::uint8_t { kIdle, kWaiting, kLookingUp, kAsked };
  static void received(void* self, udp_pcb* pcb, pbuf* packet, const ip_addr_t* from, std::uint16_t port);
  void begin();
  void ask();
  void receive(Bytes message);
  void give_up();
  void wait(Millis time);

  ports::Entropy& entropy_;
  Server server_;
  HostLookup lookup_;
  udp_pcb* pcb_ = nullptr;
  State state_ = State::kIdle;
  Instant now_{};
  std::optional<Instant> due_;
  Millis retry_after_{};
  Instant asked_at_{};
  SntpNonce nonce_{};
  std::optional<Answer> answer_;
};

}  // namespace godwit::boards
