/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/allowance.h"

#include <stdlib.h>

#define FIRST_ROOM 64

struct allowance *sotto_allowance_new(uint32_t work_rate, uint32_t byte_rate, uint64_t mono)
{
    struct allowance *a = calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    sotto_bucket_init(&a->work, work_rate, mono);
    sotto_bucket_init(&a->bytes, byte_rate, mono);
    a->users = 1;
    return a;
}

void sotto_allowance_rates(struct allowance *a, uint32_t work_rate, uint32_t byte_rate,
                           uint64_t mono)
{
    sotto_bucket_rate(&a->work, work_rate, mono);
    sotto_bucket_rate(&a->bytes, byte_rate, mono);
}

uint64_t sotto_allowance_debt_ms(struct allowance *a, uint64_t mono)
{
    uint64_t work = sotto_bucket_debt_ms(&a->work, mono);
    uint64_t bytes = a->bytes.rate > 0 ? sotto_bucket_debt_ms(&a->bytes, mono) : 0;

    return work > bytes ? work : bytes;
}

/* Ids count up from 1, so they spread by themselves. */
static struct allowance **slot_of(const struct allowances *all, int64_t account)
{
    return &all->slots[(uint64_t)account & (all->room - 1)];
}

/* Without memory the chains grow longer, unless there are no slots at all. */
static bool make_room(struct allowances *all)
{
    size_t room = all->room == 0 ? FIRST_ROOM : all->room * 2;
    struct allowances wider = {.room = room, .count = all->count};

    if (all->count < all->room)
        return true;
    if ((wider.slots = calloc(room, sizeof(struct allowance *))) == NULL)
        return all->room > 0;
    for (size_t i = 0; i < all->room; i++)
        for (struct allowance *a = all->slots[i], *next; a != NULL; a = next) {
            struct allowance **slot = slot_of(&wider, a->account);

            next = a->next;
            a->next = *slot;
            *slot = a;
        }
    free(all->slots);
    *all = wider;
    return true;
}

static struct allowance *find(const struct allowances *all, int64_t account)
{
    struct allowance *a = all->room > 0 ? *slot_of(all, account) : NULL;

    while (a != NULL && a->account != account)
        a = a->next;
    return a;
}

struct allowance *sotto_allowances_join(struct allowances *all, struct allowance *own,
                                        int64_t account, uint32_t work_rate, uint32_t byte_rate,
                                        uint64_t mono)
{
    struct allowance *a = find(all, account), **slot;

    if (own->account == account)
        return own;
    if (a == NULL) {
        if (!make_room(all))
            return own; /* it stays that of a connection, which bounds it as well */
        own->account = account;
        slot = slot_of(all, account);
        own->next = *slot;
        *slot = own;
        all->count++;
        return own;
    }
    sotto_allowance_rates(a, work_rate, byte_rate, mono);
    sotto_bucket_charge(&a->work, &own->work, mono);
    sotto_bucket_charge(&a->bytes, &own->bytes, mono);
    a->users++;
    free(own);
    return a;
}

static bool useless(struct allowance *a, uint64_t mono)
{
    return a->users == 0 && sotto_bucket_full(&a->work, mono) &&
           (a->bytes.rate == 0 || sotto_bucket_full(&a->bytes, mono));
}

static void sweep_slot(struct allowances *all, struct allowance **at, uint64_t mono)
{
    while (*at != NULL) {
        struct allowance *a = *at;

        if (!useless(a, mono)) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        free(a);
        all->count--;
    }
}

void sotto_allowances_leave(struct allowances *all, struct allowance *a, uint64_t mono)
{
    if (a == NULL)
        return;
    a->users--;
    if (a->account == 0)
        free(a);
    else if (a->users == 0)
        sweep_slot(all, slot_of(all, a->account), mono);
}

void sotto_allowances_sweep(struct allowances *all, uint64_t mono)
{
    for (size_t i = 0; i < all->room; i++)
        sweep_slot(all, &all->slots[i], mono);
}

void sotto_allowances_free(struct allowances *all)
{
    for (size_t i = 0; i < all->room; i++)
        for (struct allowance *a = all->slots[i], *next; a != NULL; a = next) {
            next = a->next;
            free(a);
        }
    free(all->slots);
    *all = (struct allowances){0};
}
