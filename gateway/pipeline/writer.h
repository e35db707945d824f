// SPDX-License-Identifier: Apache-2.0
// The one way into the log: takes what waits in the intake, applies the ingest rules, commits, and only then
// lets acks and feed see it. No thread, lock or clock: who drives it calls take() and turn() and hands in the
// time, a thread in production (gateway/app/writer_thread.h), an event queue in simulation.
//
//   Gathering   the first message that waits sets a deadline for others to join it;
//               due: its messages are applied to the rules, which makes one transaction   -> Writing
//   Writing     commit. Done: acks, feed, checkpoint                                       -> Gathering
//               The database refuses a record, and the disk is well: see Ingest::quarantine()
//                                                                                          -> Writing
//               It refuses something else of a device: nothing of the transaction counts, and the device
//               is not listened to for a while                                             -> Gathering
//               The disk fails                                                             -> Retrying
//   Retrying    the same transaction again after 0.1 to 5 s; meanwhile the intake fills    -> Writing
//
// One turn() is one transaction at most. Nothing is acknowledged that is not committed, so whatever is given
// up here is sent again by its device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/domain/ingest.h"
#include "gateway/domain/intake.h"
#include "gateway/domain/log.h"
#include "gateway/store/store.h"

namespace godwit::gateway {

struct WriterStats {
  IngestCounters ingest;
  std::uint64_t commits = 0;                    // transactions, one fsync each
  std::uint64_t failed_commits = 0;             // rolled back and tried again
  std::uint64_t events = 0;                     // appended to the log
  std::uint64_t quarantined = 0;                // records that the database refused
  bool writable = true;                         // false while commits fail ...
  StoreTrouble trouble = StoreTrouble::kOther;  // ... for this reason
  bool disk_low = false;                        // less is free than the reserve
};

class Writer {
 public:
  struct Options {
    IngestLimits limits;
    Millis gather{5};                     // how long the first message waits for others; more: fewer fsyncs
    std::size_t batch_messages = 2000;    // in one transaction
    std::size_t batch_bytes = 4U << 20U;  // likewise, and one message
    Millis retry_min{100};
    Millis retry_max{5000};
    unsigned disk_reserve_percent = 5;  // of the disk; if less is free, see Intake::set_disk_low()
    // Devices that are asked for a hello at once, after a start: below what the MQTT client buffers.
    std::size_t asks_max = 200;
    Millis asks_pause{100};
  };
  // Called after the commit, acks first; they must not block, throw or call the writer. Borrowed for the
  // call.
  struct Callbacks {
    std::function<void(std::span<const AckTo>)> acks;
    std::function<void(std::span<const Event>)> feed;  // in the order of the log
    // What the gateway goes by is damaged: no attempt will do better, the gateway should end. The next start
    // says what is to be done. Called after each attempt.
    std::function<void()> damaged = {};
  };
  // When to call take() and turn() again: at `until`, or as soon as the intake holds `messages` or is
  // urgent(). Calls at other times do no harm.
  struct Wait {
    Instant until;
    std::size_t messages = 0;  // SIZE_MAX: nothing in the intake shortens it
    // It is over, whatever the time.
    [[nodiscard]] bool over(const Intake& intake) const {
      return intake.messages() >= messages || (intake.urgent() && messages != SIZE_MAX);
    }
  };

  // `store` must outlive the writer. Throws StoreError when the database cannot be read.
  Writer(Store& store, const Options& options, Callbacks callbacks, LogSink log);

  // Takes what is due, if this is the time for it. Short: all that needs the intake.
  void take(Intake& intake, Received now);
  // Does what is due, which may take as long as the disk does.
  void turn(Received now);
  [[nodiscard]] Wait wait() const;

  // From now on nothing waits for others to join it, and nothing is tried again.
  void hurry() { hurry_ = true; }
  // Nothing is in its hands; after hurry(), nothing that can still be committed.
  [[nodiscard]] bool idle() const;

  [[nodiscard]] const WriterStats& stats() const { return stats_; }

  static constexpr Millis kTick{1000};            // of the rules, when nothing comes
  static constexpr Millis kBlockedTime{600'000};  // for a device whose changes the database refuses
  static constexpr std::size_t kBlockedMax = 64;  // devices; the one blocked first is let go

 private:
  struct Gathering {
    std::optional<Instant> until;  // nullopt: nothing waits
  };
  struct Writing {};
  struct Retrying {
    Instant at;
    Millis pause;
  };

  void apply(Received now);
  void committed(Received now);
  void failed(const StoreError& error, Received now);
  void isolate(const Refused& refused, Received now);
  void give_up(const Refused& refused, Received now);
  [[nodiscard]] bool blocked(const DeviceId& device) const;
  void report(const Message& message, Status status, Received now);

  Store& store_;
  const Options options_;
  const Callbacks callbacks_;
  const LogSink log_;
  std::optional<Ingest> ingest_;    // nullopt: to be made anew from the database
  std::optional<Changes> changes_;  // applied and not committed: tried again as they are

  std::variant<Gathering, Writing, Retrying> state_ = Gathering{};
  Instant tick_at_;
  bool hurry_ = false;
  // What was taken, until it is applied.
  std::vector<Message> messages_;
  std::vector<Throttled> throttled_;
  std::vector<Decoded> decoded_;  // of what was applied, until the intake is told
  bool session_started_ = false;

  std::vector<std::pair<DeviceId, Instant>> blocked_;  // until
  std::optional<Instant> asked_at_;                    // the last time that devices were asked for hellos
  LogLimit malformed_limit_{std::chrono::seconds{10}};
  LogLimit full_limit_{std::chrono::seconds{60}};
  LogLimit refused_limit_{std::chrono::seconds{10}};
  LogLimit trouble_limit_{std::chrono::seconds{10}};
  WriterStats stats_;
};

}  // namespace godwit::gateway
