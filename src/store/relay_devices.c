/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the relay's accounts: certificates, leases, pre-keys, requests to be listed. */
#include <string.h>

#include "store/relay_db.h"

static enum sotto_err optional(const struct sotto_rows *rows, int col, bool *ret_has, void *ret,
                               size_t len)
{
    *ret_has = !sotto_rows_is_null(rows, col);
    return *ret_has ? sotto_rows_copy(rows, col, ret, len) : SOTTO_OK;
}

enum sotto_err sotto_rs_device_find(struct sotto_relay_store *s, int64_t account, uint64_t id,
                                    struct sotto_rs_device *ret)
{
    struct sotto_rs_device d;
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows,
                                    "SELECT box, listed, entry, certificate, adopt, lease, begun"
                                    " FROM device WHERE account = ? AND id = ?",
                                    "iu", account, id);

    if (e != 0)
        return e;
    memset(&d, 0, sizeof d);
    d.box = sotto_rows_int(&rows, 0);
    d.id = id;
    d.listed = sotto_rows_int(&rows, 1) != 0;
    d.adopt = sotto_rows_int(&rows, 4) != 0;
    d.begun = sotto_rows_int(&rows, 6) != 0;
    if ((e = sotto_rows_copy(&rows, 2, d.entry, sizeof d.entry)) == 0 &&
        (e = optional(&rows, 3, &d.has_certificate, d.certificate, sizeof d.certificate)) == 0)
        e = optional(&rows, 5, &d.has_lease, d.lease, sizeof d.lease);
    sotto_rows_done(&rows);
    if (e == 0)
        *ret = d;
    return e;
}

enum sotto_err sotto_rs_devices(struct sotto_relay_store *s, int64_t account,
                                struct sotto_rs_box ret[SOTTO_DEVICES_MAX], size_t *ret_count)
{
    struct sotto_rows rows;
    size_t n = 0;
    enum sotto_err e = sotto_db_query(
        s->db, &rows, "SELECT box, id FROM device WHERE account = ? AND listed = 1 LIMIT ?", "ii",
        account, (int64_t)SOTTO_DEVICES_MAX);

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0) {
        ret[n].box = sotto_rows_int(&rows, 0);
        ret[n++].device = sotto_rows_uint(&rows, 1);
    }
    sotto_rows_done(&rows);
    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    *ret_count = n;
    return SOTTO_OK;
}

static enum sotto_err put_or_null(struct sotto_relay_store *s, const char *sql, int64_t box,
                                  const void *data, size_t len)
{
    return data != NULL ? sotto_db_run(s->db, sql, "bi", data, len, box)
                        : sotto_db_run(s->db, sql, "ni", box);
}

enum sotto_err sotto_rs_device_add(struct sotto_relay_store *s, int64_t account, uint64_t id,
                                   const uint8_t entry[SOTTO_ENTRY_BYTES],
                                   const uint8_t *certificate, bool adopt,
                                   const uint8_t *signed_prekey)
{
    struct sotto_rs_device d;
    enum sotto_err e =
        sotto_db_run(s->db,
                     "INSERT INTO device (account, id, listed, entry, adopt) VALUES (?, ?, 1, ?, ?)"
                     " ON CONFLICT (account, id) DO UPDATE SET listed = 1, entry = excluded.entry,"
                     " adopt = excluded.adopt, lease = NULL, tried = NULL, begun = 0",
                     "iubi", account, id, entry, (size_t)SOTTO_ENTRY_BYTES, (int64_t)adopt);

    if (e != 0 || (e = sotto_rs_device_find(s, account, id, &d)) != 0 ||
        (e = put_or_null(s, "UPDATE device SET certificate = ? WHERE box = ?", d.box, certificate,
                         32)) != 0)
        return e;
    return put_or_null(s, "UPDATE device SET signed_prekey = ? WHERE box = ?", d.box, signed_prekey,
                       SOTTO_PREKEY_BYTES);
}

enum sotto_err sotto_rs_device_entry(struct sotto_relay_store *s, int64_t box,
                                     const uint8_t entry[SOTTO_ENTRY_BYTES])
{
    return sotto_db_run(s->db, "UPDATE device SET entry = ? WHERE box = ?", "bi", entry,
                        (size_t)SOTTO_ENTRY_BYTES, box);
}

enum sotto_err sotto_rs_device_drop(struct sotto_relay_store *s, int64_t box)
{
    enum sotto_err e;

    if ((e = sotto_rs_one_time_clear(s, box)) != 0)
        return e;
    return sotto_db_run(
        s->db,
        "UPDATE device SET listed = 0, certificate = NULL, adopt = 0,"
        " lease = NULL, tried = NULL, begun = 0, signed_prekey = NULL WHERE box = ?",
        "i", box);
}

