/* SPDX-License-Identifier: Apache-2.0 */
#include "db_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "faulty_vfs.h"

const struct sotto_secret32 db_key = {.b = "a key of exactly thirty-two byte"};
const struct sotto_migration db_steps[] = {
    {"CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, data BLOB) STRICT;"},
    {"CREATE TABLE b(id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id)) STRICT;"
     "CREATE INDEX b_a ON b(a)"},
};

struct folder db_dir;
const char *db_path;
char db_why[512];

/* --- what was logged --- */

int db_bugs, db_locals;

static void count_log(void *ctx, enum sotto_log_level level, const char *line)
{
    db_bugs += level == SOTTO_LOG_BUG;
    db_locals += level == SOTTO_LOG_LOCAL;
    assert_null(strstr(line, DB_MARKER));
}

int db_setup(void **state)
{
    static char file[256];

    folder_make(&db_dir);
    snprintf(file, sizeof file, "%s", folder_file(&db_dir, "x.db"));
    db_path = file;
    (void)umask(077); /* a given VFS makes its files as SQLite does */
    faulty_reset();
    db_bugs = db_locals = 0;
    sotto_log_set(count_log, NULL, SOTTO_LOG_DEBUG);
    return 0;
}

int db_teardown(void **state)
{
    sotto_log_set(NULL, NULL, SOTTO_LOG_BUG);
    folder_remove(&db_dir);
    assert_int_equal(db_bugs, 0); /* a case that provokes one takes it back */
    return 0;
}

enum sotto_err db_open_with(const struct sotto_secret32 *k, bool create, size_t count,
                            const char *vfs, struct sotto_db **ret)
{
    memset(db_why, 0, sizeof db_why);
    return sotto_db_open(db_path, k, create, db_steps, count, vfs, ret, db_why, sizeof db_why);
}

struct sotto_db *db_open_ok(const struct sotto_secret32 *k)
{
    struct sotto_db *db = NULL;

    assert_int_equal(db_open_with(k, true, DB_STEPS, NULL, &db), 0);
    assert_non_null(db);
    return db;
}

int64_t db_number(struct sotto_db *db, const char *sql)
{
    struct sotto_rows rows;
    int64_t n;

    assert_int_equal(sotto_db_query(db, &rows, sql, ""), 0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    n = sotto_rows_int(&rows, 0);
    sotto_rows_done(&rows);
    return n;
}

int64_t db_count(struct sotto_db *db)
{
    return db_number(db, "SELECT count(*) FROM a");
}

enum sotto_err db_add(struct sotto_db *db, int64_t id, const void *data, size_t len)
{
    char name[32];

    snprintf(name, sizeof name, "n%lld", (long long)id);
    return sotto_db_run(db, "INSERT INTO a(id, name, data) VALUES(?, ?, ?)", "isb", id, name, data,
                        len);
}

void db_assert_sound(struct sotto_db *db)
{
    struct sotto_rows rows;

    assert_int_equal(sotto_db_query(db, &rows, "PRAGMA integrity_check", ""), 0);
    assert_int_equal(sotto_rows_next(&rows), 0);
    assert_string_equal(sotto_rows_text(&rows, 0), "ok");
    sotto_rows_done(&rows);
}
