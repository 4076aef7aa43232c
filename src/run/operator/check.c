/* SPDX-License-Identifier: Apache-2.0 */
/* sottod check: what is wrong, and how to mend it. sottod audit: is the log of actions whole? */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "net/cert.h"
#include "run/operator/command.h"
#include "run/operator/reach.h"
#include "run/relay/audit.h"
#include "run/relay/open.h"
#include "run/relay/operator.h"

#define DAY           86400
#define CERT_NOTE     (30 * DAY)
#define CERT_FAULT    (7 * DAY)
#define FREE_FAULT    (128ull * 1024 * 1024)
#define INODES_FAULT  1000
#define CLOCK_FAULT_S 300
#define EPOCHS_NOTE   100000

struct checking {
    const struct sotto_command_args *a;
    struct sotto_relay_folder folder;
    unsigned faults, notes;
};

/* "ok" and a fact; "NOTE" what to think about; "FAULT" what is wrong, and its mending. */
static __attribute__((format(printf, 4, 5))) void say(struct checking *k, const char *how,
                                                      const char *what, const char *fmt, ...)
{
    va_list ap;

    k->faults += strcmp(how, "FAULT") == 0;
    k->notes += strcmp(how, "NOTE") == 0;
    printf("%-5s  %-12s  ", how, what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

static void check_config(struct checking *k)
{
    const struct sotto_relay_options *o = k->a->o;

    if (k->a->config != NULL)
        say(k, "ok", "config", "%s is understood", k->a->config);
    else
        say(k, "ok", "config", "no file; give the one of your relay with --config");
    if (o->relay.registration == SOTTO_REGISTRATION_OPEN)
        say(k, "NOTE", "config", "anybody may sign up; invites alone: registration = invite");
    if (o->relay.registration == SOTTO_REGISTRATION_CODE)
        say(k, "FAULT", "config",
            "registration = code is not set up, so nobody can sign up; use "
            "invite, open or closed");
}

/* --- permissions --- */

static void check_file(struct checking *k, const char *name, const struct stat *folder)
{
    char path[1200];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", k->folder.path, name);
    if (stat(path, &st) != 0) /* a link's own mode says nothing */
        return;
    if (!S_ISDIR(st.st_mode) && (st.st_mode & 077) != 0)
        say(k, "FAULT", "permissions", "%s can be read or changed by others: chmod 600 %s", path,
            path);
    if (S_ISDIR(st.st_mode) && (st.st_mode & 022) != 0)
        say(k, "FAULT", "permissions", "%s can be changed by others: chmod go-w %s", path, path);
    if (st.st_uid != folder->st_uid)
        say(k, "FAULT", "permissions",
            "%s belongs to user %u and the folder to %u, so the relay may not read it: chown %u %s",
            path, st.st_uid, folder->st_uid, folder->st_uid, path);
}

static void check_permissions(struct checking *k)
{
    static const char *const names[] = {"relay.db",       "relay.db-wal",
                                        "relay.db-shm",   "audit.log",
                                        "lock",           "operator.sock",
                                        "cert",           "cert/server_key.pem",
                                        SOTTO_RELAY_NEXT, SOTTO_RELAY_NEXT "/server_key.pem"};
    unsigned before = k->faults;
    struct stat folder;

    if (stat(k->folder.path, &folder) != 0) {
        say(k, "FAULT", "permissions", "%s cannot be looked at: %s", k->folder.path,
            strerror(errno));
        return;
    }
    if ((folder.st_mode & 055) != 0)
        say(k, "NOTE", "permissions", "others may list %s; chmod 700 %s keeps them out",
            k->folder.path, k->folder.path);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_file(k, names[i], &folder);
    if (k->faults == before)
        say(k, "ok", "permissions", "what is private can be read by its owner alone");
    if (folder.st_uid == 0)
        say(k, "NOTE", "permissions",
            "the folder belongs to root; a user of its own limits what a break-in can reach: "
            "--user NAME");
}

/* --- the machine --- */

static void check_certificate(struct checking *k)
{
    char path[1200], why[1024], date[SOTTO_REACH_TIME];
    int64_t until = 0, left;
    bool ours = false;
    enum sotto_err e;

    snprintf(path, sizeof path, "%s/cert", k->folder.path);
    e = sotto_cert_look(path, &until, &ours, why, sizeof why);
    if (e == SOTTO_ERR_NOT_FOUND && why[0] == '\0') {
        say(k, "ok", "certificate", "none yet; the relay makes one when it starts");
        return;
    }
    if (e != 0) {
        say(k, "FAULT", "certificate", "%s", why);
        return;
    }
    left = until - (int64_t)(sotto_now_ms(sotto_env_system()) / 1000);
    sotto_reach_time((uint64_t)until * 1000, date);
    if (ours)
        say(k, "ok", "certificate", "self-signed, until %s; the relay renews it with the same key",
            date);
    else if (left < CERT_FAULT)
        say(k, "FAULT", "certificate",
            "ends %s; put a new one for the same key into %s and send the relay SIGHUP", date,
            path);
    else
        say(k, left < CERT_NOTE ? "NOTE" : "ok", "certificate", "foreign, until %s%s", date,
            left < CERT_NOTE ? "; time for a new one" : "");
}

/* The relay goes on without it, and nobody hears of it in time. */
static void check_next_key(struct checking *k)
{
    char path[1200], why[1024];
    int64_t until;
    bool ours;
    enum sotto_err e;

    snprintf(path, sizeof path, "%s/" SOTTO_RELAY_NEXT, k->folder.path);
    e = sotto_cert_look(path, &until, &ours, why, sizeof why);
    if (e != 0 && !(e == SOTTO_ERR_NOT_FOUND && why[0] == '\0'))
        say(k, "FAULT", "certificate",
            "the next key is not announced: %s; remove %s and make another: sottod rotate", why,
            path);
}

static void check_disk(struct checking *k)
{
    char room[SOTTO_REACH_SIZE], path[1200];
    struct statvfs v;
    struct stat st = {0};
    uint64_t bytes, wanted;

    if (statvfs(k->folder.path, &v) != 0) {
        say(k, "FAULT", "disk", "%s: %s", k->folder.path, strerror(errno));
        return;
    }
    snprintf(path, sizeof path, "%s/relay.db", k->folder.path);
    (void)stat(path, &st);
    bytes = (uint64_t)v.f_bavail * v.f_frsize;
    wanted = FREE_FAULT + (uint64_t)st.st_size / 10;
    sotto_reach_size(bytes, room);
    if (bytes < wanted)
        say(k, "FAULT", "disk",
            "only %s are free under %s, where mail is stored; make room, move the folder, or lower "
            "--quota-bytes",
            room, k->folder.path);
    else if (v.f_files > 0 && v.f_favail < INODES_FAULT)
        say(k, "FAULT", "disk", "only %llu more files can be made under %s; remove some",
            (unsigned long long)v.f_favail, k->folder.path);
    else
        say(k, "ok", "disk", "%s free", room);
}

static void check_clock(struct checking *k)
{
    int64_t now = (int64_t)(sotto_now_ms(sotto_env_system()) / 1000);
    struct timex t = {0};
    struct stat st;
    char path[1200];

    snprintf(path, sizeof path, "%s/relay.db", k->folder.path);
    if (now < 1767225600 /* 2026-01-01 */)
        say(k, "FAULT", "clock",
            "it is behind: this program was made later than now; invites, mail and certificates "
            "go by it. Set it: timedatectl set-ntp true");
    else if (stat(path, &st) == 0 && (int64_t)st.st_mtime > now + CLOCK_FAULT_S)
        say(k, "FAULT", "clock",
            "it is behind: the database was written later than now; invites, mail and certificates "
            "go by it. Set it: timedatectl set-ntp true");
    else if (adjtimex(&t) >= 0 && (t.status & STA_UNSYNC) != 0)
        say(k, "NOTE", "clock",
            "nothing keeps it right as far as this machine tells: timedatectl "
            "set-ntp true");
    else
        say(k, "ok", "clock", "right, as far as this machine knows");
}

static void check_files(struct checking *k)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_max == RLIM_INFINITY ||
        r.rlim_max >= k->a->o->max_connections + 64ull)
        say(k, "ok", "connections", "%u at a time", k->a->o->max_connections);
    else
        say(k, "NOTE", "connections",
            "max_connections is %u, but a process started from here may open %llu files: raise it "
            "(ulimit -n, LimitNOFILE=)",
            k->a->o->max_connections, (unsigned long long)r.rlim_max);
}

