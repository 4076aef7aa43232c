/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cmocka.h>

#include "base/secret.h"
#include "net/cert_internal.h"
#include "net/conn_internal.h"
#include "net/stream.h"
#include "net/tls_internal.h"
#include "net_help.h"

enum {
    ALERT_BAD_CERTIFICATE = 42,
    ALERT_PROTOCOL_VERSION = 70,
    ALERT_CERTIFICATE_REQUIRED = 116,
    ALERT_NO_APPLICATION_PROTOCOL = 120
};
/* An alert that OpenSSL received is its reason minus this. */
enum { REASON_OF_ALERT = SSL_AD_REASON_OFFSET };

/* Both ends of ours */

static void both_sides_agree(void **state)
{
    struct net *n = *state;
    struct side *a, *b, *second;

    net_listen(n);
    a = net_dial(n);
    net_until(n, a->ups && n->accepted_n && n->accepted[0]->ups);
    b = n->accepted[0];
    assert_string_equal(a->info.version, "TLSv1.3");
    assert_non_null(strstr(a->info.cipher, "TLS_"));
    assert_string_equal(a->info.cipher, b->info.cipher);
    assert_string_equal(a->info.group, b->info.group);
    /* X25519MLKEM768 where OpenSSL knows it */
    assert_string_equal(a->info.group,
                        OpenSSL_version_num() >= 0x30500000L ? "X25519MLKEM768" : "X25519");
    assert_string_equal(a->info.address, "127.0.0.1");
    assert_string_equal(b->info.address, "127.0.0.1");
    assert_string_equal(b->address, "127.0.0.1");
    assert_true(a->info.has_peer_pin);
    assert_memory_equal(a->info.peer_pin, n->pin, 32);
    assert_false(b->info.has_peer_pin);
    /* RFC 9266: one value for both, another one for each connection */
    assert_memory_equal(a->info.exporter, b->info.exporter, 32);
    assert_false(sotto_is_zero(a->info.exporter, 32));
    second = net_dial(n);
    net_until(n, second->ups);
    assert_memory_not_equal(a->info.exporter, second->info.exporter, 32);
}

static void check_emptied(EVP_PKEY *key)
{
    uint8_t raw[64];
    size_t n = sizeof raw;

    assert_int_equal(EVP_PKEY_get_raw_private_key(key, raw, &n), 0);
    n = sizeof raw;
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &n), 0);
    EVP_PKEY_free(key);
    ERR_clear_error();
}

/* What the keys of a handshake were made of is gone once it is done, on both sides, while the
 * connection goes on. */
static void ephemeral_keys_do_not_stay(void **state)
{
    struct net *n = *state;
    struct side *sides[2];
    EVP_PKEY *key;

    net_listen(n);
    sides[0] = net_dial(n);
    net_until(n, sides[0]->ups && n->accepted_n && n->accepted[0]->ups);
    sides[1] = n->accepted[0];
    for (size_t i = 0; i < 2; i++) {
        SSL *ssl = sides[i]->conn->link->ssl;

        if (SSL_get_tmp_key(ssl, &key) == 1)
            check_emptied(key);
        if (SSL_get_peer_tmp_key(ssl, &key) == 1)
            check_emptied(key);
    }
    side_send(sides[0], 5, 1);
    net_until(n, sides[1]->frames == 1);
}

static int export_it(struct raw *r)
{
    uint8_t byte;

    if (SSL_export_keying_material(r->ssl, r->arg, 32, "EXPORTER-Channel-Binding", 24, NULL, 0,
                                   0) != 1)
        return -1;
    return raw_read(r, &byte, 1); /* until the relay hangs up */
}

/* The value is the one that any other implementation of RFC 9266 computes. */
static void exporter_is_the_standard_one(void **state)
{
    struct net *n = *state;
    uint8_t exported[32] = {0};
    struct raw r;

    net_listen(n);
    raw_client(&r, n, SOTTO_ALPN, export_it);
    r.arg = exported;
    raw_start(&r);
    net_until(n, n->accepted_n && n->accepted[0]->ups);
    side_free(n->accepted[0]);
    raw_join(&r);
    assert_memory_equal(exported, n->accepted[0]->info.exporter, 32);
}

