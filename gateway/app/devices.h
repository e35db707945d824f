// SPDX-License-Identifier: Apache-2.0
// Issues the credentials of devices: a folder of device.crt, device.key and ca.crt for each, which a board is
// built or provisioned with.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/pki/certificate.h"
#include "proto/base/ids.h"

namespace godwit::app {

// A device's name from a person. Throws pki::Error that says what is allowed; reserved names are refused.
[[nodiscard]] DeviceId parse_device(std::string_view text);
// prefix1 to prefixCOUNT, numbers padded to the same width so that they sort: sim-001 ... sim-500.
[[nodiscard]] std::vector<DeviceId> numbered_devices(std::string_view prefix, unsigned count);

struct IssueOptions {
  std::filesystem::path dir;                 // the installation
  std::optional<std::filesystem::path> out;  // where credentials go, as OUT/ID/; default: dir/devices/ID/
  bool renew = false;  // a new certificate, for the same key, where there is one already
};

struct IssueResult {
  std::size_t made = 0;
  std::size_t kept = 0;
  std::size_t renewed = 0;
};

// A device's folder appears whole or not at all; one that is there is left alone. dir/devices/ID/device.crt
// is the record of what was issued, so with `out` the certificate, but not the key, is kept there too. Throws
// pki::Error.
IssueResult issue_devices(std::span<const DeviceId> devices, const IssueOptions& options, pki::Seconds now);

struct IssuedDevice {
  std::string id;
  std::string serial;
  pki::Seconds not_after;
};
// Ascending by id.
[[nodiscard]] std::vector<IssuedDevice> list_devices(const std::filesystem::path& dir);

}  // namespace godwit::app
