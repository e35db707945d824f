// SPDX-License-Identifier: Apache-2.0
// How the edges (HTTP, and later webhooks and northbound) read what is committed. Implemented by
// gateway/store on connections of its own; each call is one consistent read, may touch the disk, and is safe
// from any thread. Throws StoreError when the database cannot be read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/domain/event.h"
#include "gateway/domain/log_id.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// What is wrong with the database, as far as it makes a difference to what is to be done.
enum class StoreTrouble : std::uint8_t {
  kOther,    // none of those below; it says so itself
  kFull,     // there is no room on the disk
  kDisk,     // the disk does not read or write
  kDamaged,  // what it reads is not what was written
};

class StoreError : public std::runtime_error {
 public:
  explicit StoreError(const std::string& what, StoreTrouble trouble = StoreTrouble::kOther)
      : std::runtime_error(what), trouble_(trouble) {}
  [[nodiscard]] StoreTrouble trouble() const { return trouble_; }

 private:
  StoreTrouble trouble_;
};

// The log of a device, over all its epochs.
struct StreamInfo {
  Epoch epoch;                     // of the newest entry
  Seq next_seq;                    // expected next
  std::uint64_t records = 0;       // stored
  std::uint64_t lost_records = 0;  // explained by loss events
};

struct DeviceInfo {
  std::string id;
  bool online = false;
  UnixMillis first_seen;
  UnixMillis last_seen;  // up to 10 s late (Ingest::kSeenFlush)
  std::string firmware;
  std::string board;
  std::uint32_t boot = 0;
  codec::ResetReason reset_reason = codec::ResetReason::kUnspecified;
  DeviceCounters counters;
  codec::Health health;  // as of its last hello
  CrashReport last_crash;
  codec::LogState log_state = codec::LogState::kUnspecified;
  std::uint32_t bad_sectors = 0;     // of its log
  std::optional<StreamInfo> stream;  // nullopt: it has never recorded anything
};

// What is needed to turn a batch of one device into times and named values.
class BatchContext {
 public:
  virtual ~BatchContext() = default;
  // nullptr: the device never announced it.
  [[nodiscard]] virtual std::shared_ptr<const TableInfo> table(std::string_view device,
                                                               std::uint32_t hash) const = 0;
  // Of the boot that recorded this epoch; nullopt: never known.
  [[nodiscard]] virtual std::optional<BootTime> boot_time(std::string_view device, Epoch epoch) const = 0;
};

// A read of the log ends at whichever of these comes first, but for `give_up` not before it has found an
// event that there is.
struct PageBounds {
  std::size_t events = 256;
  std::size_t bytes = SIZE_MAX;   // of what is stored of them; the last one may go beyond
  LogOffset up_to = {INT64_MAX};  // no events after this one
  std::function<bool()> give_up;  // asked now and then while the disk is read; true: return what there is
};

struct LogPage {
  std::optional<LogGap> gap;  // in front of the events
  std::vector<Event> events;  // ascending
  LogId through;              // all up to here is in this page or does not pass the filter: where to go on
  bool more = false;          // it ended because of its bounds or a gap behind it: there may be more
};

struct LogEnds {
  LogId before_first;  // just before the oldest event that was not trimmed
  LogId last;
};

class LogReader : public BatchContext {
 public:
  struct Filter {
    std::string device;            // empty: all
    std::vector<EventType> types;  // empty: all
    friend bool operator==(const Filter&, const Filter&) = default;
  };
  [[nodiscard]] static bool passes(const Filter& filter, EventType type, std::string_view device) {
    if (!filter.device.empty() && filter.device != device) return false;
    return filter.types.empty() || std::ranges::find(filter.types, type) != filter.types.end();
  }
  // The events after `after` that pass the filter. Costs what it shows, whatever it passes over: rare ones
  // have indexes. What was trimmed or cannot be read is a gap, never silence.
  [[nodiscard]] virtual LogPage read(LogOffset after, const Filter& filter,
                                     const PageBounds& bounds) const = 0;
  [[nodiscard]] virtual LogEnds ends() const = 0;
  // Where somebody goes on who has seen all up to `id`; the rule is resume() in log_id.h.
  [[nodiscard]] virtual Resumption resume(LogId id) const = 0;

  // Ascending by id, ids > after, at most `limit`.
  [[nodiscard]] virtual std::vector<DeviceInfo> devices_after(std::string_view after,
                                                              std::size_t limit) const = 0;
  [[nodiscard]] virtual std::optional<DeviceInfo> device(std::string_view id) const = 0;
  // The newest telemetry event of each table of the device.
  [[nodiscard]] virtual std::vector<Event> latest(std::string_view device) const = 0;
};

}  // namespace godwit::gateway
