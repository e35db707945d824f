// SPDX-License-Identifier: Apache-2.0
// The wire format of protobuf by hand, for messages of a few numbers that a device sends and takes all the
// time: a tenth of the instructions of nanopb. For the codecs of this folder only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>

#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::codec {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

// Writes to the front of `out`, and counts on where that ends. Fields go out in the order of the calls.
class WireWriter {
 public:
  explicit WireWriter(MutableBytes out) : out_(out) {}

  // Nothing for a value of 0, as proto3 has it.
  void varint(std::uint32_t field, std::uint64_t value);
  void fixed32(std::uint32_t field, std::uint32_t value);
  // The rest is for members of a oneof, which are never left out. bytes_head() is what goes before `size`
  // bytes.
  void fixed64(std::uint32_t field, std::uint64_t value);
  void bytes_head(std::uint32_t field, std::size_t size);
  void bytes(std::uint32_t field, Bytes value);

  // What was written. kFull: it did not fit.
  [[nodiscard]] std::expected<std::size_t, Status> finish() const {
    if (size_ > out_.size()) return std::unexpected(Status::kFull);
    return size_;
  }

 private:
  void put_tag(std::uint32_t field, WireType type);
  void put_varint(std::uint64_t value);
  void put_le(std::uint64_t value, std::size_t size);
  void put(std::uint8_t byte) {
    if (size_ < out_.size()) out_[size_] = byte;
    ++size_;
  }

  MutableBytes out_;
  std::size_t size_ = 0;
};

// Walks the fields of a message; those that nobody asks for are skipped. What is asked for in a type that the
// field does not have makes it fail.
class WireReader {
 public:
  explicit WireReader(Bytes in) : in_(in) {}

  // Moves to the next field. False: there is none, or what comes is no field (ok() tells).
  bool next();
  [[nodiscard]] bool ok() const { return ok_; }

  [[nodiscard]] std::uint32_t field() const { return field_; }
  // Its value. 0 and no bytes if it has another type.
  std::uint64_t varint() { return has(WireType::kVarint) ? value_ : 0; }
  std::uint32_t fixed32() { return has(WireType::kFixed32) ? static_cast<std::uint32_t>(value_) : 0; }
  std::uint64_t fixed64() { return has(WireType::kFixed64) ? value_ : 0; }
  Bytes bytes() { return has(WireType::kBytes) ? bytes_ : Bytes{}; }

 private:
  bool has(WireType type) { return ok_ = ok_ && type_ == type; }
  std::uint64_t take_varint();
  Bytes take(std::uint64_t size);

  Bytes in_;
  bool ok_ = true;
  WireType type_ = WireType::kVarint;
  std::uint32_t field_ = 0;
  std::uint64_t value_ = 0;
  Bytes bytes_;
};

}  // namespace godwit::codec
