// SPDX-License-Identifier: Apache-2.0
// Carries the outbox to the gateway: says hello, sends records in order a window ahead, goes back to where
// the gateway wants it (go-back-N), and lets the outbox forget only what the gateway has committed. A PUBACK
// frees the MQTT window and nothing else. A value without I/O; it publishes through the session it is given.
//
//   kClosed --session opened--> kGreeting --Ack--> kSending
//                                  ^  |  no answer, or PUBACK "no matching subscribers": wait, say hello
//                                  again |  v
//                               kWaiting <-- kSending: the same, or no progress for resend_after
#pragma once

#include <cstdint>
#include <optional>

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
  // Records in flight between device and gateway. A record is resent only after a loss, so a deeper window
  // costs nothing but the bytes that a rewind repeats.
  static constexpr std::uint64_t kWindowRecords = mqtt::Session::kOutboundMax;
  static constexpr Millis kAnswerTimeout{5'000};  // for the Ack of a hello, and for progress while sending

  // The link is given up when the broker has not acknowledged so many hellos in a row.
  static constexpr int kSilentHellosMax = 2;

  // What the uplink asks of the device that it is a part of.
  class Owner {
   public:
    virtual std::size_t hello_size() = 0;
    // Writes the present hello, of hello_size() bytes. Fails only if that changed in between.
    virtual Status write_hello(MutableBytes out) = 0;
    virtual std::uint32_t random() = 0;

   protected:
    ~Owner() = default;  // not virtual: that would ask for operator delete
  };

  // Everything must outlive this object.
  Uplink(const DeviceId& device, outbox::Outbox& outbox, mqtt::Session& session, Owner& owner,
         ports::Log& log);

  // The outbox was mounted: what it holds the gateway may have.
  void start() { shared_ = outbox_.next_seq(); }
  void session_opened(Instant now);
  void session_closed();
  // Say hello again as soon as possible: what it says has changed.
  void hello_changed(Instant now);

  void handle_ack(Instant now, const codec::Ack& ack);
  void handle_published(Instant now, std::uint16_t id, mqtt::ReasonCode reason);
  void handle_timeout(Instant now);
  // Publishes what may be published now. Call when there is something new to send or room to send it.
  void pump(Instant now);

  [[nodiscard]] std::optional<Instant> next_deadline() const { return deadline_; }
  // The broker does not answer any more, though the link is up: close it.
  [[nodiscard]] bool link_is_dead() const { return silent_hellos_ >= kSilentHellosMax; }
  // The gateway has answered in this session and is not known to be gone.
  [[nodiscard]] bool online() const { return state_ == State::kSending; }
  [[nodiscard]] Seq acked_seq() const { return acked_; }
  [[nodiscard]] std::uint64_t published() const { return published_; }

 private:
  enum class State : std::uint8_t { kClosed, kGreeting, kSending, kWaiting };

  void greet(Instant now);
  void wait(Instant now);
  bool send_hello(Instant now);
  void begin_epoch(Instant now, Seq expected);
  bool send_next(Instant now);
  Status send_record(Instant now, const outbox::Entry& entry);
  Status send_loss(Instant now, const outbox::Entry& entry);

  outbox::Outbox& outbox_;
  mqtt::Session& session_;
  Owner& owner_;
  ports::Log& log_;
  topics::Topic hello_topic_;
  topics::Topic record_topic_;
  State state_ = State::kClosed;
  bool hello_due_ = false;
  std::uint16_t hello_id_ = 0;
  bool hello_arrived_ = false;  // the broker acknowledged the last hello
  int silent_hellos_ = 0;
  Seq acked_ = kFirstSeq;
  Seq send_ = kFirstSeq;
  // Below this are the records of this epoch that the gateway can know: those that were in the log when it
  // was mounted, and those sent since.
  Seq shared_ = kFirstSeq;
  std::optional<Instant> deadline_;  // of the state: hello again at this time, if nothing happened
  mqtt::Backoff backoff_{{.first = Millis{1'000}, .max = Millis{30'000}, .stable_after = Millis{0}}};
  std::uint64_t published_ = 0;
};

}  // namespace godwit::agent
