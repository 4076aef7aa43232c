/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"

#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
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

static const struct sotto_secret32 other_key = {.b = "another one of thirty-two bytes."};

/* --- opening --- */

static void settings_are_as_promised(void **state)
{
    static const struct {
        const char *sql;
        int64_t want;
    } cases[] = {
        {"PRAGMA synchronous", 2},         {"PRAGMA foreign_keys", 1},
        {"PRAGMA secure_delete", 1},       {"PRAGMA temp_store", 2},
        {"PRAGMA cache_size", -16 * 1024}, {"PRAGMA user_version", DB_STEPS},
        {"PRAGMA trusted_schema", 0},
    };
    struct sotto_db *db = db_open_ok(&db_key);
    struct sotto_rows rows;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(db_number(db, cases[i].sql), cases[i].want);
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
    struct sotto_db *db = db_open_ok(&db_key);

    assert_int_equal(db_add(db, 1, "x", 1), 0);
    umask(before);
    assert_int_equal(file_mode(db_path), 0600);
    assert_int_equal(file_mode(folder_file(&db_dir, "x.db-wal")), 0600);
    assert_int_equal(file_mode(folder_file(&db_dir, "x.db-shm")), 0600);
    sotto_db_close(db);
    assert_int_equal(folder_count(&db_dir), 1); /* checkpointed into one file */
    chmod(db_path, 0640);
    assert_int_equal(db_open_with(&db_key, true, DB_STEPS, NULL, &db), SOTTO_ERR_DENIED);
    assert_non_null(strstr(db_why, "chmod 600"));
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
        {0, &db_key, false, SOTTO_ERR_NOT_FOUND},  {0, NULL, false, SOTTO_ERR_NOT_FOUND},
        {1, &other_key, false, SOTTO_ERR_BAD_TAG}, {1, &other_key, true, SOTTO_ERR_BAD_TAG},
        {1, NULL, true, SOTTO_ERR_BAD_TAG},        {2, &db_key, true, SOTTO_ERR_BAD_TAG},
        {3, &db_key, true, SOTTO_ERR_BAD_TAG},     {3, NULL, true, SOTTO_ERR_BAD_TAG},
        {4, &db_key, false, SOTTO_ERR_NOT_FOUND},  {4, NULL, false, SOTTO_ERR_NOT_FOUND},
        {5, &db_key, true, SOTTO_ERR_BAD_TAG},     {5, NULL, true, SOTTO_ERR_BAD_TAG},
    };

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 131 + (i >> 8) * 7 + 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_db *db = NULL;
        uint8_t *before = NULL, *after;
        size_t n = 0, m;

        (void)unlink(db_path);
        if (cases[i].made == 1 || cases[i].made == 2)
            sotto_db_close(db_open_ok(cases[i].made == 1 ? &db_key : NULL));
        else if (cases[i].made >= 3)
            file_write(db_path, noise,
                       cases[i].made == 3   ? sizeof noise
                       : cases[i].made == 4 ? 0
                                            : 700);
        if (cases[i].made != 0)
            before = file_read(db_path, &n);
        for (int k = 0; k < 2; k++) { /* by the system's VFS and by a given one */
            assert_int_equal(
                db_open_with(cases[i].k, cases[i].create, DB_STEPS, k ? "faulty" : NULL, &db),
                cases[i].want);
            assert_null(db);
            assert_non_null(strstr(db_why, db_path));
        }
        assert_int_equal(file_exists(db_path), cases[i].made != 0);
        if (cases[i].made != 0) {
            after = file_read(db_path, &m);
            assert_int_equal(n, m);
            assert_memory_equal(before, after, n);
            free(before);
            free(after);
        }
    }
    assert_int_equal(db_locals, 0); /* the caller says it */
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

    file_write(folder_file(&db_dir, "file"), "", 0);
    assert_int_equal(mkdir(folder_file(&db_dir, "folder"), 0700), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_db *db = NULL;
        enum sotto_err e;

        memset(db_why, 0, sizeof db_why);
        e = sotto_db_open(folder_file(&db_dir, cases[i].name), &db_key, cases[i].create, db_steps,
                          DB_STEPS, NULL, &db, db_why, sizeof db_why);
        assert_int_equal(e, cases[i].want);
        assert_null(db);
        assert_true(strlen(db_why) > 0);
    }
    /* No room for the line, or none wanted. */
    {
        struct sotto_db *db = NULL;
        char small[8];

        assert_int_equal(
            sotto_db_open(db_path, &db_key, false, db_steps, DB_STEPS, NULL, &db, NULL, 0),
            SOTTO_ERR_NOT_FOUND);
        assert_int_equal(sotto_db_open(db_path, &db_key, false, db_steps, DB_STEPS, NULL, &db,
                                       small, sizeof small),
                         SOTTO_ERR_NOT_FOUND);
        assert_int_equal(strlen(small), sizeof small - 1);
        assert_int_equal(
            sotto_db_open(db_path, &db_key, true, db_steps, DB_STEPS, "no such vfs", &db, NULL, 0),
            SOTTO_ERR_USAGE);
    }
    assert_int_equal(rmdir(folder_file(&db_dir, "folder")), 0);
}

