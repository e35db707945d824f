// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gateway/app/init.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr pki::Seconds kNow{std::chrono::seconds(1'800'000'000)};

class CheckInstallation : public testing::Test {
 protected:
  CheckInstallation() {
    std::string name = (fs::temp_directory_path() / "check_test.XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
    InitOptions options;
    options.dir = parent_ / "installation";
    std::ostringstream out;
    init(options, kNow, out);
    config_ = read_config(options.dir / "gateway.toml");
  }
  ~CheckInstallation() override { fs::remove_all(parent_); }

  fs::path parent_;
  Config config_;
};

TEST_F(CheckInstallation, JustMadeHasNoWarnings) { EXPECT_THAT(check(config_, kNow), IsEmpty()); }

TEST_F(CheckInstallation, WarnsBeforeCertificatesExpireAndAfter) {
  EXPECT_THAT(check(config_, kNow + pki::kLeafLifetime - std::chrono::days(31)), IsEmpty());
  EXPECT_THAT(
      check(config_, kNow + pki::kLeafLifetime - std::chrono::days(10)),
      ElementsAre(HasSubstr("gateway.crt expires in 10 days"), HasSubstr("http.crt expires in 10 days")));
  EXPECT_THAT(check(config_, kNow + pki::kLeafLifetime + std::chrono::days(1)),
              Contains(HasSubstr("gateway.crt has expired")));
}

TEST_F(CheckInstallation, WarnsOfAClockThatLags) {
  EXPECT_THAT(check(config_, kNow - std::chrono::days(2)),
              Contains(HasSubstr("is this machine's clock right?")));
}

TEST_F(CheckInstallation, WarnsOfAKeyThatOthersMayRead) {
  fs::permissions(config_.http_key, fs::perms::others_read, fs::perm_options::add);
  EXPECT_THAT(check(config_, kNow), ElementsAre(HasSubstr("http.key can be read by others")));
}

TEST_F(CheckInstallation, RefusesWhatIsMissingOrDoesNotFit) {
  for (const fs::path& file :
       {config_.mqtt_ca, config_.mqtt_certificate, config_.mqtt_key, config_.http_certificate,
        config_.http_key, config_.http_api_keys, config_.store_directory}) {
    const fs::path hidden = parent_ / "hidden";
    fs::rename(file, hidden);
    EXPECT_THROW((void)check(config_, kNow), std::runtime_error) << file;
    fs::rename(hidden, file);
  }
  std::swap(config_.mqtt_key, config_.http_key);
  EXPECT_THROW((void)check(config_, kNow), std::runtime_error);
}

TEST_F(CheckInstallation, WarnsIfNobodyCanUseTheApi) {
  std::ofstream(config_.http_api_keys, std::ios::trunc) << "# none\n";
  EXPECT_THAT(check(config_, kNow), ElementsAre(HasSubstr("api-keys has no key")));
}

}  // namespace
}  // namespace godwit::app
