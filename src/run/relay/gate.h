/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_GATE_H
#define SOTTO_RUN_RELAY_GATE_H

#include "relay/source.h"

/*
 * Who may open a connection: so many in all, so many from one address, so often. Nothing can be
 * said before TLS is up, and a handshake is what costs: whoever may not is closed, and the log says
 * why, once a minute for each address. Every function may be called from any thread.
 */
struct sotto_gate;

struct sotto_gate_limits {
    size_t open; /* in all */
    struct sotto_source_limits source;
};

/* env is borrowed. NOMEM, RANDOM. */
enum sotto_err sotto_gate_new(const struct sotto_env *env, struct sotto_gate **ret);
void sotto_gate_free(struct sotto_gate *g); /* NULL is fine */
void sotto_gate_limit(struct sotto_gate *g, const struct sotto_gate_limits *limits);

/* A connection from that address, as text: may it stay? true: sotto_gate_leave() follows when it is
 * over, with what *ret_from holds. */
bool sotto_gate_enter(struct sotto_gate *g, const char *address, struct sotto_source *ret_from);
void sotto_gate_leave(struct sotto_gate *g, const struct sotto_source *from);

size_t sotto_gate_open(struct sotto_gate *g);          /* connections now */
size_t sotto_gate_most(struct sotto_gate *g);          /* as limited */
uint64_t sotto_gate_turned_away(struct sotto_gate *g); /* since the last call */
/* One whose handshake came to nothing; and how many those were since the last call. */
void sotto_gate_failed(struct sotto_gate *g);
uint64_t sotto_gate_failures(struct sotto_gate *g);

#endif
