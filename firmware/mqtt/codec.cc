// SPDX-License-Identifier: Apache-2.0
#include "firmware/mqtt/codec.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "proto/base/utf8.h"

namespace godwit::mqtt {
namespace {

// Integers of fixed size are named by their size, those in one byte are flags.
enum class Type : std::uint8_t {
  kVarint = 0,
  kFlag = 1,
  kU16 = 2,
  kBinary = 3,
  kU32 = 4,
  kString = 5,
  kPair = 6
};

// The packets from a server that have properties. Those that acknowledge share one list.
enum Scope : std::uint8_t { kInConnack = 1, kInPublish = 2, kInAck = 4, kInDisconnect = 8, kNotZero = 16 };

struct PropertyRule {
  PropertyId id;
  Type type : 3;
  std::uint8_t scope : 5;
};

// Table 2-4, as far as a server may send it. Every single-byte property of it is a flag. Session Expiry
// Interval exists in DISCONNECT, but a server must not send it: that is a protocol error, not a malformed
// packet.
constexpr PropertyRule kRules[] = {
    {PropertyId::kPayloadFormat, Type::kFlag, kInPublish},
    {PropertyId::kMessageExpiry, Type::kU32, kInPublish},
    {PropertyId::kContentType, Type::kString, kInPublish},
    {PropertyId::kResponseTopic, Type::kString, kInPublish},
    {PropertyId::kCorrelationData, Type::kBinary, kInPublish},
    {PropertyId::kSubscriptionId, Type::kVarint, kInPublish | kNotZero},
    {PropertyId::kSessionExpiry, Type::kU32, kInConnack | kInDisconnect},
    {PropertyId::kAssignedClientId, Type::kString, kInConnack},
    {PropertyId::kServerKeepAlive, Type::kU16, kInConnack},
    {PropertyId::kAuthMethod, Type::kString, kInConnack},
    {PropertyId::kAuthData, Type::kBinary, kInConnack},
    {PropertyId::kResponseInformation, Type::kString, kInConnack},
    {PropertyId::kServerReference, Type::kString, kInConnack | kInDisconnect},
    {PropertyId::kReasonString, Type::kString, kInConnack | kInAck | kInDisconnect},
    {PropertyId::kReceiveMaximum, Type::kU16, kInConnack | kNotZero},
    {PropertyId::kTopicAliasMaximum, Type::kU16, kInConnack},
    {PropertyId::kTopicAlias, Type::kU16, kInPublish},
    {PropertyId::kMaximumQos, Type::kFlag, kInConnack},
    {PropertyId::kRetainAvailable, Type::kFlag, kInConnack},
    {PropertyId::kUserProperty, Type::kPair, kInConnack | kInPublish | kInAck | kInDisconnect},
    {PropertyId::kMaximumPacketSize, Type::kU32, kInConnack | kNotZero},
    {PropertyId::kWildcardAvailable, Type::kFlag, kInConnack},
    {PropertyId::kSubscriptionIdAvailable, Type::kFlag, kInConnack},
    {PropertyId::kSharedAvailable, Type::kFlag, kInConnack},
};

constexpr std::uint8_t scope_of(PacketType type) {
  switch (type) {
    case PacketType::kConnack:
      return kInConnack;
    case PacketType::kPublish:
      return kInPublish;
    case PacketType::kDisconnect:
      return kInDisconnect;
    default:
      return kInAck;
  }
}

// The place of a property in the table; behind its end: it is not in there.
std::size_t index_of(std::uint32_t id) {
  std::size_t index = 0;
  while (index < std::size(kRules) && static_cast<std::uint32_t>(kRules[index].id) != id) ++index;
  return index;
}
std::size_t index_of(PropertyId id) { return index_of(static_cast<std::uint32_t>(id)); }

struct Property {
  std::uint32_t number = 0;  // of bytes, of text or binary
  Bytes bytes;               // the name of a user property
  Bytes value;               // of a user property
};

// Takes one property, its text unchecked. nullptr: the identifier is unknown. The reader fails if it is cut
// short.
const PropertyRule* read_property(Reader& reader, Property& out) {
  const std::size_t index = index_of(reader.varint());
  if (index == std::size(kRules)) return nullptr;
  const PropertyRule* const rule = &kRules[index];
  out = {};
  switch (rule->type) {
    case Type::kFlag:
    case Type::kU16:
    case Type::kU32:
      out.number = reader.number(static_cast<std::size_t>(rule->type));
      break;
    case Type::kVarint:
      out.number = reader.varint();
      break;
    case Type::kPair:
    case Type::kBinary:
    case Type::kString:
      out.bytes = reader.binary();
      out.number = static_cast<std::uint32_t>(out.bytes.size());
      if (rule->type == Type::kPair) out.value = reader.binary();
      break;
  }
  return rule;
}

constexpr std::string_view kSharePrefix = "$share/";

enum class Text : std::uint8_t { kUtf8, kMqttString, kTopicName };

bool may_contain(Text text, std::uint32_t character) {
  if (text == Text::kUtf8) return true;
  if (text == Text::kMqttString) return character != 0;
  return !is_control(character) && character != '+' && character != '#';
}

bool is_text(Text text, Bytes bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint32_t character = next_character(bytes, at);
    if (character == kNoCharacter || !may_contain(text, character)) return false;
  }
  return true;
}

// Which packets from a server may carry a reason code of 0x80 and above (table 2-6).
enum Carrier : std::uint8_t { kC = 1, kP = 2, kR = 4, kS = 8, kU = 16, kD = 32 };
constexpr std::array<std::uint8_t, 0xA3 - 0x80> kErrorCarriers{
    kC | kP | kS | kU | kD,  // 0x80 unspecified error
    kC | kD,                 // 0x81 malformed packet
    kC | kD,                 // 0x82 protocol error
    kC | kP | kS | kU | kD,  // 0x83 implementation specific error
    kC,                      // 0x84 unsupported protocol version
    kC,                      // 0x85 client identifier not valid
    kC,                      // 0x86 bad user name or password
    kC | kP | kS | kU | kD,  // 0x87 not authorized
    kC,                      // 0x88 server unavailable
    kC | kD,                 // 0x89 server busy
    kC,                      // 0x8A banned
    kD,                      // 0x8B server shutting down
    kC | kD,                 // 0x8C bad authentication method
    kD,                      // 0x8D keep alive timeout
    kD,                      // 0x8E session taken over
    kS | kU | kD,            // 0x8F topic filter invalid
    kC | kP | kD,            // 0x90 topic name invalid
    kP | kS | kU,            // 0x91 packet identifier in use
    kR,                      // 0x92 packet identifier not found
    kD,                      // 0x93 receive maximum exceeded
    kD,                      // 0x94 topic alias invalid
    kC | kP | kD,       // 0x95 packet too large; in PUBACK it is Mosquitto's, above its message_size_limit
    kD,                 // 0x96 message rate too high
    kC | kP | kS | kD,  // 0x97 quota exceeded
    kD,                 // 0x98 administrative action
    kC | kP | kD,       // 0x99 payload format invalid
    kC | kD,            // 0x9A retain not supported
    kC | kD,            // 0x9B QoS not supported
    kC | kD,            // 0x9C use another server
    kC | kD,            // 0x9D server moved
    kS | kD,            // 0x9E shared subscriptions not supported
    kC | kD,            // 0x9F connection rate exceeded
    kD,                 // 0xA0 maximum connect time
    kS | kD,            // 0xA1 subscription identifiers not supported
    kS | kD,            // 0xA2 wildcard subscriptions not supported
};

constexpr std::uint8_t carrier_of(PacketType type) {
  switch (type) {
    case PacketType::kConnack:
      return kC;
    case PacketType::kPuback:
    case PacketType::kPubrec:
      return kP;
    case PacketType::kPubrel:
    case PacketType::kPubcomp:
      return kR;
    case PacketType::kSuback:
      return kS;
    case PacketType::kUnsuback:
      return kU;
    default:
      return kD;
  }
}

}  // namespace

