// SPDX-License-Identifier: Apache-2.0
// What operators are shown: the gateway's counters in Prometheus' text format, and the database's state in
// words.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/domain/intake.h"
#include "gateway/http/server.h"
#include "gateway/mqtt/consumer.h"
#include "gateway/pipeline/writer.h"

namespace godwit::app {

[[nodiscard]] std::string metrics(const gateway::Consumer::Stats& consumer,
                                  const gateway::Intake::Dropped& intake, const gateway::WriterStats& writer,
                                  const http::Counters& http, std::int64_t feed_lag);

// For /readyz.
[[nodiscard]] const char* database_state(const gateway::WriterStats& writer);

}  // namespace godwit::app
