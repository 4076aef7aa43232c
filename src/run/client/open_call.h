/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_CLIENT_OPEN_CALL_H
#define SOTTO_RUN_CLIENT_OPEN_CALL_H

#include "run/client/control.h"

/*
 * The calls of an attached client that have no answer yet, and the messages that its receive calls
 * were given. When the engine's process ends, the calls are made again at the next one; what that
 * one repeats is dropped here. All zeros is an empty one.
 */
struct sotto_open_call;
struct sotto_open_calls {
    struct sotto_open_call *first;
    bool remaking; /* calls are being made again: none of them is freed meanwhile */
    bool unnoted;  /* something was handed out again that is confirmed */
};
typedef void sotto_open_call_fn(void *ctx, const struct sotto_call *call);

/* A call that is made while attached. false: there is no memory for it, and it is not to be made:
 * it might never have an answer. */
bool sotto_open_calls_keep(struct sotto_open_calls *calls, const struct sotto_call *call);
void sotto_open_calls_forget(struct sotto_open_calls *calls, uint32_t request);
void sotto_open_calls_clear(struct sotto_open_calls *calls);
/* The request of one of them; 0: none is left. */
uint32_t sotto_open_calls_any(const struct sotto_open_calls *calls);
/* An event came; attached: from the engine of another process. false: it repeats what was handed
 * out before, drop it. */
bool sotto_open_calls_event(struct sotto_open_calls *calls, const struct sotto_event *e,
                            bool attached);
/* The person's program has confirmed this message. */
void sotto_open_calls_shown(struct sotto_open_calls *calls, const char *id);
/* Makes all of them again; answers may come meanwhile. */
void sotto_open_calls_remake(struct sotto_open_calls *calls, sotto_open_call_fn *make, void *ctx);
/* Confirms to the new engine what the one before did not note. Not from inside an event. */
void sotto_open_calls_confirm(struct sotto_open_calls *calls, sotto_open_call_fn *make, void *ctx);

#endif
