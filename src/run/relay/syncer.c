/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/syncer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/thread.h"

enum state { IDLE, ASKED, OVER };

struct sotto_syncer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic int state; /* enum state; written under the lock */
    bool quitting;
    enum sotto_err result;
    struct sotto_loop *loop;
    sotto_sync_fn *sync;
    void *ctx;
};

static void *work(void *ctx)
{
    struct sotto_syncer *s = ctx;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        enum sotto_err e;

        while (s->state != ASKED && !s->quitting)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->state != ASKED)
            break;
        pthread_mutex_unlock(&s->lock);
        e = s->sync(s->ctx);
        pthread_mutex_lock(&s->lock);
        s->result = e;
        s->state = OVER;
        pthread_cond_broadcast(&s->changed);
        sotto_loop_wake(s->loop);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

enum sotto_err sotto_syncer_start(struct sotto_loop *loop, sotto_sync_fn *sync, void *ctx,
                                  struct sotto_syncer **ret)
{
    struct sotto_syncer *s = calloc(1, sizeof *s);
    enum sotto_err e;

    if (s == NULL)
        return SOTTO_ERR_NOMEM;
    s->loop = loop;
    s->sync = sync;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if ((e = sotto_thread_start(&s->thread, work, s)) != 0) {
        pthread_mutex_destroy(&s->lock);
        pthread_cond_destroy(&s->changed);
        free(s);
        return e;
    }
    *ret = s;
    return SOTTO_OK;
}

void sotto_syncer_go(struct sotto_syncer *s)
{
    pthread_mutex_lock(&s->lock);
    s->state = ASKED;
    pthread_mutex_unlock(&s->lock);
    pthread_cond_signal(&s->changed);
}

bool sotto_syncer_busy(const struct sotto_syncer *s)
{
    return s->state != IDLE;
}

bool sotto_syncer_take(struct sotto_syncer *s, enum sotto_err *ret)
{
    if (s->state != OVER)
        return false;
    pthread_mutex_lock(&s->lock);
    *ret = s->result;
    s->state = IDLE;
    pthread_mutex_unlock(&s->lock);
    return true;
}

void sotto_syncer_wait(struct sotto_syncer *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->state == ASKED)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void sotto_syncer_stop(struct sotto_syncer *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->quitting = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}
