/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store/profile_db.h"

/* What a person wrote or got, and the counters that show a gap. */

/* As enum sotto_message_state of the public header, which this layer does not know. */
enum { QUEUED = 2, STORED, DELIVERED, READ, FAILED };

#define MESSAGE_COLUMNS                                                                            \
    "row, id, peer, sender, device, kind, outgoing, shown, request, gap, state, counter,"          \
    " sent_at_ms, received_at_ms, stored_at_ms, text, content, reason"

/* --- reading --- */

static enum sotto_err read_message(const struct sotto_rows *rows, struct sotto_message_record *m)
{
    enum sotto_err e;

    memset(m, 0, sizeof *m);
    if ((e = sotto_rows_copy(rows, 1, m->id, sizeof m->id)) != 0 ||
        (e = sotto_profile_name(rows, 2, m->peer)) != 0 ||
        (e = sotto_profile_name(rows, 3, m->from)) != 0)
        return e;
    m->row = sotto_rows_int(rows, 0);
    m->device = sotto_rows_uint(rows, 4);
    m->kind = (uint32_t)sotto_rows_int(rows, 5);
    m->outgoing = sotto_rows_int(rows, 6) != 0;
    m->shown = sotto_rows_int(rows, 7) != 0;
    m->request = sotto_rows_int(rows, 8) != 0;
    m->gap = sotto_rows_int(rows, 9) != 0;
    m->state = (uint32_t)sotto_rows_int(rows, 10);
    m->counter = sotto_rows_uint(rows, 11);
    m->sent_at_ms = sotto_rows_uint(rows, 12);
    m->received_at_ms = sotto_rows_uint(rows, 13);
    m->stored_at_ms = sotto_rows_uint(rows, 14);
    m->text = sotto_rows_blob(rows, 15);
    m->content = sotto_rows_blob(rows, 16);
    m->reason = sotto_rows_text(rows, 17);
    return SOTTO_OK;
}

/* Hands out the rows of an opened query (e: what opening it gave). */
static enum sotto_err each_message(struct sotto_rows *rows, enum sotto_err e, sotto_message_fn *fn,
                                   void *ctx)
{
    struct sotto_message_record m;

    while (e == SOTTO_OK && (e = sotto_rows_next(rows)) == SOTTO_OK) {
        if ((e = read_message(rows, &m)) == SOTTO_OK)
            e = fn(ctx, &m);
    }
    return sotto_profile_walked(rows, e);
}

enum sotto_err sotto_message_known(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID])
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows, "SELECT 1 FROM message WHERE id = ?", "b", id,
                                      (size_t)SOTTO_CONTENT_ID);

    if (e == SOTTO_OK)
        e = sotto_rows_next(&rows);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_message_get(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID],
                                 sotto_message_fn *fn, void *ctx)
{
    struct sotto_message_record m;
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT " MESSAGE_COLUMNS " FROM message WHERE id = ? AND deleted = 0", "b",
        id, (size_t)SOTTO_CONTENT_ID);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK &&
        (e = read_message(&rows, &m)) == SOTTO_OK)
        e = fn(ctx, &m);
    sotto_rows_done(&rows);
    return e;
}

/* No limit is -1 in SQL. */
static int64_t limit_of(uint32_t limit)
{
    return limit == 0 ? -1 : (int64_t)limit;
}

enum sotto_err sotto_message_history(struct sotto_profile *p, const char *peer, uint32_t limit,
                                     sotto_message_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT " MESSAGE_COLUMNS " FROM message WHERE row IN"
                                      " (SELECT row FROM message WHERE peer = ? AND deleted = 0"
                                      "   ORDER BY place DESC, counter DESC, row DESC LIMIT ?)"
                                      " ORDER BY place, counter, row",
                                      "si", peer, limit_of(limit));

    return each_message(&rows, e, fn, ctx);
}

#define UNSHOWN                                                                                    \
    "SELECT " MESSAGE_COLUMNS " FROM message WHERE outgoing = 0 AND shown = 0 AND deleted = 0"     \
    " AND row > ? AND NOT EXISTS"                                                                  \
    " (SELECT 1 FROM contact WHERE contact.name = message.peer AND contact.state = ?)"

enum sotto_err sotto_message_unshown(struct sotto_profile *p, const char *peer, int64_t after,
                                     uint32_t limit, sotto_message_fn *fn, void *ctx)
{
    const int64_t blocked = SOTTO_CONTACT_BLOCKED;
    struct sotto_rows rows;
    enum sotto_err e =
        peer == NULL ? sotto_db_query(p->db, &rows, UNSHOWN " ORDER BY place, counter, row LIMIT ?",
                                      "iii", after, blocked, limit_of(limit))
                     : sotto_db_query(p->db, &rows,
                                      UNSHOWN " AND peer = ? ORDER BY place, counter, row LIMIT ?",
                                      "iisi", after, blocked, peer, limit_of(limit));

    return each_message(&rows, e, fn, ctx);
}

