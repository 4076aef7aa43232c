/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_people.h"

#include <stdio.h>
#include <string.h>

#include "crypto/dh.h"
#include "crypto/kdf.h"

#define SEALING_DAYS 30
#define DAY_MS       (24 * 3600 * 1000ull)

static void derive(const char *what, uint32_t number, uint8_t ret[32])
{
    char text[64];
    int n = snprintf(text, sizeof text, "sotto bench %s %u", what, number);

    sotto_sha256(text, (size_t)n, ret);
}

static void derive_sign(const char *what, uint32_t number, struct sotto_sign_pair *ret)
{
    struct sotto_secret32 seed SOTTO_WIPED = {{0}};

    derive(what, number, seed.b);
    sotto_sign_from_seed(&seed, ret);
}

void relay_person_make(uint32_t number, struct relay_person *ret)
{
    uint8_t hash[32];

    ret->number = number;
    snprintf(ret->name, sizeof ret->name, "u%u", number);
    derive_sign("device", number, &ret->device_key);
    ret->device = sotto_device_id(ret->device_key.pub);
    derive("token", number, hash);
    memcpy(ret->token, hash, sizeof ret->token);
}

/* Nothing is ever opened with these two, and making a pair costs as much as a signature: all
 * devices have the same. */
static enum sotto_err shared_keys(struct sotto_dh_pair *ret_dh, struct sotto_dh_pair *ret_sealing)
{
    static struct sotto_dh_pair dh, sealing;
    static bool made;
    struct sotto_secret32 priv SOTTO_WIPED = {{0}};
    enum sotto_err e;

    if (!made) {
        derive("dh", 0, priv.b);
        if ((e = sotto_dh_from_private(&priv, &dh)) != 0)
            return e;
        derive("sealing", 0, priv.b);
        if ((e = sotto_dh_from_private(&priv, &sealing)) != 0)
            return e;
        made = true;
    }
    *ret_dh = dh;
    *ret_sealing = sealing;
    return SOTTO_OK;
}

static enum sotto_err make_list(const struct relay_person *p, const uint8_t relay_id[32],
                                uint64_t now_ms, struct sotto_list *l,
                                struct relay_person_records *r)
{
    struct sotto_sign_pair account_key;
    struct sotto_dh_pair dh, sealing;
    struct sotto_device *d = &l->devices[0];
    enum sotto_err e;

    derive_sign("account", p->number, &account_key);
    memcpy(r->account_key, account_key.pub, 32);
    if ((e = shared_keys(&dh, &sealing)) != 0)
        return e;
    memcpy(l->account.relay_id, relay_id, 32);
    memcpy(l->account.name, p->name, sizeof l->account.name);
    memcpy(l->account.key, account_key.pub, 32);
    l->version = RELAY_PERSON_LIST_VERSION;
    l->time_ms = now_ms;
    l->count = 1;
    *d = (struct sotto_device){.id = p->device, .generation = 1};
    memcpy(d->sign_pub, p->device_key.pub, 32);
    memcpy(d->dh_pub, dh.pub, 32);
    memcpy(d->sealing_pub, sealing.pub, 32);
    d->sealing_expires_ms = now_ms + SEALING_DAYS * DAY_MS;
    if ((e = sotto_entry_sign(&p->device_key, &l->account, d, r->entry)) != 0)
        return e;
    memcpy(l->entries[0], r->entry, sizeof r->entry);
    return sotto_list_sign(&account_key, l, r->list, &r->list_len);
}

enum sotto_err relay_person_records(const struct relay_person *p, const uint8_t relay_id[32],
                                    uint64_t now_ms, struct relay_person_records *ret)
{
    struct sotto_list l = {.count = 0};

    sotto_sha256(p->token, sizeof p->token, ret->token_hash);
    return make_list(p, relay_id, now_ms, &l, ret);
}
