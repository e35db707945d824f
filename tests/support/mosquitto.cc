// SPDX-License-Identifier: Apache-2.0
#include "tests/support/mosquitto.h"

#include <signal.h>

#include <stdexcept>

namespace godwit::test {
namespace {

constexpr std::chrono::seconds kStartTimeout{10};
constexpr int kPortAttempts = 5;

}  // namespace

Mosquitto::Mosquitto(const Options& options) {
  for (int attempt = 1;; ++attempt) {
    port_ = free_port();
    write_configuration(options);
    try {
      start();
      return;
    } catch (const std::runtime_error&) {
      if (attempt == kPortAttempts) throw;  // otherwise somebody may have taken the port first
    }
  }
}

void Mosquitto::write_configuration(const Options& options) {
  std::string text =
      "user root\n"  // keep the rights of whoever runs the test; the default is to drop them
      "persistence false\n"
      "set_tcp_nodelay true\n"
      "log_dest stderr\n"
      "log_type all\n"
      "listener " +
      std::to_string(port_) + " 127.0.0.1\n";
  if (options.tls) {
    text += "cafile " + options.tls->ca.string() + "\n";
    text += "certfile " + options.tls->certificate.string() + "\n";
    text += "keyfile " + options.tls->key.string() + "\n";
    if (options.tls->client_certificate_required) {
      text += "require_certificate true\nuse_identity_as_username true\n";
    } else {
      text += "allow_anonymous true\n";
    }
  } else {
    text += "allow_anonymous true\n";
  }
  dir_.write("mosquitto.conf", text + options.extra);
}

void Mosquitto::kill() {
  process_->signal(SIGKILL);
  static_cast<void>(process_->wait(kStartTimeout));
}

void Mosquitto::start() {
  process_ = std::make_unique<Process>(
      std::vector<std::string>{"mosquitto", "-c", (dir_.path() / "mosquitto.conf").string()});
  // Its own word, not an open port: the port may be somebody else's.
  const bool running = process_->wait_for_line(" running", kStartTimeout).has_value();
  if (!running || !wait_for_port(port_, kStartTimeout)) {
    throw std::runtime_error("mosquitto did not start:\n" + process_->log());
  }
}

}  // namespace godwit::test
