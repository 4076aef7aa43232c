/* SPDX-License-Identifier: Apache-2.0 */
#include "store/relay_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mutant.h"
#include "store/relay_admin.h"
#include "store/relay_db.h"

/*
 * An account that was deleted keeps its row with gone = 1 and nothing but the name. A device that
 * was removed keeps its row with listed = 0, so that it can be told so. Box numbers are never used
 * twice (AUTOINCREMENT). A row of mail holds the envelopes of one commit (relay_mail.c).
 */
static const struct sotto_migration steps[] = {
    {"CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"

     "CREATE TABLE invite (hash BLOB PRIMARY KEY, uses INTEGER NOT NULL, expires INTEGER NOT NULL)"
     "  STRICT, WITHOUT ROWID;"

     "CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
     "  gone INTEGER NOT NULL DEFAULT 0, key BLOB UNIQUE, opaque BLOB,"
     "  version INTEGER NOT NULL DEFAULT 0) STRICT;"

     "CREATE TABLE list (account INTEGER NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL,"
     "  PRIMARY KEY (account, version)) STRICT;"

     "CREATE TABLE token (account INTEGER NOT NULL, hash BLOB NOT NULL,"
     "  PRIMARY KEY (account, hash)) STRICT, WITHOUT ROWID;"

     "CREATE TABLE device (box INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL,"
     "  id INTEGER NOT NULL, listed INTEGER NOT NULL, entry BLOB NOT NULL, certificate BLOB,"
     "  adopt INTEGER NOT NULL DEFAULT 0, lease BLOB, begun INTEGER NOT NULL DEFAULT 0,"
     "  signed_prekey BLOB, generation INTEGER NOT NULL DEFAULT 0,"
     "  highest INTEGER NOT NULL DEFAULT 0, UNIQUE (account, id)) STRICT;"

     "CREATE TABLE link (account INTEGER NOT NULL, device INTEGER NOT NULL, entry BLOB NOT NULL,"
     "  signed_prekey BLOB NOT NULL, certificate BLOB, asked INTEGER NOT NULL,"
     "  PRIMARY KEY (account, device)) STRICT;"

     "CREATE TABLE one_time (box INTEGER NOT NULL, generation INTEGER NOT NULL,"
     "  id INTEGER NOT NULL, expires INTEGER NOT NULL, bytes BLOB NOT NULL,"
     "  PRIMARY KEY (box, generation, id)) STRICT;"

     "CREATE TABLE handed (tag BLOB PRIMARY KEY, box INTEGER NOT NULL, expires INTEGER NOT NULL,"
     "  bytes BLOB NOT NULL) STRICT;"

     "CREATE TABLE envelope (box INTEGER NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL,"
     "  day INTEGER NOT NULL, request INTEGER NOT NULL, bytes BLOB NOT NULL,"
     "  PRIMARY KEY (box, seq)) STRICT, WITHOUT ROWID;"
     "CREATE UNIQUE INDEX envelope_id ON envelope (box, id);"},

    {"CREATE TABLE mail (id INTEGER PRIMARY KEY, places BLOB NOT NULL, bytes BLOB NOT NULL) STRICT;"
     "ALTER TABLE device ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;"
     "INSERT INTO mail (places, bytes) SELECT unhex(printf('%016X%016X%s%08X%08X%02X', box, seq,"
     "  hex(id), length(bytes), day, request)), bytes FROM envelope ORDER BY box, seq;"
     "DROP TABLE envelope;"},

    {"ALTER TABLE account ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE invite ADD COLUMN name TEXT;"},

    {"ALTER TABLE device ADD COLUMN tried BLOB;"},
};

enum sotto_err sotto_rs_first(enum sotto_err query, struct sotto_rows *rows)
{
    enum sotto_err e = query;

    if (e == 0 && (e = sotto_rows_next(rows)) == 0)
        return SOTTO_OK;
    sotto_rows_done(rows);
    return e;
}

enum sotto_err sotto_rs_open(const char *path, bool create, const char *vfs,
                             struct sotto_relay_store **ret, char *ret_why, size_t room)
{
    struct sotto_relay_store *s = calloc(1, sizeof *s);
    enum sotto_err e;

    if (s == NULL)
        return SOTTO_ERR_NOMEM;
    e = sotto_db_open(path, NULL, create, steps, sizeof steps / sizeof steps[0], vfs, &s->db,
                      ret_why, room);
    if (e != 0) {
        free(s);
        return e;
    }
    *ret = s;
    return SOTTO_OK;
}

void sotto_rs_close(struct sotto_relay_store *s)
{
    if (s == NULL)
        return;
    sotto_db_close(s->db);
    free(s);
}

