// SPDX-License-Identifier: Apache-2.0
// The provisioning block: who a board is, its keys, and where its broker is. It stands at the start of the
// board's storage; the gateway's tools write it, the board reads it. No allocation; what is decoded is
// borrowed from the input. Layout: docs/reference/flash.md.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::codec {

inline constexpr std::size_t kProvisioningBlockSize = 4096;     // that is kept free for it
inline constexpr std::string_view kProvisioningMagic = "GWPB";  // how it begins
inline constexpr std::size_t kHostSizeMax = 63;
inline constexpr std::size_t kCertificateSizeMax = 1536;  // bytes of DER
inline constexpr std::size_t kKeySizeMax = 256;           // bytes of DER

struct Provisioning {
  std::string_view device{};       // as DeviceId
  std::string_view broker_host{};  // 1 to 63 of [A-Za-z0-9._:-]: a name or an address
  std::uint16_t broker_port = 0;   // 1 to 65535
  std::string_view server_name{};  // the broker's certificate holds it; as broker_host
  Bytes ca{};           // the authority that the broker's certificate comes from; 1 to 1,536 bytes of DER
  Bytes certificate{};  // what the device shows, DER; it and its key both, or neither
  Bytes key{};          // SEC 1 or PKCS #8, DER, at most 256 bytes. Secret
  std::string_view sntp_host{};       // as broker_host; empty: there is no time server
  std::uint16_t sntp_port = 0;        // 1 to 65535 with sntp_host, otherwise 0
  UnixMillis issued{};                // when the block was made: it cannot be earlier. 0 to kTimeMax
  Millis sample_period{0};            // 1 ms to 24 h; 0: the board's default
  std::uint32_t rows_per_record = 0;  // 1 to kRowsMax; 0: the board's default
};

// kInvalidArgument if it breaks a rule above. Certificates and keys are not looked into.
Status check(const Provisioning& provisioning);

// The block, without what fills it up to kProvisioningBlockSize. Precondition: check() is kOk. Yields the
// size written to the front of `out`, at most kProvisioningBlockSize. kFull: too small, or all of it is too
// large.
std::expected<std::size_t, Status> encode(const Provisioning& provisioning, MutableBytes out);

// `block` begins where the storage does and may go on behind the block. kNotFound: nothing is there, bytes
// all 0xFF or all 0. kCorrupt: something else is there, or the block is damaged or was written in part.
// kUnsupported: a newer version. kFull: whole as far as one can see, but longer than `block`.
// kMalformed: undamaged, but it breaks a rule of check().
std::expected<Provisioning, Status> decode_provisioning(Bytes block);

// The checksum in a block's header: tells one block from another. Precondition: decode_provisioning() was
// fine.
[[nodiscard]] std::uint32_t provisioning_crc(Bytes block);

}  // namespace godwit::codec
