/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sottod restore: a backup becomes the relay of a folder. Everything is copied beside and verified
 * first, what was there is put aside, and only then do the files change places, the database last
 * and in one step. The restored relay is another incarnation: clients see that, tell it what it
 * does not know any more, and send again what was not delivered.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/operator/backup.h"
#include "run/operator/command.h"
#include "run/operator/reach.h"
#include "run/relay/audit.h"

#define NAMES_SAID 50

struct names { /* accounts of one store, by name */
    struct sotto_rs_account *all;
    size_t count, room;
};

struct restoring {
    struct sotto_relay_folder folder;
    struct sotto_backup b;
    char from[1000], fresh[1100], aside[1100];
    uint8_t relay_id[32]; /* of what was there */
    bool had_store, had_known, same_relay;
    uint32_t epoch; /* of what was there */
    struct names before, after;
    char why[2600];
};

static enum sotto_err failed(struct restoring *r, const char *path)
{
    enum sotto_err e = errno == ENOSPC || errno == EDQUOT ? SOTTO_ERR_FULL : SOTTO_ERR_IO;

    snprintf(r->why, sizeof r->why, "%s: %s", path, strerror(errno));
    return e;
}

static const char *in(const char *dir, const char *name, char ret[2200])
{
    snprintf(ret, 2200, "%s/%s", dir, name);
    return ret;
}

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* --- the backup, copied beside --- */

/* The backup is read under the rights of whoever asks, the folder written under its owner's. */
static enum sotto_err copy_in(struct restoring *r, size_t i)
{
    char from[2200], to[2200];
    uint64_t bytes = 0;
    uint8_t hash[32];
    enum sotto_err e = SOTTO_OK;
    int fd = -1;

    in(r->from, sotto_backup_names[i], from);
    if (sotto_relay_folder_privilege(&r->folder, true) == 0)
        fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        e = failed(r, from);
    if (sotto_relay_folder_privilege(&r->folder, false) != 0)
        e = SOTTO_ERR_DENIED;
    if (e == 0)
        e = sotto_backup_copy(fd, in(r->fresh, sotto_backup_names[i], to), &bytes, hash, r->why,
                              sizeof r->why);
    if (fd >= 0)
        close(fd);
    if (e == 0 && (bytes != r->b.files[i].bytes || !sotto_equal(hash, r->b.files[i].hash, 32))) {
        snprintf(r->why, sizeof r->why,
                 "%s is not what was written when the backup was made: it is damaged or was "
                 "changed. Use another backup",
                 from);
        e = SOTTO_ERR_MALFORMED;
    }
    return e;
}

static enum sotto_err take_name(void *ctx, const struct sotto_rs_account *a, uint32_t devices)
{
    struct names *n = ctx;

    if (n->count == n->room) {
        size_t room = n->room == 0 ? 256 : n->room * 2;
        struct sotto_rs_account *grown = realloc(n->all, room * sizeof *grown);

        if (grown == NULL)
            return SOTTO_ERR_NOMEM;
        n->all = grown;
        n->room = room;
    }
    n->all[n->count++] = *a;
    return SOTTO_OK;
}

static enum sotto_err id_of(struct sotto_relay_store *s, uint8_t ret[32])
{
    struct sotto_rs_identity self = {0};
    enum sotto_err e = sotto_rs_identity_load(s, NULL, &self);

    memcpy(ret, self.key.pub, 32);
    sotto_rs_identity_wipe(&self);
    return e;
}

/* Numbers given out after the backup must not be given again, however often the relay was started
 * since: if what is there still says how often, beyond that. */
static enum sotto_err renew(struct restoring *r, struct sotto_relay_store *s)
{
    uint32_t epoch = 0;
    enum sotto_err e;

    do
        if ((e = sotto_rs_renew(s, sotto_env_system())) == 0)
            e = sotto_rs_epoch(s, &epoch);
    while (e == 0 && r->same_relay && epoch <= r->epoch);
    if (e != 0)
        snprintf(r->why, sizeof r->why, "the restored database cannot be written: %s",
                 sotto_err_text(e));
    return e;
}

static enum sotto_err prepare_store(struct restoring *r)
{
    struct sotto_relay_store *s = NULL;
    uint8_t id[32];
    char path[2200];
    enum sotto_err e =
        sotto_rs_open(in(r->fresh, "relay.db", path), false, NULL, &s, r->why, sizeof r->why);

    if (e != 0)
        return e;
    if ((e = sotto_rs_check(s, r->why, sizeof r->why)) == 0 &&
        ((e = id_of(s, id)) != 0 || memcmp(id, r->b.relay_id, 32) != 0)) {
        snprintf(r->why, sizeof r->why, "the database in %s is not that of the relay in its list",
                 r->from);
        e = SOTTO_ERR_MALFORMED;
    }
    r->same_relay = r->had_known && memcmp(r->relay_id, r->b.relay_id, 32) == 0;
    if (e == 0)
        e = renew(r, s);
    if (e == 0)
        e = sotto_rs_accounts_each(s, take_name, &r->after);
    sotto_rs_close(s); /* one file again */
    return e;
}

