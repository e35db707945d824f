// SPDX-License-Identifier: Apache-2.0
// An outbox on a simulated flash with a ledger, and what can happen to it. It is put back to a snapshot in
// place, the running outbox included, so that thousands of faults branch from one moment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "firmware/outbox/outbox.h"
#include "sim/flash/sim_flash.h"
#include "tests/power_loss/counting_entropy.h"
#include "tests/power_loss/outbox_ledger.h"

namespace godwit::test {

class OutboxWorld {
 public:
  struct Snapshot {
    sim::SimFlash flash;
    std::optional<outbox::Outbox> box;
    OutboxLedger ledger;
    std::uint32_t number;
  };

  OutboxWorld(const ports::FlashGeometry& geometry, outbox::FullPolicy policy, std::uint64_t seed)
      : flash(geometry, seed), policy_(policy) {}
  OutboxWorld(const OutboxWorld&) = delete;
  OutboxWorld& operator=(const OutboxWorld&) = delete;

  [[nodiscard]] Snapshot save() const { return {flash, box, ledger, number_}; }
  void restore(const Snapshot& snapshot) {
    flash = snapshot.flash;
    box.reset();
    if (snapshot.box) box.emplace(*snapshot.box);
    ledger = snapshot.ledger;
    number_ = snapshot.number;
  }

  // Power is back, or it is a reboot. False, here and below: the promise is broken, failure() says how.
  bool mount() {
    flash.power_on();
    box.emplace(flash, entropy, policy_);
    const Status status = box->mount();
    if (status != Status::kOk) return broken("mount() says " + std::string(to_string(status)));
    ledger.mounted(*box);
    return check();
  }
  bool check() {
    if (failure_.empty() && ledger.failure().empty()) {
      ledger.check(*box, flash, identities);
    }
    return failure_.empty() && ledger.failure().empty();
  }
  Status try_append(std::size_t size) { return ledger.append(*box, flash, ++number_, size); }
  // Must succeed.
  bool append(std::size_t size) {
    Status status = try_append(size);
    const bool one_is_left = flash.bad_sectors() + 1 >= flash.geometry().sector_count;
    if (status == Status::kFull && (policy_ == outbox::FullPolicy::kRefuse || one_is_left)) {
      if (ack_all() != Status::kOk) return broken("ack() fails");
      status = try_append(size);
    }
    if (status != Status::kOk) return broken("append() says " + std::string(to_string(status)));
    return failure_.empty() && ledger.failure().empty();
  }
  Status ack_all() { return ledger.ack(*box, box->next_seq()); }

  [[nodiscard]] std::string failure() const { return failure_.empty() ? ledger.failure() : failure_; }

  sim::SimFlash flash;
  CountingEntropy entropy;
  std::optional<outbox::Outbox> box;
  OutboxLedger ledger;
  Identities* identities = nullptr;

 private:
  bool broken(const std::string& what) {
    if (failure_.empty()) failure_ = what;
    return false;
  }

  outbox::FullPolicy policy_;
  std::uint32_t number_ = 0;
  std::string failure_;
};

}  // namespace godwit::test
