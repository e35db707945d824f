// SPDX-License-Identifier: Apache-2.0
// The configuration of mbedTLS, for hosts and for boards. A client only: TLS 1.3 and 1.2, ECDHE, AES-GCM.
//
// A build for a board (GODWIT_CROSS) takes its sizes from board_limits.h. On boards there is no malloc
// (TlsArena), no formatted output, and of algorithms one each: ECDSA P-256, SHA-256, AES-128, certificates in
// DER. That is what the gateway issues and 128 bits of security throughout; more algorithms cost flash and
// make nothing stronger. Hosts know P-384, RSA, AES-256 and PEM as well, to talk to brokers of others.
//
// What a board may define:
//
// GODWIT_TLS_IN_CONTENT_LEN: the largest TLS record taken, 16384 if not defined (what a server may send).
// Each connection has a buffer of this size. The broker is asked to send no larger records
// (TlsClient::Options::max_record); each message of a handshake has to fit all the same: 2048 is enough for
// one certificate.
//
// GODWIT_TLS_OUT_CONTENT_LEN: the largest TLS record sent, 4096 if not defined; 1024 is enough for one client
// certificate.
//
// GODWIT_TLS_SMALL: smaller and slower tables: 5 KB of flash and 2 KB of RAM less, and a full handshake takes
// 70 % longer.
//
// GODWIT_TLS_12_ONLY: without TLS 1.3, which costs 21 KB of flash and 2.5 KB of RAM.
#pragma once

#if defined(GODWIT_CROSS)
#include "board_limits.h"
#endif

// Platform. Time and randomness come through TlsContext: nothing here asks an operating system.
#define MBEDTLS_HAVE_ASM
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY  // see TlsArena
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE
#define MBEDTLS_PLATFORM_TIME_ALT
#define MBEDTLS_PLATFORM_MS_TIME_ALT
#define MBEDTLS_PLATFORM_GMTIME_R_ALT
#define MBEDTLS_NO_PLATFORM_ENTROPY
#define MBEDTLS_DEPRECATED_REMOVED
#if defined(GODWIT_CROSS)
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS
#define MBEDTLS_PLATFORM_SNPRINTF_MACRO(...) (-1)
#define MBEDTLS_PLATFORM_FPRINTF_MACRO(...) (-1)
#endif

// Ciphers, hashes, signatures.
#define MBEDTLS_AES_C
#define MBEDTLS_AESNI_C  // x86-64 only; compiles to nothing elsewhere
#define MBEDTLS_AES_ROM_TABLES
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT  // GCM only encrypts blocks
#define MBEDTLS_GCM_C
#define MBEDTLS_CIPHER_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C  // not SHA256_SMALLER: 1.4 KB less, but resuming takes a third more
#define MBEDTLS_CTR_DRBG_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECP_NIST_OPTIM   // without it a handshake takes five times as long
#define MBEDTLS_ECP_RESTARTABLE  // see TlsContext::Options::public_key_steps_max
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECDSA_DETERMINISTIC  // a weak random source must not give away the key
#define MBEDTLS_HMAC_DRBG_C
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_REMOVE_INFO

#if defined(GODWIT_CROSS)
#define MBEDTLS_AES_ONLY_128_BIT_KEY_LENGTH
#define MBEDTLS_CTR_DRBG_USE_128_BIT_KEY
#define MBEDTLS_MPI_MAX_SIZE 48
#else
#define MBEDTLS_SHA384_C
#define MBEDTLS_SHA512_C
#define MBEDTLS_ECP_DP_SECP384R1_ENABLED
#define MBEDTLS_RSA_C
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_PKCS1_V21
#define MBEDTLS_X509_RSASSA_PSS_SUPPORT
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_PEM_PARSE_C
#define MBEDTLS_BASE64_C
#define MBEDTLS_MPI_MAX_SIZE 512
#endif

#if defined(GODWIT_TLS_SMALL)
#define MBEDTLS_AES_FEWER_TABLES
#define MBEDTLS_ECP_WINDOW_SIZE 2
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#else
#define MBEDTLS_ECP_WINDOW_SIZE 4
#endif

// TLS.
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#if !defined(GODWIT_TLS_IN_CONTENT_LEN)
#define GODWIT_TLS_IN_CONTENT_LEN 16384
#endif
#if !defined(GODWIT_TLS_OUT_CONTENT_LEN)
#define GODWIT_TLS_OUT_CONTENT_LEN 4096
#endif
#define MBEDTLS_SSL_IN_CONTENT_LEN GODWIT_TLS_IN_CONTENT_LEN
#define MBEDTLS_SSL_OUT_CONTENT_LEN GODWIT_TLS_OUT_CONTENT_LEN
// Not VARIABLE_BUFFER_LENGTH: in TLS 1.2 it shrinks the buffer for what comes to the size of that for what
// goes, and then cannot take what a server may send.

#if defined(GODWIT_TLS_12_ONLY)
// Without session tickets, sessions are resumed by their id.
#if defined(GODWIT_CROSS)
#define MBEDTLS_SSL_CIPHERSUITES MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
#endif
#else
#define MBEDTLS_SSL_PROTO_TLS1_3
#define MBEDTLS_SSL_TLS1_3_COMPATIBILITY_MODE
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#define MBEDTLS_SSL_KEEP_PEER_CERTIFICATE  // TLS 1.3 needs it
#define MBEDTLS_SSL_SESSION_TICKETS
#define MBEDTLS_HKDF_C
#if defined(GODWIT_CROSS)
#define MBEDTLS_SSL_CIPHERSUITES \
  MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
#endif

// TLS 1.3 computes through PSA. Each handshake holds keys there: a process of thousands of clients needs a
// store that grows.
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_CLIENT
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#if defined(GODWIT_CROSS)
#define MBEDTLS_PSA_CRYPTO_CONFIG
#define MBEDTLS_PSA_CRYPTO_CONFIG_FILE "boards/common/tls/psa_config.h"
#define MBEDTLS_PSA_KEY_SLOT_COUNT 8
#else
#define MBEDTLS_PSA_KEY_STORE_DYNAMIC
#endif
#endif
