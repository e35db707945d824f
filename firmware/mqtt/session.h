// SPDX-License-Identifier: Apache-2.0
// An MQTT 5 client session that does no I/O: bytes, link events and time go in; bytes, events and a deadline
// come out. It is not a connection: the owner opens the link, and opens it again after it closed; the session
// then resumes what the server kept (4.4), redelivering unacknowledged messages with DUP.
//
// After any input or request: poll_event() until empty, send transmit() until empty, in this order since
// polling may queue an acknowledgement; then sleep until next_deadline() or input. Early or repeated
// handle_timeout() calls are harmless. No allocation: all memory is handed in. Not thread-safe; nothing
// blocks.
//
// What a new connection makes of the requests of the one before it, given retransmit memory:
//   - the server still has the session: all that was not acknowledged is sent again, in order (4.4);
//   - it has not (kConnected without session_present): QoS 1 messages are sent again as new ones. QoS 2
//   messages
//     that had been sent end with kPublishLost, since the server may have delivered them: only the
//     application can tell whether to send once more;
//   - SUBSCRIBE and UNSUBSCRIBE that were not answered are forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/mqtt/codec.h"
#include "firmware/mqtt/types.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::mqtt {

// Memory of a session. Everything must outlive it.
struct Memory {
  MutableBytes receive;  // the largest packet that is accepted; announced as Maximum Packet Size (3.1.2.11.4)
  MutableBytes transmit;  // packets that wait for the link; bounds the largest packet that can be sent
  // Unacknowledged QoS 1 and 2 messages, kept for redelivery. Without it (empty) a lost link loses them, with
  // an event each, and the session must be opened with clean_start and no session expiry.
  MutableBytes retransmit;
  // Identifiers of QoS 2 messages received and not yet released by the server (4.3.3). Twice the receive
  // maximum is enough; without it no message of QoS 2 is accepted.
  std::span<std::uint16_t> inbound{};
};

struct Options {
  // Borrowed, as all text here, for the life of the session. Empty: the server assigns one; no resuming then.
  std::string_view client_id;
  std::string_view user_name;
  Bytes password;
  // Of connections until one is accepted. Later ones resume what that one made, if its session expiry is not
  // 0.
  bool clean_start = true;
  std::uint32_t session_expiry_s = 0;  // 3.1.2.11.2
  std::uint16_t keep_alive_s = 60;     // 0: off. The server may change it (3.2.2.3.14)
  // QoS 1 and 2 messages that the server may send before it has the acknowledgement of the first, at least 1.
  std::uint16_t receive_maximum = 8;
  bool use_topic_alias = true;  // outbound, as far as the server allows
  Millis ack_timeout{20'000};   // CONNACK, SUBACK, PINGRESP: later than this closes the link
  const Message* will = nullptr;
  Bytes properties{};  // user properties of the CONNECT, as encode() made them
};

enum class EventType : std::uint8_t {
  kConnected,     // CONNACK: session_present, reason
  kRefused,       // CONNACK with an error: reason. This or kDisconnected ends what link_up() began.
  kMessage,       // PUBLISH: message. It is acknowledged once the next event is polled.
  kPublished,     // the whole QoS flow of `id` is done: reason. Errors and 0x10 come here as well.
  kPublishLost,   // a link went before `id` was acknowledged, and it cannot be sent again
  kSubscribed,    // SUBACK: id, reason of the (only) filter
  kUnsubscribed,  // UNSUBACK: id, reason
  // The connection has ended: reason, and by_server if a DISCONNECT said so. Without a DISCONNECT of either
  // side it is kKeepAliveTimeout (the server did not answer in time) or kUnspecifiedError (link_down()).
  kDisconnected,
};

// Text and bytes are borrowed until the next call that is not const.
struct Event {
  EventType type;
  std::uint16_t id = 0;  // packet identifier
  ReasonCode reason = ReasonCode::kSuccess;
  bool session_present = false;
  bool by_server = false;
  std::string_view reason_string{};     // 3.2.2.3.9 and the like
  std::string_view server_reference{};  // 3.2.2.3.16: where to go with 0x9C and 0x9D
  Message message{};
};

class Session {
 public:
  static constexpr std::uint16_t kOutboundMax = 16;  // QoS 1 and 2 messages in flight
  static constexpr std::uint16_t kAliasesMax = 4;

  Session(const Memory& memory, const Options& options);

  // The link is up: a CONNECT is queued. kState: it was up already. kInvalidArgument: the options contradict
  // each other or do not fit the memory.
  Status link_up(Instant now);
  // The link is gone, for whatever reason.
  void link_down(Instant now);

