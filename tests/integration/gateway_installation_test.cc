// SPDX-License-Identifier: Apache-2.0
// godwit-gateway as its users meet it: what it makes, says and answers with its exit status.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/support/gateway_fixture.h"

namespace godwit::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr std::chrono::seconds kTimeout{10};

// Every file and its content.
std::map<std::string, std::string> snapshot(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    files[entry.path().string()] = entry.is_regular_file() ? read_file(entry.path()) : "";
  }
  return files;
}

TEST(GatewayInit, RunAgainChangesNothingAndSucceeds) {
  const GatewayFixture fixture;
  const auto before = snapshot(fixture.dir());
  const Outcome again = run_gateway_program({"init", fixture.dir().string(), "--mqtt-port", "1"});
  EXPECT_EQ(again.status, 0) << again.log;
  EXPECT_THAT(again.output, Not(HasSubstr("made")));
  EXPECT_EQ(snapshot(fixture.dir()), before);
}

TEST(GatewayInit, KeepsEverySecretFromOthersWhateverTheUmask) {
  const TempDir parent;
  const auto dir = (parent.path() / "g").string();
  const Outcome made = run_program({"sh", "-c", R"(umask 0 && "$1" init "$2" && "$1" device add "$2" pump-3)",
                                    "sh", gateway_program(), dir});
  ASSERT_EQ(made.status, 0) << made.log;
  std::size_t secrets = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".key") || name.starts_with("api-key")) {
      EXPECT_EQ(entry.status().permissions(), fs::perms(0600)) << name;
      ++secrets;
    }
    EXPECT_EQ(entry.status().permissions() & (fs::perms::group_write | fs::perms::others_write),
              fs::perms::none)
        << name;
  }
  EXPECT_EQ(secrets, 7U) << "ca, broker, http, gateway, device; api-key and api-keys";
}

TEST(GatewayDevice, AddedAgainKeepsItsCredentialsAndSucceeds) {
  GatewayFixture fixture;
  const fs::path folder = fixture.add_device("pump-3");
  const auto before = snapshot(folder);
  const Outcome again = run_gateway_program({"device", "add", fixture.dir().string(), "pump-3"});
  EXPECT_EQ(again.status, 0);
  EXPECT_THAT(again.output, StartsWith("exists, nothing changed"));
  EXPECT_EQ(snapshot(folder), before);
  EXPECT_THAT(run_gateway_program({"device", "list", fixture.dir().string()}).output,
              StartsWith("pump-3  valid until"));
}

TEST(GatewayDevice, OfTheGatewaysNameIsRefused) {
  const GatewayFixture fixture;
  const Outcome refused = run_gateway_program({"device", "add", fixture.dir().string(), "gateway"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.log, HasSubstr("\"gateway\" is the name of a part of the gateway"));
}

TEST(GatewayDeviceImage, IsMadeWithTheDeviceInOneCommandAndKeepsWhatABoardRecords) {
  const GatewayFixture fixture;
  const fs::path image = fixture.dir() / "pump.img";
  const std::vector<std::string> command{"device",         "add",          fixture.dir().string(), "pump-3",
                                         "--image",        image.string(), "--image-size",         "4M",
                                         "--board-broker", "10.0.2.2"};
  const Outcome made = run_gateway_program(command);
  ASSERT_EQ(made.status, 0) << made.log;
  EXPECT_THAT(made.output, HasSubstr("made "));
  EXPECT_THAT(made.output, HasSubstr("wrote " + image.string() + ": pump-3 connects to 10.0.2.2:"));
  EXPECT_EQ(fs::file_size(image), 4U << 20U);
  EXPECT_EQ(fs::status(image).permissions(), fs::perms(0600));

  std::fstream(image, std::ios::in | std::ios::out | std::ios::binary).seekp(1'000'000) << "recorded";
  const Outcome again = run_gateway_program({"device", "image", fixture.dir().string(), "pump-3",
                                             image.string(), "--board-broker", "other.example"});
  EXPECT_EQ(again.status, 0) << again.log;
  EXPECT_EQ(read_file(image).substr(1'000'000, 8), "recorded");
  EXPECT_THAT(read_file(image).substr(0, 4096), HasSubstr("other.example"));
}

TEST(GatewayDeviceImage, OfADeviceThatHasNoCredentialsSaysHowToGetThem) {
  const GatewayFixture fixture;
  const fs::path image = fixture.dir() / "pump.img";
  const Outcome refused =
      run_gateway_program({"device", "image", fixture.dir().string(), "pump-9", image.string()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.log, HasSubstr("`godwit-gateway device add` issues them"));
  EXPECT_FALSE(fs::exists(image));
  EXPECT_EQ(run_gateway_program({"device", "add", fixture.dir().string(), "pump-9", "--sntp", "a"}).status, 2)
      << "an option of an image, but no image";
}

TEST(GatewayCommandLine, WrongUseEndsWithStatusTwo) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"inti", "/tmp/x"},
                                                    {"init"},
                                                    {"init", "/tmp/x", "--mqtt-port", "0"},
                                                    {"run"},
                                                    {"device", "add", "/tmp/x"},
                                                    {"device", "add", "/tmp/x", "a", "--count", "2"}}) {
    EXPECT_EQ(run_gateway_program(arguments).status, 2) << testing::PrintToString(arguments);
  }
  EXPECT_EQ(run_gateway_program({"--help"}).status, 0);
  EXPECT_EQ(run_gateway_program({"--version"}).status, 0);
}

