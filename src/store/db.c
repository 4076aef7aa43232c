/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"

#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/db_conn.h"

/*
 * SQLCipher's cipher_memory_security is left off: it locks and unlocks each allocation with a
 * system call (measured: a statement that sorts or is prepared anew takes ten times as long, a
 * commit a quarter more), runs into the limit on locked memory with a cache of 16 MiB, and lifts
 * the lock from neighbours on the same page. What matters of it, that nothing stays behind in
 * memory that was given back, is done here by an allocator that wipes; its cost was too small to be
 * measured. Against dumps of living memory, programs call sotto_secret_harden_process().
 */

/* --- the allocator: wipes what it gives back --- */

static void *mem_malloc(int n)
{
    return malloc((size_t)n);
}

static int mem_size(void *p)
{
    return p == NULL ? 0 : (int)malloc_usable_size(p);
}

static void mem_free(void *p)
{
    if (p == NULL)
        return;
    sotto_wipe(p, malloc_usable_size(p));
    free(p);
}

/* realloc() would leave the old block as it was. */
static void *mem_realloc(void *p, int n)
{
    size_t old = malloc_usable_size(p);
    void *q;

    if ((size_t)n <= old)
        return p;
    if ((q = malloc((size_t)n)) == NULL)
        return NULL;
    memcpy(q, p, old);
    mem_free(p);
    return q;
}

static int mem_roundup(int n)
{
    return (n + 7) & ~7;
}

static int mem_init(void *ctx)
{
    return SQLITE_OK;
}

static void mem_shutdown(void *ctx)
{
}

/* --- once per process --- */

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static enum sotto_err init_result;

/* SQLCipher writes its errors to stderr; a wrong key is no news for anybody but the caller. */
static int silence_cipher(void)
{
    sqlite3 *c = NULL;
    int rc = sqlite3_open_v2(":memory:", &c, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c, "PRAGMA cipher_log_level=NONE", NULL, NULL, NULL);
    sqlite3_close(c);
    return rc;
}

static void init_process(void)
{
    static const sqlite3_mem_methods wiping = {
        .xMalloc = mem_malloc,
        .xFree = mem_free,
        .xRealloc = mem_realloc,
        .xSize = mem_size,
        .xRoundup = mem_roundup,
        .xInit = mem_init,
        .xShutdown = mem_shutdown,
    };

    init_result = SOTTO_ERR_BUG;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &wiping) != SQLITE_OK)
        sotto_log_bug("SQLite was used before sotto_db_init()");
    else if (sqlite3_initialize() != SQLITE_OK || silence_cipher() != SQLITE_OK)
        sotto_log_bug("SQLite does not start");
    else
        init_result = SOTTO_OK;
}

enum sotto_err sotto_db_init(void)
{
    (void)pthread_once(&init_once, init_process);
    return init_result;
}

/* --- errors --- */

static enum sotto_err constraint_error(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return SOTTO_ERR_EXISTS;
    default:
        return SOTTO_ERR_BUG;
    }
}

enum sotto_err sotto_db_error_of(const struct sotto_db *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SOTTO_OK;
    case SQLITE_NOMEM:
        return SOTTO_ERR_NOMEM;
    case SQLITE_FULL:
        return SOTTO_ERR_FULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SOTTO_ERR_LOCKED;
    case SQLITE_CONSTRAINT:
        return constraint_error(rc);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PROTOCOL:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SOTTO_ERR_IO;
    case SQLITE_ABORT:
        return SOTTO_ERR_STATE; /* rolled back under an open row set */
    case SQLITE_TOOBIG:
        return SOTTO_ERR_TOO_LARGE;
    case SQLITE_ERROR:
        /* A page whose HMAC is wrong is reported like this, and the statement itself was fine when
         * it was prepared. */
        return db->key != NULL ? SOTTO_ERR_IO : SOTTO_ERR_BUG;
    default:
        return SOTTO_ERR_BUG;
    }
}

/* Says each trouble once, not once for every statement while a disk is full. SQLite's texts name
 * tables and columns, never values. */
static void report(struct sotto_db *db, enum sotto_err e, int rc)
{
    int no = sqlite3_system_errno(db->conn);

    if (e == SOTTO_OK || e == SOTTO_ERR_EXISTS || e == SOTTO_ERR_STATE || rc == db->reported)
        return;
    db->reported = rc;
    if (e == SOTTO_ERR_BUG)
        sotto_log_bug("%s: %s (SQLite %d)", db->path, sqlite3_errmsg(db->conn), rc);
    else
        sotto_log_local("%s: %s (SQLite %d%s%s)", db->path, sqlite3_errmsg(db->conn), rc,
                        no != 0 ? ", " : "", no != 0 ? strerror(no) : "");
}

