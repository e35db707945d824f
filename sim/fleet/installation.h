// SPDX-License-Identifier: Apache-2.0
// What a simulator needs to know of a gateway, read from the folder that `godwit-gateway init` made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/fleet/api_client.h"

namespace godwit::sim {

struct Installation {
  std::string broker_host;
  std::uint16_t broker_port = 0;
  ApiAccess api;
  std::string credentials_dir;  // holds <id>/device.crt and <id>/device.key

  // Throws std::runtime_error naming the file and what to do.
  static Installation read(const std::string& dir);
};

// The ids of the first `count` devices whose id begins with `prefix`. Throws std::runtime_error with the
// command that issues credentials if there are fewer.
std::vector<std::string> issued_devices(const std::string& gateway_dir, const std::string& prefix,
                                        std::size_t count);

}  // namespace godwit::sim
