/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mutant.h"
#include "store/profile_db.h"

/* What arrived before, what did not open, and the receipts that are due for what did. */

enum { QUARANTINE_COUNT = 256, QUARANTINE_BYTES = 4 * 1024 * 1024 };

/* --- envelopes that were processed --- */

enum sotto_err sotto_seen_note(struct sotto_profile *p,
                               const uint8_t envelope_id[SOTTO_ENVELOPE_ID], uint64_t now_ms)
{
    enum sotto_err e = sotto_db_run(p->db, "INSERT INTO seen (envelope_id, seen_ms) VALUES (?, ?)",
                                    "bu", envelope_id, (size_t)SOTTO_ENVELOPE_ID, now_ms);

    if (SOTTO_PLANTED(MUTANT_SEEN_FORGOTTEN) && e == SOTTO_ERR_EXISTS)
        return SOTTO_OK;
    return e == SOTTO_ERR_EXISTS ? SOTTO_ERR_REPLAY : e;
}

enum sotto_err sotto_seen_sweep(struct sotto_profile *p, uint64_t before_ms)
{
    return sotto_db_run(p->db, "DELETE FROM seen WHERE seen_ms < ?", "u", before_ms);
}

/* --- quarantine --- */

/* The oldest go until both bounds hold: whoever sends rubbish must not fill the disk. */
static enum sotto_err trim_quarantine(struct sotto_profile *p)
{
    return sotto_db_run(p->db,
                        "DELETE FROM quarantine WHERE seq NOT IN (SELECT seq FROM"
                        " (SELECT seq, row_number() OVER newest AS place,"
                        "   sum(length(envelope)) OVER newest AS size FROM quarantine"
                        "   WINDOW newest AS (ORDER BY seq DESC))"
                        " WHERE place <= ? AND size <= ?)",
                        "ii", (int64_t)QUARANTINE_COUNT, (int64_t)QUARANTINE_BYTES);
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

enum sotto_err sotto_due_peers(struct sotto_profile *p, sotto_name_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e =
        sotto_db_query(p->db, &rows, "SELECT DISTINCT peer FROM due ORDER BY peer", "");

    while (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        e = fn(ctx, sotto_rows_text(&rows, 0));
    return sotto_profile_walked(&rows, e);
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
