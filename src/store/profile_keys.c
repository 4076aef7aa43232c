/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store/profile_db.h"

/* Our private keys, and the handshakes that were made under the signed ones. */

/* The number of the newest pre-key, a setting of the store itself. */
static const char last_prekey[] = "store.last_prekey";

/* --- sealing keys --- */

enum sotto_err sotto_sealing_add(struct sotto_profile *p, const struct sotto_dh_pair *pair,
                                 uint64_t now_ms)
{
    return sotto_db_run(p->db,
                        "INSERT INTO sealing (key_id, priv, pub, added_ms) VALUES (?, ?, ?, ?)",
                        "ubbu", (uint64_t)sotto_sealing_key_id(pair->pub), pair->priv.b,
                        sizeof pair->priv.b, pair->pub, sizeof pair->pub, now_ms);
}

enum sotto_err sotto_sealing_find(struct sotto_profile *p, uint32_t key_id,
                                  struct sotto_dh_pair *ret)
{
    struct sotto_dh_pair pair = {0};
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT priv, pub FROM sealing WHERE key_id = ?", "u", (uint64_t)key_id);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK &&
        (e = sotto_rows_copy(&rows, 0, pair.priv.b, sizeof pair.priv.b)) == SOTTO_OK &&
        (e = sotto_rows_copy(&rows, 1, pair.pub, sizeof pair.pub)) == SOTTO_OK)
        *ret = pair;
    sotto_rows_done(&rows);
    sotto_dh_pair_wipe(&pair);
    return e;
}

enum sotto_err sotto_sealing_sweep(struct sotto_profile *p, uint64_t before_ms)
{
    return sotto_db_run(p->db,
                        "DELETE FROM sealing WHERE added_ms < ?"
                        " AND seq < (SELECT max(seq) FROM sealing)",
                        "u", before_ms);
}

/* --- pre-keys --- */

enum sotto_err sotto_prekey_add(struct sotto_profile *p, const struct sotto_prekey_private *k)
{
    uint8_t data[SOTTO_PREKEY_PRIVATE_BYTES];
    enum sotto_err e;

    sotto_prekey_private_write(k, data);
    e = sotto_db_run(p->db, "INSERT INTO prekey (type, id, expires_ms, data) VALUES (?, ?, ?, ?)",
                     "iuub", (int64_t)k->type, (uint64_t)k->id, k->expires_ms, data, sizeof data);
    sotto_wipe(data, sizeof data);
    return e;
}

enum sotto_err sotto_prekey_find(struct sotto_profile *p, enum sotto_prekey_type type, uint32_t id,
                                 struct sotto_prekey_private *ret)
{
    struct sotto_rows rows;
    struct sotto_bytes data;
    enum sotto_err e =
        sotto_db_query(p->db, &rows, "SELECT data FROM prekey WHERE type = ? AND id = ?", "iu",
                       (int64_t)type, (uint64_t)id);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        data = sotto_rows_blob(&rows, 0);
        e = sotto_prekey_private_read(data.p, data.n, ret);
    }
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_prekey_drop(struct sotto_profile *p, enum sotto_prekey_type type, uint32_t id)
{
    return sotto_db_run(p->db, "DELETE FROM prekey WHERE type = ? AND id = ?", "iu", (int64_t)type,
                        (uint64_t)id);
}

enum sotto_err sotto_prekey_trim(struct sotto_profile *p, uint32_t keep)
{
    return sotto_db_run(p->db,
                        "DELETE FROM prekey WHERE type = ?1 AND id <="
                        " (SELECT max(id) FROM prekey WHERE type = ?1) - ?2",
                        "iu", (int64_t)SOTTO_PREKEY_ONE_TIME, (uint64_t)keep);
}

enum sotto_err sotto_prekey_sweep(struct sotto_profile *p, uint64_t now_ms)
{
    enum sotto_err e;

    if ((e = sotto_db_begin(p->db)) != 0)
        return e;
    e = sotto_db_run(p->db, "DELETE FROM prekey WHERE expires_ms <= ?", "u", now_ms);
    if (e == SOTTO_OK)
        e = sotto_db_run(p->db,
                         "DELETE FROM handshake WHERE NOT EXISTS"
                         " (SELECT 1 FROM prekey WHERE type = ? AND id = handshake.signed_id)",
                         "i", (int64_t)SOTTO_PREKEY_SIGNED);
    return sotto_profile_end(p, e);
}

enum sotto_err sotto_prekey_next_id(struct sotto_profile *p, uint32_t *ret)
{
    uint64_t last;
    enum sotto_err e;

    if ((e = sotto_setting_get_u64(p, last_prekey, &last)) != 0)
        return e;
    if (last >= UINT32_MAX)
        return SOTTO_ERR_FULL;
    if ((e = sotto_setting_put_u64(p, last_prekey, last + 1)) != 0)
        return e;
    *ret = (uint32_t)(last + 1);
    return SOTTO_OK;
}

enum sotto_err sotto_handshake_note(struct sotto_profile *p, const uint8_t digest[32],
                                    uint32_t signed_prekey_id)
{
    enum sotto_err e =
        sotto_db_run(p->db, "INSERT INTO handshake (digest, signed_id) VALUES (?, ?)", "bu", digest,
                     (size_t)32, (uint64_t)signed_prekey_id);

    return e == SOTTO_ERR_EXISTS ? SOTTO_ERR_REPLAY : e;
}