enum sotto_err sotto_message_stored_before(struct sotto_profile *p, uint64_t before_ms,
                                           sotto_message_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT " MESSAGE_COLUMNS " FROM message WHERE outgoing = 1"
                                      " AND deleted = 0 AND state = ? AND stored_at_ms < ?"
                                      " ORDER BY stored_at_ms, row",
                                      "iu", (int64_t)STORED, before_ms);

    return each_message(&rows, e, fn, ctx);
}

enum sotto_err sotto_message_counts(struct sotto_profile *p, uint32_t *ret_queued,
                                    uint32_t *ret_undelivered)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT (SELECT count(*) FROM message"
                                      "   WHERE outgoing = 1 AND deleted = 0 AND state = ?),"
                                      " (SELECT count(*) FROM message"
                                      "   WHERE outgoing = 1 AND deleted = 0 AND state = ?)",
                                      "ii", (int64_t)QUEUED, (int64_t)STORED);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        *ret_queued = (uint32_t)sotto_rows_int(&rows, 0);
        *ret_undelivered = (uint32_t)sotto_rows_int(&rows, 1);
    }
    sotto_rows_done(&rows);
    return e;
}

/* --- writing --- */

/*
 * A message that was overtaken goes before those that its sender's device wrote after it and that
 * nobody has seen yet: it shares the place of the first of them, where the counter decides. So it
 * is enough to move one row, however many have overtaken it. What was missing before that one may
 * have come with it.
 */
static enum sotto_err put_in_place(struct sotto_profile *p, struct sotto_message_record *m)
{
    struct sotto_rows rows;
    int64_t place = m->row, next = 0;
    bool fills = false, gap = false;
    enum sotto_err e = SOTTO_ERR_NOT_FOUND;

    if (!m->outgoing && !m->shown && m->counter != 0) {
        e = sotto_db_query(p->db, &rows,
                           "SELECT row, place, gap, counter FROM message WHERE outgoing = 0"
                           " AND deleted = 0 AND peer = ? AND device = ? AND counter > ?"
                           " AND shown = 0 ORDER BY counter LIMIT 1",
                           "suu", m->peer, m->device, m->counter);
        if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
            next = sotto_rows_int(&rows, 0);
            place = sotto_rows_int(&rows, 1);
            gap = sotto_rows_int(&rows, 2) != 0;
            fills = gap && sotto_rows_uint(&rows, 3) == m->counter + 1;
        }
        sotto_rows_done(&rows);
    }
    if (e != SOTTO_OK && e != SOTTO_ERR_NOT_FOUND)
        return e;
    if (fills &&
        (e = sotto_db_run(p->db, "UPDATE message SET gap = 0 WHERE row = ?", "i", next)) != 0)
        return e;
    return sotto_db_run(p->db,
                        "UPDATE message SET place = ?1, gap = gap OR (?2 AND NOT EXISTS"
                        " (SELECT 1 FROM message b WHERE b.outgoing = 0 AND b.deleted = 0"
                        "   AND b.peer = ?3 AND b.device = ?4 AND b.counter = ?5))"
                        " WHERE row = ?6",
                        "iisuui", place, (int64_t)gap, m->peer, m->device, m->counter - 1, m->row);
}

static enum sotto_err insert_message(struct sotto_profile *p, struct sotto_message_record *m)
{
    enum sotto_err e = sotto_db_run(
        p->db,
        "INSERT INTO message (id, peer, sender, device, kind, outgoing, shown, request, gap, state,"
        " counter, sent_at_ms, received_at_ms, stored_at_ms, text, content, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "bssuiiiiiiuuuubbs", m->id, sizeof m->id, m->peer, m->from, m->device, (int64_t)m->kind,
        (int64_t)m->outgoing, (int64_t)m->shown, (int64_t)m->request, (int64_t)m->gap,
        (int64_t)m->state, m->counter, m->sent_at_ms, m->received_at_ms, m->stored_at_ms, m->text.p,
        m->text.n, m->content.p, m->content.n, m->reason != NULL ? m->reason : "");

    if (e == SOTTO_OK)
        m->row = sotto_db_last_id(p->db);
    return e;
}

enum sotto_err sotto_message_add(struct sotto_profile *p, struct sotto_message_record *m)
{
    enum sotto_err e = sotto_db_begin(p->db);

    if (e != SOTTO_OK)
        return e;
    if ((e = insert_message(p, m)) == SOTTO_OK)
        e = put_in_place(p, m);
    return sotto_profile_end(p, e);
}

/*
 * The rule of states in one place: a state rises; FAILED takes the place of QUEUED and STORED, and
 * of FAILED anything may take the place (the person sends again, a late receipt comes). What was
 * received has no such states.
 */
