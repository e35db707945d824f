// SPDX-License-Identifier: Apache-2.0
// The messages of proto/schema as plain structs, encoded and decoded for device, simulator and gateway: Hello
// with nanopb, Record and Ack by hand (records.cc). No allocation; decoded text and bytes are borrowed from
// the input. Decoders take hostile bytes: kMalformed for what does not decode or breaks a bound of
// godwit.options or of this header (a try, an epoch or a sequence number of 0, a time after kTimeMax, text
// with control characters). Fields that this build does not know are skipped.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::codec {

inline constexpr std::size_t kNameSizeMax = 24;
inline constexpr std::size_t kUnitSizeMax = 12;
inline constexpr std::size_t kVersionSizeMax = 32;
inline constexpr std::size_t kWhereSizeMax = 48;
inline constexpr std::size_t kHelloMarksMax = 8;
// The end of the year 9999, the last that RFC 3339 can write; leaves room to add times without overflow.
inline constexpr Millis kTimeMax{253'402'300'799'999};

// value = raw * 10^exponent, in `unit`. See godwit.v1.Channel.
struct Channel {
  std::string_view name{};  // 1 to 24 characters of [a-z0-9_.], unique in its table
  // Up to 12 bytes of UTF-8 without control characters; in UCUM where it has one: "Cel", "%", "By/s".
  std::string_view unit{};
  std::int8_t exponent = 0;  // -18 to 18
  std::int64_t min = 0;      // raw range for readers, min <= max; min = max = 0: none stated
  std::int64_t max = 0;
  std::uint64_t deadband = 0;  // raw; a value this close to the last one kept is recorded as unchanged
  std::uint64_t prior = 0;     // for the coder of samples, any value; 0: none. See ChannelModel
};

enum class ChannelClass : std::uint8_t { kDurable = 1, kLive = 2 };  // as in the schema

struct ChannelTable {
  std::string_view name{};  // 1 to 24 characters of [a-z0-9_.]
  Millis period{0};         // 1 ms to 24 h
  ChannelClass channel_class = ChannelClass::kDurable;
  std::span<const Channel> channels{};  // 1 to kChannelsMax
  std::uint16_t rows_max = 0;           // rows of a full batch, at most kRowsMax; 0: each batch says how many
};

// kInvalidArgument if the table breaks a rule above.
Status check(const ChannelTable& table);
// CRC-32 of the table's encoding; names the table in each batch. Precondition: check() is kOk.
[[nodiscard]] std::uint32_t hash(const ChannelTable& table);

// A table as every hello of a device announces it, with what is dear to compute. The table is borrowed.
struct AnnouncedTable {
  const ChannelTable* table = nullptr;
  std::uint32_t hash = 0;
  std::size_t size_bytes = 0;  // of its encoding
};
// Precondition: check() is kOk.
[[nodiscard]] AnnouncedTable announced(const ChannelTable& table);

// These enumerators are as in the schema. kUnspecified also stands for one that this build does not know.
enum class ResetReason : std::uint8_t {
  kUnspecified,
  kPowerOn,
  kSoftware,
  kWatchdog,
  kFault,
  kBrownOut,
  kPin
};
enum class TimeQuality : std::uint8_t { kUnspecified, kNone, kSynced, kHoldover };
enum class CrashKind : std::uint8_t { kUnspecified, kAssert, kFault, kWatchdog, kStackOverflow };

// How a device is doing. "used" is the most since it started; a size of 0: not measured.
struct Health {
  std::uint32_t stack_used = 0;  // bytes, as the rest
  std::uint32_t stack_size = 0;
  std::uint32_t heap_used = 0;  // of what TLS allocates from
  std::uint32_t heap_size = 0;
  TimeQuality time_quality = TimeQuality::kUnspecified;
  friend bool operator==(const Health&, const Health&) = default;
};

// How a boot ended that crashed. 0: not known.
struct Crash {
  CrashKind kind = CrashKind::kUnspecified;
  std::uint32_t pc = 0;
  std::uint32_t lr = 0;
  std::uint32_t cause = 0;    // the fault status register of the processor; CFSR on a Cortex-M
  std::uint32_t address = 0;  // of the access that failed
  std::uint32_t stack_used = 0;
  std::string_view where{};  // "file:line" of an assertion; at most 48 printable ASCII characters
  friend bool operator==(const Crash&, const Crash&) = default;
};

// What a device's log can be used for.
enum class LogState : std::uint8_t {
  kUnspecified,
  kOk,
  kDegraded,  // sectors of the flash that failed are left out
  kNone,      // no sector can be used: nothing can be recorded
};

