// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/firmware/mqtt/script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

namespace godwit::mqtt::test {

std::vector<std::uint8_t> hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
    } else if (text[i] == '\'') {
      for (++i; text[i] != '\''; ++i) bytes.push_back(static_cast<std::uint8_t>(text[i]));
      ++i;
    } else {
      bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
      i += 2;
    }
  }
  return bytes;
}

std::string to_hex(Bytes bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02X ", byte);
    text += digits;
  }
  return text;
}

std::string describe(const Event& event) {
  static constexpr const char* kNames[] = {"connected",    "refused",    "message",      "published",
                                           "publish_lost", "subscribed", "unsubscribed", "disconnected"};
  std::string text = kNames[static_cast<std::size_t>(event.type)];
  if (event.id != 0) text += " id=" + std::to_string(event.id);
  if (event.session_present) text += " session_present";
  if (event.reason != ReasonCode::kSuccess) {
    const auto code = static_cast<std::uint8_t>(event.reason);
    text += " reason=" + to_hex({&code, 1}).substr(0, 2);
  }
  if (event.by_server) text += " by_server";
  if (!event.reason_string.empty()) text += " '" + std::string(event.reason_string) + "'";
  if (!event.server_reference.empty()) text += " use=" + std::string(event.server_reference);
  if (event.type != EventType::kMessage) return text;
  const Message& message = event.message;
  text += " qos=" + std::to_string(static_cast<int>(message.qos)) + " topic=" + std::string(message.topic) +
          " payload=" + std::string(as_text(message.payload));
  if (message.retain) text += " retain";
  if (message.duplicate) text += " dup";
  const MessageProperties properties = decode(message.properties);
  if (properties.text_payload) text += " text";
  if (properties.expiry_s) text += " expiry=" + std::to_string(*properties.expiry_s);
  if (!properties.content_type.empty()) text += " type=" + std::string(properties.content_type);
  if (!properties.response_topic.empty()) text += " response=" + std::string(properties.response_topic);
  if (!properties.correlation_data.empty())
    text += " correlation=" + std::string(as_text(properties.correlation_data));
  for (std::size_t i = 0; const auto property = user_property(message.properties, i); ++i) {
    text += " " + std::string(property->name) + ":" + std::string(property->value);
  }
  return text;
}

Peer::Peer(const Options& options, const Sizes& sizes)
    : receive_(sizes.receive),
      transmit_(sizes.transmit),
      retransmit_(sizes.retransmit),
      inbound_(sizes.inbound),
      session_({.receive = receive_, .transmit = transmit_, .retransmit = retransmit_, .inbound = inbound_},
               options) {}

void Peer::link_up() {
  EXPECT_EQ(session_.link_up(now), Status::kOk);
  drain();
}

void Peer::link_down() {
  session_.link_down(now);
  drain();
}

void Peer::feed(Bytes bytes) {
  for (int idle = 0; !bytes.empty() && idle < 2;) {
    const std::size_t taken = session_.handle_bytes(now, bytes);
    ASSERT_LE(taken, bytes.size());
    bytes = bytes.subspan(taken);
    idle = taken == 0 ? idle + 1 : 0;
    drain();
  }
  EXPECT_TRUE(bytes.empty() || link_blocked) << "the session takes no input";
}

void Peer::wait(Millis time) {
  const Instant end = now + time;
  while (const auto deadline = session_.next_deadline()) {
    if (*deadline > end) break;
    EXPECT_GE(*deadline, now) << "a deadline in the past that handle_timeout() does not clear";
    now = std::max(now, *deadline);
    session_.handle_timeout(now);
    drain();
  }
  now = end;
  session_.handle_timeout(now);
  drain();
}

void Peer::drain() {
  do {
    while (const Event* const event = session_.poll_event()) events.push_back(describe(*event));
    if (link_blocked) return;
    const Bytes out = session_.transmit();
    sent.insert(sent.end(), out.begin(), out.end());
    session_.transmitted(now, out.size());
  } while (!session_.transmit().empty());
}

Script& Script::up() {
  steps_.push_back({.kind = Step::Kind::kUp, .text = "link up"});
  return *this;
}
Script& Script::down() {
  steps_.push_back({.kind = Step::Kind::kDown, .text = "link down"});
  return *this;
}
Script& Script::sends(std::string_view bytes) {
  steps_.push_back({.kind = Step::Kind::kSends, .text = std::string(bytes), .bytes = hex(bytes)});
  return *this;
}
Script& Script::feeds(std::string_view bytes) {
  steps_.push_back({.kind = Step::Kind::kFeeds, .text = std::string(bytes), .bytes = hex(bytes)});
  return *this;
}
Script& Script::event(std::string_view text) {
  steps_.push_back({.kind = Step::Kind::kEvent, .text = std::string(text)});
  return *this;
}
Script& Script::closes() {
  steps_.push_back({.kind = Step::Kind::kCloses, .text = "closes"});
  return *this;
}
Script& Script::wait(Millis time) {
  steps_.push_back({.kind = Step::Kind::kWait, .text = "wait", .time = time});
  return *this;
}
Script& Script::does(std::function<void(Peer&)> action) {
  steps_.push_back({.kind = Step::Kind::kDoes, .text = "does", .action = std::move(action)});
  return *this;
}

