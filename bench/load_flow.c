/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: each sender numbers its own; the number stands in the envelope, so that the receiver's
 * end of this process knows what is missing, what came twice and what came out of order.
 */
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define ROOM_FIRST 4096
#define STILL_NS   10000000000ull
#define STEP_NS    5000000ull

bool load_bit(const uint8_t *map, uint64_t number)
{
    return (map[number / 8] >> number % 8 & 1) != 0;
}

static void bit_set(uint8_t *map, uint64_t number)
{
    map[number / 8] = (uint8_t)(map[number / 8] | 1u << number % 8);
}

void load_flow_room(struct load_flow *f, uint64_t number)
{
    uint64_t room = f->room == 0 ? ROOM_FIRST : f->room;

    while (number >= room)
        room *= 2;
    if (room == f->room)
        return;
    f->stored_map = load_grow(f->stored_map, room / 8);
    f->seen_map = load_grow(f->seen_map, room / 8);
    memset(f->stored_map + f->room / 8, 0, (room - f->room) / 8);
    memset(f->seen_map + f->room / 8, 0, (room - f->room) / 8);
    f->room = room;
}

/* --- who sends to whom --- */

void load_flow_make(struct load *l, size_t i, struct load_conn *from, const struct relay_person *to)
{
    struct load_flow *f = &l->flows[i];

    f->from = from;
    load_submit_make(to, &f->submit);
    load_flow_room(f, 0);
    if (from != NULL)
        from->flow = f;
}

static void flows_make(struct load *l, size_t count)
{
    l->flows = load_alloc(count, sizeof *l->flows);
    l->flow_count = count;
}

void load_pairs(struct load *l, uint32_t pairs)
{
    load_people(l, 2 * (size_t)pairs);
    flows_make(l, pairs);
    for (size_t i = 0; i < pairs; i++)
        load_flow_make(l, i, &l->conns[2 * i], &l->conns[2 * i + 1].me);
}

void load_crowd(struct load *l, uint32_t senders)
{
    load_people(l, 1 + (size_t)senders);
    flows_make(l, senders);
    for (size_t i = 0; i < senders; i++)
        load_flow_make(l, i, &l->conns[1 + i], &l->conns[0].me);
}

/* --- sending --- */

void load_flow_send(struct load_flow *f, uint64_t when_ns)
{
    struct load *l = f->from->l;
    struct load_mark mark = {
        .tag = l->tag,
        .flow = (uint32_t)(f - l->flows),
        .number = f->sent,
        .sent_ns = when_ns,
    };

    load_flow_room(f, f->sent);
    load_submit_set(&f->submit, &mark);
    load_send(f->from, f->submit.frame, f->submit.len);
    f->sent++;
    l->total.sent++;
}

void load_flow_pump(struct load_conn *c)
{
    const struct load *l = c->l;
    struct load_flow *f = c->flow;
    uint64_t done = f->acked + f->refused, now = 0;

    if (!l->pumping)
        return;
    if (l->gate == LOAD_BOTH && f->delivered + f->refused < done)
        done = f->delivered + f->refused;
    while (f->sent < l->limit && f->sent - done < l->o.window) {
        if (now == 0)
            now = load_now_ns();
        load_flow_send(f, now);
    }
}

/* --- what comes back --- */

void load_flow_answered(struct load_conn *c, const struct load_answer *a)
{
    struct load_flow *f = c->flow;
    /* The number of which the id has the low part: the first of those that are under way. */
    uint64_t base = f->sent - f->sent % LOAD_ID_FIRST, number = base + (a->id - LOAD_ID_FIRST);

    if (number >= f->sent && number >= LOAD_ID_FIRST)
        number -= LOAD_ID_FIRST;
    if (a->id < LOAD_ID_FIRST || number >= f->sent || load_bit(f->stored_map, number)) {
        load_complain(c, "an answer to what was not asked");
        return;
    }
    if (a->state == SOTTO_PARCEL_STORED) {
        bit_set(f->stored_map, number);
        f->acked++;
        c->l->total.acked++;
    } else {
        f->refused++;
        c->l->total.refused++;
    }
    load_mark_dirty(c);
}

static void count_arrival(struct load *l, struct load_flow *f, const struct load_mark *m)
{
    load_flow_room(f, m->number);
    if (load_bit(f->seen_map, m->number)) {
        l->total.dup++;
        return;
    }
    bit_set(f->seen_map, m->number);
    if (m->number != f->next)
        l->total.ooo++;
    if (m->number >= f->next)
        f->next = m->number + 1;
    f->delivered++;
    l->total.delivered++;
    if (l->measuring)
        load_latencies_note(&l->latencies, l->last_arrival_ns - m->sent_ns);
    if (f->from != NULL)
        load_mark_dirty(f->from);
}

void load_flow_arrived(struct load_conn *c, const struct load_answer *a)
{
    struct load *l = c->l;
    struct load_mark m;

    if (a->seq <= c->committed)
        l->total.ooo++; /* numbers of a box only grow */
    else
        c->committed = a->seq;
    c->ack_due = true;
    load_mark_dirty(c);
    l->total.requests += a->request;
    if (!load_envelope_read(a->envelope, &m)) {
        load_complain(c, "an envelope that nobody sent");
        return;
    }
    if (m.tag != l->tag || m.flow >= l->flow_count) {
        l->total.stale++; /* left over from an earlier run */
        return;
    }
    l->last_arrival_ns = load_now_ns();
    if (l->first_arrival_ns == 0)
        l->first_arrival_ns = l->last_arrival_ns;
    count_arrival(l, &l->flows[m.flow], &m);
}

void load_settle(struct load *l)
{
    uint64_t until = 0, progress = 0;

    l->pumping = false;
    do {
        uint64_t now = load_now_ns();

        if (until == 0 || l->total.delivered + l->total.acked > progress)
            until = now + STILL_NS;
        if (now >= until)
            break;
        progress = l->total.delivered + l->total.acked;
        load_step(l, STEP_NS);
    } while (l->total.delivered < l->total.sent || l->total.acked < l->total.sent);
    load_step(l, 4 * STEP_NS);
}
