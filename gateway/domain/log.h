// SPDX-License-Identifier: Apache-2.0
// Where the gateway's parts say what an operator should know. Handed in at construction, called from any
// thread, must not block or throw.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "proto/base/time.h"

namespace godwit::gateway {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

// One line of text without newline: what happened and, where somebody has to act, what to do.
using LogSink = std::function<void(LogLevel level, std::string_view text)>;

// Lets one message through per interval, so that a hostile or broken peer cannot fill the disk with log
// lines. Not thread-safe.
class LogLimit {
 public:
  explicit LogLimit(std::chrono::seconds interval) : interval_(interval) {}

  // True if a line may be written now.
  bool allow(Instant now) {
    if (allowed_before_ && now - last_ < interval_) return false;
    allowed_before_ = true;
    last_ = now;
    return true;
  }

 private:
  std::chrono::seconds interval_;
  Instant last_;
  bool allowed_before_ = false;
};

}  // namespace godwit::gateway
