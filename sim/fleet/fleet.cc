// SPDX-License-Identifier: Apache-2.0
#include "sim/fleet/fleet.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <ranges>
#include <stdexcept>
#include <system_error>

namespace godwit::sim {
namespace {

constexpr Millis kStallMax{10'000};

std::string read_pem(const std::string& path) {
  auto text = boards::read_text_file(path);
  if (!text) throw std::runtime_error(text.error());
  return *text;
}

}  // namespace

Fleet::Fleet(const FleetOptions& options, Trial& trial, ports::Log& log)
    : options_(options),
      trial_(trial),
      tls_({.entropy = entropy_, .unix_time_ms = &boards::host_unix_time_ms}),
      random_(static_cast<std::minstd_rand::result_type>(options.seed)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_.get() < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  if (tls_.start() != Status::kOk) throw std::runtime_error("TLS cannot be started: no entropy or no memory");
  const std::string& ca_file = options_.member.ca_file;
  if (trust_.add(boards::pem_bytes(read_pem(ca_file))) != Status::kOk) {
    throw std::runtime_error(ca_file + ": not a PEM certificate");
  }
  const Member::Shared shared{
      .tls = tls_, .trust = trust_, .log = log, .clock = clock_, .epoll_fd = epoll_.get()};
  for (const std::string& id : options_.ids) {
    const std::string dir = options_.credentials_dir + "/" + id;
    auto identity = std::make_unique<boards::ClientIdentity>();
    if (identity->load(tls_, boards::pem_bytes(read_pem(dir + "/device.crt")),
                       boards::pem_bytes(read_pem(dir + "/device.key"))) != Status::kOk) {
      throw std::runtime_error(
          dir +
          ": device.crt and device.key do not belong together, or are not PEM; issue them "
          "again with `godwit-gateway device add --renew`");
    }
    const std::uint64_t seed = options_.seed * 1'000'003 + members_.size();
    members_.push_back(std::make_unique<Member>(id, options_.member, shared, std::move(identity), seed));
    trial_.add(*members_.back());
  }
  wake_at_.assign(members_.size(), Instant::max());
  fault_at_.assign(members_.size(), Instant::max());
}

Fleet::~Fleet() = default;

void Fleet::run(Millis time, const std::function<bool()>& done, const std::function<void()>& each_second) {
  const Instant end = clock_.now() + time;
  Instant next_second = clock_.now() + Millis{1'000};
  while (true) {
    const Instant now = clock_.now();
    if (now >= end || done()) return;
    start_due(now);
    wake_due(now);
    if (now >= next_second) {
      each_second();
      next_second += Millis{1'000};
    }
    poll(now, std::min(end, next_second));
  }
}

void Fleet::finish() {
  finishing_ = true;
  const Instant now = clock_.now();
  std::ranges::fill(fault_at_, Instant::max());
  for (std::size_t i = 0; i < started_; ++i) {
    members_[i]->finish(now);
    run_member(i, now);
  }
}

std::uint64_t Fleet::dropped_records() const {
  std::uint64_t dropped = 0;
  for (const auto& member : members_) {
    if (member->device() != nullptr) dropped += member->device()->outbox().stats().dropped_records;
  }
  return dropped;
}

Fleet::Presence Fleet::presence() const {
  Presence presence{.started = started_, .online = 0};
  for (const auto& member : members_) {
    if (member->device() != nullptr && member->device()->online()) ++presence.online;
  }
  return presence;
}

bool Fleet::delivered() const {
  return std::ranges::all_of(members_ | std::views::take(started_), [](const auto& member) {
    const agent::Device* const device = member->device();
    return device != nullptr && device->acked_seq() == device->outbox().next_seq();
  });
}

// One after the other, so that the broker sees a ramp and not a wall of handshakes.
void Fleet::start_due(Instant now) {
  if (finishing_) return;
  const auto due = static_cast<std::size_t>(options_.ramp_per_s *
                                            static_cast<double>(now.time_since_epoch().count()) / 1'000.0) +
                   1;
  while (started_ < std::min(due, members_.size())) {
    members_[started_]->boot(now);
    schedule_fault(started_, now);
    run_member(started_, now);
    ++started_;
  }
}

void Fleet::wake_due(Instant now) {
  while (!wakes_.empty() && wakes_.top().at <= now) {
    const Wake wake = wakes_.top();
    wakes_.pop();
    if (wake.at != wake_at_[wake.member]) continue;
    wake_at_[wake.member] = Instant::max();
    if (fault_at_[wake.member] <= now) inject_fault(wake.member, now);
    run_member(wake.member, now);
  }
}

void Fleet::poll(Instant now, Instant end) {
  Instant until = end;
  if (!wakes_.empty()) until = std::min(until, wakes_.top().at);
  if (started_ < members_.size() && !finishing_) until = std::min(until, now + Millis{10});
  std::array<epoll_event, 256> events;
  const auto timeout = std::max<std::int64_t>(0, (until - now).count());
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), static_cast<int>(timeout));
  if (count < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "epoll_wait");
  const Instant woken = clock_.now();
  for (int i = 0; i < count; ++i) {
    const auto member = by_tag_.find(events[static_cast<std::size_t>(i)].data.ptr);
    if (member != by_tag_.end()) run_member(member->second, woken);
  }
}

// Lets a member do what it can, and takes down what came of it: tag, records, acknowledgements, next wake.
void Fleet::run_member(std::size_t index, Instant now) {
  Member& member = *members_[index];
  const bool powered = member.device() != nullptr;
  member.run(now);
  if (powered && member.device() == nullptr) ++fault_counts_["power_cuts"];
  if (member.device() != nullptr) by_tag_.insert_or_assign(member.tag(), index);
  const Millis since = clock_.now() - now;
  trial_.observe(index, UnixMillis{boards::host_unix_time().value - since.count()});
  Instant next = fault_at_[index];
  if (const auto deadline = member.next_deadline()) next = std::min(next, *deadline);
  schedule(index, next);
}

void Fleet::schedule(std::size_t index, Instant at) {
  if (at == wake_at_[index]) return;
  wake_at_[index] = at;
  if (at != Instant::max()) wakes_.push({at, index});
}

Millis Fleet::random_millis(double mean_ms) {
  return Millis{static_cast<std::int64_t>(std::exponential_distribution<>(1.0 / mean_ms)(random_))};
}

void Fleet::schedule_fault(std::size_t index, Instant now) {
  const double per_minute = options_.faults.total();
  fault_at_[index] = per_minute > 0 ? now + random_millis(60'000.0 / per_minute) : Instant::max();
}

void Fleet::inject_fault(std::size_t index, Instant now) {
  schedule_fault(index, now);
  Member& member = *members_[index];
  if (member.device() == nullptr) return;
  const FaultRates& rates = options_.faults;
  std::discrete_distribution<> pick({rates.drops, rates.stalls, rates.half_opens, rates.power_cuts});
  switch (pick(random_)) {
    case 0:
      ++fault_counts_["drops"];
      return member.drop_link(now);
    case 1:
      ++fault_counts_["stalls"];
      return member.stall_until(now + Millis{static_cast<std::int64_t>(random_()) % kStallMax.count()});
    case 2:
      ++fault_counts_["half_opens"];
      return member.stall_until(Instant::max());
    default:
      return member.arm_power_cut(random_);  // counted when it happens
  }
}

}  // namespace godwit::sim