/* --- the store --- */

static void check_store(struct checking *k)
{
    struct sotto_relay_store *s = NULL;
    struct sotto_rs_identity self = {0};
    char path[1200], why[1024];
    uint32_t epoch = 0;
    enum sotto_err e;

    snprintf(path, sizeof path, "%s/relay.db", k->folder.path);
    e = sotto_rs_open(path, false, NULL, &s, why, sizeof why);
    if (e == SOTTO_ERR_NOT_FOUND) {
        say(k, "ok", "database", "none yet; the relay makes one when it starts");
        return;
    }
    if (e == 0 && (e = sotto_rs_check(s, why, sizeof why)) == 0 &&
        ((e = sotto_rs_identity_load(s, NULL, &self)) != 0 || (e = sotto_rs_epoch(s, &epoch)) != 0))
        snprintf(why, sizeof why, "the relay's identity is not in it");
    sotto_rs_identity_wipe(&self);
    sotto_rs_close(s);
    if (e == SOTTO_ERR_DENIED || e == SOTTO_ERR_NEWER || e == SOTTO_ERR_LOCKED)
        say(k, "FAULT", "database", "%s", why);
    else if (e != 0)
        say(k, "FAULT", "database",
            "%s is damaged (%s): end the relay and put a backup in its place: sottod restore FROM",
            path, why);
    else if (SOTTO_RS_EPOCH_MAX - epoch < EPOCHS_NOTE)
        say(k, "NOTE", "database", "the relay can be started %u times more",
            SOTTO_RS_EPOCH_MAX - epoch);
    else
        say(k, "ok", "database", "whole; every page was read");
}

