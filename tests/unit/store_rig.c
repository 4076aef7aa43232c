/* SPDX-License-Identifier: Apache-2.0 */
#include "store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "no_bugs.h"
#include "people.h"

static void open_it(struct store_rig *r, bool create)
{
    char why[512] = "";

    if (sotto_rs_open(r->path, create, NULL, &r->store, why, sizeof why) != 0)
        fail_msg("%s", why);
}

void store_rig_make(struct store_rig *r)
{
    static const uint8_t seed[32] = "a relay's store";

    no_bugs();
    folder_make(&r->dir);
    (void)umask(077);
    snprintf(r->path, sizeof r->path, "%s", folder_file(&r->dir, "relay.db"));
    sotto_env_fixed_init(&r->env, seed, PEOPLE_NOW_MS);
    open_it(r, true);
}

void store_rig_free(struct store_rig *r)
{
    sotto_rs_close(r->store);
    r->store = NULL;
    folder_remove(&r->dir);
}

void store_rig_reopen(struct store_rig *r)
{
    sotto_rs_close(r->store);
    open_it(r, false);
}
