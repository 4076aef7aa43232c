/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a database that is in use, page by page, as it is at one moment. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store/db_conn.h"

/* One step: a reader's view of the log, which holds up no writer. */
static int copy_pages(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    int rc, end;

    if (b == NULL)
        return sqlite3_errcode(to);
    rc = sqlite3_backup_step(b, -1);
    end = sqlite3_backup_finish(b);
    if (rc == SQLITE_DONE)
        rc = end;
    /* One file, without a log beside it. */
    return rc != SQLITE_OK ? rc : sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
}

static enum sotto_err copy_to(struct sotto_db *db, const char *path, char *why, size_t room)
{
    sqlite3 *to = NULL;
    enum sotto_err e;
    int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(to, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = copy_pages(db->conn, to);
    e = sotto_db_error_of(db, rc);
    if (e != 0)
        snprintf(why, room, "%s: %s", path, to != NULL ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
    if (sqlite3_close(to) != SQLITE_OK && e == 0)
        e = SOTTO_ERR_IO;
    return e;
}

enum sotto_err sotto_db_copy(struct sotto_db *db, const char *path, char *ret_why, size_t room)
{
    enum sotto_err e;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        snprintf(ret_why, room, "%s: %s", path, strerror(errno));
        return errno == EEXIST                      ? SOTTO_ERR_EXISTS
               : errno == ENOSPC || errno == EDQUOT ? SOTTO_ERR_FULL
               : errno == EACCES || errno == EPERM  ? SOTTO_ERR_DENIED
                                                    : SOTTO_ERR_IO;
    }
    close(fd);
    if (db->key != NULL) {
        snprintf(ret_why, room, "an encrypted database is not copied like this");
        e = SOTTO_ERR_USAGE;
    } else {
        e = copy_to(db, path, ret_why, room);
    }
    if (e != 0)
        (void)unlink(path);
    return e;
}