static void check_audit(struct checking *k)
{
    struct sotto_audit_found f;
    char why[512];

    if (sotto_audit_verify(k->folder.path, NULL, &f, why, sizeof why) != 0)
        say(k, "FAULT", "audit log", "%s", why);
    else if (f.broken_line != 0)
        say(k, "FAULT", "audit log",
            "line %" PRIu64 " of %s/audit.log does not follow from the one before: somebody "
            "changed the log. Compare with a backup, and ask who had access",
            f.broken_line, k->folder.path);
    else
        say(k, "ok", "audit log", "%" PRIu64 " actions, the chain is whole", f.lines);
}

static void check_running(struct checking *k)
{
    SOTTO_AUTO_BUF lines = SOTTO_BUF(SOTTO_OPERATOR_LINES);
    char why[512];
    enum sotto_err e = sotto_relay_folder_lock(&k->folder, why, sizeof why);

    if (e == 0) {
        say(k, "NOTE", "relay", "none runs on this folder");
        return;
    }
    if (e != SOTTO_ERR_LOCKED) {
        say(k, "FAULT", "relay", "%s", why);
        return;
    }
    e = sotto_operator_call(k->folder.path, "sessions", &lines, why, sizeof why);
    if (e == 0)
        say(k, "ok", "relay", "runs, and answers");
    else
        say(k, "FAULT", "relay",
            "one runs, and does not answer to commands%s%s; look at its log, start it again",
            why[0] != '\0' ? ": " : "", why);
}

int sotto_command_check(const struct sotto_command_args *a)
{
    struct checking k = {.a = a};
    char why[1400];
    enum sotto_err e;

    check_config(&k);
    e = sotto_relay_folder_open(&k.folder, a->o, false, why, sizeof why);
    if (e != 0) {
        say(&k, "FAULT", "folder", "%s%s", why,
            e == SOTTO_ERR_NOT_FOUND ? "; start the relay once, or give --data of the one that you "
                                       "mean"
                                     : "");
    } else {
        check_permissions(&k);
        check_certificate(&k);
        check_next_key(&k);
        check_disk(&k);
        check_clock(&k);
        check_files(&k);
        check_store(&k);
        check_audit(&k);
        check_running(&k);
        sotto_relay_folder_close(&k.folder);
    }
    printf("%u fault%s, %u note%s\n", k.faults, k.faults == 1 ? "" : "s", k.notes,
           k.notes == 1 ? "" : "s");
    return fflush(stdout) != 0 || k.faults > 0;
}

/* --- audit --- */

int sotto_command_audit(const struct sotto_command_args *a)
{
    const char *wanted = a->word_count > 1 ? a->words[1] : NULL;
    struct sotto_relay_folder folder;
    struct sotto_audit_found f;
    char why[1400];

    if (strcmp(a->words[0], "verify") != 0 || (wanted != NULL && strlen(wanted) != 64))
        return sotto_reach_fail("usage: sottod audit verify [HASH], with the 64 digits that an "
                                "earlier one printed");
    if (sotto_relay_folder_open(&folder, a->o, false, why, sizeof why) != 0)
        return sotto_reach_fail("%s", why);
    if (sotto_audit_verify(folder.path, wanted, &f, why, sizeof why) != 0)
        return sotto_reach_fail("%s", why);
    if (f.broken_line != 0)
        return sotto_reach_fail("line %" PRIu64 " of %s/audit.log does not follow from the one "
                                "before: it, or that one, was changed, left out or cut off. "
                                "Compare with the log in a backup",
                                f.broken_line, folder.path);
    if (!f.wanted_seen)
        return sotto_reach_fail("no line of %s/audit.log has the hash %s: the log was cut off or "
                                "made anew since that was noted",
                                folder.path, wanted);
    printf("%" PRIu64 " actions, the chain is whole. Last hash, to be noted elsewhere: %s\n",
           f.lines, f.head);
    return fflush(stdout) == 0 ? 0 : 1;
}
