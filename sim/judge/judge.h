// SPDX-License-Identifier: Apache-2.0
// The judge of a run: what devices appended, against what the gateway's log holds and what followers got. It
// knows contents (which rows a batch has, and the digest of its bytes), not just counts, and it sees proto/
// alone: neither firmware nor gateway can tell it what is right. Host only, one thread, allocates.
//
// The rule: appended = stored + lost + destroyed. A row that append() confirmed is in the log once and in its
// place; or a loss event names it, and nobody holds it; or the world has destroyed it: after one of its
// faults no flash and no database held it any more. What append() had not confirmed when power went may be
// stored, once and as it was sampled. README.md says what else is excused, and why.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proto/base/bytes.h"
#include "proto/base/ids.h"
#include "proto/base/time.h"
#include "sim/judge/rows.h"
#include "sim/judge/sse.h"

namespace godwit::sim {

// The promise was broken. `kind` is one of few short names, by which runs are counted.
class Violation : public std::runtime_error {
 public:
  Violation(std::string_view kind, const std::string& what)
      : std::runtime_error(std::string(kind) + ": " + what), kind_(kind) {}
  [[nodiscard]] const std::string& kind() const { return kind_; }

 private:
  std::string kind_;
};

// A record in the judge's books; 0: none.
using RecordId = std::uint32_t;
// The records of a device's log by seq, as its flash has them now: what a copy of the flash has to go with
// it.
using Path = std::vector<RecordId>;

struct Logged {
  enum class Kind : std::uint8_t {
    kRecord,
    kLoss,
    kEpoch,          // these three begin an epoch, if it is not known
    kUnknownBefore,  // what became of entries before `seq` that are not in the log is not known
    kOnline,
    kOffline,
    kReplaced,  // its log goes on at `seq`, where another entry was expected
    kOther,
  };
  EventId id;
  Kind kind = Kind::kOther;
  std::size_t device = 0;  // as add_device() counted; not looked at for kOther
  Epoch epoch{};
  Seq seq{};
  std::uint64_t count = 1;  // kLoss
  enum class Reason : std::uint8_t { kOther, kDropped, kDamaged, kAcked };
  Reason reason = Reason::kOther;  // kLoss; kAcked: the gateway had it once
  Bytes batch{};                   // kRecord
  // As a follower sees it that knows nothing of tables and boots.
  std::string_view json{};
  std::uint8_t audience = 0xFF;  // which followers' filters let it through, see add_follower()
  // kRecord, in place of `batch` where the log shows no bytes: its values, row after row.
  std::span<const std::int64_t> values{};
  // How many seqs it stands for, of a log that shows all of them: then none may be left out. 0: not said.
  std::uint64_t places = 0;
  std::uint64_t digest = 0;  // as in FollowerNote
};

// What a follower wrote down: an event with all that it will always be shown as, or that it goes on after
// `id` since the log was put back.
struct FollowerNote {
  EventId id;
  std::uint64_t digest = 0;
  bool gap = false;
};

// When the gateway says that the first row of a batch was sampled.
struct ToldTime {
  bool synced = false;  // or resolved later; false: boot-relative
  Epoch epoch{};
  UnixMillis unix_time{};
  Millis period{};
};

class Judge {
 public:
  // Who can look into the flash of the devices.
  class Witness {
   public:
    // The bytes of the record are where append() put them, and can be read.
    [[nodiscard]] virtual bool holds(std::size_t device, RecordId record) const = 0;
    // ... and nothing else in its sector was damaged or half erased, which may hide it.
    [[nodiscard]] virtual bool holds_unharmed(std::size_t device, RecordId record) const = 0;

   protected:
    ~Witness() = default;
  };
  // `kept`: so many epochs of a device does the gateway remember, and those that began first it forgets. Of a
  // forgotten one whose copy comes back, records are stored again.
  explicit Judge(const Witness& witness, std::size_t kept = SIZE_MAX) : witness_(witness), kept_(kept) {}

