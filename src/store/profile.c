/* SPDX-License-Identifier: Apache-2.0 */
#include "store/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/kdf.h"
#include "store/profile_db.h"

/*
 * The schema, opening, transactions and settings; the tables are used in profile_keys.c,
 * profile_contacts.c, profile_messages.c, profile_outbox.c and profile_inbox.c.
 *
 * Times are milliseconds since 1970. Numbers of 64 bits without sign (devices) are stored as the
 * same bits and only ever compared for equality. Never change a step that was released: add one,
 * and a fixture under tests/fixtures.
 */
static const struct sotto_migration steps[] = {
    {
        "CREATE TABLE setting (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"

        "CREATE TABLE sealing (seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  key_id INTEGER NOT NULL UNIQUE, priv BLOB NOT NULL, pub BLOB NOT NULL,"
        "  added_ms INTEGER NOT NULL) STRICT;"
        "CREATE TABLE prekey (type INTEGER NOT NULL, id INTEGER NOT NULL,"
        "  expires_ms INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (type, id))"
        "  STRICT, WITHOUT ROWID;"
        "CREATE TABLE handshake (digest BLOB PRIMARY KEY, signed_id INTEGER NOT NULL)"
        "  STRICT, WITHOUT ROWID;"

        "CREATE TABLE contact (name TEXT PRIMARY KEY, state INTEGER NOT NULL,"
        "  gone INTEGER NOT NULL, has_list INTEGER NOT NULL, account_key BLOB NOT NULL,"
        "  list_version INTEGER NOT NULL, list_hash BLOB NOT NULL, their_token BLOB,"
        "  our_token BLOB, verified_key BLOB, new_identity INTEGER NOT NULL,"
        "  forked INTEGER NOT NULL, checked_ms INTEGER NOT NULL, list BLOB, pending BLOB) STRICT;"
        "CREATE TABLE session (seq INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        "  device INTEGER NOT NULL, id BLOB NOT NULL, used_ms INTEGER NOT NULL,"
        "  record BLOB NOT NULL, UNIQUE (name, device, id)) STRICT;"

        /* A deleted message keeps its row (the id must never be taken again) and nothing else. */
        "CREATE TABLE message (row INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE,"
        "  peer TEXT NOT NULL, sender TEXT NOT NULL, device INTEGER NOT NULL,"
        "  kind INTEGER NOT NULL, outgoing INTEGER NOT NULL, shown INTEGER NOT NULL,"
        "  request INTEGER NOT NULL, gap INTEGER NOT NULL, state INTEGER NOT NULL,"
        "  counter INTEGER NOT NULL, sent_at_ms INTEGER NOT NULL,"
        "  received_at_ms INTEGER NOT NULL, stored_at_ms INTEGER NOT NULL, text BLOB NOT NULL,"
        "  content BLOB NOT NULL, reason TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0) STRICT;"
        "CREATE INDEX message_peer ON message (peer) WHERE deleted = 0;"
        "CREATE INDEX message_new ON message (shown)"
        "  WHERE outgoing = 0 AND shown = 0 AND deleted = 0;"
        "CREATE INDEX message_new_peer ON message (peer)"
        "  WHERE outgoing = 0 AND shown = 0 AND deleted = 0;"
        "CREATE INDEX message_open ON message (state, stored_at_ms)"
        "  WHERE outgoing = 1 AND deleted = 0;"
        /* What the list of contacts shows, kept up to date, so that nothing counts messages. */
        "CREATE TABLE talk (peer TEXT PRIMARY KEY, unread INTEGER NOT NULL, last_row INTEGER)"
        "  STRICT, WITHOUT ROWID;"
        "CREATE TRIGGER message_added AFTER INSERT ON message BEGIN"
        "  INSERT INTO talk (peer, unread, last_row)"
        "    VALUES (new.peer, new.outgoing = 0 AND new.shown = 0, new.row)"
        "    ON CONFLICT (peer) DO UPDATE"
        "    SET unread = unread + excluded.unread, last_row = excluded.last_row;"
        "END;"
        "CREATE TRIGGER message_shown AFTER UPDATE OF shown ON message"
        "  WHEN old.outgoing = 0 AND old.deleted = 0 AND old.shown = 0 AND new.shown = 1 BEGIN"
        "  UPDATE talk SET unread = unread - 1 WHERE peer = old.peer;"
        "END;"
        "CREATE TRIGGER message_deleted AFTER UPDATE OF deleted ON message"
        "  WHEN old.deleted = 0 AND new.deleted = 1 BEGIN"
        "  UPDATE talk SET unread = unread - (old.outgoing = 0 AND old.shown = 0), last_row ="
        "    (SELECT max(row) FROM message WHERE peer = old.peer AND deleted = 0)"
        "    WHERE peer = old.peer;"
        "END;"

        "CREATE TABLE counter_out (conversation BLOB PRIMARY KEY, counter INTEGER NOT NULL)"
        "  STRICT, WITHOUT ROWID;"
        "CREATE TABLE counter_in (conversation BLOB NOT NULL, device INTEGER NOT NULL,"
        "  counter INTEGER NOT NULL, PRIMARY KEY (conversation, device)) STRICT, WITHOUT ROWID;"

        "CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, recipient TEXT NOT NULL,"
        "  device INTEGER NOT NULL, content_id BLOB NOT NULL, kind INTEGER NOT NULL,"
        "  state INTEGER NOT NULL, keep INTEGER NOT NULL, queued_ms INTEGER NOT NULL,"
        "  list_version INTEGER NOT NULL, content BLOB NOT NULL) STRICT;"
        "CREATE INDEX item_waiting ON item (recipient) WHERE state < 3;"
        "CREATE INDEX item_content ON item (content_id);"
        "CREATE TABLE parcel (item INTEGER NOT NULL REFERENCES item (id) ON DELETE CASCADE,"
        "  device INTEGER NOT NULL, envelope_id BLOB NOT NULL, envelope BLOB NOT NULL,"
        "  progress INTEGER NOT NULL, retries INTEGER NOT NULL, PRIMARY KEY (item, device)) STRICT;"
        /* Every envelope id that a parcel ever had. */
        "CREATE TABLE envelope (id BLOB PRIMARY KEY,"
        "  item INTEGER NOT NULL REFERENCES item (id) ON DELETE CASCADE,"
        "  device INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
        "CREATE INDEX envelope_item ON envelope (item);"

        "CREATE TABLE seen (envelope_id BLOB PRIMARY KEY, seen_ms INTEGER NOT NULL)"
        "  STRICT, WITHOUT ROWID;"
        "CREATE INDEX seen_age ON seen (seen_ms);"
        "CREATE TABLE quarantine (seq INTEGER PRIMARY KEY AUTOINCREMENT,"
        "  envelope_id BLOB NOT NULL UNIQUE, reason TEXT NOT NULL, added_ms INTEGER NOT NULL,"
        "  envelope BLOB NOT NULL) STRICT;"
        "CREATE TABLE due (seq INTEGER PRIMARY KEY AUTOINCREMENT, peer TEXT NOT NULL,"
        "  content_id BLOB NOT NULL, state INTEGER NOT NULL, UNIQUE (peer, content_id)) STRICT;",
    },
    {
        /* What an account was before it was blocked. Of those that are blocked already the messages
         * tell it: an accepted one has some that are no requests. */
        "ALTER TABLE contact ADD COLUMN unblocked INTEGER NOT NULL DEFAULT 0;"
        "UPDATE contact SET unblocked = CASE"
        "  WHEN EXISTS (SELECT 1 FROM message m WHERE m.peer = contact.name AND m.deleted = 0"
        "    AND m.request = 0) THEN 2"
        "  WHEN EXISTS (SELECT 1 FROM message m WHERE m.peer = contact.name AND m.deleted = 0)"
        "    THEN 1 ELSE 0 END WHERE state = 3;"

        /* Where a message stands on the screen: (place, counter, row). The place is the row, or for
         * one that was overtaken on its way, that of the first of those that overtook it. */
        "ALTER TABLE message ADD COLUMN place INTEGER NOT NULL DEFAULT 0;"
        "UPDATE message SET place = row;"
        "DROP INDEX message_peer;"
        "DROP INDEX message_new;"
        "DROP INDEX message_new_peer;"
        "CREATE INDEX message_peer ON message (peer, place, counter) WHERE deleted = 0;"
        "CREATE INDEX message_new ON message (place, counter)"
        "  WHERE outgoing = 0 AND shown = 0 AND deleted = 0;"
        "CREATE INDEX message_new_peer ON message (peer, place, counter)"
        "  WHERE outgoing = 0 AND shown = 0 AND deleted = 0;"
        "CREATE INDEX message_counter ON message (peer, device, counter)"
        "  WHERE outgoing = 0 AND deleted = 0;"

        /* When something last came from a device, or when it was listed. */
        "CREATE TABLE heard (name TEXT NOT NULL, device INTEGER NOT NULL, ms INTEGER NOT NULL,"
        "  PRIMARY KEY (name, device)) STRICT, WITHOUT ROWID;",
    },
    {
        /* Envelopes that did not open, which their sender is still to be asked for again. */
        "CREATE TABLE unasked (seq INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL,"
        "  device INTEGER NOT NULL, envelope_id BLOB NOT NULL UNIQUE, added_ms INTEGER NOT NULL)"
        "  STRICT;"
        "CREATE INDEX unasked_sender ON unasked (sender, seq);",
    },
};

