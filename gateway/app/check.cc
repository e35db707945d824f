// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/check.h"

#include <filesystem>

#include "gateway/http/api_keys.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::days kExpiryWarning{30};

void check_validity(const fs::path& file, const pki::Certificate& certificate, pki::Seconds now,
                    std::vector<std::string>& warnings) {
  const std::string renewal = "; `godwit-gateway init --renew` gives it new dates";
  if (now < certificate.not_before()) {
    warnings.push_back(file.string() + " is not valid yet: is this machine's clock right?");
  } else if (now > certificate.not_after()) {
    warnings.push_back(file.string() + " has expired" + renewal);
  } else if (now + kExpiryWarning > certificate.not_after()) {
    const auto left = std::chrono::duration_cast<std::chrono::days>(certificate.not_after() - now);
    warnings.push_back(file.string() + " expires in " + std::to_string(left.count()) + " days" + renewal);
  }
}

void check_pair(const fs::path& certificate_file, const fs::path& key_file, pki::Seconds now,
                std::vector<std::string>& warnings) {
  const pki::Certificate certificate = pki::Certificate::read(certificate_file);
  if (!certificate.belongs_to(pki::Key::read(key_file))) {
    throw pki::Error(key_file.string() + " is not the key of " + certificate_file.string());
  }
  check_validity(certificate_file, certificate, now, warnings);
  constexpr auto kOthers = fs::perms::group_all | fs::perms::others_all;
  if ((fs::status(key_file).permissions() & kOthers) != fs::perms::none) {
    warnings.push_back(key_file.string() + " can be read by others than its owner: chmod 600");
  }
}

}  // namespace

std::vector<std::string> check(const Config& config, pki::Seconds now) {
  std::vector<std::string> warnings;
  check_validity(config.mqtt_ca, pki::Certificate::read(config.mqtt_ca), now, warnings);
  check_pair(config.mqtt_certificate, config.mqtt_key, now, warnings);
  check_pair(config.http_certificate, config.http_key, now, warnings);
  if (http::ApiKeys::load(config.http_api_keys).count() == 0) {
    warnings.push_back(config.http_api_keys.string() + " has no key: nobody can use the REST API");
  }
  if (!fs::is_directory(config.store_directory)) {
    throw pki::Error(config.store_directory.string() + ": the database's folder does not exist");
  }
  return warnings;
}

}  // namespace godwit::app
