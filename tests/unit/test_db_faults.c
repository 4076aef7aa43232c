/* SPDX-License-Identifier: Apache-2.0 */
/* store/db on a disk that fails, without memory, and killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "db_case.h"
#include "faulty_vfs.h"

/* --- a disk that fails --- */

/* Three transactions of a few pages each; counts the ones that were said to be committed. */
static enum sotto_err scenario(struct sotto_db *db, int *ret_committed)
{
    static uint8_t data[9000];
    enum sotto_err e;

    *ret_committed = 0;
    for (int64_t t = 0; t < 3; t++) {
        if ((e = sotto_db_begin(db)) != 0)
            return e;
        for (int64_t i = 1; i <= 4 && e == SOTTO_OK; i++)
            e = db_add(db, t * 10 + i, data, sizeof data);
        if (e != SOTTO_OK) {
            sotto_db_rollback(db);
            return e;
        }
        if ((e = sotto_db_commit(db)) != 0)
            return e;
        (*ret_committed)++;
    }
    return SOTTO_OK;
}

struct fault {
    int result;
    bool stays, only_sync;
    enum sotto_err want;
};
static const struct fault faults[] = {
    {SQLITE_FULL, true, false, SOTTO_ERR_FULL},
    {SQLITE_FULL, false, false, SOTTO_ERR_FULL},
    {SQLITE_IOERR_WRITE, true, false, SOTTO_ERR_IO},
    {SQLITE_IOERR_FSYNC, false, true, SOTTO_ERR_IO},
    {SQLITE_IOERR_FSYNC, true, true, SOTTO_ERR_IO},
};

static void faulty_set(const struct fault *f, long left)
{
    faulty.left = left;
    faulty.result = f->result;
    faulty.stays = f->stays;
    faulty.only_sync = f->only_sync;
    faulty.failures = 0;
}

/* For each fault and each write it can hit: an error that says so, no half transaction, nothing
 * lost that was committed, and the same connection works again afterwards. */
static void failing_disk_loses_nothing_committed(void **state)
{
    for (size_t k = 0; k < sizeof faults / sizeof faults[0]; k++) {
        long tried = 0;

        for (long n = 0;; n++) {
            struct sotto_db *db = NULL;
            enum sotto_err e;
            int committed, more;

            assert_int_equal(db_open_with(&db_key, true, DB_STEPS, "faulty", &db), 0);
            faulty_set(&faults[k], n);
            e = scenario(db, &committed);
            tried = n;
            if (faulty.failures == 0) {
                assert_int_equal(e, 0);
                faulty_reset();
                sotto_db_close(db);
                (void)unlink(db_path);
                break;
            }
            faulty_reset();
            assert_int_equal(e, faults[k].want);
            assert_int_equal(db_count(db), committed * 4);
            db_assert_sound(db);
            assert_int_equal(sotto_db_run(db, "DELETE FROM a", ""), 0);
            assert_int_equal(scenario(db, &more), 0);
            sotto_db_close(db);
            db = db_open_ok(&db_key);
            assert_int_equal(db_count(db), 12);
            db_assert_sound(db);
            sotto_db_close(db);
            (void)unlink(db_path);
        }
        assert_true(tried >= 3);
    }
    assert_true(db_locals > 0);
}

/* A process that goes away right after the failure: reopened, the committed part is there. */
static void failing_disk_then_reopened(void **state)
{
    for (size_t k = 0; k < sizeof faults / sizeof faults[0]; k++) {
        for (long n = 0;; n++) {
            struct sotto_db *db = NULL;
            enum sotto_err e;
            int committed, failures;
            int64_t rows;

            assert_int_equal(db_open_with(&db_key, true, DB_STEPS, "faulty", &db), 0);
            faulty_set(&faults[k], n);
            e = scenario(db, &committed);
            failures = faulty.failures;
            sotto_db_close(db); /* the disk fails still */
            faulty_reset();
            db = db_open_ok(&db_key);
            db_assert_sound(db);
            rows = db_count(db);
            /* A commit whose fsync failed may be there or not, but whole. */
            assert_true(rows == committed * 4 || (e != SOTTO_OK && rows == committed * 4 + 4));
            sotto_db_close(db);
            (void)unlink(db_path);
            if (failures == 0)
                break;
        }
    }
}

