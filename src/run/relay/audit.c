/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/kdf.h"

#define NAME       "audit.log"
#define LOCK_TRIES 100
#define LOCK_NS    (20 * 1000 * 1000L)

static const char no_line[] = "0000000000000000000000000000000000000000000000000000000000000000";

static enum sotto_err failed(const char *dir, const char *what, char *why, size_t room)
{
    int no = errno;

    snprintf(why, room, "%s/" NAME " cannot be %s: %s", dir, what, strerror(no));
    return no == ENOSPC || no == EDQUOT                 ? SOTTO_ERR_FULL
           : no == EACCES || no == EPERM || no == EROFS ? SOTTO_ERR_DENIED
                                                        : SOTTO_ERR_IO;
}

static void hash_line(const char *line, size_t len, char ret[SOTTO_AUDIT_HASH])
{
    uint8_t hash[32];

    sotto_sha256(line, len, hash);
    sotto_hex_encode(hash, sizeof hash, ret);
}

/* --- adding --- */

/* One writer at a time, in whatever process; a relay must not stand still for it. */
static int open_locked(const char *dir, char *why, size_t room, enum sotto_err *ret_error)
{
    static const struct timespec pause = {.tv_nsec = LOCK_NS};
    char path[1100];
    int fd;

    snprintf(path, sizeof path, "%s/" NAME, dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        *ret_error = failed(dir, "opened", why, room);
        return -1;
    }
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        nanosleep(&pause, NULL);
    }
    close(fd);
    snprintf(why, room, "%s is held by another process", path);
    *ret_error = SOTTO_ERR_LOCKED;
    return -1;
}

/* The hash of the last whole line; what stands behind it is cut off. */
static bool find_last(int fd, char ret[SOTTO_AUDIT_HASH])
{
    char tail[2 * SOTTO_AUDIT_LINE];
    off_t size = lseek(fd, 0, SEEK_END), at;
    ssize_t n;
    char *end, *begin;

    memcpy(ret, no_line, sizeof no_line);
    if (size <= 0)
        return size == 0;
    at = size > (off_t)sizeof tail ? size - (off_t)sizeof tail : 0;
    if ((n = pread(fd, tail, sizeof tail, at)) < 0)
        return false;
    end = n > 0 ? memrchr(tail, '\n', (size_t)n) : NULL;
    if (end == NULL) /* nothing but the beginning of a first line; or no log of ours */
        return at == 0 && ftruncate(fd, 0) == 0;
    if (end + 1 < tail + n && ftruncate(fd, at + (end + 1 - tail)) != 0)
        return false;
    begin = memrchr(tail, '\n', (size_t)(end - tail));
    begin = begin == NULL ? tail : begin + 1;
    hash_line(begin, (size_t)(end - begin), ret);
    return true;
}

/* Text of ours, file names and account names: nothing that would need more than this. */
static void put_text(char *to, size_t room, const char *text)
{
    size_t n = 0;

    for (; text != NULL && *text != '\0' && n + 3 < room; text++) {
        if (*text == '"' || *text == '\\')
            to[n++] = '\\';
        to[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    }
    to[n] = '\0';
}

static enum sotto_err append(int fd, const char *dir, const char *line, size_t len, char *why,
                             size_t room)
{
    off_t end = lseek(fd, 0, SEEK_END);
    ssize_t n = end < 0 ? -1 : pwrite(fd, line, len, end);
    enum sotto_err e;

    if (n == (ssize_t)len && fsync(fd) == 0)
        return SOTTO_OK;
    if (n >= 0 && n < (ssize_t)len)
        errno = ENOSPC;
    e = failed(dir, "written", why, room);
    if (end >= 0 && ftruncate(fd, end) != 0)
        return e; /* the next one cuts it off */
    return e;
}

enum sotto_err sotto_audit_add(const char *dir, uint64_t now_ms, unsigned uid, const char *action,
                               const char *subject, const char *detail, char *why, size_t room)
{
    char line[SOTTO_AUDIT_LINE], at[32], last[SOTTO_AUDIT_HASH], what[192], more[384];
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    enum sotto_err e = SOTTO_OK;
    int fd = open_locked(dir, why, room, &e), n;

    if (fd < 0)
        return e;
    (void)gmtime_r(&seconds, &tm);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm);
    put_text(what, sizeof what, subject);
    put_text(more, sizeof more, detail);
    if (!find_last(fd, last)) {
        e = failed(dir, "read", why, room);
    } else {
        n = snprintf(line, sizeof line,
                     "{\"time\":\"%s\",\"uid\":%u,\"action\":\"%s\",\"subject\":\"%s\","
                     "\"detail\":\"%s\",\"previous\":\"%s\"}\n",
                     at, uid, action, what, more, last);
        e = append(fd, dir, line, (size_t)n, why, room);
    }
    close(fd);
    return e;
}

/* --- verifying --- */

/* What a line says of the one before it; NULL: it is none of ours. */
static const char *previous_of(const char *line, size_t len)
{
    static const char before[] = ",\"previous\":\"", after[] = "\"}";
    size_t tail = sizeof before - 1 + 64 + sizeof after - 1;
    const char *at = line + len - tail;

    if (len <= tail || line[0] != '{' || memcmp(at, before, sizeof before - 1) != 0 ||
        memcmp(line + len - 2, after, 2) != 0)
        return NULL;
    return at + sizeof before - 1;
}

static void verify_line(struct sotto_audit_found *f, const char *wanted, const char *line,
                        size_t len)
{
    const char *previous = previous_of(line, len);

    f->lines++;
    if (previous == NULL || memcmp(previous, f->head, 64) != 0)
        f->broken_line = f->lines;
    hash_line(line, len, f->head);
    if (wanted != NULL && strcmp(wanted, f->head) == 0)
        f->wanted_seen = true;
}

enum sotto_err sotto_audit_verify(const char *dir, const char *wanted,
                                  struct sotto_audit_found *ret, char *why, size_t room)
{
    struct sotto_audit_found f = {.wanted_seen = wanted == NULL || strcmp(wanted, no_line) == 0};
    char line[SOTTO_AUDIT_LINE + 1], path[1100];
    FILE *file;
    enum sotto_err e = SOTTO_OK;

    memcpy(f.head, no_line, sizeof no_line);
    snprintf(path, sizeof path, "%s/" NAME, dir);
    if ((file = fopen(path, "re")) == NULL) {
        if (errno != ENOENT)
            return failed(dir, "read", why, room);
        *ret = f;
        return SOTTO_OK;
    }
    while (f.broken_line == 0 && fgets(line, sizeof line, file) != NULL) {
        size_t len = strlen(line);

        if (len == 0 || line[len - 1] != '\n')
            f.broken_line = ++f.lines; /* too long, or cut off while it was written */
        else
            verify_line(&f, wanted, line, len - 1);
    }
    if (ferror(file))
        e = failed(dir, "read", why, room);
    fclose(file);
    if (e == 0)
        *ret = f;
    return e;
}