  // Takes bytes from the link; returns how many it took. Fewer than given: poll the pending event, then offer
  // the rest. A violation of the protocol queues a DISCONNECT with its reason code and ends the connection,
  // see should_close(). So does a server that demands more answers than the transmit memory has room for
  // (kMessageRateTooHigh): one that keeps to our receive maximum never does.
  std::size_t handle_bytes(Instant now, Bytes bytes);
  void handle_timeout(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // What should be sent next; may be part of a packet. Borrowed until the next call that is not const.
  [[nodiscard]] Bytes transmit() const;
  // The link took the first `size` bytes of transmit().
  void transmitted(Instant now, std::size_t size);
  // Nothing more will be sent or accepted: close the link once transmit() is empty.
  [[nodiscard]] bool should_close() const;

  const Event* poll_event();  // nullptr: none

  // Queues a PUBLISH; yields its packet identifier (0 for QoS 0). Copied.
  // kState: not connected and no memory to keep it. kBusy: no room, or the server's receive maximum is
  // reached; drain and retry after an event. kInvalidArgument: larger than the server or the memory can ever
  // take, or not allowed by the server (QoS, retain), or a topic that breaks 4.7.
  std::expected<std::uint16_t, Status> publish(Instant now, const Message& message);
  // The same in two steps, to write the payload straight into the packet (message.payload is not used). The
  // span has payload_size bytes and must be filled before any other call; then commit_publish() or
  // cancel_publish().
  std::expected<MutableBytes, Status> begin_publish(Instant now, const Message& message,
                                                    std::size_t payload_size);
  std::expected<std::uint16_t, Status> commit_publish();
  void cancel_publish() { draft_.packet = {}; }

  struct SubscribeOptions {  // 3.8.3.1
    Qos qos = Qos::kAtLeastOnce;
    bool no_local = false;
    bool retain_as_published = false;
    std::uint8_t retain_handling = 0;
    [[nodiscard]] constexpr std::uint8_t byte() const {
      return static_cast<std::uint8_t>(static_cast<unsigned>(qos) | (no_local ? 0x04U : 0U) |
                                       (retain_as_published ? 0x08U : 0U) |
                                       static_cast<unsigned>(retain_handling) << 4);
    }
  };
  // Yields the packet identifier that the kSubscribed event will carry. Preconditions:
  // is_topic_filter(filter), and options as 3.8.3.1 has them; whether the server takes such a filter, it says
  // itself. kState: not connected. kBusy: no room now. kInvalidArgument: larger than the server or the memory
  // can ever take.
  std::expected<std::uint16_t, Status> subscribe(Instant now, std::string_view filter,
                                                 const SubscribeOptions& options) {
    return send_filter(now, RequestState::kSuback, filter, options.byte());
  }
  std::expected<std::uint16_t, Status> unsubscribe(Instant now, std::string_view filter) {
    return send_filter(now, RequestState::kUnsuback, filter, 0);
  }
  // Ends the session in order (3.14); nothing happens if it is not connected.
  void disconnect(Instant now, ReasonCode reason = ReasonCode::kSuccess);

  [[nodiscard]] bool connected() const;
  // QoS 1 and 2 messages that may be published now.
  [[nodiscard]] std::uint16_t send_quota() const;
  // QoS 1 and 2 messages published and not yet done.
  [[nodiscard]] std::uint16_t in_flight() const;
  // QoS 2 messages received that the server has not released yet.
  [[nodiscard]] std::uint16_t unreleased() const { return received_count_; }
  [[nodiscard]] std::uint32_t server_maximum_packet_size() const;  // precondition: connected()

 private:
  static constexpr std::uint16_t kSubscribesMax = 4;     // SUBSCRIBE and UNSUBSCRIBE unanswered at once
  static constexpr std::size_t kAliasTopicSizeMax = 47;  // longer topics get no alias

  enum class EventState : std::uint8_t { kNone, kWaiting, kBorrowed };
  enum class Phase : std::uint8_t { kDown, kConnecting, kConnected, kClosing };

  // A request that is not done, by the type of the packet that it waits for. States from kLost on only wait
  // for their event to be polled.
  enum class RequestState : std::uint8_t {
    kPuback = 4,   // PUBLISH at QoS 1
    kPubrec = 5,   // PUBLISH at QoS 2
    kPubcomp = 7,  // PUBLISH at QoS 2 that the server has taken: what remains is PUBREL
    kSuback = 9,
    kUnsuback = 11,
    kLost = 16,
    kRejected,  // the server of this connection can never take it
  };
  // Without initial values, as AliasTopic: what is not in use costs no code.
  struct Request {
    std::uint16_t id;
    RequestState state;
    bool due;   // its packet must be sent on this connection
    bool sent;  // its packet was sent, on this connection or an earlier one
    Qos qos;    // asked for, of a SUBSCRIBE
    ReasonCode reason;
    std::size_t stored_size;  // bytes in the retransmit memory, which is in the order of requests_
  };

  // What CONNACK says about the server (3.2.2.3). Holds while connected.
  struct Server {
    std::uint32_t maximum_packet_size = 0;
    std::uint16_t receive_maximum = 0;
    std::uint16_t topic_alias_maximum = 0;
    std::uint8_t maximum_qos = 0;
    bool retain = false;  // available
  };

  struct AliasTopic {
    std::uint8_t size;
    std::array<char, kAliasTopicSizeMax> text;
  };

  // A PUBLISH between begin and commit.
  struct Draft {
    MutableBytes packet;  // empty: there is none
    std::uint16_t id = 0;
    Qos qos = Qos::kAtMostOnce;
    bool stored = false;     // in the retransmit memory; otherwise where it will be sent from
    bool new_alias = false;  // it tells the server of one
  };

  // session.cc: link, time, events
  void expect_answer(Instant now);
  void end(Instant now, ReasonCode reason);
  [[nodiscard]] Instant due() const;
  void close();
  void end_with(ReasonCode reason);
  void drop_transmit();
  void consume_event();
  void set_event(EventType type, std::uint16_t id, ReasonCode reason);
  bool take_request_event();

  // outbound.cc: requests and the transmit memory
  [[nodiscard]] std::size_t reserve() const;
  [[nodiscard]] std::size_t transmit_room() const;
  MutableBytes transmit_tail(std::size_t size);
  [[nodiscard]] bool can_hold(std::size_t size) const;
  [[nodiscard]] bool has_room(std::size_t size) const;
  [[nodiscard]] bool has_reply_room() const;
  bool options_are_valid() const;
  Status put_connect();
  void put(std::uint8_t first, Bytes body);
  void put_ack(std::uint8_t first_byte, std::uint16_t id, ReasonCode reason);
  void put_disconnect(ReasonCode reason);
  void put_pingreq();
  void pump();
  struct PublishHead;
  ReasonCode send_stored(Bytes packet, bool again);
  ReasonCode put_publish(PublishHead& head, std::size_t payload_size, MutableBytes& packet);
  void sent_publish(std::size_t size, bool acknowledged, bool new_alias);
  [[nodiscard]] ReasonCode server_verdict(std::uint8_t first_byte, std::size_t size) const;
  [[nodiscard]] std::uint16_t alias_of(std::string_view topic) const;
  Request& add_request(std::uint16_t id, RequestState state);
  std::expected<std::uint16_t, Status> send_filter(Instant now, RequestState state, std::string_view filter,
                                                   std::uint8_t options);
  Status draft_publish(const Message& message, std::size_t payload_size);
  [[nodiscard]] std::uint16_t next_id() const;
  Request* find_request(std::uint16_t id);
  [[nodiscard]] std::uint16_t count_subscribes() const;
  void remove_request(Request& request);
  void give_up(Request& request, RequestState state, ReasonCode reason);
  void release(Request& request);
  void forget_stored(Request& request);
  [[nodiscard]] std::span<const Request> requests() const {
    return std::span(requests_).first(request_count_);
  }
  [[nodiscard]] std::span<std::uint16_t> received() const { return memory_.inbound.first(received_count_); }
  [[nodiscard]] std::size_t stored_offset(const Request* before) const;
  void resume_requests(bool session_present);
  void abandon_requests();

  // inbound.cc: packets from the server
  ReasonCode take_header();
  ReasonCode check_first_byte(std::uint8_t first) const;
  ReasonCode receive_packet(Instant now);
  ReasonCode read_packet(std::uint8_t first, Properties& properties);
  void read_publish(std::uint8_t first, Reader& body, Properties& properties);
  ReasonCode receive_end(EventType type);
  ReasonCode receive_connack(Instant now, const Properties& properties);
  ReasonCode receive_publish(const Properties& properties);
  ReasonCode receive_ack(Instant now, PacketType type);
  ReasonCode receive_pubrel();
  ReasonCode answer(std::uint8_t first_byte, ReasonCode reason);

  // Small members first: a Thumb instruction reaches them in two bytes.
  Phase phase_ = Phase::kDown;
  bool resumable_;        // the server may hold a session that we want to go on with
  bool end_due_ = false;  // a kDisconnected waits to be polled, with ...
  ReasonCode end_reason_{};

  // Input: one packet at a time. It stays in the receive memory while its event is waiting or borrowed.
  EventState event_state_ = EventState::kNone;
  std::uint8_t ack_first_byte_ = 0;  // of the message in event_; 0: no acknowledgement
  std::size_t receive_size_ = 0;
  std::size_t packet_size_ = 0;  // 0: not known yet

  // Output: what waits for the link.
  std::size_t transmit_start_ = 0;
  std::size_t transmit_end_ = 0;

  std::uint16_t request_count_ = 0;
  std::uint16_t last_id_ = 0;
  std::uint16_t quota_ = 0;  // 4.9
  // Of memory_.inbound: first those of earlier connections, which no longer count towards the receive
  // maximum.
  std::uint16_t carried_count_ = 0;
  std::uint16_t received_count_ = 0;
  std::uint16_t alias_count_ = 0;

  Memory memory_;
  Server server_;
  Draft draft_;
  Instant last_sent_{};
  Instant last_received_{};
  Instant answer_deadline_ = Instant::max();  // of CONNACK, PINGRESP, or of the server's end of the link
  Instant subscribe_deadline_ = Instant::max();
  Millis silence_max_{0};  // before PINGREQ; 0: off
  Options options_;
  Event event_{};
  // In the order of 4.6: PUBREL by arrival of PUBREC, then PUBLISH as published.
  std::array<Request, kOutboundMax + kSubscribesMax> requests_;
  std::array<AliasTopic, kAliasesMax> aliases_;
};

}  // namespace godwit::mqtt
