// SPDX-License-Identifier: Apache-2.0
// Where events for an operator go. Text formatting belongs to the implementation. Quiet by default: a device
// logs what somebody may have to act on.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace godwit::ports {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

struct LogField {
  std::string_view key;
  std::int64_t number = 0;
  std::string_view text = {};  // used instead of `number` when not empty
};

class Log {
 public:
  // `event` is a short constant name such as "link_refused". Everything is borrowed for the call.
  virtual void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) = 0;

 protected:
  ~Log() = default;
};

}  // namespace godwit::ports
