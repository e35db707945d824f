// SPDX-License-Identifier: Apache-2.0
// The gateway's log as a client reads it, page by page, and what it says about the promise by itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/gateway_fixture.h"

namespace godwit::test {

struct LoggedEvent {
  std::string id;  // OFFSET-TERM
  std::string type;
  std::string device;
  std::string epoch;
  std::uint64_t seq = 0;    // 0: not a record or a loss
  std::uint64_t count = 0;  // records that it stands for
  std::uint64_t first_place = 0;
  std::uint64_t places = 0;  // seqs of its device's log that it stands for, from first_place on
  std::string json;          // as canonical_json()
};

// The same text for the same JSON, however it was spaced. Throws if `text` is no JSON.
[[nodiscard]] std::string canonical_json(std::string_view text);

// All events after `offset`, or from the beginning. Throws if the gateway does not answer.
[[nodiscard]] std::vector<LoggedEvent> read_log(const GatewayFixture& gateway,
                                                const std::string& after = "begin");

// The first place where offsets do not grow or where the entries of a device's log are not 1, 2, 3 and so on,
// each once; empty: there is none. Precondition: the log of each device has one history.
[[nodiscard]] std::string first_disorder(const std::vector<LoggedEvent>& log);

}  // namespace godwit::test
