// SPDX-License-Identifier: Apache-2.0
// An MQTT 5 client session that does no I/O: bytes, link events and time go in; bytes, events and a deadline come
// out. It is not a connection: the owner opens the link, and opens it again after it closed; the session then
// resumes what the server kept (4.4), redelivering unacknowledged messages with DUP.
//
// After any input or request: send transmit() until empty, poll_event() until empty, then sleep until
// next_deadline() or input. Early or repeated handle_timeout() calls are harmless. No allocation: all memory is
// handed in. Not thread-safe; nothing blocks.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "firmware/mqtt/types.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::mqtt {

// Memory of a session. Everything must outlive it.
struct Memory {
  MutableBytes receive;   // the largest packet that is accepted; announced as Maximum Packet Size (3.1.2.11.4)
  MutableBytes transmit;  // packets that wait for the link; bounds the largest packet that can be sent
  // Unacknowledged QoS 1 and 2 messages, kept for redelivery. Without it (empty) a lost link loses them, with an
  // event each, and the session must be opened with clean_start and no session expiry.
  MutableBytes retransmit;
};

struct Options {
  std::string_view client_id;  // borrowed, as all text here, for the life of the session
  std::string_view user_name;
  Bytes password;
  bool clean_start = true;                // of the first connection; later ones resume what this one made
  std::uint32_t session_expiry_s = 0;     // 3.1.2.11.2
  std::uint16_t keep_alive_s = 60;        // 0: off. The server may lower it (3.2.2.3.14)
  std::uint16_t receive_maximum = 8;      // unacknowledged QoS 1 and 2 messages accepted at once, 1 to kInboundMax
  bool use_topic_alias = true;            // outbound, as far as the server allows
  Millis ack_timeout{20'000};             // CONNACK, SUBACK, PINGRESP: later than this closes the link
  const Will* will = nullptr;
  std::span<const UserProperty> user_properties;
};

enum class EventType : std::uint8_t {
  kConnected,     // CONNACK: session_present, reason
  kRefused,       // CONNACK with an error: reason. The link will be closed.
  kMessage,       // PUBLISH: message. It is acknowledged once the next event is polled.
  kPublished,     // the whole QoS flow of `id` is done: reason. Errors and 0x10 come here as well.
  kPublishLost,   // the link went, and there is no memory to redeliver `id` from
  kSubscribed,    // SUBACK: id, reason of the (only) filter
  kUnsubscribed,  // UNSUBACK: id, reason
  kDisconnected,  // the session has ended: reason, and by_server if a DISCONNECT said so
};

// Text and bytes are borrowed until the next call that is not const.
struct Event {
  EventType type;
  std::uint16_t id = 0;  // packet identifier
  ReasonCode reason = ReasonCode::kSuccess;
  bool session_present = false;
  bool by_server = false;
  std::string_view reason_string;  // 3.2.2.3.9 and the like
  Message message{};
};

class Session {
 public:
  static constexpr std::uint16_t kInboundMax = 16;
  static constexpr std::uint16_t kOutboundMax = 16;  // QoS 1 and 2 messages in flight
  static constexpr std::uint16_t kAliasesMax = 4;

  Session(const Memory& memory, const Options& options);

  // The link is up: a CONNECT is queued. kState: it was up already. kInvalidArgument: the options contradict each
  // other or do not fit the memory.
  Status link_up(Instant now);
  // The link is gone, for whatever reason.
  void link_down(Instant now);

  // Takes bytes from the link; returns how many it took. Fewer than given: poll the pending event, then offer the
  // rest. A violation of the protocol queues a DISCONNECT with its reason code and ends the session: see
  // should_close().
  std::size_t handle_bytes(Instant now, Bytes bytes);
  void handle_timeout(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // What should be sent next; may be part of a packet. Borrowed until the next call that is not const.
  [[nodiscard]] Bytes transmit() const;
  // The link took the first `size` bytes of transmit().
  void transmitted(Instant now, std::size_t size);
  // Nothing more will be sent or accepted: close the link once transmit() is empty.
  [[nodiscard]] bool should_close() const;

  std::optional<Event> poll_event();
  // The i-th user property of the message event last polled; nullopt past the end.
  [[nodiscard]] std::optional<UserProperty> user_property(std::size_t index) const;

  // Queues a PUBLISH; yields its packet identifier (0 for QoS 0). Copied.
  // kState: not connected and no memory to keep it. kBusy: no room, or the server's receive maximum is reached;
  // drain and retry after an event. kInvalidArgument: larger than the server or the memory can ever take, or not
  // allowed by the server (QoS, retain), or a topic that breaks 4.7.
  std::expected<std::uint16_t, Status> publish(Instant now, const Message& message);
  // The same in two steps, to write the payload straight into the packet (message.payload is not used). The span
  // has payload_size bytes and must be filled before any other call; then commit_publish() or cancel_publish().
  std::expected<MutableBytes, Status> begin_publish(Instant now, const Message& message,
                                                    std::size_t payload_size);
  std::expected<std::uint16_t, Status> commit_publish();
  void cancel_publish();

  struct SubscribeOptions {  // 3.8.3.1
    Qos qos = Qos::kAtLeastOnce;
    bool no_local = false;
    bool retain_as_published = false;
    std::uint8_t retain_handling = 0;
  };
  // Yields the packet identifier that the kSubscribed event will carry. kState: not connected. kBusy: no room now.
  std::expected<std::uint16_t, Status> subscribe(Instant now, std::string_view filter,
                                                 const SubscribeOptions& options);
  std::expected<std::uint16_t, Status> unsubscribe(Instant now, std::string_view filter);
  // Ends the session in order (3.14); nothing happens if it is not connected.
  void disconnect(Instant now, ReasonCode reason = ReasonCode::kSuccess);

  [[nodiscard]] bool connected() const;
  // QoS 1 and 2 messages that may be published now.
  [[nodiscard]] std::uint16_t send_quota() const;
  // QoS 1 and 2 messages published and not yet done.
  [[nodiscard]] std::uint16_t in_flight() const;
  [[nodiscard]] std::uint32_t server_maximum_packet_size() const;
};

}  // namespace godwit::mqtt
