/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"

#define AHEAD_MAX (8u * 1024 * 1024) /* bytes that a worker may be ahead of the core */
#define SENT_STEP (32 * 1024)        /* told when so much more has left */

/* A batch is records, each with its bytes behind it, rounded up to 8. */
enum record_type {
    UP,      /* to the core: struct sotto_relay_peer */
    FRAME,   /* to the core */
    SENT,    /* to the core: uint64_t, of all time */
    CLOSED,  /* to the core: the last one of this connection */
    WRITE,   /* to the worker */
    READ,    /* to the worker: len says whether */
    FINISH,  /* to the worker */
    RELEASE, /* to the worker: the last one; answers CLOSED */
    USE_TLS, /* to the worker: who is a struct sotto_tls, with a reference */
    DEAF,    /* to the worker */
    QUIT,    /* to the worker */
};
struct record {
    void *who;
    uint32_t len;
    enum record_type type;
};

struct batch {
    struct batch *next;
    struct sotto_buf bytes;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t drained;
    struct batch *first, **last;
    size_t waiting; /* bytes in it, and in what is being taken */
    bool over;      /* nobody takes any more */
};

struct worker {
    struct sotto_workers *all;
    pthread_t thread;
    bool started;
    struct sotto_loop *loop;
    struct sotto_idle *idle;
    struct sotto_listener **listeners;
    struct sotto_remote *remotes;
    struct sotto_remote *behind; /* the core thinks that much more waits than does */
    bool wrote;                  /* a connection of that list, in this turn */
    struct queue to_core, to_worker;
    struct batch *telling; /* being filled by the worker */
    struct batch *writing; /* being filled by the core */
};

struct sotto_workers {
    size_t count, listener_count;
    struct sotto_loop *core;
    struct sotto_gate *gate;
    struct sotto_worker_ops ops;
    void *ctx;
    bool quitting;
    struct worker workers[];
};

struct sotto_remote {
    struct worker *w;
    struct sotto_remote *next, *prev; /* of the worker */
    struct sotto_source from;
    struct sotto_conn *net; /* the worker's; NULL: closed, or finished */
    bool up;                /* the worker's: the core knows it */
    uint64_t written, told; /* the worker's: bytes of all time */
    bool is_behind;
    struct sotto_remote *next_behind;
    void *link; /* the core's */
};

/* --- batches --- */

static enum sotto_err append(struct batch **at, enum record_type type, void *who, const void *data,
                             size_t len)
{
    struct record head = {.who = who, .len = (uint32_t)len, .type = type};
    size_t room = data != NULL ? (len + 7) & ~(size_t)7 : 0;
    enum sotto_err e;

    if (*at == NULL && (*at = calloc(1, sizeof **at)) == NULL)
        return SOTTO_ERR_NOMEM;
    (*at)->bytes.cap = SIZE_MAX / 2;
    if ((e = sotto_buf_reserve(&(*at)->bytes, sizeof head + room)) != 0)
        return e;
    memcpy((*at)->bytes.p + (*at)->bytes.n, &head, sizeof head);
    if (room > 0)
        memcpy((*at)->bytes.p + (*at)->bytes.n + sizeof head, data, len);
    (*at)->bytes.n += sizeof head + room;
    return SOTTO_OK;
}

static bool has_bytes(enum record_type type)
{
    return type == UP || type == FRAME || type == SENT || type == WRITE;
}

/* The record at *at, which moves behind it; NULL: the end. */
static const struct record *next_record(const struct batch *b, size_t *at, struct record *ret)
{
    if (*at == b->bytes.n)
        return NULL;
    memcpy(ret, b->bytes.p + *at, sizeof *ret);
    *at += sizeof *ret + (has_bytes(ret->type) ? ((size_t)ret->len + 7) & ~(size_t)7 : 0);
    return ret;
}

static const uint8_t *bytes_of(const struct batch *b, size_t after, const struct record *r)
{
    return b->bytes.p + after - (((size_t)r->len + 7) & ~(size_t)7);
}

static void batch_free(struct batch *b)
{
    if (b == NULL)
        return;
    sotto_buf_free(&b->bytes);
    free(b);
}

static void queue_init(struct queue *q)
{
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->drained, NULL);
    q->last = &q->first;
}

static void queue_free(struct queue *q)
{
    while (q->first != NULL) {
        struct batch *b = q->first;

        q->first = b->next;
        batch_free(b);
    }
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->drained);
}

static void queue_put(struct queue *q, struct batch **b)
{
    (*b)->next = NULL;
    pthread_mutex_lock(&q->lock);
    q->waiting += (*b)->bytes.n;
    *q->last = *b;
    q->last = &(*b)->next;
    pthread_mutex_unlock(&q->lock);
    *b = NULL;
}

