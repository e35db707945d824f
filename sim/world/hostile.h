// SPDX-License-Identifier: Apache-2.0
// What a client with a certificate of its own may send to harm the others. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "gateway/domain/message.h"
#include "sim/engine/random.h"
#include "sim/world/plan.h"

namespace godwit::sim {

struct HostileMessage {
  topics::Leaf leaf = topics::Leaf::kRecord;
  std::string payload;
};

// The `number`th message of this kind, from 0 on. A kFlood is a mixture of the others.
[[nodiscard]] HostileMessage hostile_message(Hostile kind, std::uint64_t number, Random& random);

}  // namespace godwit::sim
