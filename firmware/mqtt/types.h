// SPDX-License-Identifier: Apache-2.0
// Vocabulary of MQTT Version 5.0 (OASIS Standard, 7 March 2019); section numbers in this folder are of that
// text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "proto/base/bytes.h"

namespace godwit::mqtt {

inline constexpr std::uint32_t kVarintMax = 268'435'455;         // 1.5.5
inline constexpr std::uint32_t kPacketSizeMax = kVarintMax + 5;  // with the fixed header

enum class Qos : std::uint8_t { kAtMostOnce = 0, kAtLeastOnce = 1, kExactlyOnce = 2 };

// 2.4, all of table 2-6, whatever packet carries it.
enum class ReasonCode : std::uint8_t {
  kSuccess = 0x00,
  kGrantedQos1 = 0x01,
  kGrantedQos2 = 0x02,
  kDisconnectWithWill = 0x04,
  kNoMatchingSubscribers = 0x10,
  kNoSubscriptionExisted = 0x11,
  kContinueAuthentication = 0x18,
  kReAuthenticate = 0x19,
  kUnspecifiedError = 0x80,
  kMalformedPacket = 0x81,
  kProtocolError = 0x82,
  kImplementationSpecificError = 0x83,
  kUnsupportedProtocolVersion = 0x84,
  kClientIdentifierNotValid = 0x85,
  kBadUserNameOrPassword = 0x86,
  kNotAuthorized = 0x87,
  kServerUnavailable = 0x88,
  kServerBusy = 0x89,
  kBanned = 0x8A,
  kServerShuttingDown = 0x8B,
  kBadAuthenticationMethod = 0x8C,
  kKeepAliveTimeout = 0x8D,
  kSessionTakenOver = 0x8E,
  kTopicFilterInvalid = 0x8F,
  kTopicNameInvalid = 0x90,
  kPacketIdentifierInUse = 0x91,
  kPacketIdentifierNotFound = 0x92,
  kReceiveMaximumExceeded = 0x93,
  kTopicAliasInvalid = 0x94,
  kPacketTooLarge = 0x95,
  kMessageRateTooHigh = 0x96,
  kQuotaExceeded = 0x97,
  kAdministrativeAction = 0x98,
  kPayloadFormatInvalid = 0x99,
  kRetainNotSupported = 0x9A,
  kQosNotSupported = 0x9B,
  kUseAnotherServer = 0x9C,
  kServerMoved = 0x9D,
  kSharedSubscriptionsNotSupported = 0x9E,
  kConnectionRateExceeded = 0x9F,
  kMaximumConnectTime = 0xA0,
  kSubscriptionIdentifiersNotSupported = 0xA1,
  kWildcardSubscriptionsNotSupported = 0xA2,
};
constexpr bool is_error(ReasonCode code) { return static_cast<std::uint8_t>(code) >= 0x80; }

struct UserProperty {
  std::string_view name;
  std::string_view value;
};

// An application message, out or in. Everything is borrowed.
struct Message {
  std::string_view topic;
  Bytes payload;
  Qos qos = Qos::kAtMostOnce;
  bool retain = false;
  bool duplicate = false;  // in: the DUP flag (3.3.1.1)
  Bytes properties{};      // out: as encode() makes them; in: as they came, see decode() and user_property()
};

// What a message or a will may say about itself (3.3.2.3). Apart from Message, so that what uses none of it
// does not pay for it. Borrowed.
struct MessageProperties {
  std::uint32_t will_delay_s = 0;         // 3.1.3.2.2, of a will only
  bool text_payload = false;              // 3.3.2.3.2
  std::optional<std::uint32_t> expiry_s;  // 3.3.2.3.3
  std::string_view content_type;          // 3.3.2.3.9; empty: none
  std::string_view response_topic;        // 3.3.2.3.5; empty: none
  Bytes correlation_data;                 // 3.3.2.3.6; empty: none
  std::span<const UserProperty> user;     // out; in: user_property()
};

}  // namespace godwit::mqtt