void sotto_rs_rest(struct sotto_relay_store *s)
{
    sotto_db_rest(s->db);
}

enum sotto_err sotto_rs_begin(struct sotto_relay_store *s)
{
    return sotto_db_begin(s->db);
}

enum sotto_err sotto_rs_commit(struct sotto_relay_store *s)
{
    return sotto_db_commit(s->db);
}

void sotto_rs_rollback(struct sotto_relay_store *s)
{
    sotto_db_rollback(s->db);
}

enum sotto_err sotto_rs_sync_later(struct sotto_relay_store *s)
{
    return sotto_db_sync_later(s->db);
}

enum sotto_err sotto_rs_write_ahead(struct sotto_relay_store *s)
{
    return sotto_db_write_ahead(s->db);
}

enum sotto_err sotto_rs_sync(struct sotto_relay_store *s)
{
    return sotto_db_sync(s->db);
}

bool sotto_rs_wants_checkpoint(struct sotto_relay_store *s)
{
    return sotto_db_wants_checkpoint(s->db);
}

enum sotto_err sotto_rs_checkpoint(struct sotto_relay_store *s)
{
    return sotto_db_checkpoint(s->db);
}

enum sotto_err sotto_rs_checkpoint_rest(struct sotto_relay_store *s)
{
    return sotto_db_checkpoint_rest(s->db);
}

/* --- the relay itself --- */

static enum sotto_err meta_get(struct sotto_relay_store *s, const char *key, void *ret, size_t len)
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "SELECT value FROM meta WHERE key = ?", "s", key);

    if (e != 0)
        return e;
    e = sotto_rows_copy(&rows, 0, ret, len);
    sotto_rows_done(&rows);
    return e;
}

static enum sotto_err meta_put(struct sotto_relay_store *s, const char *key, const void *data,
                               size_t len)
{
    return sotto_db_run(s->db,
                        "INSERT INTO meta (key, value) VALUES (?, ?)"
                        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        "sb", key, data, len);
}

void sotto_rs_identity_wipe(struct sotto_rs_identity *id)
{
    sotto_wipe(id, sizeof *id);
}

static enum sotto_err identity_make(struct sotto_relay_store *s, const struct sotto_env *env,
                                    struct sotto_rs_identity *id)
{
    enum sotto_err e;

    if ((e = sotto_sign_generate(env, &id->key)) != 0 ||
        (e = sotto_random(env, id->incarnation, sizeof id->incarnation)) != 0 ||
        (e = sotto_opaque_server_generate(env, &id->opaque)) != 0 ||
        (e = meta_put(s, "relay_key", id->key.seed.b, sizeof id->key.seed.b)) != 0 ||
        (e = meta_put(s, "incarnation", id->incarnation, sizeof id->incarnation)) != 0 ||
        (e = meta_put(s, "opaque_seed", id->opaque.oprf_seed, sizeof id->opaque.oprf_seed)) != 0 ||
        (e = meta_put(s, "opaque_key", id->opaque.priv.b, sizeof id->opaque.priv.b)) != 0)
        return e;
    return meta_put(s, "opaque_pub", id->opaque.pub, sizeof id->opaque.pub);
}

/* Of a store that nobody has an account in. In another one it was there, and those who know the
 * relay would take one with a new identity for an impostor. */
static enum sotto_err identity_first(struct sotto_relay_store *s, const struct sotto_env *env,
                                     struct sotto_rs_identity *id)
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "SELECT id FROM account LIMIT 1", "");

    if (e == 0)
        sotto_rows_done(&rows);
    if (e != SOTTO_ERR_NOT_FOUND)
        return e == 0 ? SOTTO_ERR_NOT_FOUND : e;
    return env != NULL ? identity_make(s, env, id) : SOTTO_ERR_NOT_FOUND;
}

static enum sotto_err identity_get(struct sotto_relay_store *s, const struct sotto_env *env,
                                   struct sotto_rs_identity *id)
{
    struct sotto_secret32 seed SOTTO_WIPED = {{0}};
    enum sotto_err e = meta_get(s, "relay_key", seed.b, sizeof seed.b);

    if (e == SOTTO_ERR_NOT_FOUND)
        return identity_first(s, env, id);
    if (e != 0)
        return e;
    sotto_sign_from_seed(&seed, &id->key);
    if ((e = meta_get(s, "incarnation", id->incarnation, sizeof id->incarnation)) != 0 ||
        (e = meta_get(s, "opaque_seed", id->opaque.oprf_seed, sizeof id->opaque.oprf_seed)) != 0 ||
        (e = meta_get(s, "opaque_key", id->opaque.priv.b, sizeof id->opaque.priv.b)) != 0)
        return e;
    return meta_get(s, "opaque_pub", id->opaque.pub, sizeof id->opaque.pub);
}

