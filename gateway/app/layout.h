// SPDX-License-Identifier: Apache-2.0
// The names in an installation's folder.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace godwit::app {

// KEY.crt and KEY.key.
inline constexpr std::string_view kAuthority = "ca";
inline constexpr std::string_view kBroker = "broker";
inline constexpr std::string_view kHttp = "http";
inline constexpr std::string_view kGateway =
    "gateway";  // its common name, and so its name to the broker, too

inline constexpr std::string_view kBrokerConfig = "mosquitto.conf";
inline constexpr std::string_view kBrokerAcl = "acl";
inline constexpr std::string_view kConfig = "gateway.toml";
inline constexpr std::string_view kApiKey = "api-key";    // the plain key, for the operator
inline constexpr std::string_view kApiKeys = "api-keys";  // digests, for the gateway
inline constexpr std::string_view kData = "data";
inline constexpr std::string_view kDevices = "devices";

// In the folder of a device.
inline constexpr std::string_view kDeviceCertificate = "device.crt";
inline constexpr std::string_view kDeviceKey = "device.key";
inline constexpr std::string_view kDeviceAuthority = "ca.crt";

// A device of the gateway's name would have the gateway's rights at the broker.
inline bool is_reserved(std::string_view device) {
  constexpr std::array kReserved{kAuthority, kBroker, kHttp, kGateway};
  return std::ranges::find(kReserved, device) != kReserved.end();
}

}  // namespace godwit::app
