/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens on connections, and turns. All that arrives in one turn of the loop is one
 * transaction: it is committed just before the loop sleeps, synced by a thread of its own while the
 * loop goes on, and then the answers leave.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "relay/source.h"
#include "run/relay/server.h"

struct link {
    struct server *s;
    struct link *next, *prev;
    struct sotto_conn *net;      /* in this thread; NULL: */
    struct sotto_remote *remote; /* in a worker's */
    uint64_t written, left;      /* of a remote: bytes of all time */
    bool reading;
    struct sotto_relay_conn *core; /* NULL until TLS is up */
    struct sotto_source from;
};

/* --- connections --- */

static void link_free(struct link *l)
{
    struct server *s = l->s;

    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        s->links = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    if (l->remote == NULL)
        sotto_gate_leave(s->gate, &l->from);
    if (l->core != NULL)
        sotto_relay_closed(l->core);
    free(l);
}

static struct link *link_new(struct server *s, struct sotto_conn *net, struct sotto_remote *remote)
{
    struct link *l = calloc(1, sizeof *l);

    if (l == NULL)
        return NULL;
    l->s = s;
    l->net = net;
    l->remote = remote;
    l->reading = true;
    l->next = s->links;
    if (l->next != NULL)
        l->next->prev = l;
    s->links = l;
    return l;
}

static void *accepted(void *ctx, struct sotto_conn *c, const char *address)
{
    struct server *s = ctx;
    struct sotto_source from;
    struct link *l;

    if (!sotto_gate_enter(s->gate, address, &from))
        return NULL;
    if ((l = link_new(s, c, NULL)) == NULL)
        sotto_gate_leave(s->gate, &from);
    else
        l->from = from;
    return l;
}

/* --- what becomes of a connection, wherever it is --- */

static size_t link_pending(const struct link *l)
{
    return l->net != NULL ? sotto_conn_pending(l->net) : (size_t)(l->written - l->left);
}

static void link_read(struct link *l, bool on)
{
    if (l->reading == on)
        return;
    l->reading = on;
    if (l->net != NULL)
        sotto_conn_read(l->net, on);
    else
        sotto_remote_read(l->remote, on);
}

static enum sotto_err link_write(struct link *l, struct sotto_bytes b)
{
    l->written += b.n;
    return l->net != NULL ? sotto_conn_write(l->net, b.p, b.n)
                          : sotto_remote_write(l->remote, b.p, b.n);
}

/* What was written still leaves. */
static void link_finish(struct link *l)
{
    if (l->net != NULL)
        sotto_conn_finish(l->net);
    else
        sotto_remote_finish(l->remote);
    link_free(l);
}

/* --- the disk --- */

/* The store is in a state that nobody knows, so nothing more may be promised. What was acknowledged
 * is on disk, and the next start finds it. */
static void die(void)
{
    sotto_log_event(SOTTO_LOG_LOCAL, "disk",
                    "the disk failed while storing; ending at once, so that nothing is promised "
                    "that is not kept. Look at the disk (dmesg), then start again");
    _exit(1);
}

/* In the syncer's thread. */
enum sotto_err sotto_server_sync(void *ctx)
{
    return sotto_rs_sync(((struct server *)ctx)->parts.store);
}

/* In the carrier's. */
enum sotto_err sotto_server_carry(void *ctx)
{
    return sotto_rs_checkpoint(((struct server *)ctx)->parts.store);
}

/* A long log goes into the database while turns go on; the little that was committed meanwhile
 * follows here, so that the log begins anew. */
static void carry_over(struct server *s)
{
    enum sotto_err e;

    if (sotto_syncer_take(s->carrier, &e) &&
        (e != 0 || (e = sotto_rs_checkpoint_rest(s->parts.store)) != 0))
        sotto_log_local("the store's log could not be carried over: %s; it grows until it can",
                        sotto_err_text(e));
    if (!sotto_syncer_busy(s->carrier) && sotto_rs_wants_checkpoint(s->parts.store))
        sotto_syncer_go(s->carrier);
}

/* What was committed since the last sync is the next one's; how long the disk takes is noted. */
static void sync_begin(struct server *s)
{
    if (!sotto_relay_sync_due(s->relay))
        return;
    sotto_relay_sync_begun(s->relay);
    s->sync_began = s->metrics.http != NULL ? sotto_relay_clock_us() : 0;
    sotto_syncer_go(s->syncer);
}

static void sync_end(struct server *s)
{
    enum sotto_err e;

    if (!sotto_syncer_take(s->syncer, &e))
        return;
    if (e != 0)
        die();
    if (s->sync_began != 0)
        sotto_observe(&s->metrics.counters.commit, sotto_relay_clock_us() - s->sync_began);
    sotto_relay_synced(s->relay);
}

/* --- in this thread --- */

