// SPDX-License-Identifier: Apache-2.0
#include "tests/model/history.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <ranges>

#include "proto/base/bytes.h"

namespace godwit::model {
namespace {

using Names = Rules::Names;

bool has(const IdSet& set, Id id) { return (set[id / 8] >> (id % 8) & 1) != 0; }
void add(IdSet& set, Id id) { set[id / 8] = static_cast<std::uint8_t>(set[id / 8] | 1U << (id % 8)); }

bool holds(const Database& database, Id id) {
  return std::ranges::any_of(database.log.view(), [id](const Stored& stored) { return stored.id == id; });
}

Stream* find_stream(Database& database, Mark mark) {
  const auto streams = database.streams.view();
  const auto found = std::ranges::find(streams, mark, &Stream::mark);
  return found == streams.end() ? nullptr : &*found;
}

// The mark in force at `seq`.
Mark in_force(const Marks& marks, Place seq) {
  Mark mark;
  for (const Mark& candidate : marks.view()) {
    if (candidate.first <= seq) mark = candidate;
  }
  return mark;
}

// Where the entries of the i-th mark end.
Place end_of(const Marks& marks, std::size_t i, Place next) {
  return i + 1 < marks.count ? marks.items[i + 1].first : next;
}

// One step of the world; the state it leads to is handed to a visitor.
class World {
 public:
  using Visit = std::function<void(const char* what, int detail, const State& state)>;

  explicit World(const Setting& setting) : setting_(setting), rules_(setting.rules) {}

  [[nodiscard]] State start() const {
    State state;
    state.left = setting_.bounds;
    return state;
  }

  // All steps from `state`. A verdict: one of them broke a promise.
  Verdict each_step(const State& state, const Visit& visit);
  // As if faults stopped here: the device connects, sends all it has, and the judge looks.
  Verdict drain(State state) const;

 private:
  struct Answer {
    Path path;
    Place expected;
  };

  // ---- device
  [[nodiscard]] static Device after_mount(const Flash& flash) { return {.reclaim = flash.oldest}; }
  Verdict append(State& state) const;
  [[nodiscard]] Marks known(const Marks& marks, Place oldest) const;
  [[nodiscard]] static Message entry_at(const Flash& flash, Place seq);
  void take_ack(State& state, const Message& ack) const;
  static void outdate(Message& late);

  // ---- gateway
  [[nodiscard]] Answer take_hello(const Database& database, const Flash& flash) const;
  // The seq that it expects next; nothing: it wants a hello.
  [[nodiscard]] std::optional<Place> take_record(Database& database, const Path& path,
                                                 const Message& record) const;
  void begin_stream(Database& database, Mark mark, Id id) const;

  // ---- faults and traffic
  void power(const State& state, const Visit& visit) const;
  void restores(const State& state, const Visit& visit) const;
  void damage(const State& state, const Visit& visit) const;
  void hello(const State& state, const Visit& visit) const;
  void send(const State& state, const Visit& visit) const;
  void arrive(const State& state, const Visit& visit) const;

  [[nodiscard]] static Verdict judge(const Flash& flash, const Database& database);

