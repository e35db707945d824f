// SPDX-License-Identifier: Apache-2.0
// The gateway's log as a client reads it, and what it says about the promise by itself.
#pragma once

#include <string>
#include <vector>

#include "sim/fleet/event_log.h"
#include "tests/support/gateway_fixture.h"

namespace godwit::test {

using sim::canonical_json;
using sim::LogEvent;

// For what reads the log page by page.
[[nodiscard]] sim::Get get_from(const GatewayFixture& gateway);

// All events after the id `after`, or from the beginning. Throws if the gateway does not answer.
[[nodiscard]] std::vector<LogEvent> read_log(const GatewayFixture& gateway,
                                             const std::string& after = "begin");

// The first place where offsets do not grow, or where the entries of a device's log do not follow each other,
// each once; empty: there is none. Whether they are the right ones is for who knows what was recorded.
[[nodiscard]] std::string first_disorder(const std::vector<LogEvent>& log);

}  // namespace godwit::test