enum sotto_err sotto_profile_open(const char *dir, const struct sotto_secret32 *vault_key,
                                  bool create, const char *vfs, struct sotto_profile **ret,
                                  char *ret_why, size_t room)
{
    static const char label[] = "sotto/1 profile database";
    struct sotto_secret32 key SOTTO_WIPED = {0};
    size_t path_room = strlen(dir) + sizeof "/profile.db";
    char *path = malloc(path_room);
    struct sotto_profile *p = calloc(1, sizeof *p);
    enum sotto_err e = SOTTO_ERR_NOMEM;

    if (path != NULL && p != NULL) {
        (void)snprintf(path, path_room, "%s/profile.db", dir);
        sotto_hkdf_sha256(NULL, 0, vault_key->b, sizeof vault_key->b, label, sizeof label - 1,
                          key.b, sizeof key.b);
        e = sotto_db_open(path, &key, create, steps, sizeof steps / sizeof steps[0], vfs, &p->db,
                          ret_why, room);
    } else if (ret_why != NULL && room > 0) {
        (void)snprintf(ret_why, room, "out of memory");
    }
    free(path);
    if (e != SOTTO_OK) {
        free(p);
        return e;
    }
    *ret = p;
    return SOTTO_OK;
}

void sotto_profile_close(struct sotto_profile *p)
{
    if (p == NULL)
        return;
    sotto_db_close(p->db);
    free(p);
}

