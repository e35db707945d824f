// SPDX-License-Identifier: Apache-2.0
#include "boards/common/storage/sd_flash.h"

#include <algorithm>

namespace godwit::boards {
namespace {

constexpr std::uint32_t kBlocksPerSector = SdFlash::kSectorSize / SdCard::kBlockSize;
// A start takes long, and one turn of a main loop makes several calls.
constexpr std::uint8_t kFailuresPerRestart = 16;

ports::FlashGeometry geometry_of(const SdCard& card, std::uint32_t sectors_max) {
  const std::uint32_t sectors = std::min(card.block_count() / kBlocksPerSector, sectors_max);
  return {.sector_size_bytes = SdFlash::kSectorSize,
          .sector_count = std::max(sectors, std::uint32_t{2}),  // what is not there answers kIo
          .program_size_bytes = SdCard::kBlockSize};
}

}  // namespace

SdFlash::SdFlash(SdCard& card, std::uint32_t sectors_max)
    : Flash(geometry_of(card, sectors_max)), card_(card) {}

// Whether the card is to be asked once more.
bool SdFlash::again_after(Status status) {
  if (status == Status::kOk) {
    failures_ = 0;
    return false;
  }
  if (failures_++ % kFailuresPerRestart != 0) return false;
  cached_.reset();
  return card_.restart() == Status::kOk;
}

Status SdFlash::read_block(std::uint32_t block, std::span<std::uint8_t, kBlockSize> out) {
  Status status;
  do status = card_.read(block, out);
  while (again_after(status));
  return status;
}

Status SdFlash::do_read(std::uint64_t offset, MutableBytes out) {
  auto block = static_cast<std::uint32_t>(offset / kBlockSize);
  auto from = static_cast<std::uint32_t>(offset % kBlockSize);
  for (; !out.empty(); ++block, from = 0) {
    const std::size_t size = std::min<std::size_t>(kBlockSize - from, out.size());
    if (size == kBlockSize) {
      const Status status = read_block(block, out.first<kBlockSize>());
      if (status != Status::kOk) return status;
    } else {
      if (const Status status = cache(block); status != Status::kOk) return status;
      std::ranges::copy(Bytes(cache_).subspan(from, size), out.begin());
    }
    out = out.subspan(size);
  }
  return Status::kOk;
}

Status SdFlash::do_program(std::uint64_t offset, Bytes in) {
  if (in.empty()) return Status::kOk;
  const auto block = static_cast<std::uint32_t>(offset / kBlockSize);
  const auto count = static_cast<std::uint32_t>(in.size() / kBlockSize);
  forget(block, count);
  Status status;
  do status = card_.write(block, in);
  while (again_after(status));
  if (status != Status::kOk) return status;
  std::ranges::copy(in.last<kBlockSize>(), cache_.begin());  // a record is read soon after it is written
  cached_ = block + count - 1;
  return Status::kOk;
}

Status SdFlash::do_erase(std::uint32_t sector) {
  forget(sector * kBlocksPerSector, kBlocksPerSector);
  Status status;
  do status = card_.erase(sector * kBlocksPerSector, kBlocksPerSector);
  while (again_after(status));
  return status;
}

// A write is over only when the card has stored it.
Status SdFlash::do_flush() { return Status::kOk; }

Status SdFlash::cache(std::uint32_t block) {
  if (cached_ == block) return Status::kOk;
  cached_.reset();
  const Status status = read_block(block, cache_);
  if (status == Status::kOk) cached_ = block;
  return status;
}

void SdFlash::forget(std::uint32_t block, std::uint32_t count) {
  if (cached_ && *cached_ - block < count) cached_.reset();
}

}  // namespace godwit::boards
