/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_CERT_INTERNAL_H
#define SOTTO_NET_CERT_INTERNAL_H

#include <openssl/x509.h>

#include "net/cert.h"

/* Shared by cert.c (the X.509 side), cert_dir.c (the relay's folder) and tls.c. */
struct sotto_cert {
    X509 *leaf;
    STACK_OF(X509) * chain; /* what a foreign certificate brings along; may be empty */
    EVP_PKEY *key;
    uint8_t pin[32];
};

enum sotto_cert_problem {
    SOTTO_CERT_FINE,
    SOTTO_CERT_NOT_A_CERT,
    SOTTO_CERT_NOT_A_KEY,
    SOTTO_CERT_KEY_ENCRYPTED,
    SOTTO_CERT_KEY_UNUSABLE, /* of a kind or size that TLS 1.3 does not take */
    SOTTO_CERT_MISMATCH,
};

/* MALFORMED with *ret_problem set, NOMEM. Dates are not looked at. */
enum sotto_err sotto_cert_parse(const struct sotto_bytes *cert_pem,
                                const struct sotto_bytes *key_pem, struct sotto_cert **ret,
                                enum sotto_cert_problem *ret_problem);
/* SHA-256 of the certificate's SPKI. False: no memory. */
bool sotto_cert_spki_pin(X509 *x, uint8_t ret[32]);
/* Made by sotto_cert_make(), so that we may replace it. */
bool sotto_cert_is_ours(const struct sotto_cert *c);

/* Self-signed for `host` (a name or an address), valid for two years from `now`. With `old` its
 * key is used again, else a new one is made. RANDOM, NOMEM. */
enum sotto_err sotto_cert_make(const char *host, int64_t now, const struct sotto_cert *old,
                               struct sotto_cert **ret);
/* Appends PEM text; the key's is PKCS #8. NOMEM, TOO_LARGE. */
enum sotto_err sotto_cert_pem(const struct sotto_cert *c, struct sotto_buf *buf);
enum sotto_err sotto_cert_key_pem(const struct sotto_cert *c, struct sotto_buf *buf);

#endif
