/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boxes: numbers, room, and what is on its way to the device.
 *
 * A number is the boot epoch (24 bits) and a counter of this box in this boot (40 bits): it grows
 * for ever and is never given out twice, because the epoch is on disk before anybody can connect.
 * A number whose turn was undone is lost, not reused.
 *
 * What waits in a box is known here by number, size and sender's account; the last is in memory
 * only, to keep one sender from filling a box. A device gets what is committed, in the order of the
 * numbers, as far as the window allows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "relay/core.h"

#define READ_AT_ONCE 32

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
            free(b->entries);
            free(b);
        }
    }
    free(r->boxes);
}

/* --- what a box holds --- */

static enum sotto_err entry_add(struct box *b, struct box_entry entry)
{
    if (b->count == b->room) {
        size_t room = b->room == 0 ? 16 : b->room * 2;
        struct box_entry *grown = realloc(b->entries, room * sizeof *grown);

        if (grown == NULL)
            return SOTTO_ERR_NOMEM;
        b->entries = grown;
        b->room = room;
    }
    b->entries[b->count++] = entry;
    b->lane_count[entry.request]++;
    b->lane_bytes[entry.request] += entry.size;
    return SOTTO_OK;
}

struct loading {
    struct box fresh;
    const struct box *old; /* remembers senders */
    size_t at;
};

static enum sotto_err load_row(void *ctx, uint64_t seq, bool request, struct sotto_bytes envelope)
{
    struct loading *l = ctx;
    struct box_entry entry = {.seq = seq, .size = (uint32_t)envelope.n, .request = request};

    while (l->at < l->old->count && l->old->entries[l->at].seq < seq)
        l->at++;
    if (l->at < l->old->count && l->old->entries[l->at].seq == seq)
        entry.sender = l->old->entries[l->at].sender;
    return entry_add(&l->fresh, entry);
}

static enum sotto_err load(struct sotto_relay *r, struct box *b)
{
    struct loading l = {.old = b};
    enum sotto_err e;

    if (b->loaded)
        return SOTTO_OK;
    if ((e = sotto_rs_box_index(r->store, b->id, load_row, &l)) != 0) {
        free(l.fresh.entries);
        return e;
    }
    free(b->entries);
    b->entries = l.fresh.entries;
    b->count = l.fresh.count;
    b->room = l.fresh.room;
    memcpy(b->lane_count, l.fresh.lane_count, sizeof b->lane_count);
    memcpy(b->lane_bytes, l.fresh.lane_bytes, sizeof b->lane_bytes);
    b->loaded = true;
    return SOTTO_OK;
}

void sotto_relay_box_changed(struct sotto_relay *r, struct box *b)
{
    b->loaded = false;
    if (b->dirty)
        return;
    b->dirty = true;
    b->next_dirty = r->dirty;
    r->dirty = b;
}

static void mark_dirty(struct sotto_relay *r, struct box *b)
{
    bool loaded = b->loaded;

    sotto_relay_box_changed(r, b);
    b->loaded = loaded;
}

void sotto_relay_boxes_settle(struct sotto_relay *r, bool committed)
{
    struct box *b;

    while ((b = r->dirty) != NULL) {
        r->dirty = b->next_dirty;
        b->dirty = false;
        b->loaded = b->loaded && committed;
    }
}

/* --- putting in --- */

/* The share of one account in what waits on one lane. */
static void share_of(const struct box *b, int64_t sender, bool request, size_t *ret_count,
                     size_t *ret_bytes)
{
    *ret_count = *ret_bytes = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (b->entries[i].sender != sender || b->entries[i].request != request)
            continue;
        ++*ret_count;
        *ret_bytes += b->entries[i].size;
    }
}

