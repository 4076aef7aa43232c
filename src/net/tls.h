/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_TLS_H
#define SOTTO_NET_TLS_H

#include <stdbool.h>

#include "net/cert.h"

/*
 * TLS 1.3 only; X25519MLKEM768 preferred where OpenSSL has it, else X25519 and P-256; no tickets,
 * no early data, no renegotiation; ALPN "sotto/1" is required of both sides;
 * SSL_MODE_RELEASE_BUFFERS.
 */
#define SOTTO_ALPN "sotto/1"

/* A context, shared by connections, also of several threads. Each connection keeps it alive, so it
 * may be freed at any time. */
struct sotto_tls;

enum sotto_client_certs { /* what the relay asks of clients */
                          SOTTO_CLIENT_CERTS_REQUEST,
                          SOTTO_CLIENT_CERTS_REQUIRE,
                          SOTTO_CLIENT_CERTS_OFF,
};
/* The certificate is not owned. Any client certificate is accepted at this layer (possession of its
 * key is what TLS proves); whose it is, is checked against the enrolled key above. NOMEM; TLS:
 * OpenSSL does not take the certificate. */
enum sotto_err sotto_tls_server(const struct sotto_cert *cert, enum sotto_client_certs mode,
                                struct sotto_tls **ret);

/* How a client decides. Pins first: with pins, names, chains and dates do not matter. Without pins:
 * the system's CA store and the host name; when that fails too, down() reports PIN and the
 * relay's pin, so that the caller can show the fingerprint and ask. */
struct sotto_tls_trust {
    size_t pin_count;
    const uint8_t (*pins)[32];
};
/* cert may be NULL and is not owned. trust is copied. NOMEM, TLS. */
enum sotto_err sotto_tls_client(const struct sotto_cert *cert, const struct sotto_tls_trust *trust,
                                struct sotto_tls **ret);
void sotto_tls_free(struct sotto_tls *t);
/* One more owner, who calls sotto_tls_free(). Any thread. */
void sotto_tls_ref(struct sotto_tls *t);

/* Facts of a connection that is up. */
struct sotto_tls_info {
    uint8_t exporter[32]; /* RFC 9266; wipe after use */
    bool has_peer_pin;
    uint8_t peer_pin[32]; /* SHA-256 of the peer's SPKI */
    char version[16], cipher[48], group[32];
    char address[64]; /* of the peer, numeric, without port */
};

#endif
