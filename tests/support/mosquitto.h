// SPDX-License-Identifier: Apache-2.0
// A real mosquitto on a free port of 127.0.0.1, for tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/process.h"

namespace godwit::test {

class Mosquitto {
 public:
  struct Tls {
    std::filesystem::path ca;
    std::filesystem::path certificate;
    std::filesystem::path key;
    bool client_certificate_required = true;  // and its common name is the user name
  };
  struct Options {
    std::optional<Tls> tls;  // without: plain TCP, anybody may connect
    std::string extra;       // further lines of configuration
  };

  Mosquitto() : Mosquitto(Options{}) {}
  // Returns once it accepts connections; throws with its log if it does not.
  explicit Mosquitto(const Options& options);

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] Process& process() { return *process_; }

  // Ends it with SIGKILL; sessions that were not persisted are gone.
  void kill();
  // Starts it again on the same port.
  void start();

 private:
  void write_configuration(const Options& options);

  TempDir dir_;
  std::uint16_t port_ = 0;
  std::unique_ptr<Process> process_;
};

}  // namespace godwit::test
