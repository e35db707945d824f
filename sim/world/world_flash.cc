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
      harmed_(geometry.sector_count, false),
      cache_random_(seed, 3),
      caches_(cache_random_.chance(500)) {}

void WorldFlash::arm_power_cut(std::uint64_t operations, Tear tear) {
  inner_.arm({.operation = operations, .tear = tear});
}

void WorldFlash::complete_tear() { inner_.complete_tear(); }

void WorldFlash::power_off() {
  inner_.power_off();
  lose_unflushed();
}

void WorldFlash::before_write() {
  if (caches_ && !flushed_) flushed_ = inner_;
}

void WorldFlash::after_write() {
  if (!powered()) lose_unflushed();
}

void WorldFlash::lose_unflushed() {
  if (!flushed_) return;
  if (cache_random_.chance(500)) {
    scene_.hit(Probe::kUnflushedLost);
    scene_.say("flash", [] { return "what was not flushed is gone"; });
    inner_.roll_back(*flushed_);
    for (const std::uint32_t sector : erased_unflushed_) harmed_[sector] = true;
    newest_.clear();
  }
  flushed_.reset();
  erased_unflushed_.clear();
}

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
  if (!quiet_ && silent()) {
    scene_.hit(Probe::kFlashSilent);
    return Status::kIo;
  }
  const bool on = inner_.powered();
  if (quiet_) inner_.power_on();
  Status status = inner_.read(offset, out);
  if (!on) inner_.power_off();
  for (std::uint64_t at = offset; at < offset + out.size();
       at = (sector_of(at) + 1ULL) * geometry().sector_size_bytes) {
    const SectorFault fault = faults_[sector_of(at)];
    if (!unreadable(fault)) continue;
    const bool answers = fault == SectorFault::kNoRead;
    if (!quiet_) scene_.hit(answers ? Probe::kReadRefused : Probe::kReadUnanswered);
    status = answers ? Status::kCorrupt : Status::kIo;
  }
  if (!quiet_) scene_.engine.digest.add(offset + (out.size() << 40));
  return status;
}

Status WorldFlash::do_program(std::uint64_t offset, Bytes in) {
  if (!powered() || silent()) return Status::kIo;
  const SectorFault fault = faults_[sector_of(offset)];
  if (fault >= SectorFault::kNoProgram && fault != SectorFault::kMisprograms) {
    scene_.hit(Probe::kProgramRefused);
    return noted('p', offset, Status::kIo);
  }
  before_write();
  Status status = inner_.program(offset, in);
  if (status == Status::kOk && fault == SectorFault::kMisprograms) {
    scene_.hit(Probe::kMisprogrammed);
    inner_.flip_bit(offset + in.size() / 2, 3);
  }
  if (!written_.empty() && written_.back().offset + written_.back().size == offset) {
    written_.back().size += in.size();
  } else {
    written_.push_back({offset, in.size()});
  }
  newest_.push_back({offset, in.size()});
  if (newest_.size() > kNewestMax) newest_.pop_front();
  scene_.engine.digest.add(in);
  status = noted('p', offset, status);
  after_write();
  return status;
}

Status WorldFlash::do_erase(std::uint32_t sector) {
  if (!powered() || silent()) return Status::kIo;
  if (faults_[sector] != SectorFault::kNone && faults_[sector] != SectorFault::kMisprograms) {
    scene_.hit(Probe::kEraseRefused);
    if (!quiet_) harmed_[sector] = true;  // the device has given it up, and its bytes still stand
    return noted('e', sector, Status::kIo);
  }
  before_write();
  erased_unflushed_.push_back(sector);
  if (cut_at_erase_) inner_.arm({.operation = 0, .tear = *std::exchange(cut_at_erase_, std::nullopt)});
  Status status = inner_.erase(sector);
  harmed_[sector] = status != Status::kOk;
  std::erase_if(flips_, [&](std::uint64_t offset) { return sector_of(offset) == sector; });
  std::erase_if(newest_, [&](const Range& range) { return sector_of(range.offset) == sector; });
  scene_.hit(Probe::kSectorErased);
  if (++erased_ == geometry().sector_count + 1) scene_.hit(Probe::kRingWrapped);
  status = noted('e', sector, status);
  after_write();
  return status;
}

Status WorldFlash::do_flush() {
  if (!powered() || silent()) return Status::kIo;
  const Status status = noted('f', 0, inner_.flush());
  if (status == Status::kOk) {
    flushed_.reset();
    erased_unflushed_.clear();
  }
  after_write();
  return status;
}

bool WorldFlash::has_unreadable_sector() const { return std::ranges::any_of(faults_, unreadable); }

std::uint32_t WorldFlash::bad_sectors() const {
  return static_cast<std::uint32_t>(faults_.size()) -
         static_cast<std::uint32_t>(std::ranges::count(faults_, SectorFault::kNone));
}

bool WorldFlash::harmed(std::uint64_t offset, std::uint64_t size) const {
  if (harmed_[sector_of(offset)]) return true;
  // What the log repeats may have stood in a sector that cannot be read.
  if (flips_.size() == 1 && !has_unreadable_sector()) return flips_[0] >= offset && flips_[0] < offset + size;
  return std::ranges::any_of(flips_,
                             [&](std::uint64_t flip) { return sector_of(flip) == sector_of(offset); });
}

bool WorldFlash::has_single_flip() const {
  return flips_.size() == 1 && bad_sectors() == 0 &&
         std::ranges::none_of(harmed_, [](bool harmed) { return harmed; });
}

bool WorldFlash::flip_bit(Random& random, bool newest) {
  Range in{.offset = 0, .size = size_bytes()};
  if (newest && !newest_.empty()) in = newest_.back();
  // In what is in use: an erased byte tells nobody anything.
  for (int attempt = 0; attempt < 1'000; ++attempt) {
    const std::uint64_t offset = in.offset + random.below(in.size);
    const auto bit = static_cast<unsigned>(random.below(8));
    std::uint8_t byte = 0xFF;
    if (!peek(offset, {&byte, 1}) || byte == 0xFF) continue;
    inner_.flip_bit(offset, bit);
    flips_.push_back(offset);
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
  flips_ = copy.flips;
  flushed_.reset();
  erased_unflushed_.clear();
  disarm();
  on ? inner_.power_on() : inner_.power_off();
  newest_.clear();
}

bool WorldFlash::peek(std::uint64_t offset, MutableBytes out) const {
  if (unreadable(faults_[sector_of(offset)])) return false;
  const bool on = inner_.powered();
  inner_.power_on();
  const Status status = inner_.read(offset, out);
  if (!on) inner_.power_off();
  return status == Status::kOk;
}

}  // namespace godwit::sim
