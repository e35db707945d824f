// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <sstream>
#include <variant>

#include "gateway/pki/certificate.h"
#include "gateway/pki/files.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;

struct Text {
  std::string Config::* member;
};
struct Path {
  fs::path Config::* member;
};
struct Integer {
  std::int64_t Config::* member;
  std::int64_t min;
  std::int64_t max;
};
struct Level {
  gateway::LogLevel Config::* member;
};
struct Key {
  std::string_view name;
  std::variant<Text, Path, Integer, Level> value;
};

constexpr std::array kKeys{
    Key{"mqtt.host", Text{&Config::mqtt_host}},
    Key{"mqtt.port", Integer{&Config::mqtt_port, 1, 65535}},
    Key{"mqtt.ca", Path{&Config::mqtt_ca}},
    Key{"mqtt.certificate", Path{&Config::mqtt_certificate}},
    Key{"mqtt.key", Path{&Config::mqtt_key}},
    Key{"mqtt.keep_alive_s", Integer{&Config::mqtt_keep_alive_s, 5, 3600}},
    Key{"mqtt.receive_max", Integer{&Config::mqtt_receive_max, 1, 65535}},
    Key{"http.listen", Text{&Config::http_listen}},
    Key{"http.port", Integer{&Config::http_port, 0, 65535}},
    Key{"http.certificate", Path{&Config::http_certificate}},
    Key{"http.key", Path{&Config::http_key}},
    Key{"http.api_keys", Path{&Config::http_api_keys}},
    Key{"http.connections_max", Integer{&Config::http_connections_max, 1, 100'000}},
    Key{"http.connections_per_address_max", Integer{&Config::http_connections_per_address_max, 1, 100'000}},
    Key{"http.subscribers_max", Integer{&Config::http_subscribers_max, 1, 100'000}},
    Key{"http.requests_per_second", Integer{&Config::http_requests_per_second, 1, 1'000'000}},
    Key{"store.directory", Path{&Config::store_directory}},
    Key{"store.gather_ms", Integer{&Config::store_gather_ms, 0, 1000}},
    Key{"store.devices_max", Integer{&Config::store_devices_max, 1, 10'000'000}},
    Key{"store.device_megabytes_per_day", Integer{&Config::store_device_megabytes_per_day, 1, 1'000'000}},
    Key{"store.disk_reserve_percent", Integer{&Config::store_disk_reserve_percent, 0, 50}},
    Key{"log.level", Level{&Config::log_level}},
};

struct LevelName {
  std::string_view name;
  gateway::LogLevel level;
};
constexpr std::array kLevels{
    LevelName{"debug", gateway::LogLevel::kDebug}, LevelName{"info", gateway::LogLevel::kInfo},
    LevelName{"warning", gateway::LogLevel::kWarning}, LevelName{"error", gateway::LogLevel::kError}};

// The number of characters to insert, delete or replace to make one text the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row.back();
}

std::string_view nearest_key(std::string_view name) {
  return std::ranges::min_element(kKeys, {}, [&](const Key& key) { return distance(name, key.name); })->name;
}

bool is_section(std::string_view name) {
  return std::ranges::any_of(kKeys,
                             [&](const Key& key) { return key.name.substr(0, key.name.find('.')) == name; });
}

class Parser {
 public:
  explicit Parser(const fs::path& file) : file_(file) {}

  Config parse(std::string_view text) {
    try {
      read_sections(toml::parse(text));
    } catch (const toml::parse_error& error) {
      problem(error.source(), "not valid TOML: " + std::string(error.description()));
    }
    if (!problems_.empty()) throw ConfigError(problems_);
    resolve_paths();
    return config_;
  }

 private:
  void read_sections(const toml::table& root) {
    for (const auto& [section, node] : root) {
      const toml::table* const table = node.as_table();
      if (table == nullptr) {
        unknown(section.source(), std::string(section.str()), "key");
      } else if (!is_section(section.str())) {
        unknown(section.source(), std::string(section.str()), "section");
      } else {
        for (const auto& [key, value] : *table) {
          read_key(std::string(section.str()) + "." + std::string(key.str()), key.source(), value);
        }
      }
    }
  }

  void read_key(const std::string& name, const toml::source_region& where, const toml::node& value) {
    const auto* const key = std::ranges::find(kKeys, std::string_view(name), &Key::name);
    if (key == kKeys.end()) return unknown(where, name, "key");
    const std::string allowed = std::visit([&](const auto& kind) { return assign(kind, value); }, key->value);
    if (!allowed.empty()) problem(where, name + " must be " + allowed + ", not " + shown(value));
  }

  // Each returns what is allowed if `value` is not.
  std::string assign(const Text& kind, const toml::node& value) {
    const auto text = value.value_exact<std::string>();
    if (!text || text->empty()) return "a text that is not empty";
    config_.*kind.member = *text;
    return {};
  }
  std::string assign(const Path& kind, const toml::node& value) {
    const auto text = value.value_exact<std::string>();
    if (!text || text->empty()) return "a path";
    config_.*kind.member = *text;
    return {};
  }
  std::string assign(const Integer& kind, const toml::node& value) {
    const auto number = value.value_exact<std::int64_t>();
    if (!number || *number < kind.min || *number > kind.max) {
      return "an integer from " + std::to_string(kind.min) + " to " + std::to_string(kind.max);
    }
    config_.*kind.member = *number;
    return {};
  }
  std::string assign(const Level& kind, const toml::node& value) {
    const auto text = value.value_exact<std::string>();
    const auto* const level = std::ranges::find(kLevels, text.value_or(""), &LevelName::name);
    if (level == kLevels.end()) return R"(one of "debug", "info", "warning" and "error")";
    config_.*kind.member = level->level;
    return {};
  }

  static std::string shown(const toml::node& value) {
    std::ostringstream text;
    value.visit([&](const auto& node) { text << node; });
    return text.str();
  }

  void unknown(const toml::source_region& where, const std::string& name, std::string_view what) {
    problem(where, "unknown " + std::string(what) + " \"" + name + "\"; the nearest key is " +
                       std::string(nearest_key(name)));
  }

  void problem(const toml::source_region& where, const std::string& text) {
    if (!problems_.empty()) problems_ += '\n';
    problems_ += file_.string() + ":" + std::to_string(where.begin.line) + ": " + text;
  }

  void resolve_paths() {
    for (const Key& key : kKeys) {
      if (const auto* const path = std::get_if<Path>(&key.value)) {
        // An absolute path stays what it is.
        config_.*path->member = file_.parent_path() / config_.*path->member;
      }
    }
  }

  const fs::path& file_;
  Config config_;
  std::string problems_;
};

}  // namespace

Config parse_config(std::string_view text, const fs::path& file) { return Parser(file).parse(text); }

Config read_config(const fs::path& file) {
  try {
    return parse_config(pki::read_file(file), file);
  } catch (const pki::Error& error) {
    throw ConfigError(std::string(error.what()) + "; `godwit-gateway init` makes an installation with one");
  }
}

std::vector<std::string_view> config_keys() {
  std::vector<std::string_view> names;
  std::ranges::transform(kKeys, std::back_inserter(names), &Key::name);
  return names;
}

}  // namespace godwit::app