bool is_utf8(Bytes bytes) { return is_text(Text::kUtf8, bytes); }

bool is_mqtt_string(Bytes bytes) { return bytes.size() <= 0xFFFF && is_text(Text::kMqttString, bytes); }

bool is_topic_name(std::string_view topic) {
  return !topic.empty() && topic.size() <= 0xFFFF && is_text(Text::kTopicName, as_bytes(topic));
}

bool is_shared_filter(std::string_view filter) { return filter.starts_with(kSharePrefix); }

bool is_topic_filter(std::string_view filter) {
  if (!is_mqtt_string(as_bytes(filter))) return false;
  if (is_shared_filter(filter)) {  // $share/{name}/{filter}
    filter.remove_prefix(kSharePrefix.size());
    const std::size_t slash = std::min(filter.find('/'), filter.size());
    if (slash == filter.size() || !is_topic_name(as_text(as_bytes(filter).first(slash)))) return false;
    filter.remove_prefix(slash + 1);
  }
  char before = '/';
  for (const char c : filter) {
    const bool wildcard = c == '+' || c == '#';
    if (before == '#' || (before == '+' && c != '/') || (wildcard && before != '/')) return false;
    before = c;
  }
  return !filter.empty();
}

bool is_reason_of(PacketType type, std::uint8_t code) {
  if (code == 0x00) return true;
  const std::uint8_t carrier = carrier_of(type);
  switch (code) {
    case 0x01:
    case 0x02:
      return carrier == kS;
    case 0x10:
      return carrier == kP;
    case 0x11:
      return carrier == kU;
    default:
      return code >= 0x80 && code < 0x80 + kErrorCarriers.size() &&
             (kErrorCarriers[code - 0x80U] & carrier) != 0;
  }
}

