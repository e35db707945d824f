// SPDX-License-Identifier: Apache-2.0
// The gateway of the world: the real ingest rules and the real store, on a real SQLite, driven in virtual
// time. What is a thread in the daemon is a timer here, so a kill fits between any two steps of it, and
// before any file operation. Its files are on a simulated disk (sim/disk).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/domain/intake.h"
#include "gateway/pipeline/writer.h"
#include "gateway/store/store.h"
#include "sim/disk/disk.h"
#include "sim/engine/random.h"
#include "sim/world/broker.h"
#include "sim/world/feed_node.h"
#include "sim/world/hostile.h"
#include "sim/world/scene.h"

namespace godwit::sim {

// What a follower wants: all, what one device sends, or what is not telemetry. A bit each.
enum class Audience : std::uint8_t { kAll = 1, kDevice = 2, kRare = 4 };
// `device`: of kDevice.
[[nodiscard]] gateway::LogReader::Filter filter_of(Audience audience, std::string_view device);

// When a kill comes: now, before the next commit, between a commit and its acks, before a file operation.
enum class KillPoint : std::uint8_t { kNow, kBeforeCommit, kBeforeAcks, kFileOperation };

// What the disk does to the gateway.
enum class DiskTrouble : std::uint8_t {
  kFull,
  kSyncFails,  // and forgets
  kReadsFail,
  kSyncLies,
};

class GatewayNode final : private Broker::Subscriber {
 public:
  struct Options {
    std::uint64_t seed = 0;
    std::size_t devices = 1;    // honest ones
    std::size_t kept = 64;      // epochs, tables and boots of each
    std::size_t batch = 2'000;  // messages in one transaction
    std::string device;         // that followers of Audience::kDevice want
  };
  GatewayNode(Scene& scene, Broker& broker, const Options& options);
  ~GatewayNode();

  void start();
  [[nodiscard]] bool running() const { return writer_.has_value(); }
  // nullptr while it does not run.
  [[nodiscard]] const gateway::LogReader* log() const { return store_ ? &store_->reader() : nullptr; }
  [[nodiscard]] FeedNode* feed() { return feed_ ? &*feed_ : nullptr; }

  // --- Faults ---
  void kill(KillPoint point, Millis down, std::uint64_t operations);
  // Power goes before so many file operations more; 0: now.
  void lose_power(std::uint64_t operations, Millis down);
  void trouble_disk_until(Time end, DiskTrouble trouble);
  void step_clock(Millis step) { clock_off_ += step; }
  void trouble_acks_until(Time end, Millis late, std::uint64_t stream);
  void back_up();
  // The `which`th backup, counted from the newest, takes the place of the database.
  void restore(std::uint64_t which, Millis down);
  // Clients with certificates of their own send what they like.
  void hostile(std::uint64_t messages, Hostile kind, std::uint64_t stream);

  // So many pages rot in a copy of its disk, which a gateway then opens.
  void look_at_rotten_copy(std::uint64_t pages, std::uint64_t stream);

  void finish();
  [[nodiscard]] std::uint64_t hash() const { return disk_.hash(); }
  [[nodiscard]] bool knows(const std::string& device) const {
    return store_ && store_->reader().device(device).has_value();
  }
  // What is kept of each device is within its bounds.
  void check_rows();
  // Catching up reads what is declared, at most.
  void check_reads() const;
  void check_calm() const;
  void check_goodbyes() const;
  // Shows the judge when each record of the log is said to have been sampled.
  void tell_times() const;

 private:
  void broker_message(std::string_view topic, std::string_view payload) override;
  void broker_lost() override;

  Disk::Answer answer(const Disk::Operation& operation);
  // The process is gone; with `power`, what the disk had not synced is at its mercy.
  void die(bool power);
  // What the disk would hold if all that is not synced were lost, or (image) after a copy was put back.
  void check_worst_crash();
  void read_image();
  void put_back(std::uint64_t which);
  void connect();
  void plan_turn();
  void die_here();
  void turn();
  void note_failed_commit();
  void take_acks(std::span<const gateway::AckTo> acks);
  void send_acks();
  void send_ack(const gateway::AckTo& ack);
  void read_log();
  void note_line(std::string_view line);
  void note_throttled(const std::string& device);
  void flood(std::uint64_t pulses, std::uint64_t number, Random random);
  void push_hostile(std::string_view client, Hostile kind, std::uint64_t number, Random& random);
  void push(gateway::Message message);
  void check_served(std::uint64_t taken);
  [[nodiscard]] Logged::Kind kind_of(const gateway::Event& event, bool honest) const;
  void note_probes(const gateway::Event& event, bool honest) const;
  void show(const gateway::Event& event);
  [[nodiscard]] gateway::Received received() const {
    return {.at = Instant(scene_.now()), .unix_time = wall_clock()};
  }
  [[nodiscard]] UnixMillis wall_clock() const { return {scene_.true_time().value + clock_off_.count()}; }

  Scene& scene_;
  Broker& broker_;
  const Options options_;
  std::vector<std::pair<Audience, gateway::LogReader::Filter>> audiences_;
  Disk disk_;
  std::vector<Disk::Image> backups_;  // the newest at the back
  std::uint64_t restores_ = 0;
  std::uint64_t settled_acks_ = 0;

  std::optional<gateway::Intake> intake_;
  std::optional<gateway::Store> store_;
  std::optional<gateway::Writer> writer_;
  std::optional<FeedNode> feed_;
  std::vector<gateway::AckTo> acks_;  // of the commit just made
  gateway::LogOffset shown_;
  bool connected_ = false;
  Time busy_until_{0};
  std::uint64_t taken_ = 0;                             // messages, out of the intake
  std::map<std::string, std::uint64_t> waiting_since_;  // honest ones: taken_ when nothing of theirs waited
  std::map<std::string, Time> lines_;                   // when each kind of line was written last
  std::map<std::string, Time> throttled_at_;            // when an event last said so
  Time flood_until_{0};

  Timer turn_timer_;
  Timer connect_timer_;
  Timer start_timer_;
  std::optional<KillPoint> kill_at_;
  std::optional<std::uint64_t> dies_in_;  // file operations
  bool dies_of_power_ = false;
  bool quiet_ = false;  // the world itself reads
  bool lied_ = false;   // a sync, since the last crash
  DiskTrouble trouble_{};
  Time trouble_until_{0};
  Millis kill_down_{0};
  Millis clock_off_{0};
  Time ack_trouble_until_{0};
  Millis ack_late_{0};
  Random ack_random_{0};
  std::uint64_t life_ = 0;
};

}  // namespace godwit::sim
