// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/engine.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace godwit::sim {

void Engine::at(Time when, std::move_only_function<void()> what) {
  heap_.push_back({std::max(when, now_), order_++, std::move(what)});
  std::ranges::push_heap(heap_, Later{});
}

void Engine::run_until(Time end) {
  while (!heap_.empty() && heap_.front().when <= end) {
    std::ranges::pop_heap(heap_, Later{});
    Entry entry = std::move(heap_.back());
    heap_.pop_back();
    steps_now_ = entry.when == now_ ? steps_now_ + 1 : 0;
    if (steps_now_ > kStepsPerInstantMax)
      throw Livelock("more than " + std::to_string(kStepsPerInstantMax) + " steps at " +
                     std::to_string(now_.count()) + " ms: somebody spins");
    now_ = entry.when;
    ++steps_;
    entry.what();
  }
  now_ = std::max(now_, end);
}

Timer::Timer(Engine& engine, std::function<void()> what)
    : engine_(engine), state_(std::make_shared<State>(std::move(what), this)) {}

Timer::~Timer() { state_->timer = nullptr; }

void Timer::set(std::optional<Time> when) {
  if (when == when_) return;
  when_ = when;
  const std::uint64_t generation = ++state_->generation;
  if (!when) return;
  engine_.at(*when, [state = state_, generation] {
    if (state->timer == nullptr || state->generation != generation) return;
    state->timer->when_.reset();
    state->what();
  });
}

}  // namespace godwit::sim
