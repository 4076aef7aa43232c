/* SPDX-License-Identifier: Apache-2.0 */
#include "faulty_vfs.h"

#include <stddef.h>
#include <stdlib.h>

#include <sqlcipher/sqlite3.h>

#include "store/db.h"

struct faulty_vfs faulty;

struct file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    bool database;      /* and not a log */
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

/* SQLITE_OK, or what the call has to fail with. */
static int fate(bool is_sync)
{
    faulty.calls++;
    /* A disk is found full by who writes: a sync that fails is SQLITE_IOERR_FSYNC, whatever errno.
     */
    if (faulty.left < 0 || (faulty.only_sync && !is_sync) ||
        (is_sync && faulty.result == SQLITE_FULL))
        return SQLITE_OK;
    if (faulty.left > 0) {
        faulty.left--;
        return SQLITE_OK;
    }
    faulty.failures++;
    if (!faulty.stays)
        faulty.left = -1;
    return faulty.result;
}

static int f_close(sqlite3_file *f)
{
    return real(f)->pMethods->xClose(real(f));
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return real(f)->pMethods->xRead(real(f), p, n, at);
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    void (*meanwhile)(void) = faulty.meanwhile;
    bool database = ((struct file *)f)->database;
    int rc = fate(false);

    if (database && meanwhile != NULL) {
        faulty.meanwhile = NULL;
        meanwhile();
    }
    faulty.unsynced += database;
    return rc != SQLITE_OK ? rc : real(f)->pMethods->xWrite(real(f), p, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    int rc = fate(false);

    return rc != SQLITE_OK ? rc : real(f)->pMethods->xTruncate(real(f), n);
}

static int f_sync(sqlite3_file *f, int flags)
{
    int rc = fate(true);

    if (((struct file *)f)->database)
        faulty.unsynced = 0;
    return rc != SQLITE_OK ? rc : real(f)->pMethods->xSync(real(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return real(f)->pMethods->xFileSize(real(f), n);
}

static int f_lock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xLock(real(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int f_check_lock(sqlite3_file *f, int *ret)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int f_traits(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return real(f)->pMethods->xShmMap(real(f), page, size, extend, ret);
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void f_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int f_shm_unmap(sqlite3_file *f, int del)
{
    return real(f)->pMethods->xShmUnmap(real(f), del);
}

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = f_close,
        .xRead = f_read,
        .xWrite = f_write,
        .xTruncate = f_truncate,
        .xSync = f_sync,
        .xFileSize = f_size,
        .xLock = f_lock,
        .xUnlock = f_unlock,
        .xCheckReservedLock = f_check_lock,
        .xFileControl = f_control,
        .xSectorSize = f_sector,
        .xDeviceCharacteristics = f_traits,
        .xShmMap = f_shm_map,
        .xShmLock = f_shm_lock,
        .xShmBarrier = f_shm_barrier,
        .xShmUnmap = f_shm_unmap,
    };
    struct file *file = (struct file *)f;
    int rc;

    if ((flags & (SQLITE_OPEN_TEMP_DB | SQLITE_OPEN_TRANSIENT_DB | SQLITE_OPEN_TEMP_JOURNAL |
                  SQLITE_OPEN_SUBJOURNAL)) != 0)
        faulty.temporary++;
    file->real = (sqlite3_file *)(file + 1);
    file->database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    rc = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
    file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
    return rc;
}

void faulty_reset(void)
{
    static sqlite3_vfs vfs;

    faulty = (struct faulty_vfs){.left = -1};
    if (real_vfs != NULL)
        return;
    if (sotto_db_init() != SOTTO_OK || (real_vfs = sqlite3_vfs_find(NULL)) == NULL)
        abort();
    vfs = *real_vfs; /* all but opening is the system's own */
    vfs.zName = "faulty";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    vfs.xOpen = v_open;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        abort();
}
