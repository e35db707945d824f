// SPDX-License-Identifier: Apache-2.0
// No room for the database: the gateway lives, says that it is not ready, acknowledges nothing and goes on
// showing what it has; once there is room, everything that devices kept meanwhile arrives exactly once.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>

#include "tests/integration/recovery.h"

namespace godwit::test {
namespace {

using testing::HasSubstr;

class DiskRecovery : public Recovery {
 protected:
  void run(const std::function<void()>& fill, const std::function<void()>& make_room) {
    start_fleet({.devices = 20, .more = {"--period", "0.1", "--rows", "3"}});
    ASSERT_TRUE(take_records(50));
    fill();
    ASSERT_TRUE(gateway_.wait_for_metric("godwit_commits_failed_total", 2));
    const HttpsResponse readiness = gateway_.get("/readyz");
    EXPECT_EQ(readiness.status, 503);
    EXPECT_THAT(readiness.body, HasSubstr("database"));
    const std::uint64_t acks = gateway_.metric("godwit_acks_sent_total");
    const std::string last = read_log(gateway_).back().id;

    ASSERT_TRUE(gateway_.wait_for_metric("godwit_commits_failed_total", 5));
    EXPECT_EQ(gateway_.metric("godwit_acks_sent_total"), acks);
    EXPECT_EQ(read_log(gateway_).back().id, last);
    EXPECT_EQ(gateway_.get("/healthz").status, 200);
    EXPECT_EQ(gateway_.get("/api/v1/devices").status, 200);

    make_room();
    EXPECT_THAT(gateway_.wait_for_body("/readyz", "\"ready\"", std::chrono::seconds(20)),
                HasSubstr("\"ready\""));
    ASSERT_TRUE(take_records(100));
    expect_promise_at_end();
    gateway_.gateway().signal(SIGTERM);
    EXPECT_EQ(gateway_.gateway().wait(std::chrono::seconds(10)), 0);
  }

  [[nodiscard]] std::filesystem::path data() const { return gateway_.dir() / "data"; }
};

TEST_F(DiskRecovery, KeepsThePromiseWhenTheDiskIsFull) {
  // In a mount namespace of this process and its children: whatever happens, the mount goes with them.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    GTEST_SKIP() << "a small disk cannot be mounted: " << std::strerror(errno)
                 << "; needs the rights of root. The next test fills the disk by a limit.";
  }
  gateway_.kill_gateway();
  ASSERT_EQ(::mount("godwit-test", data().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=0700"), 0)
      << std::strerror(errno);
  gateway_.start_gateway();
  const std::filesystem::path filler = data() / "filler";
  run(
      [&filler] {
        const int file = ::open(filler.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ASSERT_GE(file, 0);
        constexpr std::array<char, 4096> kBlock{};
        while (::write(file, kBlock.data(), kBlock.size()) > 0) {
        }
        EXPECT_EQ(errno, ENOSPC);
        ::close(file);
      },
      [&filler] { std::filesystem::remove(filler); });
  gateway_.kill_gateway();
  EXPECT_EQ(::umount2(data().c_str(), MNT_DETACH), 0);
}

TEST_F(DiskRecovery, KeepsThePromiseWhenFilesMayNotGrow) {
  const auto limit_files_to = [this](rlim_t size) {
    rlimit limit{};
    ASSERT_EQ(::prlimit(gateway_.gateway().pid(), RLIMIT_FSIZE, nullptr, &limit), 0);
    limit.rlim_cur = std::min(size, limit.rlim_max);
    ASSERT_EQ(::prlimit(gateway_.gateway().pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  };
  run([&] { limit_files_to(std::filesystem::file_size(data() / "godwit.db-wal")); },
      [&] { limit_files_to(RLIM_INFINITY); });
}

}  // namespace
}  // namespace godwit::test
