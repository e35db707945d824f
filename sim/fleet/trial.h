// SPDX-License-Identifier: Apache-2.0
// A fleet before the judge: what its members append, as read back from their flash, against the gateway's log
// (asked over REST) and what a follower of the live feed was shown. received() may be called from another
// thread; all else from the fleet's.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/fleet/api_client.h"
#include "sim/fleet/event_log.h"
#include "sim/fleet/member.h"
#include "sim/fleet/report.h"
#include "sim/judge/judge.h"

namespace godwit::sim {

class Trial final : private Judge::Witness {
 public:
  // `restores`: how often the gateway's database is put back meanwhile.
  explicit Trial(std::size_t restores) : restores_(restores), judge_(*this) {}
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // Borrowed; its index is as add_device() counts.
  void add(Member& member);
  // Takes down what the member has sampled, appended and learned to be committed; to be called after each of
  // its runs. `time`: the Unix time of the instant that the run was told, which may be a while ago.
  void observe(std::size_t member, UnixMillis time);

  // Latencies count from now on: of what is appended later.
  void begin_latencies();
  // An event of the live feed.
  void received(const SseEvent& event);

  [[nodiscard]] std::uint64_t recorded() const { return recorded_; }
  [[nodiscard]] std::uint64_t acked() const { return acked_; }
  [[nodiscard]] std::uint64_t received_count() const;

  // Shows the judge what the gateway's log has gained since the last call; at first, all behind the id
  // `after`. Throws std::runtime_error if the gateway does not answer.
  void read_log(const Get& get, const std::string& after);
  // Everything confirmed is stored, or lost, as far as the log was read, and of nobody who is connected does
  // it say otherwise.
  [[nodiscard]] bool settled() const;
  // The feed has come as far as the log was read.
  [[nodiscard]] bool fed() const;

  // `after`: where the follower began.
  [[nodiscard]] Report judge(std::int64_t after);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    Member* member = nullptr;
    std::uint32_t boots = 0;
    Seq next = kFirstSeq;     // the first one that was not looked at
    std::deque<Seq> unacked;  // of its records
  };
  struct Held {
    Seq seq;
    std::uint64_t digest = 0;
  };

  [[nodiscard]] bool holds(std::size_t device, RecordId record) const override;
  [[nodiscard]] bool holds_unharmed(std::size_t device, RecordId record) const override {
    return holds(device, record);
  }
  void note_appended(std::size_t index);
  [[nodiscard]] static bool online(const Watched& watched);
  void violated(const Violation& violation);

  const std::size_t restores_;
  Judge judge_;
  std::vector<Watched> watched_;
  std::unordered_map<RecordId, Held> held_;
  std::uint64_t recorded_ = 0;
  std::uint64_t acked_ = 0;
  std::string read_to_;           // id of the last event that the judge was shown
  std::int64_t read_offset_ = 0;  // of that
  std::map<std::string, std::uint64_t> violations_;
  std::string first_violation_;

  mutable std::mutex mutex_;  // of all below
  std::vector<FollowerNote> notes_;
  std::map<std::string, std::unordered_map<std::uint64_t, Clock::time_point>, std::less<>> appended_at_;
  std::vector<double> latencies_ms_;
  std::uint64_t fed_entries_ = 0;
  std::uint64_t gaps_ = 0;
};

}  // namespace godwit::sim
