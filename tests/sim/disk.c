/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlcipher/sqlite3.h>

#include "store/db.h"

#define SECTOR  512
#define FILES   256
#define SHM_MAX 64

struct bytes {
    uint8_t *p;
    size_t n, room;
};

struct pending { /* not synced yet */
    struct pending *next;
    bool truncation;
    size_t at, n;
    uint8_t bytes[];
};

struct inode {
    struct inode *next;
    char *path;
    unsigned opens;
    bool unlinked;
    struct bytes now, synced;
    struct pending *first, **last;
    void *shm[SHM_MAX];
    unsigned shm_users;
};

struct file {
    sqlite3_file base;
    struct inode *node;
    bool has_shm;
};

static struct {
    sqlite3_vfs *real;
    struct inode *nodes;
    uint64_t dice;
    char target[160]; /* of the fault; "" none */
    unsigned left;
    enum sim_loss loss;
    char dead[160];
    char full[160];
    unsigned full_left;
} disk;

struct sim_disk_count sim_disk_count;

volatile int sim_disk_busy; /* realloc() is known to look at no variable of ours */

static void *memory(void *old, size_t n)
{
    void *p;

    sim_disk_busy++;
    p = realloc(old, n);
    sim_disk_busy--;
    if (p == NULL)
        abort();
    return p;
}

static void *zeroed(size_t n)
{
    return memset(memory(NULL, n), 0, n);
}

static uint32_t roll(uint32_t below)
{
    disk.dice ^= disk.dice << 13;
    disk.dice ^= disk.dice >> 7;
    disk.dice ^= disk.dice << 17;
    return (uint32_t)(disk.dice >> 32) % below;
}

void sim_disk_seed(uint64_t seed)
{
    disk.dice = seed * 0x9e3779b97f4a7c15ull + 1;
}

/* --- bytes --- */

