// SPDX-License-Identifier: Apache-2.0
// The gateway of the world: the real ingest rules and the real store, on a real SQLite, driven in virtual
// time. What is a thread in the daemon is a timer here, so a kill fits between any two steps of it. Its data
// folder is a real one, in memory if /dev/shm is there.
//
// A kill leaves the files as they are at that moment: SQLite's own close, which would tidy them up, is kept
// from doing so. This is what kill -9 leaves; the loss of power is not modelled here yet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gateway/domain/inbox.h"
#include "gateway/store/store.h"
#include "gateway/store/writer.h"
#include "sim/engine/random.h"
#include "sim/world/broker.h"
#include "sim/world/scene.h"

namespace godwit::sim {

// Of all that a follower is shown of it.
[[nodiscard]] std::uint64_t digest_of_event(const gateway::Event& event);

// When a kill comes.
enum class KillPoint : std::uint8_t { kNow, kBeforeCommit, kBeforeAcks };

class GatewayNode final : private Broker::Subscriber {
 public:
  // `folder` is made, and removed at the end. `devices`: how many the judge knows.
  GatewayNode(Scene& scene, Broker& broker, std::filesystem::path folder);
  ~GatewayNode();

  void start();
  [[nodiscard]] bool running() const { return writer_.has_value(); }
  // nullptr while it does not run.
  [[nodiscard]] const gateway::LogReader* log() const { return store_ ? &store_->reader() : nullptr; }

  // --- Faults ---
  void kill(KillPoint point, Millis down);
  void step_clock(Millis step) { clock_off_ += step; }
  void trouble_acks_until(Time end, Millis late, std::uint64_t stream);
  void back_up();
  // The `which`th backup, counted from the newest, takes the place of the database.
  void restore(std::uint64_t which, Millis down);
  // A client with a certificate of its own that sends what it likes.
  void hostile(std::uint64_t messages, std::uint64_t kind, std::uint64_t stream);

  void finish() { ack_trouble_until_ = Time{0}; }
  // Shows the judge when each record of the log is said to have been sampled.
  void tell_times() const;
  [[nodiscard]] bool idle() const { return inbox_ && !turn_timer_.when(); }

 private:
  void broker_message(std::string_view topic, std::string_view payload) override;
  void broker_lost() override;

  void stop();
  void open(const std::filesystem::path& folder);
  std::filesystem::path next_folder();
  void connect();
  void plan_turn(Millis pause);
  void turn();
  void take_acks(std::span<const gateway::AckTo> acks);
  void send_acks();
  void send_ack(const gateway::AckTo& ack);
  void read_log();
  void show(const gateway::Event& event);
  [[nodiscard]] UnixMillis wall_clock() const { return {scene_.true_time().value + clock_off_.count()}; }

  Scene& scene_;
  Broker& broker_;
  const std::filesystem::path root_;
  std::filesystem::path folder_;
  std::uint64_t folders_ = 0;
  std::vector<std::filesystem::path> backups_;  // the newest at the back
  std::uint64_t restores_ = 0;

  std::optional<gateway::Inbox> inbox_;
  std::optional<gateway::Store> store_;
  std::optional<gateway::Writer> writer_;
  std::vector<gateway::Message> messages_;  // of the turn that is tried again
  std::vector<gateway::AckTo> acks_;        // of the commit just made
  gateway::LogOffset shown_;
  bool connected_ = false;

  Timer turn_timer_;
  Timer tick_timer_;
  Timer connect_timer_;
  Timer start_timer_;
  std::optional<KillPoint> kill_at_;
  Millis kill_down_{0};
  Millis clock_off_{0};
  Time ack_trouble_until_{0};
  Millis ack_late_{0};
  Random ack_random_{0};
  std::uint64_t life_ = 0;
};

}  // namespace godwit::sim
