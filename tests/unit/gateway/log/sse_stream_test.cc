// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/sse_stream.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/unit/gateway/log/rig.h"

namespace godwit::gateway::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Kind = SseStream::Next::Kind;

struct Stream {
  Stream(Rig& its_rig, const LogStart& start, LogReader::Filter filter = {})
      : rig(its_rig), stream(rig.feed, start, std::move(filter), std::chrono::milliseconds{2000}, [] {}) {}

  // All there is to write now.
  std::string write(bool quiet = false) {
    std::string text;
    for (;;) {
      const SseStream::Next next = stream.next(64 * 1024, std::exchange(quiet, false));
      text += next.text;
      if (next.read) rig.read(), rig.serve();
      if (next.kind == Kind::kEnd) return text + "END";
      if (next.kind == Kind::kWait && !next.read) return text;
    }
  }

  Rig& rig;
  SseStream stream;
};

std::string id(Rig& rig, std::int64_t offset) { return to_text(rig.log.id(offset)); }

TEST(SseStream, BeginsWithItsPositionAndTheTimeToComeBack) {
  Rig rig;
  rig.log.append("pump", 1);
  rig.start();
  EXPECT_EQ(Stream(rig, now()).write(), "id: " + id(rig, 1) + "\nretry: 2000\n\n");
  EXPECT_THAT(Stream(rig, begin()).write(),
              StartsWith("id: 0-00000000\nretry: 2000\n\nid: " + id(rig, 1) + "\nevent: telemetry\ndata: {"));
}

TEST(SseStream, AGapComesBeforeThePositionBehindIt) {
  Rig rig;
  for (int i = 1; i <= 3; ++i) rig.log.append("pump", i);
  const LogId seen = rig.log.id(3);
  rig.log.restore(1, 0xb2);
  rig.log.append("pump", 4);
  rig.start();
  EXPECT_THAT(Stream(rig, after(seen)).write(), StartsWith("id: " + id(rig, 1) + "\nevent: gap\ndata: {"));
}

TEST(SseStream, ASignOfLifeIsThePosition) {
  Rig rig;
  rig.start();
  Stream stream(rig, now(), {.device = "nobody", .types = {}});
  (void)stream.write();
  EXPECT_EQ(stream.write(), "");
  EXPECT_EQ(stream.write(true), "id: 0-00000000\n\n");
  rig.publish();
  while (rig.encode_some()) {
  }
  EXPECT_EQ(stream.write(true), "id: " + id(rig, 1) + "\n\n");
}

TEST(SseStream, EndsWhenTheLogCannotBeRead) {
  Rig rig;
  rig.log.append("pump", 1);
  rig.start();
  Stream stream(rig, begin());
  rig.log.fail(true);
  EXPECT_EQ(stream.write(), "END");
}

}  // namespace
}  // namespace godwit::gateway::test
