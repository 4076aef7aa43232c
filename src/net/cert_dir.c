/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay's pair in its folder. Written so that a crash at any moment leaves either nothing, or
 * the old pair, or something that the next start completes: both files exist in full under
 * temporary names before the first gets its own, the key first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "net/cert_internal.h"

enum { FILE_MAX = 1024 * 1024, RENEW_BEFORE = 30 * 24 * 60 * 60 };

enum { CERT, KEY };
static const char *const file_names[] = {"server_cert.pem", "server_key.pem"};
static const char *const new_names[] = {"server_cert.pem.new", "server_key.pem.new"};
static const mode_t file_modes[] = {0644, 0600};

struct folder {
    int fd;
    const char *path;
    char *why;
    size_t room;
};

static __attribute__((format(printf, 3, 4))) enum sotto_err
fail(const struct folder *f, enum sotto_err e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(f->why, f->room, fmt, ap);
    va_end(ap);
    return e;
}

static enum sotto_err fail_io(const struct folder *f, const char *what, const char *name)
{
    return fail(f, SOTTO_ERR_IO, "cannot %s %s/%s: %s", what, f->path, name, strerror(errno));
}

/* Reading */

/* A link that leads nowhere counts as there: making a new pair in its place would be wrong. */
static bool is_there(const struct folder *f, const char *name)
{
    struct stat st;

    return fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static enum sotto_err read_all(int fd, struct sotto_buf *ret)
{
    ssize_t n;

    do {
        enum sotto_err e = sotto_buf_reserve(ret, 4096);

        if (e != 0)
            return e;
        n = read(fd, ret->p + ret->n, 4096);
        if (n < 0 && errno != EINTR)
            return SOTTO_ERR_IO;
        ret->n += n > 0 ? (size_t)n : 0;
    } while (n != 0);
    return SOTTO_OK;
}

static enum sotto_err check_stat(const struct folder *f, int fd, const char *name, bool secret)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_io(f, "read", name);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX - 4096)
        return fail(f, SOTTO_ERR_MALFORMED, "%s/%s is not a PEM file; put one there", f->path,
                    name);
    if (secret && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fail(f, SOTTO_ERR_DENIED,
                    "%s/%s can be read by other users; run: chmod 600 %s/%s (and think about a "
                    "new key if others had access)",
                    f->path, name, f->path, name);
    return SOTTO_OK;
}

static enum sotto_err read_file(const struct folder *f, const char *name, bool secret,
                                struct sotto_buf *ret)
{
    /* Not to be held up by a pipe that somebody put there. */
    int fd = openat(f->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum sotto_err e;

    if (fd < 0)
        return fail_io(f, "read", name);
    if ((e = check_stat(f, fd, name, secret)) == 0 && (e = read_all(fd, ret)) != 0)
        fail_io(f, "read", name);
    close(fd);
    return e;
}

static enum sotto_err explain(const struct folder *f, enum sotto_cert_problem problem)
{
    const char *d = f->path;

    switch (problem) {
    case SOTTO_CERT_NOT_A_CERT:
        return fail(f, SOTTO_ERR_MALFORMED,
                    "%s/%s is not a PEM certificate; restore it, or move both files of the pair "
                    "away to have a new one made (devices will ask to trust the new key)",
                    d, file_names[CERT]);
    case SOTTO_CERT_KEY_ENCRYPTED:
        return fail(f, SOTTO_ERR_MALFORMED,
                    "%s/%s is protected by a passphrase, which a relay cannot enter; take it off: "
                    "openssl pkey -in %s/%s -out key.pem",
                    d, file_names[KEY], d, file_names[KEY]);
    case SOTTO_CERT_KEY_UNUSABLE:
        return fail(f, SOTTO_ERR_MALFORMED,
                    "%s/%s is a key that TLS 1.3 does not take; use ECDSA P-256, Ed25519 or RSA "
                    "with at least 2048 bits",
                    d, file_names[KEY]);
    case SOTTO_CERT_MISMATCH:
        return fail(f, SOTTO_ERR_MALFORMED,
                    "%s/%s and %s do not belong together; put the key there that the certificate "
                    "was made for",
                    d, file_names[CERT], file_names[KEY]);
    case SOTTO_CERT_FINE:
    case SOTTO_CERT_NOT_A_KEY:
        break;
    }
    return fail(f, SOTTO_ERR_MALFORMED,
                "%s/%s is not a PEM private key; restore it, or move both files of the pair away "
                "to have a new one made (devices will ask to trust the new key)",
                d, file_names[KEY]);
}

static enum sotto_err load_pair(const struct folder *f, const char *cert_name, const char *key_name,
                                struct sotto_cert **ret)
{
    SOTTO_AUTO_BUF cert = SOTTO_BUF(FILE_MAX);
    SOTTO_AUTO_BUF key = SOTTO_BUF(FILE_MAX);
    enum sotto_cert_problem problem;
    enum sotto_err e;