void Script::play(std::size_t steps, std::size_t cut, bool byte_by_byte, Peer& peer) const {
  for (std::size_t i = 0; i < steps; ++i) {
    const Step& step = steps_[i];
    SCOPED_TRACE("step " + std::to_string(i) + ": " + step.text + ", cut at " + std::to_string(cut));
    switch (step.kind) {
      case Step::Kind::kUp:
        peer.link_up();
        break;
      case Step::Kind::kDown:
        peer.link_down();
        break;
      case Step::Kind::kSends: {
        const std::size_t size = std::min(step.bytes.size(), peer.sent.size());
        EXPECT_EQ(to_hex(Bytes(peer.sent).first(size)), to_hex(step.bytes));
        peer.sent.erase(peer.sent.begin(), peer.sent.begin() + static_cast<std::ptrdiff_t>(size));
        break;
      }
      case Step::Kind::kFeeds:
        if (byte_by_byte) {
          for (const std::uint8_t& byte : step.bytes) peer.feed({&byte, 1});
        } else {
          const Bytes whole = step.bytes;
          const std::size_t at = std::min(cut, whole.size());
          peer.feed(whole.first(at));
          peer.feed(whole.subspan(at));
        }
        break;
      case Step::Kind::kEvent:
        ASSERT_FALSE(peer.events.empty()) << "no event";
        EXPECT_EQ(peer.events.front(), step.text);
        peer.events.erase(peer.events.begin());
        break;
      case Step::Kind::kCloses:
        EXPECT_TRUE(peer.session().should_close());
        EXPECT_TRUE(peer.session().transmit().empty());
        break;
      case Step::Kind::kWait:
        peer.wait(step.time);
        break;
      case Step::Kind::kDoes:
        step.action(peer);
        peer.drain();
        break;
    }
    if (testing::Test::HasFatalFailure()) return;
  }
}

// The link closes behind step `last`: what it began must end with one event, and a new connection must work.
void Script::play_until(std::size_t last) const {
  SCOPED_TRACE("the link closes behind step " + std::to_string(last));
  Peer peer(options_, sizes_);
  std::ptrdiff_t ups = 0;
  // Events that a step has taken off the list are counted as the script names them.
  std::ptrdiff_t ends = 0;
  const auto is_end = [](std::string_view text) {
    return text.starts_with("disconnected") || text.starts_with("refused");
  };
  for (std::size_t i = 0; i <= last; ++i) {
    if (steps_[i].kind == Step::Kind::kUp) ++ups;
    if (steps_[i].kind == Step::Kind::kEvent && is_end(steps_[i].text)) ++ends;
  }
  play(last + 1, 0, false, peer);
  peer.link_blocked = false;
  peer.link_down();
  ends += std::ranges::count_if(peer.events, is_end);
  EXPECT_EQ(ends, ups) << "each link_up() is ended by one event";
  EXPECT_TRUE(peer.session().transmit().empty());
  EXPECT_FALSE(peer.session().next_deadline().has_value());
  EXPECT_FALSE(peer.session().should_close());
  EXPECT_FALSE(peer.session().connected());
  peer.events.clear();
  peer.sent.clear();
  peer.link_up();
  EXPECT_EQ(peer.sent.empty() ? 0 : peer.sent[0], 0x10);
  peer.feed(hex(kConnack));
  EXPECT_EQ(peer.events.empty() ? "" : peer.events[0], "connected");
  EXPECT_TRUE(peer.session().connected());
}

void Script::run() const {
  std::size_t longest = 0;
  for (const Step& step : steps_) {
    if (step.kind == Step::Kind::kFeeds) longest = std::max(longest, step.bytes.size());
  }
  for (std::size_t cut = 0; cut <= longest; ++cut) {
    const bool byte_by_byte = cut == longest;
    Peer peer(options_, sizes_);
    play(steps_.size(), cut, byte_by_byte, peer);
    EXPECT_EQ(to_hex(peer.sent), "") << "sent, but not expected, cut at " << cut;
    EXPECT_TRUE(peer.events.empty()) << "not expected: " << peer.events.front() << ", cut at " << cut;
    if (testing::Test::HasFailure()) return;
  }
  for (std::size_t last = 0; last < steps_.size(); ++last) {
    play_until(last);
    if (testing::Test::HasFailure()) return;
  }
}

Options resuming_options() {
  return {.client_id = "dev", .user_name = {}, .password = {}, .session_expiry_s = 3600};
}

}  // namespace godwit::mqtt::test
