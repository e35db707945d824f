// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/init.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <ostream>
#include <system_error>
#include <utility>

#include "gateway/app/layout.h"
#include "gateway/pki/api_key.h"
#include "gateway/pki/files.h"
#include "proto/topics/topics.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;
using pki::Access;
using pki::Authority;
using pki::Certificate;
using pki::Key;

class Report {
 public:
  explicit Report(std::ostream& out) : out_(out) {}
  void made(const fs::path& file) { line("made ", file); }
  void kept(const fs::path& file) { line("kept ", file); }
  void renewed(const fs::path& file) { line("renewed ", file); }
  void note(const std::string& text) { out_ << "  note: " << text << '\n'; }

 private:
  void line(std::string_view what, const fs::path& file) { out_ << "  " << what << file.string() << '\n'; }
  std::ostream& out_;
};

fs::path with_suffix(const fs::path& dir, std::string_view name, std::string_view suffix) {
  return dir / (std::string(name) + std::string(suffix));
}

void ensure_directory(const fs::path& dir, mode_t mode, Report& report) {
  if (::mkdir(dir.c_str(), mode) == 0) {
    pki::sync_directory(fs::absolute(dir).parent_path());
    return report.made(dir);
  }
  const int reason = errno;
  if (!fs::is_directory(dir)) {
    throw pki::Error(dir.string() +
                     ": cannot create this folder: " + std::generic_category().message(reason));
  }
  report.kept(dir);
}

void ensure_file(const fs::path& file, const std::string& content, Access access, Report& report) {
  pki::create_file(file, content, access) ? report.made(file) : report.kept(file);
}

// A certificate without its key is useless, and a new pair in its place would orphan whatever trusts it: ask.
void refuse_lost_key(const fs::path& certificate, const fs::path& key) {
  if (fs::exists(certificate) && !fs::exists(key)) {
    throw pki::Error(certificate.string() + " is there, but its key " + key.string() +
                     " is not. Put the key back, or remove the certificate to have both made anew");
  }
}

Key ensure_key(const fs::path& file, Report& report) {
  if (fs::exists(file)) {
    report.kept(file);
    return Key::read(file);
  }
  Key key = Key::generate();
  if (!pki::create_file(file, key.pem(), Access::kOwner)) {
    throw pki::Error(file.string() + ": somebody else has just made it; run this again");
  }
  report.made(file);
  return key;
}

Authority ensure_authority(const fs::path& dir, pki::Seconds now, Report& report) {
  const fs::path key_file = with_suffix(dir, kAuthority, ".key");
  const fs::path certificate_file = with_suffix(dir, kAuthority, ".crt");
  refuse_lost_key(certificate_file, key_file);
  Key key = ensure_key(key_file, report);
  if (fs::exists(certificate_file)) {
    Certificate certificate = Certificate::read(certificate_file);
    if (!certificate.belongs_to(key)) {
      throw pki::Error(key_file.string() + " is not the key of " + certificate_file.string());
    }
    report.kept(certificate_file);
    return {std::move(key), std::move(certificate)};
  }
  // Part of a random number in the name tells the authorities of several installations apart.
  Certificate certificate =
      Certificate::self_signed(key, "Godwit CA " + pki::make_api_key().substr(4, 8), now);
  ensure_file(certificate_file, certificate.pem(), Access::kEveryone, report);
  return {std::move(key), std::move(certificate)};
}

// Names of `wanted` that `present` lacks.
std::vector<std::string> missing(const std::vector<std::string>& wanted,
                                 const std::vector<std::string>& present) {
  std::vector<std::string> result;
  for (const std::string& host : wanted) {
    if (std::ranges::find(present, host) == present.end()) result.push_back(host);
  }
  return result;
}

struct Leaf {
  std::string_view name;  // of its files and of its subject
  pki::Purpose purpose;
  std::vector<std::string> hosts;
};

