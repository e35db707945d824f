// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <sstream>

#include "gateway/app/init.h"
#include "gateway/pki/files.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;

constexpr pki::Seconds kNow{std::chrono::seconds(1'800'000'000)};

class Devices : public testing::Test {
 protected:
  Devices() {
    std::string name = (fs::temp_directory_path() / "devices_test.XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
    options_.dir = parent_ / "installation";
    std::ostringstream out;
    InitOptions init_options;
    init_options.dir = options_.dir;
    init(init_options, kNow, out);
  }
  ~Devices() override { fs::remove_all(parent_); }

  IssueResult issue(std::string_view id, pki::Seconds now = kNow) {
    const std::vector devices{parse_device(id)};
    return issue_devices(devices, options_, now);
  }
  [[nodiscard]] fs::path folder(std::string_view id) const { return options_.dir / "devices" / id; }

  fs::path parent_;
  IssueOptions options_;
};

TEST_F(Devices, GetACertificateOfTheirNameAndTheAuthoritys) {
  EXPECT_EQ(issue("pump-3").made, 1U);
  const auto certificate = pki::Certificate::read(folder("pump-3") / "device.crt");
  EXPECT_EQ(certificate.common_name(), "pump-3");
  EXPECT_TRUE(certificate.signed_by(pki::Certificate::read(folder("pump-3") / "ca.crt")));
  EXPECT_TRUE(certificate.belongs_to(pki::Key::read(folder("pump-3") / "device.key")));
  EXPECT_EQ(fs::status(folder("pump-3") / "device.key").permissions(), fs::perms(0600));
}

TEST_F(Devices, KeepTheirCredentialsWhenAddedAgain) {
  issue("pump-3");
  const std::string key = pki::read_file(folder("pump-3") / "device.key");
  const IssueResult again = issue("pump-3");
  EXPECT_EQ(again.made, 0U);
  EXPECT_EQ(again.kept, 1U);
  EXPECT_EQ(pki::read_file(folder("pump-3") / "device.key"), key);
}

TEST_F(Devices, KeepTheirKeyWhenRenewed) {
  issue("pump-3");
  const std::string key = pki::read_file(folder("pump-3") / "device.key");
  options_.renew = true;
  EXPECT_EQ(issue("pump-3", kNow + std::chrono::days(700)).renewed, 1U);
  EXPECT_EQ(pki::read_file(folder("pump-3") / "device.key"), key);
  const auto certificate = pki::Certificate::read(folder("pump-3") / "device.crt");
  EXPECT_EQ(certificate.not_after(), kNow + std::chrono::days(700) + pki::kLeafLifetime);
  EXPECT_TRUE(certificate.belongs_to(pki::Key::read(folder("pump-3") / "device.key")));
}

TEST_F(Devices, WrittenElsewhereLeaveOnlyTheirCertificateHere) {
  options_.out = parent_ / "provisioning";
  EXPECT_EQ(issue("pump-3").made, 1U);
  EXPECT_TRUE(fs::exists(parent_ / "provisioning" / "pump-3" / "device.key"));
  EXPECT_TRUE(fs::exists(folder("pump-3") / "device.crt"));
  EXPECT_FALSE(fs::exists(folder("pump-3") / "device.key"));

  options_.renew = true;
  EXPECT_EQ(issue("pump-3").renewed, 1U) << "needs no key of the device";
  EXPECT_EQ(pki::read_file(parent_ / "provisioning" / "pump-3" / "device.crt"),
            pki::read_file(folder("pump-3") / "device.crt"));
}

TEST_F(Devices, AreNotWrittenOverWhatLiesThere) {
  options_.out = parent_ / "provisioning";
  fs::create_directories(parent_ / "provisioning" / "pump-3");
  ASSERT_TRUE(
      pki::create_file(parent_ / "provisioning" / "pump-3" / "device.key", "precious", pki::Access::kOwner));
  EXPECT_THROW(issue("pump-3"), pki::Error);
  EXPECT_EQ(pki::read_file(parent_ / "provisioning" / "pump-3" / "device.key"), "precious");
  EXPECT_FALSE(fs::exists(folder("pump-3"))) << "not recorded as issued";
}

TEST_F(Devices, OfTheGatewaysNameAreRefused) {
  for (const char* reserved : {"gateway", "broker", "http", "ca"}) EXPECT_THROW(issue(reserved), pki::Error);
  for (const char* bad : {"", "UPPER", "a/b", "..", "a+b", "#", "way-too-long-way-too-long-way-too-l"}) {
    EXPECT_THROW(issue(bad), pki::Error) << bad;
  }
}

TEST_F(Devices, InBulkAreNumberedSoThatTheySort) {
  const auto devices = numbered_devices("sim-", 12);
  EXPECT_EQ(devices.front().view(), "sim-01");
  EXPECT_EQ(devices.back().view(), "sim-12");
  EXPECT_EQ(issue_devices(devices, options_, kNow).made, 12U);
  const auto issued = list_devices(options_.dir);
  ASSERT_EQ(issued.size(), 12U);
  EXPECT_EQ(issued[9].id, "sim-10");
}

TEST_F(Devices, OfNoInstallationSayHowToMakeOne) {
  options_.dir = parent_ / "absent";
  EXPECT_THROW(issue("pump-3"), pki::Error);
  EXPECT_THROW((void)list_devices(options_.dir), pki::Error);
  EXPECT_FALSE(fs::exists(options_.dir));
}

}  // namespace
}  // namespace godwit::app
