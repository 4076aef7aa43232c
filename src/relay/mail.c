/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where stored envelopes lie. The envelopes of one turn become one row; the entries of the boxes
 * know the row and the place in it, so nothing has to be searched. A row is deleted when its last
 * envelope is not wanted any more, with some later turn: a relay that dies before finds them again
 * and drops them when the device says how far it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "relay/core.h"

#define REAP_TURN    16    /* rows that a turn deletes along with its own work */
#define REAP_SWEEP   20000 /* and one that has nothing else to do */
#define COMPACT_ROWS 64
#define WASTE        4 /* a row is written anew when less than 1/4 of it is wanted */

/* --- lists of rows --- */

static void row_link(struct row **head, struct row *row)
{
    row->prev = NULL;
    row->next = *head;
    if (row->next != NULL)
        row->next->prev = row;
    *head = row;
}

static void row_unlink(struct row **head, struct row *row)
{
    if (row->prev != NULL)
        row->prev->next = row->next;
    else
        *head = row->next;
    if (row->next != NULL)
        row->next->prev = row->prev;
}

/* Between the rows that are wanted and the dead ones. */
static void row_move(struct mail *m, struct row *row, bool listed)
{
    row_unlink(row->listed ? &m->rows : &m->dead, row);
    row_link(listed ? &m->rows : &m->dead, row);
    row->listed = listed;
}

static void rows_free(struct row **head)
{
    for (struct row *row = *head, *next; row != NULL; row = next) {
        next = row->next;
        free(row);
    }
    *head = NULL;
}

void sotto_mail_free(struct sotto_relay *r)
{
    struct mail *m = &r->mail;

    for (size_t i = 0; i < m->placed_count; i++)
        sotto_live_discard(m->placed[i].old_live);
    for (size_t i = 0; i < m->fresh_count; i++)
        free(m->fresh[i]);
    free(m->current);
    rows_free(&m->rows);
    rows_free(&m->dead);
    rows_free(&m->reaped);
    free(m->places);
    free(m->placed);
    free(m->fresh);
    sotto_buf_free(&m->bytes);
    sotto_idset_free(&m->ids);
}

void sotto_mail_unwanted(struct sotto_relay *r, struct row *row, uint32_t size)
{
    struct mail *m = &r->mail;

    row->left--;
    row->left_bytes -= size;
    m->waiting--;
    m->waiting_bytes -= size;
    if (row->left <= (SOTTO_PLANTED(MUTANT_ROW_EARLY) ? 1u : 0u) &&
        row->listed) /* others are looked at when their turn is over */
        row_move(m, row, false);
}

static void wanted(struct sotto_relay *r, struct row *row, uint32_t size)
{
    row->left++;
    row->left_bytes += size;
    r->mail.waiting++;
    r->mail.waiting_bytes += size;
}

/* --- at the start --- */

struct loading {
    struct sotto_relay *r;
    struct row *row;
    struct box *box; /* of the entry before */
    uint64_t floor;  /* of box; UINT64_MAX: nobody has it */
};

static enum sotto_err load_box(struct loading *l, int64_t id)
{
    enum sotto_err e;

    if (l->box != NULL && l->box->id == id)
        return SOTTO_OK;
    if ((l->box = sotto_relay_box(l->r, id)) == NULL)
        return SOTTO_ERR_NOMEM;
    if (l->box->floor != 0)
        return SOTTO_OK;
    e = sotto_rs_floor(l->r->store, id, &l->box->floor);
    if (e == SOTTO_ERR_NOT_FOUND)
        l->box->floor = UINT64_MAX;
    else if (l->box->floor == 0)
        l->box->floor = 1; /* known; no number is as low */
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

static enum sotto_err load_place(void *ctx, int64_t id, const struct sotto_rs_place *p)
{
    struct loading *l = ctx;
    struct mail *m = &l->r->mail;
    struct box_entry entry = {
        .seq = p->seq,
        .id = sotto_get_u64(p->id),
        .at = p->at,
        .size = p->len,
        .day = p->day,
        .request = p->request,
    };
    enum sotto_err e;

    if (l->row == NULL || l->row->id != id) {
        if ((l->row = calloc(1, sizeof *l->row)) == NULL)
            return SOTTO_ERR_NOMEM;
        l->row->id = id;
        l->row->listed = true;
        row_link(&m->rows, l->row);
    }
    l->row->bytes += p->len;
    entry.row = l->row;
    if ((e = load_box(l, p->box)) != 0)
        return e;
    if (p->seq <= l->box->floor || sotto_box_find(l->box, p->seq) != NULL)
        return SOTTO_OK;
    if (!sotto_idset_add(&m->ids, sotto_idset_key(p->box, entry.id)))
        return SOTTO_ERR_NOMEM;
    if ((e = sotto_box_add(l->box, &entry)) == 0)
        wanted(l->r, l->row, p->len);
    return e;
}

enum sotto_err sotto_mail_load(struct sotto_relay *r)
{
    struct loading l = {.r = r};
    enum sotto_err e = sotto_rs_mail_each(r->store, load_place, &l);

