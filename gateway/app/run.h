// SPDX-License-Identifier: Apache-2.0
// The gateway at work: broker -> intake -> rules and commit -> acks to the devices, and REST and the live
// feed.
#pragma once

#include <iosfwd>

#include "gateway/app/config.h"

namespace godwit::app {

// Serves until SIGTERM or SIGINT, then stops without losing what was accepted. Writes one line to `ready`
// once it serves. Call it on the main thread before any other thread is started: it decides which thread gets
// signals. Throws an exception derived from std::runtime_error if it cannot start, with what to do about it.
void run(const Config& config, std::ostream& ready);

}  // namespace godwit::app
