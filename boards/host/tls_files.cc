// SPDX-License-Identifier: Apache-2.0
#include "boards/host/tls_files.h"

#include "boards/host/files.h"
#include "boards/host/host_clock.h"

namespace godwit::boards {

TlsFiles::TlsFiles() : context_({.entropy = entropy_, .unix_time_ms = &host_unix_time_ms}) {}

std::expected<std::unique_ptr<TlsFiles>, std::string> TlsFiles::load(const Paths& paths) {
  std::unique_ptr<TlsFiles> files(new TlsFiles);
  if (files->context_.start() != Status::kOk) return std::unexpected("no randomness from the kernel");
  if (const auto trust = files->load_trust(paths.ca); !trust) return std::unexpected(trust.error());
  if (paths.certificate.empty() != paths.key.empty()) {
    return std::unexpected("a client certificate needs its key, and a key its certificate");
  }
  if (!paths.certificate.empty()) {
    if (const auto identity = files->load_identity(paths); !identity)
      return std::unexpected(identity.error());
  }
  return files;
}

std::expected<void, std::string> TlsFiles::load_trust(const std::string& ca) {
  const auto text = read_text_file(ca);
  if (!text) return std::unexpected(text.error());
  if (trust_.add(pem_bytes(*text)) != Status::kOk)
    return std::unexpected(ca + " holds no certificate in PEM");
  return {};
}

std::expected<void, std::string> TlsFiles::load_identity(const Paths& paths) {
  const auto certificate = read_text_file(paths.certificate);
  if (!certificate) return std::unexpected(certificate.error());
  const auto key = read_text_file(paths.key);
  if (!key) return std::unexpected(key.error());
  const Status status = identity_.load(context_, pem_bytes(*certificate), pem_bytes(*key));
  if (status == Status::kInvalidArgument) {
    return std::unexpected("the key in " + paths.key + " does not belong to the certificate in " +
                           paths.certificate);
  }
  if (status != Status::kOk) {
    return std::unexpected("no certificate in " + paths.certificate + " or no unencrypted key in " +
                           paths.key);
  }
  has_identity_ = true;
  return {};
}

}  // namespace godwit::boards