void ensure_leaf(const InitOptions& options, const Authority& authority, const Leaf& leaf, pki::Seconds now,
                 Report& report) {
  const fs::path key_file = with_suffix(options.dir, leaf.name, ".key");
  const fs::path certificate_file = with_suffix(options.dir, leaf.name, ".crt");
  refuse_lost_key(certificate_file, key_file);
  const Key key = ensure_key(key_file, report);
  pki::Subject subject{.common_name = std::string(leaf.name), .purpose = leaf.purpose, .hosts = leaf.hosts};
  if (!fs::exists(certificate_file)) {
    const Certificate made = Certificate::issue(authority, key, subject, now);
    return ensure_file(certificate_file, made.pem(), Access::kEveryone, report);
  }

  const Certificate present = Certificate::read(certificate_file);
  if (!present.belongs_to(key)) {
    throw pki::Error(key_file.string() + " is not the key of " + certificate_file.string());
  }
  if (options.renew) {
    const auto kept = missing(present.hosts(), subject.hosts);
    subject.hosts.insert(subject.hosts.end(), kept.begin(), kept.end());
    const Certificate renewed = Certificate::issue(authority, key, subject, now);
    pki::replace_file(certificate_file, renewed.pem(), Access::kEveryone);
    return report.renewed(certificate_file);
  }
  report.kept(certificate_file);
  for (const std::string& host :
       missing(options.hosts, subject.purpose == pki::Purpose::kServer ? present.hosts() : options.hosts)) {
    report.note(certificate_file.string() + " does not name " + host + "; --renew adds it");
  }
}

bool is_wildcard(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

void check_address(const std::string& address) {
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) != 1 &&
      inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) {
    throw pki::Error("\"" + address + "\" is not an IP address to listen on; 0.0.0.0 means all");
  }
}

// What clients may call a server that listens on `address` of this machine.
std::vector<std::string> host_names(const std::string& address, const std::vector<std::string>& more) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  std::array<char, 256> hostname{};
  if (::gethostname(hostname.data(), hostname.size() - 1) == 0 && pki::is_host(hostname.data())) {
    names.emplace_back(hostname.data());
  }
  if (!is_wildcard(address)) names.push_back(address);
  names.insert(names.end(), more.begin(), more.end());
  std::vector<std::string> unique;
  for (const std::string& name : names) {
    if (std::ranges::find(unique, name) == unique.end()) unique.push_back(name);
  }
  return unique;
}

std::string user_name() {
  const passwd* const entry = ::getpwuid(::geteuid());
  return entry == nullptr ? "root" : entry->pw_name;
}

// `text` with each {name} replaced by its value.
std::string fill(std::string text, std::initializer_list<std::pair<std::string_view, std::string>> values) {
  for (const auto& [name, value] : values) {
    const std::string placeholder = "{" + std::string(name) + "}";
    for (auto at = text.find(placeholder); at != std::string::npos;
         at = text.find(placeholder, at + value.size())) {
      text.replace(at, placeholder.size(), value);
    }
  }
  return text;
}

std::string broker_config(const InitOptions& options) {
  constexpr const char* kText =
      R"(# mosquitto 2.0 for Godwit. Made by `godwit-gateway init`, which leaves it alone from now on.
# Start: mosquitto -c {dir}/{config}

# TLS only (1.2 and newer), with certificates of this installation's authority on both sides.
listener {port} {listen}
cafile {dir}/{ca}.crt
certfile {dir}/{broker}.crt
keyfile {dir}/{broker}.key
tls_version tlsv1.2
require_certificate true
allow_anonymous false
# The certificate's common name is the user name, and the client id too: no device can end another's session
# by using its id.
use_identity_as_username true
use_username_as_clientid true
acl_file {dir}/{acl}
# Only used when started by root: mosquitto gives up root's rights before it reads its key, which is readable
# to the account that ran init.
user {user}

# Small messages must not wait for one another (13,000 against 110,000 messages a second).
set_tcp_nodelay true
max_inflight_messages 1000
# Limit to what the broker holds for one client. What is beyond it the devices send again. In bytes: messages that
# the gateway has received count as long as the broker has not read their acknowledgements, and under full load it
# reads those of one client more slowly than the messages of many.
max_queued_messages 1000000
max_queued_bytes 67108864
# Four times what our firmware says at most. The broker reads a packet of a client in one go, and a SUBSCRIBE with
# thousands of filters keeps all others waiting: this bounds how many there are in one.
max_packet_size 16384
persistent_client_expiration 1d
retain_available false
# Nothing that the broker holds needs to outlive it: devices keep what the gateway has not stored.
persistence false

log_dest stderr
log_type error
log_type warning
log_type notice
)";
  return fill(kText, {{"dir", fs::canonical(options.dir).string()},
                      {"config", std::string(kBrokerConfig)},
                      {"port", std::to_string(options.mqtt_port)},
                      {"listen", options.mqtt_listen},
                      {"ca", std::string(kAuthority)},
                      {"broker", std::string(kBroker)},
                      {"acl", std::string(kBrokerAcl)},
                      {"user", user_name()}});
}

