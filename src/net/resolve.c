/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "net/loop_internal.h"

/*
 * Shared by the loop's side and the thread, freed by whoever lets go last. The lock keeps the
 * thread from waking a handle that the loop's side has closed meanwhile.
 */
struct sotto_lookup {
    uv_async_t done;
    pthread_mutex_t lock;
    atomic_int refs;
    bool closed; /* under the lock */
    bool finished;
    sotto_lookup_fn *fn;
    void *ctx;
    struct sotto_resolved result; /* the thread's until it woke the loop */
    uint16_t port;
    char host[];
};

static void take_addresses(const struct addrinfo *list, struct sotto_resolved *ret)
{
    for (const struct addrinfo *a = list; a != NULL && ret->count < SOTTO_RESOLVE_MAX;
         a = a->ai_next) {
        if (sotto_address_from(a->ai_addr, &ret->addresses[ret->count]))
            ret->count++;
    }
}

static void resolve(const char *host, uint16_t port, int flags, struct sotto_resolved *ret)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[8];
    int r;

    *ret = (struct sotto_resolved){0};
    snprintf(service, sizeof service, "%u", (unsigned)port);
    r = getaddrinfo(host, service, &hints, &list);
    if (r == 0) {
        take_addresses(list, ret);
        freeaddrinfo(list);
    }
    if (ret->count > 0)
        return;
    ret->err = r == EAI_MEMORY ? SOTTO_ERR_NOMEM : SOTTO_ERR_DNS;
    snprintf(ret->why, sizeof ret->why, "%s",
             r == 0            ? "no address"
             : r == EAI_SYSTEM ? strerror(errno)
                               : gai_strerror(r));
}

void sotto_resolve_blocking(const char *host, uint16_t port, bool passive,
                            struct sotto_resolved *ret)
{
    resolve(host, port, passive ? AI_PASSIVE : 0, ret);
}

static void lookup_unref(struct sotto_lookup *k)
{
    if (atomic_fetch_sub(&k->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static void *lookup_thread(void *arg)
{
    struct sotto_lookup *k = arg;
    struct sotto_resolved result;

    resolve(k->host, k->port, 0, &result);
    pthread_mutex_lock(&k->lock);
    if (!k->closed) {
        k->result = result;
        k->finished = true;
        uv_async_send(&k->done);
    }
    pthread_mutex_unlock(&k->lock);
    lookup_unref(k);
    return NULL;
}

static void on_closed(uv_handle_t *h)
{
    lookup_unref(h->data);
}

static void lookup_close(struct sotto_lookup *k)
{
    pthread_mutex_lock(&k->lock);
    k->closed = true;
    pthread_mutex_unlock(&k->lock);
    uv_close((uv_handle_t *)&k->done, on_closed);
}

static void on_done(uv_async_t *done)
{
    struct sotto_lookup *k = done->data;
    bool finished;

    pthread_mutex_lock(&k->lock);
    finished = k->finished;
    pthread_mutex_unlock(&k->lock);
    if (!finished)
        return;
    lookup_close(k);
    k->fn(k->ctx, &k->result);
}

void sotto_lookup_cancel(struct sotto_lookup *k)
{
    if (k != NULL)
        lookup_close(k);
}

enum sotto_err sotto_lookup_start(struct sotto_loop *l, const char *host, uint16_t port,
                                  sotto_lookup_fn *fn, void *ctx, struct sotto_resolved *ret_now,
                                  struct sotto_lookup **ret)
{
    size_t len = strlen(host) + 1;
    struct sotto_resolved number;
    struct sotto_lookup *k;
    pthread_t thread;

    resolve(host, port, AI_NUMERICHOST, &number);
    if (number.err == 0) {
        *ret_now = number;
        *ret = NULL;
        return SOTTO_OK;
    }
    if ((k = calloc(1, sizeof *k + len)) == NULL)
        return SOTTO_ERR_NOMEM;
    memcpy(k->host, host, len);
    k->port = port;
    k->fn = fn;
    k->ctx = ctx;
    atomic_init(&k->refs, 1);
    if (pthread_mutex_init(&k->lock, NULL) != 0) {
        free(k);
        return SOTTO_ERR_NOMEM;
    }
    if (uv_async_init(sotto_loop_uv(l), &k->done, on_done) != 0) {
        lookup_unref(k);
        return SOTTO_ERR_NOMEM;
    }
    k->done.data = k;
    sotto_loop_touch(l);
    atomic_fetch_add(&k->refs, 1); /* the thread's */
    if (sotto_thread_start(&thread, lookup_thread, k) != 0) {
        lookup_unref(k);
        lookup_close(k);
        return SOTTO_ERR_NOMEM;
    }
    pthread_detach(thread);
    *ret = k;
    return SOTTO_OK;
}
