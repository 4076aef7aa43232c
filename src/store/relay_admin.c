/* SPDX-License-Identifier: Apache-2.0 */
#include "store/relay_admin.h"

#include <stdio.h>
#include <string.h>

#include "store/relay_db.h"

/* --- accounts --- */

enum sotto_err sotto_rs_accounts_each(struct sotto_relay_store *s, sotto_rs_account_fn *fn,
                                      void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        s->db, &rows,
        "SELECT id, name, gone, disabled, version, (SELECT count(*) FROM device"
        " WHERE device.account = account.id AND listed = 1) FROM account ORDER BY name",
        "");

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0) {
        struct sotto_rs_account a = {
            .id = sotto_rows_int(&rows, 0),
            .gone = sotto_rows_int(&rows, 2) != 0,
            .disabled = sotto_rows_int(&rows, 3) != 0,
            .version = (uint32_t)sotto_rows_int(&rows, 4),
        };

        snprintf(a.name, sizeof a.name, "%s", sotto_rows_text(&rows, 1));
        e = fn(ctx, &a, (uint32_t)sotto_rows_int(&rows, 5));
    }
    sotto_rows_done(&rows);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_rs_account_disable(struct sotto_relay_store *s, int64_t account, bool disabled)
{
    return sotto_db_run(s->db, "UPDATE account SET disabled = ? WHERE id = ?", "ii",
                        (int64_t)disabled, account);
}

enum sotto_err sotto_rs_account_forget(struct sotto_relay_store *s, int64_t account)
{
    return sotto_db_run(s->db, "DELETE FROM account WHERE id = ? AND gone = 1", "i", account);
}

enum sotto_err sotto_rs_boxes_each(struct sotto_relay_store *s, sotto_rs_box_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(s->db, &rows, "SELECT box, account FROM device", "");

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0)
        e = fn(ctx, sotto_rows_int(&rows, 0), sotto_rows_int(&rows, 1));
    sotto_rows_done(&rows);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

/* --- invites --- */

enum sotto_err sotto_rs_invites_each(struct sotto_relay_store *s, sotto_rs_invite_fn *fn, void *ctx)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        s->db, &rows, "SELECT hash, uses, expires, name FROM invite ORDER BY expires, hash", "");

    while (e == 0 && (e = sotto_rows_next(&rows)) == 0) {
        struct sotto_rs_invite i = {
            .uses = (uint32_t)sotto_rows_int(&rows, 1),
            .expires_ms = sotto_rows_uint(&rows, 2),
        };

        snprintf(i.name, sizeof i.name, "%s", sotto_rows_text(&rows, 3));
        if ((e = sotto_rows_copy(&rows, 0, i.hash, sizeof i.hash)) == 0)
            e = fn(ctx, &i);
    }
    sotto_rows_done(&rows);
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

enum sotto_err sotto_rs_invite_drop(struct sotto_relay_store *s, const uint8_t hash[32])
{
    enum sotto_err e =
        sotto_db_run(s->db, "DELETE FROM invite WHERE hash = ?", "b", hash, (size_t)32);

    return e == 0 && sotto_db_changes(s->db) == 0 ? SOTTO_ERR_NOT_FOUND : e;
}

enum sotto_err sotto_rs_invite_add_for(struct sotto_relay_store *s, const uint8_t hash[32],
                                       const char *name, uint64_t expires_ms)
{
    enum sotto_err e = sotto_rs_begin(s);

    if (e != 0)
        return e;
    if ((e = sotto_db_run(s->db, "DELETE FROM invite WHERE name = ?", "s", name)) != 0 ||
        (e = sotto_db_run(s->db,
                          "INSERT INTO invite (hash, uses, expires, name)"
                          " VALUES (?, 1, ?, ?)",
                          "bus", hash, (size_t)32, expires_ms, name)) != 0) {
        sotto_rs_rollback(s);
        return e;
    }
    return sotto_rs_commit(s);
}

enum sotto_err sotto_rs_invite_name(struct sotto_relay_store *s, const uint8_t hash[32],
                                    sotto_name ret)
{
    struct sotto_rows rows;
    enum sotto_err e =
        SOTTO_RS_ONE(s, &rows, "SELECT name FROM invite WHERE hash = ? AND name IS NOT NULL", "b",
                     hash, (size_t)32);

    if (e != 0)
        return e;
    snprintf(ret, sizeof(sotto_name), "%s", sotto_rows_text(&rows, 0));
    sotto_rows_done(&rows);
    return SOTTO_OK;
}

