// SPDX-License-Identifier: Apache-2.0
// What can be said about an installation before it runs.
#pragma once

#include <string>
#include <vector>

#include "gateway/app/config.h"
#include "gateway/pki/certificate.h"

namespace godwit::app {

// Reads every file that `config` names. Throws an exception derived from std::runtime_error if one is missing
// or does not fit. Returns warnings: certificates that are not valid at `now` or will soon not be, keys that
// others may read.
[[nodiscard]] std::vector<std::string> check(const Config& config, pki::Seconds now);

}  // namespace godwit::app
