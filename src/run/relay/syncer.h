/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_SYNCER_H
#define SOTTO_RUN_RELAY_SYNCER_H

#include <stdbool.h>

#include "base/err.h"
#include "net/loop.h"

/*
 * A thread that waits for the disk, so that the loop does not: people who are both here go on while
 * somebody else's messages are stored. One sync at a time; all calls are the loop's.
 */
struct sotto_syncer;

typedef enum sotto_err sotto_sync_fn(void *ctx);
/* sync is called in the thread, once for each sotto_syncer_go(); the loop is woken when it is over.
 * NOMEM, IO (no thread). */
enum sotto_err sotto_syncer_start(struct sotto_loop *loop, sotto_sync_fn *sync, void *ctx,
                                  struct sotto_syncer **ret);
/* The one before must have been taken. */
void sotto_syncer_go(struct sotto_syncer *s);
/* One was begun and is not taken. */
bool sotto_syncer_busy(const struct sotto_syncer *s);
/* Takes it, if it is over: true, and what sync returned. */
bool sotto_syncer_take(struct sotto_syncer *s, enum sotto_err *ret);
/* Blocks until what was begun is over. */
void sotto_syncer_wait(struct sotto_syncer *s);
/* Ends what is under way, and the thread. NULL is fine. */
void sotto_syncer_stop(struct sotto_syncer *s);

#endif
