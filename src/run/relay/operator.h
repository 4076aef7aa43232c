/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_RELAY_OPERATOR_H
#define SOTTO_RUN_RELAY_OPERATOR_H

#include "base/bytes.h"
#include "net/loop.h"
#include "relay/relay.h"

/*
 * The operator's socket DIR/operator.sock (run/local.h: the relay's user and root only): what a
 * command like `sottod kick` says to the relay that runs. One request for each connection, one
 * line:
 *
 *     VERB [NAME [ARGUMENT]]
 *
 * verbs: sessions, boxes, kick, disable, enable, delete. The answer is any number of lines that
 * begin with '=', and a last one: "ok TEXT" or "no NUMBER TEXT" (NUMBER: enum sotto_err). Then the
 * relay closes. What changes something stands in the audit log before it happens.
 */
#define SOTTO_OPERATOR_LINE  256
#define SOTTO_OPERATOR_LINES (256u * 1024 * 1024) /* of an answer */

struct sotto_operator;
/* turn: commits what has come so far, and lets go what is to be sent. A socket left behind is
 * replaced: the caller holds the folder's lock. Errors as of sotto_local_listen(). */
enum sotto_err sotto_operator_listen(struct sotto_loop *loop, const char *dir,
                                     struct sotto_relay *relay, sotto_loop_fn *turn, void *ctx,
                                     struct sotto_operator **ret);
void sotto_operator_free(struct sotto_operator *o); /* removes the socket; NULL is fine */

/* The other side; blocks. ret_lines: what begins with '=', without it, each ended by '\n'. text:
 * what the relay says in the end, or why there is no answer (TIMEOUT: it was halted). NOT_FOUND
 * with text "": nobody listens. */
enum sotto_err sotto_operator_call(const char *dir, const char *request,
                                   struct sotto_buf *ret_lines, char *text, size_t room);

#endif
