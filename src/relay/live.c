/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live path: both ends are here, so an envelope goes from one connection to the other, and the
 * sender has its answer when the recipient's device has acknowledged. The disk is needed only when
 * that takes too long, or the device goes away. A relay that dies meanwhile has told nobody that it
 * has the envelope, so the sender hands it in again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "relay/core.h"

/* --- answers that are due later --- */

struct answer_due *sotto_answer_due(struct sotto_relay_conn *c, uint32_t id, size_t count)
{
    struct answer_due *a = malloc(sizeof *a + count * sizeof a->devices[0]);

    if (a == NULL)
        return NULL;
    *a = (struct answer_due){
        .conn = c,
        .id = id,
        .next = c->answers,
        .left = (uint32_t)count,
        .count = (uint32_t)count,
    };
    if (a->next != NULL)
        a->next->prev = a;
    c->answers = a;
    return a;
}

static void unlink_answer(struct answer_due *a)
{
    if (a->conn == NULL)
        return;
    if (a->prev != NULL)
        a->prev->next = a->next;
    else
        a->conn->answers = a->next;
    if (a->next != NULL)
        a->next->prev = a->prev;
    a->conn = NULL;
}

void sotto_answers_forget(struct sotto_relay_conn *c)
{
    while (c->answers != NULL)
        unlink_answer(c->answers);
}

void sotto_answer_ripen(struct sotto_relay *r, struct answer_due *a, bool safe)
{
    a->refuse = a->refuse || !safe;
    if (--a->left > 0)
        return;
    a->next_ripe = r->ripe;
    r->ripe = a;
}

void sotto_answer_forget(struct sotto_relay *r, struct answer_due *a, size_t untaken)
{
    unlink_answer(a);
    for (size_t i = 0; i < untaken; i++)
        sotto_answer_ripen(r, a, false);
}

static void give(const struct answer_due *a)
{
    if (!a->refuse) {
        sotto_relay_stored(a->conn, a->id, !a->spilled, a->devices, a->count);
        return;
    }
    sotto_relay_lanes_close(a->conn, a->lane);
    sotto_relay_refuse(a->conn, a->id, SOTTO_RELAY_UNAVAILABLE,
                       "the relay cannot store anything at the moment; try again later");
}

/* The newest is the first of the list; they are given in order. */
static void give_list(struct answer_due **list)
{
    struct answer_due *a, *in_order = NULL;

    while ((a = *list) != NULL) {
        *list = a->next_ripe;
        a->next_ripe = in_order;
        in_order = a;
    }
    while ((a = in_order) != NULL) {
        in_order = a->next_ripe;
        if (a->conn != NULL)
            give(a);
        unlink_answer(a);
        free(a);
    }
}

/*
 * An answer that leaves alone costs a system call and wakes the sender, who has nothing to do but
 * to note it; behind the next turn's envelopes it costs little. Where nothing else happens for
 * LINGER_MS there is no company to wait for, and a sender who hands in one at a time would wait
 * for each.
 */
static bool may_linger(struct sotto_relay *r)
{
    if (r->ripe == NULL || sotto_relay_mono(r) < r->prompt_until)
        return false;
    for (const struct answer_due *a = r->ripe; a != NULL; a = a->next_ripe)
        if (a->refuse || a->spilled)
            return false;
    return true;
}

void sotto_answers_give(struct sotto_relay *r)
{
    if (r->lingering != NULL) {
        if (sotto_relay_mono(r) >= r->linger_due)
            r->prompt_until = sotto_relay_mono(r) + PROMPT_MS;
        give_list(&r->lingering);
    }
    if (!may_linger(r)) {
        give_list(&r->ripe);
        return;
    }
    r->lingering = r->ripe;
    r->ripe = NULL;
    r->linger_due = sotto_relay_mono(r) + LINGER_MS;
}

void sotto_answers_give_all(struct sotto_relay *r)
{
    give_list(&r->lingering);
    give_list(&r->ripe);
}

static void drop_list(struct answer_due **list)
{
    struct answer_due *a;

    while ((a = *list) != NULL) {
        *list = a->next_ripe;
        free(a);
    }
}

void sotto_answers_drop(struct sotto_relay *r)
{
    drop_list(&r->lingering);
    drop_list(&r->ripe);
}

