/* SPDX-License-Identifier: Apache-2.0 */
#include "run/operator/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/kdf.h"
#include "run/operator/command.h"
#include "run/operator/reach.h"

#define BLOCK (1024 * 1024)

const char *const sotto_backup_names[SOTTO_BACKUP_FILES] = {"relay.db", "cert/server_cert.pem",
                                                            "cert/server_key.pem", "audit.log"};

static __attribute__((format(printf, 3, 4))) enum sotto_err failed(char *why, size_t room,
                                                                   const char *fmt, ...)
{
    int no = errno;
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    vsnprintf(why, room, fmt, ap);
    va_end(ap);
    n = strlen(why);
    snprintf(why + n, room - n, ": %s", strerror(no));
    return no == EEXIST                                 ? SOTTO_ERR_EXISTS
           : no == ENOENT                               ? SOTTO_ERR_NOT_FOUND
           : no == ENOSPC || no == EDQUOT               ? SOTTO_ERR_FULL
           : no == EACCES || no == EPERM || no == EROFS ? SOTTO_ERR_DENIED
                                                        : SOTTO_ERR_IO;
}

/* --- files --- */

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* Fills a block as far as the file goes; -1: errno. */
static ssize_t read_block(int fd, uint8_t *block)
{
    size_t n = 0;

    while (n < BLOCK) {
        ssize_t got = read(fd, block + n, BLOCK - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

static enum sotto_err copy_blocks(int from, int to, const char *name, uint8_t *block,
                                  uint64_t *bytes, uint8_t hash[32], char *why, size_t room)
{
    ssize_t n;

    while ((n = read_block(from, block)) > 0) {
        struct sotto_bytes parts[] = {{hash, 32}, {block, (size_t)n}};

        sotto_sha256v(parts, 2, hash);
        *bytes += (uint64_t)n;
        if (to >= 0 && !write_all(to, block, (size_t)n))
            return failed(why, room, "%s", name);
    }
    if (n < 0)
        return failed(why, room, "reading");
    return to >= 0 && fsync(to) != 0 ? failed(why, room, "%s", name) : SOTTO_OK;
}

enum sotto_err sotto_backup_copy(int from, const char *to, uint64_t *ret_bytes,
                                 uint8_t ret_hash[32], char *why, size_t room)
{
    uint8_t hash[32] = {0}, *block = malloc(BLOCK);
    uint64_t bytes = 0;
    int fd = -1;
    enum sotto_err e = SOTTO_OK;

    snprintf(why, room, "out of memory");
    if (block == NULL)
        return SOTTO_ERR_NOMEM;
    if (to != NULL && (fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        e = failed(why, room, "%s", to);
    if (e == 0)
        e = copy_blocks(from, fd, to != NULL ? to : "", block, &bytes, hash, why, room);
    if (fd >= 0)
        close(fd);
    sotto_wipe(block, BLOCK); /* it may have been a key */
    free(block);
    if (e != 0)
        return e;
    *ret_bytes = bytes;
    memcpy(ret_hash, hash, sizeof hash);
    return SOTTO_OK;
}

enum sotto_err sotto_folder_sync(const char *path, char *why, size_t room)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum sotto_err e = fd < 0 || fsync(fd) != 0 ? failed(why, room, "%s", path) : SOTTO_OK;

    if (fd >= 0)
        close(fd);
    return e;
}

void sotto_backup_remove(const char *dir)
{
    static const char *const more[] = {SOTTO_BACKUP_LIST, "relay.db-wal", "relay.db-shm",
                                       "relay.db-journal"};
    char path[1200];

    for (size_t i = 0; i < SOTTO_BACKUP_FILES + sizeof more / sizeof more[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir,
                 i < SOTTO_BACKUP_FILES ? sotto_backup_names[i] : more[i - SOTTO_BACKUP_FILES]);
        (void)unlink(path);
    }
    snprintf(path, sizeof path, "%s/cert", dir);
    (void)rmdir(path);
    (void)rmdir(dir);
}

/* --- the list --- */

enum sotto_err sotto_backup_write(const char *dir, const struct sotto_backup *b, char *why,
                                  size_t room)
{
    char path[1200], text[2048], hex[65];
    size_t n;
    int fd;
    bool ok;

    sotto_hex_encode(b->relay_id, sizeof b->relay_id, hex);
    n = (size_t)snprintf(text, sizeof text, "sottod backup 1\ntime %" PRIu64 "\nrelay %s\n",
                         b->time_ms, hex);
    for (size_t i = 0; i < SOTTO_BACKUP_FILES; i++) {
        if (!b->files[i].present)
            continue;
        sotto_hex_encode(b->files[i].hash, 32, hex);
        n += (size_t)snprintf(text + n, sizeof text - n, "file %s %" PRIu64 " %s\n",
                              sotto_backup_names[i], b->files[i].bytes, hex);
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "end\n");
    snprintf(path, sizeof path, "%s/" SOTTO_BACKUP_LIST, dir);
    if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0)
        return failed(why, room, "%s", path);
    ok = write_all(fd, (const uint8_t *)text, n) && fsync(fd) == 0;
    if (!ok)
        failed(why, room, "%s", path);
    close(fd);
    return ok ? SOTTO_OK : SOTTO_ERR_IO;
}

/* Digits only, as sscanf() would take more. */
static bool read_number(const char *text, uint64_t *ret)
{
    return sotto_relay_number_parse(text, 0, UINT64_MAX / 16, ret) == 0;
}

static bool read_hash(const char *text, uint8_t ret[32])
{
    size_t len = 0;

    return sotto_hex_decode(text, strlen(text), ret, 32, &len) == 0 && len == 32;
}

static bool read_file_line(char *rest, struct sotto_backup *b)
{
    char *bytes = strchr(rest, ' '), *hash = bytes != NULL ? strchr(bytes + 1, ' ') : NULL;

    if (hash == NULL)
        return false;
    *bytes++ = *hash++ = '\0';
    for (size_t i = 0; i < SOTTO_BACKUP_FILES; i++) {
        if (b->files[i].present || strcmp(sotto_backup_names[i], rest) != 0)
            continue;
        b->files[i].present = true;
        return read_number(bytes, &b->files[i].bytes) && read_hash(hash, b->files[i].hash);
    }
    return false;
}

/* Exactly as it is written: the lines in this order, each once. */
static bool read_line(unsigned number, char *line, struct sotto_backup *b, bool *ended)
{
    if (*ended)
        return false;
    if (number == 0)
        return strcmp(line, "sottod backup 1") == 0;
    if (number == 1)
        return strncmp(line, "time ", 5) == 0 && read_number(line + 5, &b->time_ms);
    if (number == 2)
        return strncmp(line, "relay ", 6) == 0 && read_hash(line + 6, b->relay_id);
    *ended = strcmp(line, "end") == 0;
    return *ended || (strncmp(line, "file ", 5) == 0 && read_file_line(line + 5, b));
}

static bool read_list(FILE *f, struct sotto_backup *b)
{
    char line[512];
    bool ended = false;

    for (unsigned number = 0; fgets(line, sizeof line, f) != NULL; number++) {
        size_t len = strlen(line);

        if (len == 0 || line[len - 1] != '\n')
            return false;
        line[len - 1] = '\0';
        if (!read_line(number, line, b, &ended))
            return false;
    }
    return ended && ferror(f) == 0 && b->files[0].present && b->time_ms > 0;
}

/* Whoever gave us the folder may have put anything under that name: a pipe would never end. */
static FILE *open_list(const char *path)
{
    struct stat st;
    FILE *f = NULL;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        errno = EINVAL;
    else
        f = fdopen(fd, "r");
    if (f == NULL)
        close(fd);
    return f;
}

enum sotto_err sotto_backup_read(const char *dir, struct sotto_backup *ret, char *why, size_t room)
{
    struct sotto_backup b = {0};
    char path[1200];
    FILE *f;
    bool ok;

    snprintf(path, sizeof path, "%s/" SOTTO_BACKUP_LIST, dir);
    if ((f = open_list(path)) == NULL) {
        bool none = errno == ENOENT || errno == ENOTDIR;

        failed(why, room, "%s cannot be read", path);
        if (none)
            snprintf(why, room,
                     "%s is no backup, or one that was not finished: there is no %s in "
                     "it",
                     dir, SOTTO_BACKUP_LIST);
        return none ? SOTTO_ERR_NOT_FOUND : SOTTO_ERR_IO;
    }
    ok = read_list(f, &b);
    fclose(f);
    if (ok)
        *ret = b;
    else
        snprintf(why, room, "%s is not the list of a backup that this version understands", path);
    return ok ? SOTTO_OK : SOTTO_ERR_MALFORMED;
}

/* --- sottod backup --- */

struct making {
    struct sotto_reach *c;
    struct sotto_backup b;
    char dir[1024]; /* while it is not whole */
    char why[2400];
};

static enum sotto_err hash_file(struct making *m, size_t i)
{
    char path[1200];
    enum sotto_err e;
    int fd;

    snprintf(path, sizeof path, "%s/%s", m->dir, sotto_backup_names[i]);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return failed(m->why, sizeof m->why, "%s", path);
    e = sotto_backup_copy(fd, NULL, &m->b.files[i].bytes, m->b.files[i].hash, m->why,
                          sizeof m->why);
    m->b.files[i].present = e == 0;
    close(fd);
    return e;
}

/* The copy is opened as a relay would open it, and read whole. */
static enum sotto_err copy_store(struct making *m)
{
    struct sotto_relay_store *copy = NULL;
    struct sotto_rs_identity self = {0};
    char path[1200];
    enum sotto_err e;

    snprintf(path, sizeof path, "%s/relay.db", m->dir);
    if ((e = sotto_rs_copy(m->c->store, path, m->why, sizeof m->why)) != 0 ||
        (e = sotto_rs_open(path, false, NULL, &copy, m->why, sizeof m->why)) != 0)
        return e;
    if ((e = sotto_rs_check(copy, m->why, sizeof m->why)) == 0 &&
        (e = sotto_rs_identity_load(copy, NULL, &self)) != 0)
        snprintf(m->why, sizeof m->why, "%s: the relay's identity is not in it", path);
    memcpy(m->b.relay_id, self.key.pub, sizeof m->b.relay_id);
    sotto_rs_identity_wipe(&self);
    sotto_rs_close(copy);
    return e != 0 ? e : hash_file(m, 0);
}

static enum sotto_err copy_file(struct making *m, size_t i)
{
    char from[1200], to[1200];
    enum sotto_err e;
    int fd;

    snprintf(from, sizeof from, "%s/%s", m->c->folder.path, sotto_backup_names[i]);
    snprintf(to, sizeof to, "%s/%s", m->dir, sotto_backup_names[i]);
    if ((fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        return errno == ENOENT && i == 3 ? SOTTO_OK : failed(m->why, sizeof m->why, "%s", from);
    e = sotto_backup_copy(fd, to, &m->b.files[i].bytes, m->b.files[i].hash, m->why, sizeof m->why);
    m->b.files[i].present = e == 0;
    close(fd);
    return e;
}

static enum sotto_err make(struct making *m)
{
    char cert[1200];
    enum sotto_err e;

    m->b.time_ms = sotto_now_ms(sotto_env_system());
    snprintf(cert, sizeof cert, "%s/cert", m->dir);
    if (mkdir(cert, 0700) != 0)
        return failed(m->why, sizeof m->why, "%s", cert);
    e = copy_store(m);
    for (size_t i = 1; e == 0 && i < SOTTO_BACKUP_FILES; i++)
        e = copy_file(m, i);
    if (e != 0 || (e = sotto_backup_write(m->dir, &m->b, m->why, sizeof m->why)) != 0 ||
        (e = sotto_folder_sync(cert, m->why, sizeof m->why)) != 0)
        return e;
    return sotto_folder_sync(m->dir, m->why, sizeof m->why);
}

/* It gets its name only now, and keeps it if the power goes. */
static enum sotto_err publish(struct making *m, const char *to)
{
    char up[1024], *slash;

    if (rename(m->dir, to) != 0)
        return failed(m->why, sizeof m->why, "%s", to);
    snprintf(up, sizeof up, "%s", to);
    slash = strrchr(up, '/');
    if (slash == NULL)
        snprintf(up, sizeof up, ".");
    else
        slash[slash == up ? 1 : 0] = '\0';
    return sotto_folder_sync(up, m->why, sizeof m->why);
}

static enum sotto_err begin(struct making *m, const char *to)
{
    struct stat st;

    snprintf(m->dir, sizeof m->dir, "%s.unfinished", to);
    if (lstat(to, &st) == 0 && (!S_ISDIR(st.st_mode) || rmdir(to) != 0)) {
        snprintf(m->why, sizeof m->why,
                 "%s is there already, and not empty; name a folder that is not there", to);
        return SOTTO_ERR_EXISTS;
    }
    if (mkdir(m->dir, 0700) == 0)
        return SOTTO_OK;
    if (errno != EEXIST)
        return failed(m->why, sizeof m->why, "%s", m->dir);
    snprintf(m->why, sizeof m->why,
             "%s is there: another backup is being made, or one was interrupted; if it was, remove "
             "that folder: rm -r %s",
             m->dir, m->dir);
    return SOTTO_ERR_EXISTS;
}

static int run(struct making *m, const char *to)
{
    char size[SOTTO_REACH_SIZE], at[SOTTO_REACH_TIME];

    if (sotto_reach_audit(m->c, "backup", NULL, to) != 0)
        return sotto_reach_fail("%s; nothing was done", m->c->why);
    /* Where it goes is for whoever asks; the store is open, and its files have their owner. */
    if (sotto_relay_folder_privilege(&m->c->folder, true) != 0)
        return sotto_reach_fail("the rights of whoever started the command were lost");
    if (begin(m, to) != 0)
        return sotto_reach_fail("no backup was made: %s", m->why);
    if (make(m) != 0 || publish(m, to) != 0) {
        sotto_backup_remove(m->dir);
        return sotto_reach_fail("no backup was made: %s", m->why);
    }
    sotto_reach_size(m->b.files[0].bytes, size);
    sotto_reach_time(m->b.time_ms, at);
    printf("backup of %s made in %s and verified: database %s, as of %s. Keep it safe: who has it "
           "is this relay\n",
           m->c->folder.path, to, size, at);
    return fflush(stdout) == 0 ? 0 : 1;
}

int sotto_command_backup(const struct sotto_command_args *a)
{
    struct making *m = calloc(1, sizeof *m);
    struct sotto_reach c;
    char to[1000];
    size_t n = (size_t)snprintf(to, sizeof to, "%s", a->words[0]);
    int code = 1;

    if (m == NULL)
        return sotto_reach_fail("out of memory");
    while (n > 1 && n < sizeof to && to[n - 1] == '/')
        to[--n] = '\0';
    if (n == 0 || n >= sizeof to) {
        code = sotto_reach_fail("\"%s\" is no name for a folder", a->words[0]);
    } else if (sotto_reach_open(&c, a->o) == 0) {
        m->c = &c;
        code = run(m, to);
        sotto_reach_close(&c);
    }
    free(m);
    return code;
}
