// SPDX-License-Identifier: Apache-2.0
// What a hello says about its device, as the log and the list of devices keep it and as JSON shows it. The
// format: docs/reference/rest.md, "A device". Values; safe from any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proto/codec/messages.h"

namespace godwit::gateway {

// The hello encoded, without its tables and marks, which are kept apart.
[[nodiscard]] std::string pack(codec::Hello hello);
// nullopt: it is none. Text is borrowed.
[[nodiscard]] std::optional<codec::Hello> unpack(std::string_view packed);

[[nodiscard]] std::string_view reset_reason_name(codec::ResetReason reason);
[[nodiscard]] std::string_view log_state_name(codec::LogState state);
// {"time_quality":"synced",...}: what is not known is left out, here and below.
void append_health(std::string& out, const codec::Health& health);
// "kind":"fault","pc":"0x08001234",...: the members of an object, without its braces.
void append_crash(std::string& out, const codec::Crash& crash);

}  // namespace godwit::gateway