enum sotto_err sotto_rs_identity_load(struct sotto_relay_store *s, const struct sotto_env *env,
                                      struct sotto_rs_identity *ret)
{
    struct sotto_rs_identity id;
    enum sotto_err e = sotto_rs_begin(s);

    if (e != 0)
        return e;
    memset(&id, 0, sizeof id);
    e = identity_get(s, env, &id);
    if (e != 0)
        sotto_rs_rollback(s);
    else
        e = sotto_rs_commit(s);
    if (e == 0)
        *ret = id;
    sotto_rs_identity_wipe(&id);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_ERR_MALFORMED : e;
}

static enum sotto_err epoch_add(struct sotto_relay_store *s, uint32_t n, uint32_t *ret)
{
    uint8_t raw[4];
    uint32_t epoch = 0;
    enum sotto_err e = meta_get(s, "epoch", raw, sizeof raw);

    if (e == 0)
        epoch = sotto_get_u32(raw);
    else if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    if (epoch > SOTTO_RS_EPOCH_MAX - n)
        return SOTTO_ERR_TOO_FAR;
    sotto_put_u32(raw, epoch + n);
    e = meta_put(s, "epoch", raw, sizeof raw);
    if (e == 0)
        *ret = epoch + n;
    return e;
}

enum sotto_err sotto_rs_boot(struct sotto_relay_store *s, uint32_t *ret_epoch)
{
    uint32_t epoch = 0;
    enum sotto_err e = sotto_rs_begin(s);

    if (e != 0)
        return e;
    if ((e = epoch_add(s, SOTTO_PLANTED(MUTANT_EPOCH_AGAIN) ? 0 : 1, &epoch)) != 0) {
        sotto_rs_rollback(s);
        return e;
    }
    if ((e = sotto_rs_commit(s)) == 0)
        *ret_epoch = epoch;
    return e;
}

enum sotto_err sotto_rs_epoch(struct sotto_relay_store *s, uint32_t *ret)
{
    uint8_t raw[4];
    enum sotto_err e = meta_get(s, "epoch", raw, sizeof raw);

    if (e == 0 || e == SOTTO_ERR_NOT_FOUND)
        *ret = e == 0 ? sotto_get_u32(raw) : 0;
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_rs_renew(struct sotto_relay_store *s, const struct sotto_env *env)
{
    uint8_t incarnation[SOTTO_INCARNATION];
    uint32_t epoch;
    enum sotto_err e = sotto_random(env, incarnation, sizeof incarnation);

    if (e != 0 || (e = sotto_rs_begin(s)) != 0)
        return e;
    if ((e = epoch_add(s, SOTTO_RS_EPOCH_LEAP, &epoch)) != 0 ||
        (e = meta_put(s, "incarnation", incarnation, sizeof incarnation)) != 0) {
        sotto_rs_rollback(s);
        return e;
    }
    return sotto_rs_commit(s);
}

enum sotto_err sotto_rs_address_put(struct sotto_relay_store *s, const char *address)
{
    return meta_put(s, "address", address, strlen(address));
}

enum sotto_err sotto_rs_address_get(struct sotto_relay_store *s, char ret[SOTTO_RS_ADDRESS])
{
    struct sotto_rows rows;
    struct sotto_bytes v;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "SELECT value FROM meta WHERE key = 'address'", "");

    if (e != 0)
        return e;
    v = sotto_rows_blob(&rows, 0);
    if (v.n >= SOTTO_RS_ADDRESS)
        e = SOTTO_ERR_MALFORMED;
    else
        snprintf(ret, SOTTO_RS_ADDRESS, "%.*s", (int)v.n, (const char *)v.p);
    sotto_rows_done(&rows);
    return e;
}

/* --- invites --- */

enum sotto_err sotto_rs_invite_add(struct sotto_relay_store *s, const uint8_t hash[32],
                                   uint32_t uses, uint64_t expires_ms)
{
    return sotto_db_run(s->db, "INSERT INTO invite (hash, uses, expires) VALUES (?, ?, ?)", "biu",
                        hash, (size_t)32, (int64_t)uses, expires_ms);
}

