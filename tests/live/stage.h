// SPDX-License-Identifier: Apache-2.0
// The real programs of a live run and what can be done to them: mosquitto and godwit-gateway, the links to
// both, the gateway's disk and clock, and copies of its database.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tests/live/plan.h"
#include "tests/support/gateway_fixture.h"
#include "tests/support/tcp_proxy.h"

namespace godwit::live {

class Stage {
 public:
  // Starts broker and gateway, each link through a proxy of its own. What broker and gateway write is kept in
  // `logs`.
  explicit Stage(const std::filesystem::path& logs);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // Until then faults of links end by themselves. Returns when the programs run again.
  void befall(const Fault& fault);
  // Ends what links still suffer from, if its time is over. To be called often.
  void tend();
  // Everything works from now on. Throws if the gateway does not get ready.
  void calm();

  [[nodiscard]] test::GatewayFixture& gateway() { return gateway_; }
  // Where devices meet the broker.
  [[nodiscard]] std::uint16_t broker_port() const { return devices_.port(); }
  // Where followers meet the gateway: directly, or through a proxy that faults of links concern.
  [[nodiscard]] std::uint16_t followers_port() const { return followers_.port(); }

  // What happened, by name of the fault.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& done() const { return done_; }
  [[nodiscard]] std::uint64_t done(FaultKind kind) const;
  // What this machine does not allow, and why.
  [[nodiscard]] const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  using Clock = std::chrono::steady_clock;

  void launch();
  void kill_gateway(const Fault& fault);
  void stop_for(test::Process& process, Millis time);
  void fill_disk(Millis time);
  void mount_small_disk();
  void find_faketime();
  void restore();
  void upset_links(const Fault& fault);
  void write_clock(std::int64_t ahead_s);
  [[nodiscard]] std::filesystem::path data() const { return gateway_.dir() / "data"; }

  test::GatewayFixture gateway_;
  test::TempDir dir_;
  test::TcpProxy devices_;    // devices to the broker
  test::TcpProxy upstream_;   // the gateway to the broker
  test::TcpProxy followers_;  // followers to the gateway
  Clock::time_point links_upset_until_{};
  test::Process::Options environment_;  // of the gateway
  bool small_disk_ = false;
  bool faketime_ = false;
  bool has_copy_ = false;
  std::map<std::string, std::uint64_t> done_;
  std::vector<std::string> skipped_;
};

}  // namespace godwit::live
