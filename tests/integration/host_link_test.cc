// SPDX-License-Identifier: Apache-2.0
// How a link reaches a host that has several addresses. The resolver's answer is made up here; the addresses
// are real, on the loopback. The link's time is made here too.
#include "boards/host/host_link.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include "boards/host/files.h"
#include "tests/support/loopback.h"

namespace {

std::vector<std::string> addresses;  // of "several.test", in order
std::atomic<int> lookups = 0;

}  // namespace

// The C library's, for every other name.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** out) {
  using Function = int(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (std::strcmp(host, "several.test") != 0) return real(host, service, hints, out);
  if ((hints->ai_flags & AI_NUMERICHOST) != 0) return EAI_NONAME;
  ++lookups;
  addrinfo** end = out;
  for (const std::string& address : addresses) {
    if (const int error = real(address.c_str(), service, hints, end); error != 0) return error;
    while (*end != nullptr) end = &(*end)->ai_next;
  }
  return 0;
}

namespace godwit::boards {
namespace {

constexpr Instant at(int ms) { return Instant(Millis{ms}); }

UniqueFd socket_at(const std::string& address, std::uint16_t& port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name = test::loopback(port);
  name.sin_addr.s_addr = ::inet_addr(address.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    throw std::system_error(errno, std::generic_category(), "bind " + address);
  }
  socklen_t size = sizeof(name);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size);
  port = ntohs(name.sin_port);
  return fd;
}

class SeveralAddresses : public testing::Test {
 protected:
  // 127.0.0.2 swallows what arrives: nobody takes a connection off its queue, which is full.
  SeveralAddresses() : hole_(socket_at("127.0.0.2", port_)), server_(socket_at("127.0.0.3", port_)) {
    ::listen(server_.get(), 8);
    ::listen(hole_.get(), 0);
    sockaddr_in name = test::loopback(port_);
    name.sin_addr.s_addr = ::inet_addr("127.0.0.2");
    for (int i = 0; i < 4; ++i) {
      fillers_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      ::connect(fillers_.back().get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name));
    }
    lookups = 0;
  }

  HostLink link() { return HostLink(epoll_.get(), nullptr, {.host = "several.test", .port = port_}); }
  // Waits for something to happen to the link; false: nothing does.
  [[nodiscard]] bool event(int timeout_ms = 5'000) const {
    epoll_event event{};
    return ::epoll_wait(epoll_.get(), &event, 1, timeout_ms) == 1;
  }
  static std::string peer_of(const UniqueFd& listener) {
    sockaddr_in name{};
    socklen_t size = sizeof(name);
    const UniqueFd fd(::accept(listener.get(), reinterpret_cast<sockaddr*>(&name), &size));
    return fd.get() >= 0 ? "connected" : "nobody";
  }

  std::uint16_t port_ = 0;
  UniqueFd hole_;
  UniqueFd server_;
  std::vector<UniqueFd> fillers_;
  UniqueFd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
};

TEST_F(SeveralAddresses, TheNextIsTriedAfterAQuarterOfASecond) {
  addresses = {"127.0.0.2", "127.0.0.3"};
  HostLink link = this->link();
  link.open(at(0));
  ASSERT_TRUE(event()) << "the look-up";
  EXPECT_EQ(link.advance(at(10)), Status::kBusy);
  EXPECT_EQ(link.deadline(), at(260));
  EXPECT_EQ(link.advance(at(259)), Status::kBusy);
  EXPECT_FALSE(event(0));
  const Status status = link.advance(at(260));
  if (status == Status::kBusy) {
    ASSERT_TRUE(event());
    EXPECT_EQ(link.advance(at(261)), Status::kOk) << link.error();
  }
  EXPECT_TRUE(link.is_open());
  EXPECT_EQ(link.deadline(), std::nullopt);
  EXPECT_EQ(peer_of(server_), "connected");
}

TEST_F(SeveralAddresses, TheOneThatWasGoodLastGoesFirst) {
  addresses = {"127.0.0.2", "127.0.0.3"};
  HostLink link = this->link();
  for (int round = 0; round < 3; ++round) {
    link.open(at(0));
    ASSERT_TRUE(event());
    Status status = link.advance(at(0));
    if (round == 0) status = link.advance(at(250));
    if (status == Status::kBusy && event()) status = link.advance(at(250));
    ASSERT_EQ(status, Status::kOk) << "round " << round << ": " << link.error();
    EXPECT_EQ(peer_of(server_), "connected");
    link.abort();
  }
  EXPECT_EQ(lookups, 3);
}

TEST_F(SeveralAddresses, OneThatRefusesIsNotWaitedFor) {
  addresses = {"127.0.0.4", "127.0.0.5", "127.0.0.3"};
  HostLink link = this->link();
  link.open(at(0));
  ASSERT_TRUE(event());
  Status status = link.advance(at(0));
  while (status == Status::kBusy && event()) status = link.advance(at(0));
  EXPECT_EQ(status, Status::kOk) << link.error();
}

TEST_F(SeveralAddresses, AllAreGivenUpTogetherAndSayWhy) {
  addresses = {"127.0.0.2", "127.0.0.2"};
  HostLink link = this->link();
  link.open(at(0));
  ASSERT_TRUE(event());
  EXPECT_EQ(link.advance(at(0)), Status::kBusy);
  EXPECT_EQ(link.advance(at(250)), Status::kBusy);
  EXPECT_EQ(link.deadline(), at(15'000));
  EXPECT_EQ(link.advance(at(15'000)), Status::kTimeout);
  EXPECT_EQ(link.error(), "no answer from several.test");
  EXPECT_FALSE(event(0)) << "nothing of it is left";

  addresses = {"127.0.0.4", "127.0.0.5"};
  link.open(at(0));
  ASSERT_TRUE(event());
  Status status = link.advance(at(0));
  while (status == Status::kBusy && event()) status = link.advance(at(0));
  EXPECT_EQ(status, Status::kIo);
  EXPECT_EQ(link.error(),
            "cannot connect to several.test port " + std::to_string(port_) + ": Connection refused");
}

TEST_F(SeveralAddresses, AreQuietWhileTheLinkIsStalled) {
  addresses = {"127.0.0.2", "127.0.0.3"};
  HostLink link = this->link();
  link.open(at(0));
  ASSERT_TRUE(event());
  EXPECT_EQ(link.advance(at(0)), Status::kBusy);
  link.set_stalled(true);
  EXPECT_EQ(link.deadline(), std::nullopt);
  EXPECT_EQ(link.advance(at(250)), Status::kBusy);
  EXPECT_FALSE(event(0));
  link.set_stalled(false);
  Status status = link.advance(at(250));
  if (status == Status::kBusy && event()) status = link.advance(at(250));
  EXPECT_EQ(status, Status::kOk);
}

}  // namespace
}  // namespace godwit::boards
