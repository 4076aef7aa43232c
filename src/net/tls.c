/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "net/cert_internal.h"
#include "net/tls_internal.h"
#include "net/tls_link.h"

/* Length-prefixed, RFC 7301 section 3.1. */
static const uint8_t alpn[] = "\x07" SOTTO_ALPN;
enum {
    ALPN_BYTES = sizeof alpn - 1,
    CLIENT_CHAIN_MAX = 16 * 1024, /* bytes of certificates that a stranger may make us parse */
    RECORDS_MAX = 1 << 23,        /* RFC 8446 section 5.5 allows 2^24.5 for AES-GCM */
};

/*
 * Best first; the first line that this OpenSSL understands is taken. The hybrid came with 3.5, and
 * there the stars make the client send key shares of both, so that an older relay costs no second
 * round trip.
 */
static const char *const groups[] = {
    "*X25519MLKEM768:*X25519:P-256",
    "X25519MLKEM768:X25519:P-256",
    "X25519:P-256",
};

/* Life */

static struct sotto_tls *tls_new(const SSL_METHOD *method, size_t pin_count)
{
    struct sotto_tls *t = calloc(1, sizeof *t + pin_count * sizeof t->pins[0]);

    if (t == NULL)
        return NULL;
    atomic_init(&t->refs, 1);
    t->records_max = RECORDS_MAX;
    if ((t->ctx = SSL_CTX_new(method)) == NULL) {
        ERR_clear_error();
        free(t);
        return NULL;
    }
    return t;
}

void sotto_tls_ref(struct sotto_tls *t)
{
    atomic_fetch_add(&t->refs, 1);
}

void sotto_tls_free(struct sotto_tls *t)
{
    if (t == NULL || atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

static bool set_groups(SSL_CTX *ctx)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (SSL_CTX_set1_groups_list(ctx, groups[i]) == 1)
            return true;
        ERR_clear_error();
    }
    return false;
}

/*
 * AUTO_RETRY off: a peer that sends nothing but key updates must not keep us inside one SSL_read().
 * Moving buffers and partial writes: output is a queue of chunks that grows meanwhile. Reading
 * ahead: a record costs one system call and not two, as its header is not asked for first. No auto
 * chain: what is shown is what was configured.
 */
static bool set_common(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 && set_groups(ctx);
}

/* Each connection copies the list of the chain, also an empty one. */
static bool use_cert(SSL_CTX *ctx, const struct sotto_cert *c)
{
    STACK_OF(X509) *chain = sk_X509_num(c->chain) > 0 ? c->chain : NULL;

    return SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, chain, 1) == 1;
}

static enum sotto_err hand_over(struct sotto_tls *t, bool ok, struct sotto_tls **ret)
{
    if (!ok) {
        sotto_tls_free(t);
        ERR_clear_error();
        return SOTTO_ERR_TLS;
    }
    *ret = t;
    return SOTTO_OK;
}

/* Server */

static int choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                       const unsigned char *offered, unsigned int offered_n, void *arg)
{
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, ret_n, alpn, ALPN_BYTES, offered, offered_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol (120) */
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* choose_alpn() is not called for a client that offers nothing. One that does not know TLS 1.3 is
 * left to OpenSSL, which tells it about the version. */
static int require_alpn(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *ext;
    size_t n;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &ext, &n) == 1 &&
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext,
                                  &n) != 1) {
        *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* That the client holds the key is proven by its signature later in the handshake. */
static int accept_client(X509_STORE_CTX *store, void *arg)
{
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int verify_mode(enum sotto_client_certs mode)
{
    switch (mode) {
    case SOTTO_CLIENT_CERTS_REQUEST:
        return SSL_VERIFY_PEER;
    case SOTTO_CLIENT_CERTS_REQUIRE:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    case SOTTO_CLIENT_CERTS_OFF:
        break;
    }
    return SSL_VERIFY_NONE;
}

enum sotto_err sotto_tls_server(const struct sotto_cert *cert, enum sotto_client_certs mode,
                                struct sotto_tls **ret)
{
    struct sotto_tls *t = tls_new(TLS_server_method(), 0);
    bool ok;

    if (t == NULL)
        return SOTTO_ERR_NOMEM;
    t->server = true;
    ok = set_common(t->ctx) && use_cert(t->ctx, cert) && SSL_CTX_set_num_tickets(t->ctx, 0) == 1 &&
         SSL_CTX_set_max_early_data(t->ctx, 0) == 1;
    SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(t->ctx, choose_alpn, NULL);
    SSL_CTX_set_client_hello_cb(t->ctx, require_alpn, NULL);
    SSL_CTX_set_verify(t->ctx, verify_mode(mode), NULL);
    SSL_CTX_set_cert_verify_callback(t->ctx, accept_client, NULL);
    SSL_CTX_set_max_cert_list(t->ctx, CLIENT_CHAIN_MAX);
    return hand_over(t, ok, ret);
}

/* Client */

static bool pin_known(const struct sotto_tls *t, const uint8_t pin[32])
{
    bool known = false;

    for (size_t i = 0; i < t->pin_count; i++)
        known |= sotto_equal(t->pins[i], pin, 32);
    return known;
}

/*
 * Called in the middle of the handshake, before the client has sent anything but its hello. With
 * pins nothing else counts; without, chain and name do (sotto_link_new() has set the name).
 */
static int verify_relay(X509_STORE_CTX *store, void *arg)
{
    const struct sotto_tls *t = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct sotto_link *k = sotto_link_of(ssl);
    uint8_t pin[32];
    bool trusted;

    if (!sotto_cert_spki_pin(X509_STORE_CTX_get0_cert(store), pin))
        return 0;
    trusted = t->pin_count > 0 ? pin_known(t, pin) : X509_verify_cert(store) == 1;
    if (!trusted && k->refused_pin == NULL && (k->refused_pin = malloc(sizeof pin)) != NULL)
        memcpy(k->refused_pin, pin, sizeof pin);
    if (t->pin_count > 0)
        X509_STORE_CTX_set_error(store, trusted ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
    return trusted;
}

enum sotto_err sotto_tls_client(const struct sotto_cert *cert, const struct sotto_tls_trust *trust,
                                struct sotto_tls **ret)
{
    struct sotto_tls *t = tls_new(TLS_client_method(), trust->pin_count);
    bool ok;

    if (t == NULL)
        return SOTTO_ERR_NOMEM;
    t->pin_count = trust->pin_count;
    if (trust->pin_count > 0)
        memcpy(t->pins, trust->pins, trust->pin_count * sizeof t->pins[0]);
    ok = set_common(t->ctx) && (cert == NULL || use_cert(t->ctx, cert)) &&
         SSL_CTX_set_alpn_protos(t->ctx, alpn, ALPN_BYTES) == 0;
    /* A machine without CA certificates still has pins. */
    if (t->pin_count == 0 && SSL_CTX_set_default_verify_paths(t->ctx) != 1)
        ERR_clear_error();
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(t->ctx, verify_relay, t);
    return hand_over(t, ok, ret);
}
