/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log (SQLite's WAL) of a database whose commits are durable later: other threads sync it and
 * carry it over into the database, while commits go on.
 */
#include "base/mutant.h"
#include "store/db_conn.h"

/* A frame is a page and 24 bytes. */
enum {
    LOG_BYTES = 5 * 1024 * 1024, /* written in full at the start: 1272 frames */
    LOG_LONG = 700,              /* frames: time to carry them over, into the room that is left */
    LOG_TOO_LONG = 2000,         /* nobody does: the next commit does it itself */
};

bool sotto_db_syncs(void)
{
    return !SOTTO_PLANTED(MUTANT_NO_SYNC);
}

/* Frees the room of the log as soon as all of it was carried over: the next commit begins it anew.
 * Somebody else at it is as good. */
static int carry_over(sqlite3 *conn)
{
    int rc = sqlite3_wal_checkpoint_v2(conn, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    return (rc & 0xff) == SQLITE_BUSY ? SQLITE_OK : rc;
}

/* After each commit, in place of SQLite's own checkpoints. */
static int note_frames(void *ctx, sqlite3 *conn, const char *name, int frames)
{
    struct sotto_db *db = ctx;

    if (frames < db->tried)
        db->tried = 0; /* it was begun anew */
    db->frames = frames;
    if (frames - db->tried >= LOG_TOO_LONG) {
        db->tried = frames;
        (void)carry_over(conn); /* what stays is carried over later */
    }
    return SQLITE_OK;
}

/*
 * With synchronous=NORMAL a commit is written to the WAL and not synced; a checkpoint syncs both
 * files still, before a frame is overwritten. The WAL is the same file as long as the connection
 * lives. xSync() reads the file's descriptor and nothing that another call changes, once the folder
 * has been synced too: the first time is here.
 */
enum sotto_err sotto_db_sync_later(struct sotto_db *db)
{
    enum sotto_err e;
    int rc;

    if (db->key != NULL)
        return SOTTO_ERR_USAGE;
    if (db->depth > 0)
        return SOTTO_ERR_STATE;
    if (db->carrier == NULL && (e = sotto_db_carrier(db)) != 0)
        return e;
    (void)sqlite3_wal_hook(db->conn, note_frames, db);
    if (!sotto_db_syncs())
        return SOTTO_OK;
    rc = sqlite3_exec(db->conn, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_file_control(db->conn, "main", SQLITE_FCNTL_JOURNAL_POINTER, &db->log);
    if (rc == SQLITE_OK && db->log->pMethods == NULL)
        rc = SQLITE_IOERR;
    if (rc != SQLITE_OK)
        return sotto_db_finish(db, rc);
    return sotto_db_sync(db);
}

/* Zeros are no frames: whoever reads the log after a crash ends at them. */
static int log_write_ahead(sqlite3_file *log)
{
    static const uint8_t zeros[64 * 1024];
    sqlite3_int64 size = 0;
    int rc = log->pMethods->xFileSize(log, &size);

    for (; rc == SQLITE_OK && size < LOG_BYTES; size += (sqlite3_int64)sizeof zeros)
        rc = log->pMethods->xWrite(log, zeros, (int)sizeof zeros, size);
    return rc == SQLITE_OK ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : rc;
}

enum sotto_err sotto_db_write_ahead(struct sotto_db *db)
{
    enum sotto_err e;
    int rc;

    if (db->log == NULL)
        return SOTTO_ERR_USAGE;
    /* Nobody else may append meanwhile. */
    if ((e = sotto_db_begin(db)) != 0)
        return e;
    rc = log_write_ahead(db->log);
    sotto_db_rollback(db);
    return sotto_db_error_of(db, rc);
}

enum sotto_err sotto_db_sync(struct sotto_db *db)
{
    if (db->log == NULL)
        return SOTTO_OK;
    return db->log->pMethods->xSync(db->log, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY) == SQLITE_OK
               ? SOTTO_OK
               : SOTTO_ERR_IO;
}

bool sotto_db_wants_checkpoint(struct sotto_db *db)
{
    if (db->frames - db->tried < LOG_LONG)
        return false;
    db->tried = db->frames;
    return true;
}

/* SQLite leaves that to who carries over the last of the log; when more is committed meanwhile it
 * would be the loop that waits for it. */
static int sync_database(sqlite3 *conn)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(conn, "main", SQLITE_FCNTL_FILE_POINTER, &file);

    return rc == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : rc;
}

enum sotto_err sotto_db_checkpoint(struct sotto_db *db)
{
    int rc;

    if (db->carrier == NULL)
        return SOTTO_ERR_USAGE;
    rc = carry_over(db->carrier);
    return sotto_db_error_of(db, rc == SQLITE_OK ? sync_database(db->carrier) : rc);
}

enum sotto_err sotto_db_checkpoint_rest(struct sotto_db *db)
{
    return sotto_db_finish(db, carry_over(db->conn));
}
