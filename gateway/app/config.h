// SPDX-License-Identifier: Apache-2.0
// gateway.toml: every key that there is, its default and its range. Reference: docs/reference/config.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/domain/log.h"

namespace godwit::app {

// The text has a line for each thing that is wrong: file, line, what, and what is allowed.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Paths in the file are relative to the file; here they are ready for use. Integers are within their range.
struct Config {
  std::string mqtt_host = "localhost";
  std::int64_t mqtt_port = 8883;
  std::filesystem::path mqtt_ca = "ca.crt";
  std::filesystem::path mqtt_certificate = "gateway.crt";
  std::filesystem::path mqtt_key = "gateway.key";
  std::int64_t mqtt_keep_alive_s = 30;
  std::int64_t mqtt_receive_max = 1000;

  std::string http_listen = "127.0.0.1";
  std::int64_t http_port = 8443;
  std::filesystem::path http_certificate = "http.crt";
  std::filesystem::path http_key = "http.key";
  std::filesystem::path http_api_keys = "api-keys";
  std::int64_t http_connections_max = 4096;
  std::int64_t http_connections_per_address_max = 1024;
  std::int64_t http_subscribers_max = 2048;
  std::int64_t http_requests_per_second = 200;

  std::filesystem::path store_directory = "data";
  std::int64_t store_gather_ms = 5;
  std::int64_t store_devices_max = 100'000;
  std::int64_t store_device_megabytes_per_day = 256;
  std::int64_t store_disk_reserve_percent = 5;

  gateway::LogLevel log_level = gateway::LogLevel::kInfo;
};

// Throws ConfigError.
[[nodiscard]] Config read_config(const std::filesystem::path& file);
// `file` names the text in errors, and its folder is what paths are relative to.
[[nodiscard]] Config parse_config(std::string_view text, const std::filesystem::path& file);

// "mqtt.host" and so on, in the order of Config.
[[nodiscard]] std::vector<std::string_view> config_keys();

}  // namespace godwit::app
