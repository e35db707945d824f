// SPDX-License-Identifier: Apache-2.0
#include "gateway/pki/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <span>

#include "gateway/pki/api_key.h"

namespace godwit::pki {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Seconds kNow{std::chrono::seconds(1'800'000'000)};

Authority authority() {
  Key key = Key::generate();
  Certificate certificate = Certificate::self_signed(key, "Test CA", kNow);
  return {std::move(key), std::move(certificate)};
}

// A file of its own for what must be read from one.
class TextFile {
 public:
  explicit TextFile(const std::string& text) {
    std::string name = (std::filesystem::temp_directory_path() / "pki_test.XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    EXPECT_GE(fd, 0);
    if (fd >= 0) ::close(fd);
    path_ = name;
    std::ofstream(path_) << text;
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  ~TextFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Certificates, ALeafIsSignedByItsAuthorityAndByNoOther) {
  const Authority ours = authority();
  const Authority other = authority();
  const Key key = Key::generate();
  const Certificate leaf = Certificate::issue(ours, key, {.common_name = "pump-3"}, kNow);

  EXPECT_TRUE(leaf.signed_by(ours.certificate));
  EXPECT_FALSE(leaf.signed_by(other.certificate));
  EXPECT_TRUE(leaf.belongs_to(key));
  EXPECT_FALSE(leaf.belongs_to(ours.key));
  EXPECT_EQ(leaf.common_name(), "pump-3");
  EXPECT_TRUE(ours.certificate.signed_by(ours.certificate));
}

TEST(Certificates, AreValidFromADayEarlierForTheirLifetime) {
  const Authority ca = authority();
  const Certificate leaf = Certificate::issue(ca, Key::generate(), {.common_name = "pump-3"}, kNow);
  EXPECT_EQ(leaf.not_before(), kNow - kBackdate);
  EXPECT_EQ(leaf.not_after(), kNow + kLeafLifetime);
  EXPECT_EQ(ca.certificate.not_after(), kNow + kAuthorityLifetime);
}

TEST(Certificates, AuthorityIsValidPast2049WhenDatesChangeTheirForm) {
  constexpr Seconds k2040{std::chrono::seconds(2'208'988'800)};
  const Certificate certificate = Certificate::self_signed(Key::generate(), "Test CA", k2040);
  EXPECT_EQ(certificate.not_after(), k2040 + kAuthorityLifetime);
}

TEST(Certificates, NameTheHostsOfAServer) {
  const std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1", "gw.example.org", "*.example.org"};
  const Certificate leaf =
      Certificate::issue(authority(), Key::generate(),
                         {.common_name = "broker", .purpose = Purpose::kServer, .hosts = hosts}, kNow);
  EXPECT_EQ(leaf.hosts(), hosts);
  EXPECT_THAT(Certificate::issue(authority(), Key::generate(), {.common_name = "pump-3"}, kNow).hosts(),
              IsEmpty());
}

TEST(Certificates, AHostNameCannotBringFurtherNamesAlong) {
  for (const char* bad :
       {"", "a,DNS:evil.example.org", "a b", "-a", ".a", "a..b", "a\n", "email:x", "1.2.3.4/8"}) {
    EXPECT_FALSE(is_host(bad)) << bad;
    EXPECT_THAT(error_of([&] {
                  (void)Certificate::issue(authority(), Key::generate(), {.common_name = "x", .hosts = {bad}},
                                           kNow);
                }),
                HasSubstr("neither a host name nor an IP address"));
  }
}

TEST(Certificates, RenewalKeepsKeyNameAndHostsAndDrawsANewSerialNumber) {
  const Authority ca = authority();
  const Key key = Key::generate();
  const Certificate leaf = Certificate::issue(ca, key, {.common_name = "pump-3", .hosts = {"pump-3"}}, kNow);
  const Certificate renewed = leaf.renewed(ca, kNow + std::chrono::days(700));

  EXPECT_TRUE(renewed.belongs_to(key));
  EXPECT_TRUE(renewed.signed_by(ca.certificate));
  EXPECT_EQ(renewed.common_name(), "pump-3");
  EXPECT_THAT(renewed.hosts(), ElementsAre("pump-3"));
  EXPECT_EQ(renewed.not_after(), kNow + std::chrono::days(700) + kLeafLifetime);
  EXPECT_NE(renewed.serial(), leaf.serial());
}

TEST(Certificates, SerialNumbersDiffer) {
  const Authority ca = authority();
  const Key key = Key::generate();
  std::set<std::string> serials;
  for (int i = 0; i < 50; ++i) {
    const std::string serial = Certificate::issue(ca, key, {.common_name = "x"}, kNow).serial();
    EXPECT_LE(serial.size(), 40U);
    serials.insert(serial);
  }
  EXPECT_EQ(serials.size(), 50U);
}

TEST(Certificates, ACommonNameOver64CharactersIsRefused) {
  EXPECT_THAT(error_of([] {
                (void)Certificate::issue(authority(), Key::generate(), {.common_name = std::string(65, 'x')},
                                         kNow);
              }),
              HasSubstr("common name"));
}

// What stands between the lines of a PEM text.
std::vector<std::uint8_t> body_of(const std::string& pem) {
  const std::size_t begin = pem.find('\n') + 1;
  std::string text = pem.substr(begin, pem.find("-----END") - begin);
  std::erase(text, '\n');
  std::vector<std::uint8_t> der(text.size() / 4 * 3);
  EXPECT_EQ(EVP_DecodeBlock(der.data(), reinterpret_cast<const unsigned char*>(text.data()),
                            static_cast<int>(text.size())),
            static_cast<int>(der.size()));
  der.resize(der.size() - static_cast<std::size_t>(std::ranges::count(text, '=')));
  return der;
}

TEST(Der, OfACertificateIsWhatItsPemHolds) {
  const Certificate certificate = authority().certificate;
  EXPECT_EQ(certificate.der(), body_of(certificate.pem()));
}

TEST(Der, OfAKeyIsSec1WithinWhatItsPemHolds) {
  const Key key = Key::generate();
  const auto der = key.der();
  EXPECT_EQ(der.size(), 121U);
  const std::vector<std::uint8_t> version_and_secret{0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20};
  ASSERT_GE(der.size(), version_and_secret.size() + 32);
  EXPECT_TRUE(std::ranges::equal(std::span(der).first(version_and_secret.size()), version_and_secret));
  const auto pkcs8 = body_of(key.pem());
  EXPECT_FALSE(std::ranges::search(pkcs8, std::span(der).subspan(version_and_secret.size(), 32)).empty());
}

TEST(PemFiles, SurviveARoundTrip) {
  const Authority ca = authority();
  const TextFile key_file(ca.key.pem());
  const TextFile certificate_file(ca.certificate.pem());
  EXPECT_EQ(Key::read(key_file.path()).pem(), ca.key.pem());
  EXPECT_EQ(Certificate::read(certificate_file.path()).pem(), ca.certificate.pem());
  EXPECT_THAT(ca.key.pem(), HasSubstr("-----BEGIN PRIVATE KEY-----"));
}

TEST(PemFiles, CutAnywhereGiveAnErrorThatNamesTheFile) {
  const Authority ca = authority();
  const std::string key = ca.key.pem();
  const std::string certificate = ca.certificate.pem();
  // A file that only lacks its last newline is whole.
  for (std::size_t size = 0; size + 1 < key.size(); ++size) {
    const TextFile file(key.substr(0, size));
    EXPECT_THAT(error_of([&] { (void)Key::read(file.path()); }), HasSubstr(file.path().string() + ": not an"))
        << size;
  }
  for (std::size_t size = 0; size + 1 < certificate.size(); ++size) {
    const TextFile file(certificate.substr(0, size));
    EXPECT_THAT(error_of([&] { (void)Certificate::read(file.path()); }),
                HasSubstr(file.path().string() + ": not a"))
        << size;
  }
}

TEST(PemFiles, TheOneMistakenForTheOtherGivesAnError) {
  const Authority ca = authority();
  const TextFile key_file(ca.key.pem());
  const TextFile certificate_file(ca.certificate.pem());
  EXPECT_THAT(error_of([&] { (void)Certificate::read(key_file.path()); }), HasSubstr("not a certificate"));
  EXPECT_THAT(error_of([&] { (void)Key::read(certificate_file.path()); }),
              HasSubstr("not an unencrypted private key"));
  EXPECT_THAT(error_of([] { (void)Key::read("/nonexistent/ca.key"); }),
              HasSubstr("/nonexistent/ca.key: cannot open: No such file"));
}

TEST(ApiKeys, AreLongDifferentAndKnownByTheirDigest) {
  const std::string key = make_api_key();
  EXPECT_EQ(key.size(), 44U);
  EXPECT_NE(key, make_api_key());
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace godwit::pki