  Setting setting_;
  Rules rules_;
};

// ------------------------------------------------------------------------------------------------ device

Marks World::known(const Marks& marks, Place oldest) const {
  const auto below = static_cast<std::size_t>(
      std::ranges::count_if(marks.view(), [oldest](const Mark& mark) { return mark.first < oldest; }));
  Marks kept = marks;
  if (below > rules_.marks_kept) kept.keep(below - rules_.marks_kept, marks.count);
  return kept;
}

Verdict World::append(State& state) const {
  Flash& flash = state.flash;
  Device& device = state.device;
  if (flash.next() - flash.oldest >= setting_.ring) {
    const Id freed = flash.path.items[flash.oldest - 1U];
    if (setting_.refuses_when_full && device.surely_held != 0 && !holds(state.database, freed))
      return "flash frees row " + std::to_string(freed) + ", which the gateway has not";
    flash.unreadable[flash.oldest / 8] =
        static_cast<std::uint8_t>(flash.unreadable[flash.oldest / 8] & ~(1U << (flash.oldest % 8)));
    ++flash.oldest;
  }
  const Id id = state.next_id++;
  if (device.marked == 0) {
    flash.marks.push_back({id, flash.next()});
    device.marked = 1;
    device.place = Device::kClosed;  // a mark was written: hello first
  } else {
    --state.left.appends;
  }
  flash.path.push_back(id);
  flash.marks = known(flash.marks, flash.oldest);
  return std::nullopt;
}

Message World::entry_at(const Flash& flash, Place seq) {
  return {.kind = Message::Kind::kRecord,
          .fresh = 1,
          .epoch = in_force(flash.marks, seq).epoch,
          .seq = seq,
          .id = flash.path.items[seq - 1U],
          .lost = seq < flash.oldest || flash.is_unreadable(seq) ? std::uint8_t{1} : std::uint8_t{0}};
}

// The first answer to a hello sets place and reclaim mark, later ones move them on.
void World::take_ack(State& state, const Message& ack) const {
  Device& device = state.device;
  const Flash& flash = state.flash;
  if (device.place == Device::kClosed || (rules_.ack == Names::kTry && ack.fresh == 0)) return;
  Place end = flash.next();
  if (rules_.ack == Names::kMark) {
    const auto marks = flash.marks.view();
    const auto named = std::ranges::find(marks, ack.epoch, &Mark::epoch);
    if (named == marks.end()) return;
    end = end_of(flash.marks, static_cast<std::size_t>(named - marks.begin()), end);
  }
  const Place expected = std::min(ack.seq, end);
  if (device.place == Device::kAsked) {
    device.place = device.reclaim = expected;
    device.surely_held = ack.before_restore != 0 ? 0 : 1;
  } else if (expected > device.reclaim) {
    device.place = std::max(device.place, expected);
    device.reclaim = expected;
  }
}

// The device said hello again, or is not there any more.
void World::outdate(Message& late) { late.fresh = 0; }

// ----------------------------------------------------------------------------------------------- gateway

World::Answer World::take_hello(const Database& database, const Flash& flash) const {
  Answer answer{.path = {.heard = 1, .fresh = 1, .marks = flash.marks, .unknown = {}},
                .expected = flash.next()};
  Database known = database;
  for (std::size_t i = flash.marks.count; i-- > 0;) {
    if (const Stream* const stream = find_stream(known, flash.marks.items[i])) {
      answer.expected = std::min(stream->expected, end_of(flash.marks, i, flash.next()));
      return answer;
    }
  }
  if (flash.marks.count > 0) answer.expected = flash.marks.items[0].first;
  if (!rules_.tells_unknown) return answer;
  for (Place seq = 1; seq < answer.expected; ++seq) {
    const Id id = flash.path.items[seq - 1U];
    if (!holds(database, id)) add(answer.path.unknown, id);
  }
  return answer;
}

void World::begin_stream(Database& database, Mark mark, Id id) const {
  if (database.streams.count == setting_.streams_max) {
    const Stream forgotten = database.streams.items[0];
    for (std::size_t i = 0; i < database.again.size(); ++i)
      database.again[i] = static_cast<std::uint8_t>(database.again[i] | forgotten.rows[i]);
    database.streams.keep(1, database.streams.count);
  }
  database.streams.push_back({.mark = mark, .expected = static_cast<Place>(mark.first + 1)});
  add(database.streams.view().back().rows, id);
}

std::optional<Place> World::take_record(Database& database, const Path& path, const Message& record) const {
  if (path.heard == 0 && rules_.record != Names::kMark) return std::nullopt;
  if (rules_.record == Names::kTry && (record.fresh == 0 || path.fresh == 0)) return std::nullopt;
  Mark mark = in_force(path.marks, record.seq);
  if (rules_.record == Names::kMark) {  // as the record names it, wherever the path has it
    const auto marks = path.marks.view();
    const auto named = std::ranges::find(marks, record.epoch, &Mark::epoch);
    const auto streams = database.streams.view();
    const auto known = std::ranges::find_if(
        streams, [&](const Stream& stream) { return stream.mark.epoch == record.epoch; });
    mark = known != streams.end()   ? known->mark
           : named != marks.end()   ? *named
           : rules_.begins_in_order ? Mark{}
                                    : Mark{record.epoch, record.seq};
  }
  if (mark.epoch == 0) return std::nullopt;
  if (Stream* const stream = find_stream(database, mark)) {
    if (record.seq > stream->expected) return std::nullopt;
    if (record.seq < stream->expected) return stream->expected;
    ++stream->expected;
    add(stream->rows, record.id);
    database.log.push_back({record.id, record.lost});
    return stream->expected;
  }
  if (rules_.begins_in_order) {
    const auto marks = path.marks.view();
    const auto own = std::ranges::find(marks, mark);
    if (own == marks.end() || record.seq != mark.first) return std::nullopt;
    if (own != marks.begin()) {
      const Stream* const before = find_stream(database, *(own - 1));
      if (before == nullptr || before->expected < record.seq) return std::nullopt;
    } else {
      for (std::size_t i = 0; i < path.unknown.size(); ++i)
        database.unknown[i] = static_cast<std::uint8_t>(database.unknown[i] | path.unknown[i]);
    }
  }
  begin_stream(database, mark, record.id);
  database.streams.view().back().expected = static_cast<Place>(record.seq + 1);
  database.log.push_back({record.id, record.lost});
  return static_cast<Place>(record.seq + 1);
}

// ------------------------------------------------------------------------------------------------- judge

Verdict World::judge(const Flash& flash, const Database& database) {
  IdSet seen{};
  std::vector<Id> order;
  bool some_again = false;
  for (const std::uint8_t bits : database.again) some_again = some_again || bits != 0;
  for (const Stored& stored : database.log.view()) {
    if (has(seen, stored.id) && !has(database.again, stored.id))
      return "row " + std::to_string(stored.id) + " is stored or reported twice";
    add(seen, stored.id);
    order.push_back(stored.id);
  }
  const auto path = flash.path.view();
  for (const Id id : path) {
    if (!has(seen, id) && !has(database.unknown, id))
      return "row " + std::to_string(id) + " is lost in silence";
  }
  if (some_again) return std::nullopt;
  std::size_t last = 0;
  for (const Id id : order) {
    const auto place = static_cast<std::size_t>(std::ranges::find(path, id) - path.begin());
    if (place == path.size()) continue;
    if (place < last) return "row " + std::to_string(id) + " is out of order";
    last = place;
  }
  return std::nullopt;
}

Verdict World::drain(State state) const {
  if (state.flash.path.count == 0) return std::nullopt;
  for (int attempt = 0; attempt < 4; ++attempt) {
    const Answer answer = take_hello(state.database, state.flash);
    bool taken = true;
    for (Place seq = answer.expected; seq < state.flash.next() && taken; ++seq)
      taken = take_record(state.database, answer.path, entry_at(state.flash, seq)).has_value();
    if (taken) return judge(state.flash, state.database);
  }
  return "it never drains";
}

// ------------------------------------------------------------------------------------- faults and traffic

void World::power(const State& state, const Visit& visit) const {
  const auto put_back = [&](const char* what, int detail, const Flash& flash, auto use) {
    State next = state;
    next.flash = flash;
    next.device = after_mount(flash);
    outdate(next.late);
    use(next.left);
    visit(what, detail, next);
  };
  if (state.left.mounts > 0 && (state.device.marked != 0 || state.device.place != Device::kClosed))
    put_back("reboot", 0, state.flash, [](Bounds& left) { --left.mounts; });
  if (state.left.copies > 0 && state.left.rollbacks > 0 && state.flash.path.count > 0 &&
      std::ranges::find(state.copies.view(), state.flash) == state.copies.view().end()) {
    State next = state;
    next.copies.push_back(state.flash);
    --next.left.copies;
    visit("copy the flash", 0, next);
  }
  if (state.left.rollbacks > 0) {
    for (const Flash& copy : state.copies.view()) {
      if (!(copy == state.flash))
        put_back("put a copy back whose newest row is", copy.path.view().back(), copy,
                 [](Bounds& left) { --left.rollbacks; });
    }
  }
  for (Place count = 1; state.left.tails > 0 && count <= 2; ++count) {
    if (state.flash.next() - count <= state.flash.oldest) break;
    Flash cut = state.flash;
    cut.path.keep(0, cut.path.count - static_cast<std::size_t>(count));
    const auto marks =
        std::ranges::count_if(cut.marks.view(), [&](const Mark& m) { return m.first < cut.next(); });
    cut.marks.keep(0, static_cast<std::size_t>(marks));
    for (Place seq = cut.next(); seq < state.flash.next(); ++seq)
      cut.unreadable[seq / 8] = static_cast<std::uint8_t>(cut.unreadable[seq / 8] & ~(1U << (seq % 8)));
    put_back("destroy the tail, entries:", count, cut, [](Bounds& left) { --left.tails; });
  }
}

void World::restores(const State& state, const Visit& visit) const {
  if (state.left.backups > 0 && state.left.restores > 0 &&
      std::ranges::find(state.backups.view(), state.database) == state.backups.view().end()) {
    State next = state;
    next.backups.push_back(state.database);
    --next.left.backups;
    visit("copy the database", 0, next);
  }
  if (state.left.restores == 0) return;
  for (const Database& backup : state.backups.view()) {
    if (backup == state.database) continue;
    State next = state;
    next.database = backup;
    next.path = {};
    next.device.surely_held = 0;
    if (next.late.kind == Message::Kind::kAck) next.late.before_restore = 1;
    --next.left.restores;
    visit("restore a database with rows:", backup.log.count, next);
  }
}

void World::damage(const State& state, const Visit& visit) const {
  if (state.left.damages == 0) return;
  for (Place seq = state.flash.oldest; seq < state.flash.next(); ++seq) {
    if (state.flash.is_unreadable(seq)) continue;
    State next = state;
    next.flash.unreadable[seq / 8] =
        static_cast<std::uint8_t>(next.flash.unreadable[seq / 8] | 1U << (seq % 8));
    if (!rules_.marks_outlive_damage && seq > 1) {
      Marks left;
      for (const Mark& mark : state.flash.marks.view()) {
        if (mark.first != seq) left.push_back(mark);
      }
      next.flash.marks = left;
    }
    --next.left.damages;
    visit("seq becomes unreadable:", seq, next);
  }
}

void World::hello(const State& state, const Visit& visit) const {
  if (state.flash.path.count == 0 || (state.device.place != Device::kClosed && state.path.heard != 0)) return;
  const Answer answer = take_hello(state.database, state.flash);
  State next = state;
  outdate(next.late);
  next.path = answer.path;
  next.device.place = next.device.reclaim = answer.expected;
  next.device.surely_held = 1;
  visit("hello, the answer is", answer.expected, next);

  next = state;
  outdate(next.late);
  next.path = answer.path;
  next.device.place = Device::kAsked;
  if (state.left.delays == 0) {
    if (state.late.kind != Message::Kind::kNone) visit("hello, the answer is lost", 0, next);
    return;
  }
  --next.left.delays;
  next.late = {.kind = Message::Kind::kAck,
               .fresh = 1,
               .epoch = in_force(state.flash.marks, answer.expected).epoch,
               .seq = answer.expected};
  visit("hello, the answer is late:", answer.expected, next);

  next = state;
  --next.left.delays;
  next.device = after_mount(state.flash);
  next.device.marked = state.device.marked;
  next.late = {.kind = Message::Kind::kHello, .flash = state.flash};
  visit("hello is late, and the link cut", 0, next);
}

void World::send(const State& state, const Visit& visit) const {
  const Device& device = state.device;
  if (device.place == Device::kClosed || device.place == Device::kAsked || device.place >= state.flash.next())
    return;
  const Message record = entry_at(state.flash, device.place);
  State sent = state;
  ++sent.device.place;
  if (state.left.losses > 0) {
    State next = sent;
    --next.left.losses;
    visit("a record is lost, seq", record.seq, next);
  }
  if (state.left.delays > 0) {
    State next = sent;
    --next.left.delays;
    next.late = record;
    visit("a record is late, seq", record.seq, next);
  }
  const auto expected = take_record(sent.database, state.path, record);
  if (!expected) {
    State next = state;
    next.device.place = Device::kClosed;
    visit("a hello is wanted, at seq", record.seq, next);
    return;
  }
  const Message ack{.kind = Message::Kind::kAck, .fresh = 1, .epoch = record.epoch, .seq = *expected};
  State next = sent;
  take_ack(next, ack);
  visit("sent and acknowledged, seq", record.seq, next);
  if (state.left.losses > 0) {
    next = sent;
    --next.left.losses;
    visit("sent and its ack lost, seq", record.seq, next);
  }
  if (state.left.delays > 0) {
    next = sent;
    --next.left.delays;
    next.late = ack;
    visit("sent and its ack late, seq", record.seq, next);
  }
}

void World::arrive(const State& state, const Visit& visit) const {
  State next = state;
  switch (state.late.kind) {
    case Message::Kind::kNone:
      return;
    case Message::Kind::kAck:
      take_ack(next, state.late);
      visit("the late ack arrives:", state.late.seq, next);
      return;
    case Message::Kind::kRecord:
      next.late = {};
      (void)take_record(next.database, state.path, state.late);
      visit("the late record arrives, seq", state.late.seq, next);
      return;
    case Message::Kind::kHello:
      next.late = {};
      next.path = take_hello(state.database, state.late.flash).path;
      next.path.fresh = 0;
      visit("the late hello arrives", 0, next);
      return;
  }
}

Verdict World::each_step(const State& state, const Visit& visit) {
  const bool has_room = !setting_.refuses_when_full ||
                        state.flash.next() - state.flash.oldest < setting_.ring ||
                        state.flash.oldest < state.device.reclaim;
  if (state.left.appends > 0 && has_room && state.flash.path.count < kEntriesMax) {
    State next = state;
    if (Verdict verdict = append(next)) return verdict;
    visit(state.device.marked != 0 ? "append" : "append a mark", next.flash.path.view().back(), next);
  }
  power(state, visit);
  restores(state, visit);
  damage(state, visit);
  hello(state, visit);
  send(state, visit);
  arrive(state, visit);
  return std::nullopt;
}

// ------------------------------------------------------------------------------------------------ search

// What can have no effect any more is forgotten, so that states that differ in nothing else are one.
State canonical(State state, const Rules& rules) {
  if (state.left.rollbacks == 0) {
    state.copies = {};
    state.left.copies = 0;
  }
  if (state.left.restores == 0) {
    state.backups = {};
    state.left.backups = 0;
  }
  const bool dead_ack = state.late.kind == Message::Kind::kAck && rules.ack == Names::kTry;
  const bool dead_record = state.late.kind == Message::Kind::kRecord && rules.record == Names::kTry;
  if (state.late.fresh == 0 && (dead_ack || dead_record)) state.late = {};
  return state;
}

std::uint64_t hash_of(const State& state) {
  std::uint64_t hash = 0x9E3779B97F4A7C15;
  const Bytes bytes = bytes_of(state);
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    hash = (hash ^ load_le<std::uint64_t>(bytes.data() + i)) * 0xFF51AFD7ED558CCD;
    hash ^= hash >> 32;
  }
  for (; i < bytes.size(); ++i) hash = (hash ^ bytes[i]) * 0xFF51AFD7ED558CCD;
  hash ^= hash >> 29;
  hash *= 0xC4CEB9FE1A85EC53;
  return (hash ^ hash >> 32) | 1;
}

// Hashes of states seen; 8 bytes each. Two states with the same 64 bits are taken for one: with 10 M states
// the chance that this hides any is below 1 in 300,000.
class Seen {
 public:
  bool add(std::uint64_t hash) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    return insert(slots_, hash) && ++count_ > 0;
  }

