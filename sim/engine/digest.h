// SPDX-License-Identifier: Apache-2.0
// One 64-bit number over everything that a run did, to tell whether two runs were the same. Not
// cryptographic. A value; no allocation. The same on every little-endian machine.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "proto/base/bytes.h"

namespace godwit::sim {

class Digest {
 public:
  void add(std::uint64_t word) { state_ = std::rotl(state_ ^ word, 29) * 0x9FB21C651E98DF25U; }
  void add(Bytes bytes) {
    add(bytes.size());
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), 8);
      add(word);
    }
    std::uint64_t rest = 0;
    for (const std::uint8_t byte : bytes) rest = (rest << 8) | byte;
    add(rest);
  }
  [[nodiscard]] std::uint64_t value() const { return state_ ^ (state_ >> 32); }

 private:
  std::uint64_t state_ = 0x243F6A8885A308D3U;
};

inline std::uint64_t digest_of(Bytes bytes) {
  Digest digest;
  digest.add(bytes);
  return digest.value();
}

}  // namespace godwit::sim
