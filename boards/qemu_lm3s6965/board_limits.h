// SPDX-License-Identifier: Apache-2.0
// Every size of this board in one place, for C and C++: lwipopts.h and mbedtls_config.h include it too.
#pragma once

// The only stack: main loop and interrupts.
#define BOARD_STACK_SIZE 6144
// Entries of the vector table for devices.
#define BOARD_INTERRUPTS 44

// What TLS allocates from.
#define BOARD_TLS_ARENA_SIZE (20 * 1024)
// Steps of public-key work between two looks at the rest of the main loop (TLS 1.2).
#define BOARD_TLS_STEPS_MAX 500

// lwIP (boards/common/net/lwip_port/lwipopts.h).
#define BOARD_TCP_MSS 536
#define BOARD_TCP_WND (4 * BOARD_TCP_MSS)
#define BOARD_TCP_SND_BUF (3 * BOARD_TCP_MSS)
#define BOARD_NET_BUFFERS 16
#define BOARD_NET_BUFFER_SIZE 256
#define BOARD_NET_HEAP_SIZE 3072
