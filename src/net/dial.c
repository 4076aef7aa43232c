/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialling: name, addresses, connect. Addresses are tried in turn in the system's order; each gets
 * an equal share of the time that is left, so that a dead first address (IPv6 that leads nowhere)
 * leaves time for the others. The handshake then has all the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn_internal.h"
#include "net/resolve.h"

struct sotto_dial {
    struct sotto_tls *tls;
    struct sotto_lookup *lookup; /* under way */
    struct sotto_resolved found;
    size_t next; /* address that is tried next */
    uint64_t attempt_deadline;
    enum sotto_err err; /* what is told when all fail */
    char detail[192];
    uint16_t port;
    char host[];
};

void sotto_dial_free(struct sotto_dial *d)
{
    if (d == NULL)
        return;
    sotto_lookup_cancel(d->lookup);
    sotto_tls_free(d->tls);
    free(d);
}

uint64_t sotto_dial_deadline(const struct sotto_conn *c)
{
    return c->dial->lookup != NULL || c->dial->attempt_deadline > c->deadline
               ? c->deadline
               : c->dial->attempt_deadline;
}

/* "Refused" says more than "no answer", and that more than "no route". The first of a kind stays.
 */
static int weight(enum sotto_err e)
{
    switch (e) {
    case SOTTO_ERR_REFUSED:
        return 3;
    case SOTTO_ERR_TIMEOUT:
        return 2;
    default:
        return e == 0 ? 0 : 1;
    }
}

static void note_failure(struct sotto_conn *c, enum sotto_err e, int sys)
{
    struct sotto_dial *d = c->dial;
    char peer[SOTTO_ADDRESS_TEXT];

    if (weight(e) <= weight(d->err))
        return;
    d->err = e;
    sotto_address_port_text(&c->peer, peer);
    if (e == SOTTO_ERR_REFUSED)
        snprintf(d->detail, sizeof d->detail, "connection refused by %s", peer);
    else if (e == SOTTO_ERR_TIMEOUT)
        snprintf(d->detail, sizeof d->detail, "no answer from %s", peer);
    else
        snprintf(d->detail, sizeof d->detail, "cannot reach %s: %s", peer, strerror(sys));
}

static enum sotto_err err_of(int sys)
{
    switch (sys) {
    case ECONNREFUSED:
        return SOTTO_ERR_REFUSED;
    case ETIMEDOUT:
        return SOTTO_ERR_TIMEOUT;
    case ENOMEM:
    case ENOBUFS:
        return SOTTO_ERR_NOMEM;
    case EMFILE:
    case ENFILE:
        return SOTTO_ERR_IO;
    default:
        return SOTTO_ERR_UNREACHABLE;
    }
}

static void give_up(struct sotto_conn *c)
{
    struct sotto_dial *d = c->dial;
    bool more = d->found.count > 1;

    sotto_conn_fail(c, d->err, "%s%s", d->detail,
                    more ? ", nor did any other address of the name answer" : "");
}

static void connected(struct sotto_conn *c)
{
    struct sotto_dial *d = c->dial;

    sotto_conn_watch(c, 0);
    if (sotto_conn_start_tls(c, d->tls, d->host) != 0) {
        sotto_conn_fail(c, SOTTO_ERR_NOMEM, "%s", sotto_err_text(SOTTO_ERR_NOMEM));
        return;
    }
    c->dial = NULL;
    sotto_dial_free(d);
}

/* OK: under way or done. Else *ret_sys says why this address does not work. */
static enum sotto_err try_connect(struct sotto_conn *c, const struct sotto_address *a, int *ret_sys)
{
    struct sockaddr_storage sa;
    socklen_t len = sotto_address_to(a, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    c->peer = *a;
    *ret_sys = errno;
    if (fd < 0)
        return err_of(errno);
    if (connect(fd, (const struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS) {
        *ret_sys = errno;
        close(fd);
        return err_of(*ret_sys);
    }
    sotto_conn_attach(c, fd);
    return SOTTO_OK;
}

static void try_next(struct sotto_conn *c)
{
    struct sotto_dial *d = c->dial;
    enum sotto_err e;
    int sys;

    sotto_socket_close(&c->socket);
    while (d->next < d->found.count) {
        uint64_t now = sotto_loop_now(c->loop), left = c->deadline > now ? c->deadline - now : 0;

        d->attempt_deadline = now + left / (d->found.count - d->next);
        e = try_connect(c, &d->found.addresses[d->next++], &sys);
        if (e == 0) {
            sotto_conn_watch(c, UV_WRITABLE);
            sotto_conn_set_timer(c);
            return;
        }
        note_failure(c, e, sys);
    }
    give_up(c);
}

static void on_found(void *ctx, const struct sotto_resolved *r)
{
    struct sotto_conn *c = ctx;
    struct sotto_dial *d = c->dial;

    d->lookup = NULL;
    if (r->err != 0) {
        sotto_conn_fail(c, r->err, "no address for %s: %s", d->host, r->why);
        return;
    }
    d->found = *r;
    try_next(c);
}

void sotto_dial_begin(struct sotto_conn *c)
{
    struct sotto_dial *d = c->dial;
    struct sotto_resolved now;
    enum sotto_err e = sotto_lookup_start(c->loop, d->host, d->port, on_found, c, &now, &d->lookup);

    if (e != 0)
        sotto_conn_fail(c, e, "looking up %s: %s", d->host, sotto_err_text(e));
    else if (d->lookup == NULL)
        on_found(c, &now);
    else
        sotto_conn_set_timer(c);
}

void sotto_dial_ready(struct sotto_conn *c)
{
    int sys = 0;
    socklen_t len = sizeof sys;

    if (getsockopt(c->socket.fd, SOL_SOCKET, SO_ERROR, &sys, &len) != 0)
        sys = errno;
    if (sys == 0) {
        connected(c);
        return;
    }
    note_failure(c, err_of(sys), sys);
    try_next(c);
}

void sotto_dial_expired(struct sotto_conn *c)
{
    struct sotto_dial *d = c->dial;

    if (d->lookup != NULL) {
        sotto_conn_fail(c, SOTTO_ERR_DNS, "no answer about %s from the name server within %g s",
                        d->host, c->limit_ms / 1000.0);
        return;
    }
    note_failure(c, SOTTO_ERR_TIMEOUT, ETIMEDOUT);
    try_next(c);
}

enum sotto_err sotto_conn_dial(struct sotto_loop *l, const char *host, uint16_t port,
                               struct sotto_tls *tls, uint64_t timeout_ms,
                               const struct sotto_conn_ops *ops, void *ctx, struct sotto_conn **ret)
{
    size_t len = strlen(host) + 1;
    struct sotto_dial *d = calloc(1, sizeof *d + len);
    struct sotto_conn *c;

    if (d == NULL)
        return SOTTO_ERR_NOMEM;
    if ((c = sotto_conn_new(l, ops, ctx)) == NULL) {
        free(d);
        return SOTTO_ERR_NOMEM;
    }
    memcpy(d->host, host, len);
    d->port = port;
    d->tls = tls;
    sotto_tls_ref(tls);
    c->dial = d;
    uv_update_time(sotto_loop_uv(l));
    c->limit_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
    c->deadline = sotto_loop_now(l) + c->limit_ms;
    sotto_loop_work(l, &c->work);
    *ret = c;
    return SOTTO_OK;
}