static enum sotto_parcel_state room_for(const struct sotto_relay *r, const struct box *b,
                                        const struct parcel_in *p)
{
    const struct sotto_relay_config *cf = &r->config;
    size_t count, bytes, n = p->envelope.n;

    share_of(b, p->sender, p->request, &count, &bytes);
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

static uint64_t next_seq(const struct sotto_relay *r, const struct box *b)
{
    uint64_t last = (uint64_t)r->epoch << 40;

    if (b->last_seq > last)
        last = b->last_seq;
    if (b->count > 0 && b->entries[b->count - 1].seq > last)
        last = b->entries[b->count - 1].seq;
    return last + 1;
}

static enum sotto_err put(struct sotto_relay *r, struct box *b, const struct parcel_in *p,
                          const uint8_t id[SOTTO_ENVELOPE_ID])
{
    struct box_entry entry = {
        .seq = next_seq(r, b),
        .sender = p->sender,
        .size = (uint32_t)p->envelope.n,
        .request = p->request,
    };
    uint32_t day = (uint32_t)(sotto_now_ms(r->env) / DAY_MS);
    struct effect *f;
    enum sotto_err e;

    mark_dirty(r, b);
    b->last_seq = entry.seq;
    if ((e = sotto_rs_box_put(r->store, b->id, entry.seq, id, day, p->request, p->envelope)) != 0 ||
        (e = entry_add(b, entry)) != 0)
        return e;
    if ((f = sotto_relay_effect(r, EFFECT_ENVELOPE)) == NULL)
        return SOTTO_ERR_NOMEM;
    f->box = b->id;
    return SOTTO_OK;
}

enum sotto_err sotto_relay_box_store(struct sotto_relay *r, int64_t box,
                                     const struct parcel_in *parcel,
                                     enum sotto_parcel_state *ret_state)
{
    struct box *b = sotto_relay_box(r, box);
    uint8_t id[SOTTO_ENVELOPE_ID];
    enum sotto_parcel_state state;
    enum sotto_err e;

    if (b == NULL)
        return SOTTO_ERR_NOMEM;
    if ((e = load(r, b)) != 0)
        return e;
    sotto_envelope_id(parcel->envelope.p, parcel->envelope.n, id);
    /* Sent again because the answer was lost: it is there, whatever room is left. */
    e = sotto_rs_box_has(r->store, box, id);
    if (e == 0)
        *ret_state = SOTTO_PARCEL_STORED;
    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    state = room_for(r, b, parcel);
    if (state == SOTTO_PARCEL_STORED && (e = put(r, b, parcel, id)) != 0)
        return e;
    *ret_state = state;
    return SOTTO_OK;
}

/* --- taking out --- */

static void entries_drop(struct box *b, uint64_t seq)
{
    size_t n = 0;

    while (n < b->count && b->entries[n].seq <= seq) {
        b->lane_count[b->entries[n].request]--;
        b->lane_bytes[b->entries[n].request] -= b->entries[n].size;
        n++;
    }
    if (n == 0)
        return;
    memmove(b->entries, b->entries + n, (b->count - n) * sizeof *b->entries);
    b->count -= n;
}

enum sotto_err sotto_relay_box_drop(struct sotto_relay *r, int64_t box, uint64_t seq)
{
    struct box *b = sotto_relay_box(r, box);
    enum sotto_err e;

    if (b == NULL)
        return SOTTO_ERR_NOMEM;
    if (seq > b->acked)
        b->acked = seq;
    mark_dirty(r, b);
    if ((e = sotto_rs_box_drop(r->store, box, seq)) == 0 && b->loaded)
        entries_drop(b, seq);
    return e;
}

enum sotto_err sotto_relay_box_expire(struct sotto_relay *r, int64_t box, uint32_t before_day)
{
    struct box *b = sotto_relay_box_known(r, box);
    uint32_t dropped = 0;
    enum sotto_err e = sotto_rs_box_expire(r->store, box, before_day, &dropped);

    if (e == 0 && dropped > 0 && b != NULL)
        sotto_relay_box_changed(r, b);
    return e;
}

enum sotto_err sotto_relay_ack(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    uint64_t seq = q->u.ack.seq;
    enum sotto_err e;

    if (seq > c->cursor)
        seq = c->cursor; /* nothing was sent beyond: such a number is a mistake */
    while (c->flight_count > 0 && c->flights[c->flight_first].seq <= seq) {
        c->flight_bytes -= c->flights[c->flight_first].size;
        c->flight_first = (c->flight_first + 1) % c->flight_room;
        c->flight_count--;
    }
    if ((e = sotto_relay_box_drop(c->r, c->s.box, seq)) != 0)
        return e;
    if (c->more)
        sotto_relay_want_pump(c);
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

/* --- to the device --- */

void sotto_relay_window_reset(struct sotto_relay_conn *c, uint64_t cursor)
{
    c->cursor = cursor;
    c->flight_first = c->flight_count = 0;
    c->flight_bytes = 0;
    c->more = true;
}

static bool window_open(const struct sotto_relay_conn *c)
{
    return c->flight_count < WINDOW_COUNT && c->flight_bytes < WINDOW_BYTES &&
           c->out.n + c->pending < OUTPUT_HIGH;
}

static bool flight_add(struct sotto_relay_conn *c, uint64_t seq, size_t size)
{
    if (c->flight_count == c->flight_room) {
        size_t room = c->flight_room == 0 ? 8 : c->flight_room * 2;
        struct flight *grown = malloc(room * sizeof *grown);

        if (grown == NULL)
            return false;
        for (size_t i = 0; i < c->flight_count; i++)
            grown[i] = c->flights[(c->flight_first + i) % c->flight_room];
        free(c->flights);
        c->flights = grown;
        c->flight_room = room;
        c->flight_first = 0;
    }
    c->flights[(c->flight_first + c->flight_count) % c->flight_room] =
        (struct flight){seq, (uint32_t)size};
    c->flight_count++;
    c->flight_bytes += size;
    return true;
}

static enum sotto_err send_row(void *ctx, uint64_t seq, bool request, struct sotto_bytes envelope)
{
    struct sotto_relay_conn *c = ctx;
    struct sotto_answer a = {.type = SOTTO_ANS_DELIVER};

    if (!window_open(c))
        return SOTTO_ERR_AGAIN;
    if (!flight_add(c, seq, envelope.n))
        return SOTTO_ERR_NOMEM;
    a.u.deliver.seq = seq;
    a.u.deliver.envelope = envelope;
    a.u.deliver.request = request;
    sotto_relay_answer(c, &a);
    if (c->s.ending)
        return SOTTO_ERR_AGAIN;
    c->cursor = seq;
    return SOTTO_OK;
}

void sotto_relay_pump(struct sotto_relay_conn *c)
{
    while (c->more && c->s.stage == STAGE_BEGUN && !c->s.ending && window_open(c)) {
        uint64_t before = c->cursor;
        enum sotto_err e =
            sotto_rs_box_read(c->r->store, c->s.box, c->cursor, READ_AT_ONCE, send_row, c);

        if (e == SOTTO_ERR_AGAIN)
            return;
        if (e != 0) {
            sotto_log_local("a mailbox could not be read: %s", sotto_err_text(e));
            sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, "the relay could not read the mailbox");
            return;
        }
        if (c->cursor == before)
            c->more = false;
    }
}