std::size_t varint_size(std::size_t value) {
  std::size_t size = 1;
  while (value >>= 7) ++size;
  return size;
}

std::uint32_t Reader::number(std::size_t size) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes(size)) value = (value << 8) | byte;
  return value;
}

std::uint32_t Reader::varint() {
  std::uint32_t value = 0;
  for (unsigned shift = 0; shift < 28; shift += 7) {
    const std::uint8_t byte = u8();
    value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
    if (byte >= 0x80) continue;
    if (byte == 0 && shift > 0) break;
    return value;
  }
  fail(ReasonCode::kMalformedPacket);
  return 0;
}

Bytes Reader::bytes(std::size_t size) {
  if (size > rest_.size()) fail(ReasonCode::kMalformedPacket);
  if (!ok()) return {};
  const Bytes taken = rest_.first(size);
  rest_ = rest_.subspan(size);
  return taken;
}

Bytes Reader::string() {
  const Bytes text = binary();
  if (!is_mqtt_string(text)) fail(ReasonCode::kMalformedPacket);
  return text;
}

void Reader::fail(ReasonCode why) {
  if (ok()) wrong_ = why;
}

void Writer::u8(std::uint8_t value) { bytes({&value, 1}); }

void Writer::u16(std::uint16_t value) {
  u8(static_cast<std::uint8_t>(value >> 8));
  u8(static_cast<std::uint8_t>(value));
}

void Writer::u32(std::uint32_t value) {
  u16(static_cast<std::uint16_t>(value >> 16));
  u16(static_cast<std::uint16_t>(value));
}

void Writer::varint(std::size_t value) {
  for (; value >= 0x80; value >>= 7) u8(static_cast<std::uint8_t>(value | 0x80));
  u8(static_cast<std::uint8_t>(value));
}

void Writer::bytes(Bytes bytes) {
  const std::size_t at = size_;
  size_ += bytes.size();
  if (ok() && !bytes.empty()) std::memmove(out_.data() + at, bytes.data(), bytes.size());
}

void Writer::binary(Bytes data) {
  u16(static_cast<std::uint16_t>(data.size()));
  bytes(data);
}

