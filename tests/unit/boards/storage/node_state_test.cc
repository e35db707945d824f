// SPDX-License-Identifier: Apache-2.0
#include "boards/common/storage/node_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "boards/common/boot_number.h"
#include "sim/flash/sim_flash.h"
#include "tests/support/seeded_entropy.h"

namespace godwit::boards {
namespace {

using Buffer = std::vector<std::uint8_t>;

constexpr ports::FlashGeometry kGeometry{
    .sector_size_bytes = 2048, .sector_count = 2, .program_size_bytes = 64};
constexpr std::uint32_t kOwner = 0xC0FFEE;
constexpr std::size_t kHeaderSize = 40;

class EventLog final : public ports::Log {
 public:
  void write(ports::LogLevel level, std::string_view event, std::initializer_list<ports::LogField>) override {
    text += (level == ports::LogLevel::kWarning ? "warning " : "") + std::string(event) + "\n";
  }
  std::string text;
};

Buffer session_of(std::size_t size, std::uint8_t seed) {
  Buffer bytes(size);
  std::ranges::generate(bytes, [seed]() mutable { return seed = static_cast<std::uint8_t>(seed * 5 + 1); });
  return bytes;
}

// One start of a board.
struct Start {
  explicit Start(ports::Flash& flash) : state(flash), status(state.mount(log)) {}
  Buffer load(std::uint32_t owner = kOwner) {
    Buffer out(NodeState::kSessionSizeMax);
    const auto size = state.load_session(owner, out);
    out.resize(size.value_or(0));
    return out;
  }
  EventLog log;
  NodeState state;
  Status status;
};

class NodeStateTest : public testing::Test {
 protected:
  sim::SimFlash flash_{kGeometry};
};

TEST_F(NodeStateTest, CountsStartsFromOne) {
  for (std::uint32_t boot = 1; boot < 10; ++boot) {
    const Start start(flash_);
    EXPECT_EQ(start.status, Status::kOk);
    EXPECT_EQ(start.state.boot(), boot);
    EXPECT_EQ(start.log.text, boot == 1 ? "node_state_new\n" : "");
  }
  EXPECT_EQ(flash_.counts().refused, 0U);
}

TEST_F(NodeStateTest, BeginsOnStorageOfZeros) {
  flash_.load(Buffer(flash_.size_bytes(), 0));
  const Start start(flash_);
  EXPECT_EQ(start.status, Status::kOk);
  EXPECT_EQ(start.state.boot(), 1U);
  EXPECT_EQ(start.log.text, "node_state_new\n");
}

TEST_F(NodeStateTest, KeepsASessionOverStarts) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{24}, std::size_t{25}, std::size_t{120}, NodeState::kSessionSizeMax}) {
    SCOPED_TRACE(size);
    const Buffer session = session_of(size, 1);
    {
      Start start(flash_);
      ASSERT_EQ(start.state.save_session(kOwner, {77}, session), Status::kOk);
      EXPECT_EQ(start.load(), session);
    }
    for (int i = 0; i < 3; ++i) {
      Start start(flash_);
      EXPECT_EQ(start.load(), session);
      EXPECT_EQ(start.state.saved_at(kOwner), UnixMillis{77});
    }
  }
}

TEST_F(NodeStateTest, KeepsWhoseRecordsTheLogHoldsBesideTheSession) {
  const Buffer session = session_of(600, 8);
  {
    Start start(flash_);
    EXPECT_EQ(start.state.device(), 0U);
    ASSERT_EQ(start.state.save_device(0xABCD), Status::kOk) << "also without a session";
    ASSERT_EQ(start.state.save_session(kOwner, {5}, session), Status::kOk);
    EXPECT_EQ(start.state.device(), 0xABCDU);
  }
  for (const std::uint32_t device : {0x1234U, 0x5678U}) {
    Start start(flash_);
    ASSERT_EQ(start.state.save_device(device), Status::kOk);
    Start next(flash_);
    EXPECT_EQ(next.state.device(), device);
    EXPECT_EQ(next.load(), session);
    EXPECT_EQ(next.state.saved_at(kOwner), UnixMillis{5});
  }
}

TEST_F(NodeStateTest, GivesASessionToItsOwnerOnly) {
  Start start(flash_);
  Buffer out(NodeState::kSessionSizeMax);
  EXPECT_EQ(start.state.load_session(0, out).error(), Status::kNotFound) << "none was saved";
  const Buffer session = session_of(100, 2);
  ASSERT_EQ(start.state.save_session(kOwner, {}, session), Status::kOk);
  EXPECT_EQ(start.state.load_session(kOwner + 1, out).error(), Status::kNotFound);
  EXPECT_EQ(start.state.load_session(kOwner, MutableBytes(out).first(99)).error(), Status::kFull);
  EXPECT_EQ(start.load(), session);
}