std::string broker_acl() {
  constexpr const char* kText =
      R"(# Who may use which topics. %u is the common name of the client's certificate.
# What is not granted here is refused.

user {gateway}
topic read {gateway reads}
topic write {gateway writes}

{device writes}pattern read {device reads}
)";
  std::string device_writes;
  for (const std::string_view pattern : topics::kAclPublishPatterns)
    device_writes.append("pattern write ").append(pattern).append("\n");
  return fill(kText, {{"gateway", std::string(kGateway)},
                      {"gateway reads", std::string(topics::kGatewayFilter)},
                      {"gateway writes", std::string(topics::kRoot) + "+/dn/#"},
                      {"device writes", device_writes},
                      {"device reads", std::string(topics::kAclSubscribePattern)}});
}

std::string gateway_config(const InitOptions& options) {
  constexpr const char* kText =
      R"(# The gateway's configuration. Made by `godwit-gateway init`, which leaves it alone from now on.
# Every key, its range and its default: docs/reference/config.md. Paths are relative to this file.

[mqtt]
host = "{broker}"
port = {mqtt port}

[http]
listen = "{listen}"
port = {http port}
)";
  std::string broker = options.mqtt_listen;
  if (broker == "0.0.0.0") broker = "127.0.0.1";
  if (broker == "::") broker = "::1";
  return fill(kText, {{"broker", broker},
                      {"mqtt port", std::to_string(options.mqtt_port)},
                      {"listen", options.http_listen},
                      {"http port", std::to_string(options.http_port)}});
}

void ensure_api_key(const fs::path& dir, Report& report) {
  const fs::path plain_file = dir / kApiKey;
  const fs::path digests_file = dir / kApiKeys;
  if (fs::exists(digests_file) && !fs::exists(plain_file)) {
    // The operator took the plain key away, as one should; there is nothing to complete.
    return report.kept(digests_file);
  }
  ensure_file(plain_file, pki::make_api_key() + "\n", Access::kOwner, report);
  std::string key = pki::read_file(plain_file);
  key.erase(key.find_last_not_of(" \t\r\n") + 1);
  ensure_file(digests_file,
              "# name role sha256-of-the-key; make one: printf %s KEY | sha256sum\n"
              "default admin " +
                  pki::sha256_hex(key) + "\n",
              Access::kOwner, report);
}

}  // namespace

void init(const InitOptions& options, pki::Seconds now, std::ostream& out) {
  check_address(options.mqtt_listen);
  check_address(options.http_listen);
  for (const std::string& host : options.hosts) {
    if (!pki::is_host(host)) throw pki::Error("\"" + host + "\" is neither a host name nor an IP address");
  }

  Report report(out);
  const fs::path& dir = options.dir;
  ensure_directory(dir, 0755, report);
  const Authority authority = ensure_authority(dir, now, report);
  for (const Leaf& leaf :
       {Leaf{kBroker, pki::Purpose::kServer, host_names(options.mqtt_listen, options.hosts)},
        Leaf{kHttp, pki::Purpose::kServer, host_names(options.http_listen, options.hosts)},
        Leaf{kGateway, pki::Purpose::kClient, {}}}) {
    ensure_leaf(options, authority, leaf, now, report);
  }
  // Newer versions of mosquitto refuse an ACL that others may read.
  ensure_file(dir / kBrokerAcl, broker_acl(), Access::kOwner, report);
  ensure_file(dir / kBrokerConfig, broker_config(options), Access::kEveryone, report);
  ensure_file(dir / kConfig, gateway_config(options), Access::kEveryone, report);
  ensure_api_key(dir, report);
  ensure_directory(dir / kData, 0700, report);
  ensure_directory(dir / kDevices, 0755, report);
  if (::geteuid() == 0) {
    report.note("run as root, so the broker will run as root too; an account of its own is safer");
  }
  out << "Broker:  mosquitto -c " << (dir / kBrokerConfig).string() << "\nGateway: godwit-gateway run "
      << dir.string() << "\nAPI key: " << (dir / kApiKey).string() << '\n';
}

}  // namespace godwit::app
