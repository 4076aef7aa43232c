/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_RUN_LOCAL_H
#define SOTTO_RUN_LOCAL_H

#include "net/loop.h"

/*
 * A local socket DIR/NAME that only the same user and root may reach: its mode is 0600, and the
 * kernel is asked who comes, as a mode can be opened later (unix(7), SO_PEERCRED). Whoever may
 * write to DIR could put a socket of his own there and be told what is meant for us: neither side
 * uses a folder that is another's or that others can change. DIR may lie as deep as it likes; only
 * NAME has to fit into a socket's address (at most SOTTO_LOCAL_NAME bytes).
 */
#define SOTTO_LOCAL_NAME 64

struct sotto_local;
/* Somebody came who may. fd does not block and is the callee's now; uid is his. Called from the
 * loop; may not free the socket. */
typedef void sotto_local_fn(void *ctx, int fd, unsigned uid);

/* What is left behind under that name is replaced: the caller holds the folder's lock. So many
 * callers wait in the kernel's queue (listen(2)); while the process has no descriptors left they
 * all do. DENIED: others can change the folder, so do not use it; NOT_FOUND: there is no such
 * folder; USAGE: the name is too long; IO, NOMEM. */
enum sotto_err sotto_local_listen(struct sotto_loop *loop, const char *dir, const char *name,
                                  int queue, sotto_local_fn *fn, void *ctx,
                                  struct sotto_local **ret);
/* Removes the name first: who comes now finds nobody. NULL is fine. */
void sotto_local_free(struct sotto_local *s);

/* The other side. wait_ms 0: never waits, and *ret_fd does not block; otherwise it blocks, and
 * writing to it too ends after so long. AGAIN: somebody listens, but has too many callers, or is a
 * process that was halted; NOT_FOUND: nobody listens; DENIED and USAGE as above; IO. */
enum sotto_err sotto_local_connect(const char *dir, const char *name, int wait_ms, int *ret_fd);

#endif
