/* SPDX-License-Identifier: Apache-2.0 */
/* Where every byte is: the files of the folder, the parts of the database, what waits for whom. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/operator/command.h"
#include "run/operator/reach.h"

#define NAMES_SHOWN 10

struct files {
    uint64_t database, wal, shm, certificate, audit, lock, other, other_count;
};

static void count_file(struct files *f, const char *name, uint64_t bytes)
{
    if (strcmp(name, "relay.db") == 0)
        f->database = bytes;
    else if (strcmp(name, "relay.db-wal") == 0)
        f->wal = bytes;
    else if (strcmp(name, "relay.db-shm") == 0)
        f->shm = bytes;
    else if (strcmp(name, "audit.log") == 0)
        f->audit = bytes;
    else if (strcmp(name, "lock") == 0)
        f->lock = bytes;
    else if (bytes > 0)
        f->other += bytes, f->other_count++;
}

/* false: errno says why. Folders below are counted whole: cert/, and what a restore put aside. */
static bool count_folder(struct files *f, const char *path, uint64_t *sum, int depth)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    if (d == NULL)
        return false;
    while ((entry = readdir(d)) != NULL) {
        char name[2048];
        struct stat st;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int)sizeof name ||
            lstat(name, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            uint64_t below = 0;

            if (depth < 4 && count_folder(NULL, name, &below, depth + 1) && f != NULL) {
                *(strcmp(entry->d_name, "cert") == 0 ? &f->certificate : &f->other) += below;
                f->other_count += strcmp(entry->d_name, "cert") != 0 && below > 0;
            }
            *sum += below;
        } else if (S_ISREG(st.st_mode)) {
            if (f != NULL)
                count_file(f, entry->d_name, (uint64_t)st.st_size);
            *sum += (uint64_t)st.st_size;
        }
    }
    closedir(d);
    return true;
}

static void line(const char *what, uint64_t bytes, const char *note)
{
    char size[SOTTO_REACH_SIZE];

    sotto_reach_size(bytes, size);
    printf("%-30s  %10s  %s\n", what, size, note);
}

static void print_database(const struct files *f, const struct sotto_rs_usage *u)
{
    uint64_t free_bytes = u->free_pages * u->page_bytes, known = free_bytes;
    char note[96];

    snprintf(note, sizeof note, "%" PRIu64 " pages of %" PRIu64 " bytes", u->pages, u->page_bytes);
    line("relay.db", f->database, note);
    for (size_t i = 0; i < u->part_count; i++) {
        char what[64];

        snprintf(what, sizeof what, "  %s", u->parts[i].what);
        snprintf(note, sizeof note, "%" PRIu64, u->parts[i].rows);
        line(what, u->parts[i].bytes, note);
        known += u->parts[i].bytes;
    }
    line("  free pages", free_bytes, "used again before the file grows");
    if (u->pages * u->page_bytes > known)
        line("  indexes, ends of pages", u->pages * u->page_bytes - known, "");
}

static int by_bytes(const void *a, const void *b)
{
    const struct sotto_tally *x = a, *y = b;

    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : 0;
}

static void print_waiting(struct sotto_tally *all, size_t count)
{
    uint64_t waiting = 0, bytes = 0;
    char note[96];

    for (size_t i = 0; i < count; i++)
        waiting += all[i].waiting, bytes += all[i].bytes;
    snprintf(note, sizeof note, "%" PRIu64 " messages", waiting);
    line("mail that waits", bytes, note);
    if (count > 0)
        qsort(all, count, sizeof *all, by_bytes);
    for (size_t i = 0; i < count && i < NAMES_SHOWN && all[i].waiting > 0; i++) {
        char what[64];

        snprintf(what, sizeof what, "  %s", all[i].account.name);
        snprintf(note, sizeof note, "%" PRIu64, all[i].waiting);
        line(what, all[i].bytes, note);
    }
    if (count > NAMES_SHOWN && all[NAMES_SHOWN].waiting > 0)
        printf("  (those with the most; sottod accounts has all)\n");
}

static void print_json(const struct files *f, const struct sotto_rs_usage *u, uint64_t total,
                       const struct sotto_tally *all, size_t count)
{
    uint64_t waiting = 0, bytes = 0;

    for (size_t i = 0; i < count; i++)
        waiting += all[i].waiting, bytes += all[i].bytes;
    printf("{\"total\":%" PRIu64 ",\"database\":%" PRIu64 ",\"wal\":%" PRIu64 ",\"shm\":%" PRIu64
           ",\"certificate\":%" PRIu64 ",\"audit_log\":%" PRIu64 ",\"lock\":%" PRIu64
           ",\"other\":%" PRIu64 ",\"free_bytes\":%" PRIu64 ",\"page_bytes\":%" PRIu64
           ",\"waiting\":%" PRIu64 ",\"waiting_bytes\":%" PRIu64 "}\n",
           total, f->database, f->wal, f->shm, f->certificate, f->audit, f->lock, f->other,
           u->free_pages * u->page_bytes, u->page_bytes, waiting, bytes);
}

static int print(struct sotto_reach *c, bool json)
{
    struct files f = {0};
    struct sotto_rs_usage u;
    struct sotto_tally *all = NULL;
    size_t count = 0;
    uint64_t total = 0;
    enum sotto_err e = sotto_rs_usage(c->store, &u);

    if (e != 0)
        return sotto_reach_fail("the store in %s cannot be read: %s", c->folder.path,
                                sotto_err_text(e));
    if (!count_folder(&f, c->folder.path, &total, 0))
        return sotto_reach_fail("%s cannot be read: %s", c->folder.path, strerror(errno));
    if (sotto_reach_tally(c, &all, &count) != 0)
        return sotto_reach_fail("%s", c->why);
    if (json) {
        print_json(&f, &u, total, all, count);
    } else {
        line(c->folder.path, total, "all files together");
        print_database(&f, &u);
        line("relay.db-wal", f.wal, "what was committed last; kept for the next");
        line("relay.db-shm", f.shm, "index of relay.db-wal");
        line("cert/", f.certificate, "");
        line("audit.log", f.audit, "");
        line("lock", f.lock, "which process has the folder");
        if (f.other_count > 0)
            line("other files", f.other, "put there by somebody, or put aside by a restore");
        print_waiting(all, count);
    }
    free(all);
    return 0;
}

int sotto_command_usage(const struct sotto_command_args *a)
{
    struct sotto_reach c;
    int code;

    if (sotto_reach_open(&c, a->o) != 0)
        return 1;
    code = print(&c, a->json);
    sotto_reach_close(&c);
    return fflush(stdout) == 0 ? code : 1;
}