static enum sotto_err prepare(struct restoring *r)
{
    char path[2200];
    enum sotto_err e = SOTTO_OK;

    snprintf(r->fresh, sizeof r->fresh, "%.1000s/restore.unfinished", r->folder.path);
    sotto_backup_remove(r->fresh); /* of one that was interrupted */
    if (mkdir(r->fresh, 0700) != 0 || mkdir(in(r->fresh, "cert", path), 0700) != 0)
        return failed(r, r->fresh);
    for (size_t i = 0; e == 0 && i < SOTTO_BACKUP_FILES; i++)
        if (r->b.files[i].present)
            e = copy_in(r, i);
    return e != 0 ? e : prepare_store(r);
}

/* --- what was there --- */

/* A database that does not open any more is no reason not to restore: it may be why. Opening it
 * also brings its log into it. */
static void look_at_old(struct restoring *r)
{
    struct sotto_relay_store *s = NULL;
    char path[2200], why[512];

    r->had_store = is_there(in(r->folder.path, "relay.db", path));
    if (!r->had_store || sotto_rs_open(path, false, NULL, &s, why, sizeof why) != 0)
        return;
    r->had_known = id_of(s, r->relay_id) == 0 && sotto_rs_epoch(s, &r->epoch) == 0 &&
                   sotto_rs_accounts_each(s, take_name, &r->before) == 0;
    sotto_rs_close(s);
}

/* Kept, not deleted. Names are added, and only what could do harm beside the new database goes. */
static enum sotto_err put_aside(struct restoring *r)
{
    static const char *const logs[] = {"relay.db-wal", "relay.db-shm"};
    char from[2200], to[2200], at[SOTTO_REACH_TIME];
    bool made = false;

    if (!r->had_store)
        return SOTTO_OK;
    sotto_reach_time(sotto_now_ms(sotto_env_system()), at);
    for (int i = 0; i < 100 && !made; i++) { /* several in one second */
        char more[8] = "";

        if (i > 0)
            snprintf(more, sizeof more, "-%d", i);
        snprintf(r->aside, sizeof r->aside, "%.1000s/replaced-%s%s", r->folder.path, at, more);
        made = mkdir(r->aside, 0700) == 0;
        if (!made && errno != EEXIST)
            break;
    }
    if (!made || mkdir(in(r->aside, "cert", to), 0700) != 0)
        return failed(r, r->aside);
    for (size_t i = 0; i < 3; i++)
        if (link(in(r->folder.path, sotto_backup_names[i], from),
                 in(r->aside, sotto_backup_names[i], to)) != 0 &&
            errno != ENOENT)
            return failed(r, from);
    for (size_t i = 0; i < 2; i++)
        if (rename(in(r->folder.path, logs[i], from), in(r->aside, logs[i], to)) != 0 &&
            errno != ENOENT)
            return failed(r, from);
    return sotto_folder_sync(r->aside, r->why, sizeof r->why);
}

/* The log of what operators did goes on where there is one. */
static enum sotto_err move(struct restoring *r)
{
    static const size_t order[] = {3, 2, 1, 0};
    char from[2200], to[2200];
    enum sotto_err e;

    if (mkdir(in(r->folder.path, "cert", to), 0700) != 0 && errno != EEXIST)
        return failed(r, to);
    for (size_t k = 0; k < SOTTO_BACKUP_FILES; k++) {
        size_t i = order[k];

        in(r->fresh, sotto_backup_names[i], from);
        in(r->folder.path, sotto_backup_names[i], to);
        if (!r->b.files[i].present || (i == 3 && is_there(to)))
            continue;
        if (rename(from, to) != 0)
            return failed(r, to);
        if (i == 1 &&
            (e = sotto_folder_sync(in(r->folder.path, "cert", from), r->why, sizeof r->why)) != 0)
            return e;
    }
    return sotto_folder_sync(r->folder.path, r->why, sizeof r->why);
}

/* --- what is said --- */

static void say_names(const char *what, const struct names *of, const struct names *in_other,
                      bool (*tells)(const struct sotto_rs_account *a,
                                    const struct sotto_rs_account *other))
{
    size_t said = 0, more = 0;

    for (size_t i = 0, k = 0; i < of->count; i++) {
        const struct sotto_rs_account *a = &of->all[i], *other = NULL;

        while (k < in_other->count && strcmp(in_other->all[k].name, a->name) < 0)
            k++;
        if (k < in_other->count && strcmp(in_other->all[k].name, a->name) == 0)
            other = &in_other->all[k];
        if (!tells(a, other))
            continue;
        if (said == NAMES_SAID) {
            more++;
            continue;
        }
        printf("%s%s", said == 0 ? what : ", ", a->name);
        said++;
    }
    if (more > 0)
        printf(" and %zu more", more);
    if (said > 0)
        printf("\n");
}