/* --- envelopes --- */

/* Nothing that is stored may wait in the box: it has to reach the device first, and it may be the
 * same envelope. */
bool sotto_live_possible(const struct box *b, size_t size)
{
    const struct sotto_relay_conn *to = b->conn;

    return to != NULL && to->s.stage == STAGE_BEGUN && !to->s.ending && b->count == b->live_count &&
           b->live_count < WINDOW_COUNT && b->live_bytes + size <= LIVE_BYTES;
}

enum sotto_err sotto_live_put(struct sotto_relay *r, struct box *b, const struct parcel_in *p,
                              struct answer_due *a)
{
    struct live *l = malloc(sizeof *l + p->envelope.n);
    struct box_entry entry = {
        .seq = sotto_box_next_seq(r, b),
        .sender = p->sender,
        .live = l,
        .size = (uint32_t)p->envelope.n,
        .request = p->request,
    };

    if (l == NULL || sotto_box_add(b, &entry) != 0) {
        free(l);
        return SOTTO_ERR_NOMEM;
    }
    *l = (struct live){
        .prev = r->live_last,
        .due = sotto_relay_mono(r) + LIVE_MS,
        .box = b,
        .seq = entry.seq,
        .answer = a,
        .size = entry.size,
    };
    memcpy(l->bytes, p->envelope.p, p->envelope.n);
    if (l->prev != NULL)
        l->prev->next = l;
    else
        r->live_first = l;
    r->live_last = l;
    b->last_seq = entry.seq;
    b->live_count++;
    b->live_bytes += entry.size;
    sotto_count(&r->counters, SOTTO_COUNT_LIVE, 1);
    sotto_count(&r->counters, SOTTO_COUNT_BYTES_IN, entry.size);
    b->conn->more = true;
    sotto_relay_want_pump(b->conn);
    return SOTTO_OK;
}

void sotto_live_unlink(struct sotto_relay *r, struct live *l)
{
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        r->live_first = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    else
        r->live_last = l->prev;
    l->box->live_count--;
    l->box->live_bytes -= l->size;
}

void sotto_live_discard(struct live *l)
{
    if (l == NULL)
        return;
    if (--l->answer->left == 0)
        free(l->answer);
    free(l);
}

void sotto_live_refuse(struct sotto_relay *r, struct box *b)
{
    for (size_t i = b->count; i-- > 0 && b->live_count > 0;) {
        struct box_entry *e = &b->entries[b->first + i];
        struct live *l = e->live;

        if (l == NULL)
            continue;
        sotto_answer_ripen(r, l->answer, false);
        sotto_live_unlink(r, l);
        free(l);
        e->live = NULL;
        sotto_box_remove(r, b, e->seq);
    }
}

void sotto_live_refuse_due(struct sotto_relay *r, uint64_t mono)
{
    while (r->live_first != NULL && r->live_first->due <= mono)
        sotto_live_refuse(r, r->live_first->box);
}

static enum sotto_err spill(struct sotto_relay *r, struct box *b, struct box_entry *e)
{
    uint8_t id[SOTTO_ENVELOPE_ID];

    e->day = (uint32_t)(sotto_now_ms(r->env) / DAY_MS);
    sotto_envelope_id(e->live->bytes, e->size, id);
    return sotto_mail_put(r, b, e, id, e->live->bytes);
}

enum sotto_err sotto_live_spill(struct sotto_relay *r, struct box *b)
{
    enum sotto_err e = b->live_count > 0 ? sotto_relay_write(r) : SOTTO_OK;

    for (size_t i = 0; e == 0 && b->live_count > 0 && i < b->count; i++)
        if (b->entries[b->first + i].live != NULL)
            e = spill(r, b, &b->entries[b->first + i]);
    return e;
}

enum sotto_err sotto_live_spill_due(struct sotto_relay *r, uint64_t mono)
{
    enum sotto_err e = SOTTO_OK;

    /* A box goes as a whole, so that the order on disk is that of the numbers. What goes is no
     * longer in the list. */
    while (e == 0 && r->live_first != NULL && r->live_first->due <= mono)
        e = sotto_live_spill(r, r->live_first->box);
    return e;
}
