/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_TESTS_STORE_RIG_H
#define SOTTO_TESTS_STORE_RIG_H

#include "folder.h"
#include "store/relay_store.h"

/* A relay's store, new, in a scratch folder, and a clock and random bytes for what is put there. */
struct store_rig {
    struct folder dir;
    char path[192];
    struct sotto_env_fixed env;
    struct sotto_relay_store *store;
};
void store_rig_make(struct store_rig *r);
void store_rig_free(struct store_rig *r);
void store_rig_reopen(struct store_rig *r);

#endif
