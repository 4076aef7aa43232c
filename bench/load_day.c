/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An hour of many people: they are there and mostly silent, some write, to people who are there and
 * to people who are away, some go and come again. Everything on a timetable.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"

#define SIGN_IN_SECONDS 300
#define HOUR_NS         3600e9
#define PING_NS         60e9 /* of each connection, as clients do */
#define PING_ID         7
#define STEP_NS         20000000ull

/* Nanoseconds of all threads; ticks are too coarse for a relay that has little to do. */
static uint64_t server_cpu_ns(pid_t pid)
{
    char path[300];
    uint64_t sum = 0, ns;
    const struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    if (pid == 0 || (tasks = opendir(path)) == NULL)
        return 0;
    while ((entry = readdir(tasks)) != NULL) {
        FILE *f;

        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
        if ((f = fopen(path, "r")) == NULL)
            continue;
        if (fscanf(f, "%" SCNu64, &ns) == 1)
            sum += ns;
        fclose(f);
    }
    closedir(tasks);
    return sum;
}

/* --- what is done --- */

static bool say(struct load *l, uint64_t k)
{
    struct load_flow *f = &l->flows[k % l->flow_count];

    if (f->from->stage != LOAD_READY)
        return false;
    load_flow_send(f, load_now_ns());
    return true;
}

static bool ping(struct load *l, uint64_t k)
{
    const struct sotto_request q = {.type = SOTTO_REQ_PING, .id = PING_ID};
    struct load_conn *c = &l->conns[k % l->conn_count];
    SOTTO_AUTO_BUF buf = SOTTO_BUF(LOAD_FRAME);

    if (c->stage != LOAD_READY)
        return false;
    if (sotto_request_encode(&q, &buf) != 0)
        load_die("a ping cannot be encoded");
    load_send(c, buf.p, buf.n);
    return true;
}

static bool come_again(struct load *l, uint64_t k)
{
    struct load_conn *c = &l->conns[k % l->conn_count];

    if (c->stage != LOAD_READY)
        return false;
    load_part(c);
    load_open(c);
    return true;
}

/* --- when --- */

static struct series {
    bool (*run)(struct load *l, uint64_t k);
    double every_ns, due;
    uint64_t count;   /* of times it was due */
    unsigned long ok; /* of those that could be done */
} series[] = {{.run = say}, {.run = ping}, {.run = come_again}};
#define SERIES (sizeof series / sizeof series[0])

static void start(struct series *s, double every_ns, double now)
{
    s->every_ns = every_ns;
    s->due = now + every_ns / 2;
}

/* Half of what is written goes to people who are away, if there are any. */
static void flows_make(struct load *l)
{
    l->flow_count = l->conn_count;
    l->flows = load_alloc(l->flow_count, sizeof *l->flows);
    for (size_t i = 0; i < l->flow_count; i++) {
        struct relay_person to = l->conns[(i + 1) % l->conn_count].me;

        if (i % 2 == 1 && l->o.boxes > 0)
            relay_person_make(l->o.box0 + (uint32_t)(i % l->o.boxes), &to);
        load_flow_make(l, i, &l->conns[i], &to);
    }
}

static void timetable(struct load *l, double seconds)
{
    double now = (double)load_now_ns(), end = now + seconds * 1e9;

    start(&series[0], HOUR_NS / (double)l->o.rate, now);
    start(&series[1], PING_NS / (double)l->conn_count, now);
    start(&series[2], HOUR_NS / (double)l->o.sign_ins, now);
    for (; now < end; now = (double)load_now_ns()) {
        double next = now + STEP_NS;

        for (size_t i = 0; i < SERIES; i++) {
            struct series *s = &series[i];

            while (s->due <= now) {
                s->ok += s->run(l, s->count++);
                s->due += s->every_ns;
            }
            next = s->due < next ? s->due : next;
        }
        load_step(l, (uint64_t)(next > now ? next - now : 0));
    }
}

void load_day(struct load *l)
{
    uint64_t began, cpu;
    double seconds;

    load_people(l, l->o.count);
    flows_make(l);
    if (!load_open_range(l, 0, l->conn_count, SIGN_IN_SECONDS))
        load_die("%zu of %zu could sign in", l->ready, l->conn_count);
    load_run(l, l->o.settle);
    began = load_now_ns();
    cpu = server_cpu_ns(l->o.server);
    timetable(l, l->o.seconds);
    cpu = server_cpu_ns(l->o.server) - cpu;
    seconds = (double)(load_now_ns() - began) / 1e9;
    load_head(l, "day");
    printf("online=%zu messages=%lu pings=%lu sign_ins=%lu nack=%lu requests=%lu seconds=%.0f "
           "srv_cpu_ms=%.1f srv_cpu_pct=%.3f rss_kb=%ld\n",
           l->conn_count, series[0].ok, series[1].ok, series[2].ok, l->total.refused,
           l->total.requests, seconds, (double)cpu / 1e6, (double)cpu / seconds / 1e7,
           load_rss_kb(l->o.server));
}
