// SPDX-License-Identifier: Apache-2.0
#include "boards/common/storage/partition.h"

#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

ports::FlashGeometry with_sectors(ports::FlashGeometry geometry, std::uint32_t count) {
  geometry.sector_count = count;
  return geometry;
}

}  // namespace

Partition::Partition(ports::Flash& whole, Region region)
    : Flash(with_sectors(whole.geometry(), region.sector_count)),
      whole_(whole),
      first_sector_(region.first_sector),
      start_(std::uint64_t{region.first_sector} * whole.geometry().sector_size_bytes) {
  GODWIT_ASSERT(region.first_sector <= whole.geometry().sector_count);
  GODWIT_ASSERT(region.sector_count <= whole.geometry().sector_count - region.first_sector);
}

Status Partition::do_read(std::uint64_t offset, MutableBytes out) {
  return whole_.read(start_ + offset, out);
}
Status Partition::do_program(std::uint64_t offset, Bytes in) { return whole_.program(start_ + offset, in); }
Status Partition::do_erase(std::uint32_t sector) { return whole_.erase(first_sector_ + sector); }
Status Partition::do_flush() { return whole_.flush(); }

}  // namespace godwit::boards
