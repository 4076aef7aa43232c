/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"

#include <fcntl.h>
#include <malloc.h>
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

#include "base/log.h"
#include "faulty_vfs.h"
#include "folder.h"

#define MARKER "the heron stands in the cold water"

static const struct sotto_secret32 key = {.b = "a key of exactly thirty-two byte"};
static const struct sotto_secret32 other_key = {.b = "another one of thirty-two bytes."};
static const struct sotto_migration steps[] = {
    {"CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, data BLOB) STRICT;"},
    {"CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id)) STRICT;"
     "CREATE INDEX b_a ON b(a)"},
};
enum { STEPS = 2 };

static struct folder dir;
static const char *path;
static char why[512];

/* --- what was logged --- */

static int bugs, locals;

static void count_log(void *ctx, enum sotto_log_level level, const char *line)
{
    bugs += level == SOTTO_LOG_BUG;
    locals += level == SOTTO_LOG_LOCAL;
    assert_null(strstr(line, MARKER));
}

static int setup(void **state)
{
    static char file[256];

    folder_make(&dir);
    snprintf(file, sizeof file, "%s", folder_file(&dir, "x.db"));
    path = file;
    (void)umask(077); /* a given VFS makes its files as SQLite does */
    faulty_reset();
    bugs = locals = 0;
    sotto_log_set(count_log, NULL, SOTTO_LOG_DEBUG);
    return 0;
}

static int teardown(void **state)
{
    sotto_log_set(NULL, NULL, SOTTO_LOG_BUG);
    folder_remove(&dir);
    assert_int_equal(bugs, 0); /* a case that provokes one takes it back */
    return 0;
}

static enum sotto_err open_with(const struct sotto_secret32 *k, bool create, size_t count,
                                const char *vfs, struct sotto_db **ret)
{
    memset(why, 0, sizeof why);
    return sotto_db_open(path, k, create, steps, count, vfs, ret, why, sizeof why);
}

static struct sotto_db *open_ok(const struct sotto_secret32 *k)
{
    struct sotto_db *db = NULL;

    assert_int_equal(open_with(k, true, STEPS, NULL, &db), 0);
    assert_non_null(db);
    return db;
}

