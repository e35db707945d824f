// SPDX-License-Identifier: Apache-2.0
// The resources: what each path shows (docs/reference/rest.md). Stateless; handlers run on any thread.
#pragma once

#include <chrono>
#include <vector>

#include "gateway/domain/reader.h"
#include "gateway/http/router.h"
#include "gateway/http/server.h"

namespace godwit::http {

inline constexpr std::size_t kPageLimitDefault = 50;
inline constexpr std::size_t kPageLimitMax = 500;
// A page of events ends early when it has this many bytes, whatever its limit: a response is held in memory.
inline constexpr std::size_t kPageBytesMax = 1024 * 1024;
// ... or has taken so long to find, if there is one event in it: below Limits::read_timeout.
inline constexpr std::chrono::seconds kPageTimeMax{3};

// `sources` is copied, sources.log must outlive the routes.
[[nodiscard]] std::vector<Route> api_routes(const Sources& sources);

}  // namespace godwit::http
