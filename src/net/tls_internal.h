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
    uint32_t records_max; /* of one key, then the next one is taken */
    size_t pin_count;
    uint8_t pins[][32];
};

struct sotto_pipe {
    BIO *bio;
    struct sotto_link *link; /* whose call into OpenSSL is going on */
};

struct sotto_link { /* kept small, as a relay holds thousands */
    SSL *ssl;
    struct sotto_tls *tls;
    struct sotto_pipe *pipe;
    uint8_t *refused_pin; /* of a peer that is not trusted; NULL: none */
    int fd;
    int sys;          /* errno of the last failed call on the socket; 0: end of stream */
    int reason;       /* OpenSSL's, of what failed; 0: the network */
    uint32_t records; /* written under the key in use */
    uint8_t silent;   /* records without data that came one after the other */
    bool failed;
    bool drained; /* the last read took all that the socket had */
    bool starved; /* the socket had nothing for a read */
    bool ended;   /* the socket has come to its end */
};

/* The link that an SSL object belongs to, inside one of its callbacks: its BIO knows. Application
 * data would cost 90 bytes. */
struct sotto_link *sotto_link_of(const SSL *ssl);

#endif
