/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite_floor FILE COUNT BATCH [CPU]
 *
 * What SQLite alone can store: COUNT envelopes of 256 bytes, BATCH in a transaction, WAL with
 * synchronous=FULL, once as a row each (box, seq) and once as one row for each batch. Nothing else
 * happens: no network, no look-ups, no second index. CPU is kept awake meanwhile by one who asks
 * for events and gets none: where a sender polls beside the relay, the disk is faster too. Prints
 * two lines.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <sqlcipher/sqlite3.h>

#define ENVELOPE  256
#define BATCH_MAX 4096

static sqlite3 *db;
static atomic_bool over;

/* In a thread. ctx: an epoll set that is empty. */
static void *stay_awake(void *ctx)
{
    const int *nothing = ctx;
    struct epoll_event event;

    while (!over)
        (void)epoll_wait(*nothing, &event, 1, 0);
    return NULL;
}

static void keep_awake(long cpu, pthread_t *ret_thread)
{
    static int nothing;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if ((nothing = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
        pthread_create(ret_thread, NULL, stay_awake, &nothing) != 0 ||
        pthread_setaffinity_np(*ret_thread, sizeof set, &set) != 0) {
        fprintf(stderr, "sqlite_floor: CPU %ld cannot be kept awake\n", cpu);
        exit(1);
    }
}

static void die(const char *what)
{
    fprintf(stderr, "sqlite_floor: %s: %s\n", what, db != NULL ? sqlite3_errmsg(db) : "no memory");
    exit(1);
}

static void run(const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(sql);
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *s;

    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        die(sql);
    return s;
}

static void step(sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s) != SQLITE_OK)
        die("INSERT");
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage r;

    getrusage(RUSAGE_THREAD, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void open_fresh(const char *path)
{
    char other[4096];

    snprintf(other, sizeof other, "%s-wal", path);
    unlink(other);
    unlink(path);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        die(path);
    run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    run("CREATE TABLE envelope (box INTEGER NOT NULL, seq INTEGER NOT NULL, bytes BLOB NOT NULL,"
        " PRIMARY KEY (box, seq)) WITHOUT ROWID");
}

/* The first bytes differ, so that no two are alike. */
static void fill(uint8_t *bytes, size_t count, int64_t first)
{
    for (size_t i = 0; i < count; i++) {
        int64_t number = first + (int64_t)i;

        memset(bytes + i * ENVELOPE, (int)(i * 167), ENVELOPE);
        memcpy(bytes + i * ENVELOPE, &number, sizeof number);
    }
}

static void insert(sqlite3_stmt *s, int64_t seq, const uint8_t *bytes, size_t len)
{
    sqlite3_bind_int64(s, 1, 1);
    sqlite3_bind_int64(s, 2, seq);
    sqlite3_bind_blob64(s, 3, bytes, len, SQLITE_STATIC);
    step(s);
}

static void measure(const char *path, const char *name, long count, long batch, int packed)
{
    static uint8_t bytes[BATCH_MAX * ENVELOPE];
    sqlite3_stmt *begin, *commit, *put;
    double seconds, used;

    open_fresh(path);
    begin = prepare("BEGIN IMMEDIATE");
    commit = prepare("COMMIT");
    put = prepare("INSERT INTO envelope (box, seq, bytes) VALUES (?, ?, ?)");
    seconds = now();
    used = cpu();
    for (long at = 0; at < count; at += batch) {
        long n = count - at < batch ? count - at : batch;

        fill(bytes, (size_t)n, at);
        step(begin);
        if (packed)
            insert(put, at, bytes, (size_t)n * ENVELOPE);
        for (long i = 0; i < n && !packed; i++)
            insert(put, at + i, bytes + i * ENVELOPE, ENVELOPE);
        step(commit);
    }
    seconds = now() - seconds;
    used = cpu() - used;
    printf("work=floor peer=%s count=%ld batch=%ld store_per_s=%.0f cpu_s_per_M=%.2f\n", name,
           count, batch, (double)count / seconds, used / (double)count * 1e6);
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
    sqlite3_finalize(put);
    sqlite3_close(db);
    db = NULL;
}

int main(int argc, char **argv)
{
    long count = argc >= 4 ? strtol(argv[2], NULL, 10) : 0;
    long batch = argc >= 4 ? strtol(argv[3], NULL, 10) : 0;
    pthread_t awake;

    if (argc > 5 || count < 1 || batch < 1 || batch > BATCH_MAX) {
        fprintf(stderr, "usage: sqlite_floor FILE COUNT BATCH (at most %d) [CPU]\n", BATCH_MAX);
        return 2;
    }
    if (argc == 5)
        keep_awake(strtol(argv[4], NULL, 10), &awake);
    measure(argv[1], "sqlite-rows", count, batch, 0);
    measure(argv[1], "sqlite-packed", count, batch, 1);
    over = true;
    if (argc == 5)
        pthread_join(awake, NULL);
    return 0;
}
