// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/installation.h"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "boards/host/files.h"
#include "proto/base/ids.h"

namespace godwit::sim {

Installation Installation::read(const std::string& dir) {
  const std::string config = dir + "/gateway.toml";
  toml::table table;
  try {
    table = toml::parse_file(config);
  } catch (const toml::parse_error& error) {
    throw std::runtime_error(config + ": " + std::string(error.description()) +
                             "; is this a folder made by `godwit-gateway init`?");
  }
  Installation found;
  found.broker_host = table["mqtt"]["host"].value_or(std::string("localhost"));
  found.broker_port = table["mqtt"]["port"].value_or(std::uint16_t{8883});
  const auto http_port = table["http"]["port"].value_or(std::uint16_t{8443});
  found.api.base_url = "https://127.0.0.1:" + std::to_string(http_port);
  found.api.ca_file = dir + "/ca.crt";
  const auto key = boards::read_text_file(dir + "/api-key");
  if (!key) throw std::runtime_error(key.error());
  found.api.key = *key;
  while (!found.api.key.empty() && found.api.key.back() == '\n') found.api.key.pop_back();
  found.credentials_dir = dir + "/devices";
  return found;
}

std::vector<std::string> issued_devices(const std::string& gateway_dir, const std::string& prefix,
                                        std::size_t count) {
  std::vector<std::string> ids;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(gateway_dir + "/devices", error)) {
    std::string id = entry.path().filename().string();
    if (id.starts_with(prefix) && DeviceId::parse(id)) ids.push_back(std::move(id));
  }
  std::ranges::sort(ids);
  if (ids.size() < count) {
    throw std::runtime_error("credentials for " + std::to_string(ids.size()) + " devices named " + prefix +
                             "*, " + std::to_string(count) + " are needed: godwit-gateway device add " +
                             gateway_dir + " --count " + std::to_string(count) + " --prefix " + prefix);
  }
  ids.resize(count);
  return ids;
}

}  // namespace godwit::sim
