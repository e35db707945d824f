// SPDX-License-Identifier: Apache-2.0
// Reads the entries of one sector, or of several one behind the other. Internal to the outbox. No allocation.
#pragma once

#include <cstdint>

#include "firmware/outbox/format.h"

namespace godwit::outbox {

// Reads within one sector. What cannot be read comes as zeros, which verify as nothing. kIo: the memory does
// not answer, here and elsewhere.
Status read_flash(ports::Flash& flash, std::uint32_t sector, std::uint32_t offset, MutableBytes out);

// Whether `bytes` can be read there.
bool stands_there(ports::Flash& flash, std::uint32_t sector, std::uint32_t offset, Bytes bytes);

// The header of the sector `index`. kCorrupt: none that verifies. kUnsupported: one of a newer version, or of
// another geometry. kIo: as above.
Status read_header(ports::Flash& flash, std::uint32_t index, SectorHeader& out);

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
  explicit SectorReader(ports::Flash& flash) : flash_(&flash) {}

  // Begins at the first entry of sector `index`, which is `first` if it is whole, and under the newest of
  // `marks` below that.
  void enter(std::uint32_t index, Seq first, const Marks& marks);
  // Goes on in sector `index`, whose header says nothing, as the one behind the last.
  void go_on(std::uint32_t index);

  // The next entry in front of `limit`. Their seqs rise, or stay if an entry replaces the one before.
  // kNotFound: there is none, yet. kIo.
  Status find(std::uint32_t limit, Found& out);

  // Of the last entry that was found; one less than the first before that.
  [[nodiscard]] Seq last_seq() const { return last_seq_; }
  // After kNotFound: how many entries the bytes behind the last one may have been.
  [[nodiscard]] std::uint32_t spent() const;
  // After kNotFound: where all ends that an append which was cut off may have touched.
  [[nodiscard]] std::uint32_t touched_end() const;

 private:
  Status verify(const EntryHeader& header, Found& out);

  ports::Flash* flash_;
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
