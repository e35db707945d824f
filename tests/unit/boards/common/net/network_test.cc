// SPDX-License-Identifier: Apache-2.0
#include "boards/common/net/network.h"

#include "tests/unit/boards/common/net/rig.h"

namespace godwit::boards {
namespace {

using test::ip;
using Ipv4 = Network::Ipv4;

class NetworkTest : public test::NetRig {};

TEST_F(NetworkTest, TakesAnAddressFromDhcpAndTellsItsName) {
  start({.hostname = "pump-3"});
  ASSERT_TRUE(run_until([this] { return network_->up(); }, Millis{1'000}));
  EXPECT_EQ(network_->address(), (Ipv4{10, 0, 0, 7}));
  EXPECT_EQ(segment_.dhcp.hostname, "pump-3");
}

TEST_F(NetworkTest, DoesNotStartWithoutRandomness) {
  struct NoEntropy final : ports::Entropy {
    Status fill(MutableBytes) override { return Status::kIo; }
  } broken;
  Network network(segment_, broken, {});
  EXPECT_EQ(network.start(now()), Status::kIo);
}

TEST_F(NetworkTest, AsksUntilADhcpServerAnswers) {
  segment_.dhcp.answers = false;
  start();
  run(Millis{300'000});
  EXPECT_FALSE(network_->up());
  EXPECT_GE(segment_.dhcp.discovers, 5);
  segment_.dhcp.answers = true;
  EXPECT_TRUE(run_until([this] { return network_->up(); }, Millis{61'000}));
}

TEST_F(NetworkTest, RenewsItsLeaseAtHalfTimeAndKeepsTheAddress) {
  segment_.dhcp.lease_s = 600;
  start_with_address();
  const int requests = segment_.dhcp.requests;
  run(Millis{240'000});
  EXPECT_EQ(segment_.dhcp.requests, requests);
  run(Millis{120'000});
  EXPECT_EQ(segment_.dhcp.requests, requests + 1);
  run(Millis{3'600'000});
  EXPECT_TRUE(network_->up());
  EXPECT_EQ(segment_.dhcp.discovers, 1);
}

TEST_F(NetworkTest, LosesItsAddressWithTheLeaseAndTakesTheNextThatIsOffered) {
  segment_.dhcp.lease_s = 600;
  start_with_address();
  segment_.dhcp.answers = false;
  run(Millis{540'000});
  EXPECT_TRUE(network_->up());  // the lease still holds
  ASSERT_TRUE(run_until([this] { return !network_->up(); }, Millis{180'000}));
  EXPECT_EQ(network_->address(), (Ipv4{0, 0, 0, 0}));
  segment_.dhcp.answers = true;
  segment_.dhcp.address = ip(10, 0, 0, 99);
  ASSERT_TRUE(run_until([this] { return network_->up(); }, Millis{61'000}));
  EXPECT_EQ(network_->address(), (Ipv4{10, 0, 0, 99}));
}

TEST_F(NetworkTest, GivesUpAnAddressThatIsRefusedAtRenewal) {
  segment_.dhcp.lease_s = 600;
  start_with_address();
  segment_.dhcp.refuses = true;
  ASSERT_TRUE(run_until([this] { return !network_->up(); }, Millis{600'000}));
  segment_.dhcp.refuses = false;
  segment_.dhcp.address = ip(10, 0, 0, 50);
  ASSERT_TRUE(run_until([this] { return network_->up(); }, Millis{120'000}));
  EXPECT_EQ(network_->address(), (Ipv4{10, 0, 0, 50}));
}

TEST_F(NetworkTest, IsDownWithoutACableAndAsksAgainWhenItIsBack) {
  start_with_address();
  const int requests = segment_.dhcp.requests;
  segment_.cable = false;
  ASSERT_TRUE(run_until([this] { return !network_->up(); }, Millis{1'000}));
  EXPECT_FALSE(network_->cable());
  run(Millis{600'000});
  segment_.cable = true;
  ASSERT_TRUE(run_until([this] { return network_->up(); }, Millis{1'000}));
  EXPECT_EQ(segment_.dhcp.requests, requests + 1);  // whether the address still holds
  EXPECT_EQ(network_->stats().cable_outs, 1U);
}

TEST_F(NetworkTest, TakesAnotherAddressWhenTheCableComesBackToAnotherNetwork) {
  start_with_address();
  segment_.cable = false;
  run(Millis{5'000});
  segment_.cable = true;
  segment_.dhcp.refuses = true;
  ASSERT_TRUE(run_until([this] { return network_->cable() && !network_->up(); }, Millis{10'000}));
  segment_.dhcp.refuses = false;
  segment_.dhcp.address = ip(10, 0, 0, 21);
  ASSERT_TRUE(run_until([this] { return network_->up(); }, Millis{120'000}));
  EXPECT_EQ(network_->address(), (Ipv4{10, 0, 0, 21}));
}

TEST_F(NetworkTest, ComesUpLaterWhenItStartsWithoutACable) {
  segment_.cable = false;
  start();
  run(Millis{120'000});
  EXPECT_FALSE(network_->up());
  segment_.cable = true;
  EXPECT_TRUE(run_until([this] { return network_->up(); }, Millis{5'000}));
}

TEST_F(NetworkTest, CountsWhatGoesInAndOut) {
  start_with_address();
  const Network::Stats stats = network_->stats();
  std::uint64_t bytes = 0;
  for (const auto& frame : segment_.sent) bytes += frame.size();
  EXPECT_EQ(stats.tx_frames, segment_.sent.size());
  EXPECT_EQ(stats.tx_bytes, bytes);
  EXPECT_EQ(stats.rx_frames, 2U);  // offer and acknowledgement
  EXPECT_GT(stats.rx_bytes, 500U);
  EXPECT_EQ(stats.rx_dropped + stats.tx_dropped + stats.tcp_retransmissions, 0U);
  EXPECT_GT(stats.heap_used_max, 0U);
  EXPECT_GT(stats.buffers_used_max, 0U);
}

TEST_F(NetworkTest, TriesAgainWhenTheControllerHasNoRoom) {
  segment_.accepts_frames = false;
  start();
  run(Millis{3'000});
  EXPECT_GT(network_->stats().tx_dropped, 0U);
  segment_.accepts_frames = true;
  EXPECT_TRUE(run_until([this] { return network_->up(); }));
}

TEST_F(NetworkTest, TakesAFloodOfFramesInTurns) {
  start_with_address();
  const test::Octets broadcast(60, 0xFF);
  for (int i = 0; i < 100; ++i) segment_.deliver(broadcast);
  network_->poll(now());
  EXPECT_TRUE(segment_.has_frames());
  EXPECT_EQ(network_->next_deadline(now()), now());
  EXPECT_TRUE(run_until([this] { return !segment_.has_frames(); }, Millis{100}));
  EXPECT_EQ(network_->stats().rx_dropped, 0U);
}

TEST_F(NetworkTest, AsksForNothingElseThanItsTimersWhenNothingHappens) {
  start_with_address();
  run(Millis{10'000});
  int turns = 0;
  turn_ = [&] { ++turns; };
  run(Millis{60'000});
  EXPECT_LE(turns, 4 * 60);
}

}  // namespace
}  // namespace godwit::boards
