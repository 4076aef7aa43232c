/* SPDX-License-Identifier: Apache-2.0 */
#include "profile_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "no_bugs.h"

const struct sotto_secret32 profile_rig_key = {.b = "the vault key of these test case"};

static void open_it(const struct folder *dir, bool create, struct sotto_profile **p)
{
    char why[512] = "";

    *p = NULL;
    if (sotto_profile_open(dir->path, &profile_rig_key, create, NULL, p, why, sizeof why) != 0)
        fail_msg("%s", why);
}

void profile_rig_make(struct folder *dir, struct sotto_profile **p)
{
    no_bugs();
    folder_make(dir);
    open_it(dir, true, p);
}

void profile_rig_free(struct folder *dir, struct sotto_profile *p)
{
    sotto_profile_close(p);
    folder_remove(dir);
}

void profile_rig_reopen(const struct folder *dir, struct sotto_profile **p)
{
    sotto_profile_close(*p);
    open_it(dir, false, p);
}

const uint8_t *id_of(unsigned n)
{
    static uint8_t ids[8][16];
    static unsigned next;
    uint8_t *id = ids[next++ % 8];

    memset(id, 0xa5, 16);
    sotto_put_u32(id, n);
    return id;
}
