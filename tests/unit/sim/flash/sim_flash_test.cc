// SPDX-License-Identifier: Apache-2.0
#include "sim/flash/sim_flash.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "tests/support/flash_conformance.h"

namespace godwit::test {

template <std::uint32_t program_size>
struct SimFlashes : FlashFixture {
  std::shared_ptr<ports::Flash> make() override {
    return std::make_unique<sim::SimFlash>(ports::FlashGeometry{
        .sector_size_bytes = 4096, .sector_count = 3, .program_size_bytes = program_size});
  }
};
using AllSizes = testing::Types<SimFlashes<1>, SimFlashes<8>, SimFlashes<256>, SimFlashes<512>>;
INSTANTIATE_TYPED_TEST_SUITE_P(SimFlash, FlashConformance, AllSizes);

}  // namespace godwit::test

namespace godwit::sim {
namespace {

constexpr ports::FlashGeometry kGeometry{.sector_size_bytes = 64, .sector_count = 2, .program_size_bytes = 8};
using Unit = std::array<std::uint8_t, 8>;
constexpr Unit kUnit = {1, 2, 3, 4, 5, 6, 7, 8};
constexpr Unit kErased = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

Unit read(SimFlash& flash, std::uint64_t offset) {
  Unit unit{};
  EXPECT_EQ(flash.read(offset, unit), Status::kOk);
  return unit;
}

TEST(SimFlash, RefusesToProgramAUnitTwice) {
  SimFlash flash(kGeometry);
  ASSERT_EQ(flash.program(0, kUnit), Status::kOk);
  EXPECT_EQ(flash.program(0, kUnit), Status::kIo);
  EXPECT_EQ(flash.counts().refused, 1U);
  EXPECT_EQ(read(flash, 0), kUnit);
  EXPECT_EQ(flash.program(8, kErased), Status::kOk);
  EXPECT_EQ(flash.program(8, kUnit), Status::kIo) << "0xFF was programmed, too";
}

TEST(SimFlash, FailsEverythingAfterACutUntilPowerIsBack) {
  SimFlash flash(kGeometry);
  flash.arm({.operation = 1, .tear = Tear::kBefore});
  EXPECT_EQ(flash.program(0, kUnit), Status::kOk);
  EXPECT_EQ(flash.program(8, kUnit), Status::kIo);
  Unit unit{};
  EXPECT_EQ(flash.read(0, unit), Status::kIo);
  EXPECT_EQ(flash.erase(0), Status::kIo);
  EXPECT_EQ(flash.flush(), Status::kIo);
  flash.power_on();
  EXPECT_EQ(read(flash, 0), kUnit);
  EXPECT_EQ(read(flash, 8), kErased);
  EXPECT_EQ(flash.program(8, kUnit), Status::kOk) << "the cut came before the unit was touched";
}

TEST(SimFlash, LeavesTheUnitsBeforeATornOneWhole) {
  for (const Tear tear : {Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter}) {
    SimFlash flash(kGeometry);
    std::vector<std::uint8_t> bytes(24, 0x55);
    flash.arm({.operation = 1, .tear = tear});
    EXPECT_EQ(flash.program(0, bytes), Status::kIo);
    flash.power_on();
    EXPECT_EQ(read(flash, 0)[7], 0x55);
    EXPECT_EQ(read(flash, 16), kErased);
    EXPECT_EQ(flash.program(8, kUnit), Status::kIo) << "whatever it reads, it was hit";
    flash.complete_tear();
    EXPECT_EQ(read(flash, 8)[7], 0x55);
  }
}

TEST(SimFlash, LeavesASectorThatHasToBeErasedAgainWhenAnEraseIsCut) {
  for (const Tear tear : {Tear::kPart, Tear::kGarbage, Tear::kWeak}) {
    SimFlash flash(kGeometry);
    ASSERT_EQ(flash.program(56, kUnit), Status::kOk);
    flash.arm({.operation = 0, .tear = tear});
    EXPECT_EQ(flash.erase(0), Status::kIo);
    flash.power_on();
    EXPECT_EQ(flash.program(0, kUnit), Status::kIo);
    EXPECT_EQ(flash.erase(0), Status::kOk);
    EXPECT_EQ(flash.program(0, kUnit), Status::kOk);
  }
}

TEST(SimFlash, FailsOneCallOnlyWhenTheFaultIsAnError) {
  SimFlash flash(kGeometry);
  flash.arm({.operation = 0, .tear = Tear::kPart, .kind = SimFlash::Fault::Kind::kError});
  EXPECT_EQ(flash.program(0, kUnit), Status::kIo);
  EXPECT_TRUE(flash.powered());
  EXPECT_EQ(flash.program(8, kUnit), Status::kOk);
}

TEST(SimFlash, CountsWhatWears) {
  SimFlash flash(kGeometry);
  ASSERT_EQ(flash.program(0, kUnit), Status::kOk);
  ASSERT_EQ(flash.erase(1), Status::kOk);
  ASSERT_EQ(flash.flush(), Status::kOk);
  EXPECT_EQ(flash.counts().operations, 3U);
  EXPECT_EQ(flash.counts().bytes_programmed, 8U);
  EXPECT_EQ(flash.counts().flushes, 1U);
  EXPECT_EQ(flash.erases(0), 0U);
  EXPECT_EQ(flash.erases(1), 1U);
}

TEST(SimFlash, GoesOnFromAnImage) {
  SimFlash flash(kGeometry);
  ASSERT_EQ(flash.program(64, kUnit), Status::kOk);
  flash.flip_bit(64, 1);
  SimFlash copy(kGeometry);
  copy.load(flash.image());
  EXPECT_EQ(copy.image(), flash.image());
  EXPECT_EQ(read(copy, 64)[0], 3);
  EXPECT_EQ(copy.program(64, kUnit), Status::kIo);
  EXPECT_EQ(copy.program(0, kUnit), Status::kOk);
}

TEST(SimFlash, HasUnitsThatFailForGood) {
  SimFlash flash(kGeometry);
  ASSERT_EQ(flash.program(0, kUnit), Status::kOk);
  ASSERT_EQ(flash.program(16, kUnit), Status::kOk);
  flash.break_unit(8, {.read = Status::kCorrupt, .program = Status::kIo, .erase = Status::kIo});
  Unit unit{};
  EXPECT_EQ(flash.read(8, unit), Status::kCorrupt);
  EXPECT_EQ(flash.read(4, unit), Status::kCorrupt) << "a read that touches it";
  EXPECT_EQ(read(flash, 0), kUnit);
  EXPECT_EQ(read(flash, 16), kUnit);
  EXPECT_EQ(flash.program(8, kUnit), Status::kIo);
  EXPECT_EQ(flash.erase(0), Status::kIo);
  EXPECT_EQ(flash.erase(1), Status::kOk);
}

TEST(SimFlash, HasSectorsThatFailForGood) {
  SimFlash flash(kGeometry);
  flash.break_sector(1, {.read = Status::kIo});
  Unit unit{};
  EXPECT_EQ(flash.read(64, unit), Status::kIo);
  EXPECT_EQ(flash.read(120, unit), Status::kIo);
  EXPECT_EQ(read(flash, 56), kErased);
  EXPECT_EQ(flash.program(64, kUnit), Status::kOk) << "only reading fails";
  flash.load({});
  EXPECT_EQ(flash.read(64, unit), Status::kIo) << "another image does not repair it";
}

TEST(SimFlash, IsCopiedAsASnapshot) {
  SimFlash flash(kGeometry);
  ASSERT_EQ(flash.program(0, kUnit), Status::kOk);
  const SimFlash snapshot = flash;
  ASSERT_EQ(flash.program(8, kUnit), Status::kOk);
  ASSERT_EQ(flash.erase(0), Status::kOk);
  SimFlash other = snapshot;
  EXPECT_EQ(read(other, 0), kUnit);
  EXPECT_EQ(read(other, 8), kErased);
  EXPECT_EQ(read(flash, 0), kErased);
  flash.roll_back(snapshot);
  EXPECT_EQ(read(flash, 0), kUnit);
  EXPECT_EQ(flash.program(0, kUnit), Status::kIo) << "its cells are as they were";
  EXPECT_EQ(flash.erases(0), 1U) << "wear is not put back";
}

}  // namespace
}  // namespace godwit::sim
