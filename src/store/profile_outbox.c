/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store/profile_db.h"

/* Contents on their way, and the envelopes that carry them. */

#define ITEM_COLUMNS                                                                               \
    "id, recipient, device, content_id, kind, state, keep, queued_ms, list_version, content"

/* --- items --- */

static enum sotto_err read_item(const struct sotto_rows *rows, struct sotto_item *item)
{
    enum sotto_err e;

    memset(item, 0, sizeof *item);
    if ((e = sotto_profile_name(rows, 1, item->to)) != 0 ||
        (e = sotto_rows_copy(rows, 3, item->content_id, sizeof item->content_id)) != 0)
        return e;
    item->id = sotto_rows_int(rows, 0);
    item->device = sotto_rows_uint(rows, 2);
    item->kind = (uint32_t)sotto_rows_int(rows, 4);
    item->state = (enum sotto_item_state)sotto_rows_int(rows, 5);
    item->keep = sotto_rows_int(rows, 6) != 0;
    item->queued_ms = sotto_rows_uint(rows, 7);
    item->list_version = (uint32_t)sotto_rows_int(rows, 8);
    item->content = sotto_rows_blob(rows, 9);
    return SOTTO_OK;
}

static enum sotto_err each_item(struct sotto_rows *rows, enum sotto_err e, sotto_item_fn *fn,
                                void *ctx)
{
    struct sotto_item item;

    while (e == SOTTO_OK && (e = sotto_rows_next(rows)) == SOTTO_OK) {
        if ((e = read_item(rows, &item)) == SOTTO_OK)
            e = fn(ctx, &item);
    }
    return sotto_profile_walked(rows, e);
}

enum sotto_err sotto_item_add(struct sotto_profile *p, struct sotto_item *item)
{
    enum sotto_err e = sotto_db_run(
        p->db,
        "INSERT INTO item (recipient, device, content_id, kind, state, keep, queued_ms,"
        " list_version, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "subiiiuib", item->to, item->device, item->content_id, sizeof item->content_id,
        (int64_t)item->kind, (int64_t)item->state, (int64_t)item->keep, item->queued_ms,
        (int64_t)item->list_version, item->content.p, item->content.n);

    if (e == SOTTO_OK)
        item->id = sotto_db_last_id(p->db);
    return e;
}

enum sotto_err sotto_item_update(struct sotto_profile *p, const struct sotto_item *item)
{
    enum sotto_err e;

    if (item->content.n > 0)
        e = sotto_db_run(p->db,
                         "UPDATE item SET state = ?, list_version = ?, content = ? WHERE id = ?",
                         "iibi", (int64_t)item->state, (int64_t)item->list_version, item->content.p,
                         item->content.n, item->id);
    else
        e = sotto_db_run(p->db, "UPDATE item SET state = ?, list_version = ? WHERE id = ?", "iii",
                         (int64_t)item->state, (int64_t)item->list_version, item->id);
    return sotto_profile_one_changed(p, e);
}

enum sotto_err sotto_item_drop(struct sotto_profile *p, int64_t id)
{
    return sotto_db_run(p->db, "DELETE FROM item WHERE id = ?", "i", id);
}

enum sotto_err sotto_item_get(struct sotto_profile *p, int64_t id, sotto_item_fn *fn, void *ctx)
{
    struct sotto_item item;
    struct sotto_rows rows;
    enum sotto_err e =
        sotto_db_query(p->db, &rows, "SELECT " ITEM_COLUMNS " FROM item WHERE id = ?", "i", id);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK &&
        (e = read_item(&rows, &item)) == SOTTO_OK)
        e = fn(ctx, &item);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_item_open(struct sotto_profile *p, const char *to, int64_t after,
                               uint32_t limit, sotto_item_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT " ITEM_COLUMNS " FROM item WHERE recipient = ?"
                                      " AND state < 3 AND id > ? ORDER BY id LIMIT ?",
                                      "sii", to, after, limit == 0 ? -1 : (int64_t)limit);

    return each_item(&rows, e, fn, ctx);
}