enum sotto_err sotto_rs_invite_check(struct sotto_relay_store *s, const uint8_t hash[32],
                                     uint64_t now_ms)
{
    struct sotto_rows rows;
    int64_t uses;
    uint64_t expires;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "SELECT uses, expires FROM invite WHERE hash = ?",
                                    "b", hash, (size_t)32);

    if (e != 0)
        return e;
    uses = sotto_rows_int(&rows, 0);
    expires = sotto_rows_uint(&rows, 1);
    sotto_rows_done(&rows);
    if (uses <= 0)
        return SOTTO_ERR_GONE;
    return now_ms >= expires ? SOTTO_ERR_EXPIRED : SOTTO_OK;
}

enum sotto_err sotto_rs_invite_use(struct sotto_relay_store *s, const uint8_t hash[32])
{
    return sotto_db_run(s->db, "UPDATE invite SET uses = uses - 1 WHERE hash = ?", "b", hash,
                        (size_t)32);
}

enum sotto_err sotto_rs_invites_expire(struct sotto_relay_store *s, uint64_t before_ms)
{
    return sotto_db_run(s->db, "DELETE FROM invite WHERE expires < ?", "u", before_ms);
}

/* --- accounts --- */

static enum sotto_err account_row(enum sotto_err e, struct sotto_rows *rows,
                                  struct sotto_rs_account *ret)
{
    struct sotto_rs_account a;

    if (e != 0)
        return e;
    memset(&a, 0, sizeof a);
    a.id = sotto_rows_int(rows, 0);
    snprintf(a.name, sizeof a.name, "%s", sotto_rows_text(rows, 1));
    a.gone = sotto_rows_int(rows, 2) != 0;
    a.version = (uint32_t)sotto_rows_int(rows, 4);
    a.disabled = sotto_rows_int(rows, 5) != 0;
    if (!a.gone)
        e = sotto_rows_copy(rows, 3, a.key, sizeof a.key);
    sotto_rows_done(rows);
    if (e == 0)
        *ret = a;
    return e;
}

enum sotto_err sotto_rs_account_find(struct sotto_relay_store *s, const char *name,
                                     struct sotto_rs_account *ret)
{
    struct sotto_rows rows;

    return account_row(
        SOTTO_RS_ONE(s, &rows,
                     "SELECT id, name, gone, key, version, disabled FROM account WHERE name = ?",
                     "s", name),
        &rows, ret);
}

enum sotto_err sotto_rs_account_of(struct sotto_relay_store *s, int64_t id,
                                   struct sotto_rs_account *ret)
{
    struct sotto_rows rows;

    return account_row(
        SOTTO_RS_ONE(s, &rows,
                     "SELECT id, name, gone, key, version, disabled FROM account WHERE id = ?", "i",
                     id),
        &rows, ret);
}

enum sotto_err sotto_rs_account_by_key(struct sotto_relay_store *s, const uint8_t key[32],
                                       struct sotto_rs_account *ret)
{
    struct sotto_rows rows;

    return account_row(
        SOTTO_RS_ONE(s, &rows,
                     "SELECT id, name, gone, key, version, disabled FROM account WHERE key = ?",
                     "b", key, (size_t)32),
        &rows, ret);
}

enum sotto_err sotto_rs_account_add(struct sotto_relay_store *s, const char *name,
                                    const uint8_t key[32],
                                    const uint8_t opaque_record[SOTTO_OPAQUE_RECORD],
                                    int64_t *ret_id)
{
    enum sotto_err e =
        sotto_db_run(s->db, "INSERT INTO account (name, key, opaque) VALUES (?, ?, ?)", "sbb", name,
                     key, (size_t)32, opaque_record, (size_t)SOTTO_OPAQUE_RECORD);

    if (e == 0)
        *ret_id = sotto_db_last_id(s->db);
    return e;
}

enum sotto_err sotto_rs_opaque_record(struct sotto_relay_store *s, int64_t account,
                                      uint8_t ret[SOTTO_OPAQUE_RECORD])
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(
        s, &rows, "SELECT opaque FROM account WHERE id = ? AND gone = 0", "i", account);

    if (e != 0)
        return e;
    e = sotto_rows_copy(&rows, 0, ret, SOTTO_OPAQUE_RECORD);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_rs_account_delete(struct sotto_relay_store *s, int64_t account)
{
    static const char *const all[] = {
        "DELETE FROM one_time WHERE box IN (SELECT box FROM device WHERE account = ?)",
        "DELETE FROM handed WHERE box IN (SELECT box FROM device WHERE account = ?)",
        "DELETE FROM device WHERE account = ?",
        "DELETE FROM link WHERE account = ?",
        "DELETE FROM token WHERE account = ?",
        "DELETE FROM list WHERE account = ?",
        "DELETE FROM invite WHERE name = (SELECT name FROM account WHERE id = ?)",
        "UPDATE account SET gone = 1, disabled = 0 WHERE id = ?",
        "UPDATE account SET key = NULL, opaque = NULL, version = 0 WHERE id = ?",
    };
    enum sotto_err e = SOTTO_OK;

    for (size_t i = 0; e == 0 && i < sizeof all / sizeof all[0]; i++)
        e = sotto_db_run(s->db, all[i], "i", account);
    return e;
}

