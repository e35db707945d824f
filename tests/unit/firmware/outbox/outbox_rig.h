// SPDX-License-Identifier: Apache-2.0
// An outbox on a simulated flash, with short words for what tests do to it.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "firmware/outbox/outbox.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/seeded_entropy.h"

namespace godwit::test {

class OutboxRig {
 public:
  explicit OutboxRig(const ports::FlashGeometry& geometry,
                     outbox::FullPolicy policy = outbox::FullPolicy::kDropOldest)
      : flash(geometry), policy_(policy) {
    box.emplace(flash, entropy, policy_);
  }

  Status restart() {
    flash.power_on();
    box.emplace(flash, entropy, policy_);
    return box->mount();
  }
  Status append(std::string_view text) { return box->append(as_bytes(text)); }
  // The record at `seq`, or "lost N REASON" from there, or "-" if nothing is there.
  std::string read(std::uint64_t seq) {
    std::array<std::uint8_t, 4096> buffer;
    const auto entry = box->read(Seq{seq}, buffer);
    if (!entry) return entry.error() == Status::kNotFound ? "-" : "failed";
    EXPECT_EQ(entry->seq.value, seq);
    if (entry->kind == outbox::Entry::Kind::kRecord) {
      return std::string(as_text(Bytes(buffer).first(entry->size_bytes)));
    }
    constexpr std::array kReasons = {"dropped", "corrupt", "not held"};
    return "lost " + std::to_string(entry->count) + ' ' + kReasons[static_cast<std::size_t>(entry->reason)];
  }

  sim::SimFlash flash;
  SeededEntropy entropy;
  std::optional<outbox::Outbox> box;

 private:
  outbox::FullPolicy policy_;
};

}  // namespace godwit::test
