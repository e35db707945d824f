// SPDX-License-Identifier: Apache-2.0
// What lwIP asks of compiler and platform. Its own checks cost 11 KB of flash, most of it sentences: they are
// for tests.
#ifndef GODWIT_LWIP_CC_H
#define GODWIT_LWIP_CC_H

#if defined(__linux__)
#include <stdlib.h>
#define LWIP_PLATFORM_ASSERT(message) abort()
#else
#define LWIP_NOASSERT
#define LWIP_PLATFORM_ASSERT(message)
#endif
#define LWIP_PLATFORM_DIAG(message)
#define LWIP_NO_CTYPE_H 1  // the C library's table takes more room than six comparisons

#endif
