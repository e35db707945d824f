// SPDX-License-Identifier: Apache-2.0
// A real mosquitto and a real godwit-gateway on free ports of 127.0.0.1, from a folder that `godwit-gateway
// init` has just made. Both can be killed and started again, on the same ports and data.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/https_client.h"
#include "tests/support/process.h"

namespace godwit::test {

// What a program that ends by itself left behind.
struct Outcome {
  int status = -1;
  std::string output;  // stdout
  std::string log;     // stdout and stderr
};
// Runs it with nothing on stdin. Throws if it takes more than 30 s.
[[nodiscard]] Outcome run_program(const std::vector<std::string>& command);
// The path of godwit-gateway; runs it with these arguments.
[[nodiscard]] std::string gateway_program();
[[nodiscard]] Outcome run_gateway_program(std::vector<std::string> arguments);

class GatewayFixture {
 public:
  // Makes the folder; nothing runs yet.
  GatewayFixture();

  // Each returns when it serves, and throws with its log if it does not within 10 s. start_gateway() returns
  // when the gateway listens to the broker too, if that one runs.
  void start_broker();
  void start_gateway();
  // Listens when it returns, whatever becomes of it then.
  void launch_gateway(const Process::Options& options = {});
  // SIGKILL.
  void kill_broker() { end(broker_); }
  void kill_gateway() { end(gateway_); }

  // Precondition: started and not killed.
  [[nodiscard]] Process& broker() { return *broker_; }
  [[nodiscard]] Process& gateway() { return *gateway_; }

  // The last lines of all that broker and gateway wrote, killed ones included.
  [[nodiscard]] std::string log_tail() const;
  // From now on what those that end wrote is also added to broker.log and gateway.log of this folder, whole.
  void keep_logs_in(std::filesystem::path folder) { logs_ = std::move(folder); }

  [[nodiscard]] const std::filesystem::path& dir() const { return dir_; }
  [[nodiscard]] std::uint16_t mqtt_port() const { return mqtt_port_; }
  [[nodiscard]] std::uint16_t http_port() const { return http_port_; }
  // Issues the device's credentials and returns their folder.
  std::filesystem::path add_device(const std::string& id);
  // The same for PREFIX1 to PREFIXcount, padded to one width.
  void add_devices(const std::string& prefix, unsigned count);

  // With the API key of the installation.
  [[nodiscard]] HttpsOptions https() const;
  [[nodiscard]] HttpsResponse get(const std::string& path) const { return https_get(https(), path); }
  // Waits until `path` answers with 200 and a body that holds `text`; returns the body, or the last one at
  // the deadline.
  [[nodiscard]] std::string wait_for_body(const std::string& path, std::string_view text,
                                          std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;

  // One of the counters of /metrics. Throws if there is no such.
  [[nodiscard]] std::uint64_t metric(const std::string& name) const;
  // Waits until it is at least `value`. False: it is not, at the deadline.
  [[nodiscard]] bool wait_for_metric(const std::string& name, std::uint64_t value,
                                     std::chrono::milliseconds timeout = std::chrono::seconds(30)) const;

  // The command line of an independent MQTT client (mosquitto_pub, mosquitto_sub, mosquitto_rr) with these
  // credentials, to which topics and messages are added.
  [[nodiscard]] std::vector<std::string> peer(const std::string& program,
                                              const std::filesystem::path& certificate,
                                              const std::filesystem::path& key) const;
  [[nodiscard]] std::vector<std::string> device_peer(const std::string& program, const std::string& id) const;
  [[nodiscard]] std::vector<std::string> gateway_peer(const std::string& program) const;

 private:
  void end(std::unique_ptr<Process>& process);

  std::filesystem::path logs_;
  TempDir parent_;
  std::filesystem::path dir_;
  std::uint16_t mqtt_port_ = free_port();
  std::uint16_t http_port_ = free_port();
  std::string past_log_;  // of those that were killed
  std::unique_ptr<Process> broker_;
  std::unique_ptr<Process> gateway_;
};

}  // namespace godwit::test
