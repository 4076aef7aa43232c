/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/db_conn.h"

/*
 * Encryption is SQLCipher's, format 4: each page AES-256-CBC under the raw key with a fresh IV and
 * an HMAC-SHA-512; the WAL holds the same encrypted pages. SQLCipher keeps the key itself in a
 * locked heap of its own, masked while idle.
 */

enum { BUSY_MS = 10000, CACHE_KIB = 16 * 1024, KEY_TEXT = 2 + 64 + 1 };

struct opening {
    const char *path;
    char *why;
    size_t room;
};

static enum sotto_err because(const struct opening *o, enum sotto_err e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum sotto_err because(const struct opening *o, enum sotto_err e, const char *fmt, ...)
{
    va_list ap;

    if (o->why != NULL && o->room > 0) {
        va_start(ap, fmt);
        (void)vsnprintf(o->why, o->room, fmt, ap);
        va_end(ap);
    }
    return e;
}

static enum sotto_err because_sqlite(const struct opening *o, const struct sotto_db *db, int rc)
{
    enum sotto_err e = sotto_db_error_of(db, rc);
    int no = db->conn != NULL ? sqlite3_system_errno(db->conn) : 0;
    const char *text = db->conn != NULL ? sqlite3_errmsg(db->conn) : sqlite3_errstr(rc);

    if (e == SOTTO_ERR_FULL)
        return because(o, e, "no room left on the disk for %s; make room and try again", o->path);
    if (e == SOTTO_ERR_LOCKED)
        return because(o, e, "%s is in use by another process; end that one and try again",
                       o->path);
    if ((rc & 0xff) == SQLITE_CANTOPEN && (no == EACCES || no == EPERM || no == EROFS))
        return because(o, SOTTO_ERR_DENIED, "%s cannot be opened: %s", o->path, strerror(no));
    return because(o, e, "%s: %s%s%s", o->path, text, no != 0 ? ": " : "",
                   no != 0 ? strerror(no) : "");
}

/* The file is made here and not by SQLite, which would make it readable for others and tighten it
 * later; the WAL takes its mode from the file. */
static enum sotto_err make_file(const struct opening *o)
{
    int fd = open(o->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0) {
        (void)close(fd);
        return SOTTO_OK;
    }
    switch (errno) {
    case EEXIST: /* another process was faster */
        return SOTTO_OK;
    case ENOSPC:
    case EDQUOT:
        return because(o, SOTTO_ERR_FULL,
                       "no room left on the disk for %s; make room and try again", o->path);
    case EACCES:
    case EPERM:
    case EROFS:
        return because(o, SOTTO_ERR_DENIED, "%s cannot be made: %s", o->path, strerror(errno));
    default:
        return because(o, SOTTO_ERR_IO, "%s cannot be made: %s", o->path, strerror(errno));
    }
}

static enum sotto_err check_file(const struct opening *o, bool create)
{
    struct stat st;

    if (stat(o->path, &st) != 0) {
        if (errno == ENOENT && create)
            return make_file(o);
        if (errno == ENOENT || errno == ENOTDIR)
            return because(o, SOTTO_ERR_NOT_FOUND, "%s does not exist", o->path);
        return because(o, errno == EACCES ? SOTTO_ERR_DENIED : SOTTO_ERR_IO,
                       "%s cannot be opened: %s", o->path, strerror(errno));
    }
    if ((st.st_mode & 077) != 0)
        return because(o, SOTTO_ERR_DENIED,
                       "%s can be read by others (mode %03o); make it private: chmod 600 %s",
                       o->path, (unsigned)st.st_mode & 0777, o->path);
    return SOTTO_OK;
}

/* On the system's own files. */
static enum sotto_err check_disk(const struct opening *o, bool create)
{
    enum sotto_err e = check_file(o, create);

    if (e == 0 && !sotto_db_index_has_room(o->path))
        e = because(o, SOTTO_ERR_FULL,
                    "the disk is full, there is no room to open %s; make room and try again",
                    o->path);
    return e;
}

static enum sotto_err check_vfs_file(const struct opening *o, const char *name, bool create)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(name);
    int there = 0;

    if (vfs == NULL)
        return because(o, SOTTO_ERR_USAGE, "no VFS is called %s", name);
    if (!create &&
        (vfs->xAccess(vfs, o->path, SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK || !there))
        return because(o, SOTTO_ERR_NOT_FOUND, "%s does not exist", o->path);
    return SOTTO_OK;
}

static int hand_over_key(sqlite3 *conn, const struct sotto_secret32 *key)
{
    char text[KEY_TEXT + 1];
    int rc;

    /* The form that SQLCipher takes as the key itself and not as a passphrase. */
    memcpy(text, "x'", 2);
    (void)sotto_hex_encode(key->b, sizeof key->b, text + 2);
    text[KEY_TEXT - 1] = '\'';
    rc = sqlite3_key_v2(conn, "main", text, KEY_TEXT);
    sotto_wipe(text, sizeof text);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(conn, "PRAGMA cipher_compatibility=4", NULL, NULL, NULL);
    return rc;
}

static int read_version(sqlite3 *conn, int *ret)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(conn, "PRAGMA user_version", -1, &s, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        *ret = sqlite3_column_int(s, 0);
        rc = SQLITE_OK;
    }
    (void)sqlite3_finalize(s);
    return rc;
}

