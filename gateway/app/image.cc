// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ostream>
#include <ranges>
#include <system_error>
#include <vector>

#include "gateway/app/config.h"
#include "gateway/app/layout.h"
#include "gateway/pki/files.h"
#include "proto/base/bytes.h"
#include "proto/codec/provisioning.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;
using codec::kProvisioningBlockSize;
using pki::Certificate;
using pki::Key;

constexpr std::uint16_t kSntpPort = 123;

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
};

// What a board can look up or expect.
bool is_name(const std::string& text) {
  return pki::is_host(text) && !text.starts_with('*') && text.size() <= codec::kHostSizeMax;
}

// "HOST" or "HOST:PORT".
Endpoint parse_endpoint(const std::string& text, std::uint16_t default_port) {
  const auto colon = text.find(':');
  Endpoint endpoint{text.substr(0, colon), default_port};
  bool valid = is_name(endpoint.host);
  if (colon != std::string::npos) {
    const char* const first = text.data() + colon + 1;
    const char* const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(first, last, endpoint.port);
    valid = valid && error == std::errc{} && end == last && endpoint.port != 0;
  }
  if (!valid) {
    throw pki::Error("\"" + text + "\" is not HOST or HOST:PORT, with a host name of at most " +
                     std::to_string(codec::kHostSizeMax) + " characters or an IPv4 address");
  }
  return endpoint;
}

std::uint16_t broker_port(const fs::path& dir) {
  const fs::path file = dir / kConfig;
  return static_cast<std::uint16_t>(fs::exists(file) ? read_config(file).mqtt_port : Config{}.mqtt_port);
}

// The names in the certificate of the installation's broker; none if there is no such certificate here.
std::vector<std::string> broker_names(const fs::path& dir) {
  const fs::path file = dir / (std::string(kBroker) + ".crt");
  return fs::exists(file) ? Certificate::read(file).hosts() : std::vector<std::string>{};
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

struct Broker {
  Endpoint address;
  std::string server_name;
};

Broker find_broker(const fs::path& dir, const ImageOptions& options) {
  const auto names = broker_names(dir);
  std::string address = options.broker;
  if (address.empty()) {
    const auto last_first = names | std::views::reverse;
    const auto found = std::ranges::find_if_not(last_first, is_loopback);
    if (found == last_first.end()) {
      throw pki::Error(dir.string() +
                       ": its broker's certificate does not say how a board can reach it; "
                       "--board-broker does");
    }
    address = *found;
  }
  Broker broker{parse_endpoint(address, broker_port(dir)), options.server_name};
  if (!broker.server_name.empty()) {
    if (is_name(broker.server_name)) return broker;
    throw pki::Error("\"" + broker.server_name +
                     "\" is not a server name: a host name or an address, of at most " +
                     std::to_string(codec::kHostSizeMax) + " characters");
  }
  if (names.empty()) {
    throw pki::Error(dir.string() + ": no broker's certificate here; --server-name says what is in it");
  }
  const bool named = std::ranges::find(names, broker.address.host) != names.end();
  broker.server_name = named ? broker.address.host : names.front();
  return broker;
}

struct Credentials {
  std::vector<std::uint8_t> ca;
  std::vector<std::uint8_t> certificate;
  std::vector<std::uint8_t> key;
};

Credentials read_credentials(const fs::path& folder, const DeviceId& device) {
  const fs::path certificate_file = folder / kDeviceCertificate;
  const fs::path key_file = folder / kDeviceKey;
  if (!fs::exists(certificate_file) || !fs::exists(key_file)) {
    throw pki::Error(folder.string() +
                     " does not hold a device's certificate and key; `godwit-gateway device add` "
                     "issues them");
  }
  const auto certificate = Certificate::read(certificate_file);
  const auto key = Key::read(key_file);
  if (!certificate.belongs_to(key)) {
    throw pki::Error(key_file.string() + " is not the key of " + certificate_file.string());
  }
  if (certificate.common_name() != device.view()) {
    throw pki::Error(certificate_file.string() + " is the certificate of \"" + certificate.common_name() +
                     "\", not of \"" + std::string(device.view()) + "\"");
  }
  return {Certificate::read(folder / kDeviceAuthority).der(), certificate.der(), key.der()};
}

std::string encode_block(const codec::Provisioning& provisioning) {
  if (provisioning.ca.size() > codec::kCertificateSizeMax ||
      provisioning.certificate.size() > codec::kCertificateSizeMax ||
      provisioning.key.size() > codec::kKeySizeMax) {
    throw pki::Error("boards take certificates of at most " + std::to_string(codec::kCertificateSizeMax) +
                     " bytes and keys of at most " + std::to_string(codec::kKeySizeMax) +
                     ": ECDSA P-256, as `godwit-gateway device add` issues");
  }
  std::string block(kProvisioningBlockSize, '\xFF');
  const MutableBytes out(reinterpret_cast<std::uint8_t*>(block.data()), block.size());
  if (codec::check(provisioning) != Status::kOk || !codec::encode(provisioning, out)) {
    throw pki::Error("a name, address or number for the board is out of its range");
  }
  return block;
}

[[noreturn]] void fail(const fs::path& file, const char* what) {
  throw pki::Error(file.string() + ": cannot " + what + ": " + std::generic_category().message(errno));
}

// An open file or block device.
class Storage {
 public:
  explicit Storage(const fs::path& file) : file_(file), fd_(::open(file.c_str(), O_RDWR | O_CLOEXEC)) {
    if (fd_ < 0) fail(file, "open");
  }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage() { ::close(fd_); }

  [[nodiscard]] std::uint64_t size() const {
    const off_t end = ::lseek(fd_, 0, SEEK_END);  // unlike stat(), it knows the size of a card
    if (end < 0) fail(file_, "find the size of");
    return static_cast<std::uint64_t>(end);
  }
  [[nodiscard]] std::vector<std::uint8_t> read_block() const {
    std::vector<std::uint8_t> block(kProvisioningBlockSize);
    for (std::size_t done = 0; done < block.size();) {
      const ssize_t size = ::pread(fd_, block.data() + done, block.size() - done, static_cast<off_t>(done));
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) fail(file_, "read");
      done += static_cast<std::size_t>(size);
    }
    return block;
  }
  void write_block(std::string_view block) const {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) fail(file_, "look at");
    if (S_ISREG(status.st_mode) && ::fchmod(fd_, static_cast<mode_t>(pki::Access::kOwner)) != 0) {
      fail(file_, "set the mode of");
    }
    for (std::size_t done = 0; done < block.size();) {
      const ssize_t size = ::pwrite(fd_, block.data() + done, block.size() - done, static_cast<off_t>(done));
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) fail(file_, "write");
      done += static_cast<std::size_t>(size);
    }
    if (::fsync(fd_) != 0) fail(file_, "sync");
  }

 private:
  const fs::path& file_;
  int fd_;
};

