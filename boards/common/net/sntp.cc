// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/sntp.h"

#include <algorithm>

namespace godwit::boards {
namespace {

// Of a message (RFC 4330, 4).
constexpr std::size_t kStratum = 1;
constexpr std::size_t kOriginateTime = 24;
constexpr std::size_t kTransmitTime = 40;
constexpr std::uint8_t kVersion4 = 4U << 3;
constexpr std::uint8_t kModeClient = 3;
constexpr std::uint8_t kModeServer = 4;
constexpr std::uint8_t kUnsynchronized = 3;  // leap indicator
constexpr std::uint8_t kStratumKiss = 0;
constexpr std::uint8_t kStratumMax = 15;

// Seconds since 1900, whose first bit tells the era: it is set from 1968 to 2036, and clear from 2036 to 2104
// (RFC 4330, 3).
std::int64_t unix_seconds(std::uint32_t ntp_seconds) {
  constexpr std::int64_t kUnixEpoch = 2'208'988'800;  // 1970 in seconds since 1900
  constexpr std::uint32_t kFirstEra = 1U << 31;
  const std::int64_t since_1900 = ntp_seconds + (ntp_seconds < kFirstEra ? std::int64_t{1} << 32 : 0);
  return since_1900 - kUnixEpoch;
}

}  // namespace

std::array<std::uint8_t, kSntpMessageSize> sntp_request(const SntpNonce& nonce) {
  std::array<std::uint8_t, kSntpMessageSize> message{};
  message[0] = kVersion4 | kModeClient;
  std::ranges::copy(nonce, message.begin() + kTransmitTime);
  return message;
}

std::expected<UnixMillis, Status> parse_sntp_answer(Bytes message, const SntpNonce& nonce) {
  if (message.size() < kSntpMessageSize) return std::unexpected(Status::kMalformed);
  const std::uint8_t leap = message[0] >> 6U;
  const std::uint8_t version = (message[0] >> 3U) & 7U;
  const std::uint8_t mode = message[0] & 7U;
  if (mode != kModeServer || version == 0 ||
      !std::ranges::equal(message.subspan(kOriginateTime, nonce.size()), nonce)) {
    return std::unexpected(Status::kMalformed);
  }
  const std::uint8_t stratum = message[kStratum];
  if (stratum == kStratumKiss) return std::unexpected(Status::kDenied);
  const auto seconds = load_be<std::uint32_t>(&message[kTransmitTime]);
  const auto fraction = load_be<std::uint32_t>(&message[kTransmitTime + 4]);
  if (leap == kUnsynchronized || stratum > kStratumMax || (seconds == 0 && fraction == 0)) {
    return std::unexpected(Status::kState);
  }
  const auto ms = static_cast<std::int64_t>((std::uint64_t{fraction} * 1000) >> 32U);
  return UnixMillis{unix_seconds(seconds) * 1000 + ms};
}

}  // namespace godwit::boards