enum sotto_err sotto_rs_certificate_adopt(struct sotto_relay_store *s, int64_t box,
                                          const uint8_t *certificate)
{
    return put_or_null(s, "UPDATE device SET certificate = ?, adopt = 0 WHERE box = ?", box,
                       certificate, 32);
}

enum sotto_err sotto_rs_lease_try(struct sotto_relay_store *s, int64_t box,
                                  const uint8_t lease[SOTTO_LEASE])
{
    return sotto_db_run(s->db, "UPDATE device SET tried = ? WHERE box = ?", "bi", lease,
                        (size_t)SOTTO_LEASE, box);
}

enum sotto_err sotto_rs_lease_begun(struct sotto_relay_store *s, int64_t box, uint64_t committed)
{
    return sotto_db_run(s->db,
                        "UPDATE device SET lease = coalesce(tried, lease), tried = NULL, begun = 1,"
                        " floor = max(floor, ?) WHERE box = ?",
                        "ui", committed, box);
}

/* --- devices that ask to be listed --- */

enum sotto_err sotto_rs_link_put(struct sotto_relay_store *s, int64_t account,
                                 const struct sotto_rs_link *l)
{
    static const char sql[] =
        "INSERT INTO link (account, device, entry, signed_prekey, asked, certificate)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account, device) DO UPDATE SET"
        " entry = excluded.entry, signed_prekey = excluded.signed_prekey, asked = excluded.asked,"
        " certificate = excluded.certificate";

    if (l->has_certificate)
        return sotto_db_run(s->db, sql, "iubbub", account, l->device, l->entry, sizeof l->entry,
                            l->signed_prekey, sizeof l->signed_prekey, l->asked_at_ms,
                            l->certificate, sizeof l->certificate);
    return sotto_db_run(s->db, sql, "iubbun", account, l->device, l->entry, sizeof l->entry,
                        l->signed_prekey, sizeof l->signed_prekey, l->asked_at_ms);
}

static enum sotto_err link_row(const struct sotto_rows *rows, struct sotto_rs_link *l)
{
    enum sotto_err e;

    memset(l, 0, sizeof *l);
    l->device = sotto_rows_uint(rows, 0);
    l->asked_at_ms = sotto_rows_uint(rows, 4);
    if ((e = sotto_rows_copy(rows, 1, l->entry, sizeof l->entry)) != 0 ||
        (e = sotto_rows_copy(rows, 2, l->signed_prekey, sizeof l->signed_prekey)) != 0)
        return e;
    return optional(rows, 3, &l->has_certificate, l->certificate, sizeof l->certificate);
}

enum sotto_err sotto_rs_links(struct sotto_relay_store *s, int64_t account, uint64_t since_ms,
                              struct sotto_rs_link ret[SOTTO_LINKS_MAX], size_t *ret_count)
{
    struct sotto_rows rows;
    size_t n = 0;
    enum sotto_err e =
        sotto_db_query(s->db, &rows,
                       "SELECT device, entry, signed_prekey, certificate, asked FROM link"
                       " WHERE account = ? AND asked > ? ORDER BY asked LIMIT ?",
                       "iui", account, since_ms, (int64_t)SOTTO_LINKS_MAX);

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0)
        e = link_row(&rows, &ret[n++]);
    sotto_rows_done(&rows);
    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    *ret_count = n;
    return SOTTO_OK;
}

enum sotto_err sotto_rs_link_drop(struct sotto_relay_store *s, int64_t account, uint64_t device)
{
    return sotto_db_run(s->db, "DELETE FROM link WHERE account = ? AND device = ?", "iu", account,
                        device);
}

enum sotto_err sotto_rs_links_expire(struct sotto_relay_store *s, uint64_t before_ms)
{
    return sotto_db_run(s->db, "DELETE FROM link WHERE asked <= ?", "u", before_ms);
}

/* --- pre-keys --- */

enum sotto_err sotto_rs_signed_put(struct sotto_relay_store *s, int64_t box,
                                   const uint8_t bytes[SOTTO_PREKEY_BYTES])
{
    return put_or_null(s, "UPDATE device SET signed_prekey = ? WHERE box = ?", box, bytes,
                       SOTTO_PREKEY_BYTES);
}

