// SPDX-License-Identifier: Apache-2.0
#include "proto/base/ids.h"

#include <algorithm>

namespace godwit {
namespace {

constexpr bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
constexpr bool is_allowed(char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; }

}  // namespace

std::expected<DeviceId, Status> DeviceId::parse(std::string_view text) {
  if (text.empty() || text.size() > kSizeMax || !is_alnum(text.front()) ||
      !std::ranges::all_of(text, is_allowed)) {
    return std::unexpected(Status::kInvalidArgument);
  }
  DeviceId id;
  std::ranges::copy(text, id.text_.begin());
  id.size_ = static_cast<std::uint8_t>(text.size());
  return id;
}

}  // namespace godwit