void Properties::read(Reader& reader, PacketType type) {
  static_assert(std::size(kRules) == kCount);
  const Bytes all = reader.bytes(reader.varint());
  Reader rest(all);
  while (!rest.done()) {
    Property property;
    const PropertyRule* const rule = read_property(rest, property);
    if (rule == nullptr || !rest.ok() || (rule->scope & scope_of(type)) == 0 ||
        (rule->type >= Type::kString &&
         !(is_mqtt_string(property.bytes) && is_mqtt_string(property.value)))) {
      return reader.fail(ReasonCode::kMalformedPacket);
    }
    const auto index = static_cast<std::size_t>(rule - kRules);
    const std::uint32_t bit = 1U << index;
    const bool repeats = rule->id == PropertyId::kUserProperty || rule->id == PropertyId::kSubscriptionId;
    if (((seen_ & bit) != 0 && !repeats) || (rule->type == Type::kFlag && property.number > 1) ||
        ((rule->scope & kNotZero) != 0 && property.number == 0)) {
      return reader.fail(ReasonCode::kProtocolError);
    }
    seen_ |= bit;
    values_[index] = {property.bytes.data(), property.number};
  }
  raw_ = all;
}

bool Properties::has(PropertyId id) const { return (seen_ & (1U << index_of(id))) != 0; }

std::uint32_t Properties::number(PropertyId id, std::uint32_t otherwise) const {
  return has(id) ? values_[index_of(id)].number : otherwise;
}

Bytes Properties::bytes(PropertyId id) const {
  const Value& value = values_[index_of(id)];
  return {value.data, value.number};
}

MessageProperties decode(Bytes properties) {
  MessageProperties out;
  Reader reader(properties);
  while (!reader.rest().empty()) {
    Property property;
    switch (read_property(reader, property)->id) {
      case PropertyId::kPayloadFormat:
        out.text_payload = property.number != 0;
        break;
      case PropertyId::kMessageExpiry:
        out.expiry_s = property.number;
        break;
      case PropertyId::kContentType:
        out.content_type = as_text(property.bytes);
        break;
      case PropertyId::kResponseTopic:
        out.response_topic = as_text(property.bytes);
        break;
      case PropertyId::kCorrelationData:
        out.correlation_data = property.bytes;
        break;
      default:
        break;
    }
  }
  return out;
}

std::optional<UserProperty> user_property(Bytes properties, std::size_t index) {
  Reader reader(properties);
  while (!reader.rest().empty()) {
    Property property;
    if (read_property(reader, property)->id != PropertyId::kUserProperty || index-- > 0) continue;
    return UserProperty{as_text(property.bytes), as_text(property.value)};
  }
  return std::nullopt;
}

std::expected<Bytes, Status> encode(const MessageProperties& properties, MutableBytes out) {
  const auto is_string = [](std::string_view text) { return is_mqtt_string(as_bytes(text)); };
  if (!is_string(properties.content_type) || properties.correlation_data.size() > 0xFFFF ||
      !(properties.response_topic.empty() || is_topic_name(properties.response_topic)) ||
      !std::ranges::all_of(properties.user, [&](const UserProperty& user) {
        return is_string(user.name) && is_string(user.value);
      })) {
    return std::unexpected(Status::kInvalidArgument);
  }
  Writer writer(out);
  const auto id = [&writer](PropertyId property) { writer.u8(static_cast<std::uint8_t>(property)); };
  const auto bytes = [&](PropertyId property, Bytes value) {
    if (value.empty()) return;
    id(property);
    writer.binary(value);
  };
  if (properties.will_delay_s != 0) {
    id(PropertyId::kWillDelay);
    writer.u32(properties.will_delay_s);
  }
  if (properties.text_payload) {
    id(PropertyId::kPayloadFormat);
    writer.u8(1);
  }
  if (properties.expiry_s) {
    id(PropertyId::kMessageExpiry);
    writer.u32(*properties.expiry_s);
  }
  bytes(PropertyId::kContentType, as_bytes(properties.content_type));
  bytes(PropertyId::kResponseTopic, as_bytes(properties.response_topic));
  bytes(PropertyId::kCorrelationData, properties.correlation_data);
  for (const UserProperty& user : properties.user) {
    id(PropertyId::kUserProperty);
    writer.string(user.name);
    writer.string(user.value);
  }
  if (!writer.ok()) return std::unexpected(Status::kFull);
  return out.first(writer.size());
}

}  // namespace godwit::mqtt
