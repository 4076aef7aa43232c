/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_OPERATOR_REACH_H
#define SOTTO_RUN_OPERATOR_REACH_H

#include "base/bytes.h"
#include "run/relay/folder.h"
#include "store/relay_admin.h"

/*
 * How an operator's command gets at a relay: by its store, which may be read at any time, and by
 * the relay that runs on it, if one does. Which of the two changes an account is decided by the
 * folder's lock.
 */
struct sotto_reach {
    struct sotto_relay_folder folder;
    struct sotto_relay_store *store;
    char why[1400];
};

/* Folder and store of a relay that ran before. Prints what is wrong. */
enum sotto_err sotto_reach_open(struct sotto_reach *c, const struct sotto_relay_options *o);
void sotto_reach_close(struct sotto_reach *c);
/* "sottod: TEXT" on stderr; returns 1. */
int sotto_reach_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Asks the relay that runs (run/relay/operator.h): why has what it said. STATE: none does. */
enum sotto_err sotto_reach_ask(struct sotto_reach *c, const char *request,
                               struct sotto_buf *ret_lines);
/* The same for what changes something: with STATE the folder is locked, so that none starts. */
enum sotto_err sotto_reach_change(struct sotto_reach *c, const char *request,
                                  struct sotto_buf *ret_lines);
/* Before a change that the command makes itself. */
enum sotto_err sotto_reach_audit(struct sotto_reach *c, const char *action, const char *subject,
                                 const char *detail);

/* What waits for each account, from the relay that runs or from the store. */
struct sotto_tally {
    struct sotto_rs_account account;
    uint32_t devices;
    uint64_t waiting, bytes;
};
/* By name. To be freed. */
enum sotto_err sotto_reach_tally(struct sotto_reach *c, struct sotto_tally **ret,
                                 size_t *ret_count);

/* "2026-11-21T08:00:00Z" */
#define SOTTO_REACH_TIME 32
void sotto_reach_time(uint64_t ms, char ret[SOTTO_REACH_TIME]);
/* "17 MiB" */
#define SOTTO_REACH_SIZE 32
void sotto_reach_size(uint64_t bytes, char ret[SOTTO_REACH_SIZE]);

#endif
