// SPDX-License-Identifier: Apache-2.0
// The configuration of tinyusb: a network interface (CDC-ECM) and a serial port (CDC-ACM).
#pragma once

#define CFG_TUSB_RHPORT0_MODE OPT_MODE_DEVICE
#define CFG_TUD_ENDPOINT0_SIZE 64
#define CFG_TUD_ECM_RNDIS 1
#define CFG_TUD_CDC 1
#define CFG_TUD_CDC_RX_BUFSIZE 64
// `status` and `help` fit, as nothing is sent while they are written.
#define CFG_TUD_CDC_TX_BUFSIZE 2048