TEST_F(NodeStateTest, RefusesSessionsThatAreEmptyOrTooLong) {
  Start start(flash_);
  EXPECT_EQ(start.state.save_session(kOwner, {}, {}), Status::kInvalidArgument);
  EXPECT_EQ(start.state.save_session(kOwner, {}, Buffer(NodeState::kSessionSizeMax + 1)),
            Status::kInvalidArgument);
}

TEST_F(NodeStateTest, LeavesNothingOfASessionThatWasCleared) {
  const Buffer session = session_of(200, 3);
  {
    Start start(flash_);
    ASSERT_EQ(start.state.save_session(kOwner, {5}, session), Status::kOk);
    ASSERT_EQ(start.state.clear_session(), Status::kOk);
    EXPECT_TRUE(start.load().empty());
  }
  Start start(flash_);
  EXPECT_TRUE(start.load().empty());
  EXPECT_EQ(start.state.saved_at(kOwner), UnixMillis{5});
  const Buffer image = flash_.image();
  EXPECT_TRUE(std::ranges::search(image, session).empty())
      << "the secret is gone once both copies were written";
}

TEST_F(NodeStateTest, KnowsTheTimeOfTheLastSessionThatHadOne) {
  Start start(flash_);
  const Buffer session = session_of(10, 4);
  ASSERT_EQ(start.state.save_session(kOwner, {1000}, session), Status::kOk);
  ASSERT_EQ(start.state.save_session(kOwner, {0}, session), Status::kOk);
  EXPECT_EQ(start.state.saved_at(kOwner), UnixMillis{1000});
  ASSERT_EQ(start.state.save_session(kOwner, {900}, session), Status::kOk);
  EXPECT_EQ(start.state.saved_at(kOwner), UnixMillis{900}) << "that clock was ahead";
}

TEST_F(NodeStateTest, TellsNoTimeToAnotherOwner) {
  Start start(flash_);
  const Buffer session = session_of(10, 4);
  ASSERT_EQ(start.state.save_session(kOwner, {1000}, session), Status::kOk);
  EXPECT_EQ(start.state.saved_at(kOwner + 1), UnixMillis{0});
  ASSERT_EQ(start.state.save_session(kOwner + 1, {0}, session), Status::kOk);
  EXPECT_EQ(start.state.saved_at(kOwner + 1), UnixMillis{0});
}

TEST_F(NodeStateTest, DamagedInBothCopiesStartsAgainAtOneAndSaysSo) {
  {
    const Start first(flash_);
  }
  {
    const Start second(flash_);
  }
  flash_.flip_bit(8, 0);
  flash_.flip_bit(kGeometry.sector_size_bytes + 8, 0);
  const Start start(flash_);
  EXPECT_EQ(start.status, Status::kOk);
  EXPECT_EQ(start.state.boot(), 1U);
  EXPECT_EQ(start.log.text, "warning node_state_damaged\n");
}

TEST_F(NodeStateTest, WithAFlippedBitAnywhereNeverRepeatsANumber) {
  const Buffer session = session_of(100, 5);
  std::uint32_t last = 0;
  for (int starts = 0; starts < 3; ++starts) {
    Start start(flash_);
    last = start.state.boot();
    if (starts == 1) {
      ASSERT_EQ(start.state.save_session(kOwner, {}, session), Status::kOk);
    }
  }
  const Buffer image = flash_.image();
  for (const std::size_t sector : {0U, 1U}) {
    for (std::size_t at = 0; at < (kHeaderSize + session.size()) * 8; ++at) {
      sim::SimFlash flash(kGeometry);
      flash.load(image);
      flash.flip_bit(sector * kGeometry.sector_size_bytes + at / 8, at % 8);
      Start start(flash);
      ASSERT_EQ(start.status, Status::kOk);
      EXPECT_GT(start.state.boot(), last) << "sector " << sector << ", bit " << at;
      EXPECT_LE(start.state.boot(), last + 2);
      const Buffer found = start.load();
      EXPECT_TRUE(found.empty() || found == session);
      EXPECT_EQ(start.log.text, "");
    }
  }
}

TEST_F(NodeStateTest, TakesTheSameBytesInEveryVersionToCome) {
  // What a first start and a session of three bytes left behind.
  constexpr std::array<std::uint8_t, 43> kGolden = {
      0x47, 0x57, 0x4E, 0x53, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0xEE, 0xFF, 0xC0,
      0x00, 0x00, 0x68, 0xE5, 0xCF, 0x8B, 0x01, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x1D, 0x80,
      0xBC, 0x55, 0x00, 0x00, 0x00, 0x00, 0x1A, 0x25, 0xD8, 0xA8, 0x01, 0x02, 0x03};
  constexpr std::array<std::uint8_t, 3> kSession{1, 2, 3};
  {
    Start start(flash_);
    ASSERT_EQ(start.state.save_session(kOwner, {1'700'000'000'000}, kSession), Status::kOk);
  }
  const Buffer image = flash_.image();
  EXPECT_TRUE(std::ranges::equal(Bytes(image).subspan(kGeometry.sector_size_bytes, kGolden.size()), kGolden));
  sim::SimFlash flash(kGeometry);
  flash.load(kGolden);
  Start start(flash);
  EXPECT_EQ(start.state.boot(), 2U);
  EXPECT_TRUE(std::ranges::equal(start.load(), kSession));
}

