/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_TLS_INTERNAL_H
#define SOTTO_NET_TLS_INTERNAL_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "net/tls.h"

/* Shared by tls.c (contexts, who is trusted) and tls_link.c (one connection). */
struct sotto_tls {
    SSL_CTX *ctx;
    atomic_int refs; /* the owner's and one per connection */
    bool server;
    uint64_t records_max; /* of one key, then the next one is taken */
    size_t pin_count;
    uint8_t pins[][32];
};

struct sotto_link {
    SSL *ssl;
    struct sotto_tls *tls;
    int fd;
    int sys;          /* errno of the last failed call on the socket; 0: end of stream */
    int reason;       /* OpenSSL's, of what failed; 0: the network */
    uint64_t records; /* written under the key in use */
    unsigned silent;  /* records without data that came one after the other */
    bool failed, untrusted, has_peer_pin;
    bool drained; /* the last read took all that the socket had */
    bool starved; /* the socket had nothing for a read */
    uint8_t peer_pin[32];
};

/* The link that an SSL object belongs to: its BIO knows. Application data would cost 90 bytes. */
struct sotto_link *sotto_link_of(const SSL *ssl);

#endif
