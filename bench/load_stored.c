/* SPDX-License-Identifier: Apache-2.0 */
/* The receiver is away: storing, draining, and what is left after the relay was killed. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define SIGN_IN_SECONDS 60
#define STORE_NS        120000000000ull
#define DRAIN_NS        180000000000ull
#define STILL_NS        10000000000ull /* nothing has come for that long: the rest is lost */
#define LAST_ACKS_NS    500000000ull
#define STEP_NS         10000000ull
#define SHORT_NS        1000000ull
#define BEYOND          100000 /* W6: more messages than the relay will live to take */

/* The receiver (connection 0) has been here and is away. */
static void receiver_leaves(struct load *l)
{
    if (!load_open_range(l, 0, 1, SIGN_IN_SECONDS))
        load_die("the receiver could not sign in");
    load_leave(&l->conns[0]);
    load_run(l, .2);
}

static void senders_come(struct load *l)
{
    if (!load_open_range(l, 1, l->conn_count, SIGN_IN_SECONDS))
        load_die("a sender could not sign in");
}

static bool senders_there(const struct load *l)
{
    for (size_t i = 1; i < l->conn_count; i++)
        if (l->conns[i].stage != LOAD_READY)
            return false;
    return true;
}

static void start_storing(struct load *l)
{
    l->gate = LOAD_STORED;
    l->pumping = true;
    for (size_t i = 1; i < l->conn_count; i++)
        load_mark_dirty(&l->conns[i]);
}

/* Until all has come that is to come; returns the seconds from the first byte of the connection to
 * the last message. */
static double drain(struct load *l, uint64_t count)
{
    uint64_t began = load_now_ns(), now = began;

    l->first_arrival_ns = 0;
    l->last_arrival_ns = began;
    load_open(&l->conns[0]);
    while (l->total.delivered < count && l->conns[0].stage != LOAD_CLOSED &&
           now - l->last_arrival_ns < STILL_NS && now - began < DRAIN_NS) {
        load_step(l, STEP_NS);
        now = load_now_ns();
    }
    return (double)(l->last_arrival_ns - began) / 1e9;
}

/* What was acknowledged must not come again. */
static void come_back(struct load *l)
{
    load_leave(&l->conns[0]);
    if (!load_open_range(l, 0, 1, SIGN_IN_SECONDS))
        load_die("the receiver could not sign in again");
    load_run(l, .3);
    load_leave(&l->conns[0]);
}

void load_w3(struct load *l)
{
    struct load_moment before, stored, calm, drained;
    uint64_t until, began, took;
    double drain_s;

    load_crowd(l, l->o.senders);
    l->limit = l->o.count / l->o.senders;
    receiver_leaves(l);
    senders_come(l);
    load_moment_take(l->o.server, &before);
    began = load_now_ns();
    until = began + STORE_NS;
    start_storing(l);
    while (l->total.acked + l->total.refused < l->limit * l->o.senders && senders_there(l) &&
           load_now_ns() < until)
        load_step(l, STEP_NS);
    took = load_now_ns() - began;
    load_moment_take(l->o.server, &stored);
    l->pumping = false;
    for (size_t i = 1; i < l->conn_count; i++)
        load_leave(&l->conns[i]);
    load_run(l, 1);
    load_moment_take(l->o.server, &calm);
    began = load_now_ns();
    drain_s = drain(l, l->total.acked);
    load_run(l, .3);
    load_moment_take(l->o.server, &drained);
    come_back(l);
    load_head(l, "w3");
    printf("senders=%u count=%lu acked=%lu nack=%lu store_s=%.3f store_per_s=%.0f drain_s=%.3f "
           "drain_per_s=%.0f first_ms=%.1f got=%lu lost=%ld dup=%lu ooo=%lu store_cpu_s=%.2f "
           "drain_cpu_s=%.2f disk_B_per_msg=%.0f\n",
           l->o.senders, l->limit * l->o.senders, l->total.acked, l->total.refused,
           (double)took / 1e9, (double)l->total.acked / ((double)took / 1e9), drain_s,
           drain_s > 0 ? (double)l->total.delivered / drain_s : 0,
           l->first_arrival_ns > 0 ? (double)(l->first_arrival_ns - began) / 1e6 : -1,
           l->total.delivered, (long)(l->total.acked - l->total.delivered), l->total.dup,
           l->total.ooo, stored.server_cpu - before.server_cpu,
           drained.server_cpu - calm.server_cpu,
           (stored.written - before.written) / (double)(l->total.acked > 0 ? l->total.acked : 1));
}

/* --- W6: two processes, as the relay is started again in between; a file says what was acked ---
 */

static void write_acked(const struct load *l)
{
    const struct load_flow *f = &l->flows[0];
    FILE *out = fopen(l->o.file, "wb");

    if (out == NULL)
        load_die("%s: %s", l->o.file, strerror(errno));
    fprintf(out, "%u %lu %lu\n", l->tag, f->sent, f->acked);
    if (fwrite(f->stored_map, 1, f->room / 8, out) != f->room / 8 || fclose(out) != 0)
        load_die("%s: %s", l->o.file, strerror(errno));
}

