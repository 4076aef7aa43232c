/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output that waits for the disk. A turn's transaction is written at its end, and synced while
 * others go on: until then nothing leaves that tells of it. What a sync under way covers, and what
 * only the next one will, may stand in one connection's output, in this order:
 *
 *     may leave | waits for the sync under way | waits for the next one
 *               safe                      safe_next
 *
 * What was put behind it and would not have to wait keeps its place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mutant.h"
#include "relay/core.h"

static enum sotto_err list_add(struct hold_list *l, struct sotto_relay_conn *c)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 64 : l->room * 2;
        struct sotto_relay_conn **grown =
            realloc(l->conns, room * sizeof(struct sotto_relay_conn *));

        if (grown == NULL)
            return SOTTO_ERR_NOMEM;
        l->conns = grown;
        l->room = room;
    }
    l->conns[l->count++] = c;
    return SOTTO_OK;
}

enum sotto_err sotto_relay_hold(struct sotto_relay_conn *c)
{
    struct sotto_relay *r = c->r;
    uint64_t needs = r->written + (r->in_turn ? 1 : 0);
    enum sotto_err e;

    if (needs == r->durable || c->waits_next || SOTTO_PLANTED(MUTANT_ANSWER_FIRST))
        return SOTTO_OK;
    if (r->sync_under_way && needs <= r->syncing) {
        if (c->waits)
            return SOTTO_OK;
        if ((e = list_add(&r->waiting, c)) == 0) {
            c->waits = true;
            c->safe = (uint32_t)c->out.n;
        }
        return e;
    }
    if ((e = list_add(&r->waiting_next, c)) != 0)
        return e;
    c->waits_next = true;
    c->safe_next = (uint32_t)c->out.n;
    if (!c->waits)
        c->safe = c->safe_next;
    return SOTTO_OK;
}

void sotto_relay_unhold(struct sotto_relay_conn *c)
{
    if (c->safe > c->out.n)
        c->safe = (uint32_t)c->out.n;
    if (c->safe_next > c->out.n)
        c->safe_next = (uint32_t)c->out.n;
}

static void list_forget(struct hold_list *l, const struct sotto_relay_conn *c)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->conns[i] == c)
            l->conns[i] = NULL;
}

void sotto_relay_holds_forget(struct sotto_relay_conn *c)
{
    if (c->waits)
        list_forget(&c->r->waiting, c);
    if (c->waits_next)
        list_forget(&c->r->waiting_next, c);
}

void sotto_relay_holds_free(struct sotto_relay *r)
{
    free(r->waiting.conns);
    free(r->waiting_next.conns);
}

/* --- the owner's side --- */

static bool is_held(const struct sotto_relay_conn *c)
{
    return c->waits || c->waits_next;
}

struct sotto_bytes sotto_relay_output(const struct sotto_relay_conn *c)
{
    return (struct sotto_bytes){c->out.p, is_held(c) ? c->safe : c->out.n};
}

void sotto_relay_taken(struct sotto_relay_conn *c)
{
    size_t n = sotto_relay_output(c).n;

    if (n < c->out.n)
        memmove(c->out.p, c->out.p + n, c->out.n - n);
    c->out.n -= n;
    if (is_held(c)) {
        c->safe = 0;
        c->safe_next -= c->waits_next ? (uint32_t)n : 0;
    } else if (c->out.room > OUTPUT_KEPT) {
        sotto_buf_free(&c->out);
    }
}

bool sotto_relay_ending(const struct sotto_relay_conn *c)
{
    return c->s.ending && !is_held(c);
}

bool sotto_relay_sync_due(const struct sotto_relay *r)
{
    return !r->sync_under_way && r->written > r->durable;
}

void sotto_relay_sync_begun(struct sotto_relay *r)
{
    struct hold_list empty = r->waiting;

    r->waiting = r->waiting_next;
    r->waiting_next = empty;
    for (size_t i = 0; i < r->waiting.count; i++) {
        struct sotto_relay_conn *c = r->waiting.conns[i];

        if (c == NULL)
            continue;
        c->waits = true;
        c->waits_next = false;
    }
    r->syncing = r->written;
    r->sync_under_way = true;
}

void sotto_relay_synced(struct sotto_relay *r)
{
    r->durable = SOTTO_PLANTED(MUTANT_SYNC_COVERS) ? r->written : r->syncing;
    r->sync_under_way = false;
    for (size_t i = 0; i < r->waiting.count; i++) {
        struct sotto_relay_conn *c = r->waiting.conns[i];

        if (c == NULL)
            continue;
        c->waits = false;
        c->safe = c->safe_next;
        sotto_relay_ready(c);
    }
    r->waiting.count = 0;
}

void sotto_relay_release(struct sotto_relay *r)
{
    if (r->sync_under_way || r->written > r->durable || r->in_turn)
        return;
    for (size_t i = 0; i < r->waiting_next.count; i++) {
        struct sotto_relay_conn *c = r->waiting_next.conns[i];

        if (c == NULL)
            continue;
        c->waits_next = false;
        sotto_relay_ready(c);
    }
    r->waiting_next.count = 0;
}
