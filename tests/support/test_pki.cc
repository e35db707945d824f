// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_pki.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace godwit::test {
namespace {

using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;

constexpr std::int64_t kAuthorityLifeS = 10 * 86'400;

void must(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("test certificates: ") + what);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  must(key != nullptr, "key");
  return key;
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1, value.c_str());
  X509_EXTENSION_free(extension);
}

// Everything but extensions, issuer and signature.
Certificate make_certificate(EVP_PKEY* key, const CertificateRequest& request) {
  Certificate certificate(X509_new(), X509_free);
  must(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1, "certificate");
  std::uint64_t serial = 0;
  must(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1, "serial");
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), request.not_before_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), request.not_after_s);
  must(X509_set_pubkey(certificate.get(), key) == 1, "public key");
  X509_NAME* name = X509_get_subject_name(certificate.get());
  must(X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(request.common_name.c_str()), -1, -1,
                                  0) == 1,
       "name");
  return certificate;
}

std::string to_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

std::string to_pem(X509* certificate) {
  BIO* bio = BIO_new(BIO_s_mem());
  must(PEM_write_bio_X509(bio, certificate) == 1, "PEM");
  return to_text(bio);
}

std::string to_pem(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  must(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr) == 1, "PEM");
  return to_text(bio);
}

}  // namespace

TestCa::TestCa(const std::string& common_name) : key_(make_key()), x509_(nullptr, X509_free) {
  const CertificateRequest request{.common_name = common_name,
                                   .names = {},
                                   .not_before_s = -kAuthorityLifeS,
                                   .not_after_s = kAuthorityLifeS};
  x509_ = make_certificate(key_.get(), request);
  must(X509_set_issuer_name(x509_.get(), X509_get_subject_name(x509_.get())) == 1, "issuer");
  add_extension(x509_.get(), x509_.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(x509_.get(), x509_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(x509_.get(), x509_.get(), NID_subject_key_identifier, "hash");
  must(X509_sign(x509_.get(), key_.get(), EVP_sha256()) > 0, "signature");
  certificate_ = to_pem(x509_.get());
}

TestCa::TestCa(TestCa&&) noexcept = default;
TestCa::~TestCa() = default;

PemIdentity TestCa::issue(const CertificateRequest& request) const {
  const Key key = make_key();
  const Certificate certificate = make_certificate(key.get(), request);
  must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(x509_.get())) == 1, "issuer");
  add_extension(certificate.get(), x509_.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), x509_.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(certificate.get(), x509_.get(), NID_ext_key_usage,
                request.server ? "serverAuth" : "clientAuth");
  add_extension(certificate.get(), x509_.get(), NID_authority_key_identifier, "keyid");
  std::string names;
  for (const std::string& name : request.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) add_extension(certificate.get(), x509_.get(), NID_subject_alt_name, names);
  must(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0, "signature");
  return {to_pem(certificate.get()), to_pem(key.get())};
}

}  // namespace godwit::test
