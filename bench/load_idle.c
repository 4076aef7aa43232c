/* SPDX-License-Identifier: Apache-2.0 */
/* Connections without messages: what one costs while it is there, and what signing in costs. */
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

#define FIRST_SHARE   5 /* a fifth of the connections before the slope is taken */
#define FIRST_SECONDS 120
#define ALL_SECONDS   300
#define IDLE_SECONDS  5
#define SIGN_IN_LIMIT 60000000000ull
#define PEOPLE        1000 /* who sign in again and again */
#define STEP_NS       10000000ull

void load_w4(struct load *l)
{
    struct load_moment began, all, idle;
    size_t count = l->o.count, first = count / FIRST_SHARE, ready_first;
    long rss_none, rss_first, rss_all;
    bool ok;
    double seconds;

    load_people(l, count);
    rss_none = load_rss_kb(l->o.server);
    load_moment_take(l->o.server, &began);
    ok = load_open_range(l, 0, first, FIRST_SECONDS);
    load_run(l, l->o.settle / 2);
    rss_first = load_rss_kb(l->o.server);
    ready_first = l->ready;
    ok = load_open_range(l, first, count, ALL_SECONDS) && ok;
    seconds = (double)load_now_ns() / 1e9 - began.seconds - l->o.settle / 2;
    load_run(l, l->o.settle);
    rss_all = load_rss_kb(l->o.server);
    load_moment_take(l->o.server, &all);
    load_run(l, l->o.settle < IDLE_SECONDS ? l->o.settle : IDLE_SECONDS);
    load_moment_take(l->o.server, &idle);
    load_head(l, "w4");
    printf("ready=%zu closed=%zu kb_per_conn=%.1f slope_kb=%.1f rss0_kb=%ld rss_first_kb=%ld "
           "rss_end_kb=%ld login_s=%.1f idle_cpu_pct=%.2f login_cpu_ms=%.3f ok=%d\n",
           l->ready, l->closed, (double)(rss_all - rss_none) / (double)count,
           (double)(rss_all - rss_first) / (double)(count > ready_first ? count - ready_first : 1),
           rss_none, rss_first, rss_all, seconds,
           (idle.server_cpu - all.server_cpu) / (idle.seconds - all.seconds) * 100,
           (all.server_cpu - began.server_cpu) * 1000 / (double)(l->ready > 0 ? l->ready : 1),
           ok && l->closed == 0);
}

/* Ends those that are ready; returns how many are left of the n. */
static size_t leave_ready(struct load *l, size_t *live, size_t n)
{
    for (size_t i = 0; i < n;) {
        struct load_conn *c = &l->conns[live[i]];

        if (c->stage == LOAD_READY)
            load_part(c);
        if (c->stage == LOAD_CLOSED)
            live[i] = live[--n];
        else
            i++;
    }
    return n;
}

void load_w5(struct load *l)
{
    size_t count = l->o.count, next = 0, live_count = 0;
    size_t *live = load_alloc(l->o.at_once, sizeof *live);
    struct load_moment began, ended;
    uint64_t until = load_now_ns() + SIGN_IN_LIMIT;
    double seconds, own, ready;

    load_people(l, count);
    for (size_t i = PEOPLE; i < count; i++)
        l->conns[i].me = l->conns[i % PEOPLE].me;
    load_moment_take(l->o.server, &began);
    while ((next < count || live_count > 0) && load_now_ns() < until) {
        while (live_count < l->o.at_once && next < count) {
            live[live_count++] = next;
            load_open(&l->conns[next++]);
        }
        load_step(l, STEP_NS);
        live_count = leave_ready(l, live, live_count);
    }
    load_moment_take(l->o.server, &ended);
    seconds = ended.seconds - began.seconds;
    own = ended.own_cpu - began.own_cpu;
    load_run(l, .5); /* the relay closes its ends */
    load_moment_take(l->o.server, &ended);
    free(live);
    ready = l->ready > 0 ? (double)l->ready : 1;
    load_head(l, "w5");
    printf("conns=%zu ok=%zu conn_per_s=%.0f srv_ms_per_conn=%.3f gen_ms_per_conn=%.3f "
           "srv_cpu_pct=%.0f secs=%.1f\n",
           next, l->ready, (double)l->ready / seconds,
           (ended.server_cpu - began.server_cpu) * 1000 / ready, own * 1000 / ready,
           (ended.server_cpu - began.server_cpu) / seconds * 100, seconds);
}