static struct sotto_cert *client_cert(void)
{
    struct sotto_buf pem = SOTTO_BUF(8192), der = SOTTO_BUF(8192);
    struct sotto_cert *c;

    assert_int_equal(sotto_cert_client_make("alice", &pem, &der), 0);
    assert_int_equal(sotto_cert_client_load(&(struct sotto_bytes){pem.p, pem.n},
                                            &(struct sotto_bytes){der.p, der.n}, &c),
                     0);
    sotto_buf_free(&pem);
    sotto_buf_free(&der);
    return c;
}

static void server_asks_for(struct net *n, enum sotto_client_certs mode)
{
    sotto_tls_free(n->server_tls);
    assert_int_equal(sotto_tls_server(n->cert, mode, &n->server_tls), 0);
}

static void client_certificates(void **state)
{
    static const struct {
        enum sotto_client_certs mode;
        bool shown, up, seen;
    } t[] = {
        {SOTTO_CLIENT_CERTS_REQUEST, true, true, true},
        {SOTTO_CLIENT_CERTS_REQUEST, false, true, false},
        {SOTTO_CLIENT_CERTS_REQUIRE, true, true, true},
        {SOTTO_CLIENT_CERTS_REQUIRE, false, false, false},
        {SOTTO_CLIENT_CERTS_OFF, true, true, false},
        {SOTTO_CLIENT_CERTS_OFF, false, true, false},
    };
    struct sotto_cert *cert = client_cert();
    struct net *n = *state;
    uint8_t pin[32];

    net_listen(n);
    sotto_cert_pin(cert, pin);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sotto_tls *tls = tls_for_pin(t[i].shown ? cert : NULL, n->pin);
        struct side *a, *b;

        server_asks_for(n, t[i].mode);
        sotto_listener_set_tls(n->listener, n->server_tls);
        a = net_dial_to(n, "127.0.0.1", n->port, tls, 60 * 1000);
        sotto_tls_free(tls); /* the connection keeps it */
        net_until(n, n->accepted_n > i && (n->accepted[i]->ups || n->accepted[i]->downs));
        b = n->accepted[i];
        assert_int_equal(b->ups, t[i].up);
        if (t[i].up) {
            assert_int_equal(b->info.has_peer_pin, t[i].seen);
            if (t[i].seen)
                assert_memory_equal(b->info.peer_pin, pin, 32);
            continue;
        }
        assert_int_equal(b->why, SOTTO_ERR_TLS);
        net_until(n, a->downs);
        assert_int_equal(a->why, SOTTO_ERR_TLS);
        assert_non_null(strstr(a->detail, "asks for a client certificate"));
    }
    sotto_cert_free(cert);
}

/* Whom the client trusts */

static int note_bytes(struct raw *r)
{
    uint8_t byte;

    return raw_read(r, &byte, 1) == 0 ? 1 : 0; /* 1: application data came */
}

static struct {
    int hellos, alerts, others; /* records and messages that the server received */
    int alert;
} heard;

static void on_message(int sent, int version, int type, const void *buf, size_t len, SSL *ssl,
                       void *arg)
{
    const uint8_t *p = buf;

    if (sent)
        return;
    if (type == SSL3_RT_HANDSHAKE && p[0] == SSL3_MT_CLIENT_HELLO)
        heard.hellos++;
    else if (type == SSL3_RT_ALERT && len == 2)
        heard.alerts++, heard.alert = p[1];
    else if (type == SSL3_RT_HANDSHAKE || type == SSL3_RT_APPLICATION_DATA)
        heard.others++;
}

/* The relay shows another key: not a byte of ours but the hello and an alert, no client
 * certificate, no data that had been queued. */