/* SQLCipher writes to stderr by default; a wrong passphrase must not. */
static void wrong_key_prints_nothing(void **state)
{
    const char *out = folder_file(&db_dir, "stderr");
    struct sotto_db *db = db_open_ok(&db_key);
    int saved, fd;
    uint8_t *text;
    size_t n;
    enum sotto_err e;

    sotto_db_close(db);
    fflush(stderr);
    saved = dup(2);
    fd = open(out, O_CREAT | O_RDWR, 0600);
    assert_true(saved >= 0 && fd >= 0 && dup2(fd, 2) == 2);
    e = db_open_with(&other_key, false, DB_STEPS, NULL, &db);
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
    struct sotto_db *db = db_open_ok(&db_key);
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
    struct sotto_db *db = db_open_ok(&db_key);

    assert_int_equal(db_add(db, 7, "x", 1), 0);
    assert_int_equal(sotto_db_last_id(db), 7);
    assert_int_equal(db_add(db, 8, "y", 1), 0);
    assert_int_equal(sotto_db_run(db, "UPDATE a SET data = ? WHERE id > 0", "n"), 0);
    assert_int_equal(sotto_db_changes(db), 2);
    assert_int_equal(db_add(db, 7, "x", 1), SOTTO_ERR_EXISTS);
    assert_int_equal(sotto_db_run(db, "INSERT INTO a(name) VALUES(?)", "s", "n7"),
                     SOTTO_ERR_EXISTS);
    assert_int_equal(sotto_db_run(db, "UPDATE a SET id = 7 WHERE id = 8", ""), SOTTO_ERR_EXISTS);
    assert_int_equal(db_bugs + db_locals, 0);
    /* Broken rules of our own are bugs and said so. */
    assert_int_equal(sotto_db_run(db, "INSERT INTO b(a) VALUES(99)", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "INSERT INTO a(name) VALUES(NULL)", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "INSERT INTO nowhere VALUES(1)", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "DELETE FROM a WHERE id = ?", ""), SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "DELETE FROM a WHERE id = 7", "i", (int64_t)7),
                     SOTTO_ERR_BUG);
    assert_int_equal(sotto_db_run(db, "DELETE FROM a WHERE id = 8; DELETE FROM b", ""),
                     SOTTO_ERR_BUG);
    assert_int_equal(db_count(db), 2);
    assert_true(db_bugs >= 5);
    db_bugs = 0;
    sotto_db_close(db);
}

static void row_sets_of_one_text_do_not_mix(void **state)
{
    static const char sql[] = "SELECT id FROM a ORDER BY id";
    struct sotto_db *db = db_open_ok(&db_key);
    struct sotto_rows one, two;

    for (int64_t i = 1; i <= 3; i++)
        assert_int_equal(db_add(db, i, "", 0), 0);
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
    struct sotto_db *db = db_open_ok(&db_key);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            if (round == 0)
                snprintf(texts[i], sizeof texts[i], "SELECT %d", i);
            assert_int_equal(db_number(db, texts[i]), i);
        }
    }
    /* A text that is no literal must not run what stood there before. */
    snprintf(texts[5], sizeof texts[5], "DELETE FROM a");
    assert_int_equal(sotto_db_run(db, texts[5], ""), SOTTO_ERR_BUG);
    assert_int_equal(db_bugs, 1);
    db_bugs = 0;
    sotto_db_close(db);
}

