/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_CLIENT_RUNNER_H
#define SOTTO_RUN_CLIENT_RUNNER_H

#include "client/engine.h"
#include "net/loop.h"

/*
 * The engine and its connection: dials, reconnects with growing, jittered pauses, carries frames
 * and time. Owns the profile and the engine; the loop belongs to the caller.
 */
struct sotto_runner;

typedef bool sotto_runner_emit(void *ctx, struct sotto_ref to, enum sotto_event_type type,
                               const void *row);

/* Takes over the profile, also on failure. Starts connecting at the next turn of the loop. */
enum sotto_err sotto_runner_new(struct sotto_loop *loop, struct sotto_profile *profile,
                                sotto_runner_emit *emit, void *ctx, struct sotto_runner **ret);
/* Waits (at most a second) until what is under way was answered, says goodbye, closes the
 * connection. Nothing changes by itself after it. */
void sotto_runner_stop(struct sotto_runner *r);
/* The same, where it was not done, and the end. */
void sotto_runner_free(struct sotto_runner *r);
void sotto_runner_call(struct sotto_runner *r, const struct sotto_call *call);
void sotto_runner_origin_gone(struct sotto_runner *r, uint32_t origin);
bool sotto_runner_has_account(const struct sotto_runner *r);

#endif
