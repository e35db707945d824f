// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/messages.h"

#include <pb_decode.h>
#include <pb_encode.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "godwit.pb.h"

#include "proto/base/crc32.h"
#include "proto/base/utf8.h"
#include "proto/codec/fields.h"
#include "proto/codec/samples.h"

namespace godwit::codec {
namespace {

constexpr Millis kPeriodMax = std::chrono::hours{24};
constexpr int kExponentMax = 18;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameSizeMax && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

bool is_plain_text(std::string_view text, std::size_t size_max) {
  if (text.size() > size_max) return false;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t character = next_character(as_bytes(text), at);
    if (character == kNoCharacter || is_control(character)) return false;
  }
  return true;
}

bool is_sound(const Channel& channel) {
  return is_name(channel.name) && is_plain_text(channel.unit, kUnitSizeMax) &&
         channel.exponent >= -kExponentMax && channel.exponent <= kExponentMax && channel.min <= channel.max;
}

// put_* and take_*: as in fields.h.

bool put_channels(pb_ostream_t* stream, const pb_field_t* field, void* const* arg) {
  for (const Channel& channel : *static_cast<const std::span<const Channel>*>(*arg)) {
    godwit_v1_Channel message{};
    message.name = source_of(put_text, channel.name);
    message.unit = source_of(put_text, channel.unit);
    message.exponent = channel.exponent;  // NOLINT(bugprone-signed-char-misuse): a number, not a character
    message.min = channel.min;
    message.max = channel.max;
    message.deadband = channel.deadband;
    message.prior = channel.prior;
    if (!pb_encode_tag_for_field(stream, field)) return false;
    if (!pb_encode_submessage(stream, godwit_v1_Channel_fields, &message)) return false;
  }
  return true;
}

// Borrows from `table`. With a hash of 0 the field is left out, as proto3 has it.
godwit_v1_ChannelTable to_message(const ChannelTable& table, std::uint32_t hash) {
  godwit_v1_ChannelTable message{};
  message.hash = hash;
  message.name = source_of(put_text, table.name);
  message.period_ms = static_cast<std::uint32_t>(table.period.count());
  message.channel_class = static_cast<godwit_v1_ChannelClass>(table.channel_class);
  message.channels = source_of(put_channels, table.channels);
  message.rows_max = table.rows_max;
  return message;
}

// Their sizes are known: nanopb would encode each table once more to find it.
bool put_tables(pb_ostream_t* stream, const pb_field_t* field, void* const* arg) {
  for (const AnnouncedTable& known : *static_cast<const std::span<const AnnouncedTable>*>(*arg)) {
    if (!pb_encode_tag_for_field(stream, field) || !pb_encode_varint(stream, known.size_bytes)) return false;
    if (stream->callback == nullptr) {  // counts only
      if (!pb_write(stream, nullptr, known.size_bytes)) return false;
      continue;
    }
    const auto message = to_message(*known.table, known.hash);
    if (!pb_encode(stream, godwit_v1_ChannelTable_fields, &message)) return false;
  }
  return true;
}

bool add_to_crc(pb_ostream_t* stream, const pb_byte_t* bytes, std::size_t size) {
  auto& crc = *static_cast<std::uint32_t*>(stream->state);
  crc = crc32({bytes, size}, crc);
  return true;
}

// The number that came, which need not be one of the enumerators: reading it as one would be undefined.
template <typename Enum>
std::uint64_t number_of(const Enum& value) {
  std::underlying_type_t<Enum> number;
  std::memcpy(&number, &value, sizeof number);
  return static_cast<std::uint64_t>(number);
}

// `message`, or kUnspecified for one above `last`: what a newer peer has is no ground to refuse what it says.
template <typename Enum, typename MessageEnum>
Enum known_or_unspecified(const MessageEnum& message, Enum last) {
  const std::uint64_t number = number_of(message);
  return number <= number_of(last) ? static_cast<Enum>(number) : Enum::kUnspecified;
}

struct ChannelList {
  std::array<Channel, kChannelsMax> channels;
  std::size_t count = 0;
};

bool take_channel(pb_istream_t* stream, const pb_field_t* /*field*/, void** arg) {
  auto& list = *static_cast<ChannelList*>(*arg);
  if (!rest_of(*stream) || list.count == list.channels.size()) return false;
  Channel& channel = list.channels[list.count++];
  godwit_v1_Channel message{};
  message.name = sink_to(take_text, channel.name);
  message.unit = sink_to(take_text, channel.unit);
  if (!pb_decode(stream, godwit_v1_Channel_fields, &message)) return false;
  if (message.exponent < -kExponentMax || message.exponent > kExponentMax) return false;
  channel.exponent = static_cast<std::int8_t>(message.exponent);
  channel.min = message.min;
  channel.max = message.max;
  channel.deadband = message.deadband;
  channel.prior = message.prior;
  return true;
}

// Over the bytes as they came: an encoding by a newer device may hold fields that a struct of ours would
// lose.
std::optional<std::uint32_t> crc_without_hash(Bytes table) {
  pb_istream_t stream = stream_of(table);
  std::uint32_t crc = 0;
  while (stream.bytes_left > 0) {
    const auto before = rest_of(stream);
    pb_wire_type_t wire_type{};
    std::uint32_t tag = 0;
    bool eof = false;
    if (!before || !pb_decode_tag(&stream, &wire_type, &tag, &eof)) return std::nullopt;
    if (!pb_skip_field(&stream, wire_type)) return std::nullopt;
    if (tag != godwit_v1_ChannelTable_hash_tag)
      crc = crc32(before->first(before->size() - stream.bytes_left), crc);
  }
  return crc;
}

bool take_table(pb_istream_t* stream, const pb_field_t* /*field*/, void** arg) {
  const auto raw = rest_of(*stream);
  if (!raw) return false;
  ChannelTable table;
  ChannelList list;
  godwit_v1_ChannelTable message{};
  message.name = sink_to(take_text, table.name);
  message.channels = sink_to(take_channel, list);
  if (!pb_decode(stream, godwit_v1_ChannelTable_fields, &message)) return false;
  if (number_of(message.channel_class) > number_of(ChannelClass::kLive)) return false;
  table.period = Millis{message.period_ms};
  table.channel_class = static_cast<ChannelClass>(number_of(message.channel_class));
  table.channels = std::span(list.channels).first(list.count);
  if (message.rows_max > kRowsMax) return false;
  table.rows_max = static_cast<std::uint16_t>(message.rows_max);
  if (check(table) != Status::kOk || crc_without_hash(*raw) != message.hash) return false;
  static_cast<TableVisitor*>(*arg)->table(message.hash, table);
  return true;
}

std::unexpected<Status> malformed() { return std::unexpected(Status::kMalformed); }

}  // namespace

