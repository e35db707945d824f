// SPDX-License-Identifier: Apache-2.0
// The closed list of outcomes that device and gateway code share. No allocation; a value.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

namespace godwit {

// A function that yields a value returns std::expected<T, Status>.
enum class [[nodiscard]] Status : std::uint8_t {
  kOk,
  kInvalidArgument,  // the caller's arguments break a documented precondition; nothing changed
  kMalformed,        // received bytes do not follow their specification
  kUnsupported,      // well formed, but a version or feature that this build does not have
  kNotFound,         // what was named does not exist
  kAlreadyExists,    // what should be made is there already; nothing changed
  kFull,             // a limit was reached; nothing changed
  kBusy,             // retry later; nothing changed
  kTimeout,          // a deadline passed
  kDenied,           // the peer or a policy refused
  kCorrupt,          // stored or received bytes failed a check
  kIo,               // a device, file or socket failed
  kState,            // not allowed in the present state; nothing changed
  kCancelled,        // given up on request
};

// A stable lower-case name for logs, e.g. "invalid_argument".
[[nodiscard]] std::string_view to_string(Status status);

// States that the outcome does not matter; say why in a comment beside the call.
inline void ignore(Status) {}
template <typename T>
void ignore(const std::expected<T, Status>&) {}

}  // namespace godwit
