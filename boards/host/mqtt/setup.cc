// SPDX-License-Identifier: Apache-2.0
#include "boards/host/mqtt/setup.h"

#include <cstdio>
#include <random>

namespace godwit::boards {
namespace {

using mqtt::ReasonCode;

constexpr std::uint16_t kPlainPort = 1883;
constexpr std::uint16_t kTlsPort = 8883;

std::string random_client_id() {
  std::random_device random;
  std::string id = "godwit-mqtt-";
  for (int i = 0; i < 8; ++i) id += "0123456789abcdef"[random() % 16];
  return id;
}

// Reasons for which a server closes and a later attempt may succeed.
bool passes(ReasonCode reason) {
  return reason == ReasonCode::kServerUnavailable || reason == ReasonCode::kServerBusy ||
         reason == ReasonCode::kServerShuttingDown || reason == ReasonCode::kKeepAliveTimeout ||
         reason == ReasonCode::kUnspecifiedError || reason == ReasonCode::kConnectionRateExceeded;
}

}  // namespace

std::expected<std::unique_ptr<Setup>, std::string> make_setup(const ConnectArguments& arguments) {
  auto setup = std::make_unique<Setup>();
  setup->arguments = arguments;
  ConnectArguments& chosen = setup->arguments;
  if (chosen.qos < 0 || chosen.qos > 2) return std::unexpected("-q: 0, 1 or 2");
  if (chosen.client_id.empty()) {
    if (chosen.resume) return std::unexpected("--resume needs the client id (-i) of the session");
    chosen.client_id = random_client_id();
    // There is nothing to go on with, but Mosquitto 2.0.11 writes only sessions without a clean start to its
    // disk.
    chosen.resume = true;
  }
  const bool tls = !chosen.ca.empty();
  if (!tls && !(chosen.certificate.empty() && chosen.key.empty())) {
    return std::unexpected("--cert and --key need --cafile");
  }
  if (chosen.port == 0) chosen.port = tls ? kTlsPort : kPlainPort;
  setup->options.link.host = chosen.host;
  setup->options.link.port = chosen.port;
  if (tls) {
    auto files = TlsFiles::load({.ca = chosen.ca, .certificate = chosen.certificate, .key = chosen.key});
    if (!files) return std::unexpected(files.error());
    setup->tls = std::move(*files);
    setup->options.link.tls.emplace(HostLink::Tls{.context = setup->tls->context(),
                                                  .trust = setup->tls->trust(),
                                                  .identity = setup->tls->identity(),
                                                  .server_name = chosen.server_name,
                                                  .version_max = chosen.tls_version == "1.2"
                                                                     ? TlsClient::Version::kTls12
                                                                     : TlsClient::Version::kTls13});
  }
  setup->options.session = {.client_id = chosen.client_id,
                            .user_name = chosen.user_name,
                            .password = as_bytes(chosen.password),
                            .clean_start = !chosen.resume,
                            .session_expiry_s = chosen.session_expiry_s,
                            .keep_alive_s = chosen.keep_alive_s,
                            .use_topic_alias = false};
  return setup;
}

int complain(const std::string& what) {
  std::fprintf(stderr, "godwit-mqtt: %s\n", what.c_str());
  return 1;
}

std::string fatal_reason(const mqtt::Event& event) {
  const std::string detail = event.reason_string.empty() ? "" : ": " + std::string(event.reason_string);
  if (event.type == mqtt::EventType::kRefused && !passes(event.reason)) {
    return "the broker refused the connection: " + describe(event.reason) + detail;
  }
  if (event.type == mqtt::EventType::kDisconnected && event.by_server && !passes(event.reason)) {
    return "the broker ended the connection: " + describe(event.reason) + detail;
  }
  return {};
}

}  // namespace godwit::boards
