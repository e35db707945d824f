// SPDX-License-Identifier: Apache-2.0
// Carries the outbox to the gateway: says hello, sends entries in order a window ahead, goes back to where
// the gateway wants it (go-back-N), and lets the outbox reclaim only what the gateway has committed. A PUBACK
// frees the MQTT window and nothing else. A value without I/O; it publishes through the session it is given.
//
//   kClosed --session opened--> kDue --found room--> kSent --Ack of its try--> kSending
//                                ^                     |                          |
//                                |                     | no answer in time, the   | no progress in time, a record
//                                |                     | broker or gateway says   | refused or without a reader
//                                +--pause over-- kWaiting <-----------------------+
//
//   kSent, kSending --something new to say (a mark was written), or asked for--> kDue
//
// Every hello draws a new try, and only what names the last one counts: an answer to an earlier hello, or to
// one of a flash that was replaced, moves nothing. Why: docs/adr/0012-every-mark-is-an-epoch.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "firmware/mqtt/backoff.h"
#include "firmware/mqtt/session.h"
#include "firmware/outbox/outbox.h"
#include "firmware/ports/log.h"
#include "proto/base/time.h"
#include "proto/codec/messages.h"
#include "proto/topics/topics.h"

namespace godwit::agent {

class Uplink {
 public:
  // Entries in flight between device and gateway. One is resent only after a loss, so a deeper window costs
  // nothing but the bytes that a rewind repeats.
  static constexpr std::uint64_t kWindowEntries = mqtt::Session::kOutboundMax;
  static constexpr std::size_t kHelloSizeMax = 1'900;  // bytes; as many marks as fit are named
  // How long to wait for the Ack of a hello and for progress while sending: twice what the last hello took,
  // at least this, twice as long after each time in vain, and at most Options::answer_timeout_max.
  static constexpr Millis kAnswerTimeoutMin{5'000};
  // The link is given up when so many waits in a row ended without a byte from the broker.
  static constexpr int kSilencesMax = 2;
  // Asked for a hello so soon after the last one, it pauses first: a gateway that always asks gets no flood.
  static constexpr Millis kHelloPause{1'000};

  struct Options {
    std::uint32_t boot = 1;  // number of this boot; keeps tries apart when entropy fails, see draw_try()
    Millis answer_timeout_max{60'000};
  };

  // What the uplink asks of the device that it is a part of.
  class Owner {
   public:
    // What is said now, but for try, seqs and marks. Texts are borrowed until the next call.
    virtual codec::Hello hello() = 0;
    virtual std::span<const codec::AnnouncedTable> tables() = 0;
    // All bits set if the source of randomness fails.
    virtual std::uint32_t random() = 0;

   protected:
    ~Owner() = default;  // not virtual: that would ask for operator delete
  };

  // Everything must outlive this object.
  Uplink(const DeviceId& device, const Options& options, outbox::Outbox& outbox, mqtt::Session& session,
         Owner& owner, ports::Log& log);

  void session_opened(Instant now) { greet(now); }
  void session_closed();
  // Say hello again as soon as possible: what it says has changed.
  void hello_changed(Instant now);

  // Something came from the broker, whatever it was.
  void broker_heard() { silences_ = 0; }
  void handle_ack(Instant now, const codec::Ack& ack);
  void handle_published(Instant now, std::uint16_t id, mqtt::ReasonCode reason);
  void handle_timeout(Instant now);
  // Publishes what may be published now. Call when there is something new to send or room to send it.
  void pump(Instant now);

  [[nodiscard]] std::optional<Instant> next_deadline() const { return deadline_; }
  // The broker does not answer any more, though the link is up: close it.
  [[nodiscard]] bool link_is_dead() const { return silences_ >= kSilencesMax; }
  // The gateway has answered in this session and is not known to be gone.
  [[nodiscard]] bool online() const { return state_ == State::kSending; }
  // The gateway has committed every entry below this one, as far as it last said.
  [[nodiscard]] Seq acked_seq() const { return acked_; }
  [[nodiscard]] std::uint64_t published() const { return published_; }

 private:
  enum class State : std::uint8_t { kClosed, kDue, kSent, kSending, kWaiting };

  // The last hello.
  struct Hello {
    Try try_id{};
    Seq marks_before{};  // as it says
    Epoch epoch{};       // as it says: of a mark that is written later, the gateway has to hear first
    bool answered = false;
    Seq rewound{};                // where the gateway last had it begin again
    std::uint16_t packet_id = 0;  // until the broker has acknowledged it
    Instant sent_at{};
  };

  void greet(Instant now, Seq marks_before = {});
  void wait(Instant now);
  void answer_wish(Instant now, const codec::Ack& ack);
  void move_to(Instant now, const codec::Ack& ack);
  Try draw_try();
  bool send_hello(Instant now);
  Status add_marks(codec::Hello& hello);
  Status publish_hello(Instant now, const codec::Hello& hello);
  bool send_next(Instant now);
  Status send_data(Instant now, const outbox::Entry& entry);
  // Of what is no data.
  Status send_notice(Instant now, const outbox::Entry& entry);

  outbox::Outbox& outbox_;
  mqtt::Session& session_;
  Owner& owner_;
  ports::Log& log_;
  topics::Topic hello_topic_;
  topics::Topic record_topic_;
  State state_ = State::kClosed;
  std::uint32_t tries_;  // drawn, counted from a start that differs from boot to boot
  int silences_ = 0;
  Hello hello_;
  Millis answer_timeout_max_;
  Millis answer_timeout_ = kAnswerTimeoutMin;
  Seq acked_ = kFirstSeq;
  Seq send_ = kFirstSeq;
  std::optional<Instant> deadline_;  // of the state
  mqtt::Backoff backoff_{
      {.least = Millis{200}, .first = Millis{1'000}, .max = Millis{30'000}, .stable_after = Millis{0}}};
  std::uint64_t published_ = 0;
};

}  // namespace godwit::agent
