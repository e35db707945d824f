// SPDX-License-Identifier: Apache-2.0
// Compiled once for each kind of board, all else of the tests once for all.
#include "tests/integration/qemu_test.h"

namespace godwit::test {

const QemuModel& tested_model() { return GODWIT_QEMU_MODEL; }

}  // namespace godwit::test
