// SPDX-License-Identifier: Apache-2.0
// What the gateway holds of a device, byte for byte: read from its database, past all code of the gateway. It
// may run meanwhile.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace godwit::test {

struct StoredRecord {
  std::uint64_t epoch = 0;
  std::uint64_t seq = 0;
  std::uint64_t lost = 0;  // 0: a record; otherwise a loss of so many
  std::string batch;       // as the device encoded it
};

// The records and losses of a device in the order of the log; samples of live channels are not among them.
// `installation` is the gateway's folder. Throws if the database cannot be read.
[[nodiscard]] std::vector<StoredRecord> read_database(const std::filesystem::path& installation,
                                                      const std::string& device);

}  // namespace godwit::test