static struct batch *queue_take(struct queue *q)
{
    struct batch *b;

    pthread_mutex_lock(&q->lock);
    b = q->first;
    q->first = NULL;
    q->last = &q->first;
    pthread_mutex_unlock(&q->lock);
    return b;
}

static void queue_done(struct queue *q, size_t bytes)
{
    pthread_mutex_lock(&q->lock);
    q->waiting -= bytes;
    if (q->waiting < AHEAD_MAX / 2)
        pthread_cond_signal(&q->drained);
    pthread_mutex_unlock(&q->lock);
}

static void queue_wait(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->waiting > AHEAD_MAX && !q->over)
        pthread_cond_wait(&q->drained, &q->lock);
    pthread_mutex_unlock(&q->lock);
}

static void queue_end(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->over = true;
    pthread_cond_signal(&q->drained);
    pthread_mutex_unlock(&q->lock);
}

/* --- in a worker's thread: connections --- */

/* A record that cannot be kept would leave the core with a connection that is not as it thinks. */
static void out_of_memory(void)
{
    sotto_log_local("out of memory between threads; ending, as nothing is certain any more. What "
                    "was acknowledged is stored");
    abort();
}

static void tell(struct sotto_remote *r, enum record_type type, const void *data, size_t len)
{
    if (append(&r->w->telling, type, r, data, len) != 0)
        out_of_memory();
}

static void remote_free(struct sotto_remote *r)
{
    for (struct sotto_remote **at = &r->w->behind; r->is_behind; at = &(*at)->next_behind) {
        if (*at != r)
            continue;
        *at = r->next_behind;
        break;
    }
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        r->w->remotes = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    free(r);
}

static void net_gone(struct sotto_remote *r)
{
    r->net = NULL;
    sotto_gate_leave(r->w->all->gate, &r->from);
}

static void *on_accepted(void *ctx, struct sotto_conn *c, const char *address)
{
    struct worker *w = ctx;
    struct sotto_source from;
    struct sotto_remote *r;

    if (!sotto_gate_enter(w->all->gate, address, &from))
        return NULL;
    if ((r = calloc(1, sizeof *r)) == NULL) {
        sotto_gate_leave(w->all->gate, &from);
        return NULL;
    }
    r->w = w;
    r->from = from;
    r->net = c;
    r->next = w->remotes;
    if (r->next != NULL)
        r->next->prev = r;
    w->remotes = r;
    return r;
}

static void on_up(void *ctx, struct sotto_conn *c, const struct sotto_tls_info *info)
{
    struct sotto_remote *r = ctx;
    struct sotto_relay_peer peer = {.has_pin = info->has_peer_pin};

    memcpy(peer.exporter, info->exporter, sizeof peer.exporter);
    memcpy(peer.pin, info->peer_pin, sizeof peer.pin);
    snprintf(peer.address, sizeof peer.address, "%s", info->address);
    r->up = true;
    tell(r, UP, &peer, sizeof peer);
    sotto_wipe(&peer, sizeof peer);
}

static void on_frame(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len)
{
    tell(ctx, FRAME, body, len);
}

static void tell_sent(struct sotto_remote *r)
{
    uint64_t left = r->written - sotto_conn_pending(r->net);

    if (left - r->told < SENT_STEP)
        return;
    r->told = left;
    tell(r, SENT, &left, sizeof left);
}

static void on_writable(void *ctx, struct sotto_conn *c)
{
    tell_sent(ctx);
}

static void on_down(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                    const struct sotto_tls_info *info)
{
    struct sotto_remote *r = ctx;

    if (r->up) {
        sotto_log_event(why == SOTTO_ERR_TIMEOUT ? SOTTO_LOG_PEER : SOTTO_LOG_DEBUG, "disconnected",
                        "%s", detail);
    } else {
        sotto_log_event(SOTTO_LOG_PEER, "handshake", "%s", detail);
        sotto_gate_failed(r->w->all->gate);
    }
    net_gone(r);
    sotto_conn_free(c);
    if (r->up)
        tell(r, CLOSED, NULL, 0);
    else
        remote_free(r);
}

/* --- in a worker's thread: orders --- */

static void net_finish(struct sotto_remote *r)
{
    struct sotto_conn *c = r->net;

    net_gone(r);
    sotto_conn_finish(c);
    tell(r, CLOSED, NULL, 0);
}

static void net_write(struct sotto_remote *r, const uint8_t *data, size_t len)
{
    r->written += len;
    if (r->written - r->told >= SENT_STEP && !r->is_behind) {
        r->is_behind = true;
        r->next_behind = r->w->behind;
        r->w->behind = r;
        r->w->wrote = true;
    }
    if (sotto_conn_write(r->net, data, len) == 0)
        return;
    sotto_log_local("a connection was ended: its output could not be queued");
    sotto_conn_free(r->net);
    net_gone(r);
    tell(r, CLOSED, NULL, 0);
}