/* SQLite gives up the whole transaction when the disk is full. Whoever goes on regardless must not
 * end up with the second half alone. */
static void given_up_transaction_stays_given_up(void **state)
{
    static uint8_t data[40 * 1024];
    struct sotto_db *db = NULL;
    struct sotto_rows rows;
    enum sotto_err e = SOTTO_OK;
    int64_t id = 0;

    assert_int_equal(db_open_with(&db_key, true, DB_STEPS, "faulty", &db), 0);
    assert_int_equal(db_number(db, "PRAGMA max_page_count=64"), 64);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    while (e == SOTTO_OK && id < 100)
        e = db_add(db, ++id, data, sizeof data);
    assert_int_equal(e, SOTTO_ERR_FULL);
    if (sotto_db_run(db, "DELETE FROM a WHERE id = 1", "") == SOTTO_ERR_FULL) {
        /* given up as a whole: every call says so */
        assert_int_equal(sotto_db_query(db, &rows, "SELECT 1", ""), SOTTO_ERR_FULL);
        sotto_rows_done(&rows);
        assert_int_equal(sotto_db_begin(db), SOTTO_ERR_FULL);
        assert_int_equal(sotto_db_commit(db), SOTTO_ERR_FULL);
        assert_int_equal(sotto_db_commit(db), SOTTO_ERR_FULL);
    } else {
        sotto_db_rollback(db);
        sotto_db_rollback(db);
    }
    assert_int_equal(db_count(db), 0);
    assert_int_equal(db_add(db, 1, "", 0), 0);
    assert_int_equal(db_count(db), 1);
    sotto_db_close(db);
}

