/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/kdf.h"
#include "vault/layout.h"

/*
 * The files of a vault (their bytes: layout.h). Losing the vault means losing the profile, so there
 * are two copies, each replaced as a whole: temporary file, fsync, rename, fsync of the folder. At
 * no moment is there less than one good copy. Writers take a lock on the folder.
 *
 * Opening reads both. The newer one (by serial) that the passphrase opens is taken; a copy that
 * differs from it, or is missing, is written anew. A copy whose hash is wrong is damaged, and never
 * taken for a wrong passphrase.
 */

static const char *const copy_names[2] = {"vault", "vault.bak"};
static const char *const new_names[2] = {"vault.new", "vault.bak.new"};
static const struct sotto_vault_cost cost_of_new = {.mem_kib = 64 * 1024, .passes = 3};

struct copy {
    enum sotto_err state; /* NOT_FOUND, DENIED, IO, MALFORMED, NEWER, or OK: parsed */
    uint8_t data[SOTTO_VAULT_FILE_MAX + 1];
    size_t len;
    struct sotto_vault_file file;
};

/* --- files --- */

static enum sotto_err error_of_errno(void)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        return SOTTO_ERR_FULL;
    case ENOENT:
    case ENOTDIR:
        return SOTTO_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return SOTTO_ERR_DENIED;
    default:
        return SOTTO_ERR_IO;
    }
}

static enum sotto_err open_folder(const char *dir, int *ret_fd)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_of_errno();
    *ret_fd = fd;
    return SOTTO_OK;
}

static enum sotto_err lock_folder(int dir_fd)
{
    while (flock(dir_fd, LOCK_EX) != 0) {
        if (errno != EINTR)
            return SOTTO_ERR_IO;
    }
    return SOTTO_OK;
}

static enum sotto_err write_fully(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? SOTTO_ERR_IO : error_of_errno();
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? SOTTO_OK : error_of_errno();
}

/* The temporary file, whole and on the disk. What a crash left under its name is replaced. */
static enum sotto_err write_new_file(int dir_fd, const char *name, const uint8_t *data, size_t len)
{
    enum sotto_err e;
    int fd;

    (void)unlinkat(dir_fd, name, 0);
    fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_of_errno();
    e = write_fully(fd, data, len);
    if (close(fd) != 0 && e == SOTTO_OK)
        e = error_of_errno();
    if (e != SOTTO_OK)
        (void)unlinkat(dir_fd, name, 0);
    return e;
}

/* Puts a copy in its place. Call with the lock held. */
static enum sotto_err write_copy(int dir_fd, int which, const uint8_t *data, size_t len)
{
    enum sotto_err e = write_new_file(dir_fd, new_names[which], data, len);

    if (e != SOTTO_OK)
        return e;
    if (renameat(dir_fd, new_names[which], dir_fd, copy_names[which]) != 0) {
        e = error_of_errno();
        (void)unlinkat(dir_fd, new_names[which], 0);
        return e;
    }
    return fsync(dir_fd) == 0 ? SOTTO_OK : error_of_errno();
}