static void wrong_pin_stops_at_once(void **state)
{
    struct sotto_cert *cert = client_cert();
    struct net *n = *state;
    uint8_t other[32];
    struct sotto_tls *tls;
    struct side *a;
    struct raw r;
    char shown[64];

    memcpy(other, n->pin, 32);
    other[31] ^= 1;
    tls = tls_for_pin(cert, other);
    raw_server(&r, n, SOTTO_ALPN, note_bytes);
    memset(&heard, 0, sizeof heard);
    SSL_CTX_set_msg_callback(r.ctx, on_message);
    SSL_CTX_set_verify(r.ctx, SSL_VERIFY_PEER, NULL); /* asks for a certificate */
    raw_start(&r);
    a = net_dial_to(n, "127.0.0.1", r.port, tls, 60 * 1000);
    side_send(a, 100, 1);
    net_until(n, a->downs);
    raw_join(&r);
    assert_int_equal(a->why, SOTTO_ERR_PIN);
    assert_int_equal(a->ups, 0);
    assert_true(a->has_info && a->info.has_peer_pin);
    assert_memory_equal(a->info.peer_pin, n->pin, 32);
    sotto_base64_encode(n->pin, 32, shown);
    assert_non_null(strstr(a->detail, shown));
    assert_non_null(strstr(a->detail, "not among the pinned ones"));
    assert_int_not_equal(r.handshake, 1);
    assert_int_equal(heard.hellos, 1);
    assert_int_equal(heard.others, 0);
    assert_int_equal(heard.alerts, 1);
    sotto_tls_free(tls);
    sotto_cert_free(cert);
}

static void any_of_the_pins_is_enough(void **state)
{
    struct net *n = *state;
    uint8_t pins[3][32] = {{1}, {2}};
    struct sotto_tls_trust trust = {3, (const uint8_t(*)[32])pins};
    struct sotto_tls *tls;
    struct side *a;

    net_listen(n);
    memcpy(pins[2], n->pin, 32);
    assert_int_equal(sotto_tls_client(NULL, &trust, &tls), 0);
    memset(pins, 0, sizeof pins); /* copied */
    a = net_dial_to(n, "127.0.0.1", n->port, tls, 60 * 1000);
    net_until(n, a->ups || a->downs);
    assert_int_equal(a->ups, 1);
    sotto_tls_free(tls);
}

/* With a pin, dates and names do not matter. */
static void pinned_and_expired_is_fine(void **state)
{
    struct net *n = *state;
    struct sotto_cert *old;
    struct side *a;

    assert_int_equal(sotto_cert_make("other.example", 86400 * 365, n->cert, &old), 0);
    sotto_tls_free(n->server_tls);
    assert_int_equal(sotto_tls_server(old, SOTTO_CLIENT_CERTS_OFF, &n->server_tls), 0);
    net_listen(n);
    a = net_dial(n);
    net_until(n, a->ups || a->downs);
    assert_int_equal(a->ups, 1);
    sotto_cert_free(old);
}

static void unknown_authority_is_shown(void **state)
{
    struct net *n = *state;
    struct sotto_tls *tls;
    struct side *a;

    net_listen(n);
    assert_int_equal(sotto_tls_client(NULL, &(struct sotto_tls_trust){0}, &tls), 0);
    a = net_dial_to(n, "127.0.0.1", n->port, tls, 60 * 1000);
    net_until(n, a->downs);
    assert_int_equal(a->why, SOTTO_ERR_PIN);
    assert_memory_equal(a->info.peer_pin, n->pin, 32);
    assert_non_null(strstr(a->detail, "not vouched for"));
    sotto_tls_free(tls);
}

/* Our own certificate as the one authority of the system: then name and date count. */
static void known_authority_and_name_count(void **state)
{
    static const struct {
        const char *dialled;
        bool expired, up;
    } t[] = {{"127.0.0.1", false, true}, {"localhost", false, false}, {"127.0.0.1", true, false}};
    struct net *n = *state;
    const char *path = folder_file(&n->folder, "ca.pem");

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sotto_cert *cert;
        struct sotto_tls *tls;
        struct side *a;
        FILE *f = fopen(path, "w");

        assert_int_equal(
            sotto_cert_make("127.0.0.1", t[i].expired ? 86400 : time(NULL), n->cert, &cert), 0);
        assert_int_equal(PEM_write_X509(f, cert->leaf), 1);
        fclose(f);
        setenv("SSL_CERT_FILE", path, 1);
        assert_int_equal(sotto_tls_client(NULL, &(struct sotto_tls_trust){0}, &tls), 0);
        unsetenv("SSL_CERT_FILE");
        sotto_tls_free(n->server_tls);
        assert_int_equal(sotto_tls_server(cert, SOTTO_CLIENT_CERTS_OFF, &n->server_tls), 0);
        if (n->listener == NULL)
            net_listen(n);
        sotto_listener_set_tls(n->listener, n->server_tls);
        a = net_dial_to(n, t[i].dialled, n->port, tls, 60 * 1000);
        net_until(n, a->ups || a->downs);
        assert_int_equal(a->ups, t[i].up);
        assert_true(a->info.has_peer_pin);
        if (!t[i].up)
            assert_int_equal(a->why, SOTTO_ERR_PIN);
        sotto_tls_free(tls);
        sotto_cert_free(cert);
    }
}

