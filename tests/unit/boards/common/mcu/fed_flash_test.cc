// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/fed_flash.h"

#include <gtest/gtest.h>

#include "firmware/outbox/outbox.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/flash_conformance.h"
#include "tests/support/seeded_entropy.h"

namespace godwit::boards {
namespace {

constexpr ports::FlashGeometry kGeometry{
    .sector_size_bytes = 16'384, .sector_count = 4'096, .program_size_bytes = 512};

// The watchdog: how much was read since it was fed last, at most.
struct Watchdog {
  explicit Watchdog(sim::SimFlash& of) : flash(&of) {}
  static void feed(void* self) {
    auto& watchdog = *static_cast<Watchdog*>(self);
    const std::uint64_t reads = watchdog.flash->counts().reads;
    watchdog.longest = std::max(watchdog.longest, reads - watchdog.fed);
    watchdog.fed = reads;
    ++watchdog.count;
  }
  sim::SimFlash* flash;
  std::uint64_t fed = 0;
  std::uint64_t longest = 0;
  std::uint64_t count = 0;
};

TEST(FedFlash, FeedsAtEachStepOfALongMount) {
  sim::SimFlash flash(kGeometry);
  Watchdog watchdog(flash);
  FedFlash fed(flash, &Watchdog::feed, &watchdog);
  test::SeededEntropy entropy;
  outbox::Outbox outbox(fed, entropy);
  ASSERT_EQ(outbox.mount(), Status::kOk);
  EXPECT_GE(watchdog.count, kGeometry.sector_count);
  EXPECT_EQ(watchdog.longest, 1U);
}

}  // namespace

struct FedFlashFixture : test::FlashFixture {
  std::shared_ptr<ports::Flash> make() override {
    return std::make_shared<FedFlash>(flash, [](void*) {}, nullptr);
  }
  sim::SimFlash flash{{.sector_size_bytes = 512, .sector_count = 4, .program_size_bytes = 16}};
};

}  // namespace godwit::boards

namespace godwit::test {
using boards::FedFlashFixture;
INSTANTIATE_TYPED_TEST_SUITE_P(FedFlash, FlashConformance, FedFlashFixture);
}  // namespace godwit::test
