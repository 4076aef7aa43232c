/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_NET_RESOLVE_H
#define SOTTO_NET_RESOLVE_H

#include "base/err.h"
#include "net/address.h"
#include "net/loop.h"

/*
 * Host names to addresses without blocking the loop. The system's resolver can only be called, not
 * interrupted, so it runs in a thread of its own that nobody waits for: not the loop when the
 * lookup is given up, and not the program when it ends. (libuv's thread pool is joined at exit,
 * which would hold up a command line for as long as a dead DNS server takes.)
 */
enum { SOTTO_RESOLVE_MAX = 8 }; /* addresses of one name that are looked at */

struct sotto_resolved {
    enum sotto_err err; /* OK, DNS, NOMEM */
    size_t count;
    struct sotto_address addresses[SOTTO_RESOLVE_MAX]; /* in the system's order of preference */
    char why[128];                                     /* with DNS: the resolver's words */
};

struct sotto_lookup;
typedef void sotto_lookup_fn(void *ctx, const struct sotto_resolved *r);

/* A number in `host` is answered here and now in *ret_now with NULL in *ret. Otherwise *ret is the
 * lookup under way; fn is called once from the loop, and the lookup is gone then. NOMEM. */
enum sotto_err sotto_lookup_start(struct sotto_loop *l, const char *host, uint16_t port,
                                  sotto_lookup_fn *fn, void *ctx, struct sotto_resolved *ret_now,
                                  struct sotto_lookup **ret);
/* fn will not be called. NULL is fine. */
void sotto_lookup_cancel(struct sotto_lookup *k);

/* Blocks; for addresses to listen on. */
void sotto_resolve_blocking(const char *host, uint16_t port, bool passive,
                            struct sotto_resolved *ret);

#endif
