/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_RELAY_DB_H
#define SOTTO_STORE_RELAY_DB_H

/* What the files of the relay's store share; nobody else includes it. */

#include "store/db.h"
#include "store/relay_store.h"

struct sotto_relay_store {
    struct sotto_db *db;
};

/* Runs a query of which at most one row is wanted: the caller reads it and calls sotto_rows_done().
 * On any error (NOT_FOUND: no row) that is done already. */
#define SOTTO_RS_ONE(s, rows, sql, fmt, ...)                                                       \
    sotto_rs_first(sotto_db_query((s)->db, (rows), (sql), (fmt), ##__VA_ARGS__), (rows))
enum sotto_err sotto_rs_first(enum sotto_err query, struct sotto_rows *rows);

#endif
