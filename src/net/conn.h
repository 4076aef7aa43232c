/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_CONN_H
#define SOTTO_NET_CONN_H

#include "net/loop.h"
#include "net/tls.h"

/*
 * A TLS connection that carries frames (4-byte big-endian length, at most SOTTO_STREAM_MAX from
 * net/stream.h; the length is checked before anything is allocated). TCP_NODELAY and keep-alive
 * on both sides. Callbacks come from sotto_loop_run/dispatch only, never from inside a call made
 * here. down() is the last one and comes exactly once, unless the owner freed the connection; after
 * down() the owner still has to free it. Freeing inside a callback is fine, of any connection. A
 * callback may be NULL. The struct of callbacks is kept, not copied.
 */
struct sotto_conn;

struct sotto_conn_ops {
    /* Handshake done, peer accepted. info is valid during the call and wiped after it. In TLS 1.3
     * the client is up before the relay has looked at the client's certificate: a refusal comes as
     * down(TLS) soon after. */
    void (*up)(void *ctx, struct sotto_conn *c, const struct sotto_tls_info *info);
    /* One whole frame body; valid during the call. */
    void (*frame)(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len);
    /* Unsent output fell below SOTTO_CONN_LOW after it had been above SOTTO_CONN_HIGH. */
    void (*writable)(void *ctx, struct sotto_conn *c);
    /* CLOSED: the peer ended it in order; DNS, REFUSED, TIMEOUT, UNREACHABLE, TLS, PIN, TOO_LARGE
     * (frame), IO. detail: one line for people, e.g. "connection refused by 127.0.0.1:12345". With
     * PIN, info->peer_pin is what the relay showed; otherwise info may be NULL. */
    void (*down)(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                 const struct sotto_tls_info *info);
};
#define SOTTO_CONN_LOW  (64 * 1024)
#define SOTTO_CONN_HIGH (256 * 1024)

/* Resolves (not blocking the loop), connects (all addresses in turn), handshakes; all within
 * timeout_ms. `ctx` of the callbacks is kept. Addresses are tried in the system's order, each with
 * an equal share of the time that is left. No host name is looked up for a number. NOMEM. */
enum sotto_err sotto_conn_dial(struct sotto_loop *l, const char *host, uint16_t port,
                               struct sotto_tls *tls, uint64_t timeout_ms,
                               const struct sotto_conn_ops *ops, void *ctx,
                               struct sotto_conn **ret);

/* Queues bytes that are already framed (length included), also before up(). They leave at the end
 * of the loop's turn, so that what is written in one turn shares TLS records. NOMEM: nothing was
 * queued; CLOSED: after down(). The caller looks at sotto_conn_pending() and stops producing above
 * SOTTO_CONN_HIGH. */
enum sotto_err sotto_conn_write(struct sotto_conn *c, const void *data, size_t len);
size_t sotto_conn_pending(const struct sotto_conn *c);
/* false: no more frames from now on, also not from bytes that have arrived already (back-pressure;
 * the idle limit rests meanwhile); true: go on. */
void sotto_conn_read(struct sotto_conn *c, bool on);
/* Flushes what is queued, sends close_notify, waits until the peer hangs up too, closes; at most 2
 * s for all. No callback is called any more, and the connection is not the owner's any more. Before
 * up() or after down() it is sotto_conn_free(). NULL is fine. */
void sotto_conn_finish(struct sotto_conn *c);
/* At once; with close_notify if nothing is queued. NULL is fine. */
void sotto_conn_free(struct sotto_conn *c);
void sotto_conn_set_ctx(struct sotto_conn *c, void *ctx);

struct sotto_listener;
struct sotto_listener_ops {
    struct sotto_conn_ops conn;
    /* A connection was accepted; TLS is not done. Returns the ctx for conn's callbacks; NULL
     * refuses (closed at once). */
    void *(*accepted)(void *ctx, struct sotto_conn *c, const char *address);
};
/*
 * Binds exclusively, the first address of `host` that is ours: EXISTS when the port is in use
 * (ret_why says by which address and what to do), DENIED (privileged port), UNREACHABLE (address
 * not ours), DNS. Port 0 picks a free one; *ret_port is the one bound. handshake_ms: a client that
 * is not up by then is dropped; idle_ms: one that sends nothing for so long; write_stall_ms: one
 * that takes no output for so long. 0: no limit. Without free file descriptors new connections wait
 * in the kernel's queue, and a local line is logged. The limits are copied, the struct of
 * callbacks is kept; blocks while it looks up a name.
 */
struct sotto_listen_limits {
    uint64_t handshake_ms, idle_ms, write_stall_ms;
};
enum sotto_err sotto_listen(struct sotto_loop *l, const char *host, uint16_t port,
                            struct sotto_tls *tls, const struct sotto_listen_limits *limits,
                            const struct sotto_listener_ops *ops, void *ctx,
                            struct sotto_listener **ret, uint16_t *ret_port, char *ret_why,
                            size_t room);
/* Another loop, in another thread, accepts from the same socket: who is free takes what comes. Its
 * TLS is the first one's. To be called before the first one's loop runs. NOMEM, IO. */
enum sotto_err sotto_listen_also(struct sotto_loop *l, const struct sotto_listener *first,
                                 const struct sotto_listen_limits *limits,
                                 const struct sotto_listener_ops *ops, void *ctx,
                                 struct sotto_listener **ret);
/* New connections use this context from now on (reloaded certificate). Connections keep what they
 * began with, so the old one may be freed. */
void sotto_listener_set_tls(struct sotto_listener *s, struct sotto_tls *tls);
/* Stops accepting and closes the socket; accepted connections go on. NULL is fine. */
void sotto_listener_free(struct sotto_listener *s);

#endif
