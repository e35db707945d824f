// SPDX-License-Identifier: Apache-2.0
// What a board keeps of its provisioning block: all but certificates and key, which TLS has copied.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "proto/base/ids.h"
#include "proto/codec/provisioning.h"

namespace godwit::boards {

struct Settings {
  using Host = std::array<char, codec::kHostSizeMax + 1>;  // ends with a zero byte

  DeviceId device;
  Host host_name{};  // of this device
  Host broker{};
  std::uint16_t broker_port = 0;
  Host server_name{};
  Host sntp{};  // empty: no time server
  std::uint16_t sntp_port = 0;
  UnixMillis issued{};
  Millis sample_period{};
  std::uint16_t rows_per_record = 0;
  std::uint32_t crc = 0;  // tells one provisioning from another
};

// What the network calls a device (RFC 952, RFC 1123): letters, digits and hyphens, no hyphen at the end.
inline Settings::Host host_name_of(const DeviceId& id) {
  Settings::Host name{};
  std::size_t size = 0;  // up to the last character that is no hyphen
  for (std::size_t i = 0; i < id.view().size(); ++i) {
    const char c = id.view()[i];
    name[i] = c == '.' || c == '_' ? '-' : c;
    if (name[i] != '-') size = i + 1;
  }
  name[size] = '\0';
  return name;
}

}  // namespace godwit::boards
