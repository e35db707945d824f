// SPDX-License-Identifier: Apache-2.0
#include "gateway/store/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "gateway/domain/ingest.h"
#include "gateway/store/store.h"
#include "tests/support/process.h"
#include "tests/unit/gateway/messages.h"

namespace godwit::gateway {
namespace {

using godwit::test::TempDir;
using test::kEpoch;
using testing::HasSubstr;

// The first record is seq 2.
void commit(Store& store, std::uint64_t seq) {
  Ingest ingest({}, store.load());
  for (const Message& message : test::introduction()) ignore(ingest.handle(message));
  ignore(ingest.handle(test::record(kEpoch, seq)));
  Changes changes = ingest.take();
  store.commit(changes);
}

std::string why_refused(const std::filesystem::path& directory, const std::filesystem::path& file) {
  try {
    backup(directory, file);
    return "it was made";
  } catch (const StoreError& error) {
    return error.what();
  }
}

std::size_t files_in(const TempDir& dir) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(dir.path()), {}));
}

TEST(Backup, IsADatabaseToGoOnWithAndIsForItsOwnerOnly) {
  const TempDir dir;
  const TempDir restored;
  Store store(dir.path(), Term{7});
  commit(store, 2);
  commit(store, 3);  // in the write-ahead log as yet
  const LogId common = store.reader().ends().last;
  const auto file = restored.path() / "godwit.db";
  EXPECT_EQ(backup(dir.path(), file), common.offset.value);
  EXPECT_EQ(files_in(restored), 1U);
  EXPECT_EQ(std::filesystem::status(file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  commit(store, 4);
  const LogId seen = store.reader().ends().last;

  Store copy(restored.path(), Term{8});
  EXPECT_EQ(copy.reader().ends().last, common);
  commit(copy, 4);
  EXPECT_EQ(copy.reader().resume(seen).from, common);
  EXPECT_TRUE(copy.reader().resume(seen).gap.has_value());
  EXPECT_FALSE(copy.reader().resume(common).gap.has_value());
}

TEST(Backup, IsOfOneMomentWhileTheGatewayWrites) {
  const TempDir dir;
  const TempDir copies;
  Store store(dir.path());
  commit(store, 2);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::uint64_t seq = 3; !stop; ++seq) commit(store, seq);
  });
  for (int i = 0; i < 5; ++i) {
    const auto place = copies.path() / std::to_string(i);
    std::filesystem::create_directory(place);
    const std::int64_t last = backup(dir.path(), place / "godwit.db");
    Store copy(place);
    const LogPage page = copy.reader().read({0}, {}, {.events = 100'000});
    EXPECT_FALSE(page.gap.has_value());
    EXPECT_EQ(static_cast<std::int64_t>(page.events.size()), last);
    EXPECT_EQ(copy.load().at(0).streams.at(0).records + 2, page.events.size()) << "log and projections agree";
  }
  stop = true;
  writer.join();
}

TEST(Backup, NeverReplacesOrLeavesHalfAFile) {
  const TempDir dir;
  const TempDir copies;
  EXPECT_THAT(why_refused(dir.path(), copies.path() / "a"), HasSubstr("when it first runs"));
  {
    Store store(dir.path());
    commit(store, 2);
  }
  const auto file = copies.write("there", "mine");
  EXPECT_THAT(why_refused(dir.path(), file), HasSubstr("exists already"));
  EXPECT_EQ(godwit::test::read_file(file), "mine");
  EXPECT_THAT(why_refused(dir.path(), copies.path() / "no" / "folder"), HasSubstr("is there such a folder"));
  dir.write("godwit.db", std::string(50'000, 'x'));
  EXPECT_THAT(why_refused(dir.path(), copies.path() / "b"), HasSubstr("cannot back up to"));
  EXPECT_EQ(files_in(copies), 1U);
}

}  // namespace
}  // namespace godwit::gateway
