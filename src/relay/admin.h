/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RELAY_ADMIN_H
#define SOTTO_RELAY_ADMIN_H

#include "relay/relay.h"

/*
 * What an operator asks of a relay that runs. What changes something is part of a turn, like a
 * frame:
 *
 *     sotto_relay_turn()                     so that nothing else is undone along with it
 *     before = sotto_relay_undone(r)
 *     e = sotto_relay_admin_...(r, ...)
 *     sotto_relay_turn()
 *     done if e is OK and sotto_relay_undone(r) is still what it was
 *
 * Errors: NOT_FOUND: no account has this name; GONE: it was deleted; others: the store failed and
 * the turn was undone.
 */
uint64_t sotto_relay_undone(const struct sotto_relay *r); /* turns so far */

/* Nobody signs in to it any more, and its connections end; or the way back. */
enum sotto_err sotto_relay_admin_disable(struct sotto_relay *r, const char *name, bool disabled);
/* As its owner would: everything but the name goes. */
enum sotto_err sotto_relay_admin_delete(struct sotto_relay *r, const char *name);
/* Ends the connections of its devices, or of one; they may come again. device 0: all. */
enum sotto_err sotto_relay_admin_kick(struct sotto_relay *r, const char *name, uint64_t device,
                                      size_t *ret_count);

/* Devices that are signed in. */
struct sotto_relay_session {
    const char *name, *address; /* live during the call */
    uint64_t device, since_ms;
};
typedef void sotto_relay_session_fn(void *ctx, const struct sotto_relay_session *s);
void sotto_relay_admin_sessions(struct sotto_relay *r, sotto_relay_session_fn *fn, void *ctx);

/* Boxes in which something waits, live or stored. */
typedef void sotto_relay_box_fn(void *ctx, int64_t box, uint64_t count, uint64_t bytes);
void sotto_relay_admin_boxes(struct sotto_relay *r, sotto_relay_box_fn *fn, void *ctx);

#endif
