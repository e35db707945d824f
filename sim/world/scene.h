// SPDX-License-Identifier: Apache-2.0
// What all parts of a world share: virtual time, the judge, probes, and the trace.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "sim/engine/engine.h"
#include "sim/judge/judge.h"
#include "sim/world/probes.h"

namespace godwit::sim {

// When every world begins.
inline constexpr UnixMillis kWorldBegin{1'700'000'000'000};

struct Scene {
  Engine& engine;
  Judge& judge;
  Probes& probes;
  // Gets lines of a trace; empty: nobody wants them.
  std::function<void(std::string_view)> trace;

  [[nodiscard]] Time now() const { return engine.now(); }
  [[nodiscard]] UnixMillis true_time() const { return {kWorldBegin.value + engine.now().count()}; }
  void hit(Probe probe) const { probes.hit(probe); }
  // `line` is called only if somebody wants it.
  template <typename Line>
  void say(std::string_view who, Line line) const {
    if (trace) trace(std::to_string(engine.now().count()) + " " + std::string(who) + ": " + line());
  }
};

}  // namespace godwit::sim
