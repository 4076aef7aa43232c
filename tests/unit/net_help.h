/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_NET_HELP_H
#define SOTTO_TESTS_NET_HELP_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

#include "folder.h"
#include "net/conn.h"

/*
 * A loop with a relay's listener on 127.0.0.1, and connections that write down what happens to
 * them. Nothing here waits for time to pass: net_until() runs the loop until something is so, and
 * an alarm ends a test that never gets there. A bug line in the log fails the test.
 */
struct side { /* one end of a connection */
    struct net *net;
    struct sotto_conn *conn; /* NULL once freed */
    int ups, frames, writables, downs;
    struct sotto_buf got;       /* bodies of all frames, one after the other */
    struct sotto_tls_info info; /* of up(), or of down() */
    bool has_info;
    enum sotto_err why;
    char detail[512];
    char address[64]; /* what accepted() was told */
    /* What this side does beside writing down; may be NULL. down() frees the connection itself. */
    void (*on_up)(struct side *s);
    void (*on_frame)(struct side *s, const uint8_t *body, size_t len);
    void (*on_writable)(struct side *s);
    void (*on_down)(struct side *s);
    void *arg;
};

enum { NET_SIDES = 512 };

struct net {
    struct folder folder;
    bool runs; /* sotto_loop_run() instead of poll() and sotto_loop_dispatch() */
    int turns, told; /* of this step; callbacks in it */
    struct sotto_idle *hook;
    struct sotto_loop *loop;
    struct sotto_cert *cert;
    uint8_t pin[32];
    struct sotto_tls *server_tls, *client_tls;
    struct sotto_listen_limits limits;
    struct sotto_listener *listener;
    uint16_t port;
    struct side *accepted[NET_SIDES]; /* in order */
    size_t accepted_n;
    struct side *dialled[NET_SIDES];
    size_t dialled_n;
    void (*on_accepted)(struct side *s); /* sets what the side does */
    bool refuse;                         /* accepted() returns NULL */
};

/* cmocka setups: the same tests in a host that poll()s, and in a program that runs the loop. */
int net_setup_host(void **state);
int net_setup_run(void **state);
int net_teardown(void **state);
#define NET_CASE(f)                                                                                \
    {#f " (host)", f, net_setup_host, net_teardown, NULL},                                         \
    {                                                                                              \
#f " (run)", f, net_setup_run, net_teardown, NULL                                          \
    }

/* The listener with n->limits; a test that needs other TLS sets n->server_tls before. */
void net_listen(struct net *n);
void net_listen_echo(struct net *n);                /* the same, and each accepted side echoes */
void net_echoes(struct side *s);                    /* an on_accepted */
struct side *net_accepted(struct net *n, size_t i); /* waits until it is up */
/* Nothing happens to it before the next net_until() or net_step(). */
struct side *net_dial(struct net *n);
struct side *net_dial_to(struct net *n, const char *host, uint16_t port, struct sotto_tls *tls,
                         uint64_t timeout_ms);
void side_free(struct side *s); /* the connection; the notes stay */
/* A client context that trusts this pin only. */
struct sotto_tls *tls_for_pin(const struct sotto_cert *client, const uint8_t pin[32]);

void net_begin(struct net *n); /* what a host does after it started something */
void net_step(struct net *n);  /* sleeps until something happens, and handles it */
#define net_until(n, condition)                                                                    \
    do {                                                                                           \
        net_begin(n);                                                                              \
        while (!(condition))                                                                       \
            net_step(n);                                                                           \
    } while (0)

/* A frame of len bytes, byte i being (uint8_t)(seed + i). */
void side_send(struct side *s, size_t len, uint8_t seed);
void side_echo(struct side *s, const uint8_t *body, size_t len); /* an on_frame */
void assert_pattern(const uint8_t *p, size_t len, uint8_t seed);

extern char net_log[8192]; /* lines since the setup, each "level text\n" */

/*
 * A peer that is not ours: plain OpenSSL on blocking sockets, in a thread, so that it can do what
 * ours never would. fn runs there and may not assert; its result is looked at after raw_join().
 */
struct raw {
    struct net *net;
    SSL_CTX *ctx;
    SSL *ssl;
    int listen_fd; /* the server's */
    uint16_t port;
    int fd;
    int handshake; /* result of SSL_connect() or SSL_accept() */
    int reason;    /* OpenSSL's reason of the first failure, as ERR_GET_REASON() */
    int (*fn)(struct raw *r);
    int result;
    void *arg;
    atomic_bool stop; /* for fn to look at */
    atomic_bool done;
    pthread_t thread;
};
/* alpn: NULL for none. fn NULL: nothing after the handshake. */
void raw_client(struct raw *r, struct net *n, const char *alpn, int (*fn)(struct raw *r));
/* Of a relay that echoes (net_listen_echo()). */
void raw_client_echoed(struct raw *r, struct net *n, int (*fn)(struct raw *r));
/* Presents n->cert. */
void raw_server(struct raw *r, struct net *n, const char *alpn, int (*fn)(struct raw *r));
void raw_start(struct raw *r);                   /* after settings of the test's own in r->ctx */
void raw_join(struct raw *r);                    /* runs the loop until it is done, frees it */
void raw_succeeds(struct raw *r);                /* starts, joins, and fn has to return 0 */
int raw_read(struct raw *r, void *ret, int len); /* all of it; 0 when it came */
int raw_write(struct raw *r, const void *data, int len); /* 0 when it left */
void raw_listen(struct raw *r, int backlog);             /* a socket only: r->listen_fd, r->port */

#endif
