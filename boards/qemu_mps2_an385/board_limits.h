// SPDX-License-Identifier: Apache-2.0
// Every size of this board in one place, for C and C++: lwipopts.h and mbedtls_config.h include it, and say
// what their part means. How much of it is used: `status` on the console; how to choose: port-a-board.md.
#pragma once

// The only stack: main loop and interrupts.
#define BOARD_STACK_SIZE 16384
// Entries of the vector table for devices.
#define BOARD_INTERRUPTS 32

// What TLS allocates from.
#define BOARD_TLS_ARENA_SIZE (48 * 1024)
// Steps of public-key work between two looks at the rest of the main loop (TLS 1.2).
#define BOARD_TLS_STEPS_MAX 500
// The version that is offered first.
#define BOARD_TLS_VERSION_FIRST kTls13
#define GODWIT_TLS_IN_CONTENT_LEN 4096
#define GODWIT_TLS_OUT_CONTENT_LEN 2048

// Network: large segments, a window of four of them.
#define BOARD_TCP_MSS 1460
#define BOARD_TCP_WND (4 * BOARD_TCP_MSS)
#define BOARD_TCP_SND_BUF (4 * BOARD_TCP_MSS)
#define BOARD_NET_BUFFERS 32
#define BOARD_NET_BUFFER_SIZE 512
#define BOARD_NET_HEAP_SIZE 16384
