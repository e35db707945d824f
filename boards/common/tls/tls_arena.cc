// SPDX-License-Identifier: Apache-2.0
// The memory is one row of blocks with no gaps between them. Each begins with a word: its size, word
// included, and in the lowest bit whether it is in use. What follows the word is handed out and is aligned
// for anything, and so the first block begins one word before an aligned address:
//
//     begin_        | word | bytes ...   | word | bytes ...        | word | bytes ...   end_
//                          ^ aligned            ^ aligned                 ^ aligned
//
// Neighbours that are both free are joined when a search comes by.
#include "boards/common/tls/tls_arena.h"

#include <mbedtls/platform.h>

#include <algorithm>
#include <cstring>

#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

TlsArena* g_arena = nullptr;  // mbedTLS's hooks have no argument to carry it in

void* arena_calloc(std::size_t count, std::size_t size) {
  return g_arena != nullptr ? g_arena->allocate(count, size) : nullptr;
}
void arena_free(void* memory) {
  if (g_arena != nullptr) g_arena->release(memory);
}

using Word = std::uint32_t;
constexpr Word kInUse = 1;
constexpr std::size_t kAlignment = alignof(std::max_align_t);

Word load(const std::uint8_t* block) {
  Word word = 0;
  std::memcpy(&word, block, sizeof(word));
  return word;
}
void store(std::uint8_t* block, std::size_t size, Word in_use) {
  const Word word = static_cast<Word>(size) | in_use;
  std::memcpy(block, &word, sizeof(word));
}
bool in_use(const std::uint8_t* block) { return (load(block) & kInUse) != 0; }
std::size_t size_of(const std::uint8_t* block) { return load(block) & ~kInUse; }

}  // namespace

TlsArena::TlsArena(MutableBytes memory) {
  GODWIT_ASSERT(g_arena == nullptr && memory.size() >= 2 * kAlignment);
  const std::size_t past = (reinterpret_cast<std::uintptr_t>(memory.data()) + sizeof(Word)) % kAlignment;
  begin_ = memory.data() + (kAlignment - past) % kAlignment;
  const auto room = static_cast<std::size_t>(memory.data() + memory.size() - begin_);
  end_ = begin_ + room / kAlignment * kAlignment;
  store(begin_, size(), 0);
  search_from_ = top_ = begin_;
  g_arena = this;
  mbedtls_platform_set_calloc_free(&arena_calloc, &arena_free);
}

TlsArena::~TlsArena() {
  GODWIT_ASSERT(used_ == 0);
  g_arena = nullptr;
}

std::uint32_t TlsArena::failures() { return g_arena != nullptr ? g_arena->failures_ : 0; }

// First fit. Each call joins free neighbours as far as it looks.
std::uint8_t* TlsArena::find_free(std::size_t size) {
  std::uint8_t* first_free = nullptr;
  for (std::uint8_t* block = search_from_; block != end_; block += size_of(block)) {
    if (in_use(block)) continue;
    for (const std::uint8_t* next = block + size_of(block); next != end_ && !in_use(next);
         next = block + size_of(block)) {
      store(block, size_of(block) + size_of(next), 0);
    }
    if (first_free == nullptr) search_from_ = first_free = block;
    if (size_of(block) >= size) return block;
  }
  return nullptr;
}

void* TlsArena::allocate(std::size_t count, std::size_t size) {
  if (count == 0 || size == 0) return nullptr;
  const bool fits = size <= this->size() / count;
  const std::size_t wanted = (count * size + sizeof(Word) + kAlignment - 1) / kAlignment * kAlignment;
  std::uint8_t* const block = fits ? find_free(wanted) : nullptr;
  if (block == nullptr) {
    ++failures_;
    return nullptr;
  }
  if (const std::size_t rest = size_of(block) - wanted; rest != 0) store(block + wanted, rest, 0);
  store(block, wanted, kInUse);
  ++allocations_;
  used_ += wanted;
  top_ = std::max(top_, block + wanted);
  std::memset(block + sizeof(Word), 0, count * size);
  return block + sizeof(Word);
}

void TlsArena::release(void* memory) {
  if (memory == nullptr) return;
  std::uint8_t* const block = static_cast<std::uint8_t*>(memory) - sizeof(Word);
  GODWIT_ASSERT(block >= begin_ && block < end_ && in_use(block));
  used_ -= size_of(block);
  store(block, size_of(block), 0);
  search_from_ = std::min(search_from_, block);
}

}  // namespace godwit::boards
