// SPDX-License-Identifier: Apache-2.0
// What operators are shown: the gateway's counters and gauges in Prometheus' text format, and the database's
// state in words.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/app/writer_thread.h"
#include "gateway/domain/intake.h"
#include "gateway/http/server.h"
#include "gateway/mqtt/consumer.h"
#include "gateway/pipeline/writer.h"
#include "gateway/store/store.h"

namespace godwit::app {

struct Figures {
  gateway::Consumer::Stats consumer;
  gateway::Intake::Dropped dropped;
  WriterThread::Load load;
  gateway::WriterStats writer;
  gateway::Store::Sizes store;
  http::Counters http;
  std::int64_t feed_lag = 0;  // events
};
[[nodiscard]] std::string metrics(const Figures& figures);

// For /readyz.
[[nodiscard]] const char* database_state(const gateway::WriterStats& writer);

}  // namespace godwit::app
