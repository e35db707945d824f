// SPDX-License-Identifier: Apache-2.0
// Each sector of the region holds one copy: a header, and the session behind it. A new copy goes to the
// sector whose copy does not stand; only once it is there, read back and flushed does it stand. So the copy
// that stands is never touched, and what a power cut leaves of the other one is erased before it is written
// again.
#include "boards/common/storage/node_state.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "proto/base/assert.h"
#include "proto/base/crc32.h"

namespace godwit::boards {
namespace {

constexpr std::uint32_t kMagic = 0x534E5747;  // "GWNS"
constexpr std::size_t kUnitMax = 512;
static_assert(std::endian::native == std::endian::little);

// Copies what `piece`, which stands at `piece_at`, has in common with `window`, which stands at `window_at`.
void overlay(MutableBytes window, std::size_t window_at, Bytes piece, std::size_t piece_at) {
  const std::size_t from = std::max(window_at, piece_at);
  const std::size_t to = std::min(window_at + window.size(), piece_at + piece.size());
  if (from >= to) return;
  std::ranges::copy(piece.subspan(from - piece_at, to - from), window.subspan(from - window_at).begin());
}

}  // namespace

NodeState::NodeState(ports::Flash& region) : region_(region) {
  static_assert(sizeof(Header) == 40);
  GODWIT_ASSERT(region.geometry().sector_count == 2);
  GODWIT_ASSERT(region.geometry().sector_size_bytes >= sizeof(Header) + kSessionSizeMax);
}

Status NodeState::mount(ports::Log& log) {
  std::array<Header, 2> headers;
  std::array<Copy, 2> copies{};
  std::size_t silent = 0;
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto copy = read_copy(i, headers[i]);
    if (!copy) copy = read_copy(i, headers[i]);
    // What cannot be read is damaged, unless nothing answers.
    if (!copy && copy.error() == Status::kIo) ++silent;
    copies[i] = copy.value_or(Copy::kDamaged);
  }
  if (silent == 2) return Status::kIo;
  // A whole copy before one without session, the later before the earlier.
  const auto better = [&](std::size_t a, std::size_t b) {
    return copies[a] != copies[b] ? copies[a] > copies[b] : headers[a].serial > headers[b].serial;
  };
  index_ = better(0, 1) ? 0 : 1;
  const std::uint32_t other = 1 - index_;
  Header next;
  if (copies[index_] >= Copy::kWithoutSession) {
    next = headers[index_];
    if (copies[other] ==
        Copy::kWithoutSession) {  // it may have been the later, before its session was damaged
      next.boot = std::max(next.boot, headers[other].boot);
      next.serial = std::max(next.serial, headers[other].serial);
    } else if (copies[other] == Copy::kDamaged) {
      ++next.boot;  // as much as it may have been ahead
    }
  } else if (copies[index_] == Copy::kDamaged) {
    log.write(ports::LogLevel::kWarning, "node_state_damaged", {{.key = "boot", .number = 1}});
  } else {
    log.write(ports::LogLevel::kInfo, "node_state_new", {});
  }
  ++next.boot;
  const bool with_session = copies[index_] == Copy::kWhole && next.session_size > 0;
  if (!with_session) next.session_size = 0;
  state_ = next;
  return write_somewhere(next, with_session ? std::nullopt : std::optional(Bytes{}));
}

void NodeState::go_on_unsaved(std::uint32_t boot) {
  state_.boot = boot;
  unsaved_ = true;
}

Status NodeState::save_device(std::uint32_t device) {
  Header next = state_;
  next.device = device;
  return write_somewhere(next, std::nullopt);
}

std::expected<std::size_t, Status> NodeState::load_session(std::uint32_t owner, MutableBytes out) {
  if (state_.session_size == 0 || state_.owner != owner) return std::unexpected(Status::kNotFound);
  if (out.size() < state_.session_size) return std::unexpected(Status::kFull);
  out = out.first(state_.session_size);
  const std::uint64_t at = std::uint64_t{index_} * region_.geometry().sector_size_bytes + sizeof(Header);
  if (const Status status = region_.read(at, out); status != Status::kOk) return std::unexpected(status);
  if (crc32(out) != state_.session_crc) return std::unexpected(Status::kCorrupt);
  return out.size();
}

