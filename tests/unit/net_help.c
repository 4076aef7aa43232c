/* SPDX-License-Identifier: Apache-2.0 */
#include "net_help.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include <cmocka.h>

#include "base/log.h"
#include "net/stream.h"

enum { GUARD_S = 150 };

char net_log[8192];

static void keep_line(void *ctx, enum sotto_log_level level, const char *line)
{
    size_t n = strlen(net_log);

    snprintf(net_log + n, sizeof net_log - n, "%s %s\n",
             level == SOTTO_LOG_BUG     ? "bug"
             : level == SOTTO_LOG_LOCAL ? "local"
                                        : "other",
             line);
}

/* Sides */

static void note_up(void *ctx, struct sotto_conn *c, const struct sotto_tls_info *info)
{
    struct side *s = ctx;

    s->net->told++;
    assert_ptr_equal(s->conn, c);
    assert_int_equal(s->ups, 0);
    assert_int_equal(s->downs, 0);
    s->ups++;
    s->info = *info;
    s->has_info = true;
    if (s->on_up != NULL)
        s->on_up(s);
}

static void note_frame(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len)
{
    struct side *s = ctx;

    s->net->told++;
    assert_ptr_equal(s->conn, c);
    assert_int_equal(s->ups, 1);
    assert_int_equal(s->downs, 0);
    s->frames++;
    assert_int_equal(sotto_buf_add(&s->got, body, len), 0);
    if (s->on_frame != NULL)
        s->on_frame(s, body, len);
}

static void note_writable(void *ctx, struct sotto_conn *c)
{
    struct side *s = ctx;

    s->net->told++;
    assert_true(sotto_conn_pending(c) < SOTTO_CONN_LOW);
    s->writables++;
    if (s->on_writable != NULL)
        s->on_writable(s);
}

static void note_down(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                      const struct sotto_tls_info *info)
{
    struct side *s = ctx;

    s->net->told++;
    assert_ptr_equal(s->conn, c);
    assert_int_equal(s->downs, 0);
    s->downs++;
    s->why = why;
    snprintf(s->detail, sizeof s->detail, "%s", detail);
    assert_true(strlen(detail) > 5);
    if (info != NULL) {
        s->info = *info;
        s->has_info = true;
    }
    if (s->on_down != NULL)
        s->on_down(s);
    side_free(s);
}

static const struct sotto_conn_ops side_ops = {note_up, note_frame, note_writable, note_down};

static struct side *side_new(struct net *n)
{
    struct side *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->net = n;
    s->got = SOTTO_BUF(64 * 1024 * 1024);
    return s;
}

void side_free(struct side *s)
{
    struct sotto_conn *c = s->conn;

    s->conn = NULL;
    sotto_conn_free(c);
}

static void *note_accepted(void *ctx, struct sotto_conn *c, const char *address)
{
    struct net *n = ctx;
    struct side *s = side_new(n);

    assert_true(n->accepted_n < NET_SIDES);
    n->accepted[n->accepted_n++] = s;
    s->conn = c;
    snprintf(s->address, sizeof s->address, "%s", address);
    if (n->on_accepted != NULL)
        n->on_accepted(s);
    if (n->refuse)
        s->conn = NULL;
    return n->refuse ? NULL : s;
}

void net_listen(struct net *n)
{
    static const struct sotto_listener_ops ops = {{note_up, note_frame, note_writable, note_down},
                                                  note_accepted};
    char why[256] = "";

    assert_int_equal(sotto_listen(n->loop, "127.0.0.1", n->port, n->server_tls, &n->limits, &ops, n,
                                  &n->listener, &n->port, why, sizeof why),
                     0);
}

struct side *net_dial_to(struct net *n, const char *host, uint16_t port, struct sotto_tls *tls,
                         uint64_t timeout_ms)
{
    struct side *s = side_new(n);

    assert_true(n->dialled_n < NET_SIDES);
    n->dialled[n->dialled_n++] = s;
    assert_int_equal(sotto_conn_dial(n->loop, host, port, tls, timeout_ms, &side_ops, s, &s->conn),
                     0);
    return s;
}

struct side *net_dial(struct net *n)
{
    return net_dial_to(n, "127.0.0.1", n->port, n->client_tls, 60 * 1000);
}

