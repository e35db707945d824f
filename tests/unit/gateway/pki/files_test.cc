// SPDX-License-Identifier: Apache-2.0
#include "gateway/pki/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>

#include "gateway/pki/certificate.h"

namespace godwit::pki {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() {
    std::string name = (fs::temp_directory_path() / "files_test.XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~Files() override { fs::remove_all(directory_); }

  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  fs::path directory_;
};

TEST_F(Files, AreCreatedWithTheirContentAndAccess) {
  EXPECT_TRUE(create_file(directory_ / "key", "secret", Access::kOwner));
  EXPECT_TRUE(create_file(directory_ / "crt", "public", Access::kEveryone));
  EXPECT_EQ(read_file(directory_ / "key"), "secret");
  EXPECT_EQ(fs::status(directory_ / "key").permissions(), fs::perms(0600));
  EXPECT_EQ(fs::status(directory_ / "crt").permissions(), fs::perms(0644));
  EXPECT_EQ(entries(), 2U) << "no passing file is left";
}

TEST_F(Files, AreNotOverwrittenByCreation) {
  ASSERT_TRUE(create_file(directory_ / "key", "first", Access::kOwner));
  EXPECT_FALSE(create_file(directory_ / "key", "second", Access::kOwner));
  EXPECT_EQ(read_file(directory_ / "key"), "first");
  fs::create_symlink("nowhere", directory_ / "link");
  EXPECT_FALSE(create_file(directory_ / "link", "second", Access::kOwner)) << "a dangling link is taken too";
  EXPECT_EQ(entries(), 2U);
}

TEST_F(Files, AreReplacedWholeOnRequest) {
  ASSERT_TRUE(create_file(directory_ / "crt", "a longer first text", Access::kEveryone));
  replace_file(directory_ / "crt", "second", Access::kEveryone);
  EXPECT_EQ(read_file(directory_ / "crt"), "second");
  EXPECT_EQ(entries(), 1U);
}

TEST_F(Files, ThatCannotBeMadeOrReadAreNamed) {
  try {
    (void)create_file(directory_ / "absent" / "key", "x", Access::kOwner);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("absent/key: cannot create: No such file or directory"));
  }
  std::ofstream(directory_ / "large") << std::string((1U << 20U) + 1, 'x');
  EXPECT_THROW((void)read_file(directory_ / "large"), Error);
}

}  // namespace
}  // namespace godwit::pki