/* What the relay refuses */

static void no_tls12(struct raw *r)
{
    SSL_CTX_set_max_proto_version(r->ctx, TLS1_2_VERSION);
}
static void no_tls12_even_weak(struct raw *r)
{
    SSL_CTX_set_security_level(r->ctx, 0);
    SSL_CTX_set_min_proto_version(r->ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(r->ctx, TLS1_1_VERSION);
}
static void no_group(struct raw *r)
{
    SSL_CTX_set1_groups_list(r->ctx, "P-521");
}
static void keep_tls13(struct raw *r)
{
}

static void relay_refuses(void **state)
{
    static const struct {
        const char *name, *alpn;
        void (*set)(struct raw *r);
        int reason;
    } t[] = {
        {"TLS 1.2", SOTTO_ALPN, no_tls12, REASON_OF_ALERT + ALERT_PROTOCOL_VERSION},
        {"TLS 1.2 without ALPN", NULL, no_tls12, REASON_OF_ALERT + ALERT_PROTOCOL_VERSION},
        {"TLS 1.1", SOTTO_ALPN, no_tls12_even_weak, REASON_OF_ALERT + ALERT_PROTOCOL_VERSION},
        {"no ALPN", NULL, keep_tls13, REASON_OF_ALERT + ALERT_NO_APPLICATION_PROTOCOL},
        {"http/1.1", "http/1.1", keep_tls13, REASON_OF_ALERT + ALERT_NO_APPLICATION_PROTOCOL},
        {"sotto/2", "sotto/2", keep_tls13, REASON_OF_ALERT + ALERT_NO_APPLICATION_PROTOCOL},
        {"sotto", "sotto", keep_tls13, REASON_OF_ALERT + ALERT_NO_APPLICATION_PROTOCOL},
        {"group", SOTTO_ALPN, no_group, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE},
    };
    struct net *n = *state;

    net_listen(n);
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct raw r;

        raw_client(&r, n, t[i].alpn, NULL);
        t[i].set(&r);
        raw_start(&r);
        raw_join(&r);
        if (r.handshake == 1 || r.reason != t[i].reason)
            fail_msg("%s: handshake %d, reason %d", t[i].name, r.handshake, r.reason);
        net_until(n, n->accepted_n > i && n->accepted[i]->downs);
        assert_int_equal(n->accepted[i]->ups, 0);
        assert_int_equal(n->accepted[i]->why, SOTTO_ERR_TLS);
    }
}

static int tickets;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    tickets++;
    return 0;
}

static int echo_once(struct raw *r)
{
    uint8_t buf[9];

    if (raw_write(r, "\0\0\0\5hello", 9) != 0 || raw_read(r, buf, 9) != 0)
        return -1;
    return memcmp(buf, "\0\0\0\5hello", 9);
}

static void no_tickets_are_given(void **state)
{
    struct net *n = *state;
    struct raw r;

    raw_client_echoed(&r, n, echo_once);
    tickets = 0;
    SSL_CTX_set_session_cache_mode(r.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(r.ctx, on_ticket);
    raw_succeeds(&r);
    assert_int_equal(tickets, 0);
}

static void p256_clients_are_served(void **state)
{
    struct net *n = *state;
    struct raw r;

    raw_client_echoed(&r, n, echo_once);
    SSL_CTX_set1_groups_list(r.ctx, "P-256");
    raw_succeeds(&r);
    assert_string_equal(n->accepted[0]->info.group, "secp256r1");
}

/* What the client refuses, in words */

static int says_http(struct raw *r)
{
    return 0;
}

static void *http_thread(void *arg)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct raw *r = arg;
    char buf[4096];
    int fd = accept(r->listen_fd, NULL, NULL);

    if (read(fd, buf, sizeof buf) > 0)
        r->result = (int)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (read(fd, buf, sizeof buf) > 0)
        continue;
    close(fd);
    return NULL;
}

