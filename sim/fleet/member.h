// SPDX-License-Identifier: Apache-2.0
// One simulated device: the firmware's Device with simulated flash and sensors and a real connection. The
// flash outlives the device, so its power can be cut. Times are those of the fleet's clock; each boot has its
// own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "boards/common/connection.h"
#include "boards/host/host_clock.h"
#include "boards/host/host_entropy.h"
#include "boards/host/host_link.h"
#include "firmware/agent/device.h"
#include "sim/flash/sim_flash.h"
#include "sim/fleet/synthetic_sensors.h"

namespace godwit::sim {

struct MemberOptions {
  std::string broker_host;
  std::uint16_t broker_port = 0;
  std::string ca_file;
  Millis period{1'000};
  std::uint16_t rows_max = 4;
  Millis age_max{10'000};
  const Recording* recording = nullptr;  // borrowed; nullptr: made-up channels
  std::uint16_t keep_alive_s = 15;
  Millis reconnect_max = mqtt::Backoff::Options{}.max;  // between two attempts to connect
};

class Member {
 public:
  // What members of a fleet share; all borrowed.
  struct Shared {
    boards::TlsContext& tls;
    const boards::TrustAnchors& trust;
    ports::Log& log;
    const boards::HostClock& clock;
    int epoll_fd;
  };

  Member(const std::string& id, const MemberOptions& options, const Shared& shared,
         std::unique_ptr<boards::ClientIdentity> identity, std::uint64_t seed);

  // Switches the power on. Throws std::runtime_error if the device cannot start: a mistake of the options.
  void boot(Instant now);
  // Does all that can be done now; loses power if a flash operation was hit.
  void run(Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  void drop_link(Instant now);
  void stall_until(Instant end);  // Instant::max(): the peer is silent until the device gives the link up
  void arm_power_cut(std::minstd_rand& random);

  // Samples no more, takes no more faults; goes on delivering.
  void finish(Instant now);

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] std::uint32_t boots() const { return boots_; }
  [[nodiscard]] std::uint16_t rows_max() const { return options_.rows_max; }
  [[nodiscard]] const SyntheticSensors& sensors() const { return sensors_; }
  [[nodiscard]] const agent::Device* device() const { return device_ ? &*device_ : nullptr; }
  // The tag of its epoll events.
  [[nodiscard]] const void* tag() const { return this; }

 private:
  [[nodiscard]] Instant local(Instant now) const { return Instant(now - booted_at_); }
  void lose_power(Instant now);
  void end_stall_if_due(Instant now);

  std::string id_;
  MemberOptions options_;
  Shared shared_;
  std::unique_ptr<boards::ClientIdentity> identity_;
  SyntheticSensors sensors_;
  telemetry::Table table_;
  SimFlash flash_;
  boards::HostEntropy entropy_;
  std::optional<agent::Device> device_;
  std::optional<boards::HostLink> link_;
  std::optional<boards::Connection> connection_;
  std::uint32_t boots_ = 0;
  Instant booted_at_{};
  std::optional<Instant> power_on_at_;
  std::optional<Instant> stalled_until_;
};

}  // namespace godwit::sim
