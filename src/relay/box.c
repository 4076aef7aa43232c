/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boxes: numbers, room, and what is on its way to the device.
 *
 * What waits in a box is known here by number, size and sender's account; the last is in memory
 * only, to keep one sender from filling a box. A device gets what is live or committed, in the
 * order of the numbers, as far as the window allows. A number whose turn was undone is lost, not
 * reused.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "relay/core.h"

#define ENTRIES_KEPT 64 /* room that an empty box keeps */

/* --- finding --- */

static size_t slot_of(const struct sotto_relay *r, int64_t id)
{
    return (size_t)(((uint64_t)id * 0x9e3779b97f4a7c15u) >> 32) & (r->box_room - 1);
}

struct box *sotto_relay_box_known(struct sotto_relay *r, int64_t id)
{
    struct box *b = r->box_room > 0 ? r->boxes[slot_of(r, id)] : NULL;

    while (b != NULL && b->id != id)
        b = b->next;
    return b;
}

static bool table_grow(struct sotto_relay *r)
{
    struct box **old = r->boxes;
    size_t old_room = r->box_room;
    struct box **fresh = calloc(old_room == 0 ? 64 : old_room * 2, sizeof(struct box *));

    if (fresh == NULL)
        return false;
    r->boxes = fresh;
    r->box_room = old_room == 0 ? 64 : old_room * 2;
    for (size_t i = 0; i < old_room; i++) {
        for (struct box *b = old[i], *next; b != NULL; b = next) {
            struct box **slot = &r->boxes[slot_of(r, b->id)];

            next = b->next;
            b->next = *slot;
            *slot = b;
        }
    }
    free(old);
    return true;
}

struct box *sotto_relay_box(struct sotto_relay *r, int64_t id)
{
    struct box *b = sotto_relay_box_known(r, id);

    if (b != NULL)
        return b;
    if (r->box_count >= r->box_room && !table_grow(r))
        return NULL;
    if ((b = calloc(1, sizeof *b)) == NULL)
        return NULL;
    b->id = id;
    b->next = r->boxes[slot_of(r, id)];
    r->boxes[slot_of(r, id)] = b;
    r->box_count++;
    return b;
}

void sotto_relay_boxes_free(struct sotto_relay *r)
{
    for (size_t i = 0; i < r->box_room; i++) {
        for (struct box *b = r->boxes[i], *next; b != NULL; b = next) {
            next = b->next;
            for (size_t k = 0; k < b->count; k++)
                sotto_live_discard(b->entries[b->first + k].live);
            free(b->entries);
            free(b->shares);
            free(b);
        }
    }
    free(r->boxes);
}

/* --- what a box holds --- */