/* Opens, hands over the key, reads the first page; writes nothing. */
static enum sotto_err first_look(const struct opening *o, struct sotto_db *db,
                                 const struct sotto_secret32 *key, bool create, const char *vfs,
                                 size_t step_count)
{
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(o->path, &db->conn, flags, vfs), version = 0;

    if (rc == SQLITE_OK && key != NULL)
        rc = hand_over_key(db->conn, key);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db->conn, BUSY_MS);
    /* Until the database is known to be ours to write, not even its WAL is carried over. */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db->conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    if (rc == SQLITE_OK)
        rc = read_version(db->conn, &version);
    if ((rc & 0xff) == SQLITE_NOTADB)
        return because(o, SOTTO_ERR_BAD_TAG,
                       key != NULL ? "%s does not open with this key, or its first page is damaged"
                                   : "%s is not a Sotto database, or its first page is damaged",
                       o->path);
    if (rc != SQLITE_OK)
        return because_sqlite(o, db, rc);
    if (version < 0 || (size_t)version > step_count)
        return because(o, SOTTO_ERR_NEWER,
                       "%s was written by a newer version of Sotto (schema %d, known here: %zu); "
                       "nothing was changed, use that version",
                       o->path, version, step_count);
    if (version == 0 && !create)
        return because(o, SOTTO_ERR_NOT_FOUND, "%s is empty: it was never set up", o->path);
    return SOTTO_OK;
}

static int journal_mode_seen(void *ctx, int count, char **values, char **names)
{
    *(bool *)ctx = count == 1 && values[0] != NULL && strcmp(values[0], "wal") == 0;
    return 0;
}

/* Two processes that make the same database at once get in each other's way here, and SQLite does
 * not wait, as both hold a lock that the other needs gone. */
static int switch_to_wal(sqlite3 *conn, bool *ret_wal)
{
    enum { PAUSE_MS = 20 };
    int rc = SQLITE_BUSY;

    for (int waited = 0; (rc & 0xff) == SQLITE_BUSY && waited < BUSY_MS; waited += PAUSE_MS) {
        if (waited > 0)
            (void)sqlite3_sleep(PAUSE_MS);
        rc = sqlite3_exec(conn, "PRAGMA journal_mode=WAL", journal_mode_seen, ret_wal, NULL);
    }
    return rc;
}

static enum sotto_err configure(const struct opening *o, struct sotto_db *db)
{
    char settings[256];
    bool wal = false;
    int rc;