/* --- device lists --- */

enum sotto_err sotto_rs_list_add(struct sotto_relay_store *s, int64_t account, uint32_t version,
                                 struct sotto_bytes list)
{
    enum sotto_err e =
        sotto_db_run(s->db, "INSERT INTO list (account, version, bytes) VALUES (?, ?, ?)", "iib",
                     account, (int64_t)version, list.p, list.n);

    return e != 0 ? e
                  : sotto_db_run(s->db, "UPDATE account SET version = ? WHERE id = ?", "ii",
                                 (int64_t)version, account);
}

enum sotto_err sotto_rs_list_get(struct sotto_relay_store *s, int64_t account, uint32_t version,
                                 uint8_t ret[SOTTO_LIST_MAX], size_t *ret_len)
{
    struct sotto_rows rows;
    struct sotto_bytes v;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT bytes FROM list WHERE account = ? AND version = ?", "ii",
                     account, (int64_t)version);

    if (e != 0)
        return e;
    v = sotto_rows_blob(&rows, 0);
    if (v.n == 0 || v.n > SOTTO_LIST_MAX) {
        e = SOTTO_ERR_MALFORMED;
    } else {
        memcpy(ret, v.p, v.n);
        *ret_len = v.n;
    }
    sotto_rows_done(&rows);
    return e;
}

static void lists_reverse(struct sotto_rs_lists *l)
{
    for (size_t i = 0; i < l->count / 2; i++) {
        struct sotto_rs_lists tmp;

        tmp.lists[0] = l->lists[i];
        l->lists[i] = l->lists[l->count - 1 - i];
        l->lists[l->count - 1 - i] = tmp.lists[0];
    }
}

enum sotto_err sotto_rs_lists_since(struct sotto_relay_store *s, int64_t account, uint32_t since,
                                    size_t budget, struct sotto_buf *mem,
                                    struct sotto_rs_lists *ret)
{
    struct sotto_rs_lists l = {.count = 0};
    struct sotto_rows rows;
    size_t used = 0;
    enum sotto_err e =
        sotto_db_query(s->db, &rows,
                       "SELECT bytes FROM list WHERE account = ? AND version > ?"
                       " ORDER BY version DESC LIMIT ?",
                       "iii", account, (int64_t)since, (int64_t)SOTTO_LISTS_IN_FRAME);

    while (e == 0 && l.count < SOTTO_LISTS_IN_FRAME && (e = sotto_rows_next(&rows)) == 0) {
        struct sotto_bytes v = sotto_rows_blob(&rows, 0);

        if (l.count > 0 && used + v.n > budget)
            break;
        l.lists[l.count].at = mem->n;
        l.lists[l.count].len = v.n;
        e = sotto_buf_add(mem, v.p, v.n);
        used += v.n;
        l.count++;
    }
    sotto_rows_done(&rows);
    if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
        return e;
    lists_reverse(&l);
    *ret = l;
    return SOTTO_OK;
}

/* --- delivery tokens --- */

enum sotto_err sotto_rs_token_check(struct sotto_relay_store *s, int64_t account,
                                    const uint8_t hash[32])
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "SELECT 1 FROM token WHERE account = ? AND hash = ?",
                                    "ib", account, hash, (size_t)32);

    if (e == 0)
        sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_rs_token_add(struct sotto_relay_store *s, int64_t account,
                                  const uint8_t hash[32])
{
    struct sotto_rows rows;
    int64_t count;
    enum sotto_err e = sotto_rs_token_check(s, account, hash);

    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    e = SOTTO_RS_ONE(s, &rows, "SELECT count(*) FROM token WHERE account = ?", "i", account);
    if (e != 0)
        return e;
    count = sotto_rows_int(&rows, 0);
    sotto_rows_done(&rows);
    if (count >= SOTTO_RS_TOKENS_MAX)
        return SOTTO_ERR_TOO_LARGE;
    return sotto_db_run(s->db, "INSERT INTO token (account, hash) VALUES (?, ?)", "ib", account,
                        hash, (size_t)32);
}

enum sotto_err sotto_rs_token_remove(struct sotto_relay_store *s, int64_t account,
                                     const uint8_t hash[32])
{
    return sotto_db_run(s->db, "DELETE FROM token WHERE account = ? AND hash = ?", "ib", account,
                        hash, (size_t)32);
}
