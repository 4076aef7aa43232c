/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_DB_CASE_H
#define SOTTO_TESTS_DB_CASE_H

#include "folder.h"
#include "store/db.h"

/* One case of the tests of store/db: a folder, a small schema, and what was logged. */

#define DB_MARKER "the heron stands in the cold water"
enum { DB_STEPS = 2 };

extern const struct sotto_secret32 db_key;
extern const struct sotto_migration db_steps[];
extern struct folder db_dir;
extern const char *db_path;    /* of the database in it */
extern char db_why[512];       /* what the last opening said */
extern int db_bugs, db_locals; /* lines logged; teardown wants no bugs: a case takes its own back */

int db_setup(void **state);
int db_teardown(void **state);
#define DB_CASE(name) cmocka_unit_test_setup_teardown(name, db_setup, db_teardown)

enum sotto_err db_open_with(const struct sotto_secret32 *k, bool create, size_t count,
                            const char *vfs, struct sotto_db **ret);
/* With all steps; must work. */
struct sotto_db *db_open_ok(const struct sotto_secret32 *k);
/* The first column of the first row. sql: a literal. */
int64_t db_number(struct sotto_db *db, const char *sql);
int64_t db_count(struct sotto_db *db); /* rows of table a */
enum sotto_err db_add(struct sotto_db *db, int64_t id, const void *data, size_t len);
void db_assert_sound(struct sotto_db *db);

#endif
