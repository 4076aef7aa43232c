/* SPDX-License-Identifier: Apache-2.0 */
/* Mail: the envelopes that wait for devices, as many in one row as were committed together. */
#include <stdlib.h>
#include <string.h>

#include "store/relay_db.h"

/* A place in its row: box 8, seq 8, id 16, length 4, day 4, request 1; numbers big-endian. */
#define PLACE 41

static void place_write(const struct sotto_rs_place *p, uint8_t ret[PLACE])
{
    sotto_put_u64(ret, (uint64_t)p->box);
    sotto_put_u64(ret + 8, p->seq);
    memcpy(ret + 16, p->id, SOTTO_ENVELOPE_ID);
    sotto_put_u32(ret + 32, p->len);
    sotto_put_u32(ret + 36, p->day);
    ret[40] = p->request;
}

enum sotto_err sotto_rs_mail_add(struct sotto_relay_store *s, const struct sotto_rs_place *places,
                                 size_t count, struct sotto_bytes bytes, int64_t *ret_row)
{
    uint8_t *all = malloc(count * PLACE + 1);
    enum sotto_err e;

    if (all == NULL)
        return SOTTO_ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        place_write(&places[i], all + i * PLACE);
    e = sotto_db_run(s->db, "INSERT INTO mail (places, bytes) VALUES (?, ?)", "bb", all,
                     count * PLACE, bytes.p, bytes.n);
    free(all);
    if (e == 0)
        *ret_row = sotto_db_last_id(s->db);
    return e;
}

/* Columns: id, places, length of the bytes. */
static enum sotto_err walk_row(const struct sotto_rows *rows, sotto_rs_place_fn *fn, void *ctx)
{
    struct sotto_bytes all = sotto_rows_blob(rows, 1);
    int64_t row = sotto_rows_int(rows, 0), room = sotto_rows_int(rows, 2);
    uint32_t at = 0;
    enum sotto_err e;

    if (all.n % PLACE != 0)
        return SOTTO_ERR_MALFORMED;
    for (const uint8_t *b = all.p; b < all.p + all.n; b += PLACE) {
        struct sotto_rs_place p = {
            .box = (int64_t)sotto_get_u64(b),
            .seq = sotto_get_u64(b + 8),
            .at = at,
            .len = sotto_get_u32(b + 32),
            .day = sotto_get_u32(b + 36),
            .request = b[40] != 0,
        };

        memcpy(p.id, b + 16, SOTTO_ENVELOPE_ID);
        if (p.len > SOTTO_ENVELOPE_MAX || (int64_t)at + p.len > room)
            return SOTTO_ERR_MALFORMED;
        at += p.len;
        if ((e = fn(ctx, row, &p)) != 0)
            return e;
    }
    return SOTTO_OK;
}

enum sotto_err sotto_rs_mail_places(struct sotto_relay_store *s, int64_t row, sotto_rs_place_fn *fn,
                                    void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT id, places, length(bytes) FROM mail WHERE id = ?", "i", row);

    if (e != 0)
        return e;
    e = walk_row(&rows, fn, ctx);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_rs_mail_each(struct sotto_relay_store *s, sotto_rs_place_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e =
        sotto_db_query(s->db, &rows, "SELECT id, places, length(bytes) FROM mail ORDER BY id", "");

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0)
        e = walk_row(&rows, fn, ctx);
    sotto_rows_done(&rows);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_rs_mail_read(struct sotto_relay_store *s, int64_t row, uint32_t at,
                                  uint32_t len, uint8_t *ret)
{
    return sotto_db_blob_read(s->db, "mail", "bytes", row, at, len, ret);
}

void sotto_rs_mail_read_done(struct sotto_relay_store *s)
{
    sotto_db_blobs_done(s->db);
}

enum sotto_err sotto_rs_mail_drop(struct sotto_relay_store *s, int64_t row)
{
    return sotto_db_run(s->db, "DELETE FROM mail WHERE id = ?", "i", row);
}

enum sotto_err sotto_rs_floor_raise(struct sotto_relay_store *s, int64_t box, uint64_t seq)
{
    return sotto_db_run(s->db, "UPDATE device SET floor = max(floor, ?) WHERE box = ?", "ui", seq,
                        box);
}

enum sotto_err sotto_rs_floor(struct sotto_relay_store *s, int64_t box, uint64_t *ret)
{
    struct sotto_rows rows;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT floor FROM device WHERE box = ? AND listed = 1", "i", box);

    if (e != 0)
        return e;
    *ret = sotto_rows_uint(&rows, 0);
    sotto_rows_done(&rows);
    return SOTTO_OK;
}
