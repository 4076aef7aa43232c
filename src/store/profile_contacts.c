/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store/profile_db.h"

/* Accounts that we know, and our sessions with their devices. */

#define CONTACT_COLUMNS                                                                            \
    "c.name, c.state, c.gone, c.has_list, c.account_key, c.list_version, c.list_hash,"             \
    " c.their_token, c.our_token, c.verified_key, c.new_identity, c.forked, c.checked_ms,"         \
    " c.unblocked, coalesce(t.unread, 0),"                                                         \
    " coalesce((SELECT CASE m.outgoing WHEN 1 THEN m.sent_at_ms ELSE m.received_at_ms END"         \
    "   FROM message m WHERE m.row = t.last_row), 0)"                                              \
    " FROM contact c LEFT JOIN talk t ON t.peer = c.name"

/* --- contacts --- */

/* An optional value: NULL is "has not". */
static enum sotto_err read_optional(const struct sotto_rows *rows, int col, void *ret, size_t len,
                                    bool *ret_has)
{
    *ret_has = !sotto_rows_is_null(rows, col);
    return *ret_has ? sotto_rows_copy(rows, col, ret, len) : SOTTO_OK;
}

static enum sotto_err read_contact(const struct sotto_rows *rows, struct sotto_contact_record *ret)
{
    struct sotto_contact_record c = {0};
    enum sotto_err e;

    if ((e = sotto_profile_name(rows, 0, c.name)) != 0)
        return e;
    c.state = (uint32_t)sotto_rows_int(rows, 1);
    c.gone = sotto_rows_int(rows, 2) != 0;
    c.has_list = sotto_rows_int(rows, 3) != 0;
    if ((e = sotto_rows_copy(rows, 4, c.account_key, sizeof c.account_key)) != 0)
        return e;
    c.list_version = (uint32_t)sotto_rows_int(rows, 5);
    if ((e = sotto_rows_copy(rows, 6, c.list_hash, sizeof c.list_hash)) != 0 ||
        (e = read_optional(rows, 7, c.their_token, SOTTO_TOKEN, &c.has_their_token)) != 0 ||
        (e = read_optional(rows, 8, c.our_token, SOTTO_TOKEN, &c.has_our_token)) != 0 ||
        (e = read_optional(rows, 9, c.verified_key, 32, &c.has_verified_key)) != 0)
        return e;
    c.new_identity = sotto_rows_int(rows, 10) != 0;
    c.forked = (uint32_t)sotto_rows_int(rows, 11);
    c.checked_ms = sotto_rows_uint(rows, 12);
    c.unblocked = (uint32_t)sotto_rows_int(rows, 13);
    c.unread = (uint32_t)sotto_rows_int(rows, 14);
    c.last_ms = sotto_rows_uint(rows, 15);
    *ret = c;
    return SOTTO_OK;
}

enum sotto_err sotto_contact_get(struct sotto_profile *p, const char *name,
                                 struct sotto_contact_record *ret)
{
    struct sotto_rows rows;
    enum sotto_err e =
        sotto_db_query(p->db, &rows, "SELECT " CONTACT_COLUMNS " WHERE c.name = ?", "s", name);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        e = read_contact(&rows, ret);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_contact_put(struct sotto_profile *p, const struct sotto_contact_record *c)
{
    /* An optional value that is not there goes in as an empty blob, which nullif() makes NULL. */
    return sotto_db_run(
        p->db,
        "INSERT INTO contact (name, state, gone, has_list, account_key, list_version, list_hash,"
        " their_token, our_token, verified_key, new_identity, forked, checked_ms, unblocked)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, x''), nullif(?, x''), nullif(?, x''), ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET state = excluded.state, gone = excluded.gone,"
        " has_list = excluded.has_list, account_key = excluded.account_key,"
        " list_version = excluded.list_version, list_hash = excluded.list_hash,"
        " their_token = excluded.their_token, our_token = excluded.our_token,"
        " verified_key = excluded.verified_key, new_identity = excluded.new_identity,"
        " forked = excluded.forked, checked_ms = excluded.checked_ms,"
        " unblocked = excluded.unblocked",
        "siiibibbbbiiui", c->name, (int64_t)c->state, (int64_t)c->gone, (int64_t)c->has_list,
        c->account_key, sizeof c->account_key, (int64_t)c->list_version, c->list_hash,
        sizeof c->list_hash, c->their_token, c->has_their_token ? sizeof c->their_token : 0,
        c->our_token, c->has_our_token ? sizeof c->our_token : 0, c->verified_key,
        c->has_verified_key ? sizeof c->verified_key : 0, (int64_t)c->new_identity,
        (int64_t)c->forked, c->checked_ms, (int64_t)c->unblocked);
}

enum sotto_err sotto_contact_list_get(struct sotto_profile *p, const char *name, bool pending,
                                      struct sotto_buf *ret)
{
    struct sotto_rows rows;
    enum sotto_err e =
        pending
            ? sotto_db_query(p->db, &rows, "SELECT pending FROM contact WHERE name = ?", "s", name)
            : sotto_db_query(p->db, &rows, "SELECT list FROM contact WHERE name = ?", "s", name);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        e = sotto_rows_is_null(&rows, 0) ? SOTTO_ERR_NOT_FOUND
                                         : sotto_profile_replace(ret, sotto_rows_blob(&rows, 0));
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_contact_list_put(struct sotto_profile *p, const char *name, bool pending,
                                      const void *data, size_t len)
{
    enum sotto_err e;

    if (data == NULL)
        e = pending
                ? sotto_db_run(p->db, "UPDATE contact SET pending = NULL WHERE name = ?", "s", name)
                : sotto_db_run(p->db, "UPDATE contact SET list = NULL WHERE name = ?", "s", name);
    else
        e = pending ? sotto_db_run(p->db, "UPDATE contact SET pending = ? WHERE name = ?", "bs",
                                   data, len, name)
                    : sotto_db_run(p->db, "UPDATE contact SET list = ? WHERE name = ?", "bs", data,
                                   len, name);
    return sotto_profile_one_changed(p, e);
}

enum sotto_err sotto_contact_each(struct sotto_profile *p, sotto_contact_fn *fn, void *ctx)
{
    struct sotto_contact_record c;
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT " CONTACT_COLUMNS " ORDER BY t.last_row DESC NULLS LAST, c.name", "");

