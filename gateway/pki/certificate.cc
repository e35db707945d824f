// SPDX-License-Identifier: Apache-2.0
#include "gateway/pki/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "gateway/pki/files.h"

namespace godwit::pki {
namespace {

template <auto kFree>
struct FreeWith {
  void operator()(auto* pointer) const { kFree(pointer); }
};
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using BignumPtr = std::unique_ptr<BIGNUM, FreeWith<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

// OpenSSL's own reason for the last failure; clears its queue.
std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

void require(bool ok, std::string_view what) {
  if (!ok) throw Error("OpenSSL cannot " + std::string(what) + ": " + openssl_reason());
}

std::string text_of(const BioPtr& bio) {
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// `write` is called as OpenSSL's i2d functions are: for the size first, then to write.
template <typename Write>
std::vector<std::uint8_t> der_of(Write write) {
  const int size = write(nullptr);
  require(size > 0, "write DER");
  std::vector<std::uint8_t> der(static_cast<std::size_t>(size));
  unsigned char* next = der.data();
  require(write(&next) == size, "write DER");
  return der;
}

BioPtr memory() {
  BioPtr bio(BIO_new(BIO_s_mem()));
  require(bio != nullptr, "allocate");
  return bio;
}

BioPtr memory(std::string_view text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  require(bio != nullptr, "allocate");
  return bio;
}

// 159 bits: positive, and within the 20 octets of RFC 5280, 4.1.2.2.
void set_random_serial(X509* certificate) {
  const BignumPtr number(BN_new());
  require(number && BN_rand(number.get(), 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr,
          "draw a serial number");
}

void set_validity(X509* certificate, Seconds from, Seconds to) {
  require(ASN1_TIME_set(X509_getm_notBefore(certificate), from.time_since_epoch().count()) != nullptr &&
              ASN1_TIME_set(X509_getm_notAfter(certificate), to.time_since_epoch().count()) != nullptr,
          "set the validity");
}

void set_common_name(X509* certificate, const std::string& name) {
  require(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(name.data()),
                                     static_cast<int>(name.size()), -1, 0) == 1,
          "use the common name \"" + name + "\"");
}

void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const ExtensionPtr extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "add a certificate extension");
}

bool is_address(const std::string& text) {
  std::array<unsigned char, 16> bytes{};
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

// Built as values and not from a configuration string, in which a host name could bring further names along.
void add_hosts(X509* certificate, const std::vector<std::string>& hosts) {
  const NamesPtr names(GENERAL_NAMES_new());
  require(names != nullptr, "allocate");
  for (const std::string& host : hosts) {
    if (!is_host(host)) throw Error("\"" + host + "\" is neither a host name nor an IP address");
    GENERAL_NAME* const name =
        a2i_GENERAL_NAME(nullptr, nullptr, nullptr, is_address(host) ? GEN_IPADD : GEN_DNS, host.c_str(), 0);
    require(name != nullptr && sk_GENERAL_NAME_push(names.get(), name) > 0,
            "use the host name \"" + host + "\"");
  }
  require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) == 1, "add the host names");
}

Seconds seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  require(ASN1_TIME_to_tm(time, &parts) == 1, "read a certificate's validity");
  return Seconds(std::chrono::seconds(timegm(&parts)));
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return {};
  return inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size()) == nullptr ? ""
                                                                                                : text.data();
}

}  // namespace

bool is_host(std::string_view text) {
  if (is_address(std::string(text))) return true;
  if (text.starts_with("*.")) text.remove_prefix(2);
  if (text.empty() || text.size() > 253 || text.front() == '-' || text.front() == '.') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
}

void Key::Free::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }
void Certificate::Free::operator()(x509_st* certificate) const { X509_free(certificate); }

Key Key::generate() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  require(key != nullptr, "make a P-256 key");
  return Key(key);
}

Key Key::read(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  // An empty password instead of OpenSSL's question on the terminal.
  const auto no_password = [](char*, int, int, void*) { return 0; };
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(memory(text).get(), nullptr, no_password, nullptr);
  if (key == nullptr) {
    throw Error(file.string() + ": not an unencrypted private key in PEM: " + openssl_reason());
  }
  return Key(key);
}

std::string Key::pem() const {
  const BioPtr bio = memory();
  require(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "write a key");
  return text_of(bio);
}

std::vector<std::uint8_t> Key::der() const {
  return der_of([this](unsigned char** out) { return i2d_PrivateKey(key_.get(), out); });
}