static void read_acked(struct load *l)
{
    struct load_flow *f = &l->flows[0];
    FILE *in = fopen(l->o.file, "rb");
    uint64_t sent;

    if (in == NULL || fscanf(in, "%u %lu %lu", &l->tag, &sent, &f->acked) != 3 || getc(in) != '\n')
        load_die("%s: it does not say what was stored", l->o.file);
    load_flow_room(f, sent > 0 ? sent - 1 : 0); /* as when the last one was sent */
    if (fread(f->stored_map, 1, f->room / 8, in) != f->room / 8)
        load_die("%s: it ends too early", l->o.file);
    fclose(in);
    f->sent = sent;
}

void load_w6_store(struct load *l)
{
    uint64_t began, until;

    if (l->o.file == NULL || l->o.server <= 0)
        load_die("w6store needs --file and --pid");
    load_crowd(l, 1);
    l->limit = l->o.kill_after + BEYOND;
    receiver_leaves(l);
    senders_come(l);
    start_storing(l);
    began = load_now_ns();
    until = began + STORE_NS;
    while (l->total.acked < l->o.kill_after && senders_there(l) && load_now_ns() < until)
        load_step(l, SHORT_NS);
    (void)kill(l->o.server, SIGKILL);
    /* What was on its way to the sender does reach it. */
    l->pumping = false;
    l->conns[1].leaving = true;
    until = load_now_ns() + LAST_ACKS_NS;
    while (senders_there(l) && load_now_ns() < until)
        load_step(l, SHORT_NS);
    write_acked(l);
    load_head(l, "w6store");
    printf("acked=%lu sent=%lu nack=%lu secs=%.2f\n", l->total.acked, l->total.sent,
           l->total.refused, (double)(load_now_ns() - began) / 1e9);
}

/* A box is emptied in order: when a message of now arrives, all before it did or are lost. It is
 * somebody else's, so that it leaves no gap. */
static void send_last(struct load *l)
{
    const struct load_flow *last = &l->flows[1];
    uint64_t until = load_now_ns() + STILL_NS;

    if (!load_open_range(l, 2, 3, SIGN_IN_SECONDS))
        load_die("a sender could not sign in");
    load_flow_send(&l->flows[1], load_now_ns());
    while (last->delivered == 0 && load_now_ns() < until)
        load_step(l, STEP_NS);
    if (last->delivered == 0)
        load_die("the message after the restart did not arrive");
    load_run(l, .2);
    load_leave(&l->conns[2]);
}

void load_w6_drain(struct load *l)
{
    struct load_flow *f;
    uint64_t acked, sent, lost = 0, extra = 0;

    if (l->o.file == NULL)
        load_die("w6drain needs --file");
    load_crowd(l, 2);
    f = &l->flows[0];
    read_acked(l);
    acked = f->acked;
    sent = f->sent;
    if (!load_open_range(l, 0, 1, SIGN_IN_SECONDS))
        load_die("the receiver could not sign in");
    send_last(l);
    for (uint64_t i = 0; i < sent; i++) {
        lost += load_bit(f->stored_map, i) && !load_bit(f->seen_map, i);
        extra += !load_bit(f->stored_map, i) && load_bit(f->seen_map, i);
    }
    come_back(l);
    load_head(l, "w6");
    printf("acked=%lu sent=%lu got=%lu lost_acked=%lu extra_unacked=%lu dup=%lu ooo=%lu\n", acked,
           sent, f->delivered, lost, extra, l->total.dup, l->total.ooo);
    load_leave(&l->conns[1]);
}

/* --- messages that are to wait --- */

/* To box after box, so that they lie mixed as they do in life. */
struct stock {
    struct relay_person *boxes;
    uint64_t next;
};

static void stock_send(struct load *l, struct stock *s, struct load_flow *f)
{
    load_submit_make(&s->boxes[s->next++ % l->o.boxes], &f->submit);
    load_flow_send(f, load_now_ns());
}

static void stock_pump(struct load *l, struct stock *s)
{
    for (size_t i = 0; i < l->flow_count; i++) {
        struct load_flow *f = &l->flows[i];

        if (f->from->stage != LOAD_READY)
            load_die("a sender has lost its connection");
        while (s->next < l->o.count && f->sent - f->acked - f->refused < l->o.window)
            stock_send(l, s, f);
    }
}

void load_stock(struct load *l)
{
    struct stock s = {.boxes = load_alloc(l->o.boxes, sizeof *s.boxes)};
    uint64_t began;

    for (uint32_t i = 0; i < l->o.boxes; i++)
        relay_person_make(l->o.box0 + i, &s.boxes[i]);
    load_crowd(l, l->o.senders);
    senders_come(l);
    began = load_now_ns();
    while (l->total.acked + l->total.refused < l->o.count) {
        stock_pump(l, &s);
        load_step(l, STEP_NS);
    }
    for (size_t i = 1; i < l->conn_count; i++)
        load_leave(&l->conns[i]);
    free(s.boxes);
    load_head(l, "stock");
    printf("count=%lu boxes=%u acked=%lu nack=%lu secs=%.1f\n", l->o.count, l->o.boxes,
           l->total.acked, l->total.refused, (double)(load_now_ns() - began) / 1e9);
}
