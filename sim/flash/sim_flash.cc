// SPDX-License-Identifier: Apache-2.0
#include "sim/flash/sim_flash.h"

#include <algorithm>
#include <set>

#include "proto/base/assert.h"

namespace godwit::sim {

SimFlash::SimFlash(const ports::FlashGeometry& geometry, std::uint64_t seed)
    : Flash(geometry),
      sectors_(geometry.sector_count),
      random_(static_cast<std::minstd_rand::result_type>(seed % 2147483646 + 1)) {}

SimFlash::Cells& SimFlash::in_use(std::uint32_t sector) {
  std::shared_ptr<Cells>& cells = sectors_[sector].cells;
  if (!cells) {
    cells = std::make_shared<Cells>();
    cells->bytes.assign(geometry().sector_size_bytes, 0xFF);
    cells->hit.assign(geometry().sector_size_bytes / geometry().program_size_bytes, false);
  } else if (cells.use_count() > 1) {
    cells = std::make_shared<Cells>(*cells);
  }
  return *cells;
}

void SimFlash::break_sector(std::uint32_t sector, const Wear& wear) {
  const std::uint64_t size = geometry().sector_size_bytes;
  bad_.push_back({sector * size, (sector + 1) * size, wear});
}

void SimFlash::break_unit(std::uint64_t offset, const Wear& wear) {
  const std::uint64_t size = geometry().program_size_bytes;
  bad_.push_back({offset / size * size, (offset / size + 1) * size, wear});
}

std::uint32_t SimFlash::bad_sectors() const {
  std::set<std::uint64_t> sectors;
  for (const Bad& bad : bad_) sectors.insert(bad.begin / geometry().sector_size_bytes);
  return static_cast<std::uint32_t>(sectors.size());
}

Wear SimFlash::wear_in(std::uint64_t begin, std::uint64_t end) const {
  Wear wear;
  for (const Bad& bad : bad_) {
    if (bad.begin >= end || begin >= bad.end) continue;
    if (bad.wear.read != Status::kOk) wear.read = bad.wear.read;
    if (bad.wear.program != Status::kOk) wear.program = bad.wear.program;
    if (bad.wear.erase != Status::kOk) wear.erase = bad.wear.erase;
  }
  return wear;
}

std::optional<Tear> SimFlash::step() {
  ++counts_.operations;
  if (!fault_) return std::nullopt;
  if (fault_->operation > 0) {
    --fault_->operation;
    return std::nullopt;
  }
  const Tear tear = fault_->tear;
  if (fault_->kind == Fault::Kind::kPowerCut) powered_ = false;
  fault_.reset();
  return tear;
}

Status SimFlash::do_read(std::uint64_t offset, MutableBytes out) {
  if (!powered_) return Status::kIo;
  ++counts_.reads;
  counts_.bytes_read += out.size();
  if (const Status status = wear_in(offset, offset + out.size()).read; status != Status::kOk) {
    std::ranges::fill(out, std::uint8_t{0xA5});  // undefined
    return status;
  }
  const std::uint32_t sector_size = geometry().sector_size_bytes;
  for (std::size_t done = 0; done < out.size();) {
    const Sector& sector = sectors_[(offset + done) / sector_size];
    const std::size_t at = (offset + done) % sector_size;
    const auto part = out.subspan(done, std::min<std::size_t>(out.size() - done, sector_size - at));
    if (!sector.cells) {
      std::ranges::fill(part, std::uint8_t{0xFF});
    } else {
      std::ranges::copy(Bytes(sector.cells->bytes).subspan(at, part.size()), part.begin());
    }
    done += part.size();
  }
  return Status::kOk;
}

void SimFlash::write_unit(MutableBytes unit, Bytes in, Tear tear) {
  switch (tear) {
    case Tear::kBefore:
    case Tear::kWeak:
      break;
    case Tear::kPart:
      std::ranges::copy(in.first(1 + random_() % in.size()), unit.begin());
      break;
    case Tear::kGarbage:
      std::ranges::generate(unit, [this] { return static_cast<std::uint8_t>(random_() >> 8); });
      break;
    case Tear::kAfter:
      std::ranges::copy(in, unit.begin());
      break;
  }
}

Status SimFlash::do_program(std::uint64_t offset, Bytes in) {
  const std::uint32_t unit_size = geometry().program_size_bytes;
  programmed_at_ = offset;
  for (; !in.empty(); in = in.subspan(unit_size), offset += unit_size) {
    if (!powered_) return Status::kIo;
    Cells& sector = in_use(static_cast<std::uint32_t>(offset / geometry().sector_size_bytes));
    const std::size_t at = offset % geometry().sector_size_bytes;
    if (sector.hit[at / unit_size]) {
      ++counts_.refused;
      return Status::kIo;
    }
    const Status worn = wear_in(offset, offset + unit_size).program;
    const auto unit = MutableBytes(sector.bytes).subspan(at, unit_size);
    const auto tear = step();
    sector.hit[at / unit_size] = tear != Tear::kBefore;
    counts_.bytes_programmed += unit_size;
    write_unit(unit, in.first(unit_size), tear.value_or(worn == Status::kOk ? Tear::kAfter : Tear::kGarbage));
    if (!tear && worn != Status::kOk) return worn;
    if (!tear) continue;
    torn_offset_ = offset;
    torn_bytes_.assign(in.begin(), in.begin() + (*tear == Tear::kBefore ? 0 : unit_size));
    return Status::kIo;
  }
  return powered_ ? Status::kOk : Status::kIo;
}

void SimFlash::tear_erase(Cells& sector, Tear tear) {
  if (tear == Tear::kBefore) return;
  const std::size_t erased = tear == Tear::kPart ? random_() % sector.bytes.size() : sector.bytes.size();
  std::fill_n(sector.bytes.begin(), erased, std::uint8_t{0xFF});
  if (tear == Tear::kGarbage) {
    std::ranges::generate(sector.bytes, [this] { return static_cast<std::uint8_t>(random_() >> 8); });
  }
  std::fill(sector.hit.begin(), sector.hit.end(), tear != Tear::kAfter);
}

Status SimFlash::do_erase(std::uint32_t sector) {
  if (!powered_) return Status::kIo;
  const auto tear = step();
  if (torn_offset_ / geometry().sector_size_bytes == sector) torn_bytes_.clear();
  ++counts_.erases;
  ++sectors_[sector].erases;
  const std::uint64_t begin = std::uint64_t{sector} * geometry().sector_size_bytes;
  const Status worn = wear_in(begin, begin + geometry().sector_size_bytes).erase;
  if (tear || worn != Status::kOk) {
    tear_erase(in_use(sector), tear.value_or(Tear::kPart));
    return tear ? Status::kIo : worn;
  }
  sectors_[sector].cells.reset();
  return Status::kOk;
}

Status SimFlash::do_flush() {
  if (!powered_) return Status::kIo;
  ++counts_.flushes;
  return step() ? Status::kIo : Status::kOk;
}

void SimFlash::complete_tear() {
  if (torn_bytes_.empty()) return;
  Cells& sector = in_use(static_cast<std::uint32_t>(torn_offset_ / geometry().sector_size_bytes));
  std::ranges::copy(torn_bytes_, sector.bytes.begin() + static_cast<std::ptrdiff_t>(
                                                            torn_offset_ % geometry().sector_size_bytes));
  torn_bytes_.clear();
}

void SimFlash::flip_bit(std::uint64_t offset, unsigned bit) {
  GODWIT_ASSERT(offset < size_bytes() && bit < 8);
  Cells& sector = in_use(static_cast<std::uint32_t>(offset / geometry().sector_size_bytes));
  const std::size_t at = offset % geometry().sector_size_bytes;
  sector.bytes[at] ^= static_cast<std::uint8_t>(1U << bit);
  // Nobody can tell it from a bit that was programmed.
  sector.hit[at / geometry().program_size_bytes] = true;
}

std::vector<std::uint8_t> SimFlash::image() const {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(size_bytes());
  for (const Sector& sector : sectors_) {
    if (!sector.cells) {
      bytes.resize(bytes.size() + geometry().sector_size_bytes, 0xFF);
    } else {
      bytes.insert(bytes.end(), sector.cells->bytes.begin(), sector.cells->bytes.end());
    }
  }
  return bytes;
}

bool SimFlash::holds(std::uint64_t offset, Bytes bytes) const {
  const Sector& sector = sectors_[offset / geometry().sector_size_bytes];
  if (!sector.cells) return all_equal(bytes, 0xFF);
  const Bytes stands =
      Bytes(sector.cells->bytes).subspan(offset % geometry().sector_size_bytes, bytes.size());
  return std::ranges::equal(stands, bytes);
}

void SimFlash::load(Bytes bytes) {
  GODWIT_ASSERT(bytes.size() <= size_bytes());
  for (Sector& sector : sectors_) sector.cells.reset();
  torn_bytes_.clear();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == 0xFF) continue;
    Cells& sector = in_use(static_cast<std::uint32_t>(i / geometry().sector_size_bytes));
    const std::size_t at = i % geometry().sector_size_bytes;
    sector.bytes[at] = bytes[i];
    sector.hit[at / geometry().program_size_bytes] = true;
  }
}

void SimFlash::roll_back(const SimFlash& older) {
  GODWIT_ASSERT(older.size_bytes() == size_bytes());
  for (std::size_t i = 0; i < sectors_.size(); ++i) sectors_[i].cells = older.sectors_[i].cells;
  torn_bytes_ = older.torn_bytes_;
  torn_offset_ = older.torn_offset_;
}

}  // namespace godwit::sim
