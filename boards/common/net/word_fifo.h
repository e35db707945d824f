// SPDX-License-Identifier: Apache-2.0
// Frames through a 32-bit register, as Ethernet controllers hand them over: four bytes to a word, the first
// one lowest, in pieces of any size.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "proto/base/bytes.h"

namespace godwit::boards {

static_assert(std::endian::native == std::endian::little);

class WordReader {
 public:
  // `fifo` must outlive the reader.
  explicit WordReader(const volatile std::uint32_t& fifo) : fifo_(fifo) {}

  // Begins a frame whose first `size` bytes, fewer than four, stand in the high end of a word that was read
  // already.
  void begin(std::uint32_t word = 0, std::size_t size = 0) {
    word_ = size == 0 ? 0 : word >> (8 * (sizeof(word) - size));
    held_ = size;
  }
  void read(MutableBytes out) {
    while (held_ > 0 && !out.empty()) take(out);
    for (; out.size() >= sizeof(word_); out = out.subspan(sizeof(word_))) {
      const std::uint32_t word = fifo_;
      std::memcpy(out.data(), &word, sizeof(word));
    }
    if (out.empty()) return;
    word_ = fifo_;
    held_ = sizeof(word_);
    while (!out.empty()) take(out);
  }

 private:
  void take(MutableBytes& out) {
    out[0] = static_cast<std::uint8_t>(word_);
    word_ >>= 8U;
    --held_;
    out = out.subspan(1);
  }

  const volatile std::uint32_t& fifo_;
  std::uint32_t word_ = 0;
  std::size_t held_ = 0;  // bytes of word_ that are still to be read
};

class WordWriter {
 public:
  // `fifo` must outlive the writer.
  explicit WordWriter(volatile std::uint32_t& fifo) : fifo_(fifo) {}

  void write(Bytes in) {
    while (held_ > 0 && !in.empty()) put(in);
    for (; in.size() >= sizeof(word_); in = in.subspan(sizeof(word_))) {
      std::uint32_t word = 0;
      std::memcpy(&word, in.data(), sizeof(word));
      fifo_ = word;
    }
    while (!in.empty()) put(in);
  }
  // Fills the last word up with zeros.
  void end() {
    if (held_ > 0) fifo_ = word_;
    word_ = 0;
    held_ = 0;
  }

 private:
  void put(Bytes& in) {
    word_ |= std::uint32_t{in[0]} << (8 * held_);
    in = in.subspan(1);
    if (++held_ == sizeof(word_)) end();
  }

  volatile std::uint32_t& fifo_;
  std::uint32_t word_ = 0;
  std::size_t held_ = 0;  // bytes in word_ that are still to be written
};

}  // namespace godwit::boards
