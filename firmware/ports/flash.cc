// SPDX-License-Identifier: Apache-2.0
#include "firmware/ports/flash.h"

#include <bit>

#include "proto/base/assert.h"

namespace godwit::ports {

Flash::Flash(const FlashGeometry& geometry) : geometry_(geometry) {
  GODWIT_ASSERT(std::has_single_bit(geometry.program_size_bytes));
  GODWIT_ASSERT(geometry.program_size_bytes <= 512);
  GODWIT_ASSERT(geometry.sector_count >= 2);
  GODWIT_ASSERT(geometry.sector_size_bytes > 0);
  GODWIT_ASSERT(geometry.sector_size_bytes % geometry.program_size_bytes == 0);
}

bool Flash::contains(std::uint64_t offset, std::size_t size) const {
  return offset <= size_bytes() && size <= size_bytes() - offset;
}

Status Flash::read(std::uint64_t offset, MutableBytes out) {
  if (!contains(offset, out.size())) return Status::kInvalidArgument;
  return do_read(offset, out);
}

Status Flash::program(std::uint64_t offset, Bytes in) {
  const std::uint32_t unit = geometry_.program_size_bytes;
  if (!contains(offset, in.size()) || offset % unit != 0 || in.size() % unit != 0) {
    return Status::kInvalidArgument;
  }
  return do_program(offset, in);
}

Status Flash::erase(std::uint32_t sector) {
  if (sector >= geometry_.sector_count) return Status::kInvalidArgument;
  return do_erase(sector);
}

}  // namespace godwit::ports