/*
 * A page that could not be encrypted or decrypted, be it that there was no memory for it just then,
 * ends a connection of SQLCipher: all pages fail from then on. So a connection is made anew after
 * what may have been that, as soon as nobody uses it.
 */
static void note_wear(struct sotto_db *db, int rc)
{
    if (db->key != NULL && ((rc & 0xff) == SQLITE_NOMEM || (rc & 0xff) == SQLITE_ERROR))
        db->worn = true;
}

static enum sotto_err renew(struct sotto_db *db)
{
    enum sotto_err e;

    if (!db->worn || db->depth > 0 || db->rows > 0)
        return SOTTO_OK;
    if (db->conn != NULL)
        (void)sqlite3_db_config(db->conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    sotto_db_disconnect(db);
    if ((e = sotto_db_connect(db)) == SOTTO_OK)
        db->worn = false;
    return e;
}

enum sotto_err sotto_db_finish(struct sotto_db *db, int rc)
{
    enum sotto_err e = sotto_db_error_of(db, rc);

    report(db, e, rc);
    note_wear(db, rc);
    /* On a full disk or a failed write SQLite rolls back by itself. Were that forgotten, the rest
     * of the caller's transaction would be written statement by statement. */
    if (e != SOTTO_OK && db->depth > 0 && sqlite3_get_autocommit(db->conn))
        db->lost = e;
    return e;
}

/* --- statements --- */

static size_t slot_of(const struct sotto_db *db, const char *text)
{
    uint64_t h = (uint64_t)(uintptr_t)text * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & (db->room - 1);

    while (db->cache[i] != NULL && db->cache[i]->text != text)
        i = (i + 1) & (db->room - 1);
    return i;
}

static enum sotto_err cache_grow(struct sotto_db *db)
{
    struct cached **old = db->cache;
    size_t old_room = db->room, room = old_room == 0 ? 64 : old_room * 2;
    struct cached **fresh = calloc(room, sizeof *fresh);

    if (fresh == NULL)
        return SOTTO_ERR_NOMEM;
    db->cache = fresh;
    db->room = room;
    for (size_t i = 0; i < old_room; i++) {
        if (old[i] != NULL)
            fresh[slot_of(db, old[i]->text)] = old[i];
    }
    free(old);
    return SOTTO_OK;
}

static enum sotto_err prepare(struct sotto_db *db, const char *sql, struct cached **ret)
{
    struct cached *c = calloc(1, sizeof *c);
    const char *rest = NULL;
    enum sotto_err e;
    int rc;

    if (c == NULL)
        return SOTTO_ERR_NOMEM;
    rc = sqlite3_prepare_v3(db->conn, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->stmt, &rest);
    if (rc != SQLITE_OK || c->stmt == NULL || *rest != '\0') {
        e = rc == SQLITE_OK || rc == SQLITE_ERROR ? SOTTO_ERR_BUG : sotto_db_error_of(db, rc);
        report(db, e, rc);
        note_wear(db, rc);
        sqlite3_finalize(c->stmt);
        free(c);
        return e;
    }
    c->text = sql;
    *ret = c;
    return SOTTO_OK;
}

static enum sotto_err find_statement(struct sotto_db *db, const char *sql, struct cached **ret)
{
    struct cached *c = NULL;
    enum sotto_err e;
    size_t i;

