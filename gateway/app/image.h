// SPDX-License-Identifier: Apache-2.0
// Writes the provisioning block of a board: its credentials and where its broker is, at the start of a file
// that becomes the board's storage (an SD card's image, or the card itself). proto/codec/provisioning.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

#include "gateway/pki/certificate.h"
#include "proto/base/ids.h"

namespace godwit::app {

struct ImageOptions {
  std::filesystem::path file;
  std::optional<std::uint64_t> size;  // bytes of a new file; default: only the block's 4096
  // HOST[:PORT] as the board reaches the broker. Empty: the last name in the broker's certificate that is not
  // this machine's own loopback. Default port: that of gateway.toml.
  std::string broker;
  // What the board expects in the broker's certificate. Empty: the broker's host if the certificate holds it,
  // otherwise the first name in it.
  std::string server_name;
  std::string sntp;                    // HOST[:PORT] of a time server; empty: none
  std::uint32_t sample_period_ms = 0;  // 0: the board's default
  std::uint32_t rows_per_record = 0;   // 0: the board's default
};

// Takes device.crt, device.key and ca.crt from `credentials`; `dir` is the installation. A new file appears
// whole or not at all. Of one that is there only the first 4096 bytes change, and only if it holds nothing or
// a block of the same device: what the board has recorded stays. Nobody else may read the file. Says what was
// written on `out`; never the key. Throws pki::Error.
void write_image(const std::filesystem::path& dir, const DeviceId& device,
                 const std::filesystem::path& credentials, const ImageOptions& options, pki::Seconds now,
                 std::ostream& out);

}  // namespace godwit::app