void side_send(struct side *s, size_t len, uint8_t seed)
{
    uint8_t *frame = malloc(SOTTO_STREAM_HEADER + len);

    assert_non_null(frame);
    sotto_put_u32(frame, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        frame[SOTTO_STREAM_HEADER + i] = (uint8_t)(seed + i);
    assert_int_equal(sotto_conn_write(s->conn, frame, SOTTO_STREAM_HEADER + len), 0);
    free(frame);
}

void side_echo(struct side *s, const uint8_t *body, size_t len)
{
    uint8_t header[SOTTO_STREAM_HEADER];

    sotto_put_u32(header, (uint32_t)len);
    assert_int_equal(sotto_conn_write(s->conn, header, sizeof header), 0);
    assert_int_equal(sotto_conn_write(s->conn, body, len), 0);
}

void net_echoes(struct side *s)
{
    s->on_frame = side_echo;
}

void net_listen_echo(struct net *n)
{
    n->on_accepted = net_echoes;
    net_listen(n);
}

struct side *net_accepted(struct net *n, size_t i)
{
    net_until(n, n->accepted_n > i && n->accepted[i]->ups);
    return n->accepted[i];
}

void assert_pattern(const uint8_t *p, size_t len, uint8_t seed)
{
    for (size_t i = 0; i < len; i++)
        assert_int_equal(p[i], (uint8_t)(seed + i));
}

struct sotto_tls *tls_for_pin(const struct sotto_cert *client, const uint8_t pin[32])
{
    struct sotto_tls_trust trust = {.pin_count = 1, .pins = (const uint8_t(*)[32])pin};
    struct sotto_tls *t;

    assert_int_equal(sotto_tls_client(client, &trust, &t), 0);
    return t;
}

/* Running */

static void on_turn(void *ctx)
{
    struct net *n = ctx;

    /* The first turn may sleep, unless what was left over from the last one was enough; the second
     * begins when something has happened. */
    if (n->runs && (++n->turns == 2 || n->told > 0))
        sotto_loop_stop(n->loop);
}

void net_begin(struct net *n)
{
    if (!n->runs)
        sotto_loop_dispatch(n->loop);
}

void net_step(struct net *n)
{
    struct pollfd p = {.fd = sotto_loop_fd(n->loop), .events = POLLIN};

    if (n->runs) {
        n->turns = n->told = 0;
        sotto_loop_run(n->loop);
        return;
    }
    (void)poll(&p, 1, -1);
    sotto_loop_dispatch(n->loop);
}

static int net_setup(void **state, bool runs)
{
    struct net *n = calloc(1, sizeof *n);
    char why[256] = "";

    alarm(GUARD_S);
    assert_non_null(n);
    net_log[0] = 0;
    sotto_log_set(keep_line, NULL, SOTTO_LOG_DEBUG);
    n->runs = runs;
    n->loop = sotto_loop_new();
    assert_non_null(n->loop);
    n->hook = sotto_before_sleep(n->loop, on_turn, n);
    assert_non_null(n->hook);
    folder_make(&n->folder);
    assert_int_equal(
        sotto_cert_server(folder_file(&n->folder, "cert"), "127.0.0.1", &n->cert, why, sizeof why),
        0);
    sotto_cert_pin(n->cert, n->pin);
    assert_int_equal(sotto_tls_server(n->cert, SOTTO_CLIENT_CERTS_REQUEST, &n->server_tls), 0);
    n->client_tls = tls_for_pin(NULL, n->pin);
    *state = n;
    return 0;
}

int net_setup_host(void **state)
{
    return net_setup(state, false);
}

int net_setup_run(void **state)
{
    return net_setup(state, true);
}

static void free_sides(struct side **sides, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        side_free(sides[i]);
        sotto_buf_free(&sides[i]->got);
        free(sides[i]);
    }
}

int net_teardown(void **state)
{
    struct net *n = *state;

    free_sides(n->dialled, n->dialled_n);
    free_sides(n->accepted, n->accepted_n);
    sotto_listener_free(n->listener);
    sotto_idle_free(n->hook);
    sotto_loop_free(n->loop);
    sotto_tls_free(n->client_tls);
    sotto_tls_free(n->server_tls);
    sotto_cert_free(n->cert);
    folder_remove(&n->folder);
    free(n);
    alarm(0);
    if (strstr(net_log, "bug ") != NULL)
        printf("# %s", net_log);
    assert_null(strstr(net_log, "bug "));
    return 0;
}