Status NodeState::save_session(std::uint32_t owner, UnixMillis now, Bytes session) {
  if (session.empty() || session.size() > kSessionSizeMax) return Status::kInvalidArgument;
  Header next = state_;
  next.owner = owner;
  // Not the latest ever: a clock may have been set wrong once.
  next.saved_at = now.value != 0 ? now.value : saved_at(owner).value;
  next.session_size = static_cast<std::uint32_t>(session.size());
  next.session_crc = crc32(session);
  return write(next, session);
}

Status NodeState::clear_session() {
  if (state_.session_size == 0) return Status::kOk;
  Header next = state_;
  next.session_size = 0;
  return write(next, Bytes{});
}

std::expected<NodeState::Copy, Status> NodeState::read_copy(std::uint32_t index, Header& out) {
  const std::uint64_t start = std::uint64_t{index} * region_.geometry().sector_size_bytes;
  std::array<std::uint8_t, sizeof(Header)> raw;
  if (const Status status = region_.read(start, raw); status != Status::kOk) return std::unexpected(status);
  if (all_equal(raw, 0xFF) || all_equal(raw, 0)) return Copy::kBlank;
  const auto header = std::bit_cast<Header>(raw);
  if (header.magic != kMagic || header.crc != crc32(Bytes(raw).first(offsetof(Header, crc))) ||
      header.session_size > kSessionSizeMax) {
    return Copy::kDamaged;
  }
  out = header;
  std::uint32_t crc = 0;
  std::array<std::uint8_t, 64> piece;
  for (std::uint32_t done = 0; done < header.session_size; done += piece.size()) {
    const MutableBytes part =
        MutableBytes(piece).first(std::min<std::size_t>(piece.size(), header.session_size - done));
    // Its header was read, so this is damage.
    if (region_.read(start + sizeof(Header) + done, part) != Status::kOk) return Copy::kWithoutSession;
    crc = crc32(part, crc);
  }
  const bool whole = header.session_size == 0 || crc == header.session_crc;
  return whole ? Copy::kWhole : Copy::kWithoutSession;
}

Status NodeState::write_somewhere(const Header& next, std::optional<Bytes> session) {
  for (int tries = 0; tries < 2; ++tries) {
    if (write(next, session) == Status::kOk) return Status::kOk;
  }
  // That sector is worn out, so the other one, which holds what stands, is written over, without the session
  // that is in it. A power cut at this moment costs it; but a board that never starts is worse.
  Header rest = next;
  rest.session_size = 0;
  index_ = 1 - index_;
  const Status status = write(rest, Bytes{});
  if (status != Status::kOk) index_ = 1 - index_;
  return status;
}

Status NodeState::write(Header next, std::optional<Bytes> session) {
  if (unsaved_) return Status::kIo;
  next.magic = kMagic;
  ++next.serial;
  next.crc = crc32(bytes_of(next).first(offsetof(Header, crc)));
  const std::uint32_t target = 1 - index_;
  const std::uint64_t sector_size = region_.geometry().sector_size_bytes;
  if (const Status status = region_.erase(target); status != Status::kOk) return status;

  std::array<std::uint8_t, kUnitMax> buffer;
  const MutableBytes unit = MutableBytes(buffer).first(region_.geometry().program_size_bytes);
  for (std::size_t at = 0; at < sizeof(Header) + next.session_size; at += unit.size()) {
    std::ranges::fill(unit, std::uint8_t{0xFF});
    if (session) {
      overlay(unit, at, *session, sizeof(Header));
    } else if (const Status status = region_.read(index_ * sector_size + at, unit); status != Status::kOk) {
      return status;
    }
    overlay(unit, at, bytes_of(next), 0);
    if (const Status status = region_.program(target * sector_size + at, unit); status != Status::kOk) {
      return status;
    }
  }
  if (const Status status = region_.flush(); status != Status::kOk) return status;
  Header found;
  const auto copy = read_copy(target, found);
  if (!copy) return copy.error();
  if (*copy != Copy::kWhole || found.crc != next.crc) return Status::kIo;
  state_ = found;
  index_ = target;
  return Status::kOk;
}

}  // namespace godwit::boards
