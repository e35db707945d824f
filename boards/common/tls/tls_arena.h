// SPDX-License-Identifier: Apache-2.0
// The memory of mbedTLS on a board: a fixed piece of RAM instead of a heap. Whatever TLS needs -
// certificates, keys, record buffers, big numbers - comes from here and from nowhere else. Without an arena
// mbedTLS uses malloc where the build has it: hosts do, boards do not.
//
// Not a general allocator: first fit, one word before each block. That suits what mbedTLS does: few blocks
// that live long, the rest come and go like a stack. RAM: the piece itself and 32 bytes. One thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "proto/base/bytes.h"

namespace godwit::boards {

// mbedTLS keeps its allocator in globals, so there is at most one arena at a time.
class TlsArena {
 public:
  // `memory` is borrowed. Make the arena before anything else of TLS, and let it outlive all of that: without
  // it mbedTLS has no memory any more.
  explicit TlsArena(MutableBytes memory);
  ~TlsArena();
  TlsArena(const TlsArena&) = delete;
  TlsArena& operator=(const TlsArena&) = delete;

  // In bytes, with what the blocks themselves cost.
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  [[nodiscard]] std::size_t used() const { return used_; }
  // Up to where the arena was ever used. Gaps between blocks count, so one of this size would have done.
  [[nodiscard]] std::size_t used_max() const { return static_cast<std::size_t>(top_ - begin_); }
  // How many blocks were ever handed out: stands still while nothing allocates.
  [[nodiscard]] std::uint32_t allocations() const { return allocations_; }
  // How many blocks there was no room for in the present arena; 0 if there is none.
  static std::uint32_t failures();

  // For mbedTLS: as calloc() and free().
  void* allocate(std::size_t count, std::size_t size);
  void release(void* block);

 private:
  std::uint8_t* find_free(std::size_t size);

  std::uint8_t* begin_;
  std::uint8_t* end_;
  std::uint8_t* search_from_;  // no block below is free
  std::uint8_t* top_;
  std::size_t used_ = 0;
  std::uint32_t allocations_ = 0;
  std::uint32_t failures_ = 0;
};

}  // namespace godwit::boards
