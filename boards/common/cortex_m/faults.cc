// SPDX-License-Identifier: Apache-2.0
#include "boards/common/cortex_m/faults.h"

#include "boards/common/cortex_m/system.h"
#include "proto/base/assert.h"

void godwit::assert_failed(const char*, int) { godwit::boards::reset_processor(); }

extern "C" void Fault_Handler() { godwit::boards::reset_processor(); }
