// SPDX-License-Identifier: Apache-2.0
// The gateway's log: one line of logfmt for each thing that happened, on stderr.
#pragma once

#include <string>
#include <string_view>

#include "gateway/domain/log.h"
#include "proto/base/time.h"

namespace godwit::app {

// time=2026-01-31T12:00:00.000Z level=info part=mqtt msg="connected"
[[nodiscard]] std::string log_line(UnixMillis time, gateway::LogLevel level, std::string_view part,
                                   std::string_view text);

// Writes lines of `least` and above. Each line is one write, so that lines of several threads do not mix.
[[nodiscard]] gateway::LogSink stderr_log(gateway::LogLevel least, std::string_view part);

}  // namespace godwit::app