    if (db->used * 2 >= db->room && (e = cache_grow(db)) != 0)
        return e;
    i = slot_of(db, sql);
    if (db->cache[i] == NULL) {
        if ((e = prepare(db, sql, &c)) != 0)
            return e;
        db->cache[i] = c;
        db->used++;
    }
    c = db->cache[i];
    if (c->open)
        return SOTTO_ERR_USAGE;
    /* A text that is not a literal would run somebody else's statement. */
    if (strcmp(sqlite3_sql(c->stmt), sql) != 0) {
        sotto_log_bug("a statement's text changed: \"%s\"", sqlite3_sql(c->stmt));
        return SOTTO_ERR_BUG;
    }
    *ret = c;
    return SOTTO_OK;
}

static int bind_one(sqlite3_stmt *s, int i, char letter, va_list *ap, sqlite3_destructor_type how)
{
    const void *p;
    const char *t;
    size_t n;

    switch (letter) {
    case 'i':
        return sqlite3_bind_int64(s, i, va_arg(*ap, int64_t));
    case 'u':
        return sqlite3_bind_int64(s, i, (int64_t)va_arg(*ap, uint64_t));
    case 'b':
        p = va_arg(*ap, const void *);
        n = va_arg(*ap, size_t);
        return sqlite3_bind_blob64(s, i, n > 0 ? p : "", n, how); /* NULL would be SQL's NULL */
    case 's':
        t = va_arg(*ap, const char *);
        return t == NULL ? sqlite3_bind_null(s, i) : sqlite3_bind_text(s, i, t, -1, how);
    case 'n':
        return sqlite3_bind_null(s, i);
    default:
        return SQLITE_MISUSE;
    }
}

static enum sotto_err bind_all(struct sotto_db *db, sqlite3_stmt *s, const char *fmt, va_list *ap,
                               sqlite3_destructor_type how)
{
    int i, rc;

    for (i = 0; fmt[i] != '\0'; i++) {
        if ((rc = bind_one(s, i + 1, fmt[i], ap, how)) != SQLITE_OK) {
            enum sotto_err e = sotto_db_error_of(db, rc);

            report(db, e, rc);
            return e;
        }
    }
    if (i != sqlite3_bind_parameter_count(s)) {
        sotto_log_bug("%d parameters for \"%s\"", i, sqlite3_sql(s));
        return SOTTO_ERR_BUG;
    }
    return SOTTO_OK;
}

/* Also lets go of parameters, which may be secret or about to be freed. */
static void release(struct sotto_db *db, struct cached *c)
{
    (void)sqlite3_reset(c->stmt);
    (void)sqlite3_clear_bindings(c->stmt);
    if (c->open)
        db->rows--;
    c->open = false;
}

enum sotto_err sotto_db_run(struct sotto_db *db, const char *sql, const char *fmt, ...)
{
    struct cached *c;
    enum sotto_err e;
    va_list ap;
    int rc;

    if (db->lost != SOTTO_OK)
        return db->lost;
    if ((e = renew(db)) != 0 || (e = find_statement(db, sql, &c)) != 0)
        return e;
    va_start(ap, fmt);
    e = bind_all(db, c->stmt, fmt, &ap, SQLITE_STATIC);
    va_end(ap);
    if (e == SOTTO_OK) {
        do
            rc = sqlite3_step(c->stmt);
        while (rc == SQLITE_ROW);
        e = sotto_db_finish(db, rc);
    }
    release(db, c);
    return e;
}

int64_t sotto_db_changes(struct sotto_db *db)
{
    return sqlite3_changes64(db->conn);
}

int64_t sotto_db_last_id(struct sotto_db *db)
{
    return sqlite3_last_insert_rowid(db->conn);
}

void sotto_db_rest(struct sotto_db *db)
{
    (void)sqlite3_db_release_memory(db->conn);
    (void)malloc_trim(0); /* its pages lie between those of others */
}

enum sotto_err sotto_db_query(struct sotto_db *db, struct sotto_rows *rows, const char *sql,
                              const char *fmt, ...)
{
    struct cached *c;
    enum sotto_err e;
    va_list ap;

    *rows = (struct sotto_rows){.db = db};
    if (db->lost != SOTTO_OK)
        return db->lost;
    if ((e = renew(db)) != 0 || (e = find_statement(db, sql, &c)) != 0)
        return e;
    va_start(ap, fmt);
    e = bind_all(db, c->stmt, fmt, &ap, SQLITE_TRANSIENT);
    va_end(ap);
    if (e != SOTTO_OK) {
        release(db, c);
        return e;
    }
    c->open = true;
    db->rows++;
    rows->stmt = c;
    return SOTTO_OK;
}

enum sotto_err sotto_rows_next(struct sotto_rows *rows)
{
    struct cached *c = rows->stmt;
    enum sotto_err e;
    int rc;

    if (c == NULL)
        return SOTTO_ERR_USAGE;
    if (rows->db->lost != SOTTO_OK)
        return rows->db->lost;
    rc = sqlite3_step(c->stmt);
    e = sotto_db_finish(rows->db, rc);
    if (rc == SQLITE_ROW)
        return SOTTO_OK;
    /* Another step would begin anew: the set has ended. */
    release(rows->db, c);
    rows->stmt = NULL;
    return e == SOTTO_OK ? SOTTO_ERR_NOT_FOUND : e;
}

void sotto_rows_done(struct sotto_rows *rows)
{
    if (rows->stmt != NULL)
        release(rows->db, rows->stmt);
    rows->stmt = NULL;
}

static sqlite3_stmt *row_stmt(const struct sotto_rows *rows)
{
    return ((const struct cached *)rows->stmt)->stmt;
}

bool sotto_rows_is_null(const struct sotto_rows *rows, int col)
{
    return sqlite3_column_type(row_stmt(rows), col) == SQLITE_NULL;
}

int64_t sotto_rows_int(const struct sotto_rows *rows, int col)
{
    return sqlite3_column_int64(row_stmt(rows), col);
}

uint64_t sotto_rows_uint(const struct sotto_rows *rows, int col)
{
    return (uint64_t)sqlite3_column_int64(row_stmt(rows), col);
}

struct sotto_bytes sotto_rows_blob(const struct sotto_rows *rows, int col)
{
    const void *p = sqlite3_column_blob(row_stmt(rows), col);

