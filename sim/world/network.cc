// SPDX-License-Identifier: Apache-2.0
#include "sim/world/network.h"

#include <algorithm>
#include <utility>

namespace godwit::sim {
namespace {

Link::Side other(Link::Side side) { return side == Link::kDevice ? Link::kBroker : Link::kDevice; }

}  // namespace

void Link::hang_up(Side side) {
  if (End* const end = std::exchange(ends_[side], nullptr)) end->link_closed(*this);
}

void Link::abandon(Side side) {
  ends_[side] = nullptr;
  silent_ = true;
}

void Link::close(Side side) {
  ends_[side] = nullptr;
  directions_[side].closing = true;
  schedule(side);
}

void Link::cut() {
  silent_ = true;
  for (const Side side : {kDevice, kBroker}) {
    scene_.engine.after(Millis{1}, [self = shared_from_this(), side] { self->hang_up(side); });
  }
}

void Link::stall_until(Time end) { stalled_until_ = std::max(stalled_until_, end); }

std::size_t Link::room(Side from) const {
  return kSendBuffer - std::min(kSendBuffer, directions_[from].bytes);
}

std::size_t Link::send(Side from, std::string_view bytes) {
  Direction& direction = directions_[from];
  // The broker's machine has room enough; a device's has not.
  if (from == kDevice) bytes = bytes.substr(0, room(from));
  if (bytes.empty()) return 0;
  direction.bytes += bytes.size();
  if (silent_) return bytes.size();
  const Time start = std::max(scene_.now(), direction.free_at);
  direction.free_at = start + Millis{static_cast<std::int64_t>(bytes.size() * 1'000 / quality_.rate)};
  const Time last = direction.chunks.empty() ? Time{0} : direction.chunks.back().arrives;
  direction.chunks.push_back({std::max(last, direction.free_at + quality_.latency), std::string(bytes)});
  schedule(from);
  return bytes.size();
}

void Link::schedule(Side from) {
  Direction& direction = directions_[from];
  if (direction.scheduled || silent_) return;
  if (direction.chunks.empty() && !direction.closing) return;
  const Time arrives =
      direction.chunks.empty() ? scene_.now() + quality_.latency : direction.chunks.front().arrives;
  direction.scheduled = true;
  scene_.engine.at(std::max(arrives, stalled_until_), [self = shared_from_this(), from] {
    self->directions_[from].scheduled = false;
    self->deliver(from);
  });
}

void Link::deliver(Side from) {
  const Side to = other(from);
  Direction& direction = directions_[from];
  const auto keep_alive = shared_from_this();
  if (scene_.now() < stalled_until_) return schedule(from);
  if (silent_) return;
  if (direction.chunks.empty()) {
    if (direction.closing) hang_up(to);
    return;
  }
  Chunk chunk = std::move(direction.chunks.front());
  direction.chunks.pop_front();
  direction.bytes -= chunk.bytes.size();
  std::string_view bytes = chunk.bytes;
  const bool cuts = cut_after_ && *cut_after_ <= bytes.size();
  if (cuts) {
    bytes = bytes.substr(0, *cut_after_);
    scene_.hit(from == kDevice ? Probe::kCutInUplink : Probe::kCutInDownlink);
    scene_.say("link " + std::to_string(id_),
               [&] { return std::string("cut, ") + (from == kDevice ? "uplink" : "downlink"); });
  } else if (cut_after_) {
    *cut_after_ -= bytes.size();
  }
  scene_.engine.digest.add(as_bytes(bytes));
  if (ends_[to] != nullptr && !bytes.empty()) ends_[to]->link_bytes(*this, bytes);
  if (cuts) return cut();
  schedule(from);
  if (ends_[from] != nullptr) ends_[from]->link_writable(*this);
}

}  // namespace godwit::sim