Certificate Certificate::read(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  X509* const certificate = PEM_read_bio_X509(memory(text).get(), nullptr, nullptr, nullptr);
  if (certificate == nullptr) throw Error(file.string() + ": not a certificate in PEM: " + openssl_reason());
  return Certificate(certificate);
}

Certificate Certificate::self_signed(const Key& key, std::string_view common_name, Seconds now) {
  Certificate made(X509_new());
  X509* const x509 = made.certificate_.get();
  require(x509 != nullptr && X509_set_version(x509, X509_VERSION_3) == 1, "allocate");
  set_random_serial(x509);
  set_validity(x509, now - kBackdate, now + kAuthorityLifetime);
  set_common_name(x509, std::string(common_name));
  require(X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1, "set the issuer");
  require(X509_set_pubkey(x509, key.key_.get()) == 1, "set the public key");
  add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(x509, x509, NID_subject_key_identifier, "hash");
  require(X509_sign(x509, key.key_.get(), EVP_sha256()) > 0, "sign");
  return made;
}

Certificate Certificate::issue(const Authority& authority, const Key& key, const Subject& subject,
                               Seconds now, std::chrono::seconds lifetime) {
  Certificate made(X509_new());
  X509* const x509 = made.certificate_.get();
  X509* const issuer = authority.certificate.certificate_.get();
  require(x509 != nullptr && X509_set_version(x509, X509_VERSION_3) == 1, "allocate");
  set_random_serial(x509);
  set_validity(x509, now - kBackdate, now + lifetime);
  set_common_name(x509, subject.common_name);
  require(X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1, "set the issuer");
  require(X509_set_pubkey(x509, key.key_.get()) == 1, "set the public key");
  add_extension(x509, issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(x509, issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(x509, issuer, NID_ext_key_usage,
                subject.purpose == Purpose::kServer ? "serverAuth" : "clientAuth");
  add_extension(x509, issuer, NID_subject_key_identifier, "hash");
  add_extension(x509, issuer, NID_authority_key_identifier, "keyid");
  if (!subject.hosts.empty()) add_hosts(x509, subject.hosts);
  require(X509_sign(x509, authority.key.key_.get(), EVP_sha256()) > 0, "sign");
  return made;
}

Certificate Certificate::renewed(const Authority& authority, Seconds now) const {
  Certificate made(X509_dup(certificate_.get()));
  X509* const x509 = made.certificate_.get();
  require(x509 != nullptr, "allocate");
  set_random_serial(x509);
  set_validity(x509, now - kBackdate, now + kLeafLifetime);
  require(X509_sign(x509, authority.key.key_.get(), EVP_sha256()) > 0, "sign");
  return made;
}

std::string Certificate::pem() const {
  const BioPtr bio = memory();
  require(PEM_write_bio_X509(bio.get(), certificate_.get()) == 1, "write a certificate");
  return text_of(bio);
}

std::vector<std::uint8_t> Certificate::der() const {
  return der_of([this](unsigned char** out) { return i2d_X509(certificate_.get(), out); });
}

std::string Certificate::common_name() const {
  std::array<char, 256> text{};
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate_.get()), NID_commonName,
                                             text.data(), static_cast<int>(text.size()));
  return size < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(size));
}

std::string Certificate::serial() const {
  const BioPtr bio = memory();
  require(i2a_ASN1_INTEGER(bio.get(), X509_get0_serialNumber(certificate_.get())) > 0,
          "read a serial number");
  return text_of(bio);
}

Seconds Certificate::not_before() const { return seconds_of(X509_get0_notBefore(certificate_.get())); }
Seconds Certificate::not_after() const { return seconds_of(X509_get0_notAfter(certificate_.get())); }

std::vector<std::string> Certificate::hosts() const {
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate_.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> hosts;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_IPADD) hosts.push_back(address_text(static_cast<const ASN1_OCTET_STRING*>(value)));
    if (type == GEN_DNS) {
      const auto* const name = static_cast<const ASN1_IA5STRING*>(value);
      hosts.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
                         static_cast<std::size_t>(ASN1_STRING_length(name)));
    }
  }
  return hosts;
}

bool Certificate::belongs_to(const Key& key) const {
  const bool ok = X509_check_private_key(certificate_.get(), key.key_.get()) == 1;
  ERR_clear_error();
  return ok;
}

bool Certificate::signed_by(const Certificate& authority) const {
  EVP_PKEY* const key = X509_get0_pubkey(authority.certificate_.get());
  const bool ok = key != nullptr && X509_verify(certificate_.get(), key) == 1;
  ERR_clear_error();
  return ok;
}

}  // namespace godwit::pki
