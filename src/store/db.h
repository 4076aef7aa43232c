/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_DB_H
#define SOTTO_STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/secret.h"

/*
 * A small face over SQLCipher (SQLite) for the stores in this folder; nobody else includes it.
 * WAL, synchronous=FULL, foreign keys on, secure_delete, file mode 0600, cache 16 MiB. One
 * connection per thread. Statements are prepared once, kept by the connection and found by the
 * address of their text, so a call site costs no parsing: sql must be a literal (static storage).
 * Memory that SQLite gives back is wiped; temporary tables and journals stay in memory.
 */
struct sotto_db;

/* Once per process, before any call of sqlite3_* that is not made here (a test's VFS needs it; else
 * sotto_db_open() does it). BUG: SQLite was in use already. */
enum sotto_err sotto_db_init(void);

/* Steps in order; step i brings a database from version i to i+1 (user_version), all of them in one
 * transaction. NEWER: written by a newer program, nothing was touched. */
struct sotto_migration {
    const char *sql;
};

/*
 * key NULL: not encrypted (the relay). `vfs` NULL: the system's (another one looks after the file's
 * mode itself). Errors: NOT_FOUND when create is false and there is no file, or only one whose
 * creation was cut short; BAD_TAG: wrong key or not a database; NEWER; IO; DENIED: readable by
 * others, or no right to open it; FULL; LOCKED: another process writes for too long; BUG: a step is
 * wrong. ret_why (room bytes, may be NULL) gets one line for people.
 */
enum sotto_err sotto_db_open(const char *path, const struct sotto_secret32 *key, bool create,
                             const struct sotto_migration *steps, size_t step_count,
                             const char *vfs, struct sotto_db **ret, char *ret_why, size_t room);
/* Checkpoints, so that the database is one file again. What was begun and not committed is rolled
 * back. NULL is fine. */
void sotto_db_close(struct sotto_db *db);

/*
 * Transactions: immediate. They nest: an inner rollback undoes the inner part only, and only the
 * outermost commit writes. commit ends its level in any case: after a failed one (FULL, IO, LOCKED)
 * everything since its begin is rolled back. When SQLite had to give up the whole transaction (disk
 * full, IO), every call gives that error until the outermost level has ended.
 */
enum sotto_err sotto_db_begin(struct sotto_db *db);
enum sotto_err sotto_db_commit(struct sotto_db *db);
void sotto_db_rollback(struct sotto_db *db); /* nothing when there is no transaction */
/*
 * From here on, as long as the connection lives, a commit is whole but not durable: that it is
 * after the next sotto_db_sync(), which another thread may call while this one goes on. Not for an
 * encrypted database, whose connection may be made anew. STATE: inside a transaction.
 */
enum sotto_err sotto_db_sync_later(struct sotto_db *db);
/*
 * Writes the log in full once, after sotto_db_sync_later(): a sync of what only replaces bytes
 * takes the disk half as long as one that has to note that the file has grown. The room is used in
 * any case once so much was written. FULL, IO: it stays as long as it got, and nothing else has
 * changed.
 */
enum sotto_err sotto_db_write_ahead(struct sotto_db *db);
/* What was committed before this call is on the disk. IO: nothing is known about it any more. */
enum sotto_err sotto_db_sync(struct sotto_db *db);

/*
 * The log is carried over into the database when it is long, by a connection of its own, so that
 * commits go on meanwhile. After sotto_db_sync_later(): wants_checkpoint says once that it is time,
 * and checkpoint does it, on one thread or another; then checkpoint_rest does what was committed
 * meanwhile, so that the log begins anew. If nobody does, commits do it at three times that length.
 * FULL, IO: some of it stays in the log, where it is as good. USAGE: without sync_later.
 */
bool sotto_db_wants_checkpoint(struct sotto_db *db);
enum sotto_err sotto_db_checkpoint(struct sotto_db *db);
enum sotto_err sotto_db_checkpoint_rest(struct sotto_db *db);

/*
 * One statement with parameters by a format, one letter each: i int64_t, u uint64_t (stored as the
 * same 64 bits), b (const void *, size_t) blob, s text (const char *, NULL is NULL), n NULL.
 * sotto_db_run: no rows wanted. Alone it is a transaction of its own. EXISTS: a uniqueness
 * constraint; FULL, IO, NOMEM, LOCKED (another process writes for more than 10 s), BUG.
 */
enum sotto_err sotto_db_run(struct sotto_db *db, const char *sql, const char *fmt, ...);
int64_t sotto_db_changes(struct sotto_db *db); /* rows changed by the last run */
int64_t sotto_db_last_id(struct sotto_db *db);
/* Gives the memory of its cache back; the next statements read from the file again. */
void sotto_db_rest(struct sotto_db *db);

/* Rows: query, then next until NOT_FOUND, then always done (also after errors). Columns from 0;
 * views live until the next call on the row set. A statement of one text can be open once at a
 * time: USAGE. */
struct sotto_rows {
    struct sotto_db *db;
    void *stmt;
};
enum sotto_err sotto_db_query(struct sotto_db *db, struct sotto_rows *rows, const char *sql,
                              const char *fmt, ...);
enum sotto_err sotto_rows_next(struct sotto_rows *rows);
void sotto_rows_done(struct sotto_rows *rows);
bool sotto_rows_is_null(const struct sotto_rows *rows, int col);
int64_t sotto_rows_int(const struct sotto_rows *rows, int col);
uint64_t sotto_rows_uint(const struct sotto_rows *rows, int col);
struct sotto_bytes sotto_rows_blob(const struct sotto_rows *rows, int col);
const char *sotto_rows_text(const struct sotto_rows *rows, int col); /* NULL is "" */
/* MALFORMED when the column is not exactly len bytes. */
enum sotto_err sotto_rows_copy(const struct sotto_rows *rows, int col, void *ret, size_t len);

/*
 * Part of one large blob, without reading the whole. What is open for that is kept for the next
 * call, and holds a view of the database as it is now: sotto_db_blobs_done() before anything is
 * written. NOT_FOUND: no such row; MALFORMED: it is shorter.
 */
enum sotto_err sotto_db_blob_read(struct sotto_db *db, const char *table, const char *column,
                                  int64_t row, uint32_t at, uint32_t len, uint8_t *ret);
void sotto_db_blobs_done(struct sotto_db *db);

/* Copies a database without key to a new file (0600) as it is now, while others go on writing;
 * durable on return. EXISTS, DENIED, FULL, IO: ret_why says what happened, nothing is left there.
 */
enum sotto_err sotto_db_copy(struct sotto_db *db, const char *path, char *ret_why, size_t room);

#endif
