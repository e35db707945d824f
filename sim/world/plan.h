// SPDX-License-Identifier: Apache-2.0
// What happens in a run, as data: how many devices of what kind, and which faults at what time. A seed makes
// a Plan; a Plan can also be read from a text file, and be cut down to the faults that matter. A run depends
// on nothing else.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/engine.h"

namespace godwit::sim {

// What the numbers of a Fault mean stands behind each kind. Times are milliseconds.
enum class FaultKind : std::uint8_t {
  kPowerCut,  // a: flash operations until power goes, kAtErase: at the next erase; b: so many cuts in a row
  kOfflineBoots,  // a: reboots while the network is away; b: time between them
  kRollback,      // a: which of the copies of its flash; b: offline reboots after it
  kTail,          // a: bytes that were programmed last are gone; b: offline reboots after it
  kFlip,          // a: bits; b: 1 one of what was programmed last, and it reboots
  kDeadSector,    // a: which; b: SectorFault - 1
  kFlashSilent,   // a: so long the flash does not answer at all; b: 1 it reboots meanwhile
  kEntropy,       // a: time without
  kDeviceClock,   // a: its source of time is off by so much; b: for so long
  kGatewayClock,  // a: stepped by so much; b: 1 forward, 0 back
  kCut,           // a: bytes that still pass before the connection breaks
  kCable,         // a: time without; b: 1 connecting fails at once, 0 by silence
  kStall,         // a: for so long
  kHalfOpen,      // the connection is dead and nobody says so
  kSlow,          // a: one-way latency; b: for so long; at 100 to 1,000 bytes/s
  kStop,          // the device says goodbye; a: off for so long
  kBrokerKill,    // a: down for so long; b: 1 when it has next acknowledged a message and not passed it on, 2
                  // stopped in an orderly way
  kBrokerForget,  // a: so long it acknowledges and passes nothing on
  kBrokerDoubles,  // a: so long it passes everything on twice; b: 1 the second time all together, at the end
  kAcks,           // a: so long are acks lost, late and doubled; b: late by at most
  kGatewayKill,   // a: down for so long; b: 0 now, 1 before the next commit, 2 between a commit and its acks,
                  // 3 before a file operation
  kGatewayPower,  // a: down for so long; b: so many file operations before power goes, 0: now
  kDisk,          // a: so long it is in trouble; b: 0 full, 1 syncs fail, 2 reads fail, 3 syncs lie
  kBackup,        // the operator copies the database
  kRestore,  // a: which backup, counted from the newest, kStartAnew: an empty database; b: down for so long
  kHostile,  // a: messages; b: which kind (Hostile)
  kRot,      // a: pages of the database that rot, in a copy that is looked at beside the run
};
inline constexpr std::size_t kFaultKinds = 27;
// These are drawn together; others come beside them and change nothing of the rest.
inline constexpr std::size_t kDrawnFaultKinds = 26;
inline constexpr std::uint64_t kAtErase = 1'000;
inline constexpr std::uint64_t kStartAnew = 1'000;

// What a client with a certificate of its own may send, as fast as it likes.
enum class Hostile : std::uint8_t {
  kHellos,
  kLosses,
  kEpochs,   // a mark in each
  kNoise,    // does not decode
  kTables,   // a hello with others each time
  kBoots,    // a hello of another boot each time
  kBatches,  // a path of its own with records that decode to the most rows
  kFlood,    // the same from several clients, for a while
};
inline constexpr std::uint64_t kHostileKinds = 8;
[[nodiscard]] std::string_view name_of(FaultKind kind);

struct Fault {
  Time at{};
  FaultKind kind{};
  std::uint32_t device = 0;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t stream = 0;  // seeds what else it draws
};

struct DevicePlan {
  std::uint32_t unit = 8;  // its flash: program unit, bytes of a sector, sectors
  std::uint32_t sector = 4096;
  std::uint32_t sectors = 8;
  std::uint64_t period = 2'000;     // of its samples, ms
  std::uint64_t rows = 4;           // of a record, at most
  std::uint64_t age = 10'000;       // of a record, at most, ms
  std::uint64_t latency = 20;       // of its link, one way, ms
  std::uint64_t rate = 10'000;      // of its link, bytes/s
  std::uint64_t clock_after = 500;  // ms after each boot its clock is set; 0: never
  std::uint64_t keep_alive = 60;    // of its MQTT session, s; 0: none
  std::uint64_t refuse = 0;         // 1: a full log refuses, 0: it drops what is oldest
};

struct Plan {
  std::uint64_t seed = 0;
  Time duration{3'600'000};  // faults and samples end then, and the drain begins
  std::uint64_t followers = 1;
  std::uint64_t kept = 64;     // epochs, tables and boots that the gateway remembers of a device
  std::uint64_t batch = 2000;  // messages in one transaction
  std::vector<DevicePlan> devices;
  std::vector<Fault> faults;  // by time
};

// Links on which devices have to do with one session, and say nothing twice, as long as nothing happens: the
// answer to a hello is there before two waits for it are over. On a good one a goodbye is in time, too.
inline constexpr std::uint64_t kCalmLatency = 7'000;
inline constexpr std::uint64_t kCalmRate = 1'000;
inline constexpr std::uint64_t kGoodLatency = 200;
inline constexpr std::uint64_t kGoodRate = 5'000;

// Sizes, a random subset of the kinds, and faults, about 20 in 2 device-hours.
[[nodiscard]] Plan make_plan(std::uint64_t seed);
[[nodiscard]] std::string to_text(const Plan& plan);
// The error names the line and says what is expected.
[[nodiscard]] std::expected<Plan, std::string> parse_plan(std::string_view text);

}  // namespace godwit::sim