enum sotto_err sotto_rs_signed_get(struct sotto_relay_store *s, int64_t box,
                                   uint8_t ret[SOTTO_PREKEY_BYTES])
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(
        s, &rows, "SELECT signed_prekey FROM device WHERE box = ? AND signed_prekey IS NOT NULL",
        "i", box);

    if (e != 0)
        return e;
    e = sotto_rows_copy(&rows, 0, ret, SOTTO_PREKEY_BYTES);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_rs_one_time_add(struct sotto_relay_store *s, int64_t box,
                                     const struct sotto_prekey *key)
{
    struct sotto_rows rows;
    int64_t generation, highest;
    uint32_t count;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT generation, highest FROM device WHERE box = ?", "i", box);

    if (e != 0)
        return e;
    generation = sotto_rows_int(&rows, 0);
    highest = sotto_rows_int(&rows, 1);
    sotto_rows_done(&rows);
    if (key->generation < generation || (key->generation == generation && key->id <= highest))
        return SOTTO_OK;
    if ((e = sotto_rs_one_time_count(s, box, &count)) != 0)
        return e;
    if (count >= SOTTO_RS_ONE_TIME_MAX)
        return SOTTO_OK;
    e = sotto_db_run(s->db,
                     "INSERT INTO one_time (box, generation, id, expires, bytes)"
                     " VALUES (?, ?, ?, ?, ?)",
                     "iiiub", box, (int64_t)key->generation, (int64_t)key->id, key->expires_ms,
                     key->bytes, sizeof key->bytes);
    if (e != 0)
        return e;
    return sotto_db_run(s->db, "UPDATE device SET generation = ?, highest = ? WHERE box = ?", "iii",
                        (int64_t)key->generation, (int64_t)key->id, box);
}

enum sotto_err sotto_rs_one_time_clear(struct sotto_relay_store *s, int64_t box)
{
    enum sotto_err e = sotto_db_run(s->db, "DELETE FROM one_time WHERE box = ?", "i", box);

    return e != 0 ? e : sotto_db_run(s->db, "DELETE FROM handed WHERE box = ?", "i", box);
}

enum sotto_err sotto_rs_one_time_count(struct sotto_relay_store *s, int64_t box,
                                       uint32_t *ret_count)
{
    struct sotto_rows rows;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT count(*) FROM one_time WHERE box = ?", "i", box);

    if (e != 0)
        return e;
    *ret_count = (uint32_t)sotto_rows_int(&rows, 0);
    sotto_rows_done(&rows);
    return SOTTO_OK;
}

enum sotto_err sotto_rs_one_time_take(struct sotto_relay_store *s, int64_t box, uint64_t now_ms,
                                      uint8_t ret[SOTTO_PREKEY_BYTES])
{
    uint8_t bytes[SOTTO_PREKEY_BYTES];
    int64_t generation, id;
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_run(s->db, "DELETE FROM one_time WHERE box = ? AND expires <= ?",
                                    "iu", box, now_ms);

    if (e != 0)
        return e;
    e = SOTTO_RS_ONE(s, &rows,
                     "SELECT generation, id, bytes FROM one_time WHERE box = ?"
                     " ORDER BY generation, id LIMIT 1",
                     "i", box);
    if (e != 0)
        return e;
    generation = sotto_rows_int(&rows, 0);
    id = sotto_rows_int(&rows, 1);
    e = sotto_rows_copy(&rows, 2, bytes, sizeof bytes);
    sotto_rows_done(&rows);
    if (e != 0)
        return e;
    e = sotto_db_run(s->db, "DELETE FROM one_time WHERE box = ? AND generation = ? AND id = ?",
                     "iii", box, generation, id);
    if (e == 0)
        memcpy(ret, bytes, sizeof bytes);
    return e;
}

enum sotto_err sotto_rs_handed_get(struct sotto_relay_store *s, const uint8_t tag[32],
                                   uint64_t now_ms, uint8_t ret[SOTTO_PREKEY_BYTES])
{
    struct sotto_rows rows;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT bytes FROM handed WHERE tag = ? AND expires > ?", "bu", tag,
                     (size_t)32, now_ms);

    if (e != 0)
        return e;
    e = sotto_rows_copy(&rows, 0, ret, SOTTO_PREKEY_BYTES);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_rs_handed_put(struct sotto_relay_store *s, const uint8_t tag[32], int64_t box,
                                   const uint8_t bytes[SOTTO_PREKEY_BYTES], uint64_t expires_ms)
{
    return sotto_db_run(s->db,
                        "INSERT INTO handed (tag, box, expires, bytes) VALUES (?, ?, ?, ?)"
                        " ON CONFLICT (tag) DO UPDATE SET box = excluded.box,"
                        " expires = excluded.expires, bytes = excluded.bytes",
                        "biub", tag, (size_t)32, box, expires_ms, bytes,
                        (size_t)SOTTO_PREKEY_BYTES);
}

enum sotto_err sotto_rs_handed_expire(struct sotto_relay_store *s, uint64_t before_ms)
{
    if (before_ms > INT64_MAX)
        before_ms = INT64_MAX;
    return sotto_db_run(s->db, "DELETE FROM handed WHERE expires <= ?", "u", before_ms);
}
