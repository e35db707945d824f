// SPDX-License-Identifier: Apache-2.0
// How the gateway follows the log of one device over restarts of both sides, copies of its flash that are put
// back and copies of our database that are restored. Rules, which tests/model/history_model_test.cc explores:
//
//   A mark begins what one mount of the device's log wrote; (mark, seq) names an entry in every copy of it.
//   Lasting is one stream per mark, with the seq that it expects, and `head`, the stream that took the last
//   entry. In memory is the path of the last hello: its try and its marks, from the newest one that has a
//   stream on.
//
//   hello   -> the answer is min(expected of that stream, first seq of the mark behind it, or the hello's next).
//              No mark has one: older marks are asked for; there are none: from the oldest mark's first seq.
//   entry   -> counts only under the try of the last hello, at the expected seq of the mark in force there.
//              Lower: a repeat. Higher: to be sent again from there. Another try: a hello is wanted.
//   stream  -> begins with its mark's first entry (the mark itself, or a loss that covers it), once the mark
//              before it on the path expects that seq. Beyond the bound the one that began first is
//              forgotten.
//
// Values and rules, no I/O. What changes lasts only when the caller has committed take_changes().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "proto/base/ids.h"
#include "proto/codec/messages.h"

namespace godwit::gateway {

// Sequence numbers are stored as signed 64-bit integers. No device gets near.
inline constexpr std::uint64_t kSeqMax = INT64_MAX;

// What is stored of one mark's entries.
struct StreamState {
  Mark mark;
  Seq expected;               // next; all from mark.first_seq up to it are stored or lost
  std::uint64_t records = 0;  // stored
  std::uint64_t lost = 0;     // explained by loss events

  [[nodiscard]] bool holds(Epoch epoch, Seq seq) const {
    return mark.epoch == epoch && mark.first_seq <= seq && seq < expected;
  }
  // One of its records is a loss after all.
  void lose() {
    --records;
    ++lost;
  }
  friend bool operator==(const StreamState&, const StreamState&) = default;
};

class History {
 public:
  // Marks of a path, 16 bytes each while the oldest of them are still to come; older ones are not asked for.
  static constexpr std::size_t kPathMarksMax = 1024;

  // `streams` in the order in which they began. `streams_max` > 0: those that are kept.
  History(std::size_t streams_max, std::vector<StreamState> streams, Mark head)
      : streams_max_(streams_max), streams_(std::move(streams)), head_(head) {}

  // Takes the path of a hello; precondition: its marks are in order, as decode_hello() has seen to. False: it
  // names older marks of a path that is not held (any more) and has no effect; a whole hello is wanted.
  bool hear(const codec::Hello& hello);

  // What the device is to be told. nullopt: no path is held, a hello is wanted.
  struct Answer {
    Try try_id;
    Seq next_seq = kFirstSeq;
    Seq marks_before{0};  // not 0: the marks below it are wanted, and next_seq says nothing
  };
  [[nodiscard]] std::optional<Answer> answer() const;

  // What came: one entry, or a range that will never come.
  enum class Kind : std::uint8_t { kRecord, kMark, kLoss, kRefused };
  struct Entry {
    Try try_id;
    Kind kind = Kind::kRecord;
    Seq seq;
    Seq end;                  // precondition: > seq, at most kSeqMax
    Epoch epoch{};            // kMark
    std::uint64_t count = 0;  // kRefused: records that have no seq
  };
  enum class Verdict : std::uint8_t {
    kTaken,   // from `first` up to `end`; of a loss range the rest is still to be offered
    kRepeat,  // known: acknowledge again
    kAhead,   // a higher seq than expected: ask for a rewind
    kForeign  // of another try or log than the last hello said: ask for a hello
  };
  struct Outcome {
    Verdict verdict = Verdict::kForeign;
    Seq first{};  // this and the rest: kTaken
    Seq end{};
    Epoch epoch{};
    // The device's log goes on elsewhere than where the head expected, namely at `first`: its storage was
    // replaced. This seq had been expected.
    std::optional<Seq> replaced{};
    bool unknown_before = false;  // nothing says what became of entries before `first`
    std::optional<Epoch> forgotten{};
  };
  Outcome take(const Entry& entry);
  // A record that was taken is a loss after all.
  void lose(Epoch epoch, Seq seq);

  // In the order in which they began.
  [[nodiscard]] const std::vector<StreamState>& streams() const { return streams_; }
  // Of the stream that took the last entry; epoch 0: nothing was taken ever.
  [[nodiscard]] Mark head() const { return head_; }

  // What has changed since the last call, to be written together with the head.
  struct Changes {
    std::vector<StreamState> streams;    // in the order in which they began
    std::vector<StreamState> forgotten;  // to be deleted first
  };
  [[nodiscard]] Changes take_changes();

 private:
  // Where the mark in force at the cursor ends on the path; kSeqMax: it is the newest.
  [[nodiscard]] Seq segment_end() const;
  [[nodiscard]] Seq cursor() const;
  // The mark that begins at the cursor, if one does.
  [[nodiscard]] const Mark* beginning() const;
  void begin(Outcome& outcome);

  std::size_t streams_max_;
  std::vector<StreamState> streams_;
  Mark head_;

  // The path of the last hello. Newest mark first; the last one is in force at the cursor, or begins there.
  Try try_{};
  Epoch boot_epoch_{};
  std::vector<Mark> marks_;
  bool begun_ = false;      // marks_.back() has a stream
  bool searching_ = false;  // none has, and older ones were asked for
  Seq next_{0};             // the hello's next_seq, or one past the highest entry since: no ack goes beyond

  std::vector<Mark> changed_;
  std::vector<StreamState> forgotten_;
};

}  // namespace godwit::gateway
