// SPDX-License-Identifier: Apache-2.0
#include "boards/common/mcu/settings.h"

#include <gtest/gtest.h>

#include <string>

namespace godwit::boards {
namespace {

std::string host_name(const char* id) {
  const auto parsed = DeviceId::parse(id);
  return parsed ? host_name_of(*parsed).data() : "not a device";
}

TEST(HostName, IsTheDeviceAsNameServicesTakeIt) {
  EXPECT_EQ(host_name("pump-3"), "pump-3");
  EXPECT_EQ(host_name("line.2_pump"), "line-2-pump");
  EXPECT_EQ(host_name("a._-"), "a");
  EXPECT_EQ(host_name("0"), "0");
  EXPECT_EQ(host_name("abcdefghijklmnopqrstuvwxyz0123.5"), "abcdefghijklmnopqrstuvwxyz0123-5");
}

}  // namespace
}  // namespace godwit::boards
