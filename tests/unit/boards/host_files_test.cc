// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>

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

TEST(FileFlashOpen, TakesTheSizeOfTheFileThatIsThere) {
  const test::TempDir dir;
  ports::FlashGeometry larger = kSmall;
  larger.sector_count = 8;
  ASSERT_TRUE(FileFlash::open(dir.path() / "flash", larger).has_value());
  for (const ports::FlashGeometry& wanted : {kSmall, larger}) {
    const auto flash = FileFlash::open(dir.path() / "flash", wanted);
    ASSERT_TRUE(flash.has_value()) << flash.error();
    EXPECT_EQ((*flash)->geometry().sector_count, 8U);
  }
}

TEST(FileFlashOpen, RefusesAFileThatIsNoFlash) {
  const test::TempDir dir;
  for (const std::size_t size : {std::size_t{0}, std::size_t{256}, std::size_t{1023}, std::size_t{1025}}) {
    dir.write("flash", std::string(size, 'x'));
    const auto flash = FileFlash::open(dir.path() / "flash", kSmall);
    ASSERT_FALSE(flash.has_value()) << size;
    EXPECT_EQ(flash.error(), (dir.path() / "flash").string() + ": has " + std::to_string(size) +
                                 " bytes, which are not two or more sectors of 256: move it away, then a "
                                 "new one is made");
  }
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
  EXPECT_EQ(data->count_boot(), 2U);
}

TEST(DataDir, CountsOnWhateverAPowerCutLeavesOfTheLastCount) {
  const test::TempDir dir;
  auto data = DataDir::open(dir.path());
  ASSERT_TRUE(data.has_value());
  for (std::uint32_t boot = 1; boot <= 300; ++boot) ASSERT_EQ(data->count_boot(), boot);
  const std::string before = test::read_file(dir.path() / "boot");
  ASSERT_EQ(data->count_boot(), 301U);
  const std::string after = test::read_file(dir.path() / "boot");
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t cut = 0; cut <= before.size(); ++cut) {
    if (cut > 0 && before[cut - 1] == after[cut - 1]) continue;
    dir.write("boot", after.substr(0, cut) + before.substr(cut));
    EXPECT_EQ(data->count_boot(), cut == 0 || after.substr(cut) != before.substr(cut) ? 301U : 302U) << cut;
  }
}

// As on a disk that is full: no file can be made, neither the new one nor under its name.
TEST(DataDir, NeedsNoNewFileOnceItIsMade) {
  const test::TempDir dir;
  {
    auto data = DataDir::open(dir.path());
    ASSERT_TRUE(data.has_value());
    ASSERT_TRUE(data->claim("a").has_value());
    ASSERT_EQ(data->count_boot(), 1U);
  }
  for (const char* name : {"boot.new", "device.new", "lock.new"}) {
    std::filesystem::create_directory(dir.path() / name);
  }
  auto data = DataDir::open(dir.path());
  ASSERT_TRUE(data.has_value());
  EXPECT_TRUE(data->claim("a").has_value());
  EXPECT_EQ(data->count_boot(), 2U);
  EXPECT_EQ(data->count_boot(), 3U);
}

TEST(DataDir, BelongsToOneDevice) {
  const test::TempDir dir;
  {
    auto data = DataDir::open(dir.path());
    ASSERT_TRUE(data.has_value());
    EXPECT_TRUE(data->claim("pump-3").has_value());
    EXPECT_TRUE(data->claim("pump-3").has_value());
  }
  auto data = DataDir::open(dir.path());
  ASSERT_TRUE(data.has_value());
  for (const char* other : {"pump-4", "pump-", "pump-33"}) {
    const auto claimed = data->claim(other);
    ASSERT_FALSE(claimed.has_value()) << other;
    EXPECT_EQ(claimed.error(), "the folder " + dir.path().string() +
                                   " holds the records of the device pump-3: give --id " + other +
                                   " a folder of its own with --data, or delete this one and what it has "
                                   "not delivered");
  }
  EXPECT_TRUE(data->claim("pump-3").has_value());
}

TEST(AddressLookups, WithoutAThreadAreAnErrorAndNoEnd) {
  // A stack that no address space has room for: pthread_create() says EAGAIN.
  pthread_attr_t usual;
  ASSERT_EQ(::pthread_getattr_default_np(&usual), 0);
  pthread_attr_t huge = usual;
  ASSERT_EQ(::pthread_attr_setstacksize(&huge, std::size_t{1} << 46U), 0);
  ASSERT_EQ(::pthread_setattr_default_np(&huge), 0);
  const AddressLookup lookup("localhost", 1);
  ASSERT_EQ(::pthread_setattr_default_np(&usual), 0);
  const auto result = lookup.result();
  ASSERT_TRUE(result.has_value());
  ASSERT_FALSE(result->has_value());
  EXPECT_EQ(
      result->error(),
      "cannot look up the host localhost: no thread for it: Resource temporarily unavailable; allow this "
      "process more threads or memory");
  pollfd event{.fd = lookup.fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&event, 1, 0), 1);
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
