/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: each one-time key is handed to one asker; its removal is durable before it leaves. */
#include <string.h>

#include "base/log.h"
#include "crypto/kdf.h"
#include "relay/core.h"

/*
 * Who asked for whose keys is nobody's business: what is stored is an HMAC under a key that lives
 * only in this process's memory. After a restart an asker gets another key, which costs nothing but
 * the key.
 */
static void tag_of(const struct sotto_relay *r, int64_t asker, int64_t box, uint8_t ret[32])
{
    uint8_t what[16];

    sotto_put_u64(what, (uint64_t)asker);
    sotto_put_u64(what + 8, (uint64_t)box);
    sotto_hmac_sha256(r->tag_key.b, sizeof r->tag_key.b, what, sizeof what, ret);
}

static enum sotto_err take(struct sotto_relay_conn *c, int64_t box,
                           uint8_t one_time[SOTTO_PREKEY_BYTES], bool *ret_some)
{
    struct sotto_relay_store *s = c->r->store;
    uint64_t now = sotto_now_ms(c->r->env);
    struct effect *f;
    uint8_t tag[32];
    uint32_t left = 0;
    enum sotto_err e;

    tag_of(c->r, c->s.box, box, tag); /* the device: its account's others need keys of their own */
    *ret_some = true;
    e = sotto_rs_handed_get(s, tag, now, one_time);
    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    e = sotto_rs_one_time_take(s, box, now, one_time);
    if (e == SOTTO_ERR_NOT_FOUND)
        *ret_some = false;
    else if (e != 0 || (e = sotto_rs_handed_put(s, tag, box, one_time, now + HANDED_MS)) != 0)
        return e;
    if ((e = sotto_rs_one_time_count(s, box, &left)) != 0 || left >= PREKEYS_LOW)
        return e;
    if ((f = sotto_relay_effect(c->r, EFFECT_PREKEYS_LOW)) == NULL)
        return SOTTO_ERR_NOMEM;
    f->box = box;
    f->n = left;
    return SOTTO_OK;
}

/* true: listed. Otherwise it was refused. */
static enum sotto_err find(struct sotto_relay_conn *c, const struct sotto_request *q,
                           struct sotto_rs_device *device, bool *ret_found)
{
    struct sotto_rs_account account;
    enum sotto_err e = sotto_rs_account_find(c->r->store, q->u.get_bundle.name, &account);

    *ret_found = false;
    if (e == SOTTO_ERR_NOT_FOUND || (e == 0 && account.gone)) {
        sotto_relay_refuse(c, q->id, e == 0 ? SOTTO_RELAY_NAME_GONE : SOTTO_RELAY_UNKNOWN_ACCOUNT,
                           e == 0 ? "this account was deleted" : "no account has this name here");
        return SOTTO_OK;
    }
    if (e != 0)
        return e;
    e = sotto_rs_device_find(c->r->store, account.id, q->u.get_bundle.device, device);
    if (e == SOTTO_ERR_NOT_FOUND || (e == 0 && !device->listed)) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_UNKNOWN_DEVICE,
                           "this device is not in the account's list");
        return SOTTO_OK;
    }
    *ret_found = e == 0;
    return e;
}

enum sotto_err sotto_relay_get_bundle(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_BUNDLE};
    uint8_t prekey[SOTTO_PREKEY_BYTES], one_time[SOTTO_PREKEY_BYTES];
    struct sotto_rs_device device;
    bool ok = false;
    uint64_t wait = sotto_relay_count(c, &c->r->bundle_guard, &c->s.account, sizeof c->s.account,
                                      c->r->config.bundles_per_hour, HOUR_MS);
    enum sotto_err e;

    /* Each takes a one-time key from somebody who may have few left. */
    if (wait > 0) {
        sotto_relay_refuse_until(c, q->id, wait, "your account asks for too many people's keys");
        return SOTTO_OK;
    }
    if ((e = find(c, q, &device, &ok)) != 0 || !ok)
        return e;
    e = sotto_rs_signed_get(c->r->store, device.box, prekey);
    if (e == SOTTO_ERR_NOT_FOUND) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_UNAVAILABLE,
                           "this device has not uploaded its keys yet; try again later");
        return SOTTO_OK;
    }
    if (e != 0 || (e = take(c, device.box, one_time, &ok)) != 0)
        return e;
    a.u.bundle.signed_prekey = (struct sotto_bytes){prekey, sizeof prekey};
    if (ok)
        a.u.bundle.one_time = (struct sotto_bytes){one_time, sizeof one_time};
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}

