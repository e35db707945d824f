// SPDX-License-Identifier: Apache-2.0
#include "boards/common/tls/tls_arena.h"

#include <algorithm>
#include <map>

#include "tests/unit/boards/tls_fixture.h"

namespace godwit::boards {
namespace {

using test::pem;
using test::TlsServer;
using test::TlsServerContext;

class Memory {
 public:
  explicit Memory(std::size_t size) : bytes_(size, 0xA5) {}
  operator MutableBytes() { return bytes_; }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<std::uint8_t> bytes_;
};

TEST(TlsArena, HandsOutZeroedAlignedBlocksThatDoNotOverlap) {
  Memory memory(4096);
  TlsArena arena(memory);
  std::map<std::uint8_t*, std::size_t> blocks;
  for (std::size_t size = 1; size < 60; ++size) {
    auto* block = static_cast<std::uint8_t*>(arena.allocate(1, size));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignof(std::max_align_t), 0U);
    EXPECT_TRUE(std::all_of(block, block + size, [](std::uint8_t byte) { return byte == 0; }));
    std::fill_n(block, size, std::uint8_t{0xFF});
    blocks[block] = size;
  }
  std::uint8_t* end = nullptr;
  for (const auto& [block, size] : blocks) {
    EXPECT_LE(end, block);
    end = block + size;
    arena.release(block);
  }
  EXPECT_EQ(arena.used(), 0U);
  EXPECT_EQ(arena.allocations(), 59U);
}

TEST(TlsArena, RefusesWhatDoesNotFitAndCountsThat) {
  Memory memory(1024);
  TlsArena arena(memory);
  EXPECT_EQ(arena.allocate(1, 1025), nullptr);
  EXPECT_EQ(arena.allocate(SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(arena.allocate(SIZE_MAX, SIZE_MAX), nullptr);
  EXPECT_EQ(TlsArena::failures(), 3U);
  EXPECT_EQ(arena.allocate(0, 8), nullptr);  // nothing was asked for
  EXPECT_EQ(TlsArena::failures(), 3U);
  arena.release(nullptr);
  EXPECT_EQ(arena.used(), 0U);
}

TEST(TlsArena, IsWholeAgainWhenAllIsFree) {
  Memory memory(2048);
  TlsArena arena(memory);
  const std::size_t all = arena.size() - sizeof(std::uint32_t);
  for (int order = 0; order < 6; ++order) {
    std::array<void*, 3> blocks{};
    for (void*& block : blocks) ASSERT_NE(block = arena.allocate(1, 500), nullptr);
    std::array<int, 3> turns{0, 1, 2};
    for (int i = 0; i < order; ++i) std::ranges::next_permutation(turns);
    for (const int turn : turns) arena.release(blocks[static_cast<std::size_t>(turn)]);
    void* whole = arena.allocate(1, all);
    EXPECT_NE(whole, nullptr) << "order " << order;
    arena.release(whole);
  }
  EXPECT_EQ(arena.used_max(), arena.size());
}

// The same calls in an arena that is as large as the most that they ever used go as well.
TEST(TlsArena, NeedsNoMoreThanItSaysAtMost) {
  const auto run = [](std::size_t size) {
    Memory memory(size);
    TlsArena arena(memory);
    std::mt19937 random(7);
    std::vector<void*> blocks;
    for (int i = 0; i < 20'000; ++i) {
      if (blocks.size() > 40 || (!blocks.empty() && random() % 2 == 0)) {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        arena.release(blocks.back());
        blocks.pop_back();
      } else if (void* const block = arena.allocate(1, 1 + random() % 200)) {
        blocks.push_back(block);
      }
    }
    for (void* const block : blocks) arena.release(block);
    EXPECT_EQ(TlsArena::failures(), 0U) << size;
    return arena.used_max();
  };
  const std::size_t enough = run(100'000);
  EXPECT_LT(enough, 10'000U);
  EXPECT_EQ(run(enough + alignof(std::max_align_t)), enough);
}

// A client that has nothing but an arena, from certificates to bytes.
class TlsInAnArena : public testing::TestWithParam<int> {
 protected:
  struct Outcome {
    Status status = Status::kOk;
    std::string error;
  };
  // Connects with an arena of `size` bytes.
  Outcome connect(std::size_t size) {
    Memory memory(size);
    TlsArena arena(memory);
    test::SeededEntropy entropy;
    TlsContext context({.entropy = entropy, .unix_time_ms = &test::TestClock::unix_time_ms});
    if (const Status status = context.start(); status != Status::kOk) return {status, "context"};
    TrustAnchors trust;
    if (const Status status = trust.add(pem(ca_.certificate())); status != Status::kOk) {
      return {status, "trust"};
    }
    ClientIdentity identity;
    if (const Status status = identity.load(context, pem(device_.certificate), pem(device_.key));
        status != Status::kOk) {
      return {status, "identity"};
    }
    TlsServer server(server_);
    TlsClient client(context, trust, &identity, {.server_name = "localhost", .tls12_tickets = false});
    Status status = client.start(server);
    for (int round = 0; status == Status::kOk || status == Status::kBusy; ++round) {
      if (status = client.handshake(); status == Status::kOk) break;
      server.step();
      EXPECT_LT(round, 1000);
    }
    if (status != Status::kOk) return {status, std::string(client.last_error())};
    exchange(client, server);
    const std::uint32_t allocations = arena.allocations();
    for (int i = 0; i < 100; ++i) exchange(client, server);
    EXPECT_EQ(arena.allocations(), allocations) << "a connection in use allocates nothing";
    used_max_ = arena.used_max();
    return {};
  }
  // There and back; the first time also brings tickets.
  static void exchange(TlsClient& client, TlsServer& server) {
    EXPECT_EQ(client.write(as_bytes("ping")), 4U);
    EXPECT_EQ(server.receive(), "ping");
    server.send("pong");
    std::array<std::uint8_t, 16> buffer{};
    EXPECT_EQ(client.read(buffer), 4U);
  }

  test::TestCa ca_;
  test::PemIdentity device_ = ca_.client("pump-3");
  TlsServerContext server_{ca_.server(), ca_.certificate(), {.version_max = GetParam()}};
  std::size_t used_max_ = 0;
};

TEST_P(TlsInAnArena, SaysSoWhenItIsTooSmall) {
  std::size_t size = 2048;
  bool connecting = false;  // rather than preparing for it
  for (;; size += 256) {
    ASSERT_LT(size, 100'000U);
    const Outcome outcome = connect(size);
    if (outcome.status == Status::kOk) break;
    EXPECT_EQ(outcome.status, Status::kFull) << size << ": " << outcome.error;
    connecting = connecting || outcome.error == "out of memory for a TLS connection";
    EXPECT_TRUE(!connecting || outcome.error == "out of memory for a TLS connection")
        << size << ": " << outcome.error;
  }
  EXPECT_GT(size, 20'000U);
}

// Tickets that do not fit are no reason to fail either, so the smallest arena that works may be smaller than
// this.
TEST_P(TlsInAnArena, WorksInAsMuchAsItSaysThatItUses) {
  ASSERT_EQ(connect(100'000).status, Status::kOk);
  const std::size_t enough = used_max_;
  RecordProperty("arena", static_cast<int>(enough));
  EXPECT_EQ(connect(enough + alignof(std::max_align_t)).status, Status::kOk);
  EXPECT_EQ(used_max_, enough);
}

INSTANTIATE_TEST_SUITE_P(All, TlsInAnArena, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& each) {
                           return each.param == TLS1_3_VERSION ? std::string("Tls13") : std::string("Tls12");
                         });

}  // namespace
}  // namespace godwit::boards