enum sotto_err sotto_item_sweep(struct sotto_profile *p, uint64_t before_ms)
{
    /* 2 and 3: QUEUED and STORED of the public header, which this layer does not know. */
    return sotto_db_run(p->db,
                        "DELETE FROM item WHERE queued_ms < ? AND NOT EXISTS"
                        " (SELECT 1 FROM message m WHERE m.id = item.content_id AND m.deleted = 0"
                        "   AND m.outgoing = 1 AND m.state IN (2, 3))"
                        " AND EXISTS (SELECT 1 FROM parcel WHERE parcel.item = item.id"
                        "   AND parcel.progress IN (?, ?, ?))",
                        "uiii", before_ms, (int64_t)SOTTO_PARCEL_IS_STORED,
                        (int64_t)SOTTO_PARCEL_IS_DELIVERED, (int64_t)SOTTO_PARCEL_IS_READ);
}

enum sotto_err sotto_item_accounts(struct sotto_profile *p, sotto_name_fn *fn, void *ctx)
{
    return sotto_profile_each_name(
        p, "SELECT DISTINCT recipient FROM item WHERE state < 3 ORDER BY recipient", fn, ctx);
}

enum sotto_err sotto_item_of_content(struct sotto_profile *p,
                                     const uint8_t content_id[SOTTO_CONTENT_ID], sotto_item_fn *fn,
                                     void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT " ITEM_COLUMNS " FROM item WHERE content_id = ? ORDER BY id", "b",
        content_id, (size_t)SOTTO_CONTENT_ID);

    return each_item(&rows, e, fn, ctx);
}

enum sotto_err sotto_item_reopen_stored(struct sotto_profile *p)
{
    const int64_t delivered = SOTTO_PARCEL_IS_DELIVERED;
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    /* An item of which every device has its parcel has nothing to send. */
    e = sotto_db_run(p->db,
                     "UPDATE item SET state = ? WHERE state = ? AND keep = 1 AND EXISTS"
                     " (SELECT 1 FROM parcel WHERE parcel.item = item.id AND progress < ?)",
                     "iii", (int64_t)SOTTO_ITEM_SEALED, (int64_t)SOTTO_ITEM_STORED, delivered);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db,
                         "UPDATE parcel SET progress = ? WHERE progress < ? AND EXISTS"
                         " (SELECT 1 FROM item WHERE item.id = parcel.item AND keep = 1"
                         "   AND state = ?)",
                         "iii", (int64_t)SOTTO_PARCEL_IS_PENDING, delivered,
                         (int64_t)SOTTO_ITEM_SEALED);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_item_reopen_device(struct sotto_profile *p, const char *name, uint64_t device)
{
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_run(p->db,
                     "UPDATE parcel SET progress = ? WHERE device = ? AND progress = ? AND EXISTS"
                     " (SELECT 1 FROM item WHERE item.id = parcel.item AND keep = 1"
                     "   AND recipient = ? AND state IN (?, ?))",
                     "iuisii", (int64_t)SOTTO_PARCEL_IS_PENDING, device,
                     (int64_t)SOTTO_PARCEL_IS_STORED, name, (int64_t)SOTTO_ITEM_SEALED,
                     (int64_t)SOTTO_ITEM_STORED);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db,
                         "UPDATE item SET state = ? WHERE state = ? AND keep = 1 AND recipient = ?"
                         " AND EXISTS (SELECT 1 FROM parcel WHERE parcel.item = item.id"
                         "   AND device = ? AND progress = ?)",
                         "iisui", (int64_t)SOTTO_ITEM_SEALED, (int64_t)SOTTO_ITEM_STORED, name,
                         device, (int64_t)SOTTO_PARCEL_IS_PENDING);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_item_unseal(struct sotto_profile *p)
{
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_run(p->db,
                     "DELETE FROM parcel WHERE item IN (SELECT id FROM item WHERE state = ?)", "i",
                     (int64_t)SOTTO_ITEM_SEALED);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db, "UPDATE item SET state = ?, list_version = 0 WHERE state = ?", "ii",
                         (int64_t)SOTTO_ITEM_WAITING, (int64_t)SOTTO_ITEM_SEALED);
    return sotto_profile_end(p, e);
}

