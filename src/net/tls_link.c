/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/cert_internal.h"
#include "net/tls_internal.h"

/*
 * The socket as a BIO of our own. OpenSSL's writes with write(), which raises SIGPIPE when the peer
 * is gone; a library may not change what its host does with signals, so ours sends without.
 */

static struct sotto_link *link_of(BIO *bio)
{
    const struct sotto_pipe *p = BIO_get_data(bio);

    return p->link;
}

static int bio_io(BIO *bio, struct sotto_link *k, ssize_t n)
{
    BIO_clear_retry_flags(bio);
    if (n >= 0) {
        k->sys = 0;
        return (int)n;
    }
    k->sys = errno;
    return -1;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct sotto_link *k = link_of(bio);
    int n = bio_io(bio, k, send(k->fd, data, (size_t)len, MSG_NOSIGNAL));

    if (n < 0 && (k->sys == EAGAIN || k->sys == EWOULDBLOCK || k->sys == EINTR))
        BIO_set_retry_write(bio);
    return n;
}

/* Fewer bytes than were asked for: the socket had no more. Asking again only to be told so would be
 * a third of all system calls; if something came meanwhile, it is still readable. */
static int bio_read(BIO *bio, char *ret, int len)
{
    struct sotto_link *k = link_of(bio);
    int n;

    if (k->drained) {
        BIO_clear_retry_flags(bio);
        BIO_set_retry_read(bio);
        k->starved = true;
        return -1;
    }
    n = bio_io(bio, k, recv(k->fd, ret, (size_t)len, 0));
    k->drained = n > 0 && n < len;
    k->starved = n < 0 && (k->sys == EAGAIN || k->sys == EWOULDBLOCK || k->sys == EINTR);
    if (k->starved)
        BIO_set_retry_read(bio);
    k->ended = n == 0;
    return n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    if (cmd == BIO_CTRL_EOF)
        return link_of(bio)->ended;
    return cmd == BIO_CTRL_FLUSH;
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

static void make_method(void)
{
    BIO_METHOD *m =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "sotto");

    if (m != NULL && BIO_meth_set_write(m, bio_write) == 1 && BIO_meth_set_read(m, bio_read) == 1 &&
        BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        method = m;
    else
        BIO_meth_free(m);
}

struct sotto_pipe *sotto_pipe_new(void)
{
    struct sotto_pipe *p = calloc(1, sizeof *p);

    (void)pthread_once(&method_once, make_method);
    if (p == NULL || method == NULL || (p->bio = BIO_new(method)) == NULL) {
        ERR_clear_error();
        free(p);
        return NULL;
    }
    BIO_set_data(p->bio, p);
    BIO_set_init(p->bio, 1);
    return p;
}

void sotto_pipe_free(struct sotto_pipe *p)
{
    if (p == NULL)
        return;
    BIO_free(p->bio);
    free(p);
}

static bool attach(struct sotto_link *k)
{
    if (BIO_up_ref(k->pipe->bio) != 1)
        return false;
    SSL_set_bio(k->ssl, k->pipe->bio, k->pipe->bio);
    return true;
}

/* Life */

struct sotto_link *sotto_link_of(const SSL *ssl)
{
    return link_of(SSL_get_rbio(ssl));
}

/* ERR_clear_error() alone took a tenth of what this program computes for a message. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* Before each call into OpenSSL that may read or write. */
static void begin(struct sotto_link *k)
{
    clear_errors();
    k->pipe->link = k;
}

/* Who the certificate has to name when pins do not decide. */
static bool set_host(SSL *ssl, const char *host)
{
    uint8_t ip[16];

    if (inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    /* The name also travels in the clear hello, where a relay behind a shared port is found. */
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct sotto_link *sotto_link_new(struct sotto_pipe *p, struct sotto_tls *t, int fd,
                                  const char *host)
{
    struct sotto_link *k = calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    k->pipe = p;
    k->tls = t;
    k->fd = fd;
    sotto_tls_ref(t);
    if ((k->ssl = SSL_new(t->ctx)) == NULL || !attach(k) ||
        (!t->server && host != NULL && !set_host(k->ssl, host))) {
        ERR_clear_error();
        sotto_link_free(k);
        return NULL;
    }
    if (t->server)
        SSL_set_accept_state(k->ssl);
    else
        SSL_set_connect_state(k->ssl);
    return k;
}

void sotto_link_free(struct sotto_link *k)
{
    if (k == NULL)
        return;
    begin(k);
    SSL_free(k->ssl);
    k->pipe->link = NULL;
    sotto_tls_free(k->tls);
    ERR_clear_error();
    free(k->refused_pin);
    free(k);
}

/* Input and output */

static enum sotto_link_status fail(struct sotto_link *k, int reason)
{
    k->failed = true;
    k->reason = reason;
    ERR_clear_error();
    return SOTTO_LINK_FAILED;
}

/* The oldest entry of the queue names the cause, later ones only what followed from it. */
static enum sotto_link_status status_of(struct sotto_link *k, int r)
{
    int reason;

    switch (SSL_get_error(k->ssl, r)) {
    case SSL_ERROR_NONE:
        return SOTTO_LINK_OK;
    case SSL_ERROR_WANT_READ:
        return SOTTO_LINK_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return SOTTO_LINK_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return SOTTO_LINK_CLOSED;
    case SSL_ERROR_SYSCALL:
        return fail(k, 0);
    default:
        reason = ERR_GET_REASON(ERR_peek_error());
        if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            k->sys = 0;
            return fail(k, 0);
        }
        return fail(k, reason);
    }
}

static bool alpn_agreed(const SSL *ssl)
{
    const unsigned char *name;
    unsigned int n;

    SSL_get0_alpn_selected(ssl, &name, &n);
    return n == sizeof SOTTO_ALPN - 1 && memcmp(name, SOTTO_ALPN, n) == 0;
}

/* What OpenSSL keeps of an ephemeral key as long as the connection lives, though nobody needs it
 * any more: the object is its own, and stays, emptied. */
static void empty_key(EVP_PKEY *key)
{
    (void)EVP_PKEY_set_type(key, EVP_PKEY_X25519); /* frees what was in it */
    EVP_PKEY_free(key);
}

static void forget_handshake(SSL *ssl)
{
    EVP_PKEY *key;

    if (SSL_get_tmp_key(ssl, &key) == 1)
        empty_key(key);
    if (SSL_get_peer_tmp_key(ssl, &key) == 1)
        empty_key(key);
    (void)SSL_SESSION_set1_alpn_selected(SSL_get_session(ssl), NULL, 0);
    ERR_clear_error();
}

enum sotto_link_status sotto_link_handshake(struct sotto_link *k)
{
    enum sotto_link_status s;

    if (k->failed)
        return SOTTO_LINK_FAILED;
    begin(k);
    s = status_of(k, SSL_do_handshake(k->ssl));
    if (s != SOTTO_LINK_OK)
        return s;
    if (!alpn_agreed(k->ssl))
        return fail(k, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    forget_handshake(k->ssl);
    return SOTTO_LINK_OK;
}

void sotto_link_readable(struct sotto_link *k)
{
    k->drained = false;
}

bool sotto_link_holds(const struct sotto_link *k)
{
    return SSL_has_pending(k->ssl) == 1;
}

bool sotto_link_empty(const struct sotto_link *k)
{
    return k->drained && SSL_has_pending(k->ssl) == 0;
}

/*
 * A peer may take new keys as often as it likes as long as it says something in between. Nobody
 * above hears of records without data, so no limit there would hold who sends nothing else.
 */
#define SILENT_MAX 100

enum sotto_link_status sotto_link_read(struct sotto_link *k, void *ret, size_t room, size_t *ret_n)
{
    enum sotto_link_status s;

    if (k->failed)
        return SOTTO_LINK_FAILED;
    begin(k);
    k->starved = false;
    s = status_of(k, SSL_read_ex(k->ssl, ret, room, ret_n));
    if (s == SOTTO_LINK_OK)
        k->silent = 0;
    if (s != SOTTO_LINK_WANT_READ || k->starved)
        return s;
    if (++k->silent > SILENT_MAX)
        return fail(k, SSL_R_TOO_MANY_KEY_UPDATES);
    *ret_n = 0; /* it was a key update, and more may be here */
    return SOTTO_LINK_OK;
}

/*
 * A key is good for so many records, and OpenSSL does not count them. The other side is not asked
 * to do the same: it counts its own, and whoever has to answer cannot read until the answer is out,
 * so two whose output waits for the other would wait for ever. While a record is half out OpenSSL
 * refuses, and it is done before the next.
 */
static void renew_key(struct sotto_link *k)
{
    if (k->records < k->tls->records_max)
        return;
    if (SSL_key_update(k->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        k->records = 0;
    ERR_clear_error();
}

enum sotto_link_status sotto_link_write(struct sotto_link *k, const void *data, size_t len,
                                        size_t *ret_n)
{
    int r;

    if (k->failed)
        return SOTTO_LINK_FAILED;
    begin(k);
    renew_key(k);
    r = SSL_write_ex(k->ssl, data, len, ret_n);
    k->records += r == 1; /* partial writes: one at most */
    if (r != 1 && SSL_get_error(k->ssl, r) == SSL_ERROR_SYSCALL) {
        /* The peer may have said why before it hung up: reading is still possible. */
        ERR_clear_error();
        return SOTTO_LINK_FAILED;
    }
    return status_of(k, r);
}

enum sotto_link_status sotto_link_shutdown(struct sotto_link *k)
{
    int r;

    if (k->failed)
        return SOTTO_LINK_FAILED;
    begin(k);
    r = SSL_shutdown(k->ssl);
    return r >= 0 ? SOTTO_LINK_OK : status_of(k, r);
}

/* What went wrong */

static const struct {
    int reason;
    const char *words;
} known_reasons[] = {
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "the other side does not speak " SOTTO_ALPN},
    {SSL_R_NO_APPLICATION_PROTOCOL, "the other side does not offer " SOTTO_ALPN},
    {SSL_R_WRONG_VERSION_NUMBER, "the other side does not answer in TLS"},
    {SSL_R_HTTP_REQUEST, "the other side speaks HTTP, not TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, "the other side speaks HTTP, not TLS"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "the other side does not answer in TLS"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the other side does not know TLS 1.3"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "the other side does not know TLS 1.3"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the other side asks for a client certificate"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no client certificate was shown"},
    {SSL_R_NO_SHARED_GROUPS, "no key exchange in common"},
    {SSL_R_TOO_MANY_KEY_UPDATES, "the other side sends new keys and nothing else"},
    {ERR_R_MALLOC_FAILURE, "out of memory"},
};

static void tls_words(int reason, char *why, size_t room)
{
    const char *ours = NULL;
    const char *theirs = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason));

    for (size_t i = 0; i < sizeof known_reasons / sizeof known_reasons[0]; i++) {
        if (known_reasons[i].reason == reason)
            ours = known_reasons[i].words;
    }
    if (theirs == NULL)
        theirs = "unknown reason";
    if (ours != NULL)
        snprintf(why, room, "%s (%s)", ours, theirs);
    else
        snprintf(why, room, "%s", theirs);
}

enum sotto_err sotto_link_why(const struct sotto_link *k, char *why, size_t room)
{
    if (k->refused_pin != NULL) {
        snprintf(why, room, "%s",
                 k->tls->pin_count > 0 ? "its key is not among the pinned ones"
                                       : "its certificate is not vouched for by a known authority");
        return SOTTO_ERR_PIN;
    }
    if (k->reason != 0) {
        tls_words(k->reason, why, room);
        return SOTTO_ERR_TLS;
    }
    snprintf(why, room, "%s", k->sys != 0 ? strerror(k->sys) : "ended without a goodbye");
    return SOTTO_ERR_IO;
}

/* Facts */

static void group_name(SSL *ssl, char *ret, size_t room)
{
    const char *name = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));

    snprintf(ret, room, "%s", name != NULL ? name : "unknown");
    if (ret[0] == 'x')
        ret[0] = 'X'; /* OpenSSL before 3.2 writes x25519 */
}

bool sotto_link_info(const struct sotto_link *k, struct sotto_tls_info *ret)
{
    static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 section 2 */
    X509 *peer = SSL_get0_peer_certificate(k->ssl);

    *ret = (struct sotto_tls_info){.has_peer_pin = peer != NULL || k->refused_pin != NULL};
    if (k->refused_pin != NULL)
        memcpy(ret->peer_pin, k->refused_pin, sizeof ret->peer_pin);
    else if (peer != NULL && !sotto_cert_spki_pin(peer, ret->peer_pin))
        return false;
    if (!SSL_is_init_finished(k->ssl))
        return true;
    snprintf(ret->version, sizeof ret->version, "%s", SSL_get_version(k->ssl));
    snprintf(ret->cipher, sizeof ret->cipher, "%s", SSL_get_cipher_name(k->ssl));
    group_name(k->ssl, ret->group, sizeof ret->group);
    return SSL_export_keying_material(k->ssl, ret->exporter, sizeof ret->exporter, label,
                                      sizeof label - 1, (const unsigned char *)"", 0, 1) == 1;
}