// Both sectors dead, in each way: the board starts all the same.
TEST_F(NodeStateTest, GoesOnUnsavedUnderANumberThatNoCountReaches) {
  const Buffer session = session_of(300, 9);
  {
    Start before(flash_);
    ASSERT_EQ(before.state.save_device(0xABCD), Status::kOk);
    ASSERT_EQ(before.state.save_session(kOwner, {5}, session), Status::kOk);
  }
  const Buffer image = flash_.image();
  test::SeededEntropy entropy;
  std::vector<std::uint32_t> numbers;
  struct Case {
    const char* name;
    sim::Wear wear;
    bool readable;
  };
  constexpr Case kCases[] = {
      {"silent", {.read = Status::kIo, .program = Status::kIo, .erase = Status::kIo}, false},
      {"unreadable", {.read = Status::kCorrupt, .program = Status::kIo, .erase = Status::kIo}, false},
      {"erases no more", {.erase = Status::kIo}, true}};
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    sim::SimFlash flash(kGeometry);
    flash.load(image);
    for (const std::uint32_t sector : {0U, 1U}) flash.break_sector(sector, each.wear);
    for (int starts = 0; starts < 3; ++starts) {
      Start start(flash);
      ASSERT_EQ(start.status, Status::kIo);
      const auto boot = draw_boot_number(entropy);
      ASSERT_TRUE(boot.has_value());
      start.state.go_on_unsaved(*boot);
      EXPECT_EQ(start.state.boot(), *boot);
      EXPECT_GE(*boot, 0x8000'0000U);
      EXPECT_EQ(std::ranges::count(numbers, *boot), 0);
      numbers.push_back(*boot);
      // The attempt to write may have spoiled what stood there for the next start.
      if (starts == 0) {
        EXPECT_EQ(start.state.device(), each.readable ? 0xABCDU : 0U);
      }
      const Buffer found = start.load();
      EXPECT_TRUE(found.empty() || found == session);
      EXPECT_EQ(start.state.save_device(1), Status::kIo);
      EXPECT_EQ(start.state.save_session(kOwner, {6}, session), Status::kIo);
    }
  }
  entropy.failing = true;
  EXPECT_EQ(draw_boot_number(entropy), std::nullopt);
}

// A storage that answers again after the start: what it holds was not looked at, and stays.
TEST_F(NodeStateTest, GoingOnUnsavedLeavesTheCountAsItStands) {
  for (std::uint32_t boot = 1; boot <= 3; ++boot) ASSERT_EQ(Start(flash_).state.boot(), boot);
  const Buffer image = flash_.image();
  flash_.power_off();
  Start dark(flash_);
  ASSERT_EQ(dark.status, Status::kIo);
  dark.state.go_on_unsaved(0x8000'0001);
  flash_.power_on();
  EXPECT_EQ(dark.state.save_device(7), Status::kIo);
  EXPECT_EQ(dark.state.save_session(kOwner, {6}, session_of(10, 1)), Status::kIo);
  EXPECT_EQ(flash_.image(), image);
  EXPECT_EQ(Start(flash_).state.boot(), 4U);
}

TEST_F(NodeStateTest, FailsWithItsFlashAtAnyStepAndStandsByWhatItHad) {
  const Buffer older = session_of(300, 6);
  const Buffer newer = session_of(300, 7);
  for (std::uint64_t step = 0;; ++step) {
    SCOPED_TRACE(step);
    sim::SimFlash flash(kGeometry);
    Start start(flash);
    ASSERT_EQ(start.state.save_session(kOwner, {}, older), Status::kOk);
    flash.arm({.operation = step, .kind = sim::SimFlash::Fault::Kind::kError});
    const Status status = start.state.save_session(kOwner, {}, newer);
    if (flash.armed()) {
      EXPECT_EQ(status, Status::kOk);
      break;
    }
    EXPECT_EQ(status, Status::kIo);
    EXPECT_EQ(start.load(), older);
    EXPECT_EQ(start.state.save_session(kOwner, {}, newer), Status::kOk);
    EXPECT_EQ(start.load(), newer);
    EXPECT_EQ(flash.counts().refused, 0U);
  }
}

}  // namespace
}  // namespace godwit::boards