  // --- What devices do ---
  // `rows_max`: what its table announces.
  std::size_t add_device(std::string_view id, std::uint64_t seed, std::size_t rows_max);
  // The same with rows of another kind, borrowed. nullptr: what it measures cannot be foretold, and its
  // records are known by place and bytes alone.
  std::size_t add_device(std::string_view id, const RowSource* rows, std::size_t rows_max);
  [[nodiscard]] const RowSource* source(std::size_t device) const { return devices_[device].source.get(); }
  [[nodiscard]] std::optional<std::size_t> find_device(std::string_view id) const;
  // It starts: what it had sampled and not appended is gone.
  void booted(std::size_t device);
  enum class Clock : std::uint8_t { kUnset, kTrue, kFalse };
  // Row n = 0, 1, ... of the device was sampled at that time.
  void sampled(std::size_t device, UnixMillis true_time, Clock clock);
  // Its clock was set, and wrong: nobody can know when the rows were sampled that this boot took before.
  void clock_misled(std::size_t device);
  // Rows sampled so far: the number of the next one.
  [[nodiscard]] std::uint64_t rows(std::size_t device) const { return devices_[device].rows.size(); }
  // append() confirmed it. Throws Violation if it is not what was sampled.
  RecordId appended(std::size_t device, Epoch epoch, Seq seq, Bytes batch);
  // An append was refused, or damaged at once: rows before the next record may be missing.
  void rows_given_up(std::size_t device) { devices_[device].next_row.reset(); }
  // The device considers everything below `next` as committed, and may give it up.
  void acked(std::size_t device, Seq next) const;

  // --- What the world does to them ---
  [[nodiscard]] const Path& path(std::size_t device) const { return devices_[device].path; }
  // The device has started and goes on with `next`: what it had at and behind it is on its path no more.
  void mounted(std::size_t device, Seq next);
  // Another copy of the flash was put in. What only the one before knew of is destroyed: also a loss that was
  // not reported yet.
  void set_path(std::size_t device, Path path);
  // What may have befallen its flash: nothing, so there is no damage; cuts and single bits, so its log goes
  // on behind all that it has shown; or anything. Where nobody says, anything; it only gets worse.
  enum class Flash : std::uint8_t { kUnknown, kWhole, kTouched, kAnything };
  void flash_is(std::size_t device, Flash flash) {
    devices_[device].flash = std::max(devices_[device].flash, flash);
  }
  // A full log refuses: it drops nothing.
  void drops_nothing(std::size_t device) { devices_[device].drops = false; }
  // Between these two the world destroys something, of the device or (nullopt) of the database.
  void before_fault(std::optional<std::size_t> device);
  void after_fault(std::optional<std::size_t> device);
  // In place of after_fault(): the device has to tell of what it took.
  void after_small_fault(std::size_t device);

  // --- What the gateway has committed ---
  // Throws Violation: stored twice, other content, out of order, a loss of what is stored or held.
  void logged(const Logged& event);
  // A copy of the database was put back: all it holds comes again through logged().
  void log_replaced();
  // As the log says; nullopt: it says nothing of it.
  [[nodiscard]] std::optional<bool> said_online(std::size_t device) const { return devices_[device].online; }
  // It was switched off for good, so at the end it may be said to be offline.
  void left(std::size_t device) { devices_[device].left = true; }
  // logged() gets all of it from its first event on: what was before a device's first entry in it is told,
  // too.
  void log_is_whole();
  // At the end, the clock of the boot with this epoch is set, and the gateway was told.
  void clock_known(std::size_t device, Epoch epoch) { devices_[device].clock_known = epoch; }
  void told_time(std::size_t device, Bytes batch, const ToldTime& time) const;
  void told_time(std::size_t device, const RowRange& rows, const ToldTime& time) const;

  // --- What followers get ---
  // Its filter lets through what has this bit in Logged::audience.
  std::size_t add_follower(std::uint8_t audience_bit = 1);
  // An event of its stream, or a gap. Throws Violation: not the next one, other contents, a gap that is none.
  void follower_got(std::size_t follower, const SseEvent& event);
  // It was told that nothing lies in front of this id that its filter lets through. The first time, if it
  // wanted what is new only, that it begins there.
  void follower_told_position(std::size_t follower, std::string_view told, bool begins);
  // For one that could not be watched: all that it wrote down from behind offset `after` on, held against the
  // log as it is now. `restores`: how often the log was put back meanwhile, each time to a copy of what it
  // was since the time before, or an older one. Throws Violation.
  void follower_wrote(std::string_view name, std::int64_t after, std::span<const FollowerNote> notes,
                      std::size_t restores) const;

  // --- After the drain ---
  // Throws Violation: a row that is nowhere, a follower that has not everything.
  void finish() const;
  // Every confirmed record is stored, lost or destroyed, and every follower is at the end of the log.
  [[nodiscard]] bool drained() const;

  struct Counts {
    std::uint64_t rows = 0;     // sampled
    std::uint64_t records = 0;  // confirmed
    std::uint64_t stored = 0;
    std::uint64_t lost = 0;  // confirmed ones that a loss names
    std::uint64_t destroyed = 0;
    std::uint64_t missing = 0;      // confirmed ones that are none of these
    std::uint64_t unconfirmed = 0;  // stored, though append() had not confirmed them
    std::uint64_t events = 0;       // in the log
  };
  [[nodiscard]] Counts counts() const;

