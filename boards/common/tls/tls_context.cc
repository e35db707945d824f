// SPDX-License-Identifier: Apache-2.0
#include "boards/common/tls/tls_context.h"

#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <psa/crypto.h>

#include <chrono>
#include <ctime>

#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

// mbedTLS's time hooks have no argument to carry a context in.
TlsContext* g_context = nullptr;
std::int64_t (*g_unix_time_ms)() = nullptr;

mbedtls_time_t unix_time_s(mbedtls_time_t* out) {
  const std::int64_t ms = g_unix_time_ms != nullptr ? g_unix_time_ms() : 0;
  const auto seconds = static_cast<mbedtls_time_t>(ms < 0 ? 0 : ms / 1000);
  if (out != nullptr) *out = seconds;
  return seconds;
}

int entropy_bytes(void* entropy, unsigned char* out, std::size_t size) {
  const Status status = static_cast<ports::Entropy*>(entropy)->fill({out, size});
  return status == Status::kOk ? 0 : MBEDTLS_ERR_CTR_DRBG_ENTROPY_SOURCE_FAILED;
}

}  // namespace

TlsContext::TlsContext(const Options& options)
    : entropy_(options.entropy), unix_time_ms_(options.unix_time_ms), drbg_{} {
  GODWIT_ASSERT(g_context == nullptr);
  g_context = this;
  g_unix_time_ms = unix_time_ms_;
  mbedtls_ctr_drbg_init(&drbg_);
}

TlsContext::~TlsContext() {
  mbedtls_psa_crypto_free();
  mbedtls_ctr_drbg_free(&drbg_);
  g_context = nullptr;
  g_unix_time_ms = nullptr;
}

Status TlsContext::start() {
  if (mbedtls_platform_set_time(&unix_time_s) != 0) return Status::kIo;
  if (mbedtls_ctr_drbg_seed(&drbg_, &entropy_bytes, &entropy_, nullptr, 0) != 0) return Status::kIo;
  return psa_crypto_init() == PSA_SUCCESS ? Status::kOk : Status::kFull;
}

int TlsContext::random(void* context, unsigned char* out, std::size_t size) {
  auto& self = *static_cast<TlsContext*>(context);
  while (size > 0) {  // more than this at once is an error to the generator
    const std::size_t step = size < MBEDTLS_CTR_DRBG_MAX_REQUEST ? size : MBEDTLS_CTR_DRBG_MAX_REQUEST;
    const int result = mbedtls_ctr_drbg_random(&self.drbg_, out, step);
    if (result != 0) return result;
    out += step;
    size -= step;
  }
  return 0;
}

TrustAnchors::TrustAnchors() : chain_{} { mbedtls_x509_crt_init(&chain_); }
TrustAnchors::~TrustAnchors() { mbedtls_x509_crt_free(&chain_); }

Status TrustAnchors::add(Bytes certificates) {
  // A positive result counts certificates of a bundle that could not be read: not what somebody meant to
  // trust.
  const int result = mbedtls_x509_crt_parse(&chain_, certificates.data(), certificates.size());
  return result == 0 ? Status::kOk : Status::kMalformed;
}

ClientIdentity::ClientIdentity() : chain_{}, key_{} {
  mbedtls_x509_crt_init(&chain_);
  mbedtls_pk_init(&key_);
}

ClientIdentity::~ClientIdentity() {
  mbedtls_pk_free(&key_);
  mbedtls_x509_crt_free(&chain_);
}

Status ClientIdentity::load(TlsContext& context, Bytes certificate, Bytes key) {
  if (mbedtls_x509_crt_parse(&chain_, certificate.data(), certificate.size()) != 0) return Status::kMalformed;
  if (mbedtls_pk_parse_key(&key_, key.data(), key.size(), nullptr, 0, &TlsContext::random, &context) != 0) {
    return Status::kMalformed;
  }
  if (mbedtls_pk_check_pair(&chain_.pk, &key_, &TlsContext::random, &context) != 0) {
    return Status::kInvalidArgument;
  }
  return Status::kOk;
}

}  // namespace godwit::boards

extern "C" {

mbedtls_ms_time_t mbedtls_ms_time() {
  using godwit::boards::g_unix_time_ms;
  return g_unix_time_ms != nullptr ? g_unix_time_ms() : 0;
}

// PSA takes its randomness from here, as configured.
psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t*, std::uint8_t* out,
                                             std::size_t size, std::size_t* filled) {
  using godwit::boards::g_context;
  if (g_context == nullptr || godwit::boards::TlsContext::random(g_context, out, size) != 0) {
    return PSA_ERROR_INSUFFICIENT_ENTROPY;
  }
  *filled = size;
  return PSA_SUCCESS;
}

// The calendar that certificate dates are checked with.
std::tm* mbedtls_platform_gmtime_r(const mbedtls_time_t* time, std::tm* out) {
  const std::chrono::sys_seconds instant{std::chrono::seconds{*time}};
  const auto day = std::chrono::floor<std::chrono::days>(instant);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{instant - day};
  *out = {};
  out->tm_year = static_cast<int>(date.year()) - 1900;
  out->tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  out->tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  out->tm_hour = static_cast<int>(clock.hours().count());
  out->tm_min = static_cast<int>(clock.minutes().count());
  out->tm_sec = static_cast<int>(clock.seconds().count());
  return out;
}
}
