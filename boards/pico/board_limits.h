// SPDX-License-Identifier: Apache-2.0
// Every size of this board in one place, for C and C++: lwipopts.h and mbedtls_config.h include it, and say
// what their part means. They fit the smaller of the two chips, with 264 KB of RAM.
#pragma once

// The only stack: main loop and interrupts. Its upper 8 KB are the two scratch memories above RAM.
// CMakeLists.txt has this number too.
#define BOARD_STACK_SIZE 0x4000
// The part of RAM that the pico-sdk's start-up code leaves alone.
#define BOARD_NOINIT_SECTION ".uninitialized_data.godwit"

// The flash from here to its end is storage, the image is below. uf2.py has this number too.
#define BOARD_STORAGE_OFFSET 0x100000

// What TLS allocates from.
#define BOARD_TLS_ARENA_SIZE (48 * 1024)
// Steps of public-key work between two looks at the rest of the main loop (TLS 1.2).
#define BOARD_TLS_STEPS_MAX 500

// The version that is offered first. On the RP2040, which multiplies 32 bits in four steps, TLS 1.2: its
// public-key work can be done in pieces, and a session is resumed without any.
#if defined(__ARM_ARCH_6M__)
#define BOARD_TLS_VERSION_FIRST kTls12
#else
#define BOARD_TLS_VERSION_FIRST kTls13
#endif
#define GODWIT_TLS_IN_CONTENT_LEN 4096
#define GODWIT_TLS_OUT_CONTENT_LEN 2048

// lwIP.
#define BOARD_TCP_MSS 1460
#define BOARD_TCP_WND (4 * BOARD_TCP_MSS)
#define BOARD_TCP_SND_BUF (4 * BOARD_TCP_MSS)
#define BOARD_NET_BUFFERS 32
#define BOARD_NET_BUFFER_SIZE 512
#define BOARD_NET_HEAP_SIZE (10 * 1024)
