// SPDX-License-Identifier: Apache-2.0
#include "boards/qemu_mps2_an385/psram_flash.h"

#include <cstring>

namespace godwit::boards {

PsramFlash::PsramFlash(MutableBytes memory)
    : Flash({.sector_size_bytes = kSectorSize,
             .sector_count = static_cast<std::uint32_t>(memory.size() / kSectorSize),
             .program_size_bytes = kProgramSize}),
      memory_(memory.data()) {}

Status PsramFlash::do_read(std::uint64_t offset, MutableBytes out) {
  if (!out.empty()) std::memcpy(out.data(), memory_ + offset, out.size());
  return Status::kOk;
}

Status PsramFlash::do_program(std::uint64_t offset, Bytes in) {
  for (std::size_t i = 0; i < in.size(); ++i) memory_[offset + i] &= in[i];
  return Status::kOk;
}

Status PsramFlash::do_erase(std::uint32_t sector) {
  std::memset(memory_ + std::size_t{sector} * kSectorSize, 0xFF, kSectorSize);
  return Status::kOk;
}

// Stores reach the file's memory in their order; QEMU has nothing that it could lose when it is killed.
Status PsramFlash::do_flush() { return Status::kOk; }

}  // namespace godwit::boards