    if ((e = read_file(f, cert_name, false, &cert)) != 0 ||
        (e = read_file(f, key_name, true, &key)) != 0)
        return e;
    e = sotto_cert_parse(&(struct sotto_bytes){cert.p, cert.n}, &(struct sotto_bytes){key.p, key.n},
                         ret, &problem);
    if (e == SOTTO_ERR_MALFORMED)
        return explain(f, problem);
    return e != 0 ? fail(f, e, "loading %s: %s", f->path, sotto_err_text(e)) : SOTTO_OK;
}

/* Writing */

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t m = write(fd, p, n);

        if (m < 0 && errno != EINTR)
            return false;
        if (m > 0) {
            p += m;
            n -= (size_t)m;
        }
    }
    return true;
}

/* The mode is right from the first moment on, whatever the umask. */
static enum sotto_err write_new(const struct folder *f, int which, const struct sotto_buf *text)
{
    const char *name = new_names[which];
    enum sotto_err e = SOTTO_OK;
    int fd;

    if (unlinkat(f->fd, name, 0) != 0 && errno != ENOENT)
        return fail_io(f, "replace", name);
    fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_io(f, "create", name);
    if (!write_all(fd, text->p, text->n) || fchmod(fd, file_modes[which]) != 0 || fsync(fd) != 0)
        e = fail_io(f, "write", name);
    close(fd);
    if (e != 0)
        (void)unlinkat(f->fd, name, 0);
    return e;
}

static enum sotto_err publish(const struct folder *f, int which)
{
    if (renameat(f->fd, new_names[which], f->fd, file_names[which]) != 0)
        return fail_io(f, "rename to", file_names[which]);
    if (fsync(f->fd) != 0)
        return fail_io(f, "write", file_names[which]);
    return SOTTO_OK;
}

static enum sotto_err write_new_cert(const struct folder *f, const struct sotto_cert *c)
{
    SOTTO_AUTO_BUF text = SOTTO_BUF(FILE_MAX);
    enum sotto_err e = sotto_cert_pem(c, &text);

    return e != 0 ? fail(f, e, "making %s: %s", file_names[CERT], sotto_err_text(e))
                  : write_new(f, CERT, &text);
}

static enum sotto_err write_new_key(const struct folder *f, const struct sotto_cert *c)
{
    SOTTO_AUTO_BUF text = SOTTO_BUF(FILE_MAX);
    enum sotto_err e = sotto_cert_key_pem(c, &text);

    return e != 0 ? fail(f, e, "making %s: %s", file_names[KEY], sotto_err_text(e))
                  : write_new(f, KEY, &text);
}

/* The two ways to a pair */

static enum sotto_err make_pair(const struct folder *f, const char *host, struct sotto_cert **ret)
{
    struct sotto_cert *c;
    enum sotto_err e = sotto_cert_make(host, time(NULL), NULL, &c);

