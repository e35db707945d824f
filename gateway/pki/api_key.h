// SPDX-License-Identifier: Apache-2.0
// The bearer keys of the REST API. The gateway keeps their digests only.
#pragma once

#include <string>
#include <string_view>

namespace godwit::pki {

// 160 random bits: "gwk_" and 40 hexadecimal digits. Throws Error if the system has no randomness.
[[nodiscard]] std::string make_api_key();

[[nodiscard]] std::string sha256_hex(std::string_view text);

}  // namespace godwit::pki
