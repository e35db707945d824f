// SPDX-License-Identifier: Apache-2.0
#include "gateway/log/feed.h"

#include <algorithm>
#include <utility>

namespace godwit::gateway {
namespace {

// A page, as it is stored. Encoded it is 15 times as long or more: what is beyond the text's limit is read
// again, so that a page costs a quarter of what it shows, or one event.
constexpr std::size_t kPageEvents = 256;
constexpr std::size_t kPageBytes = std::size_t{64} * 1024;
constexpr std::size_t kPageTextMax = std::size_t{256} * 1024;
// Entries that a step may look at for nothing.
constexpr std::size_t kLookedAtMax = 4096;

std::size_t first_entry_after(const Block& block, LogOffset offset) {
  const auto entry = std::ranges::upper_bound(block.entries, offset, {},
                                              [](const Block::Entry& each) { return each.id.offset; });
  return static_cast<std::size_t>(entry - block.entries.begin());
}

}  // namespace

ReadResult run_read(const LogReader& log, const ReadRequest& request, std::function<bool()> give_up) {
  ReadResult result{.number = request.number, .failed = false, .place = {}, .blocks = {}};
  try {
    if (!request.start) {
      const LogPage page = log.read(request.after, request.filter,
                                    {.events = kPageEvents,
                                     .bytes = kPageBytes,
                                     .up_to = request.up_to,
                                     .give_up = std::move(give_up)});
      const bool shared = reads_unfiltered(request.filter);
      result.blocks = encode(request.after, page, log, shared ? kPageTextMax : kBlockTextMax).blocks;
    } else if (request.start->kind == LogStart::Kind::kAfter) {
      result.place = log.resume(request.start->after);
    } else {
      result.place.from = log.ends().before_first;
    }
  } catch (const StoreError&) {  // reported by every request and by /readyz
    result.failed = true;
  }
  return result;
}

void Feed::append(BlockPtr block) {
  if (block->through.offset <= tail_.offset) return;
  tail_ = block->through;
  insert(std::move(block));
}

void Feed::skip_through(LogId id) {
  if (id.offset <= tail_.offset) return;
  tail_ = id;
  ++counters_.left_out;
}

void Feed::wake() {
  for (Follower* const follower : followers_) {
    if (std::exchange(follower->waiting_, false)) follower->wake_();
  }
}

std::int64_t Feed::lag_max() const {
  std::int64_t most = 0;
  for (const Follower* const follower : followers_) most = std::max(most, follower->lag());
  return most;
}

BlockPtr Feed::find(LogOffset offset) {
  const auto found = blocks_.upper_bound(offset);
  if (found == blocks_.end() || found->second.block->after > offset) return nullptr;
  uses_.splice(uses_.end(), uses_, found->second.use);
  return found->second.block;
}

void Feed::insert(BlockPtr block) {
  const LogOffset key = block->through.offset;
  const auto known = blocks_.find(key);
  if (known != blocks_.end()) {
    bytes_ -= known->second.block->size_bytes();
    uses_.erase(known->second.use);
    blocks_.erase(known);
  }
  bytes_ += block->size_bytes();
  blocks_.emplace(key, Cached{.block = std::move(block), .use = uses_.insert(uses_.end(), key)});
  while (bytes_ > limits_.cache_bytes_max) {
    const auto oldest = blocks_.find(uses_.front());
    bytes_ -= oldest->second.block->size_bytes();
    blocks_.erase(oldest);
    uses_.pop_front();
  }
}

bool Feed::has_to_read(const Follower& follower) {
  if (follower.start_) return true;
  const LogOffset at = follower.position_.offset;
  return at < tail_.offset && find(at) == nullptr;
}

// It can wait for what is under way for somebody else.
bool Feed::is_read_already(const Follower& follower) const {
  if (follower.start_ || !reads_unfiltered(follower.filter_)) return false;
  const std::int64_t at = follower.position_.offset.value;
  return std::ranges::any_of(running_, [&](const auto& entry) {
    const std::int64_t after = entry.second.after.value;
    return entry.second.shared && after <= at && at - after < static_cast<std::int64_t>(kPageEvents);
  });
}

std::optional<ReadRequest> Feed::next_read() {
  for (auto it = wanting_.begin(); it != wanting_.end();) {
    Follower& follower = **it;
    if (has_to_read(follower) && is_read_already(follower)) {
      ++it;
      continue;
    }
    it = wanting_.erase(it);
    follower.wanted_.reset();
    if (has_to_read(follower)) return request_for(follower);
    follower.wake_();  // somebody else's read brought it
  }
  return std::nullopt;
}

ReadRequest Feed::request_for(Follower& follower) {
  ReadRequest request{.number = ++last_number_,
                      .start = follower.start_,
                      .after = follower.position_.offset,
                      .up_to = tail_.offset,
                      .filter = {}};
  const bool shared = !follower.start_ && reads_unfiltered(follower.filter_);
  if (shared) {
    const auto next = blocks_.upper_bound(request.after);
    if (next != blocks_.end()) request.up_to = std::min(request.up_to, next->second.block->after);
  } else {
    request.filter = follower.filter_;
  }
  follower.reading_ = request.number;
  running_.emplace(request.number, Running{.follower = &follower, .shared = shared, .after = request.after});
  return request;
}

void Feed::finish_read(ReadResult result) {
  const auto run = running_.find(result.number);
  const Running running = run->second;
  running_.erase(run);
  if (result.failed) ++counters_.reads_failed;
  if (!result.blocks.empty()) ++counters_.pages_read;
  // A page that goes nowhere would be asked for again and again.
  const bool stuck = !result.blocks.empty() && result.blocks.front()->through.offset <= running.after;
  if (Follower* const follower = running.follower) {
    follower->reading_ = 0;
    if (result.failed || stuck) {
      follower->failed_ = true;
    } else if (follower->start_) {
      follower->start_.reset();
      follower->position_ = result.place.from;
      follower->gap_ = result.place.gap;
    } else {
      follower->page_ = result.blocks.front();
    }
    follower->wake_();
  }
  if (!running.shared || stuck) return;
  for (BlockPtr& block : result.blocks) insert(std::move(block));
}

Follower::Follower(Feed& feed, const LogStart& start, LogReader::Filter filter, std::function<void()> wake)
    : feed_(feed),
      filter_(std::move(filter)),
      all_(filter_ == LogReader::Filter{}),
      wake_(std::move(wake)),
      place_(feed.followers_.insert(feed.followers_.end(), this)) {
  if (start.kind == LogStart::Kind::kNow) {
    position_ = feed.tail_;
  } else {
    start_ = start;
  }
  if (feed_.followers_.size() == 1 && feed_.followed_) feed_.followed_(true);
}

Follower::~Follower() {
  feed_.followers_.erase(place_);
  if (feed_.followers_.empty() && feed_.followed_) feed_.followed_(false);
  if (wanted_) feed_.wanting_.erase(*wanted_);
  if (reading_ != 0) feed_.running_.at(reading_).follower = nullptr;
}

std::optional<LogId> Follower::position() const {
  if (start_ || gap_) return std::nullopt;
  return position_;
}

std::int64_t Follower::lag() const {
  return start_ ? 0 : std::max<std::int64_t>(feed_.tail_.offset.value - position_.offset.value, 0);
}

Follower::Step Follower::next(std::size_t bytes_max) {
  Step step;
  waiting_ = false;
  if (std::exchange(failed_, false)) {
    step.kind = Step::Kind::kFailed;
    return step;
  }
  if (gap_) {
    step.kind = Step::Kind::kGap;
    step.gap = *std::exchange(gap_, std::nullopt);
    return step;
  }
  std::shared_ptr<Block> own;  // what passes the filter
  std::size_t bytes = 0;
  std::size_t looked_at = 0;
  while (!start_ && bytes < bytes_max && looked_at < kLookedAtMax) {
    const BlockPtr block = next_block();
    if (!block) break;
    if (block->gap && position_.offset < block->gap->to) {
      if (bytes > 0) break;  // after what is in front of it
      step.kind = Step::Kind::kGap;
      step.gap = *block->gap;
      step.gap.from = {position_.offset.value + 1};
      position_ = step.gap.next;
      return step;
    }
    const std::size_t first = first_entry_after(*block, position_.offset);
    const std::size_t count = block->entries.size();
    if (all_) {
      const Slice slice{.block = block, .begin = first, .end = count};
      const std::size_t size = first < count ? slice.text().size() : 0;
      if (bytes > 0 && bytes + size > bytes_max) break;
      if (first < count) step.slices.push_back(slice);
      bytes += size;
      position_ = block->through;
    } else {
      if (!own) own = std::make_shared<Block>();
      looked_at += count - first;
      if (!copy(*block, first, bytes_max, *own)) break;
      bytes = own->text.size();
    }
  }
  if (own && !own->entries.empty()) {
    const std::size_t count = own->entries.size();
    step.slices.push_back({.block = std::move(own), .begin = 0, .end = count});
  }
  if (!step.slices.empty()) {
    step.kind = Step::Kind::kEvents;
  } else if (looked_at >= kLookedAtMax) {
    step.kind = Step::Kind::kAgain;
  } else {
    step.kind = wait_or_read();
  }
  return step;
}

// What was read for it, or what is in the cache; nullptr: neither goes on from here.
BlockPtr Follower::next_block() {
  if (page_ && page_->through.offset <= position_.offset) page_.reset();
  return page_ ? page_ : feed_.find(position_.offset);
}

// False: there is more in the block, but no room for it.
bool Follower::copy(const Block& block, std::size_t first, std::size_t bytes_max, Block& own) {
  for (std::size_t i = first; i < block.entries.size(); ++i) {
    const Block::Entry& entry = block.entries[i];
    if (!LogReader::passes(filter_, entry.type, entry.device)) continue;
    const std::string_view frame = block.frame(entry);
    const auto begin = static_cast<std::uint32_t>(own.text.size());
    if (begin > 0 && begin + frame.size() > bytes_max) return false;
    own.text += frame;
    Block::Entry& copied = own.entries.emplace_back(entry);
    copied.begin = begin;
    copied.json = begin + (entry.json - entry.begin);
    copied.end = static_cast<std::uint32_t>(own.text.size());
    position_ = entry.id;
  }
  position_ = block.through;
  return true;
}

Follower::Step::Kind Follower::wait_or_read() {
  if (!start_ && position_.offset >= feed_.tail_.offset) {
    waiting_ = true;
    return Step::Kind::kWait;
  }
  if (!wanted_ && reading_ == 0) wanted_ = feed_.wanting_.insert(feed_.wanting_.end(), this);
  return Step::Kind::kRead;
}

}  // namespace godwit::gateway
