// SPDX-License-Identifier: Apache-2.0
// The gateway's clocks, for the threads at its edges: the rules of gateway/domain get the time handed in.
#pragma once

#include <chrono>

#include "gateway/domain/event.h"
#include "proto/base/time.h"

namespace godwit::gateway {

[[nodiscard]] inline UnixMillis unix_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<Millis>(now).count()};
}

// The monotonic clock, and the wall clock as a label.
[[nodiscard]] inline Received received_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return {.at = Instant(std::chrono::duration_cast<Millis>(now)), .unix_time = unix_now()};
}

}  // namespace godwit::gateway