static void listeners_free(struct worker *w)
{
    for (size_t i = 0; i < w->all->listener_count; i++) {
        sotto_listener_free(w->listeners[i]);
        w->listeners[i] = NULL;
    }
}

static void use_tls(struct worker *w, struct sotto_tls *tls)
{
    for (size_t i = 0; i < w->all->listener_count; i++)
        if (w->listeners[i] != NULL)
            sotto_listener_set_tls(w->listeners[i], tls);
    sotto_tls_free(tls);
}

static void quit(struct worker *w)
{
    while (w->remotes != NULL) {
        struct sotto_remote *r = w->remotes;

        if (r->net != NULL && r->up)
            sotto_conn_finish(r->net);
        else
            sotto_conn_free(r->net);
        remote_free(r);
    }
    sotto_loop_stop(w->loop);
}

static void obey(struct worker *w, const struct record *o, const uint8_t *data)
{
    struct sotto_remote *r = o->who;

    switch (o->type) {
    case WRITE:
        if (r->net != NULL)
            net_write(r, data, o->len);
        break;
    case READ:
        if (r->net != NULL)
            sotto_conn_read(r->net, o->len != 0);
        break;
    case FINISH:
        if (r->net != NULL)
            net_finish(r);
        break;
    case RELEASE:
        remote_free(r);
        break;
    case USE_TLS:
        use_tls(w, o->who);
        break;
    case DEAF:
        listeners_free(w);
        break;
    case QUIT:
        quit(w);
        break;
    default:
        break;
    }
}

/* What was written in this turn leaves after it: another turn, to look. What does not leave then is
 * told when the connection is writable again. */
static void tell_behind(struct worker *w)
{
    struct sotto_remote **at = &w->behind;

    while (*at != NULL) {
        struct sotto_remote *r = *at;

        if (r->net != NULL)
            tell_sent(r);
        r->is_behind = r->net != NULL && r->written - r->told >= SENT_STEP;
        if (r->is_behind)
            at = &r->next_behind;
        else
            *at = r->next_behind;
    }
    if (w->wrote)
        sotto_loop_wake(w->loop);
    w->wrote = false;
}

static void on_turn(void *ctx)
{
    struct worker *w = ctx;
    struct batch *b = queue_take(&w->to_worker), *next;

    for (; b != NULL; b = next) {
        struct record r;
        size_t at = 0;

        next = b->next;
        while (next_record(b, &at, &r) != NULL)
            obey(w, &r, bytes_of(b, at, &r));
        batch_free(b);
    }
    tell_behind(w);
    if (w->telling == NULL)
        return;
    queue_put(&w->to_core, &w->telling);
    sotto_loop_wake(w->all->core);
    queue_wait(&w->to_core);
}

static void *work(void *ctx)
{
    struct worker *w = ctx;

    sotto_loop_run(w->loop);
    listeners_free(w);
    sotto_idle_free(w->idle);
    sotto_loop_free(w->loop);
    return NULL;
}

/* --- in the core's thread --- */

static void order(struct worker *w, enum record_type type, void *who, size_t len)
{
    if (append(&w->writing, type, who, NULL, len) != 0)
        out_of_memory();
}

enum sotto_err sotto_remote_write(struct sotto_remote *r, const void *data, size_t len)
{
    return append(&r->w->writing, WRITE, r, data, len);
}

void sotto_remote_read(struct sotto_remote *r, bool on)
{
    order(r->w, READ, r, on);
}

void sotto_remote_finish(struct sotto_remote *r)
{
    r->link = NULL;
    order(r->w, FINISH, r, 0);
}

static void hear(struct sotto_workers *all, const struct record *t, const uint8_t *data)
{
    struct sotto_remote *r = t->who;
    struct sotto_relay_peer peer;
    uint64_t bytes;

    switch (t->type) {
    case UP:
        memcpy(&peer, data, sizeof peer);
        if ((r->link = all->ops.up(all->ctx, r, &peer)) == NULL)
            sotto_remote_finish(r);
        sotto_wipe(&peer, sizeof peer);
        break;
    case FRAME:
        if (r->link != NULL)
            all->ops.frame(r->link, data, t->len);
        break;
    case SENT:
        memcpy(&bytes, data, sizeof bytes);
        if (r->link != NULL)
            all->ops.sent(r->link, bytes);
        break;
    case CLOSED:
        if (r->link != NULL)
            all->ops.closed(r->link);
        order(r->w, RELEASE, r, 0);
        break;
    default:
        break;
    }
}

