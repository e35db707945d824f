// SPDX-License-Identifier: Apache-2.0
// The storage file of a board as the host sees it while the board is off: who it is, and what its outbox
// holds, read with the outbox itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>

#include "proto/codec/provisioning.h"
#include "tests/support/qemu_board.h"

namespace godwit::test {

struct StoredOutbox {
  std::map<std::uint64_t, std::uint64_t> marks;  // first seq -> epoch, of all that the outbox knows
  std::uint64_t oldest_seq = 1;
  std::uint64_t next_seq = 1;
  std::uint64_t dropped = 0;     // records that were given up for want of room
  std::set<std::uint64_t> lost;  // from oldest_seq on: damaged, or spent by an append that a cut tore
  std::map<std::uint64_t, std::string> records;  // seq -> batch, as recorded

  // Of the mark in force at `seq`; 0: none is known.
  [[nodiscard]] std::uint64_t epoch_of(std::uint64_t seq) const {
    const auto after = marks.upper_bound(seq);
    return after == marks.begin() ? 0 : std::prev(after)->second;
  }
};

// Reads a copy of the file, so that what recovery writes does not reach it.
[[nodiscard]] StoredOutbox read_outbox(const QemuModel& model, const std::filesystem::path& storage);

// Appends copies of its oldest record to the outbox until it is full but for one sector. Returns its
// next_seq. Throws if it holds no record.
std::uint64_t fill_outbox(const QemuModel& model, const std::filesystem::path& storage);

// Replaces the provisioning block by a changed one. What `change` puts in has to live until the call returns.
void change_provisioning(const std::filesystem::path& storage,
                         const std::function<void(codec::Provisioning&)>& change);
// Overwrites bytes of the file.
void overwrite(const std::filesystem::path& storage, std::uint64_t offset, const std::string& bytes);

}  // namespace godwit::test
