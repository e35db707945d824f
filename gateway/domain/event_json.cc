// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/event_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>

#include "gateway/domain/batch.h"
#include "gateway/domain/hello.h"
#include "gateway/domain/hex.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/codec/messages.h"
#include "proto/codec/samples.h"

namespace godwit::gateway {
namespace {

struct TypeName {
  EventType type;
  std::string_view name;
};
constexpr std::array<TypeName, 10> kTypeNames{{{EventType::kTelemetry, "telemetry"},
                                               {EventType::kLoss, "loss"},
                                               {EventType::kEpoch, "epoch"},
                                               {EventType::kDeviceOnline, "device.online"},
                                               {EventType::kDeviceOffline, "device.offline"},
                                               {EventType::kHistoryReplaced, "history.replaced"},
                                               {EventType::kHistoryUnknown, "history.unknown"},
                                               {EventType::kHistoryForgotten, "history.forgotten"},
                                               {EventType::kTableConflict, "table.conflict"},
                                               {EventType::kDeviceThrottled, "device.throttled"}}};

// With leading zeros up to `width` digits.
template <typename Integer>
void append_integer(std::string& out, Integer value, std::size_t width = 1) {
  std::array<char, 24> text{};
  const auto* const end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const auto size = static_cast<std::size_t>(end - text.data());
  if (size < width) out.append(width - size, '0');
  out.append(text.data(), size);
}

// RFC 4648, section 4, with padding.
void append_base64(std::string& out, Bytes bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t size = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = (group << 8U) | (j < size ? bytes[i + j] : 0U);
    for (std::size_t j = 0; j < 4; ++j) {
      out.push_back(j <= size ? kDigits[(group >> (18 - (6 * j))) & 0x3FU] : '=');
    }
  }
}

std::string_view loss_reason_name(LossReason reason) {
  switch (reason) {
    case LossReason::kDroppedFull:
      return "dropped_full";
    case LossReason::kCorrupt:
      return "corrupt";
    case LossReason::kNotHeld:
      return "not_held";
    case LossReason::kRefusedFull:
      return "refused_full";
    case LossReason::kRefusedFlash:
      return "refused_flash";
    case LossReason::kQuarantined:
      return "quarantined";
    case LossReason::kUnspecified:
      break;
  }
  return "unspecified";
}

std::string_view offline_reason_name(OfflineReason reason) {
  switch (reason) {
    case OfflineReason::kWill:
      return "will";
    case OfflineReason::kStopped:
      return "stopped";
    case OfflineReason::kSilent:
      return "silent";
    case OfflineReason::kRestarted:
      return "restarted";
    case OfflineReason::kUnspecified:
      break;
  }
  return "unspecified";
}

void append_seq(std::string& out, const Event& event) {
  out += R"(,"seq":)";
  append_integer(out, event.seq.value);
}

void append_batch_time(std::string& out, const BatchTime& time) {
  if (time.quality == TimeQuality::kBootRelative) {
    out += R"(,"boot":)";
    append_integer(out, time.boot);
    out += R"(,"boot_ms":)";
    append_integer(out, time.boot_time.count());
  } else {
    out += R"(,"time":")";
    append_time(out, time.unix_time);
    out += '"';
  }
  out += R"(,"time_quality":")";
  out += time_quality_name(time.quality);
  out += '"';
}

// The least that a value takes: a digit, and a comma or bracket.
constexpr std::size_t kValueSizeMin = 2;

// False: out.size() would go beyond `size_max`. Goes on for at most a channel more before it sees that.
bool append_channels(std::string& out, const BatchRows& batch, std::size_t size_max) {
  if (out.size() + batch.values.size() * kValueSizeMin > size_max) return false;
  out += R"(,"channels":{)";
  for (std::size_t channel = 0; channel < batch.table->channels.size(); ++channel) {
    if (out.size() > size_max) return false;
    const ChannelInfo& info = batch.table->channels[channel];
    if (channel > 0) out += ',';
    append_json_string(out, info.name);
    out += ":[";
    for (std::size_t row = 0; row < batch.rows; ++row) {
      if (row > 0) out += ',';
      append_value(out, batch.at(row, channel), info.exponent);
    }
    out += ']';
  }
  out += '}';
  return out.size() <= size_max;
}