    (void)snprintf(settings, sizeof settings,
                   "PRAGMA temp_store=MEMORY; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
                   "PRAGMA trusted_schema=OFF; PRAGMA cache_size=-%d; PRAGMA foreign_keys=OFF",
                   CACHE_KIB);
    rc = switch_to_wal(db->conn, &wal);
    if (rc == SQLITE_OK && !wal)
        return because(o, SOTTO_ERR_IO,
                       "%s lies on a file system that cannot share memory; put it on a local disk",
                       o->path);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db->conn, settings, NULL, NULL, NULL);
    if (!sotto_db_syncs() && rc == SQLITE_OK)
        rc = sqlite3_exec(db->conn, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
    return rc == SQLITE_OK ? SOTTO_OK : because_sqlite(o, db, rc);
}

static int references_broken(void *ctx, int count, char **values, char **names)
{
    *(bool *)ctx = true;
    return 0;
}

static int migrate_steps(sqlite3 *conn, const struct sotto_migration *steps, size_t count,
                         bool *ret_broken)
{
    char set[64];
    int version = 0, rc;

    /* Read again: another process may have migrated while this one waited for the lock. */
    if ((rc = read_version(conn, &version)) != SQLITE_OK || (size_t)version >= count)
        return rc;
    for (size_t i = (size_t)version; i < count; i++) {
        if ((rc = sqlite3_exec(conn, steps[i].sql, NULL, NULL, NULL)) != SQLITE_OK)
            return rc;
    }
    if ((rc = sqlite3_exec(conn, "PRAGMA foreign_key_check", references_broken, ret_broken,
                           NULL)) != SQLITE_OK)
        return rc;
    (void)snprintf(set, sizeof set, "PRAGMA user_version=%zu", count);
    return sqlite3_exec(conn, set, NULL, NULL, NULL);
}

/* Foreign keys are off meanwhile, as a step that rebuilds a table needs; what it leaves is checked
 * as a whole. */
