/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/conn_internal.h"
#include "net/resolve.h"

enum {
    BACKLOG = 4096,
    TURN_ACCEPTS = 16, /* new ones per turn: the old ones have theirs, other threads the rest */
    PAUSE_MS = 250,    /* without descriptors; what waits in the backlog is not lost */
    LOG_EVERY_MS = 60 * 1000,
};

struct sotto_listener {
    struct sotto_loop *loop;
    struct sotto_tls *tls;
    struct sotto_listen_limits limits;
    const struct sotto_listener_ops *ops;
    void *ctx;
    uv_poll_t poll;
    uv_timer_t pause;
    uint64_t logged_at; /* 0: not yet */
    int fd, handles;
    bool dead;
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void start(struct sotto_listener *s)
{
    uv_poll_start(&s->poll, UV_READABLE, on_readable);
    sotto_loop_touch(s->loop);
}

static void on_pause_over(uv_timer_t *timer)
{
    start(timer->data);
}

/* Out of descriptors or memory. The socket stays readable, so watching it would burn the CPU. */
static void pause_accepting(struct sotto_listener *s, int sys)
{
    uint64_t now = sotto_loop_now(s->loop);

    uv_poll_stop(&s->poll);
    uv_timer_start(&s->pause, on_pause_over, PAUSE_MS, 0);
    if (s->logged_at != 0 && now - s->logged_at < LOG_EVERY_MS)
        return;
    s->logged_at = now;
    sotto_log_local("new connections have to wait: %s (raise the limit of open files, ulimit -n "
                    "or LimitNOFILE=)",
                    strerror(sys));
}

static uint32_t limit32(uint64_t ms)
{
    return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static enum sotto_err admit(struct sotto_listener *s, int fd, const struct sotto_address *peer)
{
    struct sotto_conn *c = sotto_conn_new(s->loop, &s->ops->conn, NULL);
    char address[SOTTO_ADDRESS_TEXT];
    enum sotto_err e;
    void *ctx;

    if (c == NULL) {
        close(fd);
        return SOTTO_ERR_NOMEM;
    }
    c->peer = *peer;
    c->idle_ms = limit32(s->limits.idle_ms);
    c->stall_ms = limit32(s->limits.write_stall_ms);
    c->limit_ms = limit32(s->limits.handshake_ms);
    c->deadline = c->limit_ms > 0 ? sotto_loop_now(s->loop) + c->limit_ms : UINT64_MAX;
    sotto_conn_attach(c, fd);
    if ((e = sotto_conn_start_tls(c, s->tls, NULL)) != 0) {
        sotto_conn_free(c);
        return e;
    }
    sotto_address_text(peer, address);
    ctx = s->ops->accepted(s->ctx, c, address);
    if (ctx == NULL)
        sotto_conn_free(c);
    else
        sotto_conn_set_ctx(c, ctx);
    return SOTTO_OK;
}

/* False: no more for now. */
static bool accept_one(struct sotto_listener *s)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct sotto_address peer;
    int fd = accept4(s->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            pause_accepting(s, errno);
            return false;
        case EAGAIN:
            return false;
        default:
            return true; /* that one is gone already (accept(2): network errors) */
        }
    }
    if (!sotto_address_from((const struct sockaddr *)&sa, &peer)) {
        close(fd);
        return true;
    }
    if (admit(s, fd, &peer) != 0) {
        pause_accepting(s, ENOMEM);
        return false;
    }
    return !s->dead;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct sotto_listener *s = poll->data;

    if (status < 0) { /* libuv has stopped watching; accept4() clears the error */
        uv_poll_start(&s->poll, UV_READABLE, on_readable);
        sotto_loop_touch(s->loop);
    }
    for (int i = 0; i < TURN_ACCEPTS && accept_one(s); i++)
        continue;
}

/* Binding */

static enum sotto_err explain_errno(int sys, const struct sotto_address *a, char *why, size_t room)
{
    char text[SOTTO_ADDRESS_TEXT];

    sotto_address_port_text(a, text);
    switch (sys) {
    case EADDRINUSE:
        return sotto_explain(
            SOTTO_ERR_EXISTS, why, room,
            "%s is in use by another program (see: ss -ltnp 'sport = :%u'); end that "
            "one or listen on another port",
            text, (unsigned)a->port);
    case EACCES:
    case EPERM:
        return sotto_explain(
            SOTTO_ERR_DENIED, why, room,
            "listening on %s is not allowed to this user; take a port above 1023, or "
            "grant it: setcap cap_net_bind_service+ep",
            text);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return sotto_explain(
            SOTTO_ERR_UNREACHABLE, why, room,
            "%s is not an address of this machine (see: ip address); listen on one "
            "that is, or on 0.0.0.0 for all",
            text);
    default:
        return sotto_explain(SOTTO_ERR_IO, why, room, "listening on %s: %s", text, strerror(sys));
    }
}