void append_batch(std::string& out, const Event& event) {
  out += R"(,"channels":null,"batch":")";
  append_base64(out, as_bytes(event.batch));
  out += '"';
}

void append_telemetry(std::string& out, const Event& event, const BatchContext& context) {
  if (event.seq == kLiveSeq) {
    out += R"(,"live":true)";
  } else {
    append_seq(out, event);
  }
  const std::size_t size_max = out.size() + kEventJsonMax;
  if (const auto batch = batch_rows(event, context)) {
    out += R"(,"table":)";
    append_json_string(out, batch->table->name);
    append_batch_time(out, batch->time);
    out += R"(,"period_ms":)";
    append_integer(out, batch->table->period_ms);
    out += R"(,"rows":)";
    append_integer(out, batch->rows);
    const std::size_t size = out.size();
    if (!append_channels(out, *batch, size_max)) {
      out.resize(size);
      append_batch(out, event);
    }
    return;
  }
  if (const auto info = batch_info(event, context)) {
    out += R"(,"table_hash":")";
    append_hex(out, info->table_hash, 8);
    out += '"';
    append_batch_time(out, info->time);
    if (info->rows != 0) {
      out += R"(,"rows":)";
      append_integer(out, info->rows);
    }
    out += R"(,"channels":null,"samples":")";
    append_base64(out, info->samples);
    out += '"';
    return;
  }
  append_batch(out, event);
}

void append_loss(std::string& out, const Event& event) {
  append_seq(out, event);
  out += R"(,"count":)";
  append_integer(out, event.count);
  out += R"(,"reason":")";
  out += loss_reason_name(event.loss_reason);
  out += '"';
}

std::string_view throttle_reason_name(ThrottleReason reason) {
  switch (reason) {
    case ThrottleReason::kUnspecified:
      break;
    case ThrottleReason::kQueueFull:
      return "queue_full";
    case ThrottleReason::kDayBudget:
      return "day_budget";
    case ThrottleReason::kDiskLow:
      return "disk_low";
  }
  return "unspecified";
}

void append_throttled(std::string& out, const Event& event) {
  out += R"(,"count":)";
  append_integer(out, event.count);
  out += R"(,"reason":")";
  out += throttle_reason_name(event.throttle_reason);
  out += '"';
}

void append_online(std::string& out, const Event& event) {
  const auto hello = unpack(event.hello);
  if (!hello) return;
  out += R"(,"firmware":)";
  append_json_string(out, hello->firmware);
  out += R"(,"board":)";
  append_json_string(out, hello->board);
  out += R"(,"boot":)";
  append_integer(out, hello->boot);
  out += R"(,"reset_reason":")";
  out += reset_reason_name(hello->reset_reason);
  out += R"(","health":)";
  append_health(out, hello->health.value_or(codec::Health{}));
  if (!hello->crash) return;
  out += R"(,"crash":{)";
  append_crash(out, *hello->crash);
  out += '}';
}

// Those that only some types have.
void append_members(std::string& out, const Event& event, const BatchContext& context) {
  switch (event.type) {
    case EventType::kTelemetry:
      return append_telemetry(out, event, context);
    case EventType::kLoss:
      return append_loss(out, event);
    case EventType::kDeviceOnline:
      return append_online(out, event);
    case EventType::kEpoch:
    case EventType::kHistoryUnknown:
      return append_seq(out, event);
    case EventType::kDeviceOffline:
      out += R"(,"reason":")";
      out += offline_reason_name(event.offline_reason);
      out += '"';
      return;
    case EventType::kHistoryReplaced:
      append_seq(out, event);
      out += R"(,"expected_seq":)";
      append_integer(out, event.count);
      return;
    case EventType::kHistoryForgotten:
      out += R"(,"count":)";
      append_integer(out, event.count);
      return;
    case EventType::kDeviceThrottled:
      return append_throttled(out, event);
    case EventType::kTableConflict:
      out += R"(,"table_hash":")";
      append_hex(out, event.count, 8);
      out += '"';
      return;
  }
}

}  // namespace