static int64_t number(struct sotto_db *db, const char *sql)
{
    struct sotto_rows rows;
    int64_t n;

    assert_int_equal(sotto_db_query(db, &rows, sql, ""), 0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    n = sotto_rows_int(&rows, 0);
    sotto_rows_done(&rows);
    return n;
}

static int64_t count_a(struct sotto_db *db)
{
    return number(db, "SELECT count(*) FROM a");
}

static enum sotto_err add(struct sotto_db *db, int64_t id, const void *data, size_t len)
{
    char name[32];

    snprintf(name, sizeof name, "n%lld", (long long)id);
    return sotto_db_run(db, "INSERT INTO a(id, name, data) VALUES(?, ?, ?)", "isb", id, name, data,
                        len);
}

static void assert_sound(struct sotto_db *db)
{
    struct sotto_rows rows;

    assert_int_equal(sotto_db_query(db, &rows, "PRAGMA integrity_check", ""), 0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    assert_string_equal(sotto_rows_text(&rows, 0), "ok");
    sotto_rows_done(&rows);
}

/* --- opening --- */

static void settings_are_as_promised(void **state)
{
    static const struct {
        const char *sql;
        int64_t want;
    } cases[] = {
        {"PRAGMA synchronous", 2},         {"PRAGMA foreign_keys", 1},
        {"PRAGMA secure_delete", 1},       {"PRAGMA temp_store", 2},
        {"PRAGMA cache_size", -16 * 1024}, {"PRAGMA user_version", STEPS},
        {"PRAGMA trusted_schema", 0},
    };
    struct sotto_db *db = open_ok(&key);
    struct sotto_rows rows;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(number(db, cases[i].sql), cases[i].want);
    assert_int_equal(sotto_db_query(db, &rows, "PRAGMA journal_mode", ""), 0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    assert_string_equal(sotto_rows_text(&rows, 0), "wal");
    sotto_rows_done(&rows);
    sotto_db_close(db);
    sotto_db_close(NULL);
}

static void files_are_private(void **state)
{
    mode_t before = umask(0);
    struct sotto_db *db = open_ok(&key);

    assert_int_equal(add(db, 1, "x", 1), 0);
    umask(before);
    assert_int_equal(file_mode(path), 0600);
    assert_int_equal(file_mode(folder_file(&dir, "x.db-wal")), 0600);
    assert_int_equal(file_mode(folder_file(&dir, "x.db-shm")), 0600);
    sotto_db_close(db);
    assert_int_equal(folder_count(&dir), 1); /* checkpointed into one file */
    chmod(path, 0640);
    assert_int_equal(open_with(&key, true, STEPS, NULL, &db), SOTTO_ERR_DENIED);
    assert_non_null(strstr(why, "chmod 600"));
}

/* Each way to be refused: the code, a line for people, and not a byte changed. */
static void wrong_files_are_refused(void **state)
{
    static uint8_t noise[3 * 4096];
    static const struct {
        int made; /* 0 nothing, 1 encrypted, 2 plain, 3 noise, 4 empty, 5 noise shorter than a page
                   */
        const struct sotto_secret32 *k;
        bool create;
        enum sotto_err want;
    } cases[] = {
        {0, &key, false, SOTTO_ERR_NOT_FOUND},     {0, NULL, false, SOTTO_ERR_NOT_FOUND},
        {1, &other_key, false, SOTTO_ERR_BAD_TAG}, {1, &other_key, true, SOTTO_ERR_BAD_TAG},
        {1, NULL, true, SOTTO_ERR_BAD_TAG},        {2, &key, true, SOTTO_ERR_BAD_TAG},
        {3, &key, true, SOTTO_ERR_BAD_TAG},        {3, NULL, true, SOTTO_ERR_BAD_TAG},
        {4, &key, false, SOTTO_ERR_NOT_FOUND},     {4, NULL, false, SOTTO_ERR_NOT_FOUND},
        {5, &key, true, SOTTO_ERR_BAD_TAG},        {5, NULL, true, SOTTO_ERR_BAD_TAG},
    };

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 131 + (i >> 8) * 7 + 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_db *db = NULL;
        uint8_t *before = NULL, *after;
        size_t n = 0, m;

        (void)unlink(path);
        if (cases[i].made == 1 || cases[i].made == 2)
            sotto_db_close(open_ok(cases[i].made == 1 ? &key : NULL));
        else if (cases[i].made >= 3)
            file_write(path, noise,
                       cases[i].made == 3   ? sizeof noise
                       : cases[i].made == 4 ? 0
                                            : 700);
        if (cases[i].made != 0)
            before = file_read(path, &n);
        for (int k = 0; k < 2; k++) { /* by the system's VFS and by a given one */
            assert_int_equal(
                open_with(cases[i].k, cases[i].create, STEPS, k ? "faulty" : NULL, &db),
                cases[i].want);
            assert_null(db);
            assert_non_null(strstr(why, path));
        }
        assert_int_equal(file_exists(path), cases[i].made != 0);
        if (cases[i].made != 0) {
            after = file_read(path, &m);
            assert_int_equal(n, m);
            assert_memory_equal(before, after, n);
            free(before);
            free(after);
        }
    }
    assert_int_equal(locals, 0); /* the caller says it */
}

static void open_in_unfit_places(void **state)
{
    static const struct {
        const char *name;
        bool create;
        enum sotto_err want;
    } cases[] = {
        {"none/x.db", true, SOTTO_ERR_IO},
        {"none/x.db", false, SOTTO_ERR_NOT_FOUND},
        {"file/x.db", true, SOTTO_ERR_NOT_FOUND},
        {"folder", true, SOTTO_ERR_IO},
    };

    file_write(folder_file(&dir, "file"), "", 0);
    assert_int_equal(mkdir(folder_file(&dir, "folder"), 0700), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_db *db = NULL;
        enum sotto_err e;

        memset(why, 0, sizeof why);
        e = sotto_db_open(folder_file(&dir, cases[i].name), &key, cases[i].create, steps, STEPS,
                          NULL, &db, why, sizeof why);
        assert_int_equal(e, cases[i].want);
        assert_null(db);
        assert_true(strlen(why) > 0);
    }
    /* No room for the line, or none wanted. */
    {
        struct sotto_db *db = NULL;
        char small[8];

        assert_int_equal(sotto_db_open(path, &key, false, steps, STEPS, NULL, &db, NULL, 0),
                         SOTTO_ERR_NOT_FOUND);
        assert_int_equal(
            sotto_db_open(path, &key, false, steps, STEPS, NULL, &db, small, sizeof small),
            SOTTO_ERR_NOT_FOUND);
        assert_int_equal(strlen(small), sizeof small - 1);
        assert_int_equal(sotto_db_open(path, &key, true, steps, STEPS, "no such vfs", &db, NULL, 0),
                         SOTTO_ERR_USAGE);
    }
    assert_int_equal(rmdir(folder_file(&dir, "folder")), 0);
}

/* SQLCipher writes to stderr by default; a wrong passphrase must not. */
static void wrong_key_prints_nothing(void **state)
{
    const char *out = folder_file(&dir, "stderr");
    struct sotto_db *db = open_ok(&key);
    int saved, fd;
    uint8_t *text;
    size_t n;
    enum sotto_err e;

    sotto_db_close(db);
    fflush(stderr);
    saved = dup(2);
    fd = open(out, O_CREAT | O_RDWR, 0600);
    assert_true(saved >= 0 && fd >= 0 && dup2(fd, 2) == 2);
    e = open_with(&other_key, false, STEPS, NULL, &db);
    fflush(stderr);
    assert_int_equal(dup2(saved, 2), 2);
    close(saved);
    close(fd);
    assert_int_equal(e, SOTTO_ERR_BAD_TAG);
    text = file_read(out, &n);
    assert_int_equal(n, 0);
    free(text);
}

/* --- statements --- */

static void every_type_comes_back(void **state)
{
    static uint8_t big[100000];
    struct sotto_db *db = open_ok(&key);
    struct sotto_rows rows;
    struct sotto_bytes b;
    uint8_t four[4];

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7);
    assert_int_equal(sotto_db_query(db, &rows, "SELECT ?, ?, ?, ?, ?, ?, ?, ?", "iubsnbsb",
                                    INT64_MIN, UINT64_MAX, (const void *)big, sizeof big,
                                    "gr\xc3\xbc\xc3\x9f", (const void *)NULL, (size_t)0,
                                    (const char *)NULL, (const void *)"four", (size_t)4),
                     0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    assert_true(sotto_rows_int(&rows, 0) == INT64_MIN);
    assert_true(sotto_rows_uint(&rows, 1) == UINT64_MAX);
    b = sotto_rows_blob(&rows, 2);
    assert_int_equal(b.n, sizeof big);
    assert_memory_equal(b.p, big, sizeof big);
    assert_string_equal(sotto_rows_text(&rows, 3), "gr\xc3\xbc\xc3\x9f");
    assert_true(sotto_rows_is_null(&rows, 4));
    assert_false(sotto_rows_is_null(&rows, 5)); /* an empty blob is not NULL */
    assert_int_equal(sotto_rows_blob(&rows, 5).n, 0);
    assert_true(sotto_rows_is_null(&rows, 6));
    assert_string_equal(sotto_rows_text(&rows, 6), "");
    assert_int_equal(sotto_rows_copy(&rows, 7, four, 4), 0);
    assert_memory_equal(four, "four", 4);
    assert_int_equal(sotto_rows_copy(&rows, 7, four, 3), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_rows_copy(&rows, 6, four, 1), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_rows_copy(&rows, 5, four, 0), 0);
    assert_int_equal(sotto_rows_next(&rows), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rows_next(&rows), SOTTO_ERR_USAGE); /* does not begin anew */
    sotto_rows_done(&rows);
    sotto_rows_done(&rows);
    sotto_db_close(db);
}

static void run_says_what_happened(void **state)
{
    struct sotto_db *db = open_ok(&key);

    assert_int_equal(add(db, 7, "x", 1), 0);
    assert_int_equal(sotto_db_last_id(db), 7);
    assert_int_equal(add(db, 8, "y", 1), 0);
    assert_int_equal(sotto_db_run(db, "UPDATE a SET data = ? WHERE id > 0", "n"), 0);
    assert_int_equal(sotto_db_changes(db), 2);
    assert_int_equal(add(db, 7, "x", 1), SOTTO_ERR_EXISTS);
    assert_int_equal(sotto_db_run(db, "INSERT INTO a(name) VALUES(?)", "s", "n7"),
                     SOTTO_ERR_EXISTS);
    assert_int_equal(sotto_db_run(db, "UPDATE a SET id = 7 WHERE id = 8", ""), SOTTO_ERR_EXISTS);
    assert_int_equal(bugs + locals, 0);
    /* Broken rules of our own are bugs and said so. */
    assert_int_equal(sotto_db_run(db, "INSERT INTO b(a) VALUES(99)", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "INSERT INTO a(name) VALUES(NULL)", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "INSERT INTO nowhere VALUES(1)", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "DELETE FROM a WHERE id = ?", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "DELETE FROM a WHERE id = 7", "i", (int64_t)7),
                     SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "DELETE FROM a WHERE id = 8; DELETE FROM b", ""),
                     SOTTO_ERR_BUG);
    assert_int_equal(count_a(db), 2);
    assert_true(bugs >= 5);
    bugs = 0;
    sotto_db_close(db);
}

static void row_sets_of_one_text_do_not_mix(void **state)
{
    static const char sql[] = "SELECT id FROM a ORDER BY id";
    struct sotto_db *db = open_ok(&key);
    struct sotto_rows one, two;

    for (int64_t i = 1; i <= 3; i++)
        assert_int_equal(add(db, i, "", 0), 0);
    assert_int_equal(sotto_db_query(db, &one, sql, ""), 0);
    assert_int_equal(sotto_rows_next(&one), 0);
    assert_int_equal(sotto_db_query(db, &two, sql, ""), SOTTO_ERR_USAGE);
    assert_int_equal(sotto_rows_next(&two), SOTTO_ERR_USAGE);
    sotto_rows_done(&two); /* harmless after the error */
    assert_int_equal(sotto_db_query(db, &two, "SELECT max(id) FROM a", ""), 0);
    assert_int_equal(sotto_rows_next(&two), 0);
    assert_int_equal(sotto_rows_int(&two, 0), 3);
    sotto_rows_done(&two);
    for (int64_t i = 2; i <= 3; i++) {
        assert_int_equal(sotto_rows_next(&one), 0);
        assert_int_equal(sotto_rows_int(&one, 0), i);
    }
    assert_int_equal(sotto_rows_next(&one), SOTTO_ERR_NOT_FOUND);
    /* The end frees the text also when done was forgotten. */
    assert_int_equal(sotto_db_query(db, &two, sql, ""), 0);
    sotto_rows_done(&two);
    sotto_rows_done(&one);
    sotto_db_close(db);
}

static void statements_are_found_by_their_address(void **state)
{
    static char texts[1000][32];
    struct sotto_db *db = open_ok(&key);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            if (round == 0)
                snprintf(texts[i], sizeof texts[i], "SELECT %d", i);
            assert_int_equal(number(db, texts[i]), i);
        }
    }
    /* A text that is no literal must not run what stood there before. */
    snprintf(texts[5], sizeof texts[5], "DELETE FROM a");
    assert_int_equal(sotto_db_run(db, texts[5], ""), SOTTO_ERR_BUG);
    assert_int_equal(bugs, 1);
    bugs = 0;
    sotto_db_close(db);
}