static void client_names_what_is_no_relay(void **state)
{
    struct net *n = *state;
    struct side *a;
    struct raw r;

    memset(&r, 0, sizeof r);
    raw_listen(&r, 1);
    assert_int_equal(pthread_create(&r.thread, NULL, http_thread, &r), 0);
    a = net_dial_to(n, "127.0.0.1", r.port, n->client_tls, 60 * 1000);
    net_until(n, a->downs);
    pthread_join(r.thread, NULL);
    close(r.listen_fd);
    assert_int_equal(a->why, SOTTO_ERR_TLS);
    assert_non_null(strstr(a->detail, "does not answer in TLS"));
}

static void client_refuses(void **state)
{
    static const struct {
        const char *alpn;
        void (*set)(struct raw *r);
        const char *says;
    } t[] = {
        {SOTTO_ALPN, no_tls12, "does not know TLS 1.3"},
        {NULL, keep_tls13, "does not speak sotto/1"},
        {SOTTO_ALPN, no_group, "handshake failure"},
    };
    struct net *n = *state;

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct side *a;
        struct raw r;

        raw_server(&r, n, t[i].alpn, says_http);
        t[i].set(&r);
        raw_start(&r);
        a = net_dial_to(n, "127.0.0.1", r.port, n->client_tls, 60 * 1000);
        net_until(n, a->downs);
        raw_join(&r);
        assert_int_equal(a->ups, 0);
        assert_int_equal(a->why, SOTTO_ERR_TLS);
        if (strstr(a->detail, t[i].says) == NULL)
            fail_msg("%s", a->detail);
    }
}

/* Long connections */