// Throws unless a block for `device` may take the place of what is there.
void check_present(const fs::path& file, const std::vector<std::uint8_t>& present, const DeviceId& device) {
  const auto held = codec::decode_provisioning(present);
  if (held && held->device != device.view()) {
    throw pki::Error(file.string() + " is of device \"" + std::string(held->device) +
                     "\"; what it has recorded would be taken for that of \"" + std::string(device.view()) +
                     "\". Use another file");
  }
  // All of it, for much begins like a blank block: a disk's first sector without boot code, say.
  const bool blank = std::ranges::all_of(present, [](std::uint8_t byte) { return byte == 0xFF; }) ||
                     std::ranges::all_of(present, [](std::uint8_t byte) { return byte == 0; });
  if (!blank && !as_text(present).starts_with(codec::kProvisioningMagic)) {
    throw pki::Error(file.string() + " holds something else than a board's storage; it was left alone");
  }
}

void write_file(const ImageOptions& options, const std::string& block, const DeviceId& device) {
  const fs::path& file = options.file;
  const std::uint64_t size_new = options.size.value_or(block.size());
  if (size_new < block.size()) {
    throw pki::Error("an image has at least " + std::to_string(block.size()) + " bytes");
  }
  if (!fs::exists(file)) {
    std::string content = block;
    content.resize(size_new, '\xFF');
    if (pki::create_file(file, content, pki::Access::kOwner)) return;
  }
  const Storage storage(file);
  const std::uint64_t size = storage.size();
  if (size < block.size()) {
    throw pki::Error(file.string() + " has " + std::to_string(size) +
                     " bytes; a board's storage has at least " + std::to_string(block.size()));
  }
  if (options.size && size != *options.size) {
    throw pki::Error(file.string() + " is there already, with " + std::to_string(size) +
                     " bytes; without --image-size its size stays");
  }
  check_present(file, storage.read_block(), device);
  storage.write_block(block);
}

}  // namespace

void write_image(const fs::path& dir, const DeviceId& device, const fs::path& credentials,
                 const ImageOptions& options, pki::Seconds now, std::ostream& out) {
  const Broker broker = find_broker(dir, options);
  const Endpoint sntp = options.sntp.empty() ? Endpoint{} : parse_endpoint(options.sntp, kSntpPort);
  const Credentials secrets = read_credentials(credentials, device);
  const codec::Provisioning provisioning{
      .device = device.view(),
      .broker_host = broker.address.host,
      .broker_port = broker.address.port,
      .server_name = broker.server_name,
      .ca = secrets.ca,
      .certificate = secrets.certificate,
      .key = secrets.key,
      .sntp_host = sntp.host,
      .sntp_port = sntp.port,
      .issued = {std::chrono::milliseconds(now.time_since_epoch()).count()},
      .sample_period = Millis{options.sample_period_ms},
      .rows_per_record = options.rows_per_record};
  write_file(options, encode_block(provisioning), device);
  out << "wrote " << options.file.string() << ": " << device.view() << " connects to " << broker.address.host
      << ':' << broker.address.port << ", certificate of " << broker.server_name << ", ";
  if (sntp.host.empty()) {
    out << "no time server\n";
  } else {
    out << "time from " << sntp.host << ':' << sntp.port << '\n';
  }
}

}  // namespace godwit::app
