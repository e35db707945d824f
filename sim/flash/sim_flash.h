// SPDX-License-Identifier: Apache-2.0
// A flash in memory that is stricter than hardware: it refuses what hardware would garble, counts what wears,
// loses power in the middle of an operation when told to, and has sectors and units that fail for good. A
// copy of it is a snapshot. Host only; sectors take memory while they hold data, and copies share what they
// have in common until one of them changes it, so fleets and branches of thousands are cheap. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "firmware/ports/flash.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::sim {

// What the interrupted operation leaves behind. "Hit" cells cannot be programmed before the next erase.
enum class Tear : std::uint8_t {
  kBefore,   // nothing: power went a moment before
  kPart,     // a prefix: of the unit's bytes, or of the sector that is being erased
  kGarbage,  // random bytes all over the unit or sector
  kWeak,     // the unit or sector reads as erased, and yet was hit
  kAfter,    // all of it: power went a moment after
};

// What fails for good, and how. kOk: nothing.
struct Wear {
  Status read = Status::kOk;     // kCorrupt or kIo
  Status program = Status::kOk;  // kIo
  Status erase = Status::kOk;    // kIo
};

class SimFlash final : public ports::Flash {
 public:
  // Operations are units programmed, sectors erased and flushes.
  struct Fault {
    enum class Kind : std::uint8_t {
      kPowerCut,  // everything fails until power_on()
      kError,     // only this call fails
    };
    std::uint64_t operation;  // the one that is hit, 0 being the next
    Tear tear = Tear::kPart;
    Kind kind = Kind::kPowerCut;
  };
  struct Counts {
    std::uint64_t operations = 0;
    std::uint64_t bytes_programmed = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t reads = 0;
    std::uint64_t flushes = 0;
    std::uint64_t erases = 0;
    std::uint64_t refused = 0;  // programs of cells that were not erased: a bug of the caller
  };

  explicit SimFlash(const ports::FlashGeometry& geometry, std::uint64_t seed = 1);
  // A snapshot: of content, faults and random numbers to come.
  SimFlash(const SimFlash&) = default;
  SimFlash& operator=(const SimFlash&) = default;

  void arm(const Fault& fault) { fault_ = fault; }
  void disarm() { fault_.reset(); }
  [[nodiscard]] bool armed() const { return fault_.has_value(); }
  [[nodiscard]] bool powered() const { return powered_; }
  void power_on() { powered_ = true; }
  void power_off() { powered_ = false; }

  // Fails for good from now on: a whole sector; or the unit at `offset`, whose `erase` fails its sector's. A
  // program that fails leaves garbage in the unit, an erase that fails any mixture of old and erased bytes.
  // What was told before of the same place stands too.
  void break_sector(std::uint32_t sector, const Wear& wear);
  void break_unit(std::uint64_t offset, const Wear& wear);
  // How many have a part that fails.
  [[nodiscard]] std::uint32_t bad_sectors() const;

  // What the last torn program was meant to write, shows after all: cells that were charged halfway may read
  // either way. No effect once the sector has been erased.
  void complete_tear();
  void flip_bit(std::uint64_t offset, unsigned bit);
  // The whole region. What is not 0xFF in `bytes` counts as programmed; shorter input leaves the rest erased.
  // What is broken stays broken.
  [[nodiscard]] std::vector<std::uint8_t> image() const;
  // Whether these bytes stand there, in one sector, whatever is broken.
  [[nodiscard]] bool holds(std::uint64_t offset, Bytes bytes) const;
  void load(Bytes bytes);
  // The content alone is that of `older`: an image of the same chip is put back, cells that were hit
  // included.
  void roll_back(const SimFlash& older);

  [[nodiscard]] const Counts& counts() const { return counts_; }
  // Where the last call of program() began.
  [[nodiscard]] std::uint64_t programmed_at() const { return programmed_at_; }
  [[nodiscard]] std::uint32_t erases(std::uint32_t sector) const { return sectors_[sector].erases; }

 private:
  struct Cells {
    std::vector<std::uint8_t> bytes;
    std::vector<bool> hit;  // by unit: cannot be programmed
  };
  struct Sector {
    std::shared_ptr<Cells> cells;  // null while the sector is erased; shared with copies
    std::uint32_t erases = 0;
  };

  Status do_read(std::uint64_t offset, MutableBytes out) override;
  Status do_program(std::uint64_t offset, Bytes in) override;
  Status do_erase(std::uint32_t sector) override;
  Status do_flush() override;

  // Counts an operation; the tear if it is the one to be hit.
  std::optional<Tear> step();
  Cells& in_use(std::uint32_t sector);
  [[nodiscard]] Wear wear_in(std::uint64_t begin, std::uint64_t end) const;
  void write_unit(MutableBytes unit, Bytes in, Tear tear);
  void tear_erase(Cells& sector, Tear tear);

  std::vector<Sector> sectors_;
  struct Bad {
    std::uint64_t begin;
    std::uint64_t end;
    Wear wear;
  };
  std::vector<Bad> bad_;  // few
  std::optional<Fault> fault_;
  std::uint64_t programmed_at_ = 0;
  std::uint64_t torn_offset_ = 0;
  std::vector<std::uint8_t> torn_bytes_;  // what the torn unit was to hold; empty if there is none
  Counts counts_;
  std::minstd_rand random_;
  bool powered_ = true;
};

}  // namespace godwit::sim
