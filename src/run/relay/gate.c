/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/gate.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"

struct sotto_gate {
    pthread_mutex_t lock;
    const struct sotto_env *env;
    struct sotto_sources *sources;
    struct sotto_gate_limits limits;
    size_t open;
    uint64_t turned_away, failed;
};

enum sotto_err sotto_gate_new(const struct sotto_env *env, struct sotto_gate **ret)
{
    struct sotto_gate *g = calloc(1, sizeof *g);
    enum sotto_err e;

    if (g == NULL)
        return SOTTO_ERR_NOMEM;
    if ((e = sotto_sources_new(env, &g->sources)) != 0) {
        free(g);
        return e;
    }
    g->env = env;
    pthread_mutex_init(&g->lock, NULL);
    *ret = g;
    return SOTTO_OK;
}

void sotto_gate_free(struct sotto_gate *g)
{
    if (g == NULL)
        return;
    sotto_sources_free(g->sources);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void sotto_gate_limit(struct sotto_gate *g, const struct sotto_gate_limits *limits)
{
    pthread_mutex_lock(&g->lock);
    g->limits = *limits;
    pthread_mutex_unlock(&g->lock);
}

static bool may_log(struct sotto_gate *g, const struct sotto_source *from, const char *reason)
{
    return sotto_sources_may_log(g->sources, from, reason, sotto_mono_ms(g->env));
}

static bool enter(struct sotto_gate *g, const char *address, const struct sotto_source *from)
{
    enum sotto_err e;

    if (g->open >= g->limits.open) {
        if (may_log(g, from, "all"))
            sotto_log_event(SOTTO_LOG_PEER, "turned-away",
                            "%s was turned away: %zu connections are open (max_connections)",
                            address, g->open);
        return false;
    }
    e = sotto_sources_enter(g->sources, from, &g->limits.source, sotto_mono_ms(g->env));
    if (e == SOTTO_ERR_FULL && may_log(g, from, "connections"))
        sotto_log_event(SOTTO_LOG_PEER, "turned-away",
                        "%s was turned away: %u connections of its are open "
                        "(connections_per_address)",
                        address, sotto_sources_connections(g->sources, from));
    if (e == SOTTO_ERR_AGAIN && may_log(g, from, "handshakes"))
        sotto_log_event(SOTTO_LOG_PEER, "turned-away",
                        "%s was turned away: %u new connections in a minute "
                        "(handshakes_per_minute)",
                        address, g->limits.source.handshakes_per_minute);
    return e == 0;
}

bool sotto_gate_enter(struct sotto_gate *g, const char *address, struct sotto_source *ret_from)
{
    bool may;

    sotto_source_of(address, ret_from);
    pthread_mutex_lock(&g->lock);
    may = enter(g, address, ret_from);
    g->open += may;
    g->turned_away += !may;
    pthread_mutex_unlock(&g->lock);
    return may;
}

void sotto_gate_leave(struct sotto_gate *g, const struct sotto_source *from)
{
    pthread_mutex_lock(&g->lock);
    sotto_sources_leave(g->sources, from);
    g->open--;
    pthread_mutex_unlock(&g->lock);
}

size_t sotto_gate_open(struct sotto_gate *g)
{
    size_t n;

    pthread_mutex_lock(&g->lock);
    n = g->open;
    pthread_mutex_unlock(&g->lock);
    return n;
}

size_t sotto_gate_most(struct sotto_gate *g)
{
    size_t n;

    pthread_mutex_lock(&g->lock);
    n = g->limits.open;
    pthread_mutex_unlock(&g->lock);
    return n;
}

uint64_t sotto_gate_turned_away(struct sotto_gate *g)
{
    uint64_t n;

    pthread_mutex_lock(&g->lock);
    n = g->turned_away;
    g->turned_away = 0;
    pthread_mutex_unlock(&g->lock);
    return n;
}

void sotto_gate_failed(struct sotto_gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->failed++;
    pthread_mutex_unlock(&g->lock);
}

uint64_t sotto_gate_failures(struct sotto_gate *g)
{
    uint64_t n;

    pthread_mutex_lock(&g->lock);
    n = g->failed;
    g->failed = 0;
    pthread_mutex_unlock(&g->lock);
    return n;
}
