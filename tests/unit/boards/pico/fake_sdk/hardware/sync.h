// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

std::uint32_t save_and_disable_interrupts();
void restore_interrupts(std::uint32_t status);
