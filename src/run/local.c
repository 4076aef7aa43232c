/* SPDX-License-Identifier: Apache-2.0 */
#include "run/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_MS 500

struct sotto_local {
    sotto_local_fn *fn;
    void *ctx;
    char *dir;
    int fd;
    struct sotto_watch *watch;
    struct sotto_timer *pause;
    char name[SOTTO_LOCAL_NAME + 1];
};

/* Socket addresses are short (108 bytes): the folder is reached through its descriptor, which has
 * to stay open until bind or connect is done. Looked at is what is open, not what has the name. */
static enum sotto_err open_dir(const char *dir, const char *name, int *ret_fd,
                               struct sockaddr_un *ret_at)
{
    struct stat st;
    int fd;

    if (strlen(name) > SOTTO_LOCAL_NAME)
        return SOTTO_ERR_USAGE;
    if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return errno == ENOENT ? SOTTO_ERR_NOT_FOUND : SOTTO_ERR_IO;
    if (fstat(fd, &st) != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        (geteuid() != 0 && st.st_uid != geteuid())) {
        close(fd);
        return SOTTO_ERR_DENIED;
    }
    *ret_at = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(ret_at->sun_path, sizeof ret_at->sun_path, "/proc/self/fd/%d/%s", fd, name);
    *ret_fd = fd;
    return SOTTO_OK;
}

/* --- listening --- */

static bool may_call(int fd, unsigned *ret_uid)
{
    struct ucred who;
    socklen_t len = sizeof who;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
        (who.uid != geteuid() && who.uid != 0))
        return false;
    *ret_uid = who.uid;
    return true;
}

static void accept_again(void *ctx)
{
    struct sotto_local *s = ctx;

    sotto_watch_set(s->watch, SOTTO_WATCH_READ);
}

static void accept_one(void *ctx, int events)
{
    struct sotto_local *s = ctx;
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    unsigned uid;

    if (fd >= 0 && may_call(fd, &uid)) {
        s->fn(s->ctx, fd, uid);
    } else if (fd >= 0) {
        close(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        /* The socket stays readable, so that the loop would turn for nothing. */
        sotto_watch_set(s->watch, 0);
        sotto_timer_start(s->pause, PAUSE_MS);
    }
}

/* The name may be there already: as a socket that nobody listens to, or as anything. */
static enum sotto_err bind_to(struct sotto_local *s, int queue)
{
    struct sockaddr_un at;
    enum sotto_err e;
    int dir_fd, rc;
    mode_t mask;

    if ((e = open_dir(s->dir, s->name, &dir_fd, &at)) != 0)
        return e;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlinkat(dir_fd, s->name, 0);
    mask = umask(0177);
    rc = s->fd < 0 ? -1 : bind(s->fd, (struct sockaddr *)&at, sizeof at);
    umask(mask);
    close(dir_fd);
    return rc == 0 && listen(s->fd, queue) == 0 ? SOTTO_OK : SOTTO_ERR_IO;
}

static void remove_name(const struct sotto_local *s)
{
    int dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir_fd < 0)
        return;
    (void)unlinkat(dir_fd, s->name, 0);
    close(dir_fd);
}

enum sotto_err sotto_local_listen(struct sotto_loop *loop, const char *dir, const char *name,
                                  int queue, sotto_local_fn *fn, void *ctx,
                                  struct sotto_local **ret)
{
    struct sotto_local *s;
    enum sotto_err e;

    if (strlen(name) > SOTTO_LOCAL_NAME)
        return SOTTO_ERR_USAGE;
    if ((s = calloc(1, sizeof *s)) == NULL || (s->dir = strdup(dir)) == NULL) {
        free(s);
        return SOTTO_ERR_NOMEM;
    }
    s->fn = fn;
    s->ctx = ctx;
    s->fd = -1;
    memcpy(s->name, name, strlen(name));
    if ((e = bind_to(s, queue)) == 0 &&
        ((s->pause = sotto_timer_new(loop, accept_again, s)) == NULL ||
         (s->watch = sotto_watch_new(loop, s->fd, accept_one, s)) == NULL))
        e = SOTTO_ERR_NOMEM;
    if (e != 0) {
        sotto_local_free(s);
        return e;
    }
    sotto_watch_set(s->watch, SOTTO_WATCH_READ);
    *ret = s;
    return SOTTO_OK;
}

void sotto_local_free(struct sotto_local *s)
{
    if (s == NULL)
        return;
    sotto_watch_free(s->watch);
    sotto_timer_free(s->pause);
    if (s->fd >= 0) { /* else the folder is none of ours */
        remove_name(s);
        close(s->fd);
    }
    free(s->dir);
    free(s);
}

/* --- the other side --- */

static enum sotto_err connect_to(int fd, const struct sockaddr_un *at, int wait_ms)
{
    const struct timeval limit = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
    int rc;

    if (wait_ms > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        return SOTTO_ERR_IO;
    do
        rc = connect(fd, (const struct sockaddr *)at, sizeof *at);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return SOTTO_OK;
    return errno == EAGAIN                            ? SOTTO_ERR_AGAIN
           : errno == ENOENT || errno == ECONNREFUSED ? SOTTO_ERR_NOT_FOUND
                                                      : SOTTO_ERR_IO;
}

enum sotto_err sotto_local_connect(const char *dir, const char *name, int wait_ms, int *ret_fd)
{
    struct sockaddr_un at;
    int dir_fd, fd;
    enum sotto_err e = open_dir(dir, name, &dir_fd, &at);

    if (e != 0)
        return e;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (wait_ms == 0 ? SOCK_NONBLOCK : 0), 0);
    e = fd < 0 ? SOTTO_ERR_IO : connect_to(fd, &at, wait_ms);
    close(dir_fd);
    if (e == 0)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return e;
}
