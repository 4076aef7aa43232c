/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends online: throughput with a closed loop, latency with an open one. */
#include <stdio.h>

#include "load.h"

#define SIGN_IN_SECONDS 60
#define LATENCIES       16000000
#define SLICES_MAX      60
#define QUIET           0.2 /* of a core that others may use within a slice */
#define QUIET_WANTED    3

static void open_all(struct load *l)
{
    if (!load_open_range(l, 0, l->conn_count, SIGN_IN_SECONDS))
        load_die("%zu of %zu could sign in", l->ready, l->conn_count);
}

static void take(struct load *l, struct load_moment *ret)
{
    load_moment_take(l->o.server, ret);
    ret->messages = (double)l->total.delivered;
}

static double per_million(double cpu, const struct load_moment *span)
{
    return span->messages > 0 ? cpu / span->messages * 1e6 : 0;
}

struct slice {
    struct load_moment span;
    size_t first, end; /* of the latencies */
};

/* One second each. */
static size_t measure(struct load *l, struct slice slices[SLICES_MAX])
{
    size_t n = l->o.seconds < 1 ? 1 : l->o.seconds > SLICES_MAX ? SLICES_MAX : (size_t)l->o.seconds;

    l->measuring = true;
    for (size_t i = 0; i < n; i++) {
        struct load_moment began, ended;

        slices[i] = (struct slice){.first = l->latencies.count};
        take(l, &began);
        load_run(l, l->o.seconds < 1 ? l->o.seconds : 1);
        take(l, &ended);
        slices[i].end = l->latencies.count;
        load_moment_add(&slices[i].span, &began, &ended);
    }
    l->measuring = false;
    return n;
}

/* Slices in which others used more than a fifth of a core are left out, when three remain. */
static size_t keep_quiet(struct load *l, const struct slice *slices, size_t n,
                         struct load_moment *ret_sum)
{
    static const struct load_moment none;
    size_t quiet = 0, used = 0, kept = 0;

    for (size_t i = 0; i < n; i++)
        quiet += load_moment_others(&slices[i].span) <= QUIET;
    for (size_t i = 0; i < n; i++) {
        if (quiet >= QUIET_WANTED && load_moment_others(&slices[i].span) > QUIET)
            continue;
        used++;
        load_moment_add(ret_sum, &none, &slices[i].span);
        kept = load_latencies_keep(&l->latencies, kept, slices[i].first, slices[i].end);
    }
    l->latencies.count = kept;
    return used;
}

void load_w1(struct load *l)
{
    struct slice slices[SLICES_MAX];
    struct load_moment t = {.seconds = 0};
    size_t n, used;
    long rss;

    load_pairs(l, l->o.pairs);
    open_all(l);
    load_latencies_init(&l->latencies, LATENCIES);
    l->gate = LOAD_BOTH;
    l->pumping = true;
    for (size_t i = 0; i < l->conn_count; i++)
        load_mark_dirty(&l->conns[i]);
    load_run(l, l->o.warm);
    n = measure(l, slices);
    rss = load_rss_kb(l->o.server);
    used = keep_quiet(l, slices, n, &t);
    load_settle(l);
    load_latencies_sort(&l->latencies);
    load_head(l, "w1");
    printf("msgs_per_s=%.0f srv_cpu_s_per_M=%.3f gen_cpu_s_per_M=%.3f srv_cpu_pct=%.0f "
           "gen_cpu_pct=%.0f other_cpu_pct=%.0f slices=%zu of=%zu p50_ms=%.2f p99_ms=%.2f "
           "p999_ms=%.2f disk_B_per_msg=%.0f nack=%lu ooo=%lu dup=%lu lost=%ld stale=%lu "
           "requests=%lu closed=%zu rss_kb=%ld\n",
           t.messages / t.seconds, per_million(t.server_cpu, &t), per_million(t.own_cpu, &t),
           t.server_cpu / t.seconds * 100, t.own_cpu / t.seconds * 100,
           load_moment_others(&t) / t.seconds * 100, used, n, load_latencies_ms(&l->latencies, .5),
           load_latencies_ms(&l->latencies, .99), load_latencies_ms(&l->latencies, .999),
           t.messages > 0 ? t.written / t.messages : 0, l->total.refused, l->total.ooo,
           l->total.dup, (long)(l->total.sent - l->total.delivered), l->total.stale,
           l->total.requests, l->closed, rss);
}

/* Message k is due at t0 + k / rate, whatever became of those before: latency counts from then. */
static void timetable(struct load *l, struct load_moment *ret_began)
{
    uint64_t gap = 1000000000ull / l->o.rate, t0 = load_now_ns() + 1000000;
    uint64_t warm = (uint64_t)((double)l->o.rate * l->o.warm);
    uint64_t total = warm + (uint64_t)((double)l->o.rate * l->o.seconds), k = 0;

    while (k < total) {
        uint64_t now = load_now_ns(), due = t0 + k * gap;

        if (k == warm && !l->measuring) {
            take(l, ret_began);
            l->measuring = true;
        }
        if (now < due) {
            load_step(l, due - now);
            continue;
        }
        if (l->flows[k % l->flow_count].from->stage != LOAD_READY)
            load_die("a sender has lost its connection");
        load_flow_send(&l->flows[k % l->flow_count], due);
        if (load_now_ns() < t0 + ++k * gap)
            load_step(l, 0);
    }
}

void load_w2(struct load *l)
{
    struct load_moment began, ended, t = {.seconds = 0};
    const struct load_latencies *lat = &l->latencies;

    load_pairs(l, l->o.pairs);
    open_all(l);
    load_latencies_init(&l->latencies,
                        (size_t)((double)l->o.rate * (l->o.seconds + l->o.warm + 2)));
    timetable(l, &began);
    take(l, &ended);
    load_moment_add(&t, &began, &ended);
    load_settle(l);
    load_latencies_sort(&l->latencies);
    load_head(l, "w2");
    printf("rate=%.0f p50_ms=%.3f p90_ms=%.3f p99_ms=%.3f p999_ms=%.3f max_ms=%.3f "
           "srv_cpu_s_per_M=%.3f gen_cpu_s_per_M=%.3f srv_cpu_pct=%.1f gen_cpu_pct=%.1f "
           "other_cpu_pct=%.1f disk_B_per_msg=%.0f nack=%lu lost=%ld dup=%lu ooo=%lu\n",
           t.messages / t.seconds, load_latencies_ms(lat, .5), load_latencies_ms(lat, .9),
           load_latencies_ms(lat, .99), load_latencies_ms(lat, .999), load_latencies_ms(lat, 1),
           per_million(t.server_cpu, &t), per_million(t.own_cpu, &t),
           t.server_cpu / t.seconds * 100, t.own_cpu / t.seconds * 100,
           load_moment_others(&t) / t.seconds * 100, t.messages > 0 ? t.written / t.messages : 0,
           l->total.refused, (long)(l->total.sent - l->total.delivered), l->total.dup,
           l->total.ooo);
}