/* --- transactions --- */

static void transactions_nest(void **state)
{
    struct sotto_db *db = open_ok(&key);

    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 1, "", 0), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 2, "", 0), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 3, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    sotto_db_rollback(db); /* takes 2 and 3 */
    assert_int_equal(count_a(db), 1);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 4, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    sotto_db_rollback(db); /* no level left: nothing happens */
    assert_int_equal(number(db, "SELECT sum(id) FROM a"), 5);
    /* The outermost rollback takes all. */
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 6, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    sotto_db_rollback(db);
    assert_int_equal(number(db, "SELECT sum(id) FROM a"), 5);
    assert_int_equal(sotto_db_commit(db), SOTTO_ERR_BUG);
    assert_int_equal(bugs, 1);
    bugs = 0;
    /* What was not committed at the close is gone. */
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 7, "", 0), 0);
    sotto_db_close(db);
    db = open_ok(&key);
    assert_int_equal(number(db, "SELECT sum(id) FROM a"), 5);
    sotto_db_close(db);
}

static void only_the_outermost_commit_is_seen(void **state)
{
    struct sotto_db *db = open_ok(&key), *reader = open_ok(&key);

    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(add(db, 1, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    assert_int_equal(count_a(reader), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    assert_int_equal(count_a(reader), 1);
    sotto_db_close(reader);
    sotto_db_close(db);
}

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
            e = add(db, t * 10 + i, data, sizeof data);
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

            assert_int_equal(open_with(&key, true, STEPS, "faulty", &db), 0);
            faulty_set(&faults[k], n);
            e = scenario(db, &committed);
            tried = n;
            if (faulty.failures == 0) {
                assert_int_equal(e, 0);
                faulty_reset();
                sotto_db_close(db);
                (void)unlink(path);
                break;
            }
            faulty_reset();
            assert_int_equal(e, faults[k].want);
            assert_int_equal(count_a(db), committed * 4);
            assert_sound(db);
            assert_int_equal(sotto_db_run(db, "DELETE FROM a", ""), 0);
            assert_int_equal(scenario(db, &more), 0);
            sotto_db_close(db);
            db = open_ok(&key);
            assert_int_equal(count_a(db), 12);
            assert_sound(db);
            sotto_db_close(db);
            (void)unlink(path);
        }
        assert_true(tried >= 3);
    }
    assert_true(locals > 0);
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

            assert_int_equal(open_with(&key, true, STEPS, "faulty", &db), 0);
            faulty_set(&faults[k], n);
            e = scenario(db, &committed);
            failures = faulty.failures;
            sotto_db_close(db); /* the disk fails still */
            faulty_reset();
            db = open_ok(&key);
            assert_sound(db);
            rows = count_a(db);
            /* A commit whose fsync failed may be there or not, but whole. */
            assert_true(rows == committed * 4 || (e != SOTTO_OK && rows == committed * 4 + 4));
            sotto_db_close(db);
            (void)unlink(path);
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

    assert_int_equal(open_with(&key, true, STEPS, "faulty", &db), 0);
    assert_int_equal(number(db, "PRAGMA max_page_count=64"), 64);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    while (e == SOTTO_OK && id < 100)
        e = add(db, ++id, data, sizeof data);
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
    assert_int_equal(count_a(db), 0);
    assert_int_equal(add(db, 1, "", 0), 0);
    assert_int_equal(count_a(db), 1);
    sotto_db_close(db);
}

