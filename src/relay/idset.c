/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/idset.h"

#include <stdlib.h>

uint64_t sotto_idset_key(int64_t box, uint64_t half_id)
{
    uint64_t key = half_id ^ (uint64_t)box * 0x9e3779b97f4a7c15u;

    return key != 0 ? key : 1;
}

static size_t home(const struct sotto_idset *s, uint64_t key)
{
    return (size_t)(key >> 8) & (s->room - 1);
}

/* Where it is, or would go. */
static size_t slot_of(const struct sotto_idset *s, uint64_t key)
{
    size_t i = home(s, key);

    while (s->slots[i] != 0 && s->slots[i] != key)
        i = (i + 1) & (s->room - 1);
    return i;
}

bool sotto_idset_has(const struct sotto_idset *s, uint64_t key)
{
    return s->count > 0 && s->slots[slot_of(s, key)] == key;
}

static bool grow(struct sotto_idset *s)
{
    struct sotto_idset fresh = {.room = s->room == 0 ? 256 : s->room * 2, .count = s->count};

    if ((fresh.slots = calloc(fresh.room, sizeof *fresh.slots)) == NULL)
        return false;
    for (size_t i = 0; i < s->room; i++)
        if (s->slots[i] != 0)
            fresh.slots[slot_of(&fresh, s->slots[i])] = s->slots[i];
    free(s->slots);
    *s = fresh;
    return true;
}

bool sotto_idset_add(struct sotto_idset *s, uint64_t key)
{
    size_t i;

    if (s->count * 2 >= s->room && !grow(s))
        return false;
    i = slot_of(s, key);
    s->count += s->slots[i] == 0;
    s->slots[i] = key;
    return true;
}

/* What comes after the gap moves up, unless it is nearer to its home where it is. */
void sotto_idset_remove(struct sotto_idset *s, uint64_t key)
{
    size_t gap, i;

    if (!sotto_idset_has(s, key))
        return;
    gap = slot_of(s, key);
    for (i = (gap + 1) & (s->room - 1); s->slots[i] != 0; i = (i + 1) & (s->room - 1)) {
        size_t h = home(s, s->slots[i]);

        if (((i - h) & (s->room - 1)) >= ((i - gap) & (s->room - 1))) {
            s->slots[gap] = s->slots[i];
            gap = i;
        }
    }
    s->slots[gap] = 0;
    s->count--;
}

void sotto_idset_free(struct sotto_idset *s)
{
    free(s->slots);
    *s = (struct sotto_idset){NULL, 0, 0};
}