static enum sotto_err read_fully(int fd, struct copy *c)
{
    c->len = 0;
    while (c->len < sizeof c->data) {
        ssize_t n = read(fd, c->data + c->len, sizeof c->data - c->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SOTTO_ERR_IO;
        if (n == 0)
            break;
        c->len += (size_t)n;
    }
    return SOTTO_OK;
}

/* Anything but a private regular file is refused before a byte is read (O_NONBLOCK: a FIFO must not
 * hang us). */
static enum sotto_err read_copy_file(const char *dir, int dir_fd, int which, struct copy *c)
{
    int fd = openat(dir_fd, copy_names[which], O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    enum sotto_err e;

    if (fd < 0)
        return errno == ELOOP ? SOTTO_ERR_MALFORMED : error_of_errno();
    if (fstat(fd, &st) != 0) {
        e = SOTTO_ERR_IO;
    } else if (!S_ISREG(st.st_mode)) {
        e = SOTTO_ERR_MALFORMED;
    } else if ((st.st_mode & 077) != 0) {
        sotto_log_local("%s/%s can be read by others (mode %03o); make it private: chmod 600 %s/%s",
                        dir, copy_names[which], (unsigned)st.st_mode & 0777, dir,
                        copy_names[which]);
        e = SOTTO_ERR_DENIED;
    } else {
        e = read_fully(fd, c);
    }
    (void)close(fd);
    return e;
}

static void read_copy(const char *dir, int dir_fd, int which, struct copy *c)
{
    c->state = read_copy_file(dir, dir_fd, which, c);
    if (c->state == SOTTO_OK)
        c->state = sotto_vault_parse(c->data, c->len, &c->file);
}

static bool same_bytes(const struct copy *a, const struct copy *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* --- create --- */

/* Characters of UTF-8: bytes that do not continue one. */
static size_t count_characters(const uint8_t *p, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += (p[i] & 0xc0) != 0x80;
    return n;
}

static enum sotto_err place_both(int dir_fd, const uint8_t *data, size_t len)
{
    enum sotto_err e;
    struct stat st;

    if ((e = lock_folder(dir_fd)) != 0)
        return e;
    for (int i = 0; i < 2; i++) {
        if (fstatat(dir_fd, copy_names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
            return SOTTO_ERR_EXISTS; /* never over somebody's only key */
        if (errno != ENOENT)
            return error_of_errno();
    }
    for (int i = 0; i < 2 && e == SOTTO_OK; i++)
        e = write_copy(dir_fd, i, data, len);
    if (e != SOTTO_OK) {
        for (int i = 0; i < 2; i++)
            (void)unlinkat(dir_fd, copy_names[i], 0);
        (void)fsync(dir_fd);
    }
    return e;
}

enum sotto_err sotto_vault_create(const struct sotto_env *env, const char *dir,
                                  const void *passphrase, size_t len, struct sotto_secret32 *ret)
{
    struct sotto_secret32 key SOTTO_WIPED = {0};
    uint8_t data[SOTTO_VAULT_FILE_MAX];
    size_t data_len;
    enum sotto_err e;
    int dir_fd = -1;

    if (len > SOTTO_VAULT_PASSPHRASE_MAX ||
        count_characters(passphrase, len) < SOTTO_VAULT_PASSPHRASE_MIN)
        return SOTTO_ERR_USAGE;
    if ((e = sotto_random(env, key.b, sizeof key.b)) != 0 ||
        (e = sotto_vault_seal(env, &cost_of_new, passphrase, len, &key, 1, data, sizeof data,
                              &data_len)) != 0 ||
        (e = open_folder(dir, &dir_fd)) != 0)
        return e;
    e = place_both(dir_fd, data, data_len);
    (void)close(dir_fd); /* and the lock */
    if (e == SOTTO_OK)
        *ret = key;
    return e;
}

/* --- open --- */

/* The second copy is a help, not a condition: a disk that is full or read-only does not keep
 * anybody from his messages. */
static enum sotto_err mend_locked(const char *dir, int dir_fd, const struct copy *good, int which)
{
    struct copy now;
    enum sotto_err e;

    if ((e = lock_folder(dir_fd)) != 0)
        return e;
    /* Another process may have changed the vault since it was read: what it wrote stays. */
    read_copy(dir, dir_fd, !which, &now);
    if (now.state != SOTTO_OK || !same_bytes(&now, good))
        return SOTTO_ERR_CONFLICT;
    return write_copy(dir_fd, which, good->data, good->len);
}

static void mend(const char *dir, int dir_fd, const struct copy copies[2], int good)
{
    enum sotto_err e;

    if (copies[!good].state == SOTTO_OK && same_bytes(&copies[0], &copies[1]))
        return;
    e = mend_locked(dir, dir_fd, &copies[good], !good);
    if (e == SOTTO_OK)
        sotto_log_local("%s/%s was missing, older or damaged; it was written anew from %s", dir,
                        copy_names[!good], copy_names[good]);
    else
        sotto_log_local("%s/%s is missing, older or damaged and cannot be written anew: %s", dir,
                        copy_names[!good], sotto_err_text(e));
}

/* What to say when neither copy can be tried. */
static enum sotto_err worst_of(const struct copy copies[2])
{
    static const enum sotto_err order[] = {SOTTO_ERR_NEWER, SOTTO_ERR_DENIED, SOTTO_ERR_IO,
                                           SOTTO_ERR_MALFORMED};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (copies[0].state == order[i] || copies[1].state == order[i])
            return order[i];
    }
    return SOTTO_ERR_NOT_FOUND;
}

static enum sotto_err open_copies(const struct copy copies[2], const void *passphrase, size_t len,
                                  int *ret_good, struct sotto_secret32 *ret)
{
    int first = copies[1].state == SOTTO_OK &&
                (copies[0].state != SOTTO_OK || copies[1].file.serial > copies[0].file.serial);
    enum sotto_err e = worst_of(copies);

    /* Ours would overwrite what a newer program wrote; and what others can read must be said
     * before the passphrase is typed into it any longer. */
    if (e == SOTTO_ERR_NEWER || e == SOTTO_ERR_DENIED)
        return e;
    for (int i = 0; i < 2; i++) {
        int which = i == 0 ? first : !first;

        if (copies[which].state != SOTTO_OK)
            continue;
        if (i == 1 && copies[first].state == SOTTO_OK && same_bytes(&copies[0], &copies[1]))
            break; /* would cost as much and say the same */
        e = sotto_vault_unseal(&copies[which].file, passphrase, len, ret);
        if (e != SOTTO_ERR_BAD_TAG) {
            *ret_good = which;
            return e;
        }
    }
    return e;
}

enum sotto_err sotto_vault_open(const char *dir, const void *passphrase, size_t len,
                                struct sotto_secret32 *ret)
{
    struct sotto_secret32 key SOTTO_WIPED = {0};
    struct copy copies[2];
    enum sotto_err e;
    int dir_fd = -1, good = 0;

    if ((e = open_folder(dir, &dir_fd)) != 0)
        return e;
    for (int i = 0; i < 2; i++)
        read_copy(dir, dir_fd, i, &copies[i]);
    e = open_copies(copies, passphrase, len, &good, &key);
    if (e == SOTTO_OK) {
        mend(dir, dir_fd, copies, good);
        *ret = key;
    }
    (void)close(dir_fd);
    return e;
}

void sotto_vault_derive(const struct sotto_secret32 *vault_key, const char *purpose,
                        struct sotto_secret32 *ret)
{
    char info[96];
    int n = snprintf(info, sizeof info, "sotto/1 vault %s", purpose);

    /* Purposes are literals of this program; a cut one could be another's. */
    if (n < 0 || (size_t)n >= sizeof info)
        abort();
    sotto_hkdf_sha256(NULL, 0, vault_key->b, sizeof vault_key->b, info, (size_t)n, ret->b,
                      sizeof ret->b);
}
