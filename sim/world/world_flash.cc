// SPDX-License-Identifier: Apache-2.0
#include "sim/world/world_flash.h"

#include <algorithm>
#include <utility>

namespace godwit::sim {
namespace {

constexpr std::size_t kNewestMax = 64;

}  // namespace

WorldFlash::WorldFlash(Scene& scene, const ports::FlashGeometry& geometry, std::uint64_t seed)
    : Flash(geometry),
      scene_(scene),
      inner_(geometry, seed),
      faults_(geometry.sector_count, SectorFault::kNone),
      harmed_(geometry.sector_count, false) {}

void WorldFlash::arm_power_cut(std::uint64_t operations, Tear tear) {
  inner_.arm({.operation = operations, .tear = tear});
}

void WorldFlash::complete_tear() { inner_.complete_tear(); }

Status WorldFlash::noted(char operation, std::uint64_t where, Status status) {
  if (quiet_) return status;
  scene_.engine.digest.add((where << 16) | (static_cast<std::uint64_t>(operation) << 8) |
                           static_cast<std::uint64_t>(status));
  if (powered() || status == Status::kOk) return status;
  if (operation == 'p') scene_.hit(Probe::kPowerCutInProgram);
  if (operation == 'e') scene_.hit(Probe::kPowerCutInErase);
  if (operation == 'f') scene_.hit(Probe::kPowerCutInFlush);
  scene_.say("flash", [&] {
    return std::string("power went in operation ") + operation + " at " + std::to_string(where);
  });
  return status;
}

Status WorldFlash::do_read(std::uint64_t offset, MutableBytes out) {
  const bool on = inner_.powered();
  if (quiet_) inner_.power_on();
  Status status = inner_.read(offset, out);
  if (!on) inner_.power_off();
  for (std::uint64_t at = offset; at < offset + out.size();
       at = (sector_of(at) + 1ULL) * geometry().sector_size_bytes) {
    if (faults_[sector_of(at)] != SectorFault::kNoRead) continue;
    if (!quiet_) scene_.hit(Probe::kReadRefused);
    status = Status::kCorrupt;
  }
  if (!quiet_) scene_.engine.digest.add(offset + (out.size() << 40));
  return status;
}

Status WorldFlash::do_program(std::uint64_t offset, Bytes in) {
  if (powered() && faults_[sector_of(offset)] >= SectorFault::kNoProgram) {
    scene_.hit(Probe::kProgramRefused);
    return noted('p', offset, Status::kIo);
  }
  if (!powered()) return Status::kIo;
  const Status status = inner_.program(offset, in);
  if (!written_.empty() && written_.back().offset + written_.back().size == offset) {
    written_.back().size += in.size();
  } else {
    written_.push_back({offset, in.size()});
  }
  newest_.push_back({offset, in.size()});
  if (newest_.size() > kNewestMax) newest_.pop_front();
  scene_.engine.digest.add(in);
  return noted('p', offset, status);
}

Status WorldFlash::do_erase(std::uint32_t sector) {
  if (!powered()) return Status::kIo;
  if (faults_[sector] != SectorFault::kNone) {
    scene_.hit(Probe::kEraseRefused);
    if (!quiet_) harmed_[sector] = true;  // the device has given it up, and its bytes still stand
    return noted('e', sector, Status::kIo);
  }
  const Status status = inner_.erase(sector);
  harmed_[sector] = status != Status::kOk;
  std::erase_if(newest_, [&](const Range& range) { return sector_of(range.offset) == sector; });
  scene_.hit(Probe::kSectorErased);
  if (++erased_ == geometry().sector_count + 1) scene_.hit(Probe::kRingWrapped);
  return noted('e', sector, status);
}

Status WorldFlash::do_flush() {
  if (!powered()) return Status::kIo;
  return noted('f', 0, inner_.flush());
}

bool WorldFlash::has_unreadable_sector() const {
  return std::ranges::find(faults_, SectorFault::kNoRead) != faults_.end();
}

bool WorldFlash::flip_bit(Random& random) {
  // In what is in use: an erased byte tells nobody anything.
  for (int attempt = 0; attempt < 1'000; ++attempt) {
    const std::uint64_t offset = random.below(size_bytes());
    const auto bit = static_cast<unsigned>(random.below(8));
    std::uint8_t byte = 0xFF;
    if (!peek(offset, {&byte, 1}) || byte == 0xFF) continue;
    inner_.flip_bit(offset, bit);
    harmed_[sector_of(offset)] = true;
    scene_.say("flash",
               [&] { return "bit " + std::to_string(bit) + " flipped at " + std::to_string(offset); });
    return true;
  }
  return false;
}

void WorldFlash::destroy_tail(std::uint64_t size, Random& random) {
  std::vector<std::uint8_t> image = inner_.image();
  const bool garbage = random.chance(300);
  while (size > 0 && !newest_.empty()) {
    Range& range = newest_.back();
    // Whole units, as they are programmed.
    const std::uint64_t unit = geometry().program_size_bytes;
    const std::uint64_t gone = std::min(range.size, (size + unit - 1) / unit * unit);
    for (std::uint64_t at = range.offset + range.size - gone; at < range.offset + range.size; ++at)
      image[at] = garbage ? static_cast<std::uint8_t>(random.next()) : 0xFF;
    harmed_[sector_of(range.offset)] = true;
    size -= std::min(size, gone);
    range.size -= gone;
    if (range.size == 0) newest_.pop_back();
  }
  inner_.load(image);
}

void WorldFlash::put_back(const Copy& copy) {
  const bool on = inner_.powered();
  inner_.roll_back(copy.flash);
  harmed_ = copy.harmed;
  inner_.disarm();
  on ? inner_.power_on() : inner_.power_off();
  newest_.clear();
}

bool WorldFlash::peek(std::uint64_t offset, MutableBytes out) const {
  if (faults_[sector_of(offset)] == SectorFault::kNoRead) return false;
  const bool on = inner_.powered();
  inner_.power_on();
  const Status status = inner_.read(offset, out);
  if (!on) inner_.power_off();
  return status == Status::kOk;
}

}  // namespace godwit::sim