enum sotto_err sotto_message_set_state(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID],
                                       uint32_t state, const char *reason, uint64_t now_ms,
                                       bool *ret_changed)
{
    bool changed;
    enum sotto_err e;

    if (state < QUEUED || state > FAILED)
        return SOTTO_ERR_USAGE;
    e = sotto_db_run(p->db,
                     "UPDATE message SET state = ?1, reason = ?2,"
                     " stored_at_ms = iif(?1 = 3, ?3, stored_at_ms)"
                     " WHERE id = ?4 AND deleted = 0 AND outgoing = 1 AND state <> ?1 AND"
                     " CASE WHEN state = 6 THEN 1 WHEN ?1 = 6 THEN state <= 3 ELSE ?1 > state END",
                     "usub", (uint64_t)state, state == FAILED && reason != NULL ? reason : "",
                     now_ms, id, (size_t)SOTTO_CONTENT_ID);
    if (e != SOTTO_OK)
        return e;
    changed = sotto_db_changes(p->db) > 0;
    if (!changed) {
        struct sotto_rows rows;

        e = sotto_db_query(p->db, &rows, "SELECT 1 FROM message WHERE id = ? AND deleted = 0", "b",
                           id, (size_t)SOTTO_CONTENT_ID);
        if (e == SOTTO_OK)
            e = sotto_rows_next(&rows);
        sotto_rows_done(&rows);
        if (e != SOTTO_OK)
            return e;
    }
    *ret_changed = changed;
    return SOTTO_OK;
}

enum sotto_err sotto_message_set_shown(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID])
{
    return sotto_profile_one_changed(
        p, sotto_db_run(p->db, "UPDATE message SET shown = 1 WHERE id = ? AND deleted = 0", "b", id,
                        (size_t)SOTTO_CONTENT_ID));
}

enum sotto_err sotto_message_clear_request(struct sotto_profile *p, const char *peer)
{
    return sotto_db_run(p->db,
                        "UPDATE message SET request = 0"
                        " WHERE peer = ? AND deleted = 0 AND request = 1",
                        "s", peer);
}

enum sotto_err sotto_message_delete(struct sotto_profile *p, const uint8_t id[SOTTO_CONTENT_ID])
{
    /* `shown` stays as it was: the trigger looks at it to count the unread ones. */
    return sotto_profile_one_changed(
        p, sotto_db_run(p->db,
                        "UPDATE message SET deleted = 1, peer = '', sender = '', device = 0,"
                        " request = 0, counter = 0, sent_at_ms = 0, received_at_ms = 0,"
                        " stored_at_ms = 0, text = x'', content = x'', reason = ''"
                        " WHERE id = ? AND deleted = 0",
                        "b", id, (size_t)SOTTO_CONTENT_ID));
}

/* --- counters --- */

enum sotto_err sotto_counter_next(struct sotto_profile *p,
                                  const uint8_t conversation[SOTTO_CONVERSATION_ID], uint64_t *ret)
{
    struct sotto_rows rows;
    uint64_t next = 0;
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_query(p->db, &rows,
                       "INSERT INTO counter_out (conversation, counter) VALUES (?, 1)"
                       " ON CONFLICT (conversation) DO UPDATE SET counter = counter + 1"
                       " RETURNING counter",
                       "b", conversation, (size_t)SOTTO_CONVERSATION_ID);
    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        next = sotto_rows_uint(&rows, 0);
    sotto_rows_done(&rows);
    if ((e = sotto_profile_end(p, e)) == SOTTO_OK)
        *ret = next;
    return e;
}

enum sotto_err sotto_counter_seen(struct sotto_profile *p,
                                  const uint8_t conversation[SOTTO_CONVERSATION_ID],
                                  uint64_t device, uint64_t *ret)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT counter FROM counter_in WHERE conversation = ? AND device = ?", "bu",
        conversation, (size_t)SOTTO_CONVERSATION_ID, device);

    if (e == SOTTO_OK)
        e = sotto_rows_next(&rows);
    if (e == SOTTO_OK || e == SOTTO_ERR_NOT_FOUND) {
        *ret = e == SOTTO_OK ? sotto_rows_uint(&rows, 0) : 0;
        e = SOTTO_OK;
    }
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_counter_note(struct sotto_profile *p,
                                  const uint8_t conversation[SOTTO_CONVERSATION_ID],
                                  uint64_t device, uint64_t counter)
{
    return sotto_db_run(p->db,
                        "INSERT INTO counter_in (conversation, device, counter) VALUES (?, ?, ?)"
                        " ON CONFLICT (conversation, device) DO UPDATE"
                        " SET counter = excluded.counter",
                        "buu", conversation, (size_t)SOTTO_CONVERSATION_ID, device, counter);
}