/* --- transactions --- */

static void transactions_nest(void **state)
{
    struct sotto_db *db = db_open_ok(&db_key);

    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 1, "", 0), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 2, "", 0), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 3, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    sotto_db_rollback(db); /* takes 2 and 3 */
    assert_int_equal(db_count(db), 1);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 4, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    sotto_db_rollback(db); /* no level left: nothing happens */
    assert_int_equal(db_number(db, "SELECT sum(id) FROM a"), 5);
    /* The outermost rollback takes all. */
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 6, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    sotto_db_rollback(db);
    assert_int_equal(db_number(db, "SELECT sum(id) FROM a"), 5);
    assert_int_equal(sotto_db_commit(db), SOTTO_ERR_BUG);
    assert_int_equal(db_bugs, 1);
    db_bugs = 0;
    /* What was not committed at the close is gone. */
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 7, "", 0), 0);
    sotto_db_close(db);
    db = db_open_ok(&db_key);
    assert_int_equal(db_number(db, "SELECT sum(id) FROM a"), 5);
    sotto_db_close(db);
}

static void only_the_outermost_commit_is_seen(void **state)
{
    struct sotto_db *db = db_open_ok(&db_key), *reader = db_open_ok(&db_key);

    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(sotto_db_begin(db), 0);
    assert_int_equal(db_add(db, 1, "", 0), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    assert_int_equal(db_count(reader), 0);
    assert_int_equal(sotto_db_commit(db), 0);
    assert_int_equal(db_count(reader), 1);
    sotto_db_close(reader);
    sotto_db_close(db);
}
/* --- migrations --- */

static void older_schema_is_brought_up(void **state)
{
    struct sotto_db *db = NULL;

    assert_int_equal(db_open_with(&db_key, true, 1, NULL, &db), 0);
    assert_int_equal(db_add(db, 1, "kept", 4), 0);
    sotto_db_close(db);
    db = NULL;
    assert_int_equal(db_open_with(&db_key, false, 2, NULL, &db), 0);
    assert_int_equal(db_number(db, "PRAGMA user_version"), 2);
    assert_int_equal(db_number(db, "PRAGMA foreign_keys"), 1);
    assert_int_equal(sotto_db_run(db, "INSERT INTO b(a) VALUES(1)", ""), 0);
    assert_int_equal(db_count(db), 1);
    sotto_db_close(db);
}

/* Also when its last transactions are in the WAL still. */
static void newer_schema_is_left_untouched(void **state)
{
    struct sotto_db *db, *old = NULL;
    uint8_t *before[2], *after[2];
    size_t n[2], m[2];

    db = db_open_ok(&db_key);
    assert_int_equal(db_add(db, 1, "x", 1), 0);
    file_copy(db_path, folder_file(&db_dir, "copy.db"));
    file_copy(folder_file(&db_dir, "x.db-wal"), folder_file(&db_dir, "copy.db-wal"));
    sotto_db_close(db);
    before[0] = file_read(folder_file(&db_dir, "copy.db"), &n[0]);
    before[1] = file_read(folder_file(&db_dir, "copy.db-wal"), &n[1]);
    assert_true(n[1] > 0);
    assert_int_equal(sotto_db_open(folder_file(&db_dir, "copy.db"), &db_key, true, db_steps, 1,
                                   NULL, &old, db_why, sizeof db_why),
                     SOTTO_ERR_NEWER);
    assert_null(old);
    assert_non_null(strstr(db_why, "newer version"));
    after[0] = file_read(folder_file(&db_dir, "copy.db"), &m[0]);
    after[1] = file_read(folder_file(&db_dir, "copy.db-wal"), &m[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(n[i], m[i]);
        assert_memory_equal(before[i], after[i], n[i]);
        free(before[i]);
        free(after[i]);
    }
    assert_int_equal(sotto_db_open(folder_file(&db_dir, "copy.db"), &db_key, true, db_steps, 2,
                                   NULL, &old, db_why, sizeof db_why),
                     0);
    assert_int_equal(db_count(old), 1);
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
    struct sotto_db *db = db_open_ok(&db_key);

    assert_int_equal(db_add(db, 1, "x", 1), 0);
    sotto_db_close(db);
    for (size_t i = 0; i < 2; i++) {
        const struct sotto_migration more[] = {
            db_steps[0], db_steps[1], {"CREATE TABLE d(x)"}, {cases[i].sql}};

        db = NULL;
        assert_int_equal(
            sotto_db_open(db_path, &db_key, true, more, 4, NULL, &db, db_why, sizeof db_why),
            SOTTO_ERR_BUG);
        assert_null(db);
        assert_non_null(strstr(db_why, cases[i].says));
        db = db_open_ok(&db_key); /* still version 2 */
        assert_int_equal(
            db_number(db, "SELECT count(*) FROM sqlite_schema WHERE name IN ('c', 'd')"), 0);
        assert_int_equal(db_count(db), 1);
        sotto_db_close(db);
    }
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
            bad = db_open_with(&db_key, true, DB_STEPS, NULL, &mine) != SOTTO_OK;
            for (int64_t k = 0; k < 20 && !bad; k++)
                bad = db_add(mine, 100 * (i + 1) + k, "x", 1) != SOTTO_OK;
            sotto_db_close(mine);
            if (bad)
                fprintf(stderr, "child: %s\n", db_why);
            _exit(bad);
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    db = db_open_ok(&db_key);
    assert_int_equal(db_count(db), 80);
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

        assert_int_equal(db_open_with(plain ? NULL : &db_key, true, DB_STEPS, "faulty", &db), 0);
        assert_int_equal(sotto_db_run(db, "PRAGMA cache_size=10", ""), 0); /* spill early */
        for (int round = 0; round < 2; round++) {
            assert_int_equal(sotto_db_begin(db), 0);
            assert_int_equal(sotto_db_begin(db), 0);
            for (int64_t i = 1; i <= 500; i++) {
                memset(text, 'x', sizeof text);
                snprintf(text, sizeof text, "%lld " DB_MARKER, (long long)i);
                assert_int_equal(db_add(db, round * 1000 + i, text, sizeof text), 0);
            }
            assert_int_equal(sotto_db_commit(db), 0);
            found += folder_search(&db_dir, DB_MARKER, strlen(DB_MARKER));
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
        found += folder_search(&db_dir, DB_MARKER, strlen(DB_MARKER));
        sotto_rows_done(&rows);
        sotto_db_close(db);
        found += folder_search(&db_dir, DB_MARKER, strlen(DB_MARKER));
        if (plain)
            assert_true(found > 0);
        else
            assert_int_equal(found, 0);
        assert_int_equal(faulty.temporary, 0); /* nothing spilt elsewhere */
        assert_int_equal(folder_count(&db_dir), 1);
        (void)unlink(db_path);
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

    (void)sotto_hex_encode(db_key.b, sizeof db_key.b, key_hex);
    for (int round = 0; round < 2; round++) {
        watched = round == 0 ? marker : key_hex;
        freed = dirty = 0;
        watching = true;
        db = db_open_ok(&db_key);
        for (int64_t i = 1; i <= 50; i++)
            assert_int_equal(db_add(db, round * 50 + i, marker, sizeof marker), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_CASE(settings_are_as_promised),
        DB_CASE(files_are_private),
        DB_CASE(wrong_files_are_refused),
        DB_CASE(open_in_unfit_places),
        DB_CASE(wrong_key_prints_nothing),
        DB_CASE(every_type_comes_back),
        DB_CASE(run_says_what_happened),
        DB_CASE(row_sets_of_one_text_do_not_mix),
        DB_CASE(statements_are_found_by_their_address),
        DB_CASE(transactions_nest),
        DB_CASE(only_the_outermost_commit_is_seen),
        DB_CASE(older_schema_is_brought_up),
        DB_CASE(newer_schema_is_left_untouched),
        DB_CASE(failing_migration_changes_nothing),
        DB_CASE(processes_open_at_once),
        DB_CASE(no_text_in_any_file),
#ifndef SANITIZED
        DB_CASE(freed_memory_holds_no_text),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
