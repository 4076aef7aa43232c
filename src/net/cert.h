/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_CERT_H
#define SOTTO_NET_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* X.509 pairs: ECDSA P-256, self-signed. The pin of a key is the SHA-256 of its SPKI. */
struct sotto_cert; /* certificate (chain) and private key, ready for TLS */
void sotto_cert_free(struct sotto_cert *c);
void sotto_cert_pin(const struct sotto_cert *c, uint8_t ret[32]);
/* From when until when it is valid, in seconds since 1970. MALFORMED: a date that is none. */
enum sotto_err sotto_cert_dates(const struct sotto_cert *c, int64_t *ret_from, int64_t *ret_until);

/*
 * The relay's pair DIR/server_cert.pem and DIR/server_key.pem. Missing (both): made, key 0600,
 * folder 0700, written to temporary names, fsynced, renamed. Present: loaded. A certificate that we
 * made (issuer marks it) and that expires within 30 days is renewed with the same key, so the pin
 * stays. On failure `why` (room bytes) says in one line what is wrong and how to mend it: DENIED:
 * readable by others (says chmod); MALFORMED: not PEM, or does not match; EXPIRED: foreign and
 * expired or not valid yet; NOT_FOUND: only one of the two is there; IO. Nothing on disk is changed
 * then.
 */
enum sotto_err sotto_cert_server(const char *dir, const char *host, struct sotto_cert **ret,
                                 char *why, size_t room);

/* Is the pair all right as it is? Nothing is made or renewed. ret_until: seconds since 1970;
 * ret_ours: we made it and renew it in time. NOT_FOUND with why "": neither file is there. */
enum sotto_err sotto_cert_look(const char *dir, int64_t *ret_until, bool *ret_ours, char *why,
                               size_t room);

/* A client pair: the certificate as PEM text for client_cert.pem, the key as DER to be kept in the
 * encrypted profile (secret). CN is the given name. RANDOM, NOMEM. */
enum sotto_err sotto_cert_client_make(const char *common_name, struct sotto_buf *ret_cert_pem,
                                      struct sotto_buf *ret_key_der);
enum sotto_err sotto_cert_client_load(const struct sotto_bytes *cert_pem,
                                      const struct sotto_bytes *key_der, struct sotto_cert **ret);

#endif