enum sotto_err sotto_profile_begin(struct sotto_profile *p)
{
    return sotto_db_begin(p->db);
}

enum sotto_err sotto_profile_commit(struct sotto_profile *p)
{
    return sotto_db_commit(p->db);
}

void sotto_profile_rollback(struct sotto_profile *p)
{
    sotto_db_rollback(p->db);
}

/* --- what the other files use --- */

enum sotto_err sotto_profile_name(const struct sotto_rows *rows, int col, sotto_name ret)
{
    const char *text = sotto_rows_text(rows, col);

    if (strlen(text) > SOTTO_NAME_MAX)
        return SOTTO_ERR_MALFORMED;
    memcpy(ret, text, strlen(text) + 1);
    return SOTTO_OK;
}

enum sotto_err sotto_profile_walked(struct sotto_rows *rows, enum sotto_err e)
{
    /* A callback may give NOT_FOUND as well, but then the rows have not ended. */
    bool ended = rows->stmt == NULL;

    sotto_rows_done(rows);
    return ended && e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_profile_each_name(struct sotto_profile *p, const char *sql, sotto_name_fn *fn,
                                       void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows, sql, "");

    while (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        e = fn(ctx, sotto_rows_text(&rows, 0));
    return sotto_profile_walked(&rows, e);
}

enum sotto_err sotto_profile_replace(struct sotto_buf *buf, struct sotto_bytes with)
{
    struct sotto_buf fresh = SOTTO_BUF(buf->cap);
    enum sotto_err e = sotto_buf_add(&fresh, with.p, with.n);

    if (e != SOTTO_OK)
        return e;
    sotto_buf_free(buf);
    *buf = fresh;
    return SOTTO_OK;
}

enum sotto_err sotto_profile_end(struct sotto_profile *p, enum sotto_err e)
{
    if (e == SOTTO_OK)
        return sotto_db_commit(p->db);
    sotto_db_rollback(p->db);
    return e;
}

enum sotto_err sotto_profile_one_changed(struct sotto_profile *p, enum sotto_err e)
{
    if (e == SOTTO_OK && sotto_db_changes(p->db) == 0)
        return SOTTO_ERR_NOT_FOUND;
    return e;
}

/* --- settings --- */

static enum sotto_err find_setting(struct sotto_profile *p, const char *key,
                                   struct sotto_rows *rows)
{
    enum sotto_err e =
        sotto_db_query(p->db, rows, "SELECT value FROM setting WHERE key = ?", "s", key);

    return e != SOTTO_OK ? e : sotto_rows_next(rows);
}

enum sotto_err sotto_setting_get(struct sotto_profile *p, const char *key, struct sotto_buf *ret)
{
    struct sotto_rows rows;
    enum sotto_err e = find_setting(p, key, &rows);

    if (e == SOTTO_OK)
        e = sotto_profile_replace(ret, sotto_rows_blob(&rows, 0));
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_setting_read(struct sotto_profile *p, const char *key, void *ret, size_t len)
{
    struct sotto_rows rows;
    enum sotto_err e = find_setting(p, key, &rows);

    if (e == SOTTO_OK)
        e = sotto_rows_copy(&rows, 0, ret, len);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_setting_put(struct sotto_profile *p, const char *key, const void *data,
                                 size_t len)
{
    return sotto_db_run(p->db,
                        "INSERT INTO setting (key, value) VALUES (?, ?)"
                        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                        "sb", key, data, len);
}

enum sotto_err sotto_setting_drop(struct sotto_profile *p, const char *key)
{
    return sotto_db_run(p->db, "DELETE FROM setting WHERE key = ?", "s", key);
}

enum sotto_err sotto_setting_get_u64(struct sotto_profile *p, const char *key, uint64_t *ret)
{
    uint8_t b[8];
    enum sotto_err e = sotto_setting_read(p, key, b, sizeof b);

    if (e != SOTTO_OK && e != SOTTO_ERR_NOT_FOUND)
        return e;
    *ret = e == SOTTO_OK ? sotto_get_u64(b) : 0;
    return SOTTO_OK;
}

enum sotto_err sotto_setting_put_u64(struct sotto_profile *p, const char *key, uint64_t v)
{
    uint8_t b[8];

    sotto_put_u64(b, v);
    return sotto_setting_put(p, key, b, sizeof b);
}
