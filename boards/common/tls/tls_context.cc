// SPDX-License-Identifier: Apache-2.0
#include "boards/common/tls/tls_context.h"

#include <mbedtls/ecp.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#if defined(MBEDTLS_PSA_CRYPTO_C)
#include <psa/crypto.h>
#endif

#include <chrono>
#include <ctime>

#include "boards/common/tls/tls_arena.h"
#include "proto/base/assert.h"

namespace godwit::boards {
namespace {

// mbedTLS's time hooks have no argument to carry a context in.
TlsContext* g_context = nullptr;

mbedtls_time_t unix_time_s(mbedtls_time_t* out) {
  const auto seconds = static_cast<mbedtls_time_t>(mbedtls_ms_time() / 1000);
  if (out != nullptr) *out = seconds;
  return seconds;
}

int entropy_bytes(void* entropy, unsigned char* out, std::size_t size) {
  const Status status = static_cast<ports::Entropy*>(entropy)->fill({out, size});
  return status == Status::kOk ? 0 : MBEDTLS_ERR_CTR_DRBG_ENTROPY_SOURCE_FAILED;
}

// mbedTLS has many words for being out of memory, so the arena is asked. `cause`: what it is otherwise.
Status full_or(Status cause, std::uint32_t failures_before) {
  return TlsArena::failures() != failures_before ? Status::kFull : cause;
}

}  // namespace

TlsContext::TlsContext(const Options& options) : options_(options), drbg_{} {
  GODWIT_ASSERT(g_context == nullptr);
  g_context = this;
  mbedtls_ctr_drbg_init(&drbg_);
}

TlsContext::~TlsContext() {
#if defined(MBEDTLS_PSA_CRYPTO_C)
  mbedtls_psa_crypto_free();
#endif
  mbedtls_ctr_drbg_free(&drbg_);
  g_context = nullptr;
}

Status TlsContext::start() {
  if (mbedtls_platform_set_time(&unix_time_s) != 0) return Status::kIo;
  if (mbedtls_ctr_drbg_seed(&drbg_, &entropy_bytes, &options_.entropy, nullptr, 0) != 0) return Status::kIo;
  mbedtls_ecp_set_max_ops(options_.public_key_steps_max);
#if defined(MBEDTLS_PSA_CRYPTO_C)
  if (psa_crypto_init() != PSA_SUCCESS) return Status::kFull;
#endif
  return Status::kOk;
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
  const std::uint32_t failures = TlsArena::failures();
  // A positive result counts certificates of a bundle that could not be read: not what somebody meant to
  // trust.
  const int result = mbedtls_x509_crt_parse(&chain_, certificates.data(), certificates.size());
  return result == 0 ? Status::kOk : full_or(Status::kMalformed, failures);
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
  const std::uint32_t failures = TlsArena::failures();
  if (mbedtls_x509_crt_parse(&chain_, certificate.data(), certificate.size()) != 0)
    return full_or(Status::kMalformed, failures);
  if (mbedtls_pk_parse_key(&key_, key.data(), key.size(), nullptr, 0, &TlsContext::random, &context) != 0) {
    return full_or(Status::kMalformed, failures);
  }
  if (mbedtls_pk_check_pair(&chain_.pk, &key_, &TlsContext::random, &context) != 0) {
    return full_or(Status::kInvalidArgument, failures);
  }
  return Status::kOk;
}

}  // namespace godwit::boards

extern "C" {

mbedtls_ms_time_t mbedtls_ms_time() {
  using godwit::boards::g_context;
  return g_context != nullptr ? g_context->time_for_certificates_ms() : 0;
}

#if defined(MBEDTLS_PSA_CRYPTO_C)
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
#endif

// The calendar that certificate dates are checked with. Days fit into 32 bits, which is what a board divides
// well.
std::tm* mbedtls_platform_gmtime_r(const mbedtls_time_t* time, std::tm* out) {
  constexpr int kDay = 86'400;
  const std::chrono::sys_days day{std::chrono::days{static_cast<int>(*time / kDay)}};
  const std::chrono::year_month_day date{day};
  const int second = static_cast<int>(*time % kDay);
  *out = {};
  out->tm_year = static_cast<int>(date.year()) - 1900;
  out->tm_mon = static_cast<int>(static_cast<unsigned>(date.month())) - 1;
  out->tm_mday = static_cast<int>(static_cast<unsigned>(date.day()));
  out->tm_hour = second / 3600;
  out->tm_min = second / 60 % 60;
  out->tm_sec = second % 60;
  return out;
}
}