std::string_view type_name(EventType type) {
  const auto* const entry = std::ranges::find(kTypeNames, type, &TypeName::type);
  GODWIT_ASSERT(entry != kTypeNames.end());
  return entry->name;
}

std::span<const EventType> event_types() {
  static constexpr auto kTypes = [] {
    std::array<EventType, kTypeNames.size()> types{};
    std::ranges::transform(kTypeNames, types.begin(), &TypeName::type);
    return types;
  }();
  return kTypes;
}

std::optional<EventType> event_type(std::string_view name) {
  const auto* const entry = std::ranges::find(kTypeNames, name, &TypeName::name);
  if (entry == kTypeNames.end()) return std::nullopt;
  return entry->type;
}

void append_json(std::string& out, const Event& event, const BatchContext& context) {
  out += R"({"id":")";
  append_log_id(out, {event.offset, event.term});
  out += R"(","offset":)";
  append_integer(out, event.offset.value);
  out += R"(,"type":")";
  out += type_name(event.type);
  out += R"(","device":)";
  append_json_string(out, event.device);
  out += R"(,"received_at":")";
  append_time(out, event.received_at);
  out += '"';
  if (event.epoch != Epoch{}) {
    out += R"(,"epoch":")";
    append_epoch(out, event.epoch);
    out += '"';
  }
  append_members(out, event, context);
  out += '}';
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20U) {
      out += "\\u";
      append_hex(out, static_cast<unsigned char>(c), 4);
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_value(std::string& out, std::int64_t raw, int exponent) {
  if (raw == codec::kMissing) {
    out += "null";
  } else {
    append_decimal(out, raw, exponent);
  }
}

void append_decimal(std::string& out, std::int64_t raw, int exponent) {
  if (raw == 0) {
    out += '0';
    return;
  }
  if (raw < 0) out += '-';
  auto magnitude = raw < 0 ? 0U - static_cast<std::uint64_t>(raw) : static_cast<std::uint64_t>(raw);
  while (exponent < 0 && magnitude % 10 == 0) {
    magnitude /= 10;
    ++exponent;
  }
  if (exponent >= 0) {
    append_integer(out, magnitude);
    out.append(static_cast<std::size_t>(exponent), '0');
    return;
  }
  const auto decimals = static_cast<std::size_t>(-exponent);
  const std::size_t start = out.size();
  append_integer(out, magnitude, decimals + 1);
  out.insert(start + (out.size() - start - decimals), 1, '.');
}

void append_time(std::string& out, UnixMillis time) {
  using namespace std::chrono;
  // Four digits of year, as RFC 3339 has it; a hostile device may name any time.
  constexpr sys_time<milliseconds> kFirst{sys_days{year{0} / January / 1}};
  constexpr sys_time<milliseconds> kLast{sys_days{year{10'000} / January / 1} - milliseconds{1}};
  const auto instant = std::clamp(sys_time<milliseconds>{milliseconds{time.value}}, kFirst, kLast);
  const auto day = floor<days>(instant);
  const auto ms = static_cast<std::uint64_t>((instant - day).count());
  const year_month_day date{day};
  append_integer(out, static_cast<int>(date.year()), 4);
  out += '-';
  append_integer(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_integer(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_integer(out, ms / 3'600'000, 2);
  out += ':';
  append_integer(out, ms / 60'000 % 60, 2);
  out += ':';
  append_integer(out, ms / 1000 % 60, 2);
  out += '.';
  append_integer(out, ms % 1000, 3);
  out += 'Z';
}

void append_epoch(std::string& out, Epoch epoch) { append_hex(out, epoch.value, 16); }

}  // namespace godwit::gateway