static int echo_with_key_updates(struct raw *r)
{
    for (int i = 0; i < 20; i++) {
        if (SSL_key_update(r->ssl,
                           i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            echo_once(r) != 0)
            return -1;
    }
    return 0;
}

static void relay_follows_key_updates(void **state)
{
    struct net *n = *state;
    struct raw r;

    raw_client_echoed(&r, n, echo_with_key_updates);
    raw_succeeds(&r);
    assert_int_equal(n->accepted[0]->frames, 20);
}

static void client_follows_key_updates(void **state)
{
    struct net *n = *state;
    struct side *a;
    struct raw r;

    raw_server(&r, n, SOTTO_ALPN, echo_with_key_updates);
    raw_start(&r);
    a = net_dial_to(n, "127.0.0.1", r.port, n->client_tls, 60 * 1000);
    a->on_frame = side_echo;
    raw_join(&r);
    assert_int_equal(r.result, 0);
    assert_int_equal(a->frames, 20);
}

/* What we do by ourselves, as OpenSSL does not: a key is good for so many records. */

static int updates; /* that the peer was sent; its thread counts */

static void count_updates(int write, int version, int type, const void *message, size_t len,
                          SSL *ssl, void *arg)
{
    const uint8_t *m = message;

    if (write == 0 && type == SSL3_RT_HANDSHAKE && len > 0 && m[0] == SSL3_MT_KEY_UPDATE)
        updates++;
}

static int echo_and_count(struct raw *r)
{
    updates = 0;
    SSL_set_msg_callback(r->ssl, count_updates);
    for (int i = 0; i < 20; i++)
        if (echo_once(r) != 0)
            return -1;
    return 0;
}

static void relay_renews_its_key(void **state)
{
    struct net *n = *state;
    struct raw r;

    n->server_tls->records_max = 4;
    raw_client_echoed(&r, n, echo_and_count);
    raw_succeeds(&r);
    assert_int_equal(n->accepted[0]->frames, 20);
    assert_int_equal(updates, 4); /* before the 5th, 9th, 13th and 17th */
}

static void client_renews_its_key(void **state)
{
    struct net *n = *state;
    struct side *a;
    struct raw r;

    n->client_tls->records_max = 4;
    raw_server(&r, n, SOTTO_ALPN, echo_and_count);
    raw_start(&r);
    a = net_dial_to(n, "127.0.0.1", r.port, n->client_tls, 60 * 1000);
    a->on_frame = side_echo;
    raw_join(&r);
    assert_int_equal(r.result, 0);
    assert_int_equal(updates, 4);
}

/* Both at once, all the time, and with output that waits: nothing of the stream is lost. */
static void both_renew_their_keys(void **state)
{
    struct net *n = *state;
    struct side *a;

    n->client_tls->records_max = n->server_tls->records_max = 1;
    net_listen_echo(n);
    a = net_dial(n);
    net_until(n, a->ups);
    for (int i = 1; i <= 300; i++)
        side_send(a, 60000, (uint8_t)i);
    net_until(n, a->frames == 300);
    assert_int_equal(n->accepted[0]->frames, 300);
    assert_int_equal(a->downs, 0);
}

static int flood_key_updates(struct raw *r)
{
    while (!atomic_load(&r->stop)) {
        if (SSL_key_update(r->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            SSL_do_handshake(r->ssl) != 1)
            return -1;
    }
    return 0;
}

/* A peer that sends nothing else as fast as it can does not keep the others from being served, and
 * is ended. */
static void key_update_flood_starves_nobody(void **state)
{
    struct net *n = *state;
    struct side *a;
    struct raw r;

    net_listen_echo(n);
    raw_client(&r, n, SOTTO_ALPN, flood_key_updates);
    raw_start(&r);
    a = net_dial(n);
    net_until(n, a->ups);
    for (int i = 1; i <= 100; i++) {
        side_send(a, 50, (uint8_t)i);
        net_until(n, a->frames == i);
    }
    net_until(n, n->accepted_n == 2);
    net_until(n, n->accepted[0]->downs + n->accepted[1]->downs > 0);
    atomic_store(&r.stop, true);
    raw_join(&r);
    assert_int_equal(a->downs, 0);
    for (int i = 0; i < 2; i++)
        if (n->accepted[i]->downs > 0) {
            assert_int_equal(n->accepted[i]->why, SOTTO_ERR_TLS);
            assert_non_null(strstr(n->accepted[i]->detail, "new keys and nothing else"));
        }
}

/* A new certificate for new connections; the old ones keep theirs. */
static void certificate_can_be_exchanged(void **state)
{
    struct net *n = *state;
    struct sotto_cert *fresh;
    struct sotto_tls *server, *client;
    struct side *a, *b;
    uint8_t pin[32];

    net_listen_echo(n);
    a = net_dial(n);
    net_until(n, a->ups);
    assert_int_equal(sotto_cert_make("127.0.0.1", time(NULL), NULL, &fresh), 0);
    sotto_cert_pin(fresh, pin);
    assert_int_equal(sotto_tls_server(fresh, SOTTO_CLIENT_CERTS_OFF, &server), 0);
    sotto_cert_free(fresh);
    sotto_listener_set_tls(n->listener, server);
    sotto_tls_free(server);
    client = tls_for_pin(NULL, pin);
    b = net_dial_to(n, "127.0.0.1", n->port, client, 60 * 1000);
    sotto_tls_free(client);
    net_until(n, b->ups || b->downs);
    assert_int_equal(b->ups, 1);
    side_send(a, 10, 1);
    net_until(n, a->frames == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_CASE(both_sides_agree),
        NET_CASE(ephemeral_keys_do_not_stay),
        NET_CASE(exporter_is_the_standard_one),
        NET_CASE(client_certificates),
        NET_CASE(wrong_pin_stops_at_once),
        NET_CASE(any_of_the_pins_is_enough),
        NET_CASE(pinned_and_expired_is_fine),
        NET_CASE(unknown_authority_is_shown),
        NET_CASE(known_authority_and_name_count),
        NET_CASE(relay_refuses),
        NET_CASE(no_tickets_are_given),
        NET_CASE(p256_clients_are_served),
        NET_CASE(client_names_what_is_no_relay),
        NET_CASE(client_refuses),
        NET_CASE(relay_follows_key_updates),
        NET_CASE(client_follows_key_updates),
        NET_CASE(relay_renews_its_key),
        NET_CASE(client_renews_its_key),
        NET_CASE(both_renew_their_keys),
        NET_CASE(key_update_flood_starves_nobody),
        NET_CASE(certificate_can_be_exchanged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
