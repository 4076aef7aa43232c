/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite maps the index of the log (FILE-shm) into memory, and writes one byte to each page of it
 * so that the file system gives it room. Where blocks are smaller than pages, as on an ext4 of less
 * than 512 MiB, most of the page is a hole still, and on a full disk it is a SIGBUS that tells so,
 * whenever it is written to. So there room is made sure of before a database is opened, and taken
 * at once.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "store/db_conn.h"

enum {
    PAGE = 4096,
    INDEX = 32 * 1024, /* of the first 4062 frames; our logs are shorter */
    SPARE = 32 * 1024, /* what the file system may need to note it */
    BLOCK_LEAST = 512,
};

/* Holes are possible in what lies there. */
static bool has_small_blocks(const char *path, struct statvfs *ret)
{
    return statvfs(path, ret) == 0 && ret->f_frsize < PAGE;
}

bool sotto_db_index_has_room(const char *path)
{
    char name[4200];
    struct statvfs fs;
    struct stat index;
    uint64_t room;

    if (!has_small_blocks(path, &fs))
        return true;
    room = (uint64_t)fs.f_bavail * fs.f_frsize; /* f_bfree counts what not even root gets */
    (void)snprintf(name, sizeof name, "%s-shm", path);
    if (stat(name, &index) == 0) /* it is given back, and taken again */
        room += (uint64_t)index.st_blocks * 512;
    return room >= INDEX + SPARE;
}

void sotto_db_index_fill(struct sotto_db *db)
{
    struct statvfs fs;
    sqlite3_file *file = NULL;
    void volatile *index = NULL;

    if (db->vfs != NULL || !has_small_blocks(db->path, &fs) ||
        sqlite3_file_control(db->conn, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        file->pMethods->xShmMap(file, 0, INDEX, 0, &index) != SQLITE_OK || index == NULL)
        return;
    /* Another process may be writing to it, so what is there stays as it is. */
    for (size_t at = 0; at < INDEX; at += BLOCK_LEAST)
        (void)__atomic_fetch_or((uint8_t volatile *)index + at, 0, __ATOMIC_RELAXED);
}
