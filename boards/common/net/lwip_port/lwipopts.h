// SPDX-License-Identifier: Apache-2.0
// The configuration of lwIP: IPv4, ARP, ICMP, DHCP, DNS, UDP and TCP for a few connections, without threads
// and without malloc: everything lives in static pools whose sizes are the board's (board_limits.h). On a
// Linux host, where only tests use it, the sizes are those of a small board.
#ifndef GODWIT_LWIPOPTS_H
#define GODWIT_LWIPOPTS_H

#include <stdint.h>

#if !defined(__linux__)
#include "board_limits.h"
#endif

// Sizes. A board defines those of them that it wants otherwise.

// Largest TCP segment either side should send. QEMU's user network sends 1,460 bytes whatever we ask for.
#if !defined(BOARD_TCP_MSS)
#define BOARD_TCP_MSS 536
#endif
#if BOARD_TCP_MSS > 1460
#error "BOARD_TCP_MSS: more than a frame holds"
#endif
// What a peer may have under way to us. It bounds the memory that a connection can fill: received bytes wait
// in the buffers below until they are read. At least 2,048, so that a peer that ignores the segment size is
// not stopped, and TLS records come in one round trip.
#if !defined(BOARD_TCP_WND)
#define BOARD_TCP_WND (4 * BOARD_TCP_MSS)
#endif
// What we may have under way to a peer. Lives in the heap below, with 80 bytes more for each segment.
#if !defined(BOARD_TCP_SND_BUF)
#define BOARD_TCP_SND_BUF (3 * BOARD_TCP_MSS)
#endif
// Receive buffers: how many, and of which size. A frame of 1,514 bytes takes as many as it needs. All
// together should hold a full window in frames of that size, and one more.
#if !defined(BOARD_NET_BUFFERS)
#define BOARD_NET_BUFFERS 16
#endif
#if !defined(BOARD_NET_BUFFER_SIZE)
#define BOARD_NET_BUFFER_SIZE 256
#endif
// lwIP's heap, for what is sent.
#if !defined(BOARD_NET_HEAP_SIZE)
#define BOARD_NET_HEAP_SIZE 3072
#endif

#define TCP_MSS BOARD_TCP_MSS
#define TCP_WND BOARD_TCP_WND
#define TCP_SND_BUF BOARD_TCP_SND_BUF
#define TCP_SND_QUEUELEN (4 * TCP_SND_BUF / TCP_MSS)  // small packets take an entry each, as large ones do
#define PBUF_POOL_SIZE BOARD_NET_BUFFERS
#define PBUF_POOL_BUFSIZE BOARD_NET_BUFFER_SIZE
#define MEM_SIZE BOARD_NET_HEAP_SIZE
#if UINTPTR_MAX > 0xFFFFFFFF
#define MEM_ALIGNMENT 8
#else
#define MEM_ALIGNMENT 4
#endif
#define MEMP_NUM_PBUF 2
#define MEMP_NUM_TCP_PCB 3  // one in use, those of earlier connections that are still closing
#define MEMP_NUM_TCP_PCB_LISTEN 1
#define MEMP_NUM_TCP_SEG TCP_SND_QUEUELEN
#define MEMP_NUM_UDP_PCB 4  // DHCP, SNTP, two look-ups
#define ARP_TABLE_SIZE 4
#define DNS_TABLE_SIZE 2  // the broker and the time server
#define DNS_MAX_NAME_LENGTH 128
#define DNS_MAX_TTL 3600

// One thread, and what calls us is never an interrupt.
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

// Protocols.
#define LWIP_DHCP 1
#define LWIP_DHCP_DOES_ACD_CHECK 0
#define LWIP_ACD 0
#define LWIP_DNS 1
#define LWIP_RAW 0
#define LWIP_IGMP 0
#define LWIP_IPV6 0
#define IP_REASSEMBLY 0  // nothing that we ask for comes in fragments
#define IP_FRAG 0
#define ARP_QUEUEING 0  // one packet waits for the answer, which is all that is sent before it
#define TCP_QUEUE_OOSEQ 0
#define LWIP_TCP_KEEPALIVE 0
#define TCP_OVERSIZE 0                // room for a later write to join an earlier one: ours go out at once
#define TCP_CALCULATE_EFF_SEND_MSS 0  // no segment size that a board may choose is too large for Ethernet
#define LWIP_SINGLE_NETIF 1
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_CHKSUM_ALGORITHM 2

// What Network reports.
#define LWIP_STATS 1
#define LINK_STATS 0
#define ETHARP_STATS 0
#define IP_STATS 0
#define ICMP_STATS 0
#define UDP_STATS 0
#define TCP_STATS 0
#define SYS_STATS 0
#define MEM_STATS 1
#define MEMP_STATS 1
#define MIB2_STATS 0

// Ports, transaction numbers and the first sequence number of a connection (RFC 6528) come from the board's
// randomness, so that they do not repeat from one start to the next.
#if defined(__cplusplus)
extern "C"
#endif
    uint32_t
    godwit_lwip_random(void);
#define LWIP_RAND() godwit_lwip_random()
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) godwit_lwip_random()

#endif
