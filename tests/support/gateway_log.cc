// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gateway_log.h"

#include <stdexcept>

#include "sim/judge/judge.h"

namespace godwit::test {
namespace {

// Of devices whose flash nobody looks into.
class NoWitness final : public sim::Judge::Witness {
  bool holds(std::size_t /*device*/, sim::RecordId /*record*/) const override { return false; }
  bool holds_unharmed(std::size_t /*device*/, sim::RecordId /*record*/) const override { return false; }
};

}  // namespace

sim::Get get_from(const GatewayFixture& gateway) {
  return [&gateway](const std::string& path) {
    const HttpsResponse response = https_get(gateway.https(), path, {"Accept: application/json"});
    if (response.status != 200) throw std::runtime_error("GET " + path + ": " + response.body);
    return response.body;
  };
}

std::vector<LogEvent> read_log(const GatewayFixture& gateway, const std::string& after) {
  std::vector<LogEvent> log;
  sim::read_log(get_from(gateway), after, [&log](const LogEvent& event) { log.push_back(event); });
  return log;
}

std::string first_disorder(const std::vector<LogEvent>& log) {
  const NoWitness witness;
  sim::Judge judge(witness);
  try {
    for (const LogEvent& event : log) {
      if (!judge.find_device(event.device)) judge.add_device(event.device, nullptr, 0);
      sim::show(event, judge);
    }
  } catch (const sim::Violation& violation) {
    return violation.what();
  }
  return "";
}

}  // namespace godwit::test