/*
 * Exclusive: SO_REUSEADDR lets a restart bind while old connections fade out, but on Linux never
 * beside another listener. IPv6 sockets take IPv6 only, so that each address stands for itself.
 */
static int open_listening(const struct sotto_address *a)
{
    struct sockaddr_storage sa;
    socklen_t len = sotto_address_to(a, &sa);
    int one = 1, sys;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (a->v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0) ||
        bind(fd, (const struct sockaddr *)&sa, len) != 0 || listen(fd, BACKLOG) != 0) {
        sys = errno;
        close(fd);
        errno = sys;
        return -1;
    }
    return fd;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct sotto_address a;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 ||
        !sotto_address_from((const struct sockaddr *)&sa, &a))
        return 0;
    return a.port;
}

/* The first address of the name that this machine has. */
static enum sotto_err bind_host(const char *host, uint16_t port, int *ret_fd, char *why,
                                size_t room)
{
    enum sotto_err e = SOTTO_ERR_UNREACHABLE;
    struct sotto_resolved r;
    int fd;

    sotto_resolve_blocking(host, port, true, &r);
    if (r.err != 0)
        return sotto_explain(r.err, why, room, "no address for %s to listen on: %s", host, r.why);
    for (size_t i = 0; i < r.count && e == SOTTO_ERR_UNREACHABLE; i++) {
        fd = open_listening(&r.addresses[i]);
        if (fd >= 0) {
            *ret_fd = fd;
            return SOTTO_OK;
        }
        e = explain_errno(errno, &r.addresses[i], why, room);
    }
    return e;
}

static void on_closed(uv_handle_t *h)
{
    struct sotto_listener *s = h->data;

    if (--s->handles > 0)
        return;
    sotto_tls_free(s->tls);
    free(s);
}

void sotto_listener_free(struct sotto_listener *s)
{
    if (s == NULL || s->dead)
        return;
    s->dead = true;
    uv_close((uv_handle_t *)&s->poll, on_closed);
    uv_close((uv_handle_t *)&s->pause, on_closed);
    close(s->fd);
}

void sotto_listener_set_tls(struct sotto_listener *s, struct sotto_tls *tls)
{
    sotto_tls_ref(tls);
    sotto_tls_free(s->tls);
    s->tls = tls;
}

/* s->fd is the listener's from here on. */
static enum sotto_err watch(struct sotto_listener *s, struct sotto_loop *l, struct sotto_tls *tls)
{
    s->loop = l;
    if (uv_poll_init(sotto_loop_uv(l), &s->poll, s->fd) != 0) {
        close(s->fd);
        return SOTTO_ERR_IO;
    }
    uv_timer_init(sotto_loop_uv(l), &s->pause);
    s->poll.data = s->pause.data = s;
    s->handles = 2;
    s->tls = tls;
    sotto_tls_ref(tls);
    start(s);
    return SOTTO_OK;
}

enum sotto_err sotto_listen(struct sotto_loop *l, const char *host, uint16_t port,
                            struct sotto_tls *tls, const struct sotto_listen_limits *limits,
                            const struct sotto_listener_ops *ops, void *ctx,
                            struct sotto_listener **ret, uint16_t *ret_port, char *ret_why,
                            size_t room)
{
    struct sotto_listener *s = calloc(1, sizeof *s);
    enum sotto_err e;

    if (s == NULL)
        return sotto_explain(SOTTO_ERR_NOMEM, ret_why, room, "%s", sotto_err_text(SOTTO_ERR_NOMEM));
    s->limits = *limits;
    s->ops = ops;
    s->ctx = ctx;
    if ((e = bind_host(host, port, &s->fd, ret_why, room)) != 0) {
        free(s);
        return e;
    }
    if (watch(s, l, tls) != 0) {
        free(s);
        return sotto_explain(SOTTO_ERR_IO, ret_why, room, "watching the listening socket failed");
    }
    *ret_port = bound_port(s->fd);
    *ret = s;
    return SOTTO_OK;
}

enum sotto_err sotto_listen_also(struct sotto_loop *l, const struct sotto_listener *first,
                                 const struct sotto_listen_limits *limits,
                                 const struct sotto_listener_ops *ops, void *ctx,
                                 struct sotto_listener **ret)
{
    struct sotto_listener *s = calloc(1, sizeof *s);
    enum sotto_err e;

    if (s == NULL)
        return SOTTO_ERR_NOMEM;
    s->limits = *limits;
    s->ops = ops;
    s->ctx = ctx;
    if ((s->fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0)) < 0)
        e = SOTTO_ERR_IO;
    else
        e = watch(s, l, first->tls);
    if (e != 0) {
        free(s);
        return e;
    }
    *ret = s;
    return SOTTO_OK;
}