static enum sotto_err migrate(const struct opening *o, struct sotto_db *db,
                              const struct sotto_migration *steps, size_t count)
{
    enum sotto_err e = SOTTO_OK;
    bool broken = false;
    int version = 0, rc = read_version(db->conn, &version);

    /* The log is open since it was read, and nothing was written to it yet. */
    if (rc == SQLITE_OK)
        sotto_db_index_fill(db);
    if (rc == SQLITE_OK && (size_t)version < count) {
        rc = sqlite3_exec(db->conn, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = migrate_steps(db->conn, steps, count, &broken);
        if (rc == SQLITE_OK && !broken)
            rc = sqlite3_exec(db->conn, "COMMIT", NULL, NULL, NULL);
    }
    if (broken)
        e = because(o, SOTTO_ERR_BUG, "%s: a migration broke references; nothing was changed",
                    o->path);
    else if ((rc & 0xff) == SQLITE_ERROR)
        e = because(o, SOTTO_ERR_BUG, "%s: a migration failed (%s); nothing was changed", o->path,
                    sqlite3_errmsg(db->conn));
    else if (rc != SQLITE_OK)
        e = because_sqlite(o, db, rc);
    if (e != SOTTO_OK && !sqlite3_get_autocommit(db->conn))
        (void)sqlite3_exec(db->conn, "ROLLBACK", NULL, NULL, NULL);
    if (e == SOTTO_OK &&
        (rc = sqlite3_exec(db->conn, "PRAGMA foreign_keys=ON", NULL, NULL, NULL)) != SQLITE_OK)
        e = because_sqlite(o, db, rc);
    return e;
}

static void note_rollback(void *ctx)
{
    ((struct sotto_db *)ctx)->rolled_back = true;
}

/* From here on it is used, and carries its WAL over when it is closed. */
static void in_use(struct sotto_db *db)
{
    (void)sqlite3_db_config(db->conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, (int *)NULL);
    (void)sqlite3_rollback_hook(db->conn, note_rollback, db);
}

enum sotto_err sotto_db_connect(struct sotto_db *db)
{
    const struct opening o = {.path = db->path};
    enum sotto_err e;
    int rc;

    if ((e = first_look(&o, db, db->key, false, db->vfs, SIZE_MAX)) == 0 &&
        (e = configure(&o, db)) == 0 &&
        (rc = sqlite3_exec(db->conn, "PRAGMA foreign_keys=ON", NULL, NULL, NULL)) != SQLITE_OK)
        e = because_sqlite(&o, db, rc);
    if (e == 0) {
        sotto_db_index_fill(db);
        in_use(db);
    } else {
        sotto_db_disconnect(db);
    }
    return e;
}

/* What it has read of the log is shared, so it finds all without a query of its own later. */
enum sotto_err sotto_db_carrier(struct sotto_db *db)
{
    const struct opening o = {.path = db->path};
    struct sotto_db second = {.path = db->path};
    enum sotto_err e = first_look(&o, &second, NULL, false, db->vfs, SIZE_MAX);

    if (e == 0)
        e = configure(&o, &second);
    if (e == 0)
        db->carrier = second.conn;
    else
        (void)sqlite3_close(second.conn);
    return e;
}

void sotto_db_disconnect(struct sotto_db *db)
{
    sotto_db_blobs_done(db);
    for (size_t i = 0; i < db->room; i++) {
        if (db->cache[i] == NULL)
            continue;
        (void)sqlite3_finalize(db->cache[i]->stmt);
        free(db->cache[i]);
        db->cache[i] = NULL;
    }
    db->used = 0;
    if (sqlite3_close(db->conn) != SQLITE_OK)
        sotto_log_bug("%s: closed while in use", db->path);
    db->conn = NULL;
}

static struct sotto_db *db_new(const char *path, const struct sotto_secret32 *key, const char *vfs)
{
    struct sotto_db *db = calloc(1, sizeof *db);

    if (db == NULL)
        return NULL;
    db->path = strdup(path);
    if (vfs != NULL)
        db->vfs = strdup(vfs);
    if (key != NULL && (db->key = sotto_secret_alloc(sizeof *key)) != NULL)
        *db->key = *key;
    if (db->path != NULL && (vfs == NULL || db->vfs != NULL) && (key == NULL || db->key != NULL))
        return db;
    sotto_db_close(db);
    return NULL;
}

enum sotto_err sotto_db_open(const char *path, const struct sotto_secret32 *key, bool create,
                             const struct sotto_migration *steps, size_t step_count,
                             const char *vfs, struct sotto_db **ret, char *ret_why, size_t room)
{
    const struct opening o = {.path = path, .why = ret_why, .room = room};
    struct sotto_db *db;
    enum sotto_err e;

    if ((e = sotto_db_init()) != 0)
        return because(&o, e, "the database library does not start");
    if ((e = vfs == NULL ? check_disk(&o, create) : check_vfs_file(&o, vfs, create)) != 0)
        return e;
    if ((db = db_new(path, key, vfs)) == NULL)
        return because(&o, SOTTO_ERR_NOMEM, "out of memory");
    if ((e = first_look(&o, db, key, create, vfs, step_count)) != 0 ||
        (e = configure(&o, db)) != 0 || (e = migrate(&o, db, steps, step_count)) != 0) {
        sotto_db_close(db);
        return e;
    }
    in_use(db);
    *ret = db;
    return SOTTO_OK;
}

void sotto_db_close(struct sotto_db *db)
{
    if (db == NULL)
        return;
    (void)sqlite3_close(db->carrier); /* it has nothing open; NULL is fine */
    sotto_db_disconnect(db);
    sotto_secret_free(db->key);
    free(db->cache);
    free(db->vfs);
    free(db->path);
    free(db);
}
