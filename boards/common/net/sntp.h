// SPDX-License-Identifier: Apache-2.0
// The messages of SNTP version 4 (RFC 4330). Functions of bytes; no network here.
#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::boards {

inline constexpr std::size_t kSntpMessageSize = 48;
using SntpNonce = std::array<std::uint8_t, 8>;

// A request. `nonce`, random, stands for our time of day, which is nobody's business: the answer repeats it,
// and so only somebody who saw the request can answer.
[[nodiscard]] std::array<std::uint8_t, kSntpMessageSize> sntp_request(const SntpNonce& nonce);

// The server's time when it sent `message`. kMalformed: not an answer to this request. kDenied: the server
// does not want to be asked ("kiss of death", RFC 4330, 8). kState: the server has no time itself.
[[nodiscard]] std::expected<UnixMillis, Status> parse_sntp_answer(Bytes message, const SntpNonce& nonce);

}  // namespace godwit::boards
