/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mutant.h"
#include "store/profile_db.h"

/* What arrived before, what did not open, and the receipts that are due for what did. */

enum { QUARANTINE_COUNT = 256, QUARANTINE_BYTES = 4 * 1024 * 1024 };
enum { SEEN_COUNT = 128 * 1024, SEEN_TRIMMED_EVERY = 1024 };
enum { UNASKED_COUNT = 1024 };

/* --- envelopes that were processed --- */

enum sotto_err sotto_seen_known(struct sotto_profile *p,
                                const uint8_t envelope_id[SOTTO_ENVELOPE_ID])
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT 1 FROM seen WHERE envelope_id = ?1 UNION ALL"
                                      " SELECT 1 FROM quarantine WHERE envelope_id = ?1 LIMIT 1",
                                      "b", envelope_id, (size_t)SOTTO_ENVELOPE_ID);

    if (e == SOTTO_OK)
        e = sotto_rows_next(&rows);
    sotto_rows_done(&rows);
    return SOTTO_PLANTED(MUTANT_SEEN_FORGOTTEN) && e == SOTTO_OK ? SOTTO_ERR_NOT_FOUND : e;
}

/* A relay that makes envelopes of its own must not fill the disk. Counting them is dear, so it is
 * done now and then only. */
static enum sotto_err trim_seen(struct sotto_profile *p)
{
    enum sotto_err e;

    if (p->until_trim > 0) {
        p->until_trim--;
        return SOTTO_OK;
    }
    e = sotto_db_run(p->db,
                     "DELETE FROM seen WHERE envelope_id IN (SELECT envelope_id FROM seen"
                     " ORDER BY seen_ms DESC LIMIT -1 OFFSET ?)",
                     "i", (int64_t)SEEN_COUNT);
    if (e == SOTTO_OK)
        p->until_trim = SEEN_TRIMMED_EVERY - 1;
    return e;
}

enum sotto_err sotto_seen_note(struct sotto_profile *p,
                               const uint8_t envelope_id[SOTTO_ENVELOPE_ID], uint64_t now_ms)
{
    enum sotto_err e = sotto_db_run(p->db, "INSERT INTO seen (envelope_id, seen_ms) VALUES (?, ?)",
                                    "bu", envelope_id, (size_t)SOTTO_ENVELOPE_ID, now_ms);

    if (e == SOTTO_ERR_EXISTS)
        return SOTTO_ERR_REPLAY;
    return e == SOTTO_OK ? trim_seen(p) : e;
}

enum sotto_err sotto_seen_sweep(struct sotto_profile *p, uint64_t before_ms)
{
    return sotto_db_run(p->db, "DELETE FROM seen WHERE seen_ms < ?", "u", before_ms);
}

/* --- quarantine --- */

/* Whoever sends rubbish must not fill the disk, nor keep us busy: finding the oldest is dear, so
 * once a bound is passed an eighth goes. */
static enum sotto_err trim_quarantine(struct sotto_profile *p)
{
    struct sotto_rows rows;
    int64_t count = 0, bytes = 0;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT count(*), coalesce(sum(length(envelope)), 0) FROM quarantine", "");

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        count = sotto_rows_int(&rows, 0);
        bytes = sotto_rows_int(&rows, 1);
    }
    sotto_rows_done(&rows);
    if (e != SOTTO_OK || (count <= QUARANTINE_COUNT && bytes <= QUARANTINE_BYTES))
        return e;
    return sotto_db_run(p->db,
                        "DELETE FROM quarantine WHERE seq NOT IN (SELECT seq FROM"
                        " (SELECT seq, row_number() OVER newest AS place,"
                        "   sum(length(envelope)) OVER newest AS size FROM quarantine"
                        "   WINDOW newest AS (ORDER BY seq DESC))"
                        " WHERE place <= ? AND size <= ?)",
                        "ii", (int64_t)QUARANTINE_COUNT * 7 / 8, (int64_t)QUARANTINE_BYTES * 7 / 8);
}

enum sotto_err sotto_quarantine_add(struct sotto_profile *p,
                                    const uint8_t envelope_id[SOTTO_ENVELOPE_ID],
                                    const void *envelope, size_t len, const char *reason,
                                    uint64_t now_ms)
{
    enum sotto_err e;

    if (len > SOTTO_ENVELOPE_MAX)
        return SOTTO_ERR_TOO_LARGE;
    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_run(p->db,
                     "INSERT OR REPLACE INTO quarantine (envelope_id, reason, added_ms, envelope)"
                     " VALUES (?, ?, ?, ?)",
                     "bsub", envelope_id, (size_t)SOTTO_ENVELOPE_ID, reason, now_ms, envelope, len);
    if (e == SOTTO_OK)
        e = trim_quarantine(p);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_quarantine_count(struct sotto_profile *p, uint32_t *ret)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows, "SELECT count(*) FROM quarantine", "");

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        *ret = (uint32_t)sotto_rows_int(&rows, 0);
    sotto_rows_done(&rows);
    return e;
}

/* --- what is still to be asked for --- */