 private:
  static bool insert(std::vector<std::uint64_t>& slots, std::uint64_t hash) {
    std::size_t at = hash >> 1 & (slots.size() - 1);
    while (slots[at] != 0) {
      if (slots[at] == hash) return false;
      at = (at + 1) & (slots.size() - 1);
    }
    slots[at] = hash;
    return true;
  }
  void grow() {
    std::vector<std::uint64_t> larger(2 * slots_.size());
    for (const std::uint64_t hash : slots_) {
      if (hash != 0) insert(larger, hash);
    }
    slots_.swap(larger);
  }
  std::vector<std::uint64_t> slots_ = std::vector<std::uint64_t>(1U << 16);
  std::size_t count_ = 0;
};

// How each state was reached, for the trace.
struct Step {
  const char* what = nullptr;
  int detail = 0;
  std::uint32_t parent = 0;
};

std::vector<std::string> trace_to(const std::vector<Step>& steps, std::uint32_t at) {
  std::vector<std::string> trace;
  for (; at != 0; at = steps[at].parent)
    trace.push_back(std::string(steps[at].what) +
                    (steps[at].detail != 0 ? " " + std::to_string(steps[at].detail) : ""));
  std::ranges::reverse(trace);
  return trace;
}

}  // namespace

Found explore(const Setting& setting, Order order, std::uint64_t states_max) {
  struct Todo {
    State state;
    std::uint32_t step;
  };
  World world(setting);
  Found found;
  Seen seen;
  std::vector<Step> steps(1);
  std::deque<Todo> todo;
  todo.push_back({canonical(world.start(), setting.rules), 0});
  seen.add(hash_of(todo.front().state));
  while (!todo.empty() && found.states < states_max) {
    const Todo now = order == Order::kBreadthFirst ? todo.front() : todo.back();
    if (order == Order::kBreadthFirst) {
      todo.pop_front();
    } else {
      todo.pop_back();
    }
    ++found.states;
    Verdict verdict = world.drain(now.state);
    if (!verdict) {
      verdict = world.each_step(now.state, [&](const char* what, int detail, const State& reached) {
        const State next = canonical(reached, setting.rules);
        if (!seen.add(hash_of(next))) return;
        steps.push_back({what, detail, now.step});
        todo.push_back({next, static_cast<std::uint32_t>(steps.size() - 1)});
      });
    }
    if (verdict) {
      found.broken = *verdict;
      found.trace = trace_to(steps, now.step);
      return found;
    }
  }
  found.complete = todo.empty();
  return found;
}

}  // namespace godwit::model
