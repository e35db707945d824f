// SPDX-License-Identifier: Apache-2.0
#include "gateway/app/devices.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "gateway/app/layout.h"
#include "gateway/pki/files.h"

namespace godwit::app {
namespace {

namespace fs = std::filesystem;
using pki::Access;
using pki::Authority;
using pki::Certificate;
using pki::Key;

struct NamedFile {
  std::string_view name;
  std::string content;
  Access access;
};

[[noreturn]] void fail(const fs::path& path, const char* what) {
  throw pki::Error(path.string() + ": cannot " + what + ": " + std::generic_category().message(errno));
}

// A folder that appears with all its files or not at all. False: there is one of that name with something in
// it.
bool create_folder(const fs::path& folder, std::span<const NamedFile> files) {
  std::string draft = (folder.parent_path() / ("." + folder.filename().string() + ".XXXXXX")).string();
  if (::mkdtemp(draft.data()) == nullptr) fail(folder, "create");
  bool renamed = false;
  try {
    if (::chmod(draft.c_str(), 0755) != 0) fail(folder, "set the mode of");
    for (const NamedFile& file : files) {
      if (!pki::create_file(fs::path(draft) / file.name, file.content, file.access)) fail(folder, "fill");
    }
    // rename() replaces an empty folder only.
    renamed = ::rename(draft.c_str(), folder.c_str()) == 0;
    if (!renamed && errno != ENOTEMPTY && errno != EEXIST) fail(folder, "create");
  } catch (...) {
    fs::remove_all(draft);
    throw;
  }
  if (!renamed) fs::remove_all(draft);
  return renamed;
}

Authority read_authority(const fs::path& dir) {
  const fs::path key_file = dir / (std::string(kAuthority) + ".key");
  const fs::path certificate_file = dir / (std::string(kAuthority) + ".crt");
  if (!fs::exists(certificate_file)) {
    throw pki::Error(certificate_file.string() + " does not exist: is " + dir.string() +
                     " an installation? `godwit-gateway init` makes one");
  }
  Authority authority{Key::read(key_file), Certificate::read(certificate_file)};
  if (!authority.certificate.belongs_to(authority.key)) {
    throw pki::Error(key_file.string() + " is not the key of " + certificate_file.string());
  }
  return authority;
}

class Issuer {
 public:
  Issuer(const IssueOptions& options, pki::Seconds now)
      : options_(options),
        now_(now),
        authority_(read_authority(options.dir)),
        records_(options.dir / kDevices),
        target_(options.out.value_or(records_)) {
    fs::create_directories(records_);
    fs::create_directories(target_);
  }
  ~Issuer() = default;
  Issuer(const Issuer&) = delete;
  Issuer& operator=(const Issuer&) = delete;

  void issue(const DeviceId& device, IssueResult& result) {
    const fs::path record = records_ / device.view() / kDeviceCertificate;
    if (!fs::exists(record)) {
      create(device);
      ++result.made;
    } else if (options_.renew) {
      renew(device, record);
      ++result.renewed;
    } else {
      ++result.kept;
    }
  }

  void sync() const {
    pki::sync_directory(records_);
    if (options_.out) pki::sync_directory(target_);
  }

 private:
  void create(const DeviceId& device) const {
    const Key key = Key::generate();
    const Certificate certificate =
        Certificate::issue(authority_, key, {.common_name = std::string(device.view())}, now_);
    const std::vector<NamedFile> credentials = {
        {kDeviceCertificate, certificate.pem(), Access::kEveryone},
        {kDeviceKey, key.pem(), Access::kOwner},
        {kDeviceAuthority, authority_.certificate.pem(), Access::kEveryone},
    };
    create_or_fail(target_ / device.view(), credentials);
    if (options_.out) create_or_fail(records_ / device.view(), std::span(credentials).first(1));
  }

  static void create_or_fail(const fs::path& folder, std::span<const NamedFile> files) {
    if (!create_folder(folder, files)) {
      throw pki::Error(folder.string() +
                       " is there already, and is not of this installation: move it away first");
    }
  }

  void renew(const DeviceId& device, const fs::path& record) const {
    const Certificate renewed = Certificate::read(record).renewed(authority_, now_);
    if (options_.out) {
      fs::create_directories(target_ / device.view());
      pki::replace_file(target_ / device.view() / kDeviceCertificate, renewed.pem(), Access::kEveryone);
    }
    pki::replace_file(record, renewed.pem(), Access::kEveryone);
  }

  const IssueOptions& options_;
  pki::Seconds now_;
  Authority authority_;
  fs::path records_;
  fs::path target_;
};

}  // namespace

DeviceId parse_device(std::string_view text) {
  const auto device = DeviceId::parse(text);
  if (!device) {
    throw pki::Error(
        "\"" + std::string(text) +
        "\" is not a device name: 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first one a "
        "letter or digit");
  }
  if (is_reserved(text)) {
    throw pki::Error("\"" + std::string(text) +
                     "\" is the name of a part of the gateway; choose another one");
  }
  return *device;
}

std::vector<DeviceId> numbered_devices(std::string_view prefix, unsigned count) {
  const std::size_t width = std::to_string(count).size();
  std::vector<DeviceId> devices;
  devices.reserve(count);
  for (unsigned number = 1; number <= count; ++number) {
    const std::string digits = std::to_string(number);
    devices.push_back(parse_device(std::string(prefix) + std::string(width - digits.size(), '0') + digits));
  }
  return devices;
}

IssueResult issue_devices(std::span<const DeviceId> devices, const IssueOptions& options, pki::Seconds now) {
  Issuer issuer(options, now);
  IssueResult result;
  for (const DeviceId& device : devices) issuer.issue(device, result);
  issuer.sync();
  return result;
}

std::vector<IssuedDevice> list_devices(const fs::path& dir) {
  std::vector<IssuedDevice> devices;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir / kDevices, error)) {
    const std::string id = entry.path().filename().string();
    const fs::path certificate_file = entry.path() / kDeviceCertificate;
    if (!DeviceId::parse(id) || !fs::exists(certificate_file)) continue;
    const Certificate certificate = Certificate::read(certificate_file);
    devices.push_back({id, certificate.serial(), certificate.not_after()});
  }
  if (error) {
    throw pki::Error((dir / kDevices).string() + ": cannot read: " + error.message() +
                     "; `godwit-gateway init` makes an installation");
  }
  std::ranges::sort(devices, {}, &IssuedDevice::id);
  return devices;
}

}  // namespace godwit::app
