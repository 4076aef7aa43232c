/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_DB_CONN_H
#define SOTTO_STORE_DB_CONN_H

/* A connection, as db.c (statements, transactions), db_log.c and db_open.c know it; nobody else
 * includes it.
 */

#define SQLITE_HAS_CODEC /* sqlite3_key_v2() */
#include <sqlcipher/sqlite3.h>

#include "store/db.h"

struct cached {
    const char *text;
    sqlite3_stmt *stmt;
    bool open; /* a row set uses it */
};

struct sotto_db {
    sqlite3 *conn;
    struct sotto_secret32 *key; /* in guarded memory; NULL: not encrypted */
    char *vfs;                  /* NULL: the system's */
    bool worn;                  /* the connection may be of no use any more: sotto_db_renew() */
    bool rolled_back;           /* SQLite did, since somebody looked */
    unsigned depth;             /* of begins without an end */
    unsigned rows;              /* row sets that are open */
    enum sotto_err lost;        /* SQLite gave up the transaction for this reason */
    int reported;               /* the last error that was logged; 0 after a commit */
    struct cached **cache;      /* open addressing, room is a power of two */
    size_t used, room;
    sqlite3_blob *blob; /* of blob_table; NULL: none open */
    const char *blob_table;
    sqlite3_file *log; /* sotto_db_sync_later(): the WAL; else NULL */
    sqlite3 *carrier;  /* and the connection of sotto_db_checkpoint() */
    int frames, tried; /* in the log; when it was last begun to carry them over */
    char *path;
};

/* Opens db->path, which is there, once more as it was opened first; conn is NULL after an error. */
enum sotto_err sotto_db_connect(struct sotto_db *db);
/* Closes what sotto_db_connect() opened, and all of its statements. */
void sotto_db_disconnect(struct sotto_db *db);

/* One more, that carries the log over. Closed by sotto_db_close(). */
enum sotto_err sotto_db_carrier(struct sotto_db *db);

/* db_index.c: false if writing to the index of the log at path could end the process. */
bool sotto_db_index_has_room(const char *path);
/* Takes that room, once it is mapped. */
void sotto_db_index_fill(struct sotto_db *db);

/* Always, but for a planted bug. */
bool sotto_db_syncs(void);

/* What a step or a command of the connection ended with: the log says each trouble once. */
enum sotto_err sotto_db_finish(struct sotto_db *db, int rc);
/* What one of SQLite's result codes means for the caller. */
enum sotto_err sotto_db_error_of(const struct sotto_db *db, int rc);

#endif