static void lost_transaction_by_write_error(void **state)
{
    static uint8_t data[1000];
    struct sotto_db *db = NULL;
    enum sotto_err e = SOTTO_OK;
    int64_t id = 0;

    /* A tiny cache makes SQLite write in the middle of the transaction. */
    assert_int_equal(db_open_with(&db_key, true, DB_STEPS, "faulty", &db), 0);
    assert_int_equal(sotto_db_run(db, "PRAGMA cache_size=10", ""), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    faulty.left = 0;
    faulty.result = SQLITE_IOERR_WRITE;
    while (e == SOTTO_OK && id < 1000)
        e = db_add(db, ++id, data, sizeof data);
    assert_int_equal(e, SOTTO_ERR_IO);
    assert_int_equal(faulty.failures, 1);
    /* The disk works again, but the transaction does not come back. */
    assert_int_equal(db_add(db, 2000, data, 1), SOTTO_ERR_IO);
    assert_int_equal(sotto_db_commit(db), SOTTO_ERR_IO);
    assert_int_equal(db_add(db, 2001, data, 1), SOTTO_ERR_IO);
    assert_int_equal(sotto_db_commit(db), SOTTO_ERR_IO);
    assert_int_equal(db_count(db), 0);
    assert_int_equal(db_add(db, 1, data, 1), 0);
    assert_int_equal(db_count(db), 1);
    assert_int_equal(db_locals, 1);
    sotto_db_close(db);
}

static void damaged_page_is_an_error(void **state)
{
    static uint8_t data[3000];
    const size_t page = 4096;
    size_t n;
    uint8_t *whole;

    for (int plain = 0; plain < 2; plain++) {
        const struct sotto_secret32 *k = plain ? NULL : &db_key;
        struct sotto_db *db = db_open_ok(k);
        size_t seen = 0;

        for (int64_t i = 1; i <= 40; i++)
            assert_int_equal(db_add(db, i, data, sizeof data), 0);
        sotto_db_close(db);
        whole = file_read(db_path, &n);
        for (size_t at = page + 100; at < n; at += page) {
            struct sotto_rows rows;
            enum sotto_err e;

            file_write(db_path, whole, n);
            file_flip(db_path, at, 0x10);
            assert_int_equal(db_open_with(k, false, DB_STEPS, NULL, &db), 0);
            e = sotto_db_query(db, &rows, "SELECT data FROM a ORDER BY id", "");
            while (e == SOTTO_OK)
                e = sotto_rows_next(&rows);
            assert_true(e == SOTTO_ERR_NOT_FOUND || e == SOTTO_ERR_IO);
            seen += e == SOTTO_ERR_IO;
            sotto_rows_done(&rows);
            sotto_db_close(db);
        }
        if (!plain) /* every page of the table has its HMAC */
            assert_true(seen >= 20);
        free(whole);
        (void)unlink(db_path);
    }
    assert_true(db_locals > 0);
}

/* A full disk at each write of a migration: old schema or new one, never in between. */
static void full_disk_while_migrating(void **state)
{
    long n;

    for (n = 0;; n++) {
        struct sotto_db *db = NULL;
        enum sotto_err e;
        int failures;
        int64_t version;

        assert_int_equal(db_open_with(&db_key, true, 1, NULL, &db), 0);
        assert_int_equal(db_add(db, 1, "x", 1), 0);
        sotto_db_close(db);
        faulty.left = n;
        faulty.result = SQLITE_FULL;
        faulty.stays = true;
        db = NULL;
        e = db_open_with(&db_key, false, 2, "faulty", &db);
        failures = faulty.failures;
        if (failures > 0) {
            assert_int_equal(e, SOTTO_ERR_FULL);
            assert_non_null(strstr(db_why, "no room"));
        }
        sotto_db_close(db);
        faulty_reset();
        assert_int_equal(db_open_with(&db_key, false, 2, NULL, &db), 0);
        version = db_number(db, "PRAGMA user_version");
        assert_int_equal(version, 2);
        assert_int_equal(db_count(db), 1);
        db_assert_sound(db);
        sotto_db_close(db);
        (void)unlink(db_path);
        if (failures == 0)
            break;
    }
    assert_true(n >= 2);
}
/* --- without memory --- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

#ifndef SANITIZED
/* Take the place of the C library's in this program: one allocation fails, wherever it is made. */
static long allocations_left = -1;
static int allocations_failed;

static bool allocation_fails(void)
{
    if (allocations_left < 0 || allocations_left-- > 0)
        return false;
    allocations_failed++;
    return true;
}

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
__attribute__((visibility("default"))) void *malloc(size_t n)
{
    return allocation_fails() ? NULL : __libc_malloc(n);
}
__attribute__((visibility("default"))) void *calloc(size_t count, size_t n)
{
    return allocation_fails() ? NULL : __libc_calloc(count, n);
}

static enum sotto_err use_it(const struct sotto_secret32 *k, bool *ret_committed)
{
    struct sotto_db *db = NULL;
    struct sotto_rows rows;
    enum sotto_err e = db_open_with(k, true, DB_STEPS, NULL, &db);

    *ret_committed = false;
    if (e != SOTTO_OK) {
        assert_null(db);
        return e;
    }
    if ((e = sotto_db_begin(db)) == SOTTO_OK) {
        for (int64_t i = 1; i <= 3 && e == SOTTO_OK; i++)
            e = db_add(db, i, "data", 4);
        if (e == SOTTO_OK) {
            e = sotto_db_commit(db);
            *ret_committed = e == SOTTO_OK;
        } else {
            sotto_db_rollback(db);
        }
    }
    if (e == SOTTO_OK &&
        (e = sotto_db_query(db, &rows, "SELECT data FROM a ORDER BY data", "")) == 0) {
        e = sotto_rows_next(&rows);
        sotto_rows_done(&rows);
    }
    sotto_db_close(db);
    return e;
}

static bool three_more(struct sotto_db *db, int64_t from)
{
    bool good = sotto_db_begin(db) == SOTTO_OK;

    for (int64_t i = from; good && i < from + 3; i++)
        good = db_add(db, i, DB_MARKER, sizeof DB_MARKER) == SOTTO_OK;
    if (good)
        return sotto_db_commit(db) == SOTTO_OK;
    sotto_db_rollback(db);
    return false;
}

/* Each allocation of a transaction fails once, in SQLCipher's cipher too, after which a connection
 * is of no use: what was reported is what is there, and the next transaction works. */
static void failing_memory_then_as_before(void **state)
{
    const struct sotto_secret32 *keys[] = {&db_key, NULL};

    for (size_t k = 0; k < 2; k++) {
        allocations_failed = 1;
        for (long n = 0; allocations_failed > 0; n++) {
            struct sotto_db *db = db_open_ok(keys[k]);
            bool good;

            assert_true(three_more(db, 100));
            allocations_failed = 0;
            allocations_left = n;
            good = three_more(db, 200);
            allocations_left = -1;
            assert_true(good || allocations_failed > 0);
            assert_int_equal(db_count(db), good ? 6 : 3);
            assert_true(three_more(db, 300));
            db_assert_sound(db);
            sotto_db_close(db);
            db = db_open_ok(keys[k]);
            assert_int_equal(db_count(db), good ? 9 : 6);
            sotto_db_close(db);
            (void)unlink(db_path);
            assert_true(allocations_failed > 0 || n > 5 || keys[k] == NULL);
        }
    }
}

/* Each allocation fails once, from opening to closing: an error, nothing half done, no crash. */
static void failing_memory_is_an_error(void **state)
{
    for (int plain = 0; plain < 2; plain++) {
        const struct sotto_secret32 *k = plain ? NULL : &db_key;
        int failed = 1;

        for (long n = 0; failed > 0; n++) {
            bool committed;
            struct sotto_db *db;
            enum sotto_err e;

            allocations_failed = 0;
            allocations_left = n;
            e = use_it(k, &committed);
            allocations_left = -1;
            failed = allocations_failed;
            if (e != SOTTO_OK)
                assert_true(e == SOTTO_ERR_NOMEM || e == SOTTO_ERR_IO);
            db = db_open_ok(k);
            assert_int_equal(db_count(db), committed ? 3 : 0);
            db_assert_sound(db);
            sotto_db_close(db);
            (void)unlink(db_path);
            if (failed == 0)
                assert_true(n > 50 && e == SOTTO_OK);
        }
    }
}
#endif

/* --- a process that is killed --- */

static void kill_loses_nothing_committed(void **state)
{
    static uint8_t data[500];

    for (int round = 0; round < 5; round++) {
        int fd[2], status;
        int64_t last = 0, got;
        struct sotto_db *db;
        pid_t pid;

        assert_int_equal(pipe(fd), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct sotto_db *mine = NULL;

            if (db_open_with(&db_key, true, DB_STEPS, NULL, &mine) != SOTTO_OK)
                _exit(1);
            for (int64_t i = 1;; i++) {
                if (sotto_db_begin(mine) != SOTTO_OK ||
                    db_add(mine, 2 * i, data, sizeof data) != SOTTO_OK ||
                    db_add(mine, 2 * i + 1, data, sizeof data) != SOTTO_OK ||
                    sotto_db_commit(mine) != SOTTO_OK || write(fd[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
        }
        close(fd[1]);
        while (last < 20 + 37 * round) {
            assert_int_equal(read(fd[0], &got, sizeof got), sizeof got);
            last = got;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(fd[0], &got, sizeof got) == sizeof got)
            last = got;
        close(fd[0]);
        db = db_open_ok(&db_key);
        db_assert_sound(db);
        assert_true(db_count(db) == 2 * last || db_count(db) == 2 * last + 2);
        sotto_db_close(db);
        (void)unlink(db_path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_CASE(failing_disk_loses_nothing_committed),
        DB_CASE(failing_disk_then_reopened),
        DB_CASE(given_up_transaction_stays_given_up),
        DB_CASE(lost_transaction_by_write_error),
        DB_CASE(damaged_page_is_an_error),
        DB_CASE(full_disk_while_migrating),
#ifndef SANITIZED
        DB_CASE(failing_memory_is_an_error),
        DB_CASE(failing_memory_then_as_before),
#endif
        DB_CASE(kill_loses_nothing_committed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