struct Hello {
  Try try_id{};
  Seq oldest_seq{};  // of what the log still holds, acknowledged or not
  Seq next_seq{};
  std::array<Mark, kHelloMarksMax> marks{};  // newest first; the first marks_count count
  std::size_t marks_count = 0;
  Seq marks_before{};           // these are the newest marks below it (see Ack::marks_before); 0: the newest
  bool more_marks = false;      // the device knows older ones
  Epoch epoch{};                // of this boot's own mark; 0: nothing was appended since the log was mounted
  std::string_view firmware{};  // at most 32 bytes of UTF-8 without control characters
  std::string_view board{};     // likewise
  std::uint32_t boot = 0;
  ResetReason reset_reason = ResetReason::kUnspecified;
  std::optional<UnixMillis> boot_time{};  // Unix time at this boot's monotonic zero
  std::uint64_t dropped_records = 0;
  std::uint64_t refused_records = 0;
  std::uint64_t corrupt_records = 0;
  std::uint64_t missed_samples = 0;
  std::optional<Health> health{};
  std::optional<Crash> crash{};  // of the boot before; said in every hello of this one
  LogState log_state = LogState::kUnspecified;
  std::uint32_t bad_sectors = 0;  // of the log, left out

  [[nodiscard]] std::span<const Mark> named_marks() const { return std::span(marks).first(marks_count); }
};

enum class LossReason : std::uint8_t { kUnspecified, kDroppedFull, kCorrupt, kNotHeld };
// Entries that will never come: as many as `count`, from the seq of the record on.
struct Loss {
  std::uint64_t count = 0;
  LossReason reason = LossReason::kDroppedFull;
  friend bool operator==(const Loss&, const Loss&) = default;
};

enum class RefusedReason : std::uint8_t { kUnspecified, kFull, kFlash };
// An entry of the log: so many records were refused between the entry before and the one behind it.
struct Refused {
  std::uint64_t count = 0;
  RefusedReason reason = RefusedReason::kFull;
  friend bool operator==(const Refused&, const Refused&) = default;
};

// What stands at `seq`, said under the try of a hello.
struct Record {
  Try try_id{};
  Seq seq{};
  // Exactly one of these.
  std::optional<Bytes> batch{};  // an encoded Batch (batch.h)
  std::optional<Loss> loss{};
  std::optional<Epoch> mark{};  // the epoch that begins with `seq`
  std::optional<Refused> refused{};
};

// The answer of the gateway. A device heeds it only if it names the device's last hello, except for a try of
// 0, which comes with send_hello alone: the gateway has heard no hello since it started, and next_seq says
// nothing.
struct Ack {
  Try try_id{};
  Seq next_seq = kFirstSeq;
  bool rewind = false;
  bool send_hello = false;
  Seq marks_before{};  // not 0: say hello with the marks below it, and send nothing yet
};

// Bytes of a Hello besides its texts and tables.
inline constexpr std::size_t kHelloNumbersMax = 420;
inline constexpr std::size_t kMarkSizeMax = 22;      // of them, a mark
inline constexpr std::size_t kRecordPrefixMax = 20;  // bytes of a Record before its batch
inline constexpr std::size_t kAckSizeMax = 32;
inline constexpr std::size_t kNoticeSizeMax = 32;  // bytes of a Record without a batch

// Encoders do not check the bounds that decoders do. They yield the size written to the front of `out`;
// kFull: `out` is too small, its contents are undefined.
std::expected<std::size_t, Status> encode(const Hello& hello, std::span<const AnnouncedTable> tables,
                                          MutableBytes out);
std::expected<std::size_t, Status> encode(const Ack& ack, MutableBytes out);
std::expected<std::size_t, Status> encode(const Record& record, MutableBytes out);
// What goes before an encoded batch of `batch_size` bytes (below 2 MiB) to make it a Record.
std::expected<std::size_t, Status> encode_record_prefix(Try try_id, Seq seq, std::size_t batch_size,
                                                        MutableBytes out);

// What encode() would write; a fraction of its work.
[[nodiscard]] std::size_t encoded_size(const Hello& hello, std::span<const AnnouncedTable> tables);

std::expected<Ack, Status> decode_ack(Bytes in);
std::expected<Record, Status> decode_record(Bytes in);

// At most `size_max` printable ASCII characters: text that every reader takes.
[[nodiscard]] bool is_label(std::string_view text, std::size_t size_max);

// Receives the tables of a Hello one by one, each checked; everything is borrowed for the call. What follows
// a table may still turn out to be malformed.
class TableVisitor {
 public:
  virtual ~TableVisitor() = default;
  virtual void table(std::uint32_t hash, const ChannelTable& table) = 0;
};
// kMalformed also if a table's hash is not that of its content.
std::expected<Hello, Status> decode_hello(Bytes in, TableVisitor& visitor);

}  // namespace godwit::codec
