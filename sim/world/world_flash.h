// SPDX-License-Identifier: Apache-2.0
// The flash of a board in the world: SimFlash, with sectors that go bad for good, a memory of what was
// programmed last, and every operation in the digest of the run.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "firmware/ports/flash.h"
#include "sim/engine/random.h"
#include "sim/flash/sim_flash.h"
#include "sim/world/scene.h"

namespace godwit::sim {

enum class SectorFault : std::uint8_t { kNone, kNoErase, kNoProgram, kNoRead };

class WorldFlash final : public ports::Flash {
 public:
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  WorldFlash(Scene& scene, const ports::FlashGeometry& geometry, std::uint64_t seed);

  [[nodiscard]] bool powered() const { return inner_.powered(); }
  // Power goes in the operation that is `operations` after the next one.
  void arm_power_cut(std::uint64_t operations, Tear tear);
  void disarm() { inner_.disarm(); }
  [[nodiscard]] bool armed() const { return inner_.armed(); }
  void power_off() { inner_.power_off(); }
  void power_on() { inner_.power_on(); }
  void complete_tear();

  void break_sector(std::uint32_t sector, SectorFault fault) { faults_[sector] = fault; }
  [[nodiscard]] bool has_unreadable_sector() const;
  // False: there was nothing but erased bytes.
  bool flip_bit(Random& random);
  // What was programmed last is erased, or (random bytes) gone otherwise.
  void destroy_tail(std::uint64_t size, Random& random);
  // The whole, as of a card that is swapped.
  struct Copy {
    SimFlash flash;
    std::vector<bool> harmed;
  };
  [[nodiscard]] Copy copy() const { return {inner_, harmed_}; }
  void put_back(const Copy& copy);

  // Bytes as they stand, whatever is broken but the read of the sector; not an operation of the device.
  [[nodiscard]] bool peek(std::uint64_t offset, MutableBytes out) const;
  // The world itself reads: no operation of the device.
  void set_quiet(bool quiet) { quiet_ = quiet; }
  // Something in this sector was damaged by the world, or an erase of it was begun, since it was last erased.
  [[nodiscard]] bool harmed(std::uint64_t offset) const { return harmed_[sector_of(offset)]; }

  // What was programmed since the last clear_written(), in order, adjoining parts as one.
  [[nodiscard]] const std::vector<Range>& written() const { return written_; }
  void clear_written() { written_.clear(); }

 private:
  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;

  [[nodiscard]] std::uint32_t sector_of(std::uint64_t offset) const {
    return static_cast<std::uint32_t>(offset / geometry().sector_size_bytes);
  }
  Status noted(char operation, std::uint64_t where, Status status);

  Scene& scene_;
  mutable SimFlash inner_;  // its reads count and fail when power is off
  std::vector<SectorFault> faults_;
  std::vector<bool> harmed_;
  std::vector<Range> written_;
  std::deque<Range> newest_;  // at the back what was programmed last
  std::uint32_t erased_ = 0;
  bool quiet_ = false;
};

}  // namespace godwit::sim
