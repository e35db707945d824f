// SPDX-License-Identifier: Apache-2.0
// What the host's ports make of what the kernel says.
#include <gtest/gtest.h>
#include <sys/timex.h>

#include <cerrno>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "boards/host/file_flash.h"
#include "boards/host/host_clock.h"
#include "firmware/outbox/outbox.h"
#include "tests/support/process.h"
#include "tests/support/seeded_entropy.h"
#include "tests/unit/boards/fake_kernel.h"

namespace godwit::boards {
namespace {

using codec::TimeQuality;
using test::fake_kernel;

class HostKernelTest : public testing::Test {
 protected:
  void TearDown() override { fake_kernel() = {}; }
};

TEST_F(HostKernelTest, ItsClockGoesOnWhileTheMachineIsSuspended) {
  const HostClock clock;
  const Instant before = clock.now();
  fake_kernel().suspended = std::chrono::hours{1};
  EXPECT_GE(clock.now() - before, std::chrono::hours{1});
}

TEST_F(HostKernelTest, TimeIsSyncedOnlyIfTheKernelSaysSo) {
  fake_kernel().clock = {.seconds = 1'800'000'000, .fraction = 123'456'789, .status = STA_NANO | STA_PLL};
  EXPECT_TRUE(host_system_time().synced);
  EXPECT_EQ(host_system_time().time.value, 1'800'000'000'123);
  fake_kernel().clock = {.seconds = 1'800'000'000, .fraction = 123'456, .status = STA_PLL};
  EXPECT_EQ(host_system_time().time.value, 1'800'000'000'123);
  for (const int status : {STA_UNSYNC, STA_CLOCKERR, STA_UNSYNC | STA_NANO | STA_PLL}) {
    fake_kernel().clock->status = status;
    EXPECT_FALSE(host_system_time().synced) << status;
  }
  fake_kernel().clock_error = EPERM;  // as in a container
  EXPECT_FALSE(host_system_time().synced);
}

// A Raspberry Pi without a clock starts hours behind, and learns the time later.
TEST_F(HostKernelTest, ADeviceIsToldNoTimeThatNobodyConfirmed) {
  TimeOfDay time_of_day;
  const auto look = [&](std::int64_t seconds, int status) {
    fake_kernel().clock = {.seconds = seconds, .fraction = 0, .status = status};
    return time_of_day.look(host_system_time());
  };
  EXPECT_EQ(look(1'000, STA_UNSYNC).time, std::nullopt);
  EXPECT_EQ(look(1'001, STA_UNSYNC).quality, TimeQuality::kNone);
  EXPECT_EQ(look(1'800'000'000, STA_PLL).time, UnixMillis{1'800'000'000'000});
  EXPECT_EQ(look(1'800'000'001, STA_PLL).quality, TimeQuality::kSynced);
  // Somebody sets the clock by hand: the device goes on from what was confirmed.
  EXPECT_EQ(look(5, STA_UNSYNC).time, std::nullopt);
  EXPECT_EQ(look(6, STA_UNSYNC).quality, TimeQuality::kHoldover);
  EXPECT_EQ(look(1'800'000'009, STA_PLL).time, UnixMillis{1'800'000'009'000});
}

TEST_F(HostKernelTest, StepsOfTheClockAreAskedFor) {
  ClockSteps steps;
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(steps.fd()));
  std::map<std::string, std::string> fields;
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) fields[line.substr(0, colon)] = line.substr(colon + 1);
  }
  EXPECT_EQ(fields["clockid"], " 0") << "CLOCK_REALTIME";
  EXPECT_EQ(fields["settime flags"], " 03") << "TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET";
  EXPECT_FALSE(steps.take());
}

class BadDiskTest : public HostKernelTest {
 protected:
  static constexpr ports::FlashGeometry kGeometry{
      .sector_size_bytes = 4096, .sector_count = 8, .program_size_bytes = 16};
  static constexpr int kRecords = 100;

  BadDiskTest() {
    EXPECT_EQ(outbox_.mount(), Status::kOk);
    for (int i = 0; i < kRecords; ++i) EXPECT_EQ(outbox_.append(payload(i)), Status::kOk);
  }
  static std::vector<std::uint8_t> payload(int number) {
    return std::vector<std::uint8_t>(100, static_cast<std::uint8_t>(number));
  }
  // The numbers of the records that a start finds.
  std::vector<int> found_after_restart() {
    std::vector<int> numbers;
    outbox::Outbox outbox(*flash_, entropy_);
    if (outbox.mount() != Status::kOk) return {};
    std::vector<std::uint8_t> bytes(outbox.record_size_max());
    for (Seq seq = outbox.oldest_seq(); seq < outbox.next_seq();) {
      const auto entry = outbox.read(seq, bytes);
      if (!entry) return {};
      if (entry->kind == outbox::Entry::Kind::kData) {
        EXPECT_EQ(std::vector(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(entry->size_bytes)),
                  payload(bytes[0]));
        numbers.push_back(bytes[0]);
      }
      seq = {entry->seq.value + (entry->kind == outbox::Entry::Kind::kLoss ? entry->count : 1)};
    }
    return numbers;
  }

  test::TempDir dir_;
  test::SeededEntropy entropy_;
  std::unique_ptr<FileFlash> flash_{FileFlash::open(dir_.path() / "flash.bin", kGeometry).value()};
  outbox::Outbox outbox_{*flash_, entropy_};
};

TEST_F(BadDiskTest, BytesThatCannotBeReadAreDamaged) {
  std::vector<std::uint8_t> bytes(64);
  for (const int error : {EIO, EBADMSG, EUCLEAN}) {
    fake_kernel().bad_area = {.begin = 4096, .end = 4112, .error = error};
    EXPECT_EQ(flash_->read(4090, bytes), Status::kCorrupt) << error;
    EXPECT_EQ(flash_->read(4112, bytes), Status::kOk) << error;
    EXPECT_EQ(flash_->read(4032, bytes), Status::kOk) << error;
  }
  fake_kernel().bad_area = {.begin = 4096, .end = 4112, .error = ENXIO};
  EXPECT_EQ(flash_->read(4096, bytes), Status::kIo);
}

TEST_F(BadDiskTest, AFileThatIsCutOffIsDamagedWhereItEnds) {
  std::filesystem::resize_file(dir_.path() / "flash.bin", 10'000);
  std::vector<std::uint8_t> bytes(64);
  EXPECT_EQ(flash_->read(9'990, bytes), Status::kCorrupt);
  EXPECT_EQ(flash_->read(9'900, bytes), Status::kOk);
}

TEST_F(BadDiskTest, ADiskThatIsGoneIsNoDamage) {
  fake_kernel().bad_area = {.begin = 0, .end = 1 << 30, .error = EIO};
  std::vector<std::uint8_t> bytes(64);
  EXPECT_EQ(flash_->read(4096, bytes), Status::kIo);
}

// 16 bytes that answer EIO, anywhere: what does not touch them goes on.
TEST_F(BadDiskTest, CostsTheRecordsThatItTouchesAndNoOther) {
  const std::vector<int> all = found_after_restart();
  ASSERT_EQ(all.size(), static_cast<std::size_t>(kRecords));
  for (std::int64_t at = 0; at < 3 * 4096; at += 16) {
    fake_kernel().bad_area = {.begin = at, .end = at + 16, .error = EIO};
    EXPECT_GE(found_after_restart().size(), all.size() - 2) << "bad bytes at " << at;
  }
}

}  // namespace
}  // namespace godwit::boards