static void up(void *ctx, struct sotto_conn *c, const struct sotto_tls_info *info)
{
    struct link *l = ctx;
    struct sotto_relay_peer peer = {.has_pin = info->has_peer_pin};

    sotto_count(&l->s->metrics.counters, SOTTO_COUNT_ACCEPTED, 1);
    memcpy(peer.exporter, info->exporter, sizeof peer.exporter);
    memcpy(peer.pin, info->peer_pin, sizeof peer.pin);
    snprintf(peer.address, sizeof peer.address, "%s", info->address);
    if (sotto_relay_open(l->s->relay, &peer, l, &l->core) != 0) {
        sotto_log_local("a connection was refused: out of memory");
        sotto_count(&l->s->metrics.counters, SOTTO_COUNT_TURNED_AWAY_MEMORY, 1);
        l->core = NULL;
        link_free(l);
        sotto_conn_free(c);
    }
    sotto_wipe(&peer, sizeof peer);
}

static void frame(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len)
{
    struct link *l = ctx;

    sotto_relay_frame(l->core, body, len);
    sotto_relay_sent(l->core, sotto_conn_pending(c));
    link_read(l, sotto_relay_wants_input(l->core));
}

static void writable(void *ctx, struct sotto_conn *c)
{
    struct link *l = ctx;

    sotto_relay_sent(l->core, sotto_conn_pending(c));
}

static void down(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                 const struct sotto_tls_info *info)
{
    struct link *l = ctx;

    if (l->core == NULL) {
        sotto_log_event(SOTTO_LOG_PEER, "handshake", "%s", detail);
        sotto_gate_failed(l->s->gate);
    } else {
        sotto_log_event(why == SOTTO_ERR_TIMEOUT ? SOTTO_LOG_PEER : SOTTO_LOG_DEBUG, "disconnected",
                        "%s", detail);
    }
    link_free(l);
    sotto_conn_free(c);
}

/* --- in a worker's --- */

static void *remote_up(void *ctx, struct sotto_remote *remote, const struct sotto_relay_peer *peer)
{
    struct server *s = ctx;
    struct link *l = link_new(s, NULL, remote);

    sotto_count(&s->metrics.counters, SOTTO_COUNT_ACCEPTED, 1);
    if (l == NULL || sotto_relay_open(s->relay, peer, l, &l->core) != 0) {
        sotto_log_local("a connection was refused: out of memory");
        sotto_count(&s->metrics.counters, SOTTO_COUNT_TURNED_AWAY_MEMORY, 1);
        if (l != NULL) {
            l->core = NULL;
            link_free(l);
        }
        return NULL;
    }
    return l;
}

static void remote_frame(void *link, const uint8_t *body, size_t len)
{
    struct link *l = link;

    sotto_relay_frame(l->core, body, len);
    link_read(l, sotto_relay_wants_input(l->core));
}

static void remote_sent(void *link, uint64_t bytes)
{
    struct link *l = link;

    l->left = bytes;
    sotto_relay_sent(l->core, link_pending(l));
}

static void remote_closed(void *link)
{
    link_free(link);
}

/* --- the turn --- */

static void flush(struct link *l)
{
    struct sotto_bytes out = sotto_relay_output(l->core);

    if (out.n > 0 && link_write(l, out) != 0) {
        sotto_log_local("a connection was ended: its output could not be queued");
        link_finish(l);
        return;
    }
    sotto_relay_taken(l->core);
    if (sotto_relay_ending(l->core)) {
        link_finish(l);
        return;
    }
    sotto_relay_sent(l->core, link_pending(l));
    link_read(l, sotto_relay_wants_input(l->core));
}

void sotto_server_set_timer(struct server *s)
{
    uint64_t now = sotto_mono_ms(sotto_env_system()), at = sotto_relay_deadline(s->relay);

    sotto_timer_start(s->timer, at > now ? at - now : 0);
}

void sotto_server_turn(void *ctx)
{
    struct server *s = ctx;
    struct sotto_relay_conn *c;
    uint64_t began = s->metrics.http != NULL ? sotto_relay_clock_us() : 0;

    sync_end(s);
    sotto_workers_take(s->workers);
    do {
        if (sotto_relay_turn(s->relay) != 0)
            die();
        while ((c = sotto_relay_next(s->relay)) != NULL)
            flush(sotto_relay_ctx(c));
    } while (sotto_relay_deadline(s->relay) == 0);
    sync_begin(s);
    carry_over(s);
    sotto_workers_give(s->workers);
    if (began != 0)
        sotto_observe(&s->metrics.counters.turn, sotto_relay_clock_us() - began);
    if (!s->stopping)
        sotto_server_set_timer(s);
}

void sotto_server_turn_durable(void *ctx)
{
    struct server *s = ctx;

    sotto_server_turn(s);
    while (sotto_syncer_busy(s->syncer)) {
        sotto_syncer_wait(s->syncer);
        sotto_server_turn(s);
    }
}

void sotto_server_tick(void *ctx)
{
    struct server *s = ctx;

    sotto_relay_tick(s->relay);
}

/* --- for the rest of the program --- */

const struct sotto_listener_ops sotto_server_listener_ops = {
    .conn = {.up = up, .frame = frame, .writable = writable, .down = down},
    .accepted = accepted,
};
const struct sotto_worker_ops sotto_server_worker_ops = {remote_up, remote_frame, remote_sent,
                                                         remote_closed};

void sotto_server_cut_links(struct server *s)
{
    while (s->links != NULL) {
        sotto_conn_free(s->links->net);
        link_free(s->links);
    }
}
