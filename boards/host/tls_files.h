// SPDX-License-Identifier: Apache-2.0
// What a command-line program needs for TLS, from the files that its user names.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "boards/common/tls/tls_context.h"
#include "boards/host/host_entropy.h"

namespace godwit::boards {

class TlsFiles {
 public:
  struct Paths {
    std::string ca;
    std::string certificate;  // with key: both or neither
    std::string key;
  };
  // The error is a sentence that names the file.
  static std::expected<std::unique_ptr<TlsFiles>, std::string> load(const Paths& paths);

  [[nodiscard]] TlsContext& context() { return context_; }
  [[nodiscard]] const TrustAnchors& trust() const { return trust_; }
  // Null: anonymous.
  [[nodiscard]] const ClientIdentity* identity() const { return has_identity_ ? &identity_ : nullptr; }

 private:
  TlsFiles();
  std::expected<void, std::string> load_trust(const std::string& ca);
  std::expected<void, std::string> load_identity(const Paths& paths);

  HostEntropy entropy_;
  TlsContext context_;
  TrustAnchors trust_;
  ClientIdentity identity_;
  bool has_identity_ = false;
};

}  // namespace godwit::boards