    if (e != 0)
        return fail(f, e, "making a certificate: %s", sotto_err_text(e));
    if ((e = write_new_key(f, c)) != 0 || (e = write_new_cert(f, c)) != 0 ||
        (e = publish(f, KEY)) != 0 || (e = publish(f, CERT)) != 0) {
        sotto_cert_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

static enum sotto_err renew(const struct folder *f, const char *host, bool still_good,
                            struct sotto_cert **c)
{
    struct sotto_cert *fresh = NULL;
    enum sotto_err e = sotto_cert_make(host, time(NULL), *c, &fresh);

    if (e != 0)
        fail(f, e, "renewing the certificate: %s", sotto_err_text(e));
    else if ((e = write_new_cert(f, fresh)) == 0)
        e = publish(f, CERT);
    if (e == 0) {
        sotto_cert_free(*c);
        *c = fresh;
        sotto_log_info("renewed %s/%s with the same key", f->path, file_names[CERT]);
        return SOTTO_OK;
    }
    sotto_cert_free(fresh);
    if (!still_good)
        return e;
    sotto_log_local("the certificate ends soon and could not be renewed: %s", f->why);
    return SOTTO_OK;
}

static void date_text(int64_t seconds, char ret[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    ret[0] = 0;
    if (gmtime_r(&t, &tm) != NULL)
        strftime(ret, 32, "%Y-%m-%d", &tm);
}

static enum sotto_err check_dates(const struct folder *f, const char *host, struct sotto_cert **c)
{
    int64_t from, until, now = time(NULL);
    char date[32];

    if (sotto_cert_dates(*c, &from, &until) != 0)
        return explain(f, SOTTO_CERT_NOT_A_CERT);
    if (sotto_cert_is_ours(*c)) {
        bool good = from <= now && now < until;

        return good && now < until - RENEW_BEFORE ? SOTTO_OK : renew(f, host, good, c);
    }
    if (now >= until) {
        date_text(until, date);
        return fail(f, SOTTO_ERR_EXPIRED,
                    "%s/%s expired on %s; put a new one there (made for the same key, devices "
                    "notice nothing)",
                    f->path, file_names[CERT], date);
    }
    if (now < from) {
        date_text(from, date);
        return fail(f, SOTTO_ERR_EXPIRED,
                    "%s/%s is valid from %s on only; set this machine's clock or use another "
                    "certificate",
                    f->path, file_names[CERT], date);
    }
    return SOTTO_OK;
}

/* One of the two is there. A crash while the pair was made leaves the other complete under its
 * temporary name; taken only if it fits. */
static enum sotto_err complete_pair(const struct folder *f, int missing)
{
    const char *names[] = {file_names[CERT], file_names[KEY]};
    struct sotto_cert *c;

    names[missing] = new_names[missing];
    if (is_there(f, new_names[missing]) && load_pair(f, names[CERT], names[KEY], &c) == 0) {
        sotto_cert_free(c);
        return publish(f, missing);
    }
    return fail(f, SOTTO_ERR_NOT_FOUND,
                "%s/%s is there, but %s is missing; put it back, or move the other away too to "
                "have a new pair made (devices will ask to trust the new key)",
                f->path, file_names[1 - missing], file_names[missing]);
}

static enum sotto_err load_or_make(const struct folder *f, const char *host,
                                   struct sotto_cert **ret)
{
    bool have_cert = is_there(f, file_names[CERT]), have_key = is_there(f, file_names[KEY]);
    struct sotto_cert *c;
    enum sotto_err e;

    if (!have_cert && !have_key)
        return make_pair(f, host, ret);
    if ((!have_cert || !have_key) && (e = complete_pair(f, have_cert ? KEY : CERT)) != 0)
        return e;
    if ((e = load_pair(f, file_names[CERT], file_names[KEY], &c)) != 0)
        return e;
    if ((e = check_dates(f, host, &c)) != 0) {
        sotto_cert_free(c);
        return e;
    }
    *ret = c;
    return SOTTO_OK;
}

/* A folder that we make is durable before anything in it is. */
static bool make_folder(const char *path)
{
    int fd, up;
    bool ok;

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST;
    if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return false;
    up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok = fchmod(fd, 0700) == 0 && up >= 0 && fsync(up) == 0;
    if (up >= 0)
        close(up);
    close(fd);
    return ok;
}

enum sotto_err sotto_cert_server(const char *dir, const char *host, struct sotto_cert **ret,
                                 char *why, size_t room)
{
    struct folder f = {.fd = -1, .path = dir, .why = why, .room = room};
    enum sotto_err e;

    if (make_folder(dir))
        f.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f.fd < 0)
        return fail(&f, SOTTO_ERR_IO, "cannot open the folder %s: %s", dir, strerror(errno));
    e = load_or_make(&f, host, ret);
    close(f.fd);
    return e;
}

static enum sotto_err look(const struct folder *f, int64_t *ret_until, bool *ret_ours)
{
    bool have_cert = is_there(f, file_names[CERT]), have_key = is_there(f, file_names[KEY]);
    int64_t from, until;
    struct sotto_cert *c;
    enum sotto_err e;

    if (!have_cert && !have_key)
        return SOTTO_ERR_NOT_FOUND;
    if (!have_cert || !have_key)
        return fail(f, SOTTO_ERR_NOT_FOUND, "%s/%s is missing; put it back", f->path,
                    file_names[have_cert ? KEY : CERT]);
    if ((e = load_pair(f, file_names[CERT], file_names[KEY], &c)) != 0)
        return e;
    *ret_ours = sotto_cert_is_ours(c);
    if (sotto_cert_dates(c, &from, &until) != 0)
        e = explain(f, SOTTO_CERT_NOT_A_CERT);
    else if (!*ret_ours) /* one of our own is renewed at the next start */
        e = check_dates(f, "", &c);
    if (e == 0)
        *ret_until = until;
    sotto_cert_free(c);
    return e;
}

enum sotto_err sotto_cert_look(const char *dir, int64_t *ret_until, bool *ret_ours, char *why,
                               size_t room)
{
    struct folder f = {.path = dir, .why = why, .room = room};
    int64_t until = 0;
    bool ours = false;
    enum sotto_err e;

    why[0] = 0;
    f.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f.fd < 0)
        return errno == ENOENT
                   ? SOTTO_ERR_NOT_FOUND
                   : fail(&f, SOTTO_ERR_IO, "cannot open the folder %s: %s", dir, strerror(errno));
    if ((e = look(&f, &until, &ours)) == 0) {
        *ret_until = until;
        *ret_ours = ours;
    }
    close(f.fd);
    return e;
}
