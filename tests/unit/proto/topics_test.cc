// SPDX-License-Identifier: Apache-2.0
#include "proto/topics/topics.h"

#include <gtest/gtest.h>

namespace godwit::topics {
namespace {

DeviceId device(std::string_view text) { return *DeviceId::parse(text); }

TEST(Topics, EveryLeafSurvivesARoundTrip) {
  for (const Leaf leaf : {Leaf::kHello, Leaf::kRecord, Leaf::kLive, Leaf::kGone, Leaf::kAck}) {
    const Topic topic = make(device("pump-3"), leaf);
    const auto parsed = parse(topic.view());
    ASSERT_TRUE(parsed.has_value()) << topic.view();
    EXPECT_EQ(parsed->device.view(), "pump-3");
    EXPECT_EQ(parsed->leaf, leaf);
  }
  EXPECT_EQ(make(device("pump-3"), Leaf::kRecord).view(), "gw1/d/pump-3/up/rec");
  EXPECT_EQ(device_filter(device("pump-3")).view(), "gw1/d/pump-3/dn/#");
}

TEST(Topics, TheLongestDeviceIdFits) {
  const DeviceId longest = device("abcdefghijklmnopqrstuvwxyz012345");
  EXPECT_EQ(parse(make(longest, Leaf::kHello).view())->device, longest);
}

TEST(Topics, RejectWhatIsNotOfTheGrammar) {
  for (const char* bad :
       {"", "gw1", "gw1/d/", "gw1/d/x", "gw2/d/x/up/rec", "gw1/d/X/up/rec", "gw1/d//up/rec"}) {
    EXPECT_EQ(parse(bad).error(), Status::kMalformed) << bad;
  }
  EXPECT_EQ(parse("gw1/d/x/up/later").error(), Status::kUnsupported);
}

}  // namespace
}  // namespace godwit::topics
