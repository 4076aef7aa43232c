/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a database whose commits are durable later, and how it gets into the database. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "db_case.h"
#include "faulty_vfs.h"

#define LOG_BYTES  (5 * 1024 * 1024)
#define FRAME      (4096 + 24)
#define DATA_BYTES 3000 /* a page of its own, and one that says where it is */

static int64_t next_id;

static int setup(void **state)
{
    next_id = 1;
    return db_setup(state);
}

static off_t size_of(const char *name)
{
    struct stat st;

    return stat(folder_file(&db_dir, name), &st) == 0 ? st.st_size : 0;
}

static struct sotto_db *open_later(const char *vfs)
{
    struct sotto_db *db = NULL;

    assert_int_equal(db_open_with(NULL, true, DB_STEPS, vfs, &db), 0);
    assert_int_equal(sotto_db_sync_later(db), 0);
    return db;
}

static void add_one(struct sotto_db *db)
{
    uint8_t data[DATA_BYTES];

    memset(data, (int)next_id, sizeof data);
    assert_int_equal(db_add(db, next_id++, data, sizeof data), 0);
}

static void add_until_long(struct sotto_db *db)
{
    while (!sotto_db_wants_checkpoint(db))
        add_one(db);
}

static void assert_all_there(struct sotto_db *db)
{
    assert_int_equal(db_count(db), next_id - 1);
    db_assert_sound(db);
}

static void *carry(void *ctx)
{
    assert_int_equal(sotto_db_checkpoint(ctx), 0);
    return NULL;
}

static void carried_in_a_thread(void **state)
{
    struct sotto_db *db = open_later(NULL);
    off_t before, log;

    assert_int_equal(sotto_db_write_ahead(db), 0);
    log = size_of("x.db-wal");
    assert_in_range(log, LOG_BYTES, LOG_BYTES + 65536);
    for (int round = 0; round < 6; round++) {
        pthread_t thread;

        add_until_long(db);
        assert_false(sotto_db_wants_checkpoint(db)); /* it says so once */
        before = size_of("x.db");
        assert_int_equal(pthread_create(&thread, NULL, carry, db), 0);
        for (int i = 0; i < 20; i++)
            add_one(db);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(sotto_db_checkpoint_rest(db), 0);
        assert_true(size_of("x.db") > before + 100 * DATA_BYTES);
    }
    /* Six times as much as it has room for, and it did not grow. */
    assert_int_equal(size_of("x.db-wal"), log);
    assert_all_there(db);
    sotto_db_close(db);
    assert_int_equal(size_of("x.db-wal"), 0);
}

static void nobody_carries_it(void **state)
{
    struct sotto_db *db = open_later(NULL);

    while (next_id <= 4000)
        add_one(db);
    assert_true(size_of("x.db-wal") > 2000 * FRAME);
    assert_true(size_of("x.db-wal") < 2010 * FRAME);
    assert_true(size_of("x.db") > 4000 * (off_t)DATA_BYTES / 2);
    assert_all_there(db);
    sotto_db_close(db);
}

/* The power fails: what is in both files is all that is left. */
static void power_fails(struct sotto_db *db, int64_t synced)
{
    struct sotto_db *left = NULL;
    char path[256];

    file_copy(db_path, folder_file(&db_dir, "left.db"));
    file_copy(folder_file(&db_dir, "x.db-wal"), folder_file(&db_dir, "left.db-wal"));
    snprintf(path, sizeof path, "%s", folder_file(&db_dir, "left.db"));
    assert_int_equal(
        sotto_db_open(path, NULL, false, db_steps, DB_STEPS, NULL, &left, db_why, sizeof db_why),
        0);
    assert_true(db_count(left) >= synced);
    db_assert_sound(left);
    sotto_db_close(left);
}

static void power_fails_while_it_is_carried(void **state)
{
    struct sotto_db *db = open_later(NULL);
    int64_t synced;

    assert_int_equal(sotto_db_write_ahead(db), 0);
    for (int round = 0; round < 3; round++) {
        add_until_long(db);
        assert_int_equal(sotto_db_sync(db), 0);
        synced = next_id - 1;
        power_fails(db, synced);
        assert_int_equal(sotto_db_checkpoint(db), 0);
        power_fails(db, synced);
        add_one(db);
        assert_int_equal(sotto_db_sync(db), 0);
        power_fails(db, ++synced);
        assert_int_equal(sotto_db_checkpoint_rest(db), 0);
        power_fails(db, synced);
        add_one(db); /* the log is begun anew */
        assert_int_equal(sotto_db_sync(db), 0);
        power_fails(db, ++synced);
    }
    sotto_db_close(db);
}

/* Carrying over fails at one write or sync and then the other: nothing is lost, and it is done the
 * next time. */
static void the_disk_fails_while_it_is_carried(void **state)
{
    struct sotto_db *db = open_later("faulty");
    int failed = 0, done = 0;

    add_until_long(db);
    for (long at = 0; done < 2; at += 13) {
        faulty.left = at;
        faulty.result = SQLITE_IOERR_WRITE;
        faulty.failures = 0;
        if (sotto_db_checkpoint(db) != 0)
            failed += faulty.failures > 0;
        else
            done++;
        faulty.left = -1;
        add_one(db);
        assert_all_there(db);
    }
    assert_true(failed > 5);
    assert_int_equal(sotto_db_checkpoint_rest(db), 0);
    sotto_db_close(db);
    db = db_open_ok(NULL);
    assert_all_there(db);
    sotto_db_close(db);
}

static struct sotto_db *busy;

static void add_to_busy(void)
{
    add_one(busy);
}

/* Commits go on: SQLite leaves the sync of what was carried to who carries the rest, which would be
 * the loop. */
static void synced_by_who_carries(void **state)
{
    long rest;

    busy = open_later("faulty");
    assert_int_equal(sotto_db_write_ahead(busy), 0);
    add_until_long(busy);
    faulty.meanwhile = add_to_busy;
    assert_int_equal(sotto_db_checkpoint(busy), 0);
    assert_null(faulty.meanwhile);
    assert_int_equal(faulty.unsynced, 0);
    rest = faulty.calls;
    assert_int_equal(sotto_db_checkpoint_rest(busy), 0);
    assert_in_range(faulty.calls - rest, 1, 10);
    assert_int_equal(faulty.unsynced, 0);
    assert_all_there(busy);
    sotto_db_close(busy);
}

static void only_after_sync_later(void **state)
{
    struct sotto_db *db = db_open_ok(NULL);

    assert_false(sotto_db_wants_checkpoint(db));
    assert_int_equal(sotto_db_checkpoint(db), SOTTO_ERR_USAGE);
    assert_int_equal(sotto_db_write_ahead(db), SOTTO_ERR_USAGE);
    sotto_db_close(db);
}

static void not_where_it_is_encrypted(void **state)
{
    struct sotto_db *db = db_open_ok(&db_key);

    assert_int_equal(sotto_db_sync_later(db), SOTTO_ERR_USAGE);
    sotto_db_close(db);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, db_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(carried_in_a_thread),
        CASE(nobody_carries_it),
        CASE(power_fails_while_it_is_carried),
        CASE(the_disk_fails_while_it_is_carried),
        CASE(synced_by_who_carries),
        CASE(only_after_sync_later),
        CASE(not_where_it_is_encrypted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