enum sotto_err sotto_unasked_add(struct sotto_profile *p, const char *sender, uint64_t device,
                                 const uint8_t envelope_id[SOTTO_ENVELOPE_ID], uint64_t now_ms)
{
    enum sotto_err e = sotto_db_begin(p->db);

    if (e != SOTTO_OK)
        return e;
    e = sotto_db_run(p->db,
                     "INSERT INTO unasked (sender, device, envelope_id, added_ms)"
                     " VALUES (?, ?, ?, ?) ON CONFLICT (envelope_id) DO NOTHING",
                     "subu", sender, device, envelope_id, (size_t)SOTTO_ENVELOPE_ID, now_ms);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db,
                         "DELETE FROM unasked WHERE (SELECT count(*) FROM unasked) > ? AND seq ="
                         " (SELECT min(seq) FROM unasked GROUP BY sender"
                         "   ORDER BY count(*) DESC, min(seq) LIMIT 1)",
                         "i", (int64_t)UNASKED_COUNT);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_unasked_senders(struct sotto_profile *p, sotto_name_fn *fn, void *ctx)
{
    return sotto_profile_each_name(p, "SELECT DISTINCT sender FROM unasked ORDER BY sender", fn,
                                   ctx);
}

enum sotto_err sotto_unasked_take(struct sotto_profile *p, const char *sender,
                                  struct sotto_unasked *ret)
{
    struct sotto_rows rows;
    struct sotto_unasked got;
    int64_t seq = 0;
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_query(p->db, &rows,
                       "SELECT seq, device, envelope_id FROM unasked WHERE sender = ?"
                       " ORDER BY seq LIMIT 1",
                       "s", sender);
    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        seq = sotto_rows_int(&rows, 0);
        got.device = sotto_rows_uint(&rows, 1);
        e = sotto_rows_copy(&rows, 2, got.envelope_id, sizeof got.envelope_id);
    }
    sotto_rows_done(&rows);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db, "DELETE FROM unasked WHERE seq = ?", "i", seq);
    if ((e = sotto_profile_end(p, e)) == SOTTO_OK)
        *ret = got;
    return e;
}

enum sotto_err sotto_unasked_drop(struct sotto_profile *p, const char *sender)
{
    return sotto_db_run(p->db, "DELETE FROM unasked WHERE sender = ?", "s", sender);
}

enum sotto_err sotto_unasked_sweep(struct sotto_profile *p, uint64_t before_ms)
{
    return sotto_db_run(p->db, "DELETE FROM unasked WHERE added_ms < ?", "u", before_ms);
}

/* --- receipts --- */

enum sotto_err sotto_due_add(struct sotto_profile *p, const char *peer,
                             const uint8_t content_id[SOTTO_CONTENT_ID],
                             enum sotto_receipt_state state)
{
    return sotto_db_run(p->db,
                        "INSERT INTO due (peer, content_id, state) VALUES (?, ?, ?)"
                        " ON CONFLICT (peer, content_id) DO UPDATE"
                        " SET state = max(state, excluded.state)",
                        "sbi", peer, content_id, (size_t)SOTTO_CONTENT_ID, (int64_t)state);
}

#define DUE_AGAIN                                                                                  \
    "INSERT INTO due (peer, content_id, state)"                                                    \
    " SELECT peer, id, CASE WHEN shown THEN ?1 ELSE ?2 END FROM"                                   \
    "   (SELECT row, peer, id, shown FROM message WHERE outgoing = 0 AND deleted = 0"              \
    "     AND request = 0 AND received_at_ms >= ?3"
#define DUE_AGAIN_ENDS                                                                             \
    " LIMIT ?4) WHERE peer IN (SELECT name FROM contact WHERE state = ?5) ORDER BY row"            \
    " ON CONFLICT (peer, content_id) DO UPDATE SET state = max(state, excluded.state)"

enum sotto_err sotto_due_again(struct sotto_profile *p, const char *peer, uint64_t since_ms,
                               uint32_t most)
{
    const int64_t delivered = SOTTO_RECEIPT_DELIVERED, read = SOTTO_RECEIPT_READ;
    const int64_t accepted = SOTTO_CONTACT_ACCEPTED;

    return peer == NULL
               ? sotto_db_run(p->db, DUE_AGAIN " ORDER BY row DESC" DUE_AGAIN_ENDS, "iiuii", read,
                              delivered, since_ms, (int64_t)most, accepted)
               : sotto_db_run(p->db,
                              DUE_AGAIN " AND peer = ?6 ORDER BY place DESC, counter DESC,"
                                        " row DESC" DUE_AGAIN_ENDS,
                              "iiuiis", read, delivered, since_ms, (int64_t)most, accepted, peer);
}

enum sotto_err sotto_due_peers(struct sotto_profile *p, sotto_name_fn *fn, void *ctx)
{
    return sotto_profile_each_name(p, "SELECT DISTINCT peer FROM due ORDER BY peer", fn, ctx);
}

enum sotto_err sotto_due_take(struct sotto_profile *p, const char *peer,
                              enum sotto_receipt_state state,
                              uint8_t ret[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID], size_t *ret_count)
{
    struct sotto_rows rows;
    int64_t last = 0;
    size_t n = 0;
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_query(p->db, &rows,
                       "SELECT seq, content_id FROM due WHERE peer = ? AND state = ?"
                       " ORDER BY seq LIMIT ?",
                       "sii", peer, (int64_t)state, (int64_t)SOTTO_RECEIPT_IDS);
    while (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        last = sotto_rows_int(&rows, 0);
        e = sotto_rows_copy(&rows, 1, ret[n++], SOTTO_CONTENT_ID);
    }
    e = sotto_profile_walked(&rows, e);
    if (e == SOTTO_OK && n > 0)
        e = sotto_db_run(p->db, "DELETE FROM due WHERE peer = ? AND state = ? AND seq <= ?", "sii",
                         peer, (int64_t)state, last);
    if ((e = sotto_profile_end(p, e)) == SOTTO_OK)
        *ret_count = n;
    return e;
}