    for (struct row *row = r->mail.rows, *next; row != NULL; row = next) {
        next = row->next;
        if (row->left == 0)
            row_move(&r->mail, row, false);
    }
    return e;
}

/* --- a turn --- */

/* Makes room for one more element at the end of a growing array. */
static void *grown(void *array, size_t count, size_t *room, size_t size)
{
    size_t more = *room == 0 ? 64 : *room * 2;
    void *p;

    if (count < *room)
        return array;
    if ((p = realloc(array, more * size)) != NULL)
        *room = more;
    return p;
}

static enum sotto_err make_room(struct mail *m)
{
    void *places = grown(m->places, m->place_count, &m->place_room, sizeof *m->places);
    void *placed, *fresh;

    if (places == NULL)
        return SOTTO_ERR_NOMEM;
    m->places = places;
    if ((placed = grown(m->placed, m->placed_count, &m->placed_room, sizeof *m->placed)) == NULL)
        return SOTTO_ERR_NOMEM;
    m->placed = placed;
    if ((fresh = grown(m->fresh, m->fresh_count, &m->fresh_room, sizeof(struct row *))) == NULL)
        return SOTTO_ERR_NOMEM;
    m->fresh = fresh;
    if (m->current == NULL && (m->current = calloc(1, sizeof *m->current)) == NULL)
        return SOTTO_ERR_NOMEM;
    return SOTTO_OK;
}

static enum sotto_err row_write(struct sotto_relay *r)
{
    struct mail *m = &r->mail;
    enum sotto_err e;

    if (m->place_count == 0)
        return SOTTO_OK;
    e = sotto_rs_mail_add(r->store, m->places, m->place_count,
                          (struct sotto_bytes){m->bytes.p, m->bytes.n}, &m->current->id);
    if (e != 0)
        return e;
    m->current->bytes = m->bytes.n;
    m->fresh[m->fresh_count++] = m->current;
    m->current = NULL;
    m->place_count = 0;
    m->bytes.n = 0;
    return SOTTO_OK;
}

enum sotto_err sotto_mail_put(struct sotto_relay *r, struct box *b, struct box_entry *entry,
                              const uint8_t id[SOTTO_ENVELOPE_ID], const uint8_t *bytes)
{
    struct mail *m = &r->mail;
    struct placed placed = {
        .box = b,
        .seq = entry->seq,
        .old_live = entry->live,
        .old_row = entry->row,
        .old_at = entry->at,
    };
    struct sotto_rs_place place = {
        .box = b->id,
        .seq = entry->seq,
        .len = entry->size,
        .day = entry->day,
        .request = entry->request,
    };
    enum sotto_err e = make_room(m);

    if (e == 0 && m->bytes.n + entry->size > ROW_BYTES && (e = row_write(r)) == 0)
        e = make_room(m);
    if (e != 0)
        return e;
    memcpy(place.id, id, sizeof place.id);
    place.at = (uint32_t)m->bytes.n;
    if ((e = sotto_buf_add(&m->bytes, bytes, entry->size)) != 0)
        return e;
    /* Last of what can fail: an id that stays without its envelope would make a resend count as
     * stored. */
    if (!sotto_idset_add(&m->ids, sotto_idset_key(b->id, sotto_get_u64(id)))) {
        m->bytes.n -= entry->size;
        return SOTTO_ERR_NOMEM;
    }
    m->places[m->place_count++] = place;
    m->placed[m->placed_count++] = placed;
    if (entry->live == NULL && entry->row == NULL)
        sotto_count(&r->counters, SOTTO_COUNT_BYTES_IN, entry->size);
    if (entry->live != NULL)
        sotto_live_unlink(r, entry->live);
    if (entry->row != NULL)
        sotto_mail_unwanted(r, entry->row, entry->size);
    entry->live = NULL;
    entry->row = m->current;
    entry->at = place.at;
    entry->id = sotto_get_u64(id);
    wanted(r, m->current, entry->size);
    return SOTTO_OK;
}

static enum sotto_err reap(struct sotto_relay *r, size_t max)
{
    struct mail *m = &r->mail;
    enum sotto_err e = SOTTO_OK;

