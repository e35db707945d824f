// SPDX-License-Identifier: Apache-2.0
// From arguments to a client: what publish and subscribe do alike.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "boards/host/mqtt/client.h"
#include "boards/host/mqtt/commands.h"
#include "boards/host/tls_files.h"

namespace godwit::boards {

// Holds what the client's options borrow.
struct Setup {
  ConnectArguments arguments;
  std::unique_ptr<TlsFiles> tls;
  MqttClient::Options options;
};
// The error is a sentence.
[[nodiscard]] std::expected<std::unique_ptr<Setup>, std::string> make_setup(
    const ConnectArguments& arguments);

// Tells the user; yields the exit status of a failure.
int complain(const std::string& what);
// What the user should know of an event that ends the connection; empty: it will be opened again.
[[nodiscard]] std::string fatal_reason(const mqtt::Event& event);

}  // namespace godwit::boards
