// SPDX-License-Identifier: Apache-2.0
#include "firmware/agent/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/unit/firmware/agent/device_log.h"
#include "tests/unit/firmware/agent/device_rig.h"

namespace godwit::agent {
namespace {

TEST(Device, IsOneValueOfKnownSize) {
  std::printf("sizeof: Device %zu, of it Outbox %zu, mqtt::Session %zu, Uplink %zu, %zu Recorders %zu each\n",
              sizeof(Device), sizeof(outbox::Outbox), sizeof(mqtt::Session), sizeof(Uplink),
              Device::kTablesMax, sizeof(telemetry::Recorder));
  EXPECT_LE(sizeof(Device), 8'192U);
}

TEST(Device, DeliversWhatItRecordsOnceAndInOrder) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{60'000});
  EXPECT_TRUE(rig.device->online());
  expect_complete(rig);
  EXPECT_GE(rig.gateway.database.log.size(), 15U);
  EXPECT_EQ(rig.gateway.duplicates, 0U);
  EXPECT_EQ(rows_of(rig).size(), 4 * (rig.gateway.database.log.size() - 1)) << "all but the mark are records";
  const Stats stats = rig.device->stats();
  EXPECT_EQ(stats.recorded, rig.gateway.database.log.size() - 1);
  EXPECT_EQ(stats.sample_rows, rig.sensors.sampled.size());
  EXPECT_EQ(stats.published, rig.gateway.database.log.size());
  EXPECT_EQ(stats.refused, 0U);
  EXPECT_EQ(stats.sessions, 1U);
}

TEST(Device, SendsAheadOfTheAcksAndRepeatsNothing) {
  DeviceRig rig;
  rig.tables[0].contract.rows_max = 1;
  rig.latency = Millis{1'700};
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{60'000});
  EXPECT_GE(rows_of(rig).size(), 55U) << "some are under way";
  EXPECT_EQ(rig.gateway.duplicates, 0U);
  EXPECT_EQ(rig.gateway.gaps, 0U);
}

TEST(Device, KeepsRecordingWithoutALinkAndDeliversLater) {
  DeviceRig rig;
  rig.link_allowed = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{120'000});
  EXPECT_TRUE(rig.gateway.database.log.empty());
  EXPECT_GE(rig.device->stats().recorded, 29U);
  rig.link_allowed = true;
  rig.run_for(Millis{240'000});
  expect_complete(rig);
}

TEST(Device, LosesNothingWhereverTheLinkIsCut) {
  DeviceRig reference;
  ASSERT_EQ(reference.boot(), Status::kOk);
  reference.run_for(Millis{20'000});
  const std::uint64_t total = reference.bytes_moved;
  ASSERT_GT(total, 300U);
  for (std::uint64_t cut = 1; cut <= total; ++cut) {
    SCOPED_TRACE(cut);
    DeviceRig rig;
    rig.cut_after = cut;
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{20'000});
    rig.run_for(Millis{40'000});
    expect_complete(rig);
    ASSERT_EQ(rows_of(rig).size(), 4 * (rig.gateway.database.log.size() - 1));
  }
}

TEST(Device, TakesInputAndGivesOutputOneByteAtATime) {
  DeviceRig rig;
  rig.chunk_max = 1;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{20'000});
  expect_complete(rig);
  EXPECT_EQ(rig.gateway.duplicates, 0U);
}

TEST(Device, LosesNoRecordWhenPowerIsCutBetweenAnyTwoSteps) {
  for (int cut_s = 1; cut_s < 40; ++cut_s) {
    SCOPED_TRACE(cut_s);
    DeviceRig rig;
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{1'000 * cut_s + 500});
    const Seq recorded = rig.device->outbox().next_seq();
    rig.power_cut();
    ASSERT_EQ(rig.boot(), Status::kOk);
    EXPECT_EQ(rig.device->outbox().next_seq(), recorded);
    rig.run_for(Millis{30'000});
    expect_complete(rig);
  }
}

TEST(Device, LosesNoRecordWhenPowerIsCutInAnyFlashOperation) {
  for (const sim::Tear tear : {sim::Tear::kPart, sim::Tear::kGarbage, sim::Tear::kAfter}) {
    for (std::uint64_t operation = 0; operation < 150; ++operation) {
      SCOPED_TRACE(operation);
      DeviceRig rig({1024, 4, 8});
      rig.flash.arm({.operation = operation, .tear = tear});
      Seq recorded = kFirstSeq;
      if (rig.boot() == Status::kOk) {
        for (int i = 0; i < 200 && rig.flash.powered(); ++i) {
          rig.run_for(Millis{1'000});
          recorded = rig.device->outbox().next_seq();
        }
      }
      rig.power_cut();
      rig.flash.power_on();
      rig.flash.disarm();
      ASSERT_EQ(rig.boot(), Status::kOk);
      EXPECT_GE(rig.device->outbox().next_seq(), recorded);
      rig.run_for(Millis{30'000});
      expect_complete(rig);
      EXPECT_TRUE(rig.gateway.database.unknown == 0 || recorded == kFirstSeq);
      // What append() had not confirmed may be lost, and is then explained.
      for (const ModelItem& item : rig.gateway.database.log) {
        if (item.lost > 0) {
          EXPECT_GE(item.seq, recorded.value);
        }
      }
    }
  }
}

TEST(Device, KeepsEverythingWhileNoGatewayIsThere) {
  DeviceRig rig;
  rig.broker.gateway_present = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{300'000});
  EXPECT_FALSE(rig.device->online());
  EXPECT_EQ(rig.device->outbox().oldest_seq(), kFirstSeq);
  EXPECT_EQ(rig.broker.connects, 1U) << "the link is fine and should be kept";
  EXPECT_EQ(rig.device->stats().published, 0U) << "records are not thrown at a broker that drops them";
  rig.broker.gateway_present = true;
  rig.run_for(Millis{60'000});
  expect_complete(rig);
}

TEST(Device, SendsAgainWhatTheBrokerAcknowledgedAndForgot) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{10'000});
  rig.broker.drop_records = true;
  rig.run_for(Millis{60'000});
  EXPECT_LT(rig.device->acked_seq(), rig.device->outbox().next_seq());
  rig.broker.drop_records = false;
  rig.run_for(Millis{60'000});
  expect_complete(rig);
}

TEST(Device, RecoversWhenAcksAreLost) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{10'000});
  rig.broker.commit_acks = false;
  rig.run_for(Millis{30'000});
  rig.broker.commit_acks = true;
  rig.run_for(Millis{60'000});
  expect_complete(rig);
  EXPECT_EQ(rig.device->acked_seq(), rig.device->outbox().next_seq());
}

TEST(Device, ExplainsWhatAFullOutboxDropped) {
  DeviceRig rig({1024, 4, 8});
  rig.tables[0].contract.rows_max = 16;
  rig.link_allowed = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{3'600'000});
  EXPECT_GT(rig.device->outbox().stats().dropped_records, 0U);
  rig.link_allowed = true;
  rig.run_for(Millis{300'000});
  expect_complete(rig);
  EXPECT_GT(last_hello(rig).oldest_seq, kFirstSeq);
  ASSERT_FALSE(rig.gateway.database.log.empty());
  EXPECT_GT(rig.gateway.database.log.front().lost, 0U);
}

TEST(Device, SaysHelloAgainWhenAskedAndWhenItLearnsTheTime) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{2'000});
  EXPECT_EQ(rig.gateway.hellos, 1U);
  rig.run_for(Millis{3'000});
  EXPECT_EQ(rig.gateway.hellos, 2U) << "the first record wrote a mark";
  EXPECT_EQ(last_hello(rig).epoch, rig.device->outbox().epoch());
  rig.gateway.send_hello_once = true;
  rig.run_for(Millis{10'000});
  EXPECT_EQ(rig.gateway.hellos, 3U);
  rig.device->set_unix_time(rig.now, {1'700'000'000'000});
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, 4U);
  EXPECT_TRUE(last_hello(rig).boot_time.has_value());
  rig.device->set_unix_time(rig.now, {1'700'000'000'010});
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, 4U) << "ten milliseconds are no news";
  rig.run_for(Millis{10'000});
  expect_complete(rig);
  const auto last = codec::decode_batch(as_bytes(rig.gateway.database.log.back().batch));
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->quality, codec::TimeQuality::kSynced);

  rig.device->set_health(rig.now, {.time_quality = codec::TimeQuality::kHoldover});
  rig.run_for(Millis{10'000});
  const auto unconfirmed = codec::decode_batch(as_bytes(rig.gateway.database.log.back().batch));
  ASSERT_TRUE(unconfirmed.has_value());
  EXPECT_EQ(unconfirmed->quality, codec::TimeQuality::kHoldover);
}

TEST(Device, SaysHelloAgainWhenItLearnsTheTimeBeforeTheFirstAnswer) {
  DeviceRig rig;
  rig.broker.commit_acks = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{1'000});
  EXPECT_EQ(rig.gateway.hellos, 1U);
  rig.device->set_unix_time(rig.now, {1'700'000'000'000});
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, 2U);
}

TEST(Device, TellsOfAStepOfItsClockOfMoreThanASecond) {
  constexpr std::int64_t kTime = 1'700'000'000'000;
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'000});
  rig.device->set_unix_time(rig.now, {kTime});
  rig.settle();
  const std::uint64_t before = rig.gateway.hellos;
  rig.device->set_unix_time(rig.now, {kTime + 1'000});
  rig.device->set_unix_time(rig.now, {kTime});
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, before) << "a second is no news, either way";
  rig.device->set_unix_time(rig.now, {kTime + 1'001});
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, before + 1);
  rig.device->set_unix_time(rig.now, {kTime});
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, before + 2);
}

TEST(Device, TakesTheTimesThatAClockCanShowAndNoOthers) {
  for (const std::int64_t time : {std::int64_t{-1}, codec::kTimeMax.count() + 1, INT64_MIN, INT64_MAX}) {
    DeviceRig rig;
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{5'000});
    const std::uint64_t before = rig.gateway.hellos;
    rig.device->set_unix_time(rig.now, {time});
    rig.settle();
    EXPECT_EQ(rig.gateway.hellos, before);
    rig.gateway.send_hello_once = true;
    rig.run_for(Millis{10'000});
    EXPECT_EQ(last_hello(rig).boot_time, std::nullopt);
  }
  for (const std::int64_t time : {std::int64_t{0}, codec::kTimeMax.count()}) {
    DeviceRig rig;
    ASSERT_EQ(rig.boot(), Status::kOk);
    rig.run_for(Millis{5'000});
    rig.device->set_unix_time(rig.now, {time});
    rig.settle();
    EXPECT_EQ(last_hello(rig).boot_time, UnixMillis{time - 5'000});
  }
}

TEST(Device, SaysItsHealthInTheNextHelloAndAChangeOfTimeQualityAtOnce) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'000});
  EXPECT_EQ(last_hello(rig).health, std::nullopt);
  const std::uint64_t before = rig.gateway.hellos;

  codec::Health health{.stack_used = 100, .stack_size = 4'096, .time_quality = codec::TimeQuality::kNone};
  rig.device->set_health(rig.now, health);
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, before + 1);
  health.stack_used = 200;
  rig.device->set_health(rig.now, health);
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, before + 1) << "a deeper stack can wait for the next hello";
  EXPECT_EQ(last_hello(rig).health->stack_used, 100U);
  health.time_quality = codec::TimeQuality::kSynced;
  rig.device->set_health(rig.now, health);
  rig.settle();
  EXPECT_EQ(rig.gateway.hellos, before + 2);
  EXPECT_EQ(last_hello(rig).health, health);
}

TEST(Device, SaysHowTheBootBeforeEndedInEveryHello) {
  DeviceRig rig;
  rig.last_crash = codec::Crash{.kind = codec::CrashKind::kAssert, .pc = 0x1234, .where = "outbox.cc:42"};
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'000});
  EXPECT_EQ(last_hello(rig).crash, rig.last_crash);
  rig.gateway.send_hello_once = true;
  rig.run_for(Millis{10'000});
  EXPECT_EQ(rig.gateway.hellos, 3U) << "on connecting, with the mark, and now";
  EXPECT_EQ(last_hello(rig).crash, rig.last_crash);
}

TEST(Device, LeavesOutWhereItCrashedIfThatTextIsDamaged) {
  DeviceRig rig;
  rig.last_crash = codec::Crash{.kind = codec::CrashKind::kAssert, .pc = 0x1234, .where = "outbox\x01.cc"};
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'000});
  ASSERT_TRUE(last_hello(rig).crash.has_value());
  EXPECT_EQ(last_hello(rig).crash->pc, 0x1234U);
  EXPECT_EQ(last_hello(rig).crash->where, "");
}

TEST(Device, ReconnectsWhenTheBrokerFallsSilent) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{10'000});
  rig.broker.silent = true;
  rig.run_for(Millis{50'000});
  EXPECT_GT(rig.link_attempts, 1U) << "long before keep-alive would tell";
  const auto said = std::ranges::count(rig.log.events, "broker_silent");
  EXPECT_GT(said, 0);
  rig.broker.silent = false;
  rig.run_for(Millis{200'000});
  expect_complete(rig);
  EXPECT_EQ(std::ranges::count(rig.log.events, "broker_silent"), said) << "not of the links that follow";
}

TEST(Device, SaysSoWhenTheBrokerTakesNoPacketOfItsSize) {
  DeviceRig rig;
  rig.broker.maximum_packet_size = 60;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{30'000});
  EXPECT_NE(std::ranges::find(rig.log.events, "hello_not_sent"), rig.log.events.end());
  EXPECT_LT(rig.log.events.size(), 30U);
  rig.broker.maximum_packet_size = 0;
  rig.cut_link();
  rig.run_for(Millis{200'000});
  expect_complete(rig);
}

TEST(Device, BacksOffWhenItIsConnectedAndThenKicked) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  const Instant end = rig.now + Millis{600'000};
  while (rig.now < end) {
    rig.run_for(Millis{100});
    rig.broker.send_disconnect(0x8E);  // session taken over
    rig.settle();
  }
  EXPECT_LT(rig.link_attempts, 40U);
}

TEST(Device, BacksOffWhenTheBrokerRefusesIt) {
  DeviceRig rig;
  rig.broker.connack_reason = 0x87;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{600'000});
  EXPECT_GT(rig.link_attempts, 3U);
  EXPECT_LT(rig.link_attempts, 40U);
  EXPECT_NE(std::ranges::find(rig.log.events, "connect_refused"), rig.log.events.end());
}

TEST(Device, PublishesLiveTablesOnlyWhileOnlineAndNeverStoresThem) {
  DeviceRig rig;
  rig.tables.push_back({.contract = {.name = "fast",
                                     .period = Millis{100},
                                     .channel_class = codec::ChannelClass::kLive,
                                     .channels = DeviceRig::kChannels,
                                     .rows_max = 10}});
  rig.link_allowed = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{8'500});
  const auto stored = rig.device->outbox().next_seq();
  EXPECT_EQ(stored.value, 4U) << "a mark and two batches of the durable table";
  rig.link_allowed = true;
  rig.run_for(Millis{60'000});
  EXPECT_GT(rig.broker.live.size(), 10U);
  expect_complete(rig);
}

TEST(Device, StopDeliversTheOpenBatchAndSaysGoodbye) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{9'500});
  const Seq before = rig.device->outbox().next_seq();
  rig.device->stop(rig.now);
  rig.settle();
  EXPECT_EQ(rig.device->outbox().next_seq(), before + 1);
  expect_complete(rig);
  EXPECT_EQ(rig.broker.goodbyes, 1U) << "the gateway is told that it is gone";
  EXPECT_EQ(rig.broker.wills, 0U) << "a goodbye is no death";
  EXPECT_TRUE(rig.broker.closed());
  const std::uint64_t attempts = rig.link_attempts;
  rig.run_for(Millis{60'000});
  EXPECT_EQ(rig.link_attempts, attempts) << "it stays away";
  EXPECT_EQ(rig.device->outbox().next_seq(), before + 1) << "and samples no more";
}

TEST(Device, StopDoesNotWaitForAGatewayThatIsNotThere) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'500});
  rig.broker.drop_records = true;
  rig.device->stop(rig.now);
  rig.settle();
  EXPECT_FALSE(rig.broker.closed()) << "a moment for the ack";
  rig.run_for(Device::kGoodbyeMax);
  EXPECT_TRUE(rig.broker.closed());
  EXPECT_EQ(rig.broker.goodbyes, 1U);
}

TEST(Device, StopIsDoneWhenTheLinkIsLostMeanwhile) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'500});
  rig.broker.drop_records = true;
  rig.device->stop(rig.now);
  rig.settle();
  rig.cut_link();
  EXPECT_EQ(rig.device->link_request(), LinkRequest::kClose);
}

TEST(Device, StopWithoutALinkIsImmediate) {
  DeviceRig rig;
  rig.link_allowed = false;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{5'500});
  rig.device->stop(rig.now);
  EXPECT_EQ(rig.device->link_request(), LinkRequest::kClose);
  EXPECT_EQ(rig.device->outbox().next_seq(), Seq{4}) << "a mark and two records";
}

TEST(Device, CountsMissedInstantsWhenSensorsFailAndGoesOn) {
  DeviceRig rig;
  ASSERT_EQ(rig.boot(), Status::kOk);
  rig.run_for(Millis{10'000});
  rig.sensors.failing = true;
  rig.run_for(Millis{10'000});
  rig.sensors.failing = false;
  rig.run_for(Millis{20'000});
  expect_complete(rig);
  EXPECT_FALSE(rows_of(rig).empty());
}

TEST(Device, RefusesAConfigurationThatCannotWork) {
  DeviceRig none;
  none.tables.clear();
  EXPECT_EQ(none.boot(), Status::kInvalidArgument);
  DeviceRig long_version;
  long_version.firmware = "a version of more than thirty-two characters";
  EXPECT_EQ(long_version.boot(), Status::kInvalidArgument);
  DeviceRig tiny({256, 4, 8});
  EXPECT_EQ(tiny.boot(), Status::kInvalidArgument) << "a batch of 512 bytes does not fit a sector";
}

TEST(Device, TakesTwoFullTablesUnlessTheirTextIsTooLongForAHello) {
  std::array<std::string, codec::kChannelsMax> names;
  std::array<codec::Channel, codec::kChannelsMax> channels;
  const auto boot_with = [&](const std::string& name, std::string_view unit) {
    for (std::size_t i = 0; i < channels.size(); ++i) {
      names[i] = name + std::to_string(i);
      channels[i] = {.name = names[i], .unit = unit, .exponent = -2, .min = INT64_MIN, .max = INT64_MAX};
    }
    DeviceRig rig;
    rig.tables = {{.contract = {.name = "t", .period = Millis{1'000}, .channels = channels}},
                  {.contract = {.name = "u", .period = Millis{1'000}, .channels = channels}}};
    const Status status = rig.boot();
    if (status == Status::kOk) rig.run_for(Millis{30'000});
    const std::string where(codec::kWhereSizeMax, 'x');
    rig.last_crash = codec::Crash{codec::CrashKind::kFault, UINT32_MAX, UINT32_MAX, 1, 1, UINT32_MAX, where};
    EXPECT_EQ(rig.boot(), status) << "a crash does not keep it from starting";
    if (status == Status::kOk) {
      rig.device->set_health(rig.now, {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX});
      rig.run_for(Millis{30'000});
      EXPECT_TRUE(last_hello(rig).crash.has_value());
    }
    return std::pair(status, rig.device->online());
  };
  EXPECT_EQ(boot_with("temperature", "Cel"), std::pair(Status::kOk, true));
  EXPECT_EQ(boot_with("a_name_of_22_character", "a_long_unit_").first, Status::kInvalidArgument);
}

TEST(Device, TwoDevicesDoNotShareAnything) {
  DeviceRig a({4096, 16, 8}, 1);
  DeviceRig b({4096, 16, 8}, 2);
  ASSERT_EQ(a.boot(), Status::kOk);
  ASSERT_EQ(b.boot(), Status::kOk);
  for (int i = 0; i < 200; ++i) {
    a.run_for(Millis{137});
    b.run_for(Millis{211});
  }
  expect_complete(a);
  expect_complete(b);
  EXPECT_NE(a.device->outbox().epoch(), b.device->outbox().epoch());
}

}  // namespace
}  // namespace godwit::agent
