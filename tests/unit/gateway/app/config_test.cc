// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace godwit::app {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view text) {
  try {
    (void)parse_config(text, "/etc/godwit/gateway.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Config, OfAnEmptyFileHasTheDefaultsWithPathsBesideTheFile) {
  const Config config = parse_config("", "/etc/godwit/gateway.toml");
  EXPECT_EQ(config.mqtt_port, 8883);
  EXPECT_EQ(config.http_listen, "127.0.0.1");
  EXPECT_EQ(config.mqtt_ca, "/etc/godwit/ca.crt");
  EXPECT_EQ(config.store_directory, "/etc/godwit/data");
}

TEST(Config, TakesEveryKind) {
  const Config config = parse_config(R"(
[mqtt]
host = "broker.example.org"
port = 1
ca = "/etc/ssl/ca.pem"
[http]
port = 0
api_keys = "keys/api"
[log]
level = "error"
)",
                                     "/etc/godwit/gateway.toml");
  EXPECT_EQ(config.mqtt_host, "broker.example.org");
  EXPECT_EQ(config.mqtt_port, 1);
  EXPECT_EQ(config.mqtt_ca, "/etc/ssl/ca.pem") << "an absolute path stays";
  EXPECT_EQ(config.http_port, 0);
  EXPECT_EQ(config.http_api_keys, "/etc/godwit/keys/api");
  EXPECT_EQ(config.log_level, gateway::LogLevel::kError);
}

TEST(Config, ErrorNamesFileLineAndWhatIsAllowed) {
  struct Case {
    const char* name;
    const char* text;
    const char* error;
  };
  const Case cases[] = {
      {"unknown key", "\n[mqtt]\nprot = 1", ":3: unknown key \"mqtt.prot\"; the nearest key is mqtt.port"},
      {"key of another section", "[http]\nhost = \"x\"",
       ":2: unknown key \"http.host\"; the nearest key is "},
      {"unknown section", "[mqqt]\nport = 1", ":1: unknown section \"mqqt\"; the nearest key is mqtt."},
      {"key outside of sections", "port = 1", ":1: unknown key \"port\"; the nearest key is "},
      {"section as a value", "mqtt = 1", ":1: unknown key \"mqtt\"; the nearest key is "},
      {"table too deep", "[mqtt.port]\nx = 1", ": mqtt.port must be an integer from 1 to 65535, not "},
      {"too small", "[mqtt]\nport = 0", ":2: mqtt.port must be an integer from 1 to 65535, not 0"},
      {"too large", "[http]\nport = 65536", ":2: http.port must be an integer from 0 to 65535, not 65536"},
      {"a text for a number", "[mqtt]\nport = \"1\"",
       ":2: mqtt.port must be an integer from 1 to 65535, not "},
      {"a fraction for a number", "[mqtt]\nport = 1.5",
       ":2: mqtt.port must be an integer from 1 to 65535, not 1.5"},
      {"a number for a text", "[mqtt]\nhost = 1", ":2: mqtt.host must be a text that is not empty, not 1"},
      {"an empty text", "[mqtt]\nhost = \"\"", ":2: mqtt.host must be a text that is not empty, not "},
      {"an empty path", "[mqtt]\nkey = \"\"", ":2: mqtt.key must be a path, not "},
      {"no level", "[log]\nlevel = \"loud\"",
       "must be one of \"debug\", \"info\", \"warning\" and \"error\", not "},
      {"an array", "[log]\nlevel = [1]", ":2: log.level must be one of "},
      {"not TOML", "\n\n[mqtt", ":3: not valid TOML: "},
      {"the same key twice", "[mqtt]\nport = 1\nport = 2", ":3: not valid TOML: "},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(error_of(c.text),
                HasSubstr(std::string("/etc/godwit/gateway.toml") + (c.error[0] == ':' ? "" : ":")))
        << c.name;
    EXPECT_THAT(error_of(c.text), HasSubstr(c.error)) << c.name;
  }
}

TEST(Config, AllErrorsAreSaidAtOnce) {
  const std::string error = error_of("[mqtt]\nport = 0\nhots = \"x\"\n[log]\nlevel = 7\n");
  EXPECT_THAT(error, HasSubstr("gateway.toml:2: mqtt.port"));
  EXPECT_THAT(error, HasSubstr("gateway.toml:3: unknown key \"mqtt.hots\"; the nearest key is mqtt.host"));
  EXPECT_THAT(error, HasSubstr("gateway.toml:5: log.level"));
}

TEST(Config, AFileThatIsNotThereSaysHowToGetOne) {
  EXPECT_THROW(
      {
        try {
          (void)read_config("/nonexistent/gateway.toml");
        } catch (const ConfigError& error) {
          EXPECT_THAT(error.what(), HasSubstr("/nonexistent/gateway.toml: cannot open"));
          EXPECT_THAT(error.what(), HasSubstr("godwit-gateway init"));
          throw;
        }
      },
      ConfigError);
}

TEST(Config, EveryKeyIsInTheReference) {
  std::ifstream file(GODWIT_CONFIG_REFERENCE);
  std::stringstream reference;
  reference << file.rdbuf();
  for (const std::string_view key : config_keys()) {
    EXPECT_THAT(reference.str(), HasSubstr("| `" + std::string(key) + "` |"));
  }
}

}  // namespace
}  // namespace godwit::app
