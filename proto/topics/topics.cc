// SPDX-License-Identifier: Apache-2.0
#include "proto/topics/topics.h"

#include <algorithm>

#include "proto/base/assert.h"

namespace godwit::topics {
namespace {

struct LeafName {
  Leaf leaf;
  std::string_view path;
};
constexpr std::array<LeafName, 5> kLeaves{{{Leaf::kHello, "up/hello"},
                                           {Leaf::kRecord, "up/rec"},
                                           {Leaf::kLive, "up/live"},
                                           {Leaf::kGone, "up/gone"},
                                           {Leaf::kAck, "dn/ack"}}};

}  // namespace

void Topic::append(std::string_view text) {
  GODWIT_ASSERT(text.size() <= text_.size() - size_);
  std::ranges::copy(text, text_.begin() + size_);
  size_ = static_cast<std::uint8_t>(size_ + text.size());
}

Topic make(const DeviceId& device, Leaf leaf) {
  const auto* const entry = std::ranges::find(kLeaves, leaf, &LeafName::leaf);
  Topic topic;
  topic.append(kRoot);
  topic.append(device.view());
  topic.append("/");
  topic.append(entry->path);
  return topic;
}

Topic device_filter(const DeviceId& device) {
  Topic topic;
  topic.append(kRoot);
  topic.append(device.view());
  topic.append("/dn/#");
  return topic;
}

std::expected<Parsed, Status> parse(std::string_view topic) {
  if (!topic.starts_with(kRoot)) return std::unexpected(Status::kMalformed);
  topic.remove_prefix(kRoot.size());
  const auto* const slash = std::ranges::find(topic, '/');
  if (slash == topic.end()) return std::unexpected(Status::kMalformed);
  const auto device = DeviceId::parse({topic.begin(), slash});  // substr() can throw
  if (!device) return std::unexpected(Status::kMalformed);
  topic = {slash + 1, topic.end()};
  const auto* const entry = std::ranges::find(kLeaves, topic, &LeafName::path);
  if (entry == kLeaves.end()) return std::unexpected(Status::kUnsupported);
  return Parsed{*device, entry->leaf};
}

}  // namespace godwit::topics