    return (struct sotto_bytes){.p = p, .n = (size_t)sqlite3_column_bytes(row_stmt(rows), col)};
}

const char *sotto_rows_text(const struct sotto_rows *rows, int col)
{
    const char *t = (const char *)sqlite3_column_text(row_stmt(rows), col);

    return t == NULL ? "" : t;
}

enum sotto_err sotto_rows_copy(const struct sotto_rows *rows, int col, void *ret, size_t len)
{
    struct sotto_bytes b = sotto_rows_blob(rows, col);

    if (b.n != len)
        return SOTTO_ERR_MALFORMED;
    if (len > 0)
        memcpy(ret, b.p, len);
    return SOTTO_OK;
}

/* --- parts of blobs --- */

void sotto_db_blobs_done(struct sotto_db *db)
{
    (void)sqlite3_blob_close(db->blob);
    db->blob = NULL;
}

static int blob_open(struct sotto_db *db, const char *table, const char *column, int64_t row)
{
    int rc;

    if (db->blob != NULL && db->blob_table == table &&
        (rc = sqlite3_blob_reopen(db->blob, row)) == SQLITE_OK)
        return rc;
    sotto_db_blobs_done(db);
    db->blob_table = table;
    return sqlite3_blob_open(db->conn, "main", table, column, row, 0, &db->blob);
}

enum sotto_err sotto_db_blob_read(struct sotto_db *db, const char *table, const char *column,
                                  int64_t row, uint32_t at, uint32_t len, uint8_t *ret)
{
    int rc;

    if (db->lost != SOTTO_OK)
        return db->lost;
    rc = blob_open(db, table, column, row);
    if (rc == SQLITE_ERROR) { /* what it says of a row that is not there */
        sotto_db_blobs_done(db);
        return SOTTO_ERR_NOT_FOUND;
    }
    if (rc == SQLITE_OK) {
        if ((int64_t)at + len > sqlite3_blob_bytes(db->blob))
            return SOTTO_ERR_MALFORMED;
        rc = sqlite3_blob_read(db->blob, ret, (int)len, (int)at);
    }
    if (rc != SQLITE_OK)
        sotto_db_blobs_done(db);
    return sotto_db_finish(db, rc);
}

/* --- transactions --- */

enum sotto_err sotto_db_begin(struct sotto_db *db)
{
    enum sotto_err e = db->depth == 0 ? sotto_db_run(db, "BEGIN IMMEDIATE", "")
                                      : sotto_db_run(db, "SAVEPOINT inner_level", "");

    if (e == SOTTO_OK)
        db->depth++;
    return e;
}

/* The level is gone in the bookkeeping; what is left of it in the database goes too. */
static void undo_level(struct sotto_db *db)
{
    db->depth--;
    if (db->depth > 0 && db->lost == SOTTO_OK) {
        if (sotto_db_run(db, "ROLLBACK TO inner_level", "") != SOTTO_OK ||
            sotto_db_run(db, "RELEASE inner_level", "") != SOTTO_OK)
            db->lost = db->lost != SOTTO_OK ? db->lost : SOTTO_ERR_IO;
    }
    if (db->depth == 0) {
        db->lost = SOTTO_OK;
        if (db->worn && db->rows == 0)
            (void)renew(db); /* rolls back as well */
        else if (!sqlite3_get_autocommit(db->conn))
            (void)sotto_db_run(db, "ROLLBACK", "");
    }
}

/* COMMIT may end with an error (out of memory) after all was written, and then it is. */
static bool is_committed(const struct sotto_db *db)
{
    return sqlite3_get_autocommit(db->conn) && !db->rolled_back;
}

enum sotto_err sotto_db_commit(struct sotto_db *db)
{
    enum sotto_err e = db->lost;

    if (db->depth == 0) {
        sotto_log_bug("%s: commit without begin", db->path);
        return SOTTO_ERR_BUG;
    }
    if (e == SOTTO_OK && db->depth > 1) {
        e = sotto_db_run(db, "RELEASE inner_level", "");
    } else if (e == SOTTO_OK) {
        db->rolled_back = false;
        if ((e = sotto_db_run(db, "COMMIT", "")) != SOTTO_OK && is_committed(db))
            e = db->lost = SOTTO_OK;
    }
    if (e != SOTTO_OK) {
        undo_level(db);
        return e;
    }
    if (--db->depth == 0)
        db->reported = 0;
    return SOTTO_OK;
}

void sotto_db_rollback(struct sotto_db *db)
{
    if (db->depth > 0)
        undo_level(db);
}