/* --- parcels --- */

enum sotto_err sotto_parcel_put(struct sotto_profile *p, const struct sotto_parcel_record *r)
{
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_run(p->db,
                     "INSERT INTO parcel (item, device, envelope_id, envelope, progress, retries)"
                     " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (item, device) DO UPDATE"
                     " SET envelope_id = excluded.envelope_id, envelope = excluded.envelope,"
                     " progress = excluded.progress, retries = excluded.retries",
                     "iubbii", r->item, r->device, r->envelope_id, sizeof r->envelope_id,
                     r->envelope.p, r->envelope.n, (int64_t)r->progress, (int64_t)r->retries);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db,
                         "INSERT INTO envelope (id, item, device) VALUES (?, ?, ?)"
                         " ON CONFLICT (id) DO UPDATE SET item = excluded.item,"
                         " device = excluded.device",
                         "biu", r->envelope_id, sizeof r->envelope_id, r->item, r->device);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_parcel_each(struct sotto_profile *p, int64_t item, sotto_parcel_fn *fn,
                                 void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT device, envelope_id, envelope, progress, retries"
                                      " FROM parcel WHERE item = ? ORDER BY device",
                                      "i", item);

    while (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        struct sotto_parcel_record r = {
            .item = item,
            .device = sotto_rows_uint(&rows, 0),
            .envelope = sotto_rows_blob(&rows, 2),
            .progress = (enum sotto_parcel_progress)sotto_rows_int(&rows, 3),
            .retries = (uint32_t)sotto_rows_int(&rows, 4),
        };

        if ((e = sotto_rows_copy(&rows, 1, r.envelope_id, sizeof r.envelope_id)) == SOTTO_OK)
            e = fn(ctx, &r);
    }
    return sotto_profile_walked(&rows, e);
}

enum sotto_err sotto_parcel_set(struct sotto_profile *p, int64_t item, uint64_t device,
                                enum sotto_parcel_progress progress)
{
    return sotto_profile_one_changed(
        p, sotto_db_run(p->db,
                        "UPDATE parcel SET progress = iif(?1 > progress OR progress = ?2, ?1,"
                        " progress) WHERE item = ?3 AND device = ?4",
                        "iiiu", (int64_t)progress, (int64_t)SOTTO_PARCEL_IS_GONE, item, device));
}

enum sotto_err sotto_parcel_drop(struct sotto_profile *p, int64_t item, uint64_t device)
{
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_run(p->db, "DELETE FROM parcel WHERE item = ? AND device = ?", "iu", item, device);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db, "DELETE FROM envelope WHERE item = ? AND device = ?", "iu", item,
                         device);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_parcel_find(struct sotto_profile *p,
                                 const uint8_t envelope_id[SOTTO_ENVELOPE_ID], int64_t *ret_item,
                                 uint64_t *ret_device, uint32_t *ret_retries)
{
    struct sotto_rows rows;
    enum sotto_err e =
        sotto_db_query(p->db, &rows,
                       "SELECT envelope.item, envelope.device, coalesce(parcel.retries, 0)"
                       " FROM envelope LEFT JOIN parcel ON parcel.item = envelope.item"
                       " AND parcel.device = envelope.device WHERE envelope.id = ?",
                       "b", envelope_id, (size_t)SOTTO_ENVELOPE_ID);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        *ret_item = sotto_rows_int(&rows, 0);
        *ret_device = sotto_rows_uint(&rows, 1);
        *ret_retries = (uint32_t)sotto_rows_int(&rows, 2);
    }
    sotto_rows_done(&rows);
    return e;
}
