// SPDX-License-Identifier: Apache-2.0
// Named points that a run reaches, to tell whether faults had the effect that they are there for: a probe
// fires on the effect, not on the attempt. All of them are here; `godwit-sim explore` prints how often each
// was.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace godwit::sim {

enum class Probe : std::uint8_t {
  kPowerCutInProgram,
  kPowerCutInErase,
  kPowerCutInFlush,
  kPowerCutTwiceInARow,
  kTornAppearsLater,
  kBootedOffline,
  kAppendedOffline,
  kFlashRolledBack,
  kRollbackForgotRecords,
  kTailDestroyed,
  kBitFlippedInUse,
  kNewestBitFlipped,
  kEraseRefused,
  kProgramRefused,
  kReadRefused,
  kReadUnanswered,
  kFlashSilent,
  kMisprogrammed,
  kUnflushedLost,
  kSectorErased,
  kRingWrapped,
  kStartedWithoutLog,
  kSectorLeftOut,
  kMarkWritten,
  kRefusedNoted,
  kEntropyRefused,
  kClockNeverSet,
  kClockFalse,
  kGatewayClockForward,
  kGatewayClockBack,
  kConnected,
  kConnectFailed,
  kCutInUplink,
  kCutInDownlink,
  kStalled,
  kHalfOpenNoticedByDevice,
  kHalfOpenNoticedByBroker,
  kSlowLink,
  kSessionTakenOver,
  kWillPublished,
  kNoSubscriber,
  kBrokerKilled,
  kBrokerStopped,
  kBrokerLostMessages,
  kBrokerForgot,
  kMessageDoubled,
  kRepeatedLate,
  kAckLost,
  kAckLate,
  kAckDoubled,
  kRewindAsked,
  kHelloAsked,
  kGatewayKilledIdle,
  kGatewayKilledBeforeCommit,
  kGatewayKilledBeforeAcks,
  kGatewayDiedInFileOperation,
  kGatewayLostPower,
  kDiskFull,
  kSyncFailed,
  kSyncLied,
  kLiesDamaged,
  kReadFailed,
  kCommitFailed,
  kWorstCrashChecked,
  kCommitHeldManyDevices,
  kRottenPageIsAGap,
  kRottenPageRefused,
  kCaughtUpMuch,
  kBackedUp,
  kRestored,
  kRestoreForgotRecords,
  kRestoredTwice,
  kStartedAnew,
  kHostileStored,
  kHostileThrottled,
  kServedBesideAFlood,
  kOfflineByWill,
  kOfflineStopped,
  kOfflineSilent,
  kOfflineRestarted,
  kOlderMarksAsked,
  kTimeSynced,
  kTimeResolved,
  kTimeUnknown,
  kLossStored,
  kLossOfMany,
  kNewEpochStored,
  kRefusedStored,
  kPathsParted,
  kHistoryUnknown,
  kHistoryForgotten,
  kFollowerGotNoAnswer,
  kFollowerCameBack,
  kFollowerCutInFrame,
  kFollowerStalled,
  kFollowerTurnedAway,
  kFollowerToldRestored,
  kFollowerBeganAnew,
  kFollowerReadPages,
  kFollowersMany,
  kFeedLeftOut,
  kCount,
};
inline constexpr std::size_t kProbes = static_cast<std::size_t>(Probe::kCount);
[[nodiscard]] std::string_view name_of(Probe probe);

// How often each was reached.
class Probes {
 public:
  void hit(Probe probe) { ++counts_[static_cast<std::size_t>(probe)]; }
  void set(Probe probe, std::uint64_t count) { counts_[static_cast<std::size_t>(probe)] = count; }
  [[nodiscard]] std::uint64_t operator[](Probe probe) const {
    return counts_[static_cast<std::size_t>(probe)];
  }
  void add(const Probes& more) {
    for (std::size_t i = 0; i < kProbes; ++i) counts_[i] += more.counts_[i];
  }

 private:
  std::array<std::uint64_t, kProbes> counts_{};
};

}  // namespace godwit::sim
