// SPDX-License-Identifier: Apache-2.0
// Every size of this board in one place, for C and C++: lwipopts.h and mbedtls_config.h include it, and say
// what their part means. How much of it is used: `status` on the console; how to choose: port-a-board.md.
#pragma once

// The only stack: main loop and interrupts.
#define BOARD_STACK_SIZE 6144
// Entries of the vector table for devices.
#define BOARD_INTERRUPTS 44

// What TLS allocates from.
#define BOARD_TLS_ARENA_SIZE (15 * 1024)
// Steps of public-key work between two looks at the rest of the main loop (TLS 1.2).
#define BOARD_TLS_STEPS_MAX 500
// The version that is offered first. TLS 1.2 is cheaper here: its public-key work can be done in pieces, and
// a session is resumed without any. A broker that insists gets TLS 1.3.
#define BOARD_TLS_VERSION_FIRST kTls12
#define GODWIT_TLS_IN_CONTENT_LEN 2048
#define GODWIT_TLS_OUT_CONTENT_LEN 1024
#define GODWIT_TLS_SMALL
