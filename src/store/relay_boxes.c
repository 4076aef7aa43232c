/* SPDX-License-Identifier: Apache-2.0 */
/* Boxes: the envelopes that wait for a device, in the order of their sequence numbers. */
#include "store/relay_db.h"

enum sotto_err sotto_rs_box_put(struct sotto_relay_store *s, int64_t box, uint64_t seq,
                                const uint8_t id[SOTTO_ENVELOPE_ID], uint32_t day, bool request,
                                struct sotto_bytes envelope)
{
    return sotto_db_run(s->db,
                        "INSERT INTO envelope (box, seq, id, day, request, bytes)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        "iubiib", box, seq, id, (size_t)SOTTO_ENVELOPE_ID, (int64_t)day,
                        (int64_t)request, envelope.p, envelope.n);
}

enum sotto_err sotto_rs_box_has(struct sotto_relay_store *s, int64_t box,
                                const uint8_t id[SOTTO_ENVELOPE_ID])
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "SELECT 1 FROM envelope WHERE box = ? AND id = ?",
                                    "ib", box, id, (size_t)SOTTO_ENVELOPE_ID);

    if (e == 0)
        sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_rs_box_index(struct sotto_relay_store *s, int64_t box, sotto_rs_box_fn *fn,
                                  void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        s->db, &rows, "SELECT seq, request, length(bytes) FROM envelope WHERE box = ? ORDER BY seq",
        "i", box);

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0)
        e = fn(ctx, sotto_rows_uint(&rows, 0), sotto_rows_int(&rows, 1) != 0,
               (struct sotto_bytes){NULL, (size_t)sotto_rows_int(&rows, 2)});
    sotto_rows_done(&rows);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_rs_box_read(struct sotto_relay_store *s, int64_t box, uint64_t after,
                                 uint32_t count, sotto_rs_box_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e =
        sotto_db_query(s->db, &rows,
                       "SELECT seq, request, bytes FROM envelope WHERE box = ? AND seq > ?"
                       " ORDER BY seq LIMIT ?",
                       "iui", box, after, (int64_t)count);

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0)
        e = fn(ctx, sotto_rows_uint(&rows, 0), sotto_rows_int(&rows, 1) != 0,
               sotto_rows_blob(&rows, 2));
    sotto_rows_done(&rows);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_rs_box_drop(struct sotto_relay_store *s, int64_t box, uint64_t seq)
{
    return sotto_db_run(s->db, "DELETE FROM envelope WHERE box = ? AND seq <= ?", "iu", box, seq);
}

enum sotto_err sotto_rs_box_expire(struct sotto_relay_store *s, int64_t box, uint32_t before_day,
                                   uint32_t *ret_dropped)
{
    enum sotto_err e = sotto_db_run(s->db, "DELETE FROM envelope WHERE box = ? AND day < ?", "ii",
                                    box, (int64_t)before_day);

    if (e == 0)
        *ret_dropped = (uint32_t)sotto_db_changes(s->db);
    return e;
}

enum sotto_err sotto_rs_boxes(struct sotto_relay_store *s, int64_t after, int64_t *ret,
                              size_t *count)
{
    struct sotto_rows rows;
    size_t n = 0;
    enum sotto_err e =
        sotto_db_query(s->db, &rows, "SELECT box FROM device WHERE box > ? ORDER BY box LIMIT ?",
                       "ii", after, (int64_t)*count);

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0)
        ret[n++] = sotto_rows_int(&rows, 0);
    sotto_rows_done(&rows);
    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    *count = n;
    return SOTTO_OK;
}