static void resize(struct bytes *b, size_t n)
{
    if (n > b->room) {
        b->room = n + n / 2 + 4096;
        b->p = memory(b->p, b->room);
    }
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

static void put(struct bytes *b, size_t at, const uint8_t *p, size_t n)
{
    if (at + n > b->n)
        resize(b, at + n);
    if (n > 0)
        memcpy(b->p + at, p, n);
}

static void apply(struct bytes *b, const struct pending *op)
{
    if (op->truncation)
        resize(b, op->at);
    else
        put(b, op->at, op->bytes, op->n);
}

/* --- files --- */

static struct inode *find(const char *path)
{
    for (struct inode *i = disk.nodes; i != NULL; i = i->next)
        if (!i->unlinked && strcmp(i->path, path) == 0)
            return i;
    return NULL;
}

static struct inode *make(const char *path)
{
    struct inode *i = zeroed(sizeof *i);

    i->path = memory(NULL, strlen(path) + 1);
    memcpy(i->path, path, strlen(path) + 1);
    i->last = &i->first;
    i->next = disk.nodes;
    disk.nodes = i;
    return i;
}

static void forget_pending(struct inode *i)
{
    while (i->first != NULL) {
        struct pending *op = i->first;

        i->first = op->next;
        free(op);
    }
    i->last = &i->first;
}

static void shm_free(struct inode *i)
{
    for (size_t k = 0; k < SHM_MAX; k++) {
        free(i->shm[k]);
        i->shm[k] = NULL;
    }
}

static void node_free(struct inode *i)
{
    for (struct inode **p = &disk.nodes; *p != NULL; p = &(*p)->next)
        if (*p == i) {
            *p = i->next;
            break;
        }
    forget_pending(i);
    shm_free(i);
    free(i->now.p);
    free(i->synced.p);
    free(i->path);
    free(i);
}

static void unlink_node(struct inode *i)
{
    i->unlinked = true;
    if (i->opens == 0)
        node_free(i);
}

static bool in_folder(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return n > 0 && strncmp(path, folder, n) == 0 && path[n] == '/';
}

static void note(struct inode *i, bool truncation, size_t at, const void *p, size_t n)
{
    struct pending *op = memory(NULL, sizeof *op + n);

    *op = (struct pending){.truncation = truncation, .at = at, .n = n};
    if (n > 0)
        memcpy(op->bytes, p, n);
    *i->last = op;
    i->last = &op->next;
}

/* --- losses --- */

static void apply_torn(struct bytes *b, const struct pending *op)
{
    size_t first = (SECTOR - op->at % SECTOR) % SECTOR, at = 0;

    sim_disk_count.torn++;
    while (at < op->n) {
        size_t n = at == 0 && first > 0 ? first : SECTOR;

        if (n > op->n - at)
            n = op->n - at;
        if (roll(2) == 0)
            put(b, op->at + at, op->bytes + at, n);
        at += n;
    }
}

/* What is found of a file afterwards. */
static void remains(const struct inode *i, enum sim_loss loss, struct bytes *ret)
{
    uint32_t kept = roll(4); /* some cuts lose nearly all, some nearly nothing */

    if (loss == SIM_KILLED) {
        put(ret, 0, i->now.p, i->now.n);
        return;
    }
    put(ret, 0, i->synced.p, i->synced.n);
    for (const struct pending *op = i->first; op != NULL; op = op->next) {
        if (roll(4) < kept) {
            apply(ret, op);
        } else if (!op->truncation && roll(3) == 0) {
            apply_torn(ret, op);
        } else {
            sim_disk_count.lost++;
        }
    }
}

static void place(const char *path, const struct bytes *b)
{
    struct inode *i = find(path);

    if (i != NULL)
        unlink_node(i);
    i = make(path);
    put(&i->now, 0, b->p, b->n);
    put(&i->synced, 0, b->p, b->n);
}

static void copy_one(const char *from, const char *to, enum sim_loss loss)
{
    struct inode *i = find(from);
    struct bytes b = {.p = NULL};

    if (i == NULL) {
        if ((i = find(to)) != NULL)
            unlink_node(i);
        return;
    }
    remains(i, loss, &b);
    place(to, &b);
    free(b.p);
}

void sim_disk_copy(const char *from, const char *to, const char *name, enum sim_loss loss)
{
    static const char *const endings[] = {"", "-wal"};
    bool was_dead = sim_disk_dead(from);
    char a[256], b[256];

    sim_disk_count.power_cuts += loss == SIM_POWER_CUT;
    for (size_t i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s%s/%s%s", from, was_dead ? ".wreck" : "", name, endings[i]);
        snprintf(b, sizeof b, "%s/%s%s", to, name, endings[i]);
        copy_one(a, b, was_dead ? SIM_KILLED : loss);
    }
    if (!was_dead)
        return;
    snprintf(a, sizeof a, "%s.wreck", from);
    sim_disk_drop(a);
}

void sim_disk_drop(const char *folder)
{
    for (struct inode *i = disk.nodes, *next; i != NULL; i = next) {
        next = i->next;
        if (!i->unlinked && in_folder(i->path, folder))
            unlink_node(i);
    }
    if (strcmp(disk.dead, folder) == 0)
        disk.dead[0] = '\0';
    if (strcmp(disk.target, folder) == 0)
        disk.target[0] = '\0';
    if (strcmp(disk.full, folder) == 0)
        disk.full_left = 0;
}

static void die(void)
{
    sim_disk_count.deaths++;
    sim_disk_count.power_cuts += disk.loss == SIM_POWER_CUT;
    for (struct inode *i = disk.nodes; i != NULL; i = i->next) {
        struct bytes b = {.p = NULL};
        char path[256];

        if (i->unlinked || !in_folder(i->path, disk.target))
            continue;
        snprintf(path, sizeof path, "%s.wreck%s", disk.target, i->path + strlen(disk.target));
        remains(i, disk.loss, &b);
        place(path, &b);
        free(b.p);
    }
    snprintf(disk.dead, sizeof disk.dead, "%s", disk.target);
    disk.target[0] = '\0';
}

/* Before each operation that changes something. */
static int fate(const struct inode *i)
{
    if (in_folder(i->path, disk.dead))
        return SQLITE_IOERR_WRITE;
    if (in_folder(i->path, disk.target) && disk.left-- == 0) {
        die();
        return SQLITE_IOERR_WRITE;
    }
    return SQLITE_OK;
}

/* Only who writes finds a disk full: a sync that fails is another error. */
static int write_fate(const struct inode *i)
{
    int rc = fate(i);

    if (rc != SQLITE_OK || disk.full_left == 0 || !in_folder(i->path, disk.full))
        return rc;
    disk.full_left--;
    sim_disk_count.full++;
    return SQLITE_FULL;
}

void sim_disk_die(const char *folder, unsigned ops, enum sim_loss loss)
{
    snprintf(disk.target, sizeof disk.target, "%s", folder);
    disk.left = ops;
    disk.loss = loss;
}

void sim_disk_fill(const char *folder, unsigned count)
{
    snprintf(disk.full, sizeof disk.full, "%s", folder);
    disk.full_left = count;
}

void sim_disk_calm(void)
{
    disk.target[0] = '\0';
    disk.full_left = 0;
}

bool sim_disk_dead(const char *folder)
{
    return disk.dead[0] != '\0' && strcmp(disk.dead, folder) == 0;
}

bool sim_disk_unsynced(const char *folder)
{
    for (const struct inode *i = disk.nodes; i != NULL; i = i->next)
        if (!i->unlinked && i->first != NULL && in_folder(i->path, folder))
            return true;
    return false;
}

/* --- SQLite's methods --- */

static struct inode *node(sqlite3_file *f)
{
    return ((struct file *)f)->node;
}

static int f_close(sqlite3_file *f)
{
    struct inode *i = node(f);

    if (--i->opens == 0 && i->unlinked)
        node_free(i);
    return SQLITE_OK;
}

static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    struct inode *i = node(f);
    size_t have = (size_t)at < i->now.n ? i->now.n - (size_t)at : 0;

    if (have >= (size_t)n) {
        memcpy(p, i->now.p + at, (size_t)n);
        return SQLITE_OK;
    }
    memset(p, 0, (size_t)n);
    if (have > 0)
        memcpy(p, i->now.p + at, have);
    return SQLITE_IOERR_SHORT_READ;
}

