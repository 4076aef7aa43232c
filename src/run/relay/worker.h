/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_WORKER_H
#define SOTTO_RUN_RELAY_WORKER_H

#include "net/conn.h"
#include "relay/relay.h"
#include "run/relay/gate.h"

/*
 * Threads that accept, encrypt and decrypt, for a relay whose core works in one thread: TLS and
 * system calls are most of the work, and boxes that several threads own would need locks or a
 * hand-over between any two of them. What a worker reads goes to the core in batches, one for each
 * turn of its loop; what the core writes comes back in the same way, and each side is woken once
 * for a batch. A worker that is far ahead of the core waits.
 *
 * Everything here is called by the core's thread.
 */
struct sotto_workers;
struct sotto_remote; /* a connection of a worker, as the core knows it */

/* What workers tell, in the order in which it happened to each connection. */
struct sotto_worker_ops {
    /* TLS is up. Returns what the other two get as link; NULL: it is refused. */
    void *(*up)(void *ctx, struct sotto_remote *remote, const struct sotto_relay_peer *peer);
    void (*frame)(void *link, const uint8_t *body, size_t len);
    /* So many bytes of all that was written have left. */
    void (*sent)(void *link, uint64_t bytes);
    /* It has ended, and is forgotten after the call. link: NULL after sotto_remote_finish(). */
    void (*closed)(void *link);
};

/*
 * count threads that accept from the same sockets as the listeners. core is woken for what they
 * tell. NOMEM, IO (a thread did not start: the
 * others are ended).
 */
enum sotto_err sotto_workers_start(size_t count, struct sotto_loop *core,
                                   struct sotto_listener *const *listeners, size_t listener_count,
                                   struct sotto_gate *gate,
                                   const struct sotto_listen_limits *limits,
                                   const struct sotto_worker_ops *ops, void *ctx,
                                   struct sotto_workers **ret);
/* Hands what has come to the ops. */
void sotto_workers_take(struct sotto_workers *w);
/* Lets go what was written since; after each turn of the core. */
void sotto_workers_give(struct sotto_workers *w);
/* New connections get this one. */
void sotto_workers_set_tls(struct sotto_workers *w, struct sotto_tls *tls);
/* Accept no more. */
void sotto_workers_deaf(struct sotto_workers *w);
/* What was written still leaves (two seconds at most), then the threads end. Nothing may be written
 * any more, and no op is called. NULL is fine. */
void sotto_workers_quit(struct sotto_workers *w);
/* Waits until the threads are gone, and frees. The core's loop has to be there still. */
void sotto_workers_stop(struct sotto_workers *w);

/* As sotto_conn_write(), _read(), _finish(). NOMEM: nothing was queued. */
enum sotto_err sotto_remote_write(struct sotto_remote *r, const void *data, size_t len);
void sotto_remote_read(struct sotto_remote *r, bool on);
void sotto_remote_finish(struct sotto_remote *r);

#endif
