// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain/hello.h"

#include <array>
#include <cstdint>

#include "gateway/domain/event_json.h"
#include "gateway/domain/hex.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

namespace godwit::gateway {
namespace {

class NoTables : public codec::TableVisitor {
 public:
  void table(std::uint32_t /*hash*/, const codec::ChannelTable& /*table*/) override {}
};

std::string_view time_quality_name(codec::TimeQuality quality) {
  switch (quality) {
    case codec::TimeQuality::kNone:
      return "none";
    case codec::TimeQuality::kSynced:
      return "synced";
    case codec::TimeQuality::kHoldover:
      return "holdover";
    case codec::TimeQuality::kUnspecified:
      break;
  }
  return "";
}

std::string_view crash_kind_name(codec::CrashKind kind) {
  switch (kind) {
    case codec::CrashKind::kAssert:
      return "assert";
    case codec::CrashKind::kFault:
      return "fault";
    case codec::CrashKind::kWatchdog:
      return "watchdog";
    case codec::CrashKind::kStackOverflow:
      return "stack_overflow";
    case codec::CrashKind::kUnspecified:
      break;
  }
  return "unspecified";
}

struct Cause {
  unsigned bit;
  std::string_view text;
};
// The bits of a Cortex-M's Configurable Fault Status Register: Armv7-M Architecture Reference Manual,
// B3.2.15; bit 20 is Armv8-M's.
constexpr std::array<Cause, 18> kCauses{{{0, "instruction access violation"},
                                         {1, "data access violation"},
                                         {3, "access violation on exception return"},
                                         {4, "access violation on exception entry"},
                                         {5, "access violation on saving floating-point state"},
                                         {8, "instruction bus error"},
                                         {9, "data bus error"},
                                         {10, "imprecise data bus error"},
                                         {11, "bus error on exception return"},
                                         {12, "bus error on exception entry"},
                                         {13, "bus error on saving floating-point state"},
                                         {16, "undefined instruction"},
                                         {17, "invalid state"},
                                         {18, "invalid exception return"},
                                         {19, "no coprocessor"},
                                         {20, "stack limit exceeded"},
                                         {24, "unaligned access"},
                                         {25, "divide by zero"}}};
// Either of its bits that say that the address is that of the access: BFARVALID, MMARVALID.
constexpr std::uint32_t kAddressValid = 0x8080;

void append_name(std::string& out, std::string_view name) {
  if (!out.empty() && out.back() != '{' && out.back() != ',') out += ',';
  append_json_string(out, name);
  out += ':';
}

void append_number(std::string& out, std::string_view name, std::uint32_t value) {
  append_name(out, name);
  out += std::to_string(value);
}

// As debuggers take addresses.
void append_register(std::string& out, std::string_view name, std::uint32_t value) {
  append_name(out, name);
  out += R"("0x)";
  append_hex(out, value, 8);
  out += '"';
}

void append_causes(std::string& out, std::uint32_t cause) {
  append_name(out, "causes");
  out += '[';
  for (const Cause& known : kCauses) {
    if ((cause >> known.bit & 1U) == 0) continue;
    if (out.back() != '[') out += ',';
    append_json_string(out, known.text);
  }
  out += ']';
}

}  // namespace

std::string pack(codec::Hello hello) {
  hello.marks_count = 0;
  std::array<std::uint8_t, codec::kHelloNumbersMax + 128> buffer{};  // texts: 112 bytes at most
  const auto size = codec::encode(hello, {}, buffer);
  GODWIT_ASSERT(size.has_value());  // its texts were bounded when it was decoded
  return std::string(as_text(Bytes(buffer).first(*size)));
}

std::optional<codec::Hello> unpack(std::string_view packed) {
  NoTables tables;
  const auto hello = codec::decode_hello(as_bytes(packed), tables);
  if (!hello) return std::nullopt;
  return *hello;
}

std::string_view reset_reason_name(codec::ResetReason reason) {
  switch (reason) {
    case codec::ResetReason::kPowerOn:
      return "power_on";
    case codec::ResetReason::kSoftware:
      return "software";
    case codec::ResetReason::kWatchdog:
      return "watchdog";
    case codec::ResetReason::kFault:
      return "fault";
    case codec::ResetReason::kBrownOut:
      return "brown_out";
    case codec::ResetReason::kPin:
      return "pin";
    case codec::ResetReason::kUnspecified:
      break;
  }
  return "unspecified";
}

std::string_view log_state_name(codec::LogState state) {
  switch (state) {
    case codec::LogState::kOk:
      return "ok";
    case codec::LogState::kDegraded:
      return "degraded";
    case codec::LogState::kNone:
      return "none";
    case codec::LogState::kUnspecified:
      break;
  }
  return "unspecified";
}

void append_health(std::string& out, const codec::Health& health) {
  out += '{';
  if (health.time_quality != codec::TimeQuality::kUnspecified) {
    append_name(out, "time_quality");
    append_json_string(out, time_quality_name(health.time_quality));
  }
  if (health.stack_size != 0) {
    append_number(out, "stack_used", health.stack_used);
    append_number(out, "stack_size", health.stack_size);
  }
  if (health.heap_size != 0) {
    append_number(out, "heap_used", health.heap_used);
    append_number(out, "heap_size", health.heap_size);
  }
  out += '}';
}

void append_crash(std::string& out, const codec::Crash& crash) {
  append_name(out, "kind");
  append_json_string(out, crash_kind_name(crash.kind));
  if (!crash.where.empty()) {
    append_name(out, "where");
    append_json_string(out, crash.where);
  }
  if (crash.pc != 0) append_register(out, "pc", crash.pc);
  if (crash.lr != 0) append_register(out, "lr", crash.lr);
  if (crash.cause != 0) {
    append_register(out, "cause", crash.cause);
    append_causes(out, crash.cause);
  }
  if (crash.address != 0 || (crash.cause & kAddressValid) != 0)
    append_register(out, "address", crash.address);
  if (crash.stack_used != 0) append_number(out, "stack_used", crash.stack_used);
}

}  // namespace godwit::gateway