void sotto_workers_take(struct sotto_workers *all)
{
    for (size_t i = 0; all != NULL && !all->quitting && i < all->count; i++) {
        struct queue *q = &all->workers[i].to_core;
        struct batch *b = queue_take(q), *next;

        for (; b != NULL; b = next) {
            struct record r;
            size_t at = 0;

            next = b->next;
            while (next_record(b, &at, &r) != NULL)
                hear(all, &r, bytes_of(b, at, &r));
            queue_done(q, b->bytes.n);
            batch_free(b);
        }
    }
}

void sotto_workers_give(struct sotto_workers *all)
{
    for (size_t i = 0; all != NULL && !all->quitting && i < all->count; i++) {
        struct worker *w = &all->workers[i];

        if (w->writing == NULL)
            continue;
        queue_put(&w->to_worker, &w->writing);
        sotto_loop_wake(w->loop);
    }
}

void sotto_workers_set_tls(struct sotto_workers *all, struct sotto_tls *tls)
{
    for (size_t i = 0; all != NULL && i < all->count; i++) {
        sotto_tls_ref(tls);
        order(&all->workers[i], USE_TLS, tls, 0);
    }
    sotto_workers_give(all);
}

void sotto_workers_deaf(struct sotto_workers *all)
{
    for (size_t i = 0; all != NULL && i < all->count; i++)
        order(&all->workers[i], DEAF, NULL, 0);
    sotto_workers_give(all);
}

static void worker_free(struct worker *w)
{
    batch_free(w->telling);
    batch_free(w->writing);
    queue_free(&w->to_core);
    queue_free(&w->to_worker);
    free(w->listeners);
}

void sotto_workers_quit(struct sotto_workers *all)
{
    if (all == NULL || all->quitting)
        return;
    for (size_t i = 0; i < all->count; i++)
        if (all->workers[i].started)
            order(&all->workers[i], QUIT, NULL, 0);
    sotto_workers_give(all);
    all->quitting = true; /* from here on their loops may be gone */
}

void sotto_workers_stop(struct sotto_workers *all)
{
    if (all == NULL)
        return;
    sotto_workers_quit(all);
    for (size_t i = 0; i < all->count; i++) {
        struct worker *w = &all->workers[i];

        if (!w->started)
            continue;
        queue_end(&w->to_core);
        pthread_join(w->thread, NULL);
    }
    for (size_t i = 0; i < all->count; i++)
        worker_free(&all->workers[i]);
    free(all);
}

static enum sotto_err worker_start(struct worker *w, struct sotto_listener *const *listeners,
                                   const struct sotto_listen_limits *limits)
{
    static const struct sotto_listener_ops ops = {
        .conn = {.up = on_up, .frame = on_frame, .writable = on_writable, .down = on_down},
        .accepted = on_accepted,
    };
    enum sotto_err e = SOTTO_OK;

    w->listeners = calloc(w->all->listener_count + 1, sizeof(struct sotto_listener *));
    w->loop = sotto_loop_new();
    if (w->listeners == NULL || w->loop == NULL ||
        (w->idle = sotto_before_sleep(w->loop, on_turn, w)) == NULL)
        e = SOTTO_ERR_NOMEM;
    for (size_t i = 0; e == 0 && i < w->all->listener_count; i++)
        e = sotto_listen_also(w->loop, listeners[i], limits, &ops, w, &w->listeners[i]);
    if (e == 0 && (e = sotto_thread_start(&w->thread, work, w)) == 0) {
        w->started = true;
        return SOTTO_OK;
    }
    if (w->listeners != NULL)
        listeners_free(w);
    sotto_idle_free(w->idle);
    sotto_loop_free(w->loop);
    return e;
}

enum sotto_err sotto_workers_start(size_t count, struct sotto_loop *core,
                                   struct sotto_listener *const *listeners, size_t listener_count,
                                   struct sotto_gate *gate,
                                   const struct sotto_listen_limits *limits,
                                   const struct sotto_worker_ops *ops, void *ctx,
                                   struct sotto_workers **ret)
{
    struct sotto_workers *all = calloc(1, sizeof *all + count * sizeof all->workers[0]);
    enum sotto_err e = SOTTO_OK;

    if (all == NULL)
        return SOTTO_ERR_NOMEM;
    all->count = count;
    all->listener_count = listener_count;
    all->core = core;
    all->gate = gate;
    all->ops = *ops;
    all->ctx = ctx;
    for (size_t i = 0; i < count; i++) {
        all->workers[i].all = all;
        queue_init(&all->workers[i].to_core);
        queue_init(&all->workers[i].to_worker);
    }
    for (size_t i = 0; e == 0 && i < count; i++)
        e = worker_start(&all->workers[i], listeners, limits);
    if (e != 0) {
        sotto_workers_stop(all);
        return e;
    }
    *ret = all;
    return SOTTO_OK;
}
