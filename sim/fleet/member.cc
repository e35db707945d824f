// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/member.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace godwit::sim {
namespace {

constexpr ports::FlashGeometry kFlash{.sector_size_bytes = 4096, .sector_count = 64, .program_size_bytes = 8};
constexpr Millis kPowerOff{2'000};

mqtt::Backoff::Options reconnect_within(Millis most) {
  mqtt::Backoff::Options options;
  options.max = most;
  options.first = std::min(options.first, most);
  return options;
}

}  // namespace

Member::Member(const std::string& id, const MemberOptions& options, const Shared& shared,
               std::unique_ptr<boards::ClientIdentity> identity, std::uint64_t seed)
    : id_(id),
      options_(options),
      shared_(shared),
      identity_(std::move(identity)),
      sensors_(seed, options.recording),
      table_{.contract = {.name = "sim",
                          .period = options.period,
                          .channels = sensors_.channels(),
                          .rows_max = options.rows_max},
             .age_max = options.age_max},
      flash_(kFlash, seed) {}

void Member::boot(Instant now) {
  booted_at_ = now;
  power_on_at_.reset();
  flash_.disarm();
  flash_.power_on();
  device_.emplace(
      agent::Config{.id = *DeviceId::parse(id_),
                    .firmware = "sim",
                    .board = "simulated",
                    .boot = ++boots_,
                    .reset_reason = codec::ResetReason::kPowerOn,
                    .tables = {&table_, 1},
                    .keep_alive_s = options_.keep_alive_s,
                    .reconnect = reconnect_within(options_.reconnect_max)},
      agent::Ports{.flash = flash_, .entropy = entropy_, .sensors = sensors_, .log = shared_.log});
  if (const Status status = device_->start(local(now)); status != Status::kOk) {
    throw std::runtime_error(id_ + ": the device cannot start: " + std::string(to_string(status)));
  }
  const Millis since = shared_.clock.now() - now;
  device_->set_unix_time(local(now), UnixMillis{boards::host_unix_time().value - since.count()});
  link_.emplace(shared_.epoll_fd, this,
                boards::HostLink::Options{
                    .host = options_.broker_host,
                    .port = options_.broker_port,
                    .tls = boards::HostLink::Tls{
                        .context = shared_.tls, .trust = shared_.trust, .identity = identity_.get()}});
  connection_.emplace(*device_, shared_.log, *link_);
}

void Member::run(Instant now) {
  if (power_on_at_) {
    if (now >= *power_on_at_) boot(now);
    return;  // what the log holds now is what the power cut left
  }
  end_stall_if_due(now);
  connection_->run(local(now));
  if (!flash_.powered()) lose_power(now);
}

std::optional<Instant> Member::next_deadline() const {
  if (!device_) return power_on_at_;
  std::optional<Instant> next = connection_->next_deadline();
  if (next) next = Instant(booted_at_ + next->time_since_epoch());
  if (stalled_until_ && *stalled_until_ != Instant::max() && (!next || *stalled_until_ < *next)) {
    next = stalled_until_;
  }
  return next;
}

void Member::drop_link(Instant now) {
  if (connection_) connection_->cut(local(now));
}

void Member::stall_until(Instant end) {
  if (!link_ || !link_->is_open()) return;
  stalled_until_ = end;
  link_->set_stalled(true);
}

void Member::end_stall_if_due(Instant now) {
  if (!stalled_until_) return;
  if (now < *stalled_until_ && !link_->is_closed()) return;
  stalled_until_.reset();
  link_->set_stalled(false);
}

void Member::arm_power_cut(std::minstd_rand& random) {
  constexpr std::array kTears{Tear::kBefore, Tear::kPart, Tear::kGarbage, Tear::kWeak, Tear::kAfter};
  flash_.arm({.operation = random() % 16, .tear = kTears[random() % kTears.size()]});
}

void Member::lose_power(Instant now) {
  connection_->cut(local(now));  // the device's own view of it dies with the device
  connection_.reset();
  link_.reset();
  device_.reset();
  stalled_until_.reset();
  power_on_at_ = now + kPowerOff;
}

void Member::finish(Instant now) {
  sensors_.finish();
  flash_.disarm();
  if (stalled_until_) stalled_until_ = now;
  if (power_on_at_) power_on_at_ = now;
}

}  // namespace godwit::sim
