/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_SERVER_H
#define SOTTO_RUN_RELAY_SERVER_H

/* Inside of a running relay: relay.c starts, changes and ends it, link.c is what it does. */

#include "net/conn.h"
#include "run/relay/gate.h"
#include "run/relay/metrics.h"
#include "run/relay/notify.h"
#include "run/relay/open.h"
#include "run/relay/operator.h"
#include "run/relay/syncer.h"
#include "run/relay/worker.h"

struct link; /* a connection */

struct server {
    const struct sotto_relay_options *o; /* options below: a reload changes them */
    struct sotto_relay_options options;
    struct sotto_notify *notify;
    struct sotto_relay_metrics metrics;
    struct sotto_relay_parts parts;
    struct sotto_relay_config config;
    struct sotto_relay *relay;
    struct sotto_loop *loop;
    struct sotto_tls *tls;
    struct sotto_listener *listeners[SOTTO_RELAY_LISTEN_MAX];
    struct sotto_relay_address bound[SOTTO_RELAY_LISTEN_MAX];
    size_t listener_count;
    struct sotto_timer *timer, *cert_timer, *alive_timer;
    struct sotto_idle *idle;
    struct sotto_signal *term, *intr, *hup;
    struct sotto_operator *operator;
    struct sotto_workers *workers;         /* NULL: this thread does it all */
    struct sotto_syncer *syncer, *carrier; /* of the store's log */
    uint64_t sync_began;                   /* 0: nobody wants to know */
    struct link *links;
    struct sotto_gate *gate;
    bool stopping;
};

/* What listeners and workers call; their context is the server. */
extern const struct sotto_listener_ops sotto_server_listener_ops;
extern const struct sotto_worker_ops sotto_server_worker_ops;
/* Frees the connections that are left, as they are. */
void sotto_server_cut_links(struct server *s);

/* The functions that take a void * are called with the server. */
enum sotto_err sotto_server_sync(void *server);
enum sotto_err sotto_server_carry(void *server);
void sotto_server_turn(void *server);
/* Nothing waits for the disk afterwards. */
void sotto_server_turn_durable(void *server);
void sotto_server_tick(void *server);
/* For the next sotto_server_tick(). */
void sotto_server_set_timer(struct server *s);

#endif