TEST(GatewayRun, AnUnknownKeyNamesTheNearestOne) {
  const GatewayFixture fixture;
  std::ofstream(fixture.dir() / "gateway.toml", std::ios::app) << "conections_max = 5\n";
  for (const char* command : {"run", "check"}) {
    const Outcome refused = run_gateway_program({command, fixture.dir().string()});
    EXPECT_EQ(refused.status, 1) << command;
    EXPECT_THAT(refused.log,
                HasSubstr("gateway.toml:11: unknown key \"http.conections_max\"; the nearest key is "
                          "http.connections_max"))
        << command;
  }
}

TEST(GatewayRun, WithAKeyOfAnotherCertificateSaysSo) {
  const GatewayFixture fixture;
  fs::copy_file(fixture.dir() / "http.key", fixture.dir() / "gateway.key",
                fs::copy_options::overwrite_existing);
  const Outcome refused = run_gateway_program({"run", fixture.dir().string()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.log, HasSubstr("gateway.key is not the key of"));
}

TEST(GatewayRun, ASecondOneOnTheSameFolderSaysSoAndLeavesTheFirstAlone) {
  GatewayFixture fixture;
  fixture.start_gateway();
  const Outcome second = run_gateway_program({"run", fixture.dir().string()});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.log,
              HasSubstr("another gateway (process " + std::to_string(fixture.gateway().pid()) + ")"));
  EXPECT_EQ(fixture.get("/healthz").status, 200);
}

TEST(GatewayRun, WithoutABrokerServesAndSaysThatItIsNotReady) {
  GatewayFixture fixture;
  fixture.start_gateway();
  EXPECT_EQ(fixture.get("/healthz").status, 200);
  const HttpsResponse response = fixture.get("/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("not connected"));
  fixture.start_broker();
  EXPECT_THAT(fixture.wait_for_body("/readyz", "connected"), HasSubstr(R"("status":"ready")"));
}

TEST(GatewayRun, EndsCleanlyOnEachStopSignal) {
  GatewayFixture fixture;
  fixture.start_broker();
  for (const int number : {SIGTERM, SIGINT}) {
    fixture.start_gateway();
    fixture.gateway().signal(number);
    EXPECT_EQ(fixture.gateway().wait(kTimeout), 0) << fixture.gateway().log();
    EXPECT_THAT(fixture.gateway().log(), HasSubstr("msg=\"stopped\""));
  }
}

TEST(GatewayRun, OnAPortThatIsTakenSaysSo) {
  GatewayFixture fixture;
  fixture.start_gateway();
  const TempDir parent;
  const std::string other = (parent.path() / "other").string();
  const std::string port = fixture.https().base_url.substr(fixture.https().base_url.rfind(':') + 1);
  ASSERT_EQ(run_gateway_program({"init", other, "--http-port", port}).status, 0);
  const Outcome refused = run_gateway_program({"run", other});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.log, HasSubstr(port));
}

}  // namespace
}  // namespace godwit::test
