// SPDX-License-Identifier: Apache-2.0
// Makes a folder from which a broker and a gateway run: certificates, the broker's configuration, the
// gateway's, an API key. Nothing that exists is overwritten, so a run that was cut short is completed by the
// next.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "gateway/pki/certificate.h"

namespace godwit::app {

struct InitOptions {
  std::filesystem::path dir;
  std::vector<std::string> hosts;         // further names and addresses that devices and users connect to
  std::string mqtt_listen = "127.0.0.1";  // IP addresses
  std::uint16_t mqtt_port = 8883;
  std::string http_listen = "127.0.0.1";
  std::uint16_t http_port = 8443;
  bool renew =
      false;  // new dates, and names added by `hosts`, for the servers' and the gateway's certificates
};

// Says on `out` what it made and what it found. Throws pki::Error; what was made until then stays and is used
// by the next run.
void init(const InitOptions& options, pki::Seconds now, std::ostream& out);

}  // namespace godwit::app
