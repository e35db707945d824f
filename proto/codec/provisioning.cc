// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/provisioning.h"

#include <algorithm>
#include <optional>

#include "godwit.pb.h"

#include "proto/base/crc32.h"
#include "proto/base/ids.h"
#include "proto/codec/fields.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"

namespace godwit::codec {
namespace {

// Offsets in the header, behind the magic; little-endian. The message follows.
constexpr std::size_t kAtVersion = 4, kAtSize = 8, kAtCrc = 12, kHeaderSize = 16;
constexpr std::uint16_t kVersion = 1;

constexpr Millis kPeriodMax = std::chrono::hours{24};
constexpr std::uint32_t kPortMax = 65535;

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= kHostSizeMax && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == ':';
  });
}

bool has_sizes(Bytes in, std::size_t least, std::size_t most) {
  return in.size() >= least && in.size() <= most;
}

std::unexpected<Status> error(Status status) { return std::unexpected(status); }

// The message alone. kMalformed as decode_provisioning().
std::expected<Provisioning, Status> decode_message(Bytes in) {
  Provisioning result;
  std::optional<Bytes> ca;
  std::optional<Bytes> certificate;
  std::optional<Bytes> key;
  godwit_v1_Provisioning message{};
  message.device = sink_to(take_text, result.device);
  message.broker_host = sink_to(take_text, result.broker_host);
  message.server_name = sink_to(take_text, result.server_name);
  message.ca = sink_to(take_bytes, ca);
  message.certificate = sink_to(take_bytes, certificate);
  message.key = sink_to(take_bytes, key);
  message.sntp_host = sink_to(take_text, result.sntp_host);
  pb_istream_t stream = stream_of(in);
  if (!pb_decode(&stream, godwit_v1_Provisioning_fields, &message)) return error(Status::kMalformed);
  if (message.broker_port > kPortMax || message.sntp_port > kPortMax) return error(Status::kMalformed);
  result.broker_port = static_cast<std::uint16_t>(message.broker_port);
  result.sntp_port = static_cast<std::uint16_t>(message.sntp_port);
  result.ca = ca.value_or(Bytes{});
  result.certificate = certificate.value_or(Bytes{});
  result.key = key.value_or(Bytes{});
  result.issued = {message.issued_unix_ms};
  result.sample_period = Millis{message.sample_period_ms};
  result.rows_per_record = message.rows_per_record;
  if (check(result) != Status::kOk) return error(Status::kMalformed);
  return result;
}

}  // namespace

Status check(const Provisioning& p) {
  const bool names = DeviceId::parse(p.device).has_value() && is_host(p.broker_host) && p.broker_port != 0 &&
                     is_host(p.server_name);
  const bool credentials = has_sizes(p.ca, 1, kCertificateSizeMax) &&
                           has_sizes(p.certificate, 0, kCertificateSizeMax) &&
                           has_sizes(p.key, 0, kKeySizeMax) && p.certificate.empty() == p.key.empty();
  const bool time_server = p.sntp_host.empty() ? p.sntp_port == 0 : is_host(p.sntp_host) && p.sntp_port != 0;
  const bool times = p.issued.value >= 0 && p.issued.value <= kTimeMax.count() &&
                     p.sample_period >= Millis{0} && p.sample_period <= kPeriodMax;
  return names && credentials && time_server && times && p.rows_per_record <= kRowsMax
             ? Status::kOk
             : Status::kInvalidArgument;
}

std::expected<std::size_t, Status> encode(const Provisioning& provisioning, MutableBytes out) {
  out = out.first(std::min(out.size(), kProvisioningBlockSize));
  if (out.size() < kHeaderSize) return error(Status::kFull);
  const std::string_view ca = as_text(provisioning.ca);
  const std::string_view certificate = as_text(provisioning.certificate);
  const std::string_view key = as_text(provisioning.key);
  godwit_v1_Provisioning message{};
  message.device = source_of(put_text, provisioning.device);
  message.broker_host = source_of(put_text, provisioning.broker_host);
  message.broker_port = provisioning.broker_port;
  message.server_name = source_of(put_text, provisioning.server_name);
  message.ca = source_of(put_text, ca);
  message.certificate = source_of(put_text, certificate);
  message.key = source_of(put_text, key);
  message.sntp_host = source_of(put_text, provisioning.sntp_host);
  message.sntp_port = provisioning.sntp_port;
  message.issued_unix_ms = provisioning.issued.value;
  message.sample_period_ms = static_cast<std::uint32_t>(provisioning.sample_period.count());
  message.rows_per_record = provisioning.rows_per_record;
  const auto size = encode_message(godwit_v1_Provisioning_fields, &message, out.subspan(kHeaderSize));
  if (!size) return size;
  std::ranges::fill(out.first(kHeaderSize), std::uint8_t{0});
  std::ranges::copy(as_bytes(kProvisioningMagic), out.begin());
  store_le(out.data() + kAtVersion, kVersion);
  store_le(out.data() + kAtSize, static_cast<std::uint32_t>(*size));
  store_le(out.data() + kAtCrc, crc32(out.subspan(kHeaderSize, *size)));
  return kHeaderSize + *size;
}

std::expected<Provisioning, Status> decode_provisioning(Bytes block) {
  block = block.first(std::min(block.size(), kProvisioningBlockSize));
  if (block.size() < kHeaderSize) return error(Status::kFull);
  const Bytes header = block.first(kHeaderSize);
  if (all_equal(header, 0xFF) || all_equal(header, 0)) return error(Status::kNotFound);
  if (!as_text(header).starts_with(kProvisioningMagic)) return error(Status::kCorrupt);
  if (load_le<std::uint16_t>(header.data() + kAtVersion) != kVersion) return error(Status::kUnsupported);
  const auto size = load_le<std::uint32_t>(header.data() + kAtSize);
  if (size == 0 || size > kProvisioningBlockSize - kHeaderSize) return error(Status::kCorrupt);
  if (size > block.size() - kHeaderSize) return error(Status::kFull);
  const Bytes message = block.subspan(kHeaderSize, size);
  if (crc32(message) != provisioning_crc(block)) return error(Status::kCorrupt);
  return decode_message(message);
}

std::uint32_t provisioning_crc(Bytes block) { return load_le<std::uint32_t>(block.data() + kAtCrc); }

}  // namespace godwit::codec
