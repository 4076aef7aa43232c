/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_PROFILE_DB_H
#define SOTTO_STORE_PROFILE_DB_H

/* What the files of the profile's store share; nobody else includes it. */

#include "store/db.h"
#include "store/profile.h"

struct sotto_profile {
    struct sotto_db *db;
    uint32_t until_trim; /* envelopes that may be noted as seen before the oldest are forgotten */
};

/* An account's name from a column. MALFORMED: longer than a name. */
enum sotto_err sotto_profile_name(const struct sotto_rows *rows, int col, sotto_name ret);
/* Ends a walk over rows: e is what next() or the callback gave; the end of the rows is OK. */
enum sotto_err sotto_profile_walked(struct sotto_rows *rows, enum sotto_err e);
/* Calls fn with the first column of each row of a query without parameters; sql: a literal. */
enum sotto_err sotto_profile_each_name(struct sotto_profile *p, const char *sql, sotto_name_fn *fn,
                                       void *ctx);
/* Replaces buf's contents by a column's; unchanged on TOO_LARGE and NOMEM. */
enum sotto_err sotto_profile_replace(struct sotto_buf *buf, struct sotto_bytes with);
/* NOT_FOUND when the last run changed no row, else e. */
enum sotto_err sotto_profile_one_changed(struct sotto_profile *p, enum sotto_err e);

#endif
