/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_STORE_RELAY_ADMIN_H
#define SOTTO_STORE_RELAY_ADMIN_H

#include "store/relay_store.h"

/*
 * What an operator asks of a relay's store. Reading is fine beside a relay that runs on it; what
 * changes accounts goes through that relay (relay/admin.h), as it remembers them.
 */

/* --- accounts --- */

/* By name, deleted ones too. devices: those that are listed. Anything but OK ends the walk and is
 * returned; the store must not be called meanwhile. */
typedef enum sotto_err sotto_rs_account_fn(void *ctx, const struct sotto_rs_account *a,
                                           uint32_t devices);
enum sotto_err sotto_rs_accounts_each(struct sotto_relay_store *s, sotto_rs_account_fn *fn,
                                      void *ctx);
/* Nobody signs in to it, and nothing of it is lost. */
enum sotto_err sotto_rs_account_disable(struct sotto_relay_store *s, int64_t account,
                                        bool disabled);
/* The name of an account that was deleted in the same transaction becomes free. */
enum sotto_err sotto_rs_account_forget(struct sotto_relay_store *s, int64_t account);
/* Which account has a box, of devices that are or were listed. */
typedef enum sotto_err sotto_rs_box_fn(void *ctx, int64_t box, int64_t account);
enum sotto_err sotto_rs_boxes_each(struct sotto_relay_store *s, sotto_rs_box_fn *fn, void *ctx);

/* --- invites --- */

struct sotto_rs_invite {
    uint8_t hash[32];
    uint32_t uses; /* left */
    uint64_t expires_ms;
    sotto_name name; /* "": for whoever has it */
};
/* Those that expire first come first. */
typedef enum sotto_err sotto_rs_invite_fn(void *ctx, const struct sotto_rs_invite *i);
enum sotto_err sotto_rs_invites_each(struct sotto_relay_store *s, sotto_rs_invite_fn *fn,
                                     void *ctx);
/* NOT_FOUND. */
enum sotto_err sotto_rs_invite_drop(struct sotto_relay_store *s, const uint8_t hash[32]);
/* One sign-up of that name, which may have an account: it is replaced. An earlier one for the name
 * is void. */
enum sotto_err sotto_rs_invite_add_for(struct sotto_relay_store *s, const uint8_t hash[32],
                                       const char *name, uint64_t expires_ms);
/* The name that an invite is for. NOT_FOUND: no such invite, or for nobody in particular. */
enum sotto_err sotto_rs_invite_name(struct sotto_relay_store *s, const uint8_t hash[32],
                                    sotto_name ret);

/* --- space --- */

struct sotto_rs_usage {
    uint64_t page_bytes, pages, free_pages; /* of the database; free ones are used again */
    struct {
        const char *what;
        uint64_t rows, bytes; /* of what was put in, without what the database adds */
    } parts[8];
    size_t part_count;
};
enum sotto_err sotto_rs_usage(struct sotto_relay_store *s, struct sotto_rs_usage *ret);

/* --- whole --- */

/* Reads everything. MALFORMED: damaged, ret_why has the first thing that is wrong. */
enum sotto_err sotto_rs_check(struct sotto_relay_store *s, char *ret_why, size_t room);
/* A copy of the whole store as it is at one moment, durable on return; the relay goes on meanwhile.
 * The file must not be there: EXISTS. What was written is removed on any error. */
enum sotto_err sotto_rs_copy(struct sotto_relay_store *s, const char *path, char *ret_why,
                             size_t room);
/* The last boot epoch. */
enum sotto_err sotto_rs_epoch(struct sotto_relay_store *s, uint32_t *ret);

#endif