Status check(const ChannelTable& table) {
  if (!is_name(table.name)) return Status::kInvalidArgument;
  if (table.period < Millis{1} || table.period > kPeriodMax) return Status::kInvalidArgument;
  if (table.channel_class != ChannelClass::kDurable && table.channel_class != ChannelClass::kLive) {
    return Status::kInvalidArgument;
  }
  if (table.rows_max > kRowsMax) return Status::kInvalidArgument;
  const auto channels = table.channels;
  if (channels.empty() || channels.size() > kChannelsMax) return Status::kInvalidArgument;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (!is_sound(channels[i])) return Status::kInvalidArgument;
    for (std::size_t j = 0; j < i; ++j) {
      if (channels[i].name == channels[j].name) return Status::kInvalidArgument;
    }
  }
  return Status::kOk;
}

AnnouncedTable announced(const ChannelTable& table) {
  std::uint32_t crc = 0;
  pb_ostream_t stream{};
  stream.callback = add_to_crc;
  stream.state = &crc;
  stream.max_size = SIZE_MAX;
  const auto message = to_message(table, 0);
  (void)pb_encode(&stream, godwit_v1_ChannelTable_fields,
                  &message);  // cannot fail: the stream takes everything
  const std::size_t hash_size = crc == 0 ? 0 : 1 + sizeof crc;
  return {&table, crc, hash_size + stream.bytes_written};
}

std::uint32_t hash(const ChannelTable& table) { return announced(table).hash; }

