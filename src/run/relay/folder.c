/* SPDX-License-Identifier: Apache-2.0 */
#include "run/relay/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- who --- */

/* Everything from here on is done as that user; the saved ids keep the way back. */
static enum sotto_err switch_user(struct sotto_relay_folder *f, unsigned uid, unsigned gid,
                                  const char *name, char *why, size_t room)
{
    if (setgroups(0, NULL) != 0 || (name != NULL && initgroups(name, gid) != 0) ||
        setegid(gid) != 0 || seteuid(uid) != 0)
        return sotto_explain(SOTTO_ERR_DENIED, why, room, "cannot become user %s: %s",
                             name != NULL ? name : "of the folder", strerror(errno));
    f->switched = true;
    f->uid = uid;
    f->gid = gid;
    return SOTTO_OK;
}

static enum sotto_err look_up(const char *user, struct passwd **ret, char *why, size_t room)
{
    errno = 0;
    *ret = getpwnam(user);
    if (*ret == NULL)
        return sotto_explain(SOTTO_ERR_NOT_FOUND, why, room,
                             "there is no user %s; make one: useradd --system %s", user, user);
    if ((*ret)->pw_uid != geteuid() && geteuid() != 0)
        return sotto_explain(SOTTO_ERR_DENIED, why, room,
                             "only root can become user %s; start as root or without --user", user);
    return SOTTO_OK;
}

/* --- the folder --- */

/* All missing parents too; the last one is for its owner alone. */
static enum sotto_err make(const char *path, const struct passwd *owner, char *why, size_t room)
{
    char part[1024];

    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return sotto_explain(SOTTO_ERR_IO, why, room, "%s cannot be made: %s", part,
                                 strerror(errno));
        *p = '/';
    }
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? SOTTO_OK
                               : sotto_explain(SOTTO_ERR_IO, why, room, "%s cannot be made: %s",
                                               path, strerror(errno));
    if (owner != NULL && owner->pw_uid != geteuid() &&
        chown(path, owner->pw_uid, owner->pw_gid) != 0)
        return sotto_explain(SOTTO_ERR_IO, why, room, "%s cannot be given to %s: %s", path,
                             owner->pw_name, strerror(errno));
    return SOTTO_OK;
}

static enum sotto_err check(const struct stat *st, const char *path, const struct passwd *owner,
                            char *why, size_t room)
{
    unsigned uid = owner != NULL ? owner->pw_uid : geteuid();

    if (!S_ISDIR(st->st_mode))
        return sotto_explain(SOTTO_ERR_IO, why, room,
                             "%s is not a folder; give another with --data", path);
    if (st->st_uid != uid && owner != NULL)
        return sotto_explain(SOTTO_ERR_DENIED, why, room,
                             "%s does not belong to %s; give it to that user: chown -R %s %s", path,
                             owner->pw_name, owner->pw_name, path);
    if (st->st_uid != uid && uid != 0)
        return sotto_explain(SOTTO_ERR_DENIED, why, room,
                             "%s belongs to another user; give a folder of your own with --data",
                             path);
    if ((st->st_mode & 022) != 0)
        return sotto_explain(SOTTO_ERR_DENIED, why, room,
                             "%s can be changed by others; make it private: chmod go-w %s", path,
                             path);
    return SOTTO_OK;
}

enum sotto_err sotto_relay_folder_open(struct sotto_relay_folder *f,
                                       const struct sotto_relay_options *o, bool create, char *why,
                                       size_t room)
{
    struct passwd *owner = NULL;
    struct stat st;
    enum sotto_err e;

    *f = (struct sotto_relay_folder){.lock = -1, .setup = -1};
    snprintf(f->path, sizeof f->path, "%s", o->data);
    umask(077);
    if (f->path[0] == '\0')
        return sotto_explain(SOTTO_ERR_NOT_FOUND, why, room,
                             "there is no home folder to keep data in; give a folder with --data");
    if (o->user[0] != '\0' && (e = look_up(o->user, &owner, why, room)) != 0)
        return e;
    if (create && (e = make(f->path, owner, why, room)) != 0)
        return e;
    if (stat(f->path, &st) != 0)
        return sotto_explain(errno == ENOENT ? SOTTO_ERR_NOT_FOUND : SOTTO_ERR_IO, why, room,
                             "%s: %s", f->path, strerror(errno));
    if ((e = check(&st, f->path, owner, why, room)) != 0)
        return e;
    if (owner != NULL && owner->pw_uid != geteuid())
        return switch_user(f, owner->pw_uid, owner->pw_gid, owner->pw_name, why, room);
    /* Root at somebody's folder leaves no files of root there. */
    if (geteuid() == 0 && st.st_uid != 0)
        return switch_user(f, st.st_uid, st.st_gid, NULL, why, room);
    return SOTTO_OK;
}

enum sotto_err sotto_relay_folder_lock(struct sotto_relay_folder *f, char *why, size_t room)
{
    char path[1100], text[32] = "";
    int fd;

    snprintf(path, sizeof path, "%s/lock", f->path);
    if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        return sotto_explain(SOTTO_ERR_IO, why, room, "%s cannot be opened: %s", path,
                             strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            sotto_explain(SOTTO_ERR_IO, why, room, "%s cannot be locked: %s", path,
                          strerror(errno));
            close(fd);
            return SOTTO_ERR_IO;
        }
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        close(fd);
        return sotto_explain(
            SOTTO_ERR_LOCKED, why, room,
            "another relay (process %s) runs on %s; end that one, or give this one its "
            "own folder with --data",
            text[0] != '\0' ? text : "?", f->path);
    }
    /* Only for the message above; the lock is the kernel's. */
    snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0) {
        sotto_explain(SOTTO_ERR_IO, why, room, "%s cannot be written: %s", path, strerror(errno));
        close(fd);
        return SOTTO_ERR_IO;
    }
    f->lock = fd;
    return SOTTO_OK;
}

void sotto_relay_folder_setup(struct sotto_relay_folder *f, bool on)
{
    if (on && (f->setup = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
        (void)flock(f->setup, LOCK_EX);
    if (!on && f->setup >= 0) {
        close(f->setup);
        f->setup = -1;
    }
}

enum sotto_err sotto_relay_folder_privilege(struct sotto_relay_folder *f, bool on)
{
    if (!f->switched)
        return SOTTO_OK;
    if (seteuid(on ? getuid() : f->uid) != 0)
        return SOTTO_ERR_DENIED;
    return SOTTO_OK;
}

enum sotto_err sotto_relay_folder_drop(struct sotto_relay_folder *f)
{
    if (!f->switched)
        return SOTTO_OK;
    if (seteuid(getuid()) != 0 || setresgid(f->gid, f->gid, f->gid) != 0 ||
        setresuid(f->uid, f->uid, f->uid) != 0)
        return SOTTO_ERR_DENIED;
    /* No way back may be left. */
    if (f->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
        return SOTTO_ERR_DENIED;
    f->switched = false;
    return SOTTO_OK;
}

void sotto_relay_folder_close(struct sotto_relay_folder *f)
{
    sotto_relay_folder_setup(f, false);
    if (f->lock >= 0)
        close(f->lock);
    f->lock = -1;
}