static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct inode *i = node(f);
    int rc = write_fate(i);

    if (rc != SQLITE_OK)
        return rc;
    sim_disk_count.writes++;
    put(&i->now, (size_t)at, p, (size_t)n);
    note(i, false, (size_t)at, p, (size_t)n);
    return SQLITE_OK;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    struct inode *i = node(f);
    int rc = write_fate(i);

    if (rc != SQLITE_OK)
        return rc;
    resize(&i->now, (size_t)n);
    note(i, true, (size_t)n, NULL, 0);
    return SQLITE_OK;
}

static int f_sync(sqlite3_file *f, int flags)
{
    struct inode *i = node(f);
    int rc = fate(i);

    if (rc != SQLITE_OK)
        return rc;
    sim_disk_count.syncs++;
    for (const struct pending *op = i->first; op != NULL; op = op->next)
        apply(&i->synced, op);
    forget_pending(i);
    return SQLITE_OK;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *n)
{
    *n = (sqlite3_int64)node(f)->now.n;
    return SQLITE_OK;
}

/* One thread; of a relay's two connections one writes, and the other carries over the log between
 * two of its calls. The old process is closed before the new one starts. */
static int f_lock(sqlite3_file *f, int level)
{
    return SQLITE_OK;
}

static int f_check_lock(sqlite3_file *f, int *ret)
{
    *ret = 0;
    return SQLITE_OK;
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
    return SQLITE_NOTFOUND;
}

static int f_sector(sqlite3_file *f)
{
    return SECTOR;
}

static int f_traits(sqlite3_file *f)
{
    return 0;
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    struct inode *i = node(f);

    if (page >= SHM_MAX)
        return SQLITE_IOERR_SHMMAP;
    if (!((struct file *)f)->has_shm) {
        ((struct file *)f)->has_shm = true;
        i->shm_users++;
    }
    if (i->shm[page] == NULL && extend)
        i->shm[page] = zeroed((size_t)size);
    *ret = i->shm[page];
    return SQLITE_OK;
}

static int f_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return SQLITE_OK;
}

static void f_shm_barrier(sqlite3_file *f)
{
}

static int f_shm_unmap(sqlite3_file *f, int del)
{
    if (((struct file *)f)->has_shm && --node(f)->shm_users == 0)
        shm_free(node(f));
    ((struct file *)f)->has_shm = false;
    return SQLITE_OK;
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
        .xUnlock = f_lock,
        .xCheckReservedLock = f_check_lock,
        .xFileControl = f_control,
        .xSectorSize = f_sector,
        .xDeviceCharacteristics = f_traits,
        .xShmMap = f_shm_map,
        .xShmLock = f_shm_lock,
        .xShmBarrier = f_shm_barrier,
        .xShmUnmap = f_shm_unmap,
    };
    static unsigned temporary;
    struct inode *i;
    char own[32];

    f->pMethods = NULL;
    if (name == NULL) {
        snprintf(own, sizeof own, "temporary/%u", ++temporary);
        name = own;
    }
    if ((i = find(name)) == NULL && (flags & SQLITE_OPEN_CREATE) == 0)
        return SQLITE_CANTOPEN;
    if (i == NULL)
        i = make(name);
    i->opens++;
    i->unlinked = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    ((struct file *)f)->node = i;
    ((struct file *)f)->has_shm = false;
    f->pMethods = &methods;
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *v, const char *name, int sync_folder)
{
    struct inode *i = find(name);
    int rc = i == NULL ? SQLITE_IOERR_DELETE_NOENT : write_fate(i);

    if (rc == SQLITE_OK)
        unlink_node(i);
    return rc;
}

static int v_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    const struct inode *i = find(name);

    *ret = i != NULL && (flags != SQLITE_ACCESS_EXISTS || i->now.n > 0);
    return SQLITE_OK;
}

static int v_full_path(sqlite3_vfs *v, const char *name, int room, char *ret)
{
    snprintf(ret, (size_t)room, "%s", name);
    return SQLITE_OK;
}

void sim_disk_init(void)
{
    static sqlite3_vfs vfs;

    if (disk.real != NULL)
        return;
    if (sotto_db_init() != SOTTO_OK || (disk.real = sqlite3_vfs_find(NULL)) == NULL)
        abort();
    vfs = *disk.real;
    vfs.zName = "sim";
    vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(struct file);
    vfs.xOpen = v_open;
    vfs.xDelete = v_delete;
    vfs.xAccess = v_access;
    vfs.xFullPathname = v_full_path;
    if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
        abort();
    sim_disk_seed(1);
}