namespace {

godwit_v1_Health to_message(const Health& health) {
  godwit_v1_Health message{};
  message.stack_used = health.stack_used;
  message.stack_size = health.stack_size;
  message.heap_used = health.heap_used;
  message.heap_size = health.heap_size;
  message.time_quality = static_cast<godwit_v1_TimeQuality>(health.time_quality);
  return message;
}

// Borrows the text.
godwit_v1_Crash to_message(const Crash& crash) {
  godwit_v1_Crash message{};
  message.kind = static_cast<godwit_v1_CrashKind>(crash.kind);
  message.pc = crash.pc;
  message.lr = crash.lr;
  message.cause = crash.cause;
  message.address = crash.address;
  message.stack_used = crash.stack_used;
  message.where = source_of(put_text, crash.where);
  return message;
}

// Borrows from both arguments.
godwit_v1_Hello to_message(const Hello& hello, const std::span<const AnnouncedTable>& tables) {
  godwit_v1_Hello message{};
  message.try_id = hello.try_id.value;
  message.oldest_seq = hello.oldest_seq.value;
  message.next_seq = hello.next_seq.value;
  for (const Mark& mark : hello.named_marks())
    message.marks[message.marks_count++] = {mark.epoch.value, mark.first_seq.value};
  message.marks_before = hello.marks_before.value;
  message.more_marks = hello.more_marks;
  message.epoch = hello.epoch.value;
  message.firmware = source_of(put_text, hello.firmware);
  message.board = source_of(put_text, hello.board);
  message.boot = hello.boot;
  message.reset_reason = static_cast<godwit_v1_ResetReason>(hello.reset_reason);
  message.boot_unix_ms = hello.boot_time ? hello.boot_time->value : 0;
  message.dropped_records = hello.dropped_records;
  message.refused_records = hello.refused_records;
  message.corrupt_records = hello.corrupt_records;
  message.missed_samples = hello.missed_samples;
  message.tables = source_of(put_tables, tables);
  message.has_health = hello.health.has_value();
  if (hello.health) message.health = to_message(*hello.health);
  message.has_crash = hello.crash.has_value();
  if (hello.crash) message.crash = to_message(*hello.crash);
  message.log_state = static_cast<godwit_v1_LogState>(hello.log_state);
  message.bad_sectors = hello.bad_sectors;
  return message;
}

Health health_of(const godwit_v1_Health& message) {
  return {.stack_used = message.stack_used,
          .stack_size = message.stack_size,
          .heap_used = message.heap_used,
          .heap_size = message.heap_size,
          .time_quality = known_or_unspecified(message.time_quality, TimeQuality::kHoldover)};
}

Crash crash_of(const godwit_v1_Crash& message, std::string_view where) {
  return {.kind = known_or_unspecified(message.kind, CrashKind::kStackOverflow),
          .pc = message.pc,
          .lr = message.lr,
          .cause = message.cause,
          .address = message.address,
          .stack_used = message.stack_used,
          .where = where};
}

// False: they are not the newest below some place, newest first.
bool take_marks(const godwit_v1_Hello& message, Hello& hello) {
  hello.marks_before = {message.marks_before};
  Seq above{message.next_seq};
  if (message.marks_before != 0) above = std::min(above, hello.marks_before);
  for (const godwit_v1_Mark& mark : std::span(message.marks).first(message.marks_count)) {
    const Mark named{{mark.epoch}, {mark.first_seq}};
    if (named.epoch == Epoch{} || named.first_seq < kFirstSeq || named.first_seq >= above) return false;
    above = named.first_seq;
    hello.marks[hello.marks_count++] = named;
  }
  return true;
}

}  // namespace

bool is_label(std::string_view text, std::size_t size_max) {
  return text.size() <= size_max && std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::size_t encoded_size(const Hello& hello, std::span<const AnnouncedTable> tables) {
  const auto message = to_message(hello, tables);
  pb_ostream_t counting{};
  counting.max_size = SIZE_MAX;
  (void)pb_encode(&counting, godwit_v1_Hello_fields, &message);  // cannot fail: nothing is written
  return counting.bytes_written;
}

std::expected<std::size_t, Status> encode(const Hello& hello, std::span<const AnnouncedTable> tables,
                                          MutableBytes out) {
  const auto message = to_message(hello, tables);
  return encode_message(godwit_v1_Hello_fields, &message, out);
}

std::expected<Hello, Status> decode_hello(Bytes in, TableVisitor& visitor) {
  Hello hello;
  pb_istream_t stream = stream_of(in);
  godwit_v1_Hello message{};
  message.firmware = sink_to(take_text, hello.firmware);
  message.board = sink_to(take_text, hello.board);
  message.tables = sink_to(take_table, visitor);
  std::string_view where;
  message.crash.where = sink_to(take_text, where);
  if (!pb_decode(&stream, godwit_v1_Hello_fields, &message)) return malformed();
  if (message.try_id == 0 || message.oldest_seq == 0 || message.oldest_seq > message.next_seq)
    return malformed();
  if (!take_marks(message, hello)) return malformed();
  if (!is_plain_text(hello.firmware, kVersionSizeMax) || !is_plain_text(hello.board, kVersionSizeMax)) {
    return malformed();
  }
  if (!is_label(where, kWhereSizeMax)) return malformed();
  if (message.boot_unix_ms > kTimeMax.count() || message.boot_unix_ms < -kTimeMax.count()) return malformed();
  hello.try_id = {message.try_id};
  hello.oldest_seq = {message.oldest_seq};
  hello.next_seq = {message.next_seq};
  hello.more_marks = message.more_marks;
  hello.epoch = {message.epoch};
  hello.boot = message.boot;
  hello.reset_reason = known_or_unspecified(message.reset_reason, ResetReason::kPin);
  if (message.boot_unix_ms != 0) hello.boot_time = UnixMillis{message.boot_unix_ms};
  hello.dropped_records = message.dropped_records;
  hello.refused_records = message.refused_records;
  hello.corrupt_records = message.corrupt_records;
  hello.missed_samples = message.missed_samples;
  if (message.has_health) hello.health = health_of(message.health);
  if (message.has_crash) hello.crash = crash_of(message.crash, where);
  hello.log_state = known_or_unspecified(message.log_state, LogState::kNone);
  hello.bad_sectors = message.bad_sectors;
  return hello;
}

}  // namespace godwit::codec
