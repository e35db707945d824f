/* SPDX-License-Identifier: Apache-2.0 */
/* mbedTLS 3.6 writes max_fragment_length (RFC 6066, section 4) into a ClientHello that offers TLS 1.2 too,
 * but does not note that it did, and so refuses the answer of a TLS 1.3 server as one to a question that was
 * never asked. This notes it; to be called between that ClientHello and the answer. In C: mbedTLS's internal
 * headers are no C++. */
#include "ssl_misc.h"

void godwit_expect_max_fragment(mbedtls_ssl_context* ssl) {
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
  mbedtls_ssl_tls13_set_hs_sent_ext_mask(ssl, MBEDTLS_TLS_EXT_MAX_FRAGMENT_LENGTH);
#else
  (void)ssl;
#endif
}
