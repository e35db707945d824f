// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/wire.h"

namespace godwit::codec {

void WireWriter::put_varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) put(static_cast<std::uint8_t>(value | 0x80));
  put(static_cast<std::uint8_t>(value));
}

void WireWriter::put_tag(std::uint32_t field, WireType type) {
  put_varint(field << 3 | static_cast<std::uint32_t>(type));
}

void WireWriter::put_le(std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) put(static_cast<std::uint8_t>(value >> (8 * i)));
}

void WireWriter::varint(std::uint32_t field, std::uint64_t value) {
  if (value == 0) return;
  put_tag(field, WireType::kVarint);
  put_varint(value);
}

void WireWriter::fixed32(std::uint32_t field, std::uint32_t value) {
  if (value == 0) return;
  put_tag(field, WireType::kFixed32);
  put_le(value, sizeof value);
}

void WireWriter::fixed64(std::uint32_t field, std::uint64_t value) {
  put_tag(field, WireType::kFixed64);
  put_le(value, sizeof value);
}

void WireWriter::bytes_head(std::uint32_t field, std::size_t size) {
  put_tag(field, WireType::kBytes);
  put_varint(size);
}

void WireWriter::bytes(std::uint32_t field, Bytes value) {
  bytes_head(field, value.size());
  for (const std::uint8_t byte : value) put(byte);
}

bool WireReader::next() {
  if (!ok_ || in_.empty()) return false;
  const std::uint64_t tag = take_varint();
  field_ = static_cast<std::uint32_t>(tag >> 3);
  type_ = static_cast<WireType>(tag & 7);
  if (tag > UINT32_MAX || field_ == 0) return ok_ = false;
  switch (type_) {
    case WireType::kVarint:
      value_ = take_varint();
      break;
    case WireType::kFixed64:
      bytes_ = take(sizeof(std::uint64_t));
      if (ok_) value_ = load_le<std::uint64_t>(bytes_.data());
      break;
    case WireType::kFixed32:
      bytes_ = take(sizeof(std::uint32_t));
      if (ok_) value_ = load_le<std::uint32_t>(bytes_.data());
      break;
    case WireType::kBytes:
      bytes_ = take(take_varint());
      break;
    default:  // a group, which proto3 does not have
      ok_ = false;
  }
  return ok_;
}

// At most 10 bytes, of which the last holds one bit.
std::uint64_t WireReader::take_varint() {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in_.size() && i < 10; ++i) {
    const std::uint8_t byte = in_[i];
    if (i == 9 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
    if (byte >= 0x80) continue;
    in_ = in_.subspan(i + 1);
    return value;
  }
  ok_ = false;
  return 0;
}

Bytes WireReader::take(std::uint64_t size) {
  if (!ok_ || size > in_.size()) {
    ok_ = false;
    return {};
  }
  const Bytes taken = in_.first(static_cast<std::size_t>(size));
  in_ = in_.subspan(taken.size());
  return taken;
}

}  // namespace godwit::codec
