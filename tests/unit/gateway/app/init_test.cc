// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/init.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <map>
#include <sstream>

#include "gateway/app/config.h"
#include "gateway/pki/api_key.h"
#include "gateway/pki/files.h"
#include "proto/topics/topics.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr pki::Seconds kNow{std::chrono::seconds(1'800'000'000)};

class Init : public testing::Test {
 protected:
  Init() {
    std::string name = (fs::temp_directory_path() / "init_test.XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
    options_.dir = parent_ / "installation";
  }
  ~Init() override { fs::remove_all(parent_); }

  std::string init() {
    std::ostringstream out;
    app::init(options_, kNow, out);
    return out.str();
  }

  // Everything in the folder: path to content.
  [[nodiscard]] std::map<std::string, std::string> snapshot() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(options_.dir)) {
      files[entry.path().string()] = entry.is_regular_file() ? pki::read_file(entry.path()) : "";
    }
    return files;
  }

  [[nodiscard]] pki::Certificate certificate(const char* name) const {
    return pki::Certificate::read(options_.dir / name);
  }

  fs::path parent_;
  InitOptions options_;
};

TEST_F(Init, MakesCertificatesOfOneAuthority) {
  options_.hosts = {"gw.example.org", "192.0.2.7"};
  init();
  const pki::Certificate authority = certificate("ca.crt");
  for (const char* name : {"broker", "http", "gateway"}) {
    const pki::Certificate leaf = certificate((std::string(name) + ".crt").c_str());
    EXPECT_TRUE(leaf.signed_by(authority)) << name;
    EXPECT_TRUE(leaf.belongs_to(pki::Key::read(options_.dir / (std::string(name) + ".key")))) << name;
    EXPECT_EQ(leaf.common_name(), name);
  }
  for (const char* server : {"broker.crt", "http.crt"}) {
    for (const char* host : {"localhost", "127.0.0.1", "::1", "gw.example.org", "192.0.2.7"}) {
      EXPECT_THAT(certificate(server).hosts(), Contains(host)) << server;
    }
  }
}

TEST_F(Init, KeepsSecretsFromOthers) {
  init();
  for (const char* name : {"ca.key", "broker.key", "http.key", "gateway.key", "api-key", "api-keys", "acl"}) {
    EXPECT_EQ(fs::status(options_.dir / name).permissions(), fs::perms(0600)) << name;
  }
  EXPECT_EQ(fs::status(options_.dir / "data").permissions(), fs::perms(0700));
  EXPECT_EQ(fs::status(options_.dir / "ca.crt").permissions(), fs::perms(0644)) << "clients read it";
}

TEST_F(Init, RunAgainChangesNothingAndSaysSo) {
  init();
  const auto before = snapshot();
  options_.hosts = {"new.example.org"};
  options_.mqtt_port = 1;
  const std::string report = init();
  EXPECT_EQ(snapshot(), before);
  EXPECT_THAT(report, Not(HasSubstr("made")));
  EXPECT_THAT(report, HasSubstr("broker.crt does not name new.example.org; --renew adds it"));
}

// Whatever file a run that was cut short did not get to make, the next run makes it and keeps the others.
TEST_F(Init, CompletesAfterACutAtEveryStep) {
  init();
  const auto whole = snapshot();
  std::size_t completed = 0;
  for (const char* name : {"broker.crt", "http.crt", "gateway.crt", "acl", "mosquitto.conf", "gateway.toml",
                           "api-keys", "data", "devices"}) {
    fs::remove_all(options_.dir / name);
    EXPECT_THAT(init(), HasSubstr("made " + (options_.dir / name).string())) << name;
    auto now = snapshot();
    EXPECT_EQ(now.size(), whole.size()) << name;
    ++completed;
  }
  EXPECT_EQ(completed, 9U);
  for (const char* kept : {"ca.key", "ca.crt", "broker.key", "gateway.key", "api-key", "api-keys", "acl"}) {
    EXPECT_EQ(snapshot().at((options_.dir / kept).string()), whole.at((options_.dir / kept).string()))
        << kept;
  }
}

