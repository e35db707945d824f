// SPDX-License-Identifier: Apache-2.0
// The gateway's clock, for the threads at its edges: the rules of gateway/domain get the time handed in.
#pragma once

#include <chrono>

#include "proto/base/time.h"

namespace godwit::gateway {

[[nodiscard]] inline UnixMillis unix_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<Millis>(now).count()};
}

}  // namespace godwit::gateway
