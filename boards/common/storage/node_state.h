// SPDX-License-Identifier: Apache-2.0
// The little that a board remembers from one start to the next besides its outbox: how often it has started,
// whose records that outbox holds, and the last TLS session, so that a reboot need not cost a full handshake.
// Kept twice; a power cut at any moment leaves the older or the newer, never neither. Format:
// docs/reference/flash.md.
//
// No allocation, no session in RAM; calls do flash I/O, are for the main loop only, and need 1 KB of
// stack besides the flash's. A TLS session is a secret: what can read the storage can take the device's
// place, as with its private key.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "firmware/ports/flash.h"
#include "firmware/ports/log.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

namespace godwit::boards {

class NodeState {
 public:
  static constexpr std::size_t kSessionSizeMax = 1024;

  // `region` is the node_state of layout.h: two sectors, each with room for kSessionSizeMax and 40 bytes. It
  // must outlive this object.
  explicit NodeState(ports::Flash& region);

  // Counts this start; call once, before anything else. kOk: the number in boot() is durable and was never
  // given out before, unless both copies were damaged: then counting begins at 1 again, and a warning says
  // so. Power cuts and damage to one copy may skip a number; a sector that is worn out for good costs the
  // session. kIo: the storage does not answer, or neither sector can be written: call go_on_unsaved().
  Status mount(ports::Log& log);

  // This start has the number `boot` (draw_boot_number()), as it could not be counted. What mount() could
  // read is there; nothing is saved until the next start (kIo), so that no older count comes to stand for a
  // newer.
  void go_on_unsaved(std::uint32_t boot);

  // The number of this start, from 1.
  [[nodiscard]] std::uint32_t boot() const { return state_.boot; }
  // What the clock showed when this owner's session was saved last. 0: it never was with a known time.
  [[nodiscard]] UnixMillis saved_at(std::uint32_t owner) const {
    return {state_.owner == owner ? state_.saved_at : 0};
  }

  // Whose records the outbox beside it holds, as save_device() was told; 0: that was never said. kIo: not
  // saved.
  [[nodiscard]] std::uint32_t device() const { return state_.device; }
  Status save_device(std::uint32_t device);

  // Copies the session to the front of `out` and yields its size. kNotFound: there is none, or it is of
  // another owner. kFull: `out` is too small. kCorrupt: it is damaged. kIo: the storage failed.
  std::expected<std::size_t, Status> load_session(std::uint32_t owner, MutableBytes out);

  // `owner` tells whom a session belongs to: codec::provisioning_crc(), so that a board with new credentials
  // does not resume with the old ones. `now`: 0 if the time is unknown, which leaves saved_at() as it is.
  // kInvalidArgument: empty or longer than kSessionSizeMax. kIo: not saved; after it the older one stands.
  Status save_session(std::uint32_t owner, UnixMillis now, Bytes session);
  // kIo: as above.
  Status clear_session();

 private:
  // As it stands in flash before the session. Copied as it is, so every target has to be little-endian.
  struct Header {
    std::uint32_t magic = 0;
    std::uint32_t serial = 0;  // counts the copies written; the higher one stands
    std::uint32_t boot = 0;
    std::uint32_t owner = 0;
    std::int64_t saved_at = 0;
    std::uint32_t session_size = 0;
    std::uint32_t session_crc = 0;
    std::uint32_t device = 0;
    std::uint32_t crc = 0;  // of what is before it
  };
  enum class Copy : std::uint8_t { kBlank, kDamaged, kWithoutSession, kWhole };

  std::expected<Copy, Status> read_copy(std::uint32_t index, Header& out);
  // nullopt: with the session that the present copy has.
  Status write_somewhere(const Header& next, std::optional<Bytes> session);
  Status write(Header next, std::optional<Bytes> session);

  ports::Flash& region_;
  Header state_;
  std::uint32_t index_ = 1;  // of the sector with the copy that stands
  bool unsaved_ = false;
};

}  // namespace godwit::boards
