// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>

#include "boards/host/address.h"
#include "boards/host/console_log.h"
#include "boards/host/file_flash.h"
#include "boards/host/files.h"
#include "boards/host/host_entropy.h"
#include "tests/support/flash_conformance.h"
#include "tests/support/port_conformance.h"
#include "tests/support/process.h"

namespace godwit::boards {
namespace {

constexpr ports::FlashGeometry kSmall{.sector_size_bytes = 256, .sector_count = 4, .program_size_bytes = 16};

}  // namespace

struct FileFlashFixture : test::FlashFixture {
  std::shared_ptr<ports::Flash> open() const {
    return std::move(FileFlash::open(dir.path() / "flash", kSmall).value());
  }
  std::shared_ptr<ports::Flash> make() override { return open(); }
  std::shared_ptr<ports::Flash> reopen(std::shared_ptr<ports::Flash> flash) override {
    flash.reset();
    return open();
  }
  test::TempDir dir;
};

namespace {

TEST(FileFlashOpen, RefusesAFileOfAnotherSize) {
  const test::TempDir dir;
  ASSERT_TRUE(FileFlash::open(dir.path() / "flash", kSmall).has_value());
  ports::FlashGeometry larger = kSmall;
  larger.sector_count = 8;
  const auto flash = FileFlash::open(dir.path() / "flash", larger);
  ASSERT_FALSE(flash.has_value());
  EXPECT_NE(flash.error().find("has 1024 bytes, but a flash of 2048 was asked for"), std::string::npos)
      << flash.error();
}

TEST(FileFlashOpen, SaysWhyThereIsNoFile) {
  const auto flash = FileFlash::open("/nowhere/flash", kSmall);
  ASSERT_FALSE(flash.has_value());
  EXPECT_EQ(flash.error(), "/nowhere/flash: cannot be made: No such file or directory");
}

TEST(DataDir, IsHeldByOneAtATime) {
  const test::TempDir dir;
  {
    const auto first = DataDir::open(dir.path() / "device");
    ASSERT_TRUE(first.has_value());
    const auto second = DataDir::open(dir.path() / "device");
    ASSERT_FALSE(second.has_value());
    EXPECT_NE(second.error().find("in use by another godwit-device"), std::string::npos);
  }
  EXPECT_TRUE(DataDir::open(dir.path() / "device").has_value());
}

TEST(DataDir, CountsBootsAndStartsAgainAfterGarbage) {
  const test::TempDir dir;
  auto data = DataDir::open(dir.path());
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->count_boot(), 1U);
  EXPECT_EQ(data->count_boot(), 2U);
  dir.write("boot", "garbage");
  EXPECT_EQ(data->count_boot(), 1U);
}

TEST(HostPorts, AreParsedStrictly) {
  EXPECT_EQ(parse_host_port("broker.local:8883").value().host, "broker.local");
  EXPECT_EQ(parse_host_port("[::1]:8883").value().host, "::1");
  EXPECT_EQ(parse_host_port("127.0.0.1:1").value().port, 1);
  for (const char* bad :
       {"", "host", ":1", "host:", "host:0", "host:65536", "host:1x", "::1:8883", "host:-1"}) {
    EXPECT_FALSE(parse_host_port(bad).has_value()) << bad;
  }
  EXPECT_TRUE(numeric_address("127.0.0.1", 1).has_value());
  EXPECT_TRUE(numeric_address("::1", 1).has_value());
  EXPECT_FALSE(numeric_address("localhost", 1).has_value());
}

TEST(LogLines, CannotBeForgedByForeignText) {
  EXPECT_EQ(
      format_log_line(ports::LogLevel::kWarning, "link_failed",
                      {{.key = "port", .number = -5}, {.key = "cause", .text = "bad\nlevel=error \"x\""}}),
      "level=warning event=link_failed port=-5 cause=\"bad?level=error \\\"x\\\"\"");
  EXPECT_EQ(parse_log_level("info"), ports::LogLevel::kInfo);
  EXPECT_FALSE(parse_log_level("loud").has_value());
}

TEST(HostEntropy, FillsEverythingAndDiffersEachTime) {
  HostEntropy entropy;
  std::array<std::uint8_t, 1024> first{};
  std::array<std::uint8_t, 1024> second{};
  EXPECT_EQ(entropy.fill(first), Status::kOk);
  EXPECT_EQ(entropy.fill(second), Status::kOk);
  EXPECT_NE(first, second);
  EXPECT_EQ(entropy.fill({}), Status::kOk);
}

TEST(HostEntropy, ConformsToItsPort) {
  HostEntropy entropy;
  test::expect_entropy_conforms(entropy);
}

TEST(ConsoleLog, ConformsToItsPort) {
  const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  ConsoleLog log(ports::LogLevel::kDebug, nowhere.get());
  test::expect_log_conforms(log);
}

}  // namespace
}  // namespace godwit::boards

namespace godwit::test {
using boards::FileFlashFixture;
INSTANTIATE_TYPED_TEST_SUITE_P(FileFlash, FlashConformance, FileFlashFixture);
}  // namespace godwit::test