TEST_F(Init, RefusesACertificateWhoseKeyIsLost) {
  init();
  fs::remove(options_.dir / "broker.key");
  const auto before = snapshot();
  try {
    init();
    FAIL();
  } catch (const pki::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("broker.crt is there, but its key"));
  }
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Init, RefusesAKeyOfAnotherCertificate) {
  init();
  fs::copy_file(options_.dir / "http.key", options_.dir / "broker.key", fs::copy_options::overwrite_existing);
  EXPECT_THROW(init(), pki::Error);
}

TEST_F(Init, RenewalKeepsKeysAndNamesAndAddsNewOnes) {
  options_.hosts = {"old.example.org"};
  init();
  const std::string key = pki::read_file(options_.dir / "broker.key");
  const std::string authority = pki::read_file(options_.dir / "ca.crt");
  const std::string serial = certificate("broker.crt").serial();
  options_.hosts = {"new.example.org"};
  options_.renew = true;
  init();
  EXPECT_EQ(pki::read_file(options_.dir / "broker.key"), key);
  EXPECT_EQ(pki::read_file(options_.dir / "ca.crt"), authority);
  EXPECT_NE(certificate("broker.crt").serial(), serial);
  EXPECT_THAT(certificate("broker.crt").hosts(), Contains("old.example.org"));
  EXPECT_THAT(certificate("http.crt").hosts(), Contains("new.example.org"));
}

TEST_F(Init, RefusesHostsAndAddressesThatAreNone) {
  options_.hosts = {"two words"};
  EXPECT_THROW(init(), pki::Error);
  options_.hosts = {};
  options_.mqtt_listen = "localhost\nallow_anonymous true";
  EXPECT_THROW(init(), pki::Error);
  EXPECT_FALSE(fs::exists(options_.dir)) << "nothing was made";
}

TEST_F(Init, WritesAConfigurationThatTheGatewayReads) {
  options_.mqtt_listen = "0.0.0.0";
  options_.mqtt_port = 18883;
  options_.http_port = 0;
  init();
  const Config config = read_config(options_.dir / "gateway.toml");
  EXPECT_EQ(config.mqtt_host, "127.0.0.1");
  EXPECT_EQ(config.mqtt_port, 18883);
  EXPECT_EQ(config.http_port, 0);
  EXPECT_THAT(certificate("broker.crt").hosts(), Contains(config.mqtt_host));
}

TEST_F(Init, GrantsTheGatewayWhatItSubscribesToAndDevicesTheirOwn) {
  init();
  const std::string acl = pki::read_file(options_.dir / "acl");
  EXPECT_THAT(acl, HasSubstr("user gateway\ntopic read " + std::string(topics::kGatewayFilter) + "\n"));
  for (const std::string_view pattern : topics::kAclPublishPatterns)
    EXPECT_THAT(acl, HasSubstr("pattern write " + std::string(pattern) + "\n"));
  EXPECT_THAT(acl, HasSubstr("pattern read " + std::string(topics::kAclSubscribePattern) + "\n"));
}

TEST_F(Init, KeepsTheDigestOfTheApiKeyOnly) {
  init();
  std::string key = pki::read_file(options_.dir / "api-key");
  key.pop_back();
  const std::string digests = pki::read_file(options_.dir / "api-keys");
  EXPECT_THAT(digests, HasSubstr("default admin " + pki::sha256_hex(key) + "\n"));
  EXPECT_THAT(digests, Not(HasSubstr(key)));

  fs::remove(options_.dir / "api-key");
  init();
  EXPECT_FALSE(fs::exists(options_.dir / "api-key")) << "taking the plain key away is not a fault";
}

}  // namespace
}  // namespace godwit::app