    while (m->dead != NULL && max-- > 0) {
        struct row *row = m->dead;

        if ((e = sotto_rs_mail_drop(r->store, row->id)) != 0)
            return e;
        row_unlink(&m->dead, row);
        row_link(&m->reaped, row);
    }
    return e;
}

enum sotto_err sotto_mail_write(struct sotto_relay *r)
{
    enum sotto_err e = row_write(r);

    return e != 0 ? e : reap(r, r->sweeping ? REAP_SWEEP : REAP_TURN);
}

/* --- after it --- */

static void keep_placed(struct sotto_relay *r, const struct placed *p)
{
    if (p->old_row == NULL)
        sotto_count(&r->counters, SOTTO_COUNT_STORED, 1);
    if (p->old_live == NULL)
        return;
    p->old_live->answer->spilled = true;
    sotto_answer_ripen(r, p->old_live->answer, true);
    free(p->old_live);
}

/* An envelope that was live goes from the box: its sender is told, and hands it in again. So do
 * those behind it that are live still, or they would overtake it. */
static void undo_placed(struct sotto_relay *r, const struct placed *p)
{
    struct box_entry *e = sotto_box_find(p->box, p->seq);

    if (p->old_live != NULL) {
        sotto_answer_ripen(r, p->old_live->answer,
                           e == NULL || /* acknowledged meanwhile */
                               SOTTO_PLANTED(MUTANT_SPILL_ANSWERED));
        free(p->old_live);
    }
    if (e == NULL)
        return;
    if (p->old_row != NULL) {
        sotto_mail_unwanted(r, e->row, e->size);
        e->row = p->old_row;
        e->at = p->old_at;
        if (!e->row->listed)
            row_move(&r->mail, e->row, true);
        wanted(r, e->row, e->size);
    } else {
        sotto_box_remove(r, p->box, p->seq);
        sotto_live_refuse(r, p->box);
    }
}

static void settle_fresh(struct mail *m, bool committed)
{
    for (size_t i = 0; i < m->fresh_count; i++) {
        struct row *row = m->fresh[i];

        if (committed) {
            row->listed = row->left > 0;
            row_link(row->listed ? &m->rows : &m->dead, row);
        } else {
            free(row);
        }
    }
    m->fresh_count = 0;
}

static void settle_reaped(struct mail *m, bool committed)
{
    struct row *row;

    while ((row = m->reaped) != NULL) {
        row_unlink(&m->reaped, row);
        if (committed)
            free(row);
        else
            row_link(&m->dead, row);
    }
}

void sotto_mail_settle(struct sotto_relay *r, bool committed)
{
    struct mail *m = &r->mail;

    settle_reaped(m, committed);
    /* From the last to the first, as a later one may lie where an earlier one put it. */
    for (size_t i = m->placed_count; i-- > 0 && !committed;)
        undo_placed(r, &m->placed[i]);
    for (size_t i = 0; i < m->placed_count && committed; i++)
        keep_placed(r, &m->placed[i]);
    m->placed_count = m->place_count = 0;
    m->bytes.n = 0;
    free(m->current);
    m->current = NULL;
    settle_fresh(m, committed);
}

/* --- giving back to the disk --- */

bool sotto_mail_has_waste(const struct sotto_relay *r)
{
    return r->mail.dead != NULL;
}

static enum sotto_err move(void *ctx, int64_t id, const struct sotto_rs_place *p)
{
    struct sotto_relay *r = ctx;
    struct box *b = sotto_relay_box_known(r, p->box);
    struct box_entry *e = b != NULL ? sotto_box_find(b, p->seq) : NULL;
    uint8_t *bytes;
    enum sotto_err err;

    if (e == NULL || e->row == NULL || e->row->id != id)
        return SOTTO_OK;
    if ((bytes = malloc(e->size + 1)) == NULL)
        return SOTTO_ERR_NOMEM;
    if ((err = sotto_rs_mail_read(r->store, id, e->at, e->size, bytes)) == 0)
        err = sotto_mail_put(r, b, e, p->id, bytes);
    free(bytes);
    return err;
}

enum sotto_err sotto_mail_compact(struct sotto_relay *r)
{
    struct mail *m = &r->mail;
    struct row *wasted[COMPACT_ROWS];
    size_t count = 0;
    enum sotto_err e = SOTTO_OK;

    for (struct row *row = m->rows; row != NULL && count < COMPACT_ROWS; row = row->next)
        if (row->left_bytes < row->bytes / WASTE)
            wasted[count++] = row;
    for (size_t i = 0; e == 0 && i < count; i++)
        e = sotto_rs_mail_places(r->store, wasted[i]->id, move, r);
    return e;
}
