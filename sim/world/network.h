// SPDX-License-Identifier: Apache-2.0
// A connection between a device and the broker: bytes in order, with latency and bandwidth, until it is cut,
// stalls, or dies without a word. It knows nothing of what the bytes mean.
//
// Both ends hold it by shared_ptr and hear of it through End. An end that closes, or is gone, hears no more.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sim/world/scene.h"

namespace godwit::sim {

struct LinkQuality {
  Millis latency{20};
  std::uint64_t rate = 10'000;  // bytes/s
};

class Link : public std::enable_shared_from_this<Link> {
 public:
  // What is on its way in a socket's buffer, before the sender has to wait.
  static constexpr std::size_t kSendBuffer = 4'096;
  enum Side : std::uint8_t { kDevice, kBroker };

  class End {
   public:
    virtual void link_bytes(Link& link, std::string_view bytes) = 0;
    virtual void link_writable(Link& link) = 0;
    virtual void link_closed(Link& link) = 0;

   protected:
    ~End() = default;
  };

  Link(Scene& scene, const LinkQuality& quality, std::uint64_t id)
      : scene_(scene), quality_(quality), id_(id) {}

  void attach(Side side, End* end) { ends_[side] = end; }
  // The end is gone without closing: power, a kill -9 of a machine. The other side hears nothing.
  void abandon(Side side);
  // An orderly or an operating system's close: the other side hears it after what was sent.
  void close(Side side);

  // Takes what there is room for.
  std::size_t send(Side from, std::string_view bytes);
  [[nodiscard]] std::size_t room(Side from) const;

  // --- Faults ---
  void cut_after(std::uint64_t bytes) { cut_after_ = bytes; }
  void cut();  // both ends hear of it
  void stall_until(Time end);
  void go_silent() { silent_ = true; }
  void set_quality(const LinkQuality& quality) { quality_ = quality; }

  [[nodiscard]] bool silent() const { return silent_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  struct Chunk {
    Time arrives;
    std::string bytes;
  };
  struct Direction {
    std::deque<Chunk> chunks;
    std::size_t bytes = 0;
    Time free_at{0};  // the wire, of what was sent before
    bool scheduled = false;
    bool closing = false;  // after the last chunk
  };

  void schedule(Side from);
  void deliver(Side from);
  void hang_up(Side side);

  Scene& scene_;
  LinkQuality quality_;
  std::uint64_t id_;
  End* ends_[2] = {nullptr, nullptr};
  Direction directions_[2];  // by sender
  std::optional<std::uint64_t> cut_after_;
  Time stalled_until_{0};
  bool silent_ = false;
};

}  // namespace godwit::sim