static void lost_transaction_by_write_error(void **state)
{
    static uint8_t data[1000];
    struct sotto_db *db = NULL;
    enum sotto_err e = SOTTO_OK;
    int64_t id = 0;

    /* A tiny cache makes SQLite write in the middle of the transaction. */
    assert_int_equal(open_with(&key, true, STEPS, "faulty", &db), 0);
    assert_int_equal(sotto_db_run(db, "PRAGMA cache_size=10", ""), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    faulty.left = 0;
    faulty.result = SQLITE_IOERR_WRITE;
    while (e == SOTTO_OK && id < 1000)
        e = add(db, ++id, data, sizeof data);
    assert_int_equal(e, SOTTO_ERR_IO);
    assert_int_equal(faulty.failures, 1);
    /* The disk works again, but the transaction does not come back. */
    assert_int_equal(add(db, 2000, data, 1), SOTTO_ERR_IO);
    assert_int_equal(sotto_db_commit(db), SOTTO_ERR_IO);
    assert_int_equal(add(db, 2001, data, 1), SOTTO_ERR_IO);
    assert_int_equal(sotto_db_commit(db), SOTTO_ERR_IO);
    assert_int_equal(count_a(db), 0);
    assert_int_equal(add(db, 1, data, 1), 0);
    assert_int_equal(count_a(db), 1);
    assert_int_equal(locals, 1);
    sotto_db_close(db);
}

static void damaged_page_is_an_error(void **state)
{
    static uint8_t data[3000];
    const size_t page = 4096;
    size_t n;
    uint8_t *whole;

    for (int plain = 0; plain < 2; plain++) {
        const struct sotto_secret32 *k = plain ? NULL : &key;
        struct sotto_db *db = open_ok(k);
        size_t seen = 0;

        for (int64_t i = 1; i <= 40; i++)
            assert_int_equal(add(db, i, data, sizeof data), 0);
        sotto_db_close(db);
        whole = file_read(path, &n);
        for (size_t at = page + 100; at < n; at += page) {
            struct sotto_rows rows;
            enum sotto_err e;

            file_write(path, whole, n);
            file_flip(path, at, 0x10);
            assert_int_equal(open_with(k, false, STEPS, NULL, &db), 0);
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
        (void)unlink(path);
    }
    assert_true(locals > 0);
}

/* --- migrations --- */

static void older_schema_is_brought_up(void **state)
{
    struct sotto_db *db = NULL;

    assert_int_equal(open_with(&key, true, 1, NULL, &db), 0);
    assert_int_equal(add(db, 1, "kept", 4), 0);
    sotto_db_close(db);
    db = NULL;
    assert_int_equal(open_with(&key, false, 2, NULL, &db), 0);
    assert_int_equal(number(db, "PRAGMA user_version"), 2);
    assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(sotto_db_run(db, "INSERT INTO b(a) VALUES(1)", ""), 0);
    assert_int_equal(count_a(db), 1);
    sotto_db_close(db);
}

/* Also when its last transactions are in the WAL still. */
static void newer_schema_is_left_untouched(void **state)
{
    struct sotto_db *db, *old = NULL;
    uint8_t *before[2], *after[2];
    size_t n[2], m[2];

    db = open_ok(&key);
    assert_int_equal(add(db, 1, "x", 1), 0);
    file_copy(path, folder_file(&dir, "copy.db"));
    file_copy(folder_file(&dir, "x.db-wal"), folder_file(&dir, "copy.db-wal"));
    sotto_db_close(db);
    before[0] = file_read(folder_file(&dir, "copy.db"), &n[0]);
    before[1] = file_read(folder_file(&dir, "copy.db-wal"), &n[1]);
    assert_true(n[1] > 0);
    assert_int_equal(sotto_db_open(folder_file(&dir, "copy.db"), &key, true, steps, 1, NULL, &old,
                                   why, sizeof why),
                     SOTTO_ERR_NEWER);
    assert_null(old);
    assert_non_null(strstr(why, "newer version"));
    after[0] = file_read(folder_file(&dir, "copy.db"), &m[0]);
    after[1] = file_read(folder_file(&dir, "copy.db-wal"), &m[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(n[i], m[i]);
        assert_memory_equal(before[i], after[i], n[i]);
        free(before[i]);
        free(after[i]);
    }
    assert_int_equal(sotto_db_open(folder_file(&dir, "copy.db"), &key, true, steps, 2, NULL, &old,
                                   why, sizeof why),
                     0);
    assert_int_equal(count_a(old), 1);
    sotto_db_close(old);
}

static void failing_migration_changes_nothing(void **state)
{
    static const struct {
        const char *sql;
        const char *says;
    } cases[] = {
        {"CREATE TABLE c(x); INSERT INTO nowhere VALUES(1)", "nowhere"},
        {"CREATE TABLE c(x); INSERT INTO b(a) VALUES(77)", "references"},
    };
    struct sotto_db *db = open_ok(&key);

    assert_int_equal(add(db, 1, "x", 1), 0);
    sotto_db_close(db);
    for (size_t i = 0; i < 2; i++) {
        const struct sotto_migration more[] = {
            steps[0], steps[1], {"CREATE TABLE d(x)"}, {cases[i].sql}};

        db = NULL;
        assert_int_equal(sotto_db_open(path, &key, true, more, 4, NULL, &db, why, sizeof why),
                         SOTTO_ERR_BUG);
        assert_null(db);
        assert_non_null(strstr(why, cases[i].says));
        db = open_ok(&key); /* still version 2 */
        assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name IN ('c', 'd')"),
                         0);
        assert_int_equal(count_a(db), 1);
        sotto_db_close(db);
    }
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

        assert_int_equal(open_with(&key, true, 1, NULL, &db), 0);
        assert_int_equal(add(db, 1, "x", 1), 0);
        sotto_db_close(db);
        faulty.left = n;
        faulty.result = SQLITE_FULL;
        faulty.stays = true;
        db = NULL;
        e = open_with(&key, false, 2, "faulty", &db);
        failures = faulty.failures;
        if (failures > 0) {
            assert_int_equal(e, SOTTO_ERR_FULL);
            assert_non_null(strstr(why, "no room"));
        }
        sotto_db_close(db);
        faulty_reset();
        assert_int_equal(open_with(&key, false, 2, NULL, &db), 0);
        version = number(db, "PRAGMA user_version");
        assert_int_equal(version, 2);
        assert_int_equal(count_a(db), 1);
        assert_sound(db);
        sotto_db_close(db);
        (void)unlink(path);
        if (failures == 0)
            break;
    }
    assert_true(n >= 2);
}

/* Four processes open the same new database at once: one makes it, all can use it. */
static void processes_open_at_once(void **state)
{
    pid_t pids[4];
    int status, go[2];
    struct sotto_db *db;

    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            struct sotto_db *mine = NULL;
            char c;
            int bad;

            close(go[1]);
            (void)!read(go[0], &c, 1); /* until the parent closes it */
            bad = open_with(&key, true, STEPS, NULL, &mine) != SOTTO_OK;
            for (int64_t k = 0; k < 20 && !bad; k++)
                bad = add(mine, 100 * (i + 1) + k, "x", 1) != SOTTO_OK;
            sotto_db_close(mine);
            if (bad)
                fprintf(stderr, "child: %s\n", why);
            _exit(bad);
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    db = open_ok(&key);
    assert_int_equal(count_a(db), 80);
    sotto_db_close(db);
}

/* --- secrets --- */

/* What is written, rolled back or sorted must not be readable in any file, at any moment; the same
 * search finds it in a database without a key. */
static void no_text_in_any_file(void **state)
{
    for (int plain = 0; plain < 2; plain++) {
        struct sotto_db *db = NULL;
        struct sotto_rows rows;
        char text[400];
        int found = 0;

        assert_int_equal(open_with(plain ? NULL : &key, true, STEPS, "faulty", &db), 0);
        assert_int_equal(sotto_db_run(db, "PRAGMA cache_size=10", ""), 0); /* spill early */
        for (int round = 0; round < 2; round++) {
            assert_int_equal(sotto_db_begin(db), 0);
            assert_int_equal(sotto_db_begin(db), 0);
            for (int64_t i = 1; i <= 500; i++) {
                memset(text, 'x', sizeof text);
                snprintf(text, sizeof text, "%lld " MARKER, (long long)i);
                assert_int_equal(add(db, round * 1000 + i, text, sizeof text), 0);
            }
            assert_int_equal(sotto_db_commit(db), 0);
            found += folder_search(&dir, MARKER, strlen(MARKER));
            if (round == 0)
                assert_int_equal(sotto_db_commit(db), 0);
            else
                sotto_db_rollback(db);
        }
        assert_int_equal(
            sotto_db_run(db, "CREATE TEMP TABLE t AS SELECT data FROM a ORDER BY data DESC", ""),
            0);
        assert_int_equal(sotto_db_query(db, &rows, "SELECT data FROM t ORDER BY data", ""), 0);
        assert_int_equal(sotto_rows_next(&rows), 0);
        found += folder_search(&dir, MARKER, strlen(MARKER));
        sotto_rows_done(&rows);
        sotto_db_close(db);
        found += folder_search(&dir, MARKER, strlen(MARKER));
        if (plain)
            assert_true(found > 0);
        else
            assert_int_equal(found, 0);
        assert_int_equal(faulty.temporary, 0); /* nothing spilt elsewhere */
        assert_int_equal(folder_count(&dir), 1);
        (void)unlink(path);
    }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#else
#define SANITIZED
#endif

#ifndef SANITIZED
/* Takes the place of free() and looks at what is given back. */
static bool watching;
static int dirty, freed;
static const char *watched;
extern void __libc_free(void *);
__attribute__((visibility("default"))) void free(void *p)
{
    if (watching && p != NULL) {
        freed++;
        dirty += memmem(p, malloc_usable_size(p), watched, strlen(watched)) != NULL;
    }
    __libc_free(p);
}

static void freed_memory_holds_no_text(void **state)
{
    static char marker[] = "a text that must not stay behind";
    char key_hex[65];
    struct sotto_db *db;
    struct sotto_rows rows;
    void *own;

    (void)sotto_hex_encode(key.b, sizeof key.b, key_hex);
    for (int round = 0; round < 2; round++) {
        watched = round == 0 ? marker : key_hex;
        freed = dirty = 0;
        watching = true;
        db = open_ok(&key);
        for (int64_t i = 1; i <= 50; i++)
            assert_int_equal(add(db, round * 50 + i, marker, sizeof marker), 0);
        assert_int_equal(sotto_db_query(db, &rows,
                                        "SELECT data || data FROM a WHERE data = ? ORDER BY data",
                                        "b", (const void *)marker, sizeof marker),
                         0);
        assert_int_equal(sotto_rows_next(&rows), 0);
        sotto_rows_done(&rows);
        sotto_db_close(db);
        assert_true(freed > 50);
        assert_int_equal(dirty, 0);
        /* The watch works. */
        own = strdup(watched);
        free(own);
        watching = false;
        assert_int_equal(dirty, 1);
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

            if (open_with(&key, true, STEPS, NULL, &mine) != SOTTO_OK)
                _exit(1);
            for (int64_t i = 1;; i++) {
                if (sotto_db_begin(mine) != SOTTO_OK ||
                    add(mine, 2 * i, data, sizeof data) != SOTTO_OK ||
                    add(mine, 2 * i + 1, data, sizeof data) != SOTTO_OK ||
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
        db = open_ok(&key);
        assert_sound(db);
        assert_true(count_a(db) == 2 * last || count_a(db) == 2 * last + 2);
        sotto_db_close(db);
        (void)unlink(path);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(settings_are_as_promised),
        CASE(files_are_private),
        CASE(wrong_files_are_refused),
        CASE(open_in_unfit_places),
        CASE(wrong_key_prints_nothing),
        CASE(every_type_comes_back),
        CASE(run_says_what_happened),
        CASE(row_sets_of_one_text_do_not_mix),
        CASE(statements_are_found_by_their_address),
        CASE(transactions_nest),
        CASE(only_the_outermost_commit_is_seen),
        CASE(failing_disk_loses_nothing_committed),
        CASE(failing_disk_then_reopened),
        CASE(given_up_transaction_stays_given_up),
        CASE(lost_transaction_by_write_error),
        CASE(damaged_page_is_an_error),
        CASE(older_schema_is_brought_up),
        CASE(newer_schema_is_left_untouched),
        CASE(failing_migration_changes_nothing),
        CASE(full_disk_while_migrating),
        CASE(processes_open_at_once),
        CASE(no_text_in_any_file),
#ifndef SANITIZED
        CASE(freed_memory_holds_no_text),
#endif
        CASE(kill_loses_nothing_committed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
