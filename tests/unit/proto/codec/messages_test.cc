// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/messages.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "proto/codec/batch.h"
#include "proto/codec/samples.h"
#include "tests/unit/proto/codec/vectors.h"

namespace godwit::codec {
namespace {

constexpr Epoch kEpoch{0x1122334455667788};
constexpr Try kTry{0x11223344};

constexpr std::array<Channel, 3> kTankChannels{
    {{.name = "temperature", .unit = "Cel", .exponent = -2, .min = -4000, .max = 12500, .deadband = 3},
     {.name = "level", .unit = "%"},
     {.name = "pressure",
      .unit = "\u00B5Pa",
      .exponent = 3,
      .min = INT64_MIN,
      .max = INT64_MAX,
      .deadband = UINT64_MAX}}};
constexpr ChannelTable kTank{.name = "tank.1",
                             .period = Millis{1000},
                             .channel_class = ChannelClass::kDurable,
                             .channels = kTankChannels};
constexpr std::array<Channel, 1> kAlarmChannels{{{.name = "a_b.0"}}};
constexpr ChannelTable kAlarm{.name = "alarm",
                              .period = std::chrono::hours{24},
                              .channel_class = ChannelClass::kLive,
                              .channels = kAlarmChannels};

Hello hello() {
  return {.try_id = kTry,
          .oldest_seq = {7},
          .next_seq = {1000},
          .marks = {{{kEpoch, {900}}, {{0x99AABBCCDDEEFF00}, {5}}}},
          .marks_count = 2,
          .marks_before = {901},
          .more_marks = true,
          .epoch = {0x0123456789ABCDEF},
          .firmware = "0.1.0",
          .board = "host",
          .boot = 3,
          .reset_reason = ResetReason::kWatchdog,
          .boot_time = UnixMillis{1'700'000'000'000},
          .dropped_records = 1,
          .refused_records = 2,
          .corrupt_records = 3,
          .missed_samples = 4,
          .log_state = LogState::kDegraded,
          .bad_sectors = 2};
}

// The v1/hello_crash vector.
Hello hello_after_a_crash() {
  return {.try_id = kTry,
          .oldest_seq = {7},
          .next_seq = {1000},
          .firmware = "0.1.0",
          .board = "host",
          .boot = 3,
          .reset_reason = ResetReason::kFault,
          .health = Health{.stack_used = 3120,
                           .stack_size = 8192,
                           .heap_used = 30'112,
                           .heap_size = 40'960,
                           .time_quality = TimeQuality::kSynced},
          .crash = Crash{.kind = CrashKind::kFault,
                         .pc = 0x0800'a1b2,
                         .lr = 0x0800'a0ff,
                         .cause = 0x8200,
                         .address = 0x2001'0000,
                         .stack_used = 812,
                         .where = "outbox.cc:42"}};
}

// What a visitor saw, as one line of text per table and channel.
class Tables : public TableVisitor {
 public:
  void table(std::uint32_t hash, const ChannelTable& table) override {
    hashes.push_back(hash);
    text += describe(table);
  }
  static std::string describe(const ChannelTable& table) {
    std::string line = std::string(table.name) + " every " + std::to_string(table.period.count()) +
                       " class " + std::to_string(static_cast<int>(table.channel_class)) + "\n";
    for (const Channel& c : table.channels) {
      line += "  " + std::string(c.name) + " [" + std::string(c.unit) + "] e" + std::to_string(c.exponent) +
              " " + std::to_string(c.min) + ".." + std::to_string(c.max) + " +-" +
              std::to_string(c.deadband) + "\n";
    }
    return line;
  }
  std::vector<std::uint32_t> hashes;
  std::string text;
};

using Buffer = std::vector<std::uint8_t>;

// Encodes into a buffer of just the right size, after every smaller one was found too small.
template <typename Encode>
Buffer encoded(Encode encode_into) {
  for (std::size_t size = 0; size < 1024; ++size) {
    Buffer out(size);
    const auto result = encode_into(MutableBytes(out));
    if (result) {
      EXPECT_EQ(*result, size);
      return out;
    }
    EXPECT_EQ(result.error(), Status::kFull);
  }
  ADD_FAILURE() << "does not fit in 1 KB";
  return {};
}

Buffer encoded_hello(const Hello& message, std::vector<const ChannelTable*> tables) {
  std::vector<AnnouncedTable> known;
  for (const ChannelTable* table : tables) known.push_back(announced(*table));
  Buffer bytes = encoded([&](MutableBytes out) { return encode(message, known, out); });
  EXPECT_EQ(encoded_size(message, known), bytes.size());
  return bytes;
}

Buffer encoded_record(const Record& record) {
  return encoded([&](MutableBytes out) { return encode(record, out); });
}

Batch batch_unix(Bytes samples) {
  return {.table = 0x0CEE'D464,
          .quality = TimeQuality::kSynced,
          .time = Millis{1'700'000'000'000},
          .rows = 6,
          .samples = samples};
}
Batch batch_boot(Bytes samples) {
  return {.table = 0xC0DEC0DE, .time = Millis{61'000}, .boot = 3, .rows = 256, .samples = samples};
}

void expect_same(const Hello& a, const Hello& b) {
  EXPECT_EQ(a.try_id, b.try_id);
  EXPECT_EQ(a.oldest_seq, b.oldest_seq);
  EXPECT_EQ(a.next_seq, b.next_seq);
  EXPECT_TRUE(std::ranges::equal(a.named_marks(), b.named_marks()));
  EXPECT_EQ(a.marks_before, b.marks_before);
  EXPECT_EQ(a.more_marks, b.more_marks);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.firmware, b.firmware);
  EXPECT_EQ(a.board, b.board);
  EXPECT_EQ(a.boot, b.boot);
  EXPECT_EQ(a.reset_reason, b.reset_reason);
  EXPECT_EQ(a.boot_time, b.boot_time);
  EXPECT_EQ(a.dropped_records, b.dropped_records);
  EXPECT_EQ(a.refused_records, b.refused_records);
  EXPECT_EQ(a.corrupt_records, b.corrupt_records);
  EXPECT_EQ(a.missed_samples, b.missed_samples);
  EXPECT_EQ(a.health, b.health);
  EXPECT_EQ(a.crash, b.crash);
  EXPECT_EQ(a.log_state, b.log_state);
  EXPECT_EQ(a.bad_sectors, b.bad_sectors);
}

void expect_same(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.table, b.table);
  EXPECT_EQ(a.quality, b.quality);
  EXPECT_EQ(a.time, b.time);
  EXPECT_EQ(a.boot, b.boot);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_TRUE(std::ranges::equal(a.samples, b.samples));
}

TEST(GoldenMessages, EncodeToTheBytesOfVersion1) {
  EXPECT_EQ(encoded_hello(hello(), {&kTank, &kAlarm}), vector_of("v1/hello"));
  EXPECT_EQ(encoded_hello({.try_id = kTry, .oldest_seq = {1}, .next_seq = {1}}, {}),
            vector_of("v1/hello_least"));
  EXPECT_EQ(encoded_hello(hello_after_a_crash(), {}), vector_of("v1/hello_crash"));
  const auto encoded_ack = [](const Ack& ack) {
    return encoded([&](MutableBytes out) { return encode(ack, out); });
  };
  EXPECT_EQ(encoded_ack({kTry, {42}, true, true, {7}}), vector_of("v1/ack"));
  EXPECT_EQ(encoded_ack({.try_id = kTry, .next_seq = {UINT64_MAX}}), vector_of("v1/ack_plain"));
  EXPECT_EQ(encoded_ack({.send_hello = true}), vector_of("v1/ack_ask"));
  EXPECT_EQ(encoded_record({.try_id = kTry, .seq = {43}, .loss = Loss{5, LossReason::kDroppedFull}}),
            vector_of("v1/record_loss"));
  EXPECT_EQ(encoded_record({.try_id = kTry, .seq = {44}, .mark = kEpoch}), vector_of("v1/record_mark"));
  EXPECT_EQ(encoded_record({.try_id = kTry, .seq = {45}, .refused = Refused{3, RefusedReason::kFlash}}),
            vector_of("v1/record_refused"));

  const Buffer samples = vector_of("v1/samples");
  const Buffer batch = vector_of("v1/batch_unix");
  EXPECT_EQ(encoded([&](MutableBytes out) { return encode(batch_unix(samples), out); }), batch);
  const Buffer constant = vector_of("v1/samples_constant");
  EXPECT_EQ(encoded([&](MutableBytes out) { return encode(batch_boot(constant), out); }),
            vector_of("v1/batch_boot"));
  const Batch full{
      .table = 0xC0DEC0DE, .quality = TimeQuality::kHoldover, .time = kBatchTimeMax, .samples = samples};
  EXPECT_EQ(encoded([&](MutableBytes out) { return encode(full, out); }), vector_of("v1/batch_full"));
  Buffer record =
      encoded([&](MutableBytes out) { return encode_record_prefix(kTry, {42}, batch.size(), out); });
  record.insert(record.end(), batch.begin(), batch.end());
  EXPECT_EQ(record, vector_of("v1/record_batch"));
  EXPECT_EQ(encoded_record({.try_id = kTry, .seq = {42}, .batch = batch}), record);
}

TEST(GoldenMessages, OfVersion1AndWithFieldsOfNewerOnesDecodeToTheSame) {
  for (const std::string version : {"v1/", "newer/"}) {
    SCOPED_TRACE(version);
    Tables tables;
    const Buffer bytes = vector_of(version + "hello");
    const auto decoded = decode_hello(bytes, tables);
    ASSERT_TRUE(decoded.has_value());
    Hello expected = hello();
    if (version == "newer/") {  // it has some that are unknown
      expected.reset_reason = ResetReason::kUnspecified;
      expected.log_state = LogState::kUnspecified;
    }
    expect_same(*decoded, expected);
    EXPECT_EQ(tables.text, Tables::describe(kTank) + Tables::describe(kAlarm));
    ASSERT_EQ(tables.hashes.size(), 2U);
    EXPECT_EQ(tables.hashes[1], hash(kAlarm));
    EXPECT_EQ(tables.hashes[0] == hash(kTank), version == "v1/") << "the hash covers what is unknown";

    const auto ack = decode_ack(vector_of(version + "ack"));
    ASSERT_TRUE(ack.has_value());
    EXPECT_EQ(ack->try_id, kTry);
    EXPECT_EQ(ack->next_seq, Seq{42});
    EXPECT_TRUE(ack->rewind);
    EXPECT_TRUE(ack->send_hello);
    EXPECT_EQ(ack->marks_before, Seq{7});

    const Buffer record_bytes = vector_of(version + "record_batch");
    const auto record = decode_record(record_bytes);
    ASSERT_TRUE(record && record->batch);
    EXPECT_EQ(record->try_id, kTry);
    EXPECT_EQ(record->seq, Seq{42});
    EXPECT_FALSE(record->loss || record->mark || record->refused);
    const auto batch = decode_batch(*record->batch);
    ASSERT_TRUE(batch.has_value());
    expect_same(*batch, batch_unix(vector_of("v1/samples")));
  }
}

TEST(GoldenMessages, OfWhatIsNoBatchDecodeWithFieldsOfNewerOnesToo) {
  for (const std::string version : {"v1/", "newer/"}) {
    SCOPED_TRACE(version);
    const Buffer loss_bytes = vector_of(version + "record_loss");
    const auto loss = decode_record(loss_bytes);
    ASSERT_TRUE(loss && loss->loss);
    EXPECT_FALSE(loss->batch || loss->mark || loss->refused);
    EXPECT_EQ(loss->try_id, kTry);
    EXPECT_EQ(loss->seq, Seq{43});
    EXPECT_EQ(loss->loss, (Loss{5, LossReason::kDroppedFull}));

    const auto mark = decode_record(vector_of(version + "record_mark"));
    ASSERT_TRUE(mark.has_value());
    EXPECT_FALSE(mark->batch || mark->loss || mark->refused);
    EXPECT_EQ(mark->seq, Seq{44});
    EXPECT_EQ(mark->mark, kEpoch);

    const auto refused = decode_record(vector_of(version + "record_refused"));
    ASSERT_TRUE(refused.has_value());
    EXPECT_FALSE(refused->batch || refused->loss || refused->mark);
    EXPECT_EQ(refused->seq, Seq{45});
    const RefusedReason reason = version == "v1/" ? RefusedReason::kFlash : RefusedReason::kUnspecified;
    EXPECT_EQ(refused->refused, (Refused{3, reason}));
  }
}

TEST(GoldenMessages, WithNothingThatCanBeLeftOutDecode) {
  Tables tables;
  const Buffer bytes = vector_of("v1/hello_least");
  const auto decoded = decode_hello(bytes, tables);
  ASSERT_TRUE(decoded.has_value());
  expect_same(*decoded, {.try_id = kTry, .oldest_seq = {1}, .next_seq = {1}});
  EXPECT_TRUE(tables.hashes.empty());
  const auto ask = decode_ack(vector_of("v1/ack_ask"));
  ASSERT_TRUE(ask.has_value());
  EXPECT_EQ(ask->try_id, Try{});
  EXPECT_TRUE(ask->send_hello);
  EXPECT_EQ(decode_ack(vector_of("v1/ack_plain"))->next_seq, Seq{UINT64_MAX});
  const Buffer batch = vector_of("v1/batch_boot");
  expect_same(*decode_batch(batch), batch_boot(vector_of("v1/samples_constant")));
}

TEST(GoldenMessages, OfADeviceThatCrashedDecodeWhateverIsLeftOutOrAdded) {
  Tables tables;
  const Buffer whole = vector_of("v1/hello_crash");
  const auto decoded = decode_hello(whole, tables);
  ASSERT_TRUE(decoded.has_value());
  expect_same(*decoded, hello_after_a_crash());

  const Buffer empty = vector_of("v1/hello_crash_empty");
  const auto says_nothing = decode_hello(empty, tables);
  ASSERT_TRUE(says_nothing.has_value());
  EXPECT_EQ(says_nothing->health, Health{});
  EXPECT_EQ(says_nothing->crash, Crash{});

  const Buffer newer = vector_of("newer/hello_crash");
  const auto of_later = decode_hello(newer, tables);
  ASSERT_TRUE(of_later.has_value());
  Hello expected = hello_after_a_crash();
  expected.health->time_quality = TimeQuality::kUnspecified;
  expected.crash->kind = CrashKind::kUnspecified;
  expect_same(*of_later, expected);
}

// Decodes `bytes` as what the name of its vector begins with.
Status decode_as(const std::string& kind, Bytes bytes) {
  const auto status_of = [](const auto& result) { return result ? Status::kOk : result.error(); };
  Tables tables;
  if (kind.starts_with("ack")) return status_of(decode_ack(bytes));
  if (kind.starts_with("hello")) return status_of(decode_hello(bytes, tables));
  if (kind.starts_with("record")) return status_of(decode_record(bytes));
  if (kind.starts_with("batch")) return status_of(decode_batch(bytes));
  ADD_FAILURE() << "no decoder for " << kind;
  return Status::kUnsupported;
}

TEST(MalformedMessages, AreRefused) {
  const auto names = vectors_below("malformed");
  EXPECT_GT(names.size(), 50U);
  for (const std::string& name : names) {
    EXPECT_EQ(decode_as(name.substr(name.find('/') + 1), vector_of(name)), Status::kMalformed) << name;
  }
}

TEST(MalformedMessages, NeverMakeADecoderReadOutsideOfThem) {
  for (const std::string folder : {"v1", "newer", "malformed"}) {
    for (const std::string& name : vectors_below(folder)) {
      const std::string kind = name.substr(name.find('/') + 1);
      if (kind.starts_with("samples")) continue;
      const Buffer whole = vector_of(name);
      for (std::size_t size = 0; size <= whole.size(); ++size) {
        const Buffer cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const Status status = decode_as(kind, cut);
        EXPECT_TRUE(status == Status::kOk || status == Status::kMalformed) << name << " cut at " << size;
      }
      for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        Buffer flipped = whole;
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        const Status status = decode_as(kind, flipped);
        EXPECT_TRUE(status == Status::kOk || status == Status::kMalformed) << name << " bit " << bit;
      }
    }
  }
}

TEST(DecodedText, IsBorrowedFromTheInput) {
  const Buffer bytes = vector_of("v1/hello");
  Tables tables;
  const auto decoded = decode_hello(bytes, tables);
  ASSERT_TRUE(decoded.has_value());
  const auto* first = reinterpret_cast<const char*>(bytes.data());
  EXPECT_GE(decoded->board.data(), first);
  EXPECT_LE(decoded->board.data() + decoded->board.size(), first + bytes.size());
}

TEST(TableHash, ChangesWithEachProperty) {
  std::map<std::uint32_t, std::string> seen;
  const auto expect_new = [&](const ChannelTable& table, const std::string& what) {
    ASSERT_EQ(check(table), Status::kOk) << what;
    EXPECT_TRUE(seen.emplace(hash(table), what).second) << what << " is as " << seen[hash(table)];
  };
  expect_new(kTank, "the original");
  ChannelTable table = kTank;
  table.name = "tank.2";
  expect_new(table, "name");
  table = kTank;
  table.period = Millis{1001};
  expect_new(table, "period");
  table = kTank;
  table.channel_class = ChannelClass::kLive;
  expect_new(table, "class");
  table = kTank;
  table.channels = std::span(kTankChannels).first(2);
  expect_new(table, "fewer channels");
  table = kTank;
  table.rows_max = 16;
  expect_new(table, "rows of a full batch");
  const std::map<std::string, void (*)(Channel&)> changes{
      {"channel name", [](Channel& c) { c.name = "other"; }},
      {"unit", [](Channel& c) { c.unit = "K"; }},
      {"exponent", [](Channel& c) { c.exponent = -3; }},
      {"min", [](Channel& c) { c.min = -3999; }},
      {"max", [](Channel& c) { c.max = 12501; }},
      {"deadband", [](Channel& c) { c.deadband = 4; }},
      {"prior", [](Channel& c) { c.prior = 1; }}};
  for (const auto& [what, change] : changes) {
    auto channels = kTankChannels;
    change(channels[0]);
    table = kTank;
    table.channels = channels;
    expect_new(table, what);
  }
}

TEST(EncodedSizes, StayWithinWhatTheHeaderStates) {
  std::array<std::uint8_t, 64> out{};
  const Try try_id{UINT32_MAX};
  const Seq seq{UINT64_MAX};
  EXPECT_LE(encode_record_prefix(try_id, seq, (1U << 21) - 1, out).value(), kRecordPrefixMax);
  EXPECT_LE(encode(Ack{try_id, seq, true, true, seq}, out).value(), kAckSizeMax);
  const Loss loss{UINT64_MAX, LossReason::kNotHeld};
  EXPECT_LE(encode(Record{.try_id = try_id, .seq = seq, .loss = loss}, out).value(), kNoticeSizeMax);
  const Refused refused{UINT64_MAX, RefusedReason::kFlash};
  EXPECT_LE(encode(Record{.try_id = try_id, .seq = seq, .refused = refused}, out).value(), kNoticeSizeMax);
  const Epoch epoch{UINT64_MAX};
  EXPECT_LE(encode(Record{.try_id = try_id, .seq = seq, .mark = epoch}, out).value(), kNoticeSizeMax);
  const Hello least{.firmware = "0.1.0", .board = "host"};
  Hello most = least;
  most.try_id = try_id;
  most.marks.fill({epoch, seq});
  most.marks_count = kHelloMarksMax;
  most.marks_before = seq;
  most.more_marks = true;
  most.epoch = epoch;
  most.log_state = LogState::kNone;
  most.bad_sectors = UINT32_MAX;
  most.oldest_seq = most.next_seq = seq;
  most.boot = UINT32_MAX;
  most.reset_reason = ResetReason::kPin;
  most.boot_time = UnixMillis{-kTimeMax.count()};
  most.dropped_records = most.refused_records = most.corrupt_records = most.missed_samples = UINT64_MAX;
  most.health = Health{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, TimeQuality::kHoldover};
  const std::string where(kWhereSizeMax, 'x');
  most.crash =
      Crash{CrashKind::kStackOverflow, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, where};
  EXPECT_LE(encoded_size(most, {}) - encoded_size(least, {}), kHelloNumbersMax);
  Hello none = most;
  none.marks_count = 0;
  EXPECT_EQ(encoded_size(most, {}) - encoded_size(none, {}), kHelloMarksMax * kMarkSizeMax);
}

TEST(GoldenSamples, EncodeToTheBytesOfVersion1AndBack) {
  struct Case {
    const char* name;
    std::vector<std::vector<std::int64_t>> rows;
    std::vector<std::uint64_t> priors{};
  };
  std::vector<std::vector<std::int64_t>> counter;
  for (std::int64_t n = 0; n < 32; ++n) counter.push_back({1000 + 17 * n, -500 - n});
  const std::vector<Case> cases{
      {"v1/samples",
       {{2150, 0, 101325},
        {2151, 0, 101325},
        {2151, 0, 101324},
        {2149, 1, 101324},
        {2149, 0, 101330},
        {2149, 0, 101330}}},
      {"v1/samples_extreme",
       {{-INT64_MAX, INT64_MAX, 0, -1},
        {INT64_MAX, -INT64_MAX, 0, 1},
        {0, 0, -INT64_MAX, INT64_MAX},
        {-1, 1, 0, 0}}},
      {"v1/samples_constant", {256, {5, 0}}},
      {"v1/samples_missing",
       {{kMissing, 7, -3}, {5, kMissing, -3}, {5, kMissing, kMissing}, {5, kMissing, -2}, {kMissing, 8, -2}}},
      {"v1/samples_counter", counter},
      {"v1/samples_primed",
       {{2150, 40}, {2151, 40}, {2153, 40}, {2150, 41}, {2150, 41}},
       {0x8D00'0000'0000'018D, 0x8100'0000'0000'0001}}};
  for (const Case& golden : cases) {
    const Buffer bytes = vector_of(golden.name);
    std::vector<ChannelModel> fresh(golden.rows[0].size());
    for (std::size_t i = 0; i < golden.priors.size(); ++i) fresh[i] = ChannelModel(golden.priors[i]);
    std::vector<ChannelModel> models = fresh;
    Buffer out(1024);
    SampleEncoder encoder(models, out);
    for (const auto& row : golden.rows) ASSERT_EQ(encoder.add(row), Status::kOk);
    out.resize(encoder.finish());
    EXPECT_EQ(out, bytes) << golden.name;

    models = fresh;
    SampleDecoder decoder(models, bytes, golden.rows.size());
    std::vector<std::int64_t> row(models.size());
    for (const auto& expected : golden.rows) {
      ASSERT_EQ(decoder.next(row), Status::kOk) << golden.name;
      EXPECT_EQ(row, expected) << golden.name;
    }
    EXPECT_EQ(decoder.next(row), Status::kNotFound);
  }
}

TEST(Loss, OfAReasonThatThisBuildDoesNotKnowIsStillTaken) {
  std::array<std::uint8_t, kNoticeSizeMax> buffer{};
  const Loss loss{.count = 5, .reason = static_cast<LossReason>(9)};
  const auto size = encode(Record{.try_id = kTry, .seq = {43}, .loss = loss}, buffer);
  ASSERT_TRUE(size);
  const auto record = decode_record(Bytes(buffer).first(*size));
  ASSERT_TRUE(record && record->loss);
  EXPECT_EQ(record->loss->count, 5U);
  EXPECT_EQ(record->loss->reason, LossReason::kUnspecified);
}

}  // namespace
}  // namespace godwit::codec