 private:
  struct Record {
    std::size_t device = 0;
    Epoch epoch{};
    Seq seq{};
    std::uint64_t first = 0;  // row
    std::uint64_t rows = 0;
    std::uint64_t digest = 0;
    bool confirmed = false;  // by append(); otherwise a power cut came between
    bool stored = false;
    bool ever_settled = false;  // stored or lost, also in a database that was put back since
    bool lost = false;
    bool destroyed = false;
    bool safe_before = false;  // between before_fault() and after_fault()
    bool to_be_told = false;   // after_small_fault() has found it gone
  };
  struct Row {
    UnixMillis true_time{};
    Clock clock = Clock::kUnset;
    RecordId owner = 0;
  };
  struct Stream {  // of one epoch: what was stored last
    Seq seq{};
    std::uint64_t row_end = 0;
  };
  struct Device {
    std::string id;
    std::shared_ptr<const RowSource> source;  // nullptr: not known; not owned if it was borrowed
    std::size_t rows_max = 0;
    std::vector<Row> rows;
    Path path;  // by seq
    std::unordered_map<std::uint64_t, Stream> streams;
    std::vector<RecordId> records;
    std::uint64_t boot_row = 0;             // the first one of this boot
    std::optional<std::uint64_t> next_row;  // what the next record begins with; nullopt: not known
    std::optional<bool> online;             // as the log says
    bool left = false;                      // for good
    std::uint64_t row_end = 0;              // behind the last row stored
    Seq place{};                            // the one that the log must tell of next; 0: any
    Seq committed_once{};                   // all below was, in a database that was replaced since
    bool forked = false;                    // another copy of its flash was put in
    Flash flash = Flash::kUnknown;
    bool drops = true;
    std::vector<Epoch> begun;  // that the gateway remembers, in the order in which they came
    std::vector<Epoch> forgotten;
    Epoch clock_known{};
  };
  struct LogItem {
    EventId id;
    std::uint64_t digest = 0;
    std::uint64_t raw = 0;   // hash of its content as it came ...
    std::uint64_t rows = 0;  // ... and decoded
    std::uint8_t audience = 0;
    std::uint64_t noted = 0;  // Logged::digest
  };
  struct Follower {
    std::uint8_t audience_bit = 1;
    std::int64_t from = 0;  // it wants what is behind this
    EventId at;
    std::vector<std::uint64_t> got;  // digest by offset, of what it holds for true
  };

  std::size_t add(std::string_view id, std::shared_ptr<const RowSource> rows, std::size_t rows_max);
  [[noreturn]] void fail(std::string_view kind, const Device& device, const std::string& what) const;
  [[nodiscard]] std::string name(const Record& record) const;
  RecordId record_at(const Device& device, Epoch epoch, Seq seq) const;
  RecordId claim(Device& device, const Logged& event);
  RecordId claim_by_name(const Device& device, const Logged& event);
  void take_places(const Logged& event);
  void check_reason(const Logged& event) const;
  void store(const Logged& event);
  void begin(Device& device, Epoch epoch) const;
  void lose(const Logged& event);
  const std::vector<RecordId>& named_by(const Logged& event);
  void lose_before(const Logged& event);
  [[nodiscard]] const LogItem* item_at(std::int64_t offset) const;
  [[nodiscard]] const LogItem* next_for(const Follower& follower) const;
  [[nodiscard]] bool still_holds(const Follower& follower) const;
  [[nodiscard]] EventId last_common(EventId id) const;
  void told_gap(std::size_t follower, EventId next, const Shown& gap);
  [[noreturn]] void fail_follower(std::string_view kind, std::size_t follower, const std::string& what) const;

  const Witness& witness_;
  const std::size_t kept_;
  std::vector<Device> devices_;
  std::unordered_map<std::string, std::size_t> by_id_;
  std::vector<Record> records_{1};                                                  // [0] stands for none
  std::map<std::pair<std::uint64_t, std::uint64_t>, RecordId> by_name_;             // epoch, seq
  std::map<std::pair<std::int64_t, std::uint32_t>, std::vector<RecordId>> losses_;  // by event
  std::vector<LogItem> log_;
  std::vector<Follower> followers_;
  bool replaced_ = false;  // the database was once
  Seq first_place_{};      // that a log must tell of; 0: any
};

}  // namespace godwit::sim