    while (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        if ((e = read_contact(&rows, &c)) == SOTTO_OK)
            e = fn(ctx, &c);
    }
    return sotto_profile_walked(&rows, e);
}

/* --- heard of --- */

enum sotto_err sotto_heard_note(struct sotto_profile *p, const char *name, uint64_t device,
                                uint64_t now_ms, bool listed)
{
    return listed ? sotto_db_run(p->db,
                                 "INSERT INTO heard (name, device, ms) VALUES (?, ?, ?)"
                                 " ON CONFLICT (name, device) DO NOTHING",
                                 "suu", name, device, now_ms)
                  : sotto_db_run(p->db,
                                 "INSERT INTO heard (name, device, ms) VALUES (?, ?, ?)"
                                 " ON CONFLICT (name, device) DO UPDATE"
                                 " SET ms = max(ms, excluded.ms)",
                                 "suu", name, device, now_ms);
}

enum sotto_err sotto_heard_get(struct sotto_profile *p, const char *name, uint64_t device,
                               uint64_t *ret_ms)
{
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(
        p->db, &rows, "SELECT ms FROM heard WHERE name = ? AND device = ?", "su", name, device);

    if (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK)
        *ret_ms = sotto_rows_uint(&rows, 0);
    sotto_rows_done(&rows);
    return e;
}

enum sotto_err sotto_heard_drop(struct sotto_profile *p, const char *name, uint64_t device)
{
    return sotto_db_run(p->db, "DELETE FROM heard WHERE name = ? AND device = ?", "su", name,
                        device);
}

/* --- sessions --- */

enum sotto_err sotto_sessions_each(struct sotto_profile *p, const char *name, uint64_t device,
                                   sotto_session_fn *fn, void *ctx)
{
    uint8_t id[SOTTO_SESSION_ID];
    struct sotto_rows rows;
    enum sotto_err e = sotto_db_query(p->db, &rows,
                                      "SELECT id, record, used_ms FROM session"
                                      " WHERE name = ? AND device = ?"
                                      " ORDER BY used_ms DESC, seq DESC",
                                      "su", name, device);

    while (e == SOTTO_OK && (e = sotto_rows_next(&rows)) == SOTTO_OK) {
        if ((e = sotto_rows_copy(&rows, 0, id, sizeof id)) == SOTTO_OK)
            e = fn(ctx, id, sotto_rows_blob(&rows, 1), sotto_rows_uint(&rows, 2));
    }
    return sotto_profile_walked(&rows, e);
}

enum sotto_err sotto_sessions_put(struct sotto_profile *p, const char *name, uint64_t device,
                                  const uint8_t id[SOTTO_SESSION_ID], const void *record,
                                  size_t len, uint64_t used_ms)
{
    return sotto_db_run(p->db,
                        "INSERT INTO session (name, device, id, record, used_ms)"
                        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (name, device, id) DO UPDATE"
                        " SET record = excluded.record, used_ms = excluded.used_ms",
                        "subbu", name, device, id, (size_t)SOTTO_SESSION_ID, record, len, used_ms);
}

enum sotto_err sotto_sessions_drop(struct sotto_profile *p, const char *name, uint64_t device,
                                   const uint8_t id[SOTTO_SESSION_ID])
{
    return sotto_db_run(p->db, "DELETE FROM session WHERE name = ? AND device = ? AND id = ?",
                        "sub", name, device, id, (size_t)SOTTO_SESSION_ID);
}

enum sotto_err sotto_sessions_trim(struct sotto_profile *p, const char *name, uint64_t device,
                                   size_t keep, uint64_t before_ms)
{
    return sotto_db_run(p->db,
                        "DELETE FROM session WHERE name = ?1 AND device = ?2 AND"
                        " (used_ms < ?3 OR seq NOT IN (SELECT seq FROM session"
                        "   WHERE name = ?1 AND device = ?2"
                        "   ORDER BY used_ms DESC, seq DESC LIMIT ?4))",
                        "suuu", name, device, before_ms, (uint64_t)keep);
}

enum sotto_err sotto_sessions_clear(struct sotto_profile *p, const char *name, uint64_t device)
{
    if (name == NULL)
        return sotto_db_run(p->db, "DELETE FROM session", "");
    if (device == 0)
        return sotto_db_run(p->db, "DELETE FROM session WHERE name = ?", "s", name);
    return sotto_db_run(p->db, "DELETE FROM session WHERE name = ? AND device = ?", "su", name,
                        device);
}