static bool new_since(const struct sotto_rs_account *a, const struct sotto_rs_account *other)
{
    return other == NULL && !a->gone;
}

static bool deleted_since(const struct sotto_rs_account *a, const struct sotto_rs_account *other)
{
    return a->gone && other != NULL && !other->gone;
}

static bool disabled_since(const struct sotto_rs_account *a, const struct sotto_rs_account *other)
{
    return a->disabled && other != NULL && !other->gone && !other->disabled;
}

static bool enabled_since(const struct sotto_rs_account *a, const struct sotto_rs_account *other)
{
    return !a->gone && !a->disabled && other != NULL && other->disabled;
}

static void say_age(const struct restoring *r)
{
    uint64_t now = sotto_now_ms(sotto_env_system()),
             age = now > r->b.time_ms ? (now - r->b.time_ms) / 1000 : 0;
    char at[SOTTO_REACH_TIME];

    sotto_reach_time(r->b.time_ms, at);
    printf("%s is the relay as it was at %s, %" PRIu64 " days, %" PRIu64 " hours and %" PRIu64
           " minutes ago, as a new incarnation.\n",
           r->folder.path, at, age / 86400, age / 3600 % 24, age / 60 % 60);
}

static void say_all(const struct restoring *r)
{
    say_age(r);
    printf("Messages: what was stored since and not fetched is not here; the senders' clients have "
           "it and send it again by themselves. Devices bring their lists and keys when they sign "
           "in.\n"
           "Lost for good: accounts, invites and operator's actions made since.\n");
    if (r->had_known && r->same_relay) {
        say_names("  Accounts made since, to sign up again: ", &r->before, &r->after, new_since);
        say_names("  Deleted since, and back now (sottod delete NAME --yes): ", &r->before,
                  &r->after, deleted_since);
        say_names("  Disabled since, and not any more (sottod disable NAME): ", &r->before,
                  &r->after, disabled_since);
        say_names("  Enabled since, and disabled again (sottod enable NAME): ", &r->before,
                  &r->after, enabled_since);
    } else if (r->had_known) {
        printf("  The folder held another relay, with another identity.\n");
    } else if (r->had_store) {
        printf("  The database that was there cannot be read, so nobody knows which.\n");
    }
    if (r->had_store)
        printf("What was there is kept in %s; remove it when all is well: it holds keys too.\n",
               r->aside);
    printf("Start the relay as before; sottod check looks whether all is right.\n");
}

/* --- all of it --- */

static enum sotto_err read_backup(struct restoring *r)
{
    enum sotto_err e = SOTTO_ERR_DENIED;

    if (sotto_relay_folder_privilege(&r->folder, true) == 0)
        e = sotto_backup_read(r->from, &r->b, r->why, sizeof r->why);
    return sotto_relay_folder_privilege(&r->folder, false) != 0 ? SOTTO_ERR_DENIED : e;
}

static enum sotto_err restore(struct restoring *r)
{
    char why[512];
    enum sotto_err e;

    if ((e = read_backup(r)) != 0)
        return e;
    look_at_old(r);
    if ((e = prepare(r)) != 0 || (e = put_aside(r)) != 0)
        return e;
    e = move(r);
    if (e == 0 && sotto_audit_add(r->folder.path, sotto_now_ms(sotto_env_system()), getuid(),
                                  "restore", NULL, r->from, why, sizeof why) != 0)
        fprintf(stderr, "sottod: the restore is not in the audit log: %s\n", why);
    return e;
}

int sotto_command_restore(const struct sotto_command_args *a)
{
    struct restoring *r = calloc(1, sizeof *r);
    enum sotto_err e;
    int code = 0;

    if (r == NULL)
        return sotto_reach_fail("out of memory");
    snprintf(r->from, sizeof r->from, "%s", a->words[0]);
    if ((e = sotto_relay_folder_open(&r->folder, a->o, true, r->why, sizeof r->why)) == 0 &&
        (e = sotto_relay_folder_lock(&r->folder, r->why, sizeof r->why)) == 0) {
        e = restore(r);
        if (r->fresh[0] != '\0')
            sotto_backup_remove(r->fresh);
    }
    if (e != 0)
        code = sotto_reach_fail("nothing was restored: %s", r->why);
    else
        say_all(r);
    sotto_relay_folder_close(&r->folder);
    free(r->before.all);
    free(r->after.all);
    free(r);
    return fflush(stdout) == 0 ? code : 1;
}
