// SPDX-License-Identifier: Apache-2.0
// Reads the entries of one sector, or of several one behind the other. Internal to the outbox. No allocation.
#pragma once

#include <cstdint>

#include "firmware/outbox/format.h"

namespace godwit::outbox {

// The flash as the log sees it. What cannot be read comes as zeros, which verify as nothing; that the memory
// gives no answer at all is noted, and asked for when a call of the outbox ends.
class Medium {
 public:
  explicit Medium(ports::Flash& flash);

  [[nodiscard]] const ports::FlashGeometry& geometry() const { return geometry_; }
  // Where the first entry of a sector stands.
  [[nodiscard]] std::uint32_t entries_begin() const { return entries_begin_; }
  // Bytes that the smallest entry takes.
  [[nodiscard]] std::uint32_t extent_min() const { return extent_min_; }
  // Within one sector.
  void read(std::uint32_t sector, std::uint32_t offset, MutableBytes out);
  // The header of the sector `index`. False: none that verifies; `foreign` is set if it is one of a newer
  // version, or of another geometry.
  bool read_header(std::uint32_t index, SectorHeader& out);
  bool erase(std::uint32_t sector) { return flash_.erase(sector) == Status::kOk; }
  // Programs `head` and `payload`, neither empty, one behind the other and filling up the last unit, makes
  // them durable, and makes sure that they can be read. False: something failed.
  bool program(std::uint32_t sector, std::uint32_t offset, Bytes head, Bytes payload);

  // Neither the place that was read nor others answered, since somebody cleared this.
  bool silent = false;
  bool foreign = false;

 private:
  ports::FlashGeometry geometry_;  // copies, as they are asked for all the time
  std::uint32_t entries_begin_;
  std::uint32_t extent_min_;

  Status read_once(std::uint32_t sector, std::uint32_t offset, MutableBytes out);

  ports::Flash& flash_;
};

// An entry that verifies.
struct Found {
  Kind kind = Kind::kLoss;  // kLoss: none
  Seq seq;
  Numbers numbers{};  // of those that have them
  std::uint32_t offset = 0;
  std::uint32_t size_bytes = 0;  // of the payload
  std::uint32_t size_crc = 0;    // the CRC up to its payload
  std::uint32_t crc = 0;         // as its header has it
};

class SectorReader {
 public:
  // Begins at the first entry of sector `index`, which is `first` if it is whole, and under the newest of
  // `marks` below that.
  void enter(const Medium& medium, std::uint32_t index, Seq first, const Marks& marks);
  // Goes on in sector `index`, whose header says nothing, as the one behind the last.
  void go_on(const Medium& medium, std::uint32_t index);

  // The next entry in front of `limit`. Their seqs rise, or stay if an entry replaces the one before. False:
  // there is none, yet.
  bool find(Medium& medium, std::uint32_t limit, Found& out);

  // Of the last entry that was found; one less than the first before that.
  [[nodiscard]] Seq last_seq() const { return last_seq_; }
  // After find() found none: how many entries the bytes behind the last one may have been.
  [[nodiscard]] std::uint32_t spent() const;
  // After find() found none: where all ends that an append which was cut off may have touched.
  [[nodiscard]] std::uint32_t touched_end(const Medium& medium) const;

 private:
  bool verify(Medium& medium, const EntryHeader& header, Found& out);

  std::uint32_t index_ = 0;
  std::uint32_t offset_ = 0;
  std::uint32_t key_ = 0;
  Seq last_seq_;
  std::uint32_t skipped_ = 0;    // bytes between the end of the last entry and offset_
  std::uint32_t doubtful_ = 0;   // headers among them that check, of entries that do not verify
  std::uint32_t found_end_ = 0;  // of the last entry
  std::uint32_t reach_ = 0;      // of all whose header checks
  std::uint32_t used_end_ = 0;   // of what is not erased
};

}  // namespace godwit::outbox
