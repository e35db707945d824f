// SPDX-License-Identifier: Apache-2.0
// A device on links, brokers, gateways, flashes and sources of randomness that are slow, broken or hostile:
// it stays within its pace, and is there again when they are well.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "firmware/agent/device.h"
#include "tests/unit/firmware/agent/device_log.h"

namespace godwit::agent {
namespace {

bool logged(const DeviceRig& rig, std::string_view event) {
  return std::ranges::find(rig.log.events, event) != rig.log.events.end();
}

TEST(DeviceLink, IsTriedAgainAtTheSlowestPaceWhenEntropyFails) {
  DeviceRig rig;
  rig.entropy.failing = true;
  rig.link_allowed = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{3'600'000});
  EXPECT_LE(rig.link_attempts, 36U) << "21, 42, 84 and then 120 seconds apart";
  EXPECT_GE(rig.link_attempts, 30U);
}

TEST(DeviceLink, IsNeverTriedAgainAtOnce) {
  for (std::uint32_t seed = 1; seed <= 100; ++seed) {
    DeviceRig rig({4096, 16, 8}, seed);
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{10});
    ASSERT_EQ(rig.connected_at.size(), 1U);
    rig.cut_link();
    rig.run_for(Millis{30'000});
    ASSERT_EQ(rig.connected_at.size(), 2U);
    EXPECT_GE(rig.connected_at[1] - rig.connected_at[0], 1'000);
  }
}

TEST(DeviceLink, OfHelloTriesThatNeverRepeatEvenWhenEntropyFails) {
  for (const bool failing : {false, true}) {
    DeviceRig rig;
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{10'000});
    rig.entropy.failing = failing;
    for (int boot = 0; boot < 5; ++boot) {
      for (int i = 0; i < 20; ++i) {
        rig.device->set_unix_time(rig.now, {1'700'000'000'000 + 10'000 * i});
        rig.run_for(Millis{2'000});
      }
      rig.power_cut();
      ASSERT_EQ(rig.boot(), Status::kOk);
    }
    const std::set<std::uint32_t> once(rig.gateway.tries.begin(), rig.gateway.tries.end());
    EXPECT_GT(once.size(), 100U);
    EXPECT_EQ(once.size(), rig.gateway.tries.size());
    EXPECT_FALSE(once.contains(0));
  }
}

TEST(DeviceLink, OfTwelveSecondsThereAndBackIsNotTakenForDead) {
  DeviceRig rig;
  rig.latency = Millis{6'000};
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{3'600'000});
  EXPECT_LE(rig.connected_at.size(), 3U);
  EXPECT_GE(rows_of(rig).size(), 3'400U) << "of 3,600";
  EXPECT_LT(rig.gateway.duplicates, 100U);
}

TEST(DeviceLink, OfTwelveSecondsAndOneHundredBytesASecondCarriesWhatIsRecorded) {
  DeviceRig rig;
  rig.latency = Millis{6'000};
  rig.bytes_per_s = 100;
  rig.tables[0].contract.rows_max = 16;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{3'600'000});
  EXPECT_LE(rig.connected_at.size(), 4U);
  EXPECT_GE(rows_of(rig).size(), 3'300U) << "of 3,600";
}

TEST(DeviceLink, ToABrokerThatRefusesRecordsIsUsedLessAndLess) {
  DeviceRig rig;
  rig.broker.record_reason = 0x97;  // quota exceeded
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{600'000});
  EXPECT_LT(rig.gateway.hellos, 60U);
  EXPECT_LT(std::ranges::count(rig.log.events, "publish_refused"), 60);
  rig.broker.record_reason = 0;
  rig.run_for(Millis{60'000});
  expect_complete(rig);
}

TEST(DeviceLink, ToAGatewayThatAlwaysAsksForAHelloGetsNoFlood) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  for (int i = 0; i < 6'000; ++i) {
    rig.gateway.send_hello_once = true;
    rig.run_for(Millis{10});
  }
  EXPECT_LT(rig.gateway.hellos, 120U);
  rig.gateway.send_hello_once = false;
  rig.run_for(Millis{40'000});
  expect_complete(rig);
}

TEST(DeviceLink, ToAGatewayThatAlwaysHasItBeginAgainGetsNoFlood) {
  DeviceRig rig;
  rig.latency = Millis{10};
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{60'000});
  rig.gateway.always_rewinds = true;
  rig.run_for(Millis{60'000});
  EXPECT_LT(rig.device->stats().published, 500U);
  rig.gateway.always_rewinds = false;
  rig.run_for(Millis{40'000});
  expect_complete(rig);
}

TEST(DeviceLink, ToAGatewayThatForgotItBringsAHelloWhenAsked) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{10'000});
  const std::uint64_t hellos = rig.gateway.hellos;
  rig.broker.send_ack(rig.gateway.restart());
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, hellos + 1);
  EXPECT_TRUE(rig.device->online());
  rig.run_for(Millis{30'000});
  expect_complete(rig);
  EXPECT_EQ(rig.gateway.strays, 0U);
}

TEST(DeviceLink, OnWhichItCannotSubscribeIsGivenUpWithAReason) {
  DeviceRig rig;
  rig.broker.maximum_packet_size = 20;  // less than a SUBSCRIBE
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{600'000});
  EXPECT_TRUE(logged(rig, "subscribe_not_sent"));
  EXPECT_LT(rig.link_attempts, 40U);
}

TEST(DeviceLink, ThatComesUpAfterTheDeviceWasStoppedStaysUnused) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.device->handle_timeout(rig.now);
  ASSERT_EQ(rig.device->link_request(), LinkRequest::kConnect);
  rig.device->stop(rig.now);
  EXPECT_EQ(rig.device->link_request(), LinkRequest::kClose);
  rig.device->link_up(rig.now);
  EXPECT_TRUE(rig.device->transmit().empty());
  EXPECT_EQ(rig.device->link_request(), LinkRequest::kClose);
  rig.device->link_down(rig.now);
  EXPECT_EQ(rig.device->link_request(), LinkRequest::kClose);
  EXPECT_EQ(rig.device->next_deadline(), std::nullopt);
}

TEST(DeviceLink, IsUsedWithoutALogAndTheHelloSaysSo) {
  DeviceRig rig;
  rig.flash.power_off();  // nothing answers
  ASSERT_EQ(rig.boot(), Status::kOk);
  EXPECT_TRUE(logged(rig, "log_unusable"));
  rig.run_for(Millis{30'000});
  EXPECT_TRUE(rig.device->online());
  EXPECT_EQ(last_hello(rig).log_state, codec::LogState::kNone);
  EXPECT_EQ(last_hello(rig).next_seq, kFirstSeq);
  EXPECT_TRUE(rig.gateway.database.log.empty());
  rig.device->set_unix_time(rig.now, {1'700'000'000'000});
  rig.settle();
  EXPECT_GE(last_hello(rig).refused_records, 6U);
  EXPECT_EQ(std::ranges::count(rig.log.events, "record_refused"), 0) << "it was said at the start";
}

TEST(DeviceLog, TellsOfRefusedRecordsOnceInTenSecondsAtMost) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{30'000});
  rig.flash.power_off();
  const std::uint64_t before = rig.device->stats().refused;
  rig.run_for(Millis{600'000});
  EXPECT_GT(rig.device->stats().refused - before, 100U) << "one in 5 s";
  EXPECT_EQ(rig.device->refused_untold(), rig.device->stats().refused);
  EXPECT_GE(std::ranges::count(rig.log.events, "record_refused"), 50);
  EXPECT_LE(std::ranges::count(rig.log.events, "record_refused"), 61);
}

TEST(DeviceLink, TellsOfABadSectorAsSoonAsItIsLeftOut) {
  DeviceRig rig({1024, 8, 8});
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{10'000});
  EXPECT_EQ(last_hello(rig).log_state, codec::LogState::kOk);
  rig.flash.break_sector(2, {.program = Status::kIo, .erase = Status::kIo});
  rig.run_for(Millis{600'000});
  EXPECT_EQ(last_hello(rig).log_state, codec::LogState::kDegraded);
  EXPECT_EQ(last_hello(rig).bad_sectors, 1U);
  expect_complete(rig);
}

// Times of records made before the clock was set resolve by the epoch of their entries (and the boot).
TEST(DeviceLink, TellsTheTimeOfItsBootTogetherWithTheEpochOfItsMark) {
  for (const bool clock_first : {false, true}) {
    DeviceRig rig;
    rig.link_allowed = false;
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{8'000});
    ASSERT_EQ(rig.reboot(), Status::kOk);
    if (clock_first) rig.device->set_unix_time(rig.now, {1'700'000'000'000});
    rig.link_allowed = true;
    rig.run_for(Millis{30'000});
    if (!clock_first) rig.device->set_unix_time(rig.now, {1'700'000'000'000});
    rig.run_for(Millis{30'000});
    const codec::Hello hello = last_hello(rig);
    EXPECT_TRUE(hello.boot_time.has_value());
    EXPECT_EQ(hello.epoch, rig.device->outbox().epoch());
    EXPECT_EQ(hello.epoch.value, rig.gateway.database.streams.back().mark.epoch.value);
    expect_complete(rig);
  }
}

}  // namespace
}  // namespace godwit::agent
