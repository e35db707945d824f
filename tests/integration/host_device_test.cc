// SPDX-License-Identifier: Apache-2.0
// godwit-device alone on this machine: nobody listens where its broker should be. What it records is read
// from its flash.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <set>

#include "boards/host/file_flash.h"
#include "firmware/outbox/outbox.h"
#include "proto/codec/batch.h"
#include "tests/support/process.h"
#include "tests/support/seeded_entropy.h"
#include "tests/support/test_pki.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kTimeout{30};

class HostDevice : public testing::Test {
 protected:
  HostDevice() {
    const PemIdentity identity = ca_.client("host-1");
    dir_.write("ca.crt", ca_.certificate());
    dir_.write("device.crt", identity.certificate);
    dir_.write("device.key", identity.key);
  }

  [[nodiscard]] std::vector<std::string> command(const std::string& id,
                                                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{GODWIT_DEVICE_PROGRAM,
                                   "--id",
                                   id,
                                   "--broker",
                                   "127.0.0.1:" + std::to_string(free_port()),
                                   "--ca",
                                   (dir_.path() / "ca.crt").string(),
                                   "--cert",
                                   (dir_.path() / "device.crt").string(),
                                   "--key",
                                   (dir_.path() / "device.key").string(),
                                   "--data",
                                   data_.string(),
                                   "--log",
                                   "info",
                                   "--period",
                                   "0.01",
                                   "--rows",
                                   "5"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  // Until it has recorded something.
  std::string run_once(const std::string& id, const std::vector<std::string>& more = {}) {
    Process device(command(id, more));
    EXPECT_TRUE(device.wait_for_line("event=link_failed", kTimeout)) << device.log();
    device.signal(SIGTERM);
    EXPECT_EQ(device.wait(kTimeout), 0) << device.log();
    return device.log();
  }

  TempDir dir_;
  TestCa ca_;
  std::filesystem::path data_ = dir_.path() / "data";
};

TEST_F(HostDevice, RefusesTheRecordsOfAnotherDevice) {
  run_once("host-1");
  Process other(command("host-2"));
  EXPECT_EQ(other.wait(kTimeout), 1);
  EXPECT_THAT(other.log(),
              HasSubstr("holds the records of the device host-1: give --id host-2 a folder of its "
                        "own with --data"));
  EXPECT_THAT(run_once("host-1"), HasSubstr("boot=2"));
}

TEST_F(HostDevice, StartsUnderADrawnNumberWhereStartsCannotBeCounted) {
  run_once("host-1");
  std::filesystem::remove(data_ / "boot");
  std::filesystem::create_directory(data_ / "boot");  // what cannot be written by whomever
  std::set<std::uint64_t> numbers;
  for (int starts = 0; starts < 2; ++starts) {
    const std::string log = run_once("host-1");
    EXPECT_THAT(log, HasSubstr("event=start_not_counted"));
    const std::size_t at = log.find(" boot=", log.find("event=started"));
    ASSERT_NE(at, std::string::npos) << log;
    const std::uint64_t number = std::stoull(log.substr(at + 6));
    EXPECT_GE(number, 0x8000'0000U);
    EXPECT_TRUE(numbers.insert(number).second);
  }
}

TEST_F(HostDevice, KeepsTheSizeOfItsFlash) {
  run_once("host-1", {"--flash-kib", "256"});
  EXPECT_EQ(std::filesystem::file_size(data_ / "flash.bin"), 256U * 1024);
  EXPECT_THAT(run_once("host-1"), Not(HasSubstr("flash_kib")));
  EXPECT_THAT(run_once("host-1", {"--flash-kib", "512"}), HasSubstr("event=flash_kib_ignored flash_kib=256"));
  EXPECT_EQ(std::filesystem::file_size(data_ / "flash.bin"), 256U * 1024);
}

TEST_F(HostDevice, RecordsTimesAsGoodAsTheClockOfThisMachine) {
  run_once("host-1");
  timex state{};
  const bool synced = ::adjtimex(&state) >= 0 && (state.status & (STA_UNSYNC | STA_CLOCKERR)) == 0;
  const auto flash = boards::FileFlash::open(data_ / "flash.bin", boards::FileFlash::kDefaultGeometry);
  ASSERT_TRUE(flash.has_value());
  SeededEntropy entropy;
  outbox::Outbox outbox(**flash, entropy);
  ASSERT_EQ(outbox.mount(), Status::kOk);
  std::vector<std::uint8_t> payload(outbox.record_size_max());
  int records = 0;
  for (Seq seq = outbox.oldest_seq(); seq < outbox.next_seq(); seq = seq + 1) {
    const auto entry = outbox.read(seq, payload);
    ASSERT_TRUE(entry.has_value());
    if (entry->kind != outbox::Entry::Kind::kData) continue;
    const auto batch = codec::decode_batch(Bytes(payload).first(entry->size_bytes));
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->quality, synced ? codec::TimeQuality::kSynced : codec::TimeQuality::kNone);
    ++records;
  }
  EXPECT_GT(records, 0);
}

TEST_F(HostDevice, WaitsForStepsOfTheClock) {
  Process device(command("host-1"));
  ASSERT_TRUE(device.wait_for_line("event=link_failed", kTimeout)) << device.log();
  std::multiset<std::string> flags;
  const auto process = std::filesystem::path("/proc") / std::to_string(device.pid());
  for (const auto& entry : std::filesystem::directory_iterator(process / "fdinfo")) {
    std::ifstream info(entry.path());
    for (std::string line; std::getline(info, line);) {
      if (line.starts_with("settime flags:")) flags.insert(line);
    }
  }
  EXPECT_THAT(flags, testing::ElementsAre("settime flags: 03"))
      << "TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET";
}

// Fills a disk of 1 MB in a mount namespace of a child, which then becomes the device.
TEST_F(HostDevice, StartsOnAFullDisk) {
  std::filesystem::create_directory(data_);
  const auto in_child = [&](const std::vector<std::string>& words) -> int {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          ::mount("godwit-test", data_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0700") != 0) {
        ::_exit(77);
      }
      const auto quoted = [](const std::string& word) { return "'" + word + "' "; };
      std::string device = "timeout -s TERM 2 ";
      for (const std::string& word : words) device += quoted(word);
      // The first start makes what it needs; the second finds no room for anything.
      const std::string line =
          device + "; cat /dev/zero > " + quoted((data_ / "filler").string()) + "; " + device;
      ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      ::_exit(78);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  const int status = in_child(command("host-1", {"--flash-kib", "256"}));
  if (status == 77) GTEST_SKIP() << "a small disk cannot be mounted: needs the rights of root";
  EXPECT_EQ(status, 124) << "ended by timeout, not by itself";
}

}  // namespace
}  // namespace godwit::test