/* Foreign peers */

static void set_alpn(struct raw *r, const char *alpn)
{
    uint8_t wire[64];
    size_t n = strlen(alpn);

    wire[0] = (uint8_t)n;
    memcpy(wire + 1, alpn, n);
    assert_int_equal(SSL_CTX_set_alpn_protos(r->ctx, wire, (unsigned)n + 1), 0);
}

void raw_client(struct raw *r, struct net *n, const char *alpn, int (*fn)(struct raw *r))
{
    memset(r, 0, sizeof *r);
    r->net = n;
    r->fn = fn;
    r->fd = r->listen_fd = -1;
    r->port = n->port;
    r->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(r->ctx);
    if (alpn != NULL)
        set_alpn(r, alpn);
}

void raw_client_echoed(struct raw *r, struct net *n, int (*fn)(struct raw *r))
{
    net_listen_echo(n);
    raw_client(r, n, SOTTO_ALPN, fn);
}

static int take_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                     const unsigned char *offered, unsigned int n, void *alpn)
{
    *ret = alpn;
    *ret_n = (unsigned char)strlen(alpn);
    return SSL_TLSEXT_ERR_OK;
}

void raw_listen(struct raw *r, int backlog)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;

    r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(r->listen_fd >= 0);
    assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(r->listen_fd, backlog), 0);
    assert_int_equal(getsockname(r->listen_fd, (struct sockaddr *)&in, &len), 0);
    r->port = ntohs(in.sin_port);
}

void raw_server(struct raw *r, struct net *n, const char *alpn, int (*fn)(struct raw *r))
{
    const char *cert = folder_file(&n->folder, "cert/server_cert.pem");
    const char *key = folder_file(&n->folder, "cert/server_key.pem");

    memset(r, 0, sizeof *r);
    r->net = n;
    r->fn = fn;
    r->fd = -1;
    r->ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(r->ctx);
    assert_int_equal(SSL_CTX_use_certificate_file(r->ctx, cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(r->ctx, key, SSL_FILETYPE_PEM), 1);
    if (alpn != NULL)
        SSL_CTX_set_alpn_select_cb(r->ctx, take_alpn, (void *)(uintptr_t)alpn);
    raw_listen(r, 16);
}

static int raw_connect(struct raw *r)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(r->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof in) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void *raw_thread(void *arg)
{
    struct raw *r = arg;
    bool server = r->listen_fd >= 0;

    r->result = -1;
    r->fd = server ? accept(r->listen_fd, NULL, NULL) : raw_connect(r);
    if (r->fd >= 0 && SSL_set_fd(r->ssl, r->fd) == 1) {
        r->handshake = server ? SSL_accept(r->ssl) : SSL_connect(r->ssl);
        if (r->handshake == 1)
            r->result = r->fn != NULL ? r->fn(r) : 0;
        if (r->reason == 0)
            r->reason = ERR_GET_REASON(ERR_peek_error());
    }
    if (r->fd >= 0)
        close(r->fd);
    ERR_clear_error();
    atomic_store(&r->done, true);
    sotto_loop_wake(r->net->loop);
    return NULL;
}

void raw_start(struct raw *r)
{
    sigset_t pipe;

    /* Blocked in the thread only: that our own side needs no such thing is to be seen. */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    r->ssl = SSL_new(r->ctx);
    assert_non_null(r->ssl);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    assert_int_equal(pthread_create(&r->thread, NULL, raw_thread, r), 0);
    pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
}

void raw_join(struct raw *r)
{
    net_until(r->net, atomic_load(&r->done));
    pthread_join(r->thread, NULL);
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    if (r->listen_fd >= 0)
        close(r->listen_fd);
}

void raw_succeeds(struct raw *r)
{
    raw_start(r);
    raw_join(r);
    assert_int_equal(r->result, 0);
}

int raw_read(struct raw *r, void *ret, int len)
{
    for (int got = 0, n; got < len; got += n) {
        n = SSL_read(r->ssl, (uint8_t *)ret + got, len - got);
        if (n <= 0) {
            r->reason = ERR_GET_REASON(ERR_peek_error());
            return -1;
        }
    }
    return 0;
}

int raw_write(struct raw *r, const void *data, int len)
{
    return SSL_write(r->ssl, data, len) == len ? 0 : -1;
}
