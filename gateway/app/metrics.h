// SPDX-License-Identifier: Apache-2.0
// The gateway's counters in Prometheus' text format.
#pragma once

#include <string>

#include "gateway/domain/inbox.h"
#include "gateway/http/server.h"
#include "gateway/mqtt/consumer.h"
#include "gateway/store/writer.h"

namespace godwit::app {

[[nodiscard]] std::string metrics(const gateway::Consumer::Stats& consumer,
                                  const gateway::Inbox::Dropped& inbox, const gateway::WriterStats& writer,
                                  const http::Counters& http);

}  // namespace godwit::app
