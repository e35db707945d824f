// SPDX-License-Identifier: Apache-2.0
// The data types of the wire (1.5), properties (2.2.2) and reason codes (2.4): reading with every check that
// needs no session, and writing. Values on the stack; text and bytes that are read are borrowed from the
// input.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "firmware/mqtt/types.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::mqtt {

enum class PacketType : std::uint8_t {
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kPubrec = 5,
  kPubrel = 6,
  kPubcomp = 7,
  kSubscribe = 8,
  kSuback = 9,
  kUnsubscribe = 10,
  kUnsuback = 11,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
  kAuth = 15,
};

enum class PropertyId : std::uint8_t {
  kPayloadFormat = 0x01,
  kMessageExpiry = 0x02,
  kContentType = 0x03,
  kResponseTopic = 0x08,
  kCorrelationData = 0x09,
  kSubscriptionId = 0x0B,
  kSessionExpiry = 0x11,
  kAssignedClientId = 0x12,
  kServerKeepAlive = 0x13,
  kAuthMethod = 0x15,
  kAuthData = 0x16,
  kWillDelay = 0x18,
  kResponseInformation = 0x1A,
  kServerReference = 0x1C,
  kReasonString = 0x1F,
  kReceiveMaximum = 0x21,
  kTopicAliasMaximum = 0x22,
  kTopicAlias = 0x23,
  kMaximumQos = 0x24,
  kRetainAvailable = 0x25,
  kUserProperty = 0x26,
  kMaximumPacketSize = 0x27,
  kWildcardAvailable = 0x28,
  kSubscriptionIdAvailable = 0x29,
  kSharedAvailable = 0x2A,
};

[[nodiscard]] bool is_utf8(Bytes bytes);               // well formed as Unicode has it; U+0000 allowed
[[nodiscard]] bool is_mqtt_string(Bytes bytes);        // 1.5.4: UTF-8, no U+0000, at most 65,535 bytes
[[nodiscard]] bool is_topic_name(std::string_view);    // 4.7: not empty, no wildcard; and, as 1.5.4 lets us,
                                                       // no control character
[[nodiscard]] bool is_topic_filter(std::string_view);  // 4.7.1, and 4.8.2 for shared subscriptions
[[nodiscard]] bool is_shared_filter(std::string_view);
// Whether 2.4 allows this reason code in a packet of this type that a server sends.
[[nodiscard]] bool is_reason_of(PacketType type, std::uint8_t code);
[[nodiscard]] std::size_t varint_size(std::size_t value);

// Reads from the front. The first failure sticks: later reads yield zero or nothing, and wrong() says why the
// connection must end.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return number(4); }
  std::uint32_t number(std::size_t size);  // big-endian, of at most 4 bytes
  std::uint32_t varint();                  // fails on more bytes than the value needs (1.5.5)
  Bytes bytes(std::size_t size);
  Bytes binary() { return bytes(u16()); }
  Bytes string();  // fails unless is_mqtt_string()
  // What the caller found wrong; no effect after another failure.
  void fail(ReasonCode why);

  [[nodiscard]] Bytes rest() const { return rest_; }
  [[nodiscard]] bool ok() const { return wrong_ == ReasonCode::kSuccess; }
  [[nodiscard]] bool done() const { return ok() && rest_.empty(); }
  [[nodiscard]] ReasonCode wrong() const { return wrong_; }

 private:
  Bytes rest_;
  ReasonCode wrong_ = ReasonCode::kSuccess;
};

// Counts all that is put into it and stores it as long as it fits; the default one only counts.
class Writer {
 public:
  Writer() = default;
  explicit Writer(MutableBytes out) : out_(out) {}

  void u8(std::uint8_t value);
  void u16(std::uint16_t value);
  void u32(std::uint32_t value);
  void varint(std::size_t value);
  void bytes(Bytes bytes);
  void binary(Bytes bytes);  // with its length in two bytes; precondition: at most 65,535
  void string(std::string_view text) { binary(as_bytes(text)); }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool ok() const { return size_ <= out_.size(); }

 private:
  MutableBytes out_;
  std::size_t size_ = 0;
};

// The properties of a packet from the server: one pass checks them and keeps their values. On the stack.
class Properties {
 public:
  // Takes a property length and the properties of a packet of this type. The reader fails unless ids, types,
  // values and repetition are as 2.2.2 and the section of the packet have it.
  void read(Reader& reader, PacketType type);

  [[nodiscard]] bool has(PropertyId id) const;
  // The value of a property, and what holds without it. Precondition: the type is that of table 2-4.
  [[nodiscard]] std::uint32_t number(PropertyId id, std::uint32_t otherwise) const;
  [[nodiscard]] Bytes bytes(PropertyId id) const;
  [[nodiscard]] std::string_view text(PropertyId id) const { return as_text(bytes(id)); }
  // As they came.
  [[nodiscard]] Bytes raw() const { return raw_; }

 private:
  static constexpr std::size_t kCount = 24;  // of table 2-4, as far as a server may send it
  struct Value {
    const std::uint8_t* data;
    std::uint32_t number;  // of bytes, where it has data
  };
  Bytes raw_;
  std::uint32_t seen_ = 0;
  std::array<Value, kCount> values_{};
};

// Of Message::properties that came from a server: what they say, and the i-th user property; nullopt past the
// end.
[[nodiscard]] MessageProperties decode(Bytes properties);
[[nodiscard]] std::optional<UserProperty> user_property(Bytes properties, std::size_t index);

// Writes `properties` to the front of `out`, without their length, and yields them. kInvalidArgument: text
// that breaks 1.5.4 or 4.7, or bytes beyond 65,535. kFull: `out` is too small.
std::expected<Bytes, Status> encode(const MessageProperties& properties, MutableBytes out);

}  // namespace godwit::mqtt
