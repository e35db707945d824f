// SPDX-License-Identifier: Apache-2.0
// The history of a device's log as a model to be explored state by state: the rules of
// docs/adr/0012-every-mark-is-an-epoch.md and nothing else. Entries are atomic, a sector holds one entry, and
// every row ever made has an id, so that a judge who sees both sides can tell a lost row from a repeated one.
// Values without padding: a state is its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace godwit::model {

using Id = std::uint8_t;  // of a row; that of a mark's entry is its epoch as well
using Place = std::uint8_t;

inline constexpr std::size_t kEntriesMax = 12;
inline constexpr std::size_t kMarksMax = 8;
inline constexpr std::size_t kStreamsMax = 10;
inline constexpr std::size_t kStoredMax = 30;
inline constexpr std::size_t kCopiesMax = 2;

// What is held against each other: the final rule, and what is simpler.
struct Rules {
  enum class Names : std::uint8_t { kTry, kMark, kNothing };
  Names ack = Names::kTry;      // what an ack names: the hello that it answers, the mark in force, or nothing
  Names record = Names::kTry;   // what a record names
  bool begins_in_order = true;  // a stream begins when the one before it has come so far; else by any record
  bool tells_unknown = true;    // if no named mark is known: an event says that what was before is unknown
  bool marks_outlive_damage = true;  // a mark that cannot be read stays known by the headers of sectors
  bool seeks_every_named_mark =
      true;  // the gateway looks for all marks that a hello names; else for the newest
  std::uint8_t marks_kept = kMarksMax;  // of the entries that were overwritten
};

struct Bounds {
  std::uint8_t appends = 4, mounts = 2, copies = 0, rollbacks = 0, backups = 0, restores = 0;
  std::uint8_t delays = 0, losses = 0, damages = 0, tails = 0;
};
struct Setting {
  Rules rules{};
  Bounds bounds{};
  std::uint8_t ring = 3;                   // entries that the flash holds
  bool refuses_when_full = false;          // else it drops the oldest
  std::uint8_t streams_max = kStreamsMax;  // that the gateway remembers
};

// A sequence of small values in place.
template <typename T, std::size_t N>
struct List {
  std::array<T, N> items{};
  std::uint8_t count = 0;

  [[nodiscard]] std::span<const T> view() const { return std::span(items).first(count); }
  [[nodiscard]] std::span<T> view() { return std::span(items).first(count); }
  void push_back(const T& item) { items.at(count++) = item; }
  // Unused items are zero again, so that equal lists are equal bytes.
  void keep(std::size_t first, std::size_t end) {
    List kept;
    for (std::size_t i = first; i < end; ++i) kept.push_back(items[i]);
    *this = kept;
  }
  friend bool operator==(const List&, const List&) = default;
};

struct Mark {
  Id epoch = 0;
  Place first = 0;
  friend bool operator==(const Mark&, const Mark&) = default;
};
using Marks = List<Mark, kMarksMax>;  // oldest first

struct Flash {
  List<Id, kEntriesMax> path;  // every entry since seq 1; those below `oldest` are known to the judge alone
  Marks marks;                 // that the device knows
  Place oldest = 1;
  std::array<std::uint8_t, 2> unreadable{};  // a bit per seq
  friend bool operator==(const Flash&, const Flash&) = default;

  [[nodiscard]] Place next() const { return static_cast<Place>(path.count + 1); }
  [[nodiscard]] bool is_unreadable(Place seq) const { return (unreadable[seq / 8] >> (seq % 8) & 1) != 0; }
};

struct Device {
  std::uint8_t marked = 0;  // this mount has appended
  std::uint8_t place = 0;   // to send next; kClosed, kAsked
  Place reclaim = 1;
  std::uint8_t surely_held = 1;  // the database was not restored since the last answer (for the judge)
  static constexpr std::uint8_t kClosed = 0, kAsked = 0xFF;
};

struct Stream {
  Mark mark;
  Place expected = 0;
  std::array<std::uint8_t, 4> rows{};  // a bit per id, for the judge
  friend bool operator==(const Stream&, const Stream&) = default;
};
struct Stored {
  Id id = 0;
  std::uint8_t lost = 0;
  friend bool operator==(const Stored&, const Stored&) = default;
};
using IdSet = std::array<std::uint8_t, 4>;
struct Database {
  List<Stream, kStreamsMax> streams;
  List<Stored, kStoredMax> log;
  IdSet unknown{};  // an event says that they are
  IdSet again{};    // of forgotten streams: may be stored once more
  friend bool operator==(const Database&, const Database&) = default;
};

struct Path {  // of the last hello, in the gateway's memory
  std::uint8_t heard = 0;
  std::uint8_t fresh = 0;  // it is of the device's last try
  Marks marks;
  IdSet unknown{};
};

// What travels. Not fresh: of an earlier try.
struct Message {
  enum class Kind : std::uint8_t { kNone, kAck, kRecord, kHello };
  Kind kind = Kind::kNone;
  std::uint8_t fresh = 0;
  Id epoch = 0;   // of the mark in force there
  Place seq = 0;  // kAck: expected next
  Id id = 0;
  std::uint8_t lost = 0;
  std::uint8_t before_restore = 0;
  Flash flash;  // kHello: as it was
};

struct State {
  Flash flash;
  Device device;
  Database database;
  Path path;
  List<Flash, kCopiesMax> copies;
  List<Database, kCopiesMax> backups;
  Message late;
  Bounds left;
  Id next_id = 1;
};

// A rule of the contract was broken, in words.
using Verdict = std::optional<std::string>;

struct Found {
  std::uint64_t states = 0;
  bool complete = false;           // every state within the bounds was seen
  std::string broken;              // empty: nothing
  std::vector<std::string> trace;  // the steps that lead there
};

// Every sequence of steps within the bounds, up to `states_max` states. Breadth first finds the shortest
// counterexample, depth first needs less memory.
enum class Order : std::uint8_t { kBreadthFirst, kDepthFirst };
Found explore(const Setting& setting, Order order, std::uint64_t states_max);

}  // namespace godwit::model
