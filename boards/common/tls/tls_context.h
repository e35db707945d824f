// SPDX-License-Identifier: Apache-2.0
// What TLS clients share: the randomness and time of the process, and parsed certificates. Parse once, hand
// to any number of clients. Allocates with mbedTLS's allocator; one thread only, as mbedTLS is built without
// locks.
#pragma once

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include <cstdint>

#include "firmware/ports/entropy.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"

namespace godwit::boards {

// mbedTLS keeps its hooks for time and randomness in globals, so there is at most one context at a time.
class TlsContext {
 public:
  struct Options {
    ports::Entropy& entropy;  // must outlive the context
    // Milliseconds since 1970. Negative: not known.
    std::int64_t (*unix_time_ms)();
    // Stands for the time while it is not known: certainly it is later than this, for example because the
    // device was provisioned then.
    std::int64_t earliest_unix_ms = 0;
    // A handshake lets go of the processor after each of its steps, and with TLS 1.2 also after about this
    // many multiplications in a step (see TlsClient::computing()). 0: never, as for a process among others.
    std::uint32_t public_key_steps_max = 0;
  };

  explicit TlsContext(const Options& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Call once, before clients are made. kIo: the entropy source failed. kFull: out of memory.
  Status start();

  // For mbedTLS: fills `out`; 0 or one of its error codes. `context` is a TlsContext.
  static int random(void* context, unsigned char* out, std::size_t size);
  [[nodiscard]] bool time_known() const { return options_.unix_time_ms() >= 0; }
  [[nodiscard]] bool takes_turns() const { return options_.public_key_steps_max != 0; }
  // What the dates of certificates are held against: the time, and the earliest as long as it is not known.
  // What had expired by then is refused; that a certificate is not valid yet counts only when the time is
  // known. Whether a clock is to be believed is for who sets it to say.
  [[nodiscard]] std::int64_t time_for_certificates_ms() const {
    const std::int64_t now = options_.unix_time_ms();
    return now >= 0 ? now : options_.earliest_unix_ms;
  }

 private:
  Options options_;
  mbedtls_ctr_drbg_context drbg_;
};

// Certificates and keys are DER, or PEM whose terminating zero byte is part of the span (as mbedTLS wants
// it).

// The authorities that a server certificate must come from.
class TrustAnchors {
 public:
  TrustAnchors();
  ~TrustAnchors();
  TrustAnchors(const TrustAnchors&) = delete;
  TrustAnchors& operator=(const TrustAnchors&) = delete;

  // Copied. kMalformed: not a certificate, or of a kind that this build does not know. kFull: out of memory.
  Status add(Bytes certificates);

  [[nodiscard]] const mbedtls_x509_crt& chain() const { return chain_; }

 private:
  mbedtls_x509_crt chain_;
};

// Who a client is: its certificate (with intermediates, if any) and private key.
class ClientIdentity {
 public:
  ClientIdentity();
  ~ClientIdentity();
  ClientIdentity(const ClientIdentity&) = delete;
  ClientIdentity& operator=(const ClientIdentity&) = delete;

  // Copied; call once, on a started context. kMalformed: certificate or key cannot be read. kInvalidArgument:
  // the key does not belong to the certificate. kFull: out of memory.
  Status load(TlsContext& context, Bytes certificate, Bytes key);

  [[nodiscard]] const mbedtls_x509_crt& chain() const { return chain_; }
  [[nodiscard]] const mbedtls_pk_context& key() const { return key_; }

 private:
  mbedtls_x509_crt chain_;
  mbedtls_pk_context key_;
};

}  // namespace godwit::boards