/* --- space --- */

static enum sotto_err number(struct sotto_relay_store *s, const char *sql, uint64_t *ret)
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, sql, "");

    if (e != 0)
        return e;
    *ret = sotto_rows_uint(&rows, 0);
    sotto_rows_done(&rows);
    return SOTTO_OK;
}

enum sotto_err sotto_rs_usage(struct sotto_relay_store *s, struct sotto_rs_usage *ret)
{
    static const struct {
        const char *what, *sql;
    } parts[] = {
        {"waiting mail",
         "SELECT count(*), coalesce(sum(length(places) + length(bytes)), 0) FROM mail"},
        {"device lists", "SELECT count(*), coalesce(sum(length(bytes) + 16), 0) FROM list"},
        {"devices", "SELECT count(*), coalesce(sum(length(entry)"
                    " + coalesce(length(signed_prekey), 0) + 96), 0) FROM device"},
        {"one-time keys", "SELECT (SELECT count(*) FROM one_time) + (SELECT count(*) FROM handed),"
                          " (SELECT coalesce(sum(length(bytes) + 24), 0) FROM one_time)"
                          " + (SELECT coalesce(sum(length(bytes) + 48), 0) FROM handed)"},
        {"accounts", "SELECT count(*), coalesce(sum(length(name) + coalesce(length(key), 0)"
                     " + coalesce(length(opaque), 0) + 16), 0) FROM account"},
        {"delivery tokens", "SELECT count(*), count(*) * 40 FROM token"},
        {"devices to be listed", "SELECT count(*), coalesce(sum(length(entry)"
                                 " + length(signed_prekey) + 56), 0) FROM link"},
        {"invites", "SELECT count(*), count(*) * 48 FROM invite"},
    };
    struct sotto_rs_usage u = {.part_count = sizeof parts / sizeof parts[0]};
    enum sotto_err e;

    if ((e = number(s, "PRAGMA page_size", &u.page_bytes)) != 0 ||
        (e = number(s, "PRAGMA page_count", &u.pages)) != 0 ||
        (e = number(s, "PRAGMA freelist_count", &u.free_pages)) != 0)
        return e;
    for (size_t i = 0; i < u.part_count; i++) {
        struct sotto_rows rows;

        if ((e = SOTTO_RS_ONE(s, &rows, parts[i].sql, "")) != 0)
            return e;
        u.parts[i].what = parts[i].what;
        u.parts[i].rows = sotto_rows_uint(&rows, 0);
        u.parts[i].bytes = sotto_rows_uint(&rows, 1);
        sotto_rows_done(&rows);
    }
    *ret = u;
    return SOTTO_OK;
}

/* --- whole --- */

static enum sotto_err count_place(void *ctx, int64_t row, const struct sotto_rs_place *p)
{
    return SOTTO_OK;
}

enum sotto_err sotto_rs_check(struct sotto_relay_store *s, char *ret_why, size_t room)
{
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_RS_ONE(s, &rows, "PRAGMA integrity_check(1)", "");

    if (e == 0) {
        snprintf(ret_why, room, "%s", sotto_rows_text(&rows, 0));
        for (char *p = ret_why; (p = strchr(p, '\n')) != NULL;)
            *p = ' ';
        e = strcmp(ret_why, "ok") == 0 ? SOTTO_OK : SOTTO_ERR_MALFORMED;
        sotto_rows_done(&rows);
    } else {
        snprintf(ret_why, room, "it cannot be read: %s", sotto_err_text(e));
    }
    if (e == 0 && (e = sotto_rs_mail_each(s, count_place, NULL)) != 0)
        snprintf(ret_why, room, "a row of mail is not what it should be");
    return e == SOTTO_ERR_IO || e == SOTTO_ERR_BUG ? SOTTO_ERR_MALFORMED : e;
}

enum sotto_err sotto_rs_copy(struct sotto_relay_store *s, const char *path, char *ret_why,
                             size_t room)
{
    return sotto_db_copy(s->db, path, ret_why, room);
}
