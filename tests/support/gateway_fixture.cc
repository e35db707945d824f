// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gateway_fixture.h"

#include <csignal>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace godwit::test {
namespace {

constexpr std::chrono::seconds kStartTimeout{10};
constexpr std::size_t kTailSize = 4'000;

std::string tail(const std::string& text) {
  return text.size() <= kTailSize ? text : "...\n" + text.substr(text.size() - kTailSize);
}

}  // namespace

Outcome run_program(const std::vector<std::string>& command) {
  Process process(command);
  process.close_stdin();
  const auto status = process.wait(std::chrono::seconds(30));
  if (!status) throw std::runtime_error(command.front() + " does not end:\n" + process.log());
  return {*status, process.output(), process.log()};
}

std::string gateway_program() { return GODWIT_GATEWAY_PROGRAM; }

Outcome run_gateway_program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), gateway_program());
  return run_program(arguments);
}

GatewayFixture::GatewayFixture() : dir_(parent_.path() / "gateway") {
  const Outcome made = run_gateway_program({"init", dir_.string(), "--mqtt-port", std::to_string(mqtt_port_),
                                            "--http-port", std::to_string(http_port_)});
  if (made.status != 0) throw std::runtime_error("godwit-gateway init fails:\n" + made.log);
}

void GatewayFixture::start_broker() {
  end(broker_);
  broker_ = std::make_unique<Process>(
      std::vector<std::string>{"mosquitto", "-c", (dir_ / "mosquitto.conf").string()});
  if (!wait_for_port(mqtt_port_, kStartTimeout)) {
    throw std::runtime_error("mosquitto does not start:\n" + broker_->log());
  }
}

void GatewayFixture::launch_gateway(const Process::Options& options) {
  end(gateway_);
  gateway_ =
      std::make_unique<Process>(std::vector<std::string>{gateway_program(), "run", dir_.string()}, options);
  if (!gateway_->wait_for_line("godwit-gateway ready", kStartTimeout)) {
    throw std::runtime_error("godwit-gateway does not start:\n" + gateway_->log());
  }
}

void GatewayFixture::start_gateway() {
  launch_gateway();
  if (broker_ == nullptr) return;
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  while (get("/readyz").status != 200) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("godwit-gateway does not get ready:\n" + get("/readyz").body + "\n" +
                               gateway_->log() + broker_->log());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void GatewayFixture::end(std::unique_ptr<Process>& process) {
  if (process == nullptr) return;
  process->signal(SIGKILL);
  static_cast<void>(process->wait(kStartTimeout));
  past_log_ = tail(past_log_ + tail(process->log()));
  if (!logs_.empty()) {
    const char* const name = &process == &broker_ ? "broker.log" : "gateway.log";
    std::ofstream(logs_ / name, std::ios::app) << "--- pid " << process->pid() << "\n" << process->log();
  }
  process.reset();
}

std::string GatewayFixture::log_tail() const {
  std::string log = "--- ended before:\n" + past_log_;
  if (broker_ != nullptr) log += "--- broker:\n" + tail(broker_->log());
  if (gateway_ != nullptr) log += "--- gateway:\n" + tail(gateway_->log());
  return log;
}

std::filesystem::path GatewayFixture::add_device(const std::string& id) {
  const Outcome added = run_gateway_program({"device", "add", dir_.string(), id});
  if (added.status != 0) throw std::runtime_error("godwit-gateway device add fails:\n" + added.log);
  return dir_ / "devices" / id;
}

void GatewayFixture::add_devices(const std::string& prefix, unsigned count) {
  const Outcome added = run_gateway_program(
      {"device", "add", dir_.string(), "--count", std::to_string(count), "--prefix", prefix});
  if (added.status != 0) throw std::runtime_error("godwit-gateway device add fails:\n" + added.log);
}

HttpsOptions GatewayFixture::https() const {
  std::string key = read_file(dir_ / "api-key");
  key.erase(key.find_last_not_of('\n') + 1);
  return {"https://127.0.0.1:" + std::to_string(http_port_), dir_ / "ca.crt", key};
}

std::string GatewayFixture::wait_for_body(const std::string& path, std::string_view text,
                                          std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const HttpsResponse response = get(path);
    if (response.status == 200 && response.body.find(text) != std::string::npos) return response.body;
    if (std::chrono::steady_clock::now() > deadline) return response.body;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::uint64_t GatewayFixture::metric(const std::string& name) const {
  const std::string body = get("/metrics").body;
  const std::size_t at = body.find("\n" + name + " ");
  if (at == std::string::npos) throw std::runtime_error("no " + name + " in /metrics:\n" + body);
  return std::stoull(body.substr(at + name.size() + 2));
}

bool GatewayFixture::wait_for_metric(const std::string& name, std::uint64_t value,
                                     std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (metric(name) < value) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

std::vector<std::string> GatewayFixture::peer(const std::string& program,
                                              const std::filesystem::path& certificate,
                                              const std::filesystem::path& key) const {
  return {program,
          "-V",
          "5",
          "-h",
          "127.0.0.1",
          "-p",
          std::to_string(mqtt_port_),
          "-q",
          "1",
          "--cafile",
          (dir_ / "ca.crt").string(),
          "--cert",
          certificate.string(),
          "--key",
          key.string()};
}

std::vector<std::string> GatewayFixture::device_peer(const std::string& program,
                                                     const std::string& id) const {
  const std::filesystem::path folder = dir_ / "devices" / id;
  return peer(program, folder / "device.crt", folder / "device.key");
}

std::vector<std::string> GatewayFixture::gateway_peer(const std::string& program) const {
  return peer(program, dir_ / "gateway.crt", dir_ / "gateway.key");
}

}  // namespace godwit::test
