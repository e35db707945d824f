// SPDX-License-Identifier: Apache-2.0
// An outbox on a simulated flash, with short words for what tests do to it.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  // What stands at `seq`: a record's text, "mark", "refused N REASON", "lost N REASON" from there, or "-".
  std::string read(std::uint64_t seq) {
    std::array<std::uint8_t, 4096> buffer;
    const auto entry = box->read(Seq{seq}, buffer);
    if (!entry) return entry.error() == Status::kNotFound ? "-" : "failed";
    EXPECT_EQ(entry->seq.value, seq);
    switch (entry->kind) {
      case outbox::Kind::kData:
        return std::string(as_text(Bytes(buffer).first(entry->size_bytes)));
      case outbox::Kind::kMark:
        EXPECT_NE(entry->epoch.value, 0U);
        return "mark";
      case outbox::Kind::kRefused:
        return "refused " + std::to_string(entry->count) +
               (entry->refused_reason == outbox::RefusedReason::kFull ? " full" : " flash");
      case outbox::Kind::kLoss:
        break;
    }
    constexpr std::array kReasons = {"dropped", "corrupt", "not held"};
    return "lost " + std::to_string(entry->count) + ' ' + kReasons[static_cast<std::size_t>(entry->reason)];
  }
  // All that stands from `seq` on.
  std::vector<std::string> read_from(std::uint64_t seq) {
    std::vector<std::string> texts;
    while (Seq{seq} < box->next_seq()) {
      const auto entry = box->peek(Seq{seq});
      if (!entry) return {"failed"};
      texts.push_back(read(seq));
      seq += entry->kind == outbox::Kind::kLoss ? entry->count : 1;
    }
    return texts;
  }
  std::vector<std::string> read_all() { return read_from(box->oldest_seq().value); }
  // The records among them.
  std::vector<std::string> records() {
    auto texts = read_all();
    std::erase_if(texts, [](const std::string& text) {
      return text == "mark" || text.starts_with("lost ") || text.starts_with("refused ");
    });
    return texts;
  }
  // The newest marks below `before`, newest first.
  std::vector<Mark> marks(std::uint64_t before = ~std::uint64_t{0}) {
    std::array<Mark, outbox::Outbox::kMarksKept> found;
    const auto count = box->marks_before(Seq{before}, found);
    EXPECT_TRUE(count.has_value());
    return {found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count.value_or(0))};
  }

  sim::SimFlash flash;
  SeededEntropy entropy;
  std::optional<outbox::Outbox> box;

 private:
  outbox::FullPolicy policy_;
};

}  // namespace godwit::test
