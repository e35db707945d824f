// SPDX-License-Identifier: Apache-2.0
// A session test as a list of steps: expect transmit X, feed Y, expect event Z. run() plays the list with the
// input whole, cut in two at every byte, and byte by byte; then once for every step with the link closing
// behind it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "firmware/mqtt/session.h"

namespace godwit::mqtt::test {

// "20 03 00 00 00" -> bytes; 'text' in single quotes stands for its characters.
std::vector<std::uint8_t> hex(std::string_view text);
std::string to_hex(Bytes bytes);
// "connected session_present", "message id=1 qos=1 topic=t payload=hi", "published id=1 reason=10", ...
std::string describe(const Event& event);

// A session with its memory, a clock, and all that it has said so far.
class Peer {
 public:
  struct Sizes {
    std::size_t receive = 256;
    std::size_t transmit = 512;
    std::size_t retransmit = 1024;
    std::size_t inbound = 16;
  };
  explicit Peer(const Options& options, const Sizes& sizes);

  // Each of these drains the session afterwards, as its contract demands.
  void link_up();
  void link_down();
  void feed(Bytes bytes);
  void wait(Millis time);  // in one jump to each deadline on the way
  void drain();

  Session& session() { return session_; }
  Instant now = Instant{Millis{1'000'000}};
  std::vector<std::uint8_t> sent;
  std::vector<std::string> events;
  bool link_blocked = false;  // the link takes nothing

 private:
  std::vector<std::uint8_t> receive_;
  std::vector<std::uint8_t> transmit_;
  std::vector<std::uint8_t> retransmit_;
  std::vector<std::uint16_t> inbound_;
  Session session_;
};

class Script {
 public:
  explicit Script(const Options& options, const Peer::Sizes& sizes = {}) : options_(options), sizes_(sizes) {}

  Script& up();
  Script& down();
  Script& sends(std::string_view bytes);  // exactly these, in hex
  Script& feeds(std::string_view bytes);
  Script& event(std::string_view text);
  Script& closes();  // should_close(), all being sent
  Script& wait(Millis time);
  Script& does(std::function<void(Peer&)> action);

  void run() const;

 private:
  struct Step {
    enum class Kind { kUp, kDown, kSends, kFeeds, kEvent, kCloses, kWait, kDoes } kind;
    std::string text;
    std::vector<std::uint8_t> bytes;
    Millis time{0};
    std::function<void(Peer&)> action;
  };
  void play(std::size_t steps, std::size_t cut, bool byte_by_byte, Peer& peer) const;
  void play_until(std::size_t last) const;

  Options options_;
  Peer::Sizes sizes_;
  std::vector<Step> steps_;
};

// The options of most tests, and what they make of CONNECT.
Options resuming_options();
inline constexpr std::string_view kConnect =
    "10 1D 00 04 'MQTT' 05 02 00 3C 0D 11 00 00 0E 10 21 00 08 27 00 00 01 00 00 03 'dev'";
inline constexpr std::string_view kResume =
    "10 1D 00 04 'MQTT' 05 00 00 3C 0D 11 00 00 0E 10 21 00 08 27 00 00 01 00 00 03 'dev'";
inline constexpr std::string_view kConnack = "20 03 00 00 00";
inline constexpr std::string_view kConnackPresent = "20 03 01 00 00";

}  // namespace godwit::mqtt::test