size_t sotto_box_after(const struct box *b, uint64_t seq)
{
    size_t low = 0, high = b->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (b->entries[b->first + middle].seq <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct box_entry *sotto_box_find(struct box *b, uint64_t seq)
{
    size_t i = seq > 0 ? sotto_box_after(b, seq - 1) : 0;

    if (i == b->count || b->entries[b->first + i].seq != seq)
        return NULL;
    return &b->entries[b->first + i];
}

static struct share *share_find(const struct box *b, int64_t sender)
{
    for (size_t i = 0; i < b->share_count; i++)
        if (b->shares[i].sender == sender)
            return &b->shares[i];
    return NULL;
}

static bool share_add(struct box *b, const struct box_entry *e)
{
    struct share *s = share_find(b, e->sender);

    if (s == NULL && b->share_count == b->share_room) {
        size_t room = b->share_room == 0 ? 2 : b->share_room * 2;

        if ((s = realloc(b->shares, room * sizeof *s)) == NULL)
            return false;
        b->shares = s;
        b->share_room = room;
        s = NULL;
    }
    if (s == NULL) {
        s = &b->shares[b->share_count++];
        *s = (struct share){.sender = e->sender};
    }
    s->count[e->request]++;
    s->bytes[e->request] += e->size;
    return true;
}

static void share_take(struct box *b, const struct box_entry *e)
{
    struct share *s = share_find(b, e->sender);

    s->count[e->request]--;
    s->bytes[e->request] -= e->size;
    if (s->count[0] + s->count[1] == 0)
        *s = b->shares[--b->share_count];
}

/* Room for one more at the end. */
static bool entries_room(struct box *b)
{
    size_t room = b->room == 0 ? 4 : b->room * 2;
    struct box_entry *p;

    if (b->first + b->count < b->room)
        return true;
    if (b->first > b->room / 2) {
        memmove(b->entries, b->entries + b->first, b->count * sizeof *b->entries);
        b->first = 0;
        return true;
    }
    if ((p = realloc(b->entries, room * sizeof *p)) == NULL)
        return false;
    b->entries = p;
    b->room = room;
    return true;
}

enum sotto_err sotto_box_add(struct box *b, const struct box_entry *entry)
{
    size_t i;

    if (!entries_room(b) || !share_add(b, entry))
        return SOTTO_ERR_NOMEM;
    i = b->first + sotto_box_after(b, entry->seq);
    memmove(b->entries + i + 1, b->entries + i, (b->first + b->count - i) * sizeof *b->entries);
    b->entries[i] = *entry;
    b->count++;
    b->lane_count[entry->request]++;
    b->lane_bytes[entry->request] += entry->size;
    return SOTTO_OK;
}

/* Takes n entries out, from the i-th on. */
static void entries_cut(struct box *b, size_t i, size_t n)
{
    struct box_entry *e = &b->entries[b->first + i];

    for (size_t k = 0; k < n; k++) {
        b->lane_count[e[k].request]--;
        b->lane_bytes[e[k].request] -= e[k].size;
        share_take(b, &e[k]);
    }
    b->count -= n;
    if (i == 0)
        b->first += n;
    else
        memmove(e, e + n, (b->count - i) * sizeof *e);
    if (b->count > 0)
        return;
    b->first = 0;
    if (b->room <= ENTRIES_KEPT)
        return;
    free(b->entries);
    b->entries = NULL;
    b->room = 0;
}

static void entry_release(struct sotto_relay *r, const struct box *b, const struct box_entry *e)
{
    if (e->row != NULL) {
        sotto_idset_remove(&r->mail.ids, sotto_idset_key(b->id, e->id));
        sotto_mail_unwanted(r, e->row, e->size);
    }
    if (e->live == NULL)
        return;
    sotto_answer_ripen(r, e->live->answer, true);
    sotto_live_unlink(r, e->live);
    free(e->live);
}

void sotto_box_drop(struct sotto_relay *r, struct box *b, uint64_t seq)
{
    size_t n = sotto_box_after(b, seq);

    for (size_t i = 0; i < n; i++)
        entry_release(r, b, &b->entries[b->first + i]);
    if (n > 0)
        entries_cut(b, 0, n);
}

void sotto_box_remove(struct sotto_relay *r, struct box *b, uint64_t seq)
{
    struct box_entry *e = sotto_box_find(b, seq);

    if (e == NULL)
        return;
    entry_release(r, b, e);
    entries_cut(b, (size_t)(e - b->entries) - b->first, 1);
}

void sotto_box_expire(struct sotto_relay *r, struct box *b, uint32_t before_day)
{
    for (size_t i = b->count; i-- > 0;) {
        struct box_entry *e = &b->entries[b->first + i];

        if (e->live != NULL || e->day >= before_day)
            continue;
        entry_release(r, b, e);
        entries_cut(b, i, 1);
    }
}

/* --- putting in --- */

enum sotto_parcel_state sotto_box_room(const struct sotto_relay *r, const struct box *b,
                                       const struct parcel_in *p)
{
    const struct sotto_relay_config *cf = &r->config;
    const struct share *share = share_find(b, p->sender);
    size_t count = share != NULL ? share->count[p->request] : 0;
    size_t bytes = share != NULL ? share->bytes[p->request] : 0;
    size_t n = p->envelope.n;

    if (p->request) {
        if (b->lane_count[1] >= REQUEST_BOX_MAX)
            return SOTTO_PARCEL_FULL;
        return count >= REQUEST_SENDER_MAX ? SOTTO_PARCEL_QUOTA : SOTTO_PARCEL_STORED;
    }
    if (b->lane_count[0] + 1 > cf->quota_messages || b->lane_bytes[0] + n > cf->quota_bytes)
        return SOTTO_PARCEL_FULL;
    /* One message always has room, however small the quota was set. */
    if (p->own || count == 0)
        return SOTTO_PARCEL_STORED;
    if (count + 1 > cf->quota_messages / SENDER_SHARE || bytes + n > cf->quota_bytes / SENDER_SHARE)
        return SOTTO_PARCEL_QUOTA;
    return SOTTO_PARCEL_STORED;
}

uint64_t sotto_box_next_seq(const struct sotto_relay *r, const struct box *b)
{
    uint64_t last = (uint64_t)r->epoch << 40;

    if (b->last_seq > last)
        last = b->last_seq;
    if (b->count > 0 && b->entries[b->first + b->count - 1].seq > last)
        last = b->entries[b->first + b->count - 1].seq;
    return last + 1;
}

/* A planted bug: two that are stored, and their numbers stay where they are. */
static void turn_round(struct box_entry two[2])
{
    struct box_entry first = two[0];

    if (two[0].live != NULL || two[1].live != NULL)
        return;
    two[0] = two[1];
    two[0].seq = first.seq;
    first.seq = two[1].seq;
    two[1] = first;
}

static enum sotto_err put(struct sotto_relay *r, struct box *b, const struct parcel_in *p,
                          const uint8_t id[SOTTO_ENVELOPE_ID])
{
    struct box_entry entry = {
        .seq = sotto_box_next_seq(r, b),
        .sender = p->sender,
        .size = (uint32_t)p->envelope.n,
        .day = (uint32_t)(sotto_now_ms(r->env) / DAY_MS),
        .request = p->request,
    };
    struct effect *f = sotto_relay_effect(r, EFFECT_ENVELOPE);
    enum sotto_err e;

    if (f == NULL || (e = sotto_box_add(b, &entry)) != 0)
        return SOTTO_ERR_NOMEM;
    f->box = b->id;
    b->last_seq = entry.seq;
    if ((e = sotto_mail_put(r, b, sotto_box_find(b, entry.seq), id, p->envelope.p)) != 0)
        sotto_box_remove(r, b, entry.seq);
    else if (SOTTO_PLANTED(MUTANT_LANE_ORDER) && b->count > 1)
        turn_round(&b->entries[b->first + b->count - 2]);
    return e;
}

enum sotto_err sotto_relay_box_store(struct sotto_relay *r, int64_t box,
                                     const struct parcel_in *parcel,
                                     enum sotto_parcel_state *ret_state)
{
    struct box *b = sotto_relay_box(r, box);
    uint8_t id[SOTTO_ENVELOPE_ID];
    enum sotto_parcel_state state = SOTTO_PARCEL_STORED;
    enum sotto_err e = SOTTO_OK;

    if (b == NULL)
        return SOTTO_ERR_NOMEM;
    sotto_envelope_id(parcel->envelope.p, parcel->envelope.n, id);
    /* What was live before it goes to the disk before it, or a crash would turn the order round. */
    if ((e = sotto_live_spill(r, b)) != 0)
        return e;
    /* Sent again because the answer was lost: it is there, whatever room is left. */
    if (!sotto_idset_has(&r->mail.ids, sotto_idset_key(box, sotto_get_u64(id))) &&
        (state = sotto_box_room(r, b, parcel)) == SOTTO_PARCEL_STORED)
        e = put(r, b, parcel, id);
    if (e == 0)
        *ret_state = state;
    return e;
}

/* --- taking out --- */

/* What the device has up to seq is not under way any more. */
static void window_acked(struct sotto_relay_conn *c, uint64_t seq)
{
    struct window *w = c->window;
    uint32_t count, bytes;

    if (w == NULL)
        return;
    count = w->count;
    bytes = w->bytes;
    while (w->count > 0 && w->flights[w->first].seq <= seq) {
        w->bytes -= w->flights[w->first].size;
        w->first = (w->first + 1) % w->room;
        w->count--;
    }
    sotto_count(&c->r->counters, SOTTO_COUNT_DELIVERED, count - w->count);
    sotto_count(&c->r->counters, SOTTO_COUNT_BYTES_OUT, bytes - w->bytes);
}

enum sotto_err sotto_relay_ack(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct box *b = sotto_relay_box_known(c->r, c->s.box);
    uint64_t seq = q->u.ack.seq;

    if (seq > c->cursor)
        seq = c->cursor; /* nothing was sent beyond: such a number is a mistake */
    window_acked(c, seq);
    if (b != NULL) {
        if (seq > b->acked)
            b->acked = seq;
        sotto_box_drop(c->r, b, seq);
    }
    if (c->more)
        sotto_relay_want_pump(c);
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

/* --- to the device --- */

void sotto_relay_window_reset(struct sotto_relay_conn *c, uint64_t cursor)
{
    c->cursor = cursor;
    if (c->window != NULL)
        c->window->first = c->window->count = c->window->bytes = 0;
    c->more = true;
}

static bool window_open(const struct sotto_relay_conn *c)
{
    return (c->window == NULL ||
            (c->window->count < WINDOW_COUNT && c->window->bytes < WINDOW_BYTES)) &&
           c->out.n + c->pending < OUTPUT_HIGH;
}

/* Room for one more; what is in it begins at the start then, if it had to grow. */
static bool window_room(struct sotto_relay_conn *c)
{
    struct window *w = c->window, *grown;
    uint32_t room = w == NULL ? 8 : w->room * 2;

    if (w != NULL && w->count < w->room)
        return true;
    if ((grown = malloc(sizeof *grown + room * sizeof grown->flights[0])) == NULL)
        return false;
    *grown = (struct window){.room = room};
    if (w != NULL) {
        grown->count = w->count;
        grown->bytes = w->bytes;
        for (uint32_t i = 0; i < w->count; i++)
            grown->flights[i] = w->flights[(w->first + i) % w->room];
    }
    free(w);
    c->window = grown;
    return true;
}

static bool window_add(struct sotto_relay_conn *c, uint64_t seq, size_t size)
{
    struct window *w;

    if (!window_room(c))
        return false;
    w = c->window;
    w->flights[(w->first + w->count) % w->room] = (struct flight){seq, (uint32_t)size};
    w->count++;
    w->bytes += (uint32_t)size;
    return true;
}

static enum sotto_err send_entry(struct sotto_relay_conn *c, const struct box_entry *e)
{
    struct sotto_relay *r = c->r;
    enum sotto_err err = SOTTO_OK;

    if (e->live == NULL) {
        if (r->envelope == NULL && (r->envelope = malloc(SOTTO_ENVELOPE_MAX)) == NULL)
            return SOTTO_ERR_NOMEM;
        err = sotto_rs_mail_read(r->store, e->row->id, e->at, e->size, r->envelope);
    }
    if (err == 0 && !window_add(c, e->seq, e->size))
        err = SOTTO_ERR_NOMEM;
    if (err != 0)
        return err;
    sotto_relay_deliver(
        c, e->seq, e->request,
        (struct sotto_bytes){e->live != NULL ? e->live->bytes : r->envelope, e->size});
    c->cursor = e->seq;
    return SOTTO_OK;
}

void sotto_relay_pump(struct sotto_relay_conn *c)
{
    struct box *b = sotto_relay_box_known(c->r, c->s.box);
    enum sotto_err e = SOTTO_OK;
    size_t i;

    if (!c->more || c->s.stage != STAGE_BEGUN || c->s.ending)
        return;
    for (i = b != NULL ? sotto_box_after(b, c->cursor) : 0;
         b != NULL && i < b->count && e == 0 && window_open(c) && !c->s.ending; i++)
        e = send_entry(c, &b->entries[b->first + i]);
    c->more = b != NULL && i < b->count;
    if (e == 0)
        return;
    sotto_log_local("a mailbox could not be read: %s", sotto_err_text(e));
    sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, "the relay could not read the mailbox");
}
