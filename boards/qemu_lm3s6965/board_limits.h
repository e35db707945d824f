// SPDX-License-Identifier: Apache-2.0
// Every size of this board in one place, for C and C++: lwipopts.h and mbedtls_config.h include it too.
#pragma once

// The only stack: main loop and interrupts.
#define BOARD_STACK_SIZE 6144
// Entries of the vector table for devices.
#define BOARD_INTERRUPTS 44
