// SPDX-License-Identifier: Apache-2.0
// Followers of the live feed, each with a thread and a connection of its own, that write down every id and
// content.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "sim/fleet/api_client.h"
#include "sim/fleet/event_log.h"

namespace godwit::live {

class Follower {
 public:
  // From the log's beginning on.
  Follower(std::string name, const sim::ApiAccess& access)
      : name_(std::move(name)), feed_(access, [this](const auto& event) { take(event); }, "begin") {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] long reconnects() const { return feed_.reconnects(); }
  [[nodiscard]] std::vector<sim::FollowerNote> notes() const {
    const std::lock_guard lock(mutex_);
    return notes_;
  }
  [[nodiscard]] std::int64_t at() const {
    const std::lock_guard lock(mutex_);
    return notes_.empty() ? 0 : notes_.back().id.offset;
  }

 private:
  void take(const sim::SseEvent& event) {
    const sim::FollowerNote note = sim::take_down(event).note;
    const std::lock_guard lock(mutex_);
    notes_.push_back(note);
  }

  std::string name_;
  mutable std::mutex mutex_;
  std::vector<sim::FollowerNote> notes_;
  sim::EventFollower feed_;  // last: its thread uses all of the above
};

}  // namespace godwit::live
