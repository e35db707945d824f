// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

#include "gateway/app/devices.h"
#include "gateway/app/init.h"
#include "gateway/pki/files.h"
#include "proto/codec/provisioning.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

constexpr pki::Seconds kNow{std::chrono::seconds(1'800'000'000)};
constexpr std::size_t kBlockSize = codec::kProvisioningBlockSize;

class Image : public testing::Test {
 protected:
  Image() {
    std::string name = (fs::temp_directory_path() / "image_test.XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
    dir_ = parent_ / "installation";
    init_with({"gateway.example"});
    issue("pump-3");
    issue("pump-4");
    options_.file = parent_ / "pump.img";
  }
  ~Image() override { fs::remove_all(parent_); }

  void init_with(std::vector<std::string> hosts) {
    std::ostringstream out;
    InitOptions init_options;
    init_options.dir = dir_;
    init_options.hosts = std::move(hosts);
    init_options.mqtt_port = 18'883;
    init(init_options, kNow, out);
  }
  void issue(std::string_view id) {
    const std::vector devices{parse_device(id)};
    const IssueOptions issue_options{.dir = dir_, .out = {}};
    issue_devices(devices, issue_options, kNow);
  }
  [[nodiscard]] fs::path folder(std::string_view id) const { return dir_ / "devices" / id; }

  std::string write(std::string_view id = "pump-3") {
    std::ostringstream out;
    write_image(dir_, parse_device(id), folder(id), options_, kNow, out);
    return out.str();
  }
  // The reason that it cannot be written; the file is then as it was.
  std::string refusal(std::string_view id = "pump-3") {
    const std::string before = fs::exists(options_.file) ? content() : "absent";
    try {
      write(id);
    } catch (const pki::Error& error) {
      EXPECT_EQ(fs::exists(options_.file) ? content() : "absent", before);
      return error.what();
    }
    ADD_FAILURE() << "was written";
    return "";
  }
  [[nodiscard]] std::string content() const {
    std::ifstream file(options_.file, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& bytes) const { std::ofstream(options_.file, std::ios::binary) << bytes; }
  codec::Provisioning provisioning() {
    block_ = content();
    const auto result = codec::decode_provisioning(as_bytes(block_));
    EXPECT_TRUE(result.has_value());
    return result.value_or(codec::Provisioning{});
  }

  fs::path parent_;
  fs::path dir_;
  ImageOptions options_;
  std::string block_;
};

TEST_F(Image, HoldsWhoTheDeviceIsAndWhereItsBrokerIs) {
  options_.broker = "10.0.2.2:1883";
  options_.sntp = "time.example";
  options_.sample_period_ms = 250;
  options_.rows_per_record = 16;
  EXPECT_EQ(write(), "wrote " + options_.file.string() +
                         ": pump-3 connects to 10.0.2.2:1883, certificate of localhost, time from "
                         "time.example:123\n");
  const auto held = provisioning();
  EXPECT_EQ(held.device, "pump-3");
  EXPECT_EQ(held.broker_host, "10.0.2.2");
  EXPECT_EQ(held.broker_port, 1883);
  EXPECT_EQ(held.server_name, "localhost") << "as the broker's certificate has it";
  EXPECT_EQ(held.sntp_host, "time.example");
  EXPECT_EQ(held.sntp_port, 123);
  EXPECT_EQ(held.issued, UnixMillis{1'800'000'000'000});
  EXPECT_EQ(held.sample_period, Millis{250});
  EXPECT_EQ(held.rows_per_record, 16U);
  const auto is = [](Bytes held_bytes, const std::vector<std::uint8_t>& der) {
    return std::ranges::equal(held_bytes, der);
  };
  EXPECT_TRUE(is(held.ca, pki::Certificate::read(folder("pump-3") / "ca.crt").der()));
  EXPECT_TRUE(is(held.certificate, pki::Certificate::read(folder("pump-3") / "device.crt").der()));
  EXPECT_TRUE(is(held.key, pki::Key::read(folder("pump-3") / "device.key").der()));
  EXPECT_EQ(held.key.size(), 121U) << "SEC 1, P-256";
}

TEST_F(Image, TakesTheBrokerFromItsCertificateAndConfiguration) {
  write();
  const auto held = provisioning();
  EXPECT_EQ(held.broker_host, "gateway.example");
  EXPECT_EQ(held.broker_port, 18'883);
  EXPECT_EQ(held.server_name, "gateway.example");
  EXPECT_EQ(held.sntp_host, "");
  EXPECT_EQ(held.sntp_port, 0);
}

TEST_F(Image, IsReadableToItsOwnerOnlyAndFilledUpAsErasedFlash) {
  options_.size = 65'536;
  EXPECT_THAT(write(), Not(HasSubstr("PRIVATE")));
  EXPECT_EQ(fs::status(options_.file).permissions(), fs::perms(0600));
  const std::string bytes = content();
  ASSERT_EQ(bytes.size(), 65'536U);
  EXPECT_EQ(bytes.find_first_not_of('\xFF', 2'000), std::string::npos);
}

TEST_F(Image, WithoutASizeIsTheBlockAlone) {
  write();
  EXPECT_EQ(fs::file_size(options_.file), kBlockSize);
}

TEST_F(Image, ThatIsThereKeepsAllButItsFirstBlock) {
  options_.size = 65'536;
  write();
  std::string recorded = content();
  std::ranges::fill(recorded.begin() + kBlockSize, recorded.end(), 'r');
  put(recorded);
  fs::permissions(options_.file, fs::perms(0644));
  options_.size.reset();
  options_.broker = "other.example";
  options_.server_name = "localhost";
  write();
  EXPECT_EQ(provisioning().broker_host, "other.example");
  EXPECT_EQ(content().substr(kBlockSize), recorded.substr(kBlockSize));
  EXPECT_EQ(fs::status(options_.file).permissions(), fs::perms(0600));
}

TEST_F(Image, GoesOverStorageThatIsBlankOrDamaged) {
  put(std::string(8192, '\xFF'));
  write();
  put(std::string(8192, '\0'));
  write();
  std::string damaged = content();
  damaged[20] = static_cast<char>(damaged[20] + 1);
  put(damaged);
  write();
  EXPECT_EQ(provisioning().device, "pump-3");
}

TEST_F(Image, OfAnotherDeviceIsLeftAlone) {
  write("pump-3");
  EXPECT_THAT(refusal("pump-4"), HasSubstr("is of device \"pump-3\""));
}

TEST_F(Image, ThatIsSomethingElseIsLeftAlone) {
  put(std::string(kBlockSize - 1, '\xFF'));
  EXPECT_THAT(refusal(), HasSubstr("has 4095 bytes"));
  put(std::string(100'000, 'x'));
  EXPECT_THAT(refusal(), HasSubstr("holds something else"));
  std::string partitioned(65'536, '\0');  // without boot code, but with a table
  partitioned.replace(446, 8, "\x80\x01\x01\x01\x0C\xFE\xFF\xFF");
  partitioned.replace(510, 2, "\x55\xAA");
  put(partitioned);
  EXPECT_THAT(refusal(), HasSubstr("holds something else"));
  EXPECT_EQ(content(), partitioned);
  for (const char erased : {'\0', '\xFF'}) {
    std::string nearly_blank(kBlockSize, erased);
    nearly_blank.back() = 'x';
    put(nearly_blank);
    EXPECT_THAT(refusal(), HasSubstr("holds something else"));
  }
  put(std::string(65'536, '\xFF'));
  options_.size = 131'072;
  EXPECT_THAT(refusal(), HasSubstr("is there already, with 65536 bytes"));
}

TEST_F(Image, IsNotMadeOfWhatABoardCannotUse) {
  for (const char* broker :
       {"", "a b", ":1883", "a:", "a:0", "a:65536", "a:18x", "::1", "[::1]:1883", "*.example"}) {
    options_.broker = broker;
    if (options_.broker.empty()) continue;
    EXPECT_THAT(refusal(), HasSubstr("is not HOST or HOST:PORT")) << broker;
  }
  options_.broker = std::string(64, 'a');
  EXPECT_THAT(refusal(), HasSubstr("at most 63 characters"));
  options_.broker = "a";
  options_.server_name = "b c";
  EXPECT_THAT(refusal(), HasSubstr("server name"));
  options_.server_name.clear();
  options_.size = kBlockSize - 1;
  EXPECT_THAT(refusal(), HasSubstr("at least 4096 bytes"));
}

TEST_F(Image, NeedsTheDevicesOwnCertificateAndKey) {
  fs::remove(folder("pump-3") / "device.key");
  EXPECT_THAT(refusal(), HasSubstr("godwit-gateway device add"));
  fs::copy_file(folder("pump-4") / "device.key", folder("pump-3") / "device.key");
  EXPECT_THAT(refusal(), HasSubstr("is not the key of"));
  fs::copy_file(folder("pump-4") / "device.crt", folder("pump-3") / "device.crt",
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(refusal(), HasSubstr("is the certificate of \"pump-4\""));
}

TEST_F(Image, OfAnInstallationWithoutABrokersCertificateWantsToBeTold) {
  fs::remove(dir_ / "broker.crt");
  EXPECT_THAT(refusal(), HasSubstr("--board-broker"));
  options_.broker = "10.0.2.2";
  EXPECT_THAT(refusal(), HasSubstr("--server-name"));
  options_.server_name = "broker.example";
  write();
  EXPECT_EQ(provisioning().server_name, "broker.example");
}

}  // namespace
}  // namespace godwit::app