/* --- upload --- */

/* The device as its own list has it. STATE: not listed any more. */
static enum sotto_err own_device(struct sotto_relay_conn *c, struct sotto_device *ret)
{
    struct sotto_account who = {.name = {0}};
    struct sotto_rs_account account;
    struct sotto_rs_device d;
    enum sotto_err e;

    if ((e = sotto_rs_account_of(c->r->store, c->s.account, &account)) != 0 ||
        (e = sotto_rs_device_find(c->r->store, c->s.account, c->s.device, &d)) != 0)
        return e == SOTTO_ERR_NOT_FOUND ? SOTTO_ERR_STATE : e;
    if (account.gone || !d.listed)
        return SOTTO_ERR_STATE;
    memcpy(who.relay_id, sotto_relay_id(c->r), 32);
    memcpy(who.name, account.name, sizeof who.name);
    memcpy(who.key, account.key, 32);
    e = sotto_entry_open(d.entry, sizeof d.entry, &who, ret);
    return e == 0 ? SOTTO_OK : SOTTO_ERR_BUG;
}

static bool prekey_right(struct sotto_bytes bytes, enum sotto_prekey_type type,
                         const struct sotto_device *device, struct sotto_prekey *p)
{
    return sotto_prekey_parse(bytes.p, bytes.n, p) == 0 && p->type == type &&
           sotto_prekey_verify(p, device) == 0;
}

static bool all_right(const struct sotto_request *q, const struct sotto_device *device)
{
    struct sotto_prekey p;

    if (q->u.put_prekeys.signed_prekey.n > 0 &&
        !prekey_right(q->u.put_prekeys.signed_prekey, SOTTO_PREKEY_SIGNED, device, &p))
        return false;
    for (size_t i = 0; i < q->u.put_prekeys.count; i++)
        if (!prekey_right(q->u.put_prekeys.one_time[i], SOTTO_PREKEY_ONE_TIME, device, &p))
            return false;
    return true;
}

static enum sotto_err keep(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_relay_store *s = c->r->store;
    struct sotto_prekey p;
    enum sotto_err e = SOTTO_OK;

    if (q->u.put_prekeys.replace && (e = sotto_rs_one_time_clear(s, c->s.box)) != 0)
        return e;
    if (q->u.put_prekeys.signed_prekey.n > 0 &&
        (e = sotto_rs_signed_put(s, c->s.box, q->u.put_prekeys.signed_prekey.p)) != 0)
        return e;
    for (size_t i = 0; e == 0 && i < q->u.put_prekeys.count; i++) {
        e = sotto_prekey_parse(q->u.put_prekeys.one_time[i].p, q->u.put_prekeys.one_time[i].n, &p);
        if (e == 0)
            e = sotto_rs_one_time_add(s, c->s.box, &p);
    }
    return e;
}

enum sotto_err sotto_relay_put_prekeys(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_PREKEYS_KEPT};
    struct sotto_device device;
    struct box *b;
    enum sotto_err e = own_device(c, &device);

    if (e == SOTTO_ERR_STATE) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_REVOKED,
                           "this device was removed from its account");
        return SOTTO_OK;
    }
    if (e != 0)
        return e;
    if (!all_right(q, &device)) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST,
                           "a pre-key is not rightly signed by this device");
        return SOTTO_OK;
    }
    if ((e = keep(c, q)) != 0 ||
        (e = sotto_rs_one_time_count(c->r->store, c->s.box, &a.u.prekeys_kept.one_time_left)) != 0)
        return e;
    if ((b = sotto_relay_box_known(c->r, c->s.box)) != NULL)
        b->low_told = false;
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}
