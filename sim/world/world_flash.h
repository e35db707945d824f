// SPDX-License-Identifier: Apache-2.0
// The flash of a board in the world: SimFlash, with sectors that go bad for good, a memory of what was
// programmed last, and every operation in the digest of the run.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "firmware/ports/flash.h"
#include "sim/engine/random.h"
#include "sim/flash/sim_flash.h"
#include "sim/world/scene.h"

namespace godwit::sim {

enum class SectorFault : std::uint8_t {
  kNone,
  kNoErase,      // any more
  kNoProgram,    // nor this
  kNoRead,       // nor this: what stands in it is corrupt
  kNoAnswer,     // the same, and it does not even say so
  kMisprograms,  // says that all is well, and a bit is wrong
};

constexpr bool unreadable(SectorFault fault) {
  return fault == SectorFault::kNoRead || fault == SectorFault::kNoAnswer;
}

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
  void disarm() {
    inner_.disarm();
    cut_at_erase_.reset();
  }
  [[nodiscard]] bool armed() const { return inner_.armed(); }
  // In the next erase.
  void cut_power_at_erase(Tear tear) { cut_at_erase_ = tear; }
  void power_off();
  void power_on() { inner_.power_on(); }
  void complete_tear();

  // Nothing of it answers.
  void silence_until(Time end) { silent_until_ = end; }
  [[nodiscard]] bool silent() const { return scene_.now() < silent_until_; }
  [[nodiscard]] std::uint32_t bad_sectors() const;
  // One that cannot be read stays so.
  void break_sector(std::uint32_t sector, SectorFault fault) {
    if (!unreadable(faults_[sector])) faults_[sector] = fault;
  }
  [[nodiscard]] bool has_unreadable_sector() const;
  [[nodiscard]] std::size_t flipped_bits() const { return flips_.size(); }  // and not erased since
  // False: there was nothing but erased bytes. `newest`: in what was programmed last.
  bool flip_bit(Random& random, bool newest = false);
  // The one bit that has flipped is all that was ever done to what it holds.
  [[nodiscard]] bool has_single_flip() const;
  // How often what was not erased since a cut has hit it was to be programmed.
  [[nodiscard]] std::uint64_t programmed_twice() const { return inner_.counts().refused; }
  // What was programmed last is erased, or (random bytes) gone otherwise.
  void destroy_tail(std::uint64_t size, Random& random);
  // The whole, as of a card that is swapped.
  struct Copy {
    SimFlash flash;
    std::vector<bool> harmed;
    std::vector<std::uint64_t> flips;
  };
  [[nodiscard]] Copy copy() const { return {inner_, harmed_, flips_}; }
  void put_back(const Copy& copy);

  // Bytes as they stand, whatever is broken but the read of the sector; not an operation of the device.
  [[nodiscard]] bool peek(std::uint64_t offset, MutableBytes out) const;
  // The world itself reads: no operation of the device.
  void set_quiet(bool quiet) { quiet_ = quiet; }
  // These bytes, or something in their sector that may hide them, were damaged by the world, or an erase of
  // it was begun, since it was last erased. A single flipped bit hides nothing but what it hits.
  [[nodiscard]] bool harmed(std::uint64_t offset, std::uint64_t size) const;

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
  void before_write();
  void after_write();
  void lose_unflushed();

  Scene& scene_;
  mutable SimFlash inner_;  // its reads count and fail when power is off
  std::vector<SectorFault> faults_;
  std::vector<bool> harmed_;
  std::vector<std::uint64_t> flips_;  // where, in sectors that were not erased since
  std::vector<Range> written_;
  std::deque<Range> newest_;  // at the back what was programmed last
  std::uint32_t erased_ = 0;
  bool quiet_ = false;
  Time silent_until_{0};
  std::optional<Tear> cut_at_erase_;
  // A card has a memory in front of its cells: what was written since the last flush may go with the power.
  Random cache_random_;
  bool caches_ = false;
  std::optional<SimFlash> flushed_;  // nullopt: nothing was written since
  std::vector<std::uint32_t> erased_unflushed_;
};

}  // namespace godwit::sim
