// SPDX-License-Identifier: Apache-2.0
// What happens when the program cannot go on: the cause is kept over a reset (crash.h) and the board starts
// again. Defines Fault_Handler, for the vectors of all faults, of the NMI and of the watchdog's interrupt,
// and assert_failed().
#pragma once

extern "C" void Fault_Handler();
