/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mutant.h"
#include "client/state.h"

/* From a content to an envelope: which session, the ratchet step, the seal. */

void sotto_self_device(const struct sotto_engine *e, struct sotto_device *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->id = e->device;
    ret->generation = e->generation;
    memcpy(ret->sign_pub, e->keys.sign.pub, 32);
    memcpy(ret->dh_pub, e->keys.dh.pub, 32);
    memcpy(ret->sealing_pub, e->keys.sealing.pub, 32);
}

struct choice {
    uint64_t newer_than;
    struct sotto_bytes resting; /* ids */
    struct sotto_session *best;
};

static bool rests(const struct choice *c, const uint8_t id[SOTTO_SESSION_ID])
{
    for (size_t i = 0; i + SOTTO_SESSION_ID <= c->resting.n; i += SOTTO_SESSION_ID)
        if (memcmp(c->resting.p + i, id, SOTTO_SESSION_ID) == 0)
            return true;
    return false;
}

static enum sotto_err choose(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                             struct sotto_bytes record, uint64_t used_ms)
{
    struct choice *c = ctx;
    struct sotto_session *s;
    enum sotto_err err;

    (void)used_ms;
    if (rests(c, id))
        return SOTTO_OK;
    if ((err = sotto_session_read(record.p, record.n, &s)) != SOTTO_OK)
        return err == SOTTO_ERR_NOMEM ? err : SOTTO_OK; /* of a newer program: leave it alone */
    if (sotto_session_created_ms(s) < c->newer_than ||
        (c->best != NULL && sotto_session_prefer(c->best, s) <= 0)) {
        sotto_session_free(s);
        return SOTTO_OK;
    }
    sotto_session_free(c->best);
    c->best = s;
    return SOTTO_OK;
}

#define RESTING_KEY (8 + SOTTO_NAME_MAX + 1 + 16 + 1)

/* Setting "resting.<name>.<device>": the ids of sessions that only receive. With the name, as
 * anybody can give a device of his own the number of somebody else's. */
static void resting_key(const char *name, uint64_t device, char ret[RESTING_KEY])
{
    snprintf(ret, RESTING_KEY, "resting.%s.%016llx", name, (unsigned long long)device);
}

enum sotto_err sotto_seal_rest(struct sotto_engine *e, const char *name, uint64_t device,
                               uint8_t (*ids)[SOTTO_SESSION_ID], size_t count)
{
    char key[RESTING_KEY];

    resting_key(name, device, key);
    return count == 0 ? sotto_setting_drop(e->p, key)
                      : sotto_setting_put(e->p, key, ids, count * SOTTO_SESSION_ID);
}

enum sotto_err sotto_seal_session(struct sotto_engine *e, const char *name, uint64_t device,
                                  struct sotto_session **ret)
{
    SOTTO_AUTO_BUF resting = SOTTO_BUF(SOTTO_SESSIONS_KEPT * SOTTO_SESSION_ID);
    uint64_t now = sotto_now_ms(e->env);
    struct choice c = {.newer_than = now > SOTTO_SESSION_MS ? now - SOTTO_SESSION_MS : 0};
    char key[RESTING_KEY];
    enum sotto_err err;

    resting_key(name, device, key);
    err = sotto_setting_get(e->p, key, &resting);
    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    c.resting = (struct sotto_bytes){resting.p, resting.n};
    err = sotto_sessions_each(e->p, name, device, choose, &c);
    if (err != SOTTO_OK) {
        sotto_session_free(c.best);
        return err;
    }
    if (c.best == NULL)
        return SOTTO_ERR_NOT_FOUND;
    *ret = c.best;
    return SOTTO_OK;
}

/*
 * The relay gives the same asker the same one-time key for a day, so that a lost answer costs
 * nothing. A key that was used once is gone at its owner: a second handshake within that day goes
 * under the last-resort key, and so do all of them for a day after we came back from an older copy
 * of the profile, which has forgotten what it used. Setting "used.<device>": the last one used.
 */
static enum sotto_err may_use(struct sotto_engine *e, const struct sotto_prekey *k, bool *ret)
{
    uint64_t last = 0, healed = 0;
    char key[RESTING_KEY];
    enum sotto_err err;

    snprintf(key, sizeof key, "used.%016llx", (unsigned long long)k->device);
    if ((err = sotto_setting_get_u64(e->p, key, &last)) != SOTTO_OK ||
        (err = sotto_setting_get_u64(e->p, "heal.ms", &healed)) != SOTTO_OK)
        return err;
    *ret = last != k->id && (healed == 0 || sotto_now_ms(e->env) > healed + DAY_MS);
    return *ret ? sotto_setting_put_u64(e->p, key, k->id) : SOTTO_OK;
}

/* *one_time: is it wanted; is there one that may be used. */
static enum sotto_err take_bundle(struct sotto_engine *e, const struct sotto_device *device,
                                  const struct sotto_answer *a, struct sotto_prekey keys[2],
                                  bool *one_time)
{
    enum sotto_err err =
        sotto_prekey_parse(a->u.bundle.signed_prekey.p, a->u.bundle.signed_prekey.n, &keys[0]);

    *one_time = *one_time && a->u.bundle.one_time.n > 0;
    if (err != SOTTO_OK || !*one_time)
        return err;
    if ((err = sotto_prekey_parse(a->u.bundle.one_time.p, a->u.bundle.one_time.n, &keys[1])) !=
        SOTTO_OK)
        return err;
    if (keys[1].device != device->id) /* before it is noted as used */
        return SOTTO_ERR_USAGE;
    return may_use(e, &keys[1], one_time);
}

enum sotto_err sotto_seal_initiate(struct sotto_engine *e, const struct sotto_list *list,
                                   const struct sotto_device *device, const struct sotto_answer *a,
                                   bool one_time, struct sotto_session **ret)
{
    struct sotto_prekey *keys = calloc(2, sizeof *keys);
    struct sotto_device self;
    struct sotto_party us = {&e->us, &self, e->generation};
    struct sotto_party them = {&list->account, device, 0};
    enum sotto_err err = SOTTO_ERR_NOMEM;

    sotto_self_device(e, &self);
    if (keys != NULL && (err = take_bundle(e, device, a, keys, &one_time)) == SOTTO_OK) {
        them.generation = keys[0].generation;
        err = sotto_session_initiate(e->env, &us, &e->keys.dh, &them, &keys[0],
                                     one_time ? &keys[1] : NULL, sotto_now_ms(e->env), ret);
    }
    free(keys);
    return err;
}

enum sotto_err sotto_session_save(struct sotto_engine *e, const char *name, uint64_t device,
                                  const struct sotto_session *s)
{
    SOTTO_AUTO_BUF record = SOTTO_BUF(1024 * 1024);
    uint64_t now = sotto_now_ms(e->env);
    enum sotto_err err;

    if ((err = sotto_session_write(s, &record)) != SOTTO_OK ||
        (err = sotto_sessions_put(e->p, name, device, sotto_session_id(s), record.p, record.n,
                                  now)) != SOTTO_OK)
        return err;
    return sotto_sessions_trim(e->p, name, device, SOTTO_SESSIONS_KEPT, now - SOTTO_RECEIVE_ONLY);
}

enum sotto_err sotto_seal_content(struct sotto_engine *e, const struct sotto_list *list,
                                  struct sotto_bytes content, struct sotto_buf *ret)
{
    struct sotto_content *c;
    enum sotto_err err;

    if ((err = sotto_content_decode(content.p, content.n, &c)) != SOTTO_OK)
        return err;
    c->sender_list.version = e->own_list.version;
    memcpy(c->sender_list.hash, e->own_list.hash, 32);
    c->recipient_list.version = list->version;
    memcpy(c->recipient_list.hash, list->hash, 32);
    sotto_buf_clear(ret);
    err = sotto_content_encode(c, ret);
    sotto_content_free(c);
    return err;
}

enum sotto_err sotto_seal_parcel(struct sotto_engine *e, const struct sotto_list *list,
                                 const struct sotto_device *device, struct sotto_session *s,
                                 int64_t item, const struct sotto_buf *content, uint32_t retries)
{
    struct sotto_parcel_record r = {
        .item = item,
        .device = device->id,
        .progress = SOTTO_PARCEL_IS_PENDING,
        .retries = retries,
    };
    size_t room = sotto_session_room(content->n), msg_len, env_len;
    uint8_t *msg = malloc(room), *envelope = malloc(room + SOTTO_ENVELOPE_OVERHEAD);
    enum sotto_err err = SOTTO_ERR_NOMEM;

    if (msg != NULL && envelope != NULL &&
        (err = sotto_session_encrypt(e->env, s, content->p, content->n, msg, room, &msg_len)) ==
            SOTTO_OK &&
        (err = sotto_envelope_seal(e->env, &list->account, device, e->us.name, e->device,
                                   SOTTO_ENVELOPE_MESSAGE, msg, msg_len, envelope,
                                   room + SOTTO_ENVELOPE_OVERHEAD, &env_len)) == SOTTO_OK &&
        (SOTTO_PLANTED(MUTANT_STEP_LOST) ||
         (err = sotto_session_save(e, list->account.name, device->id, s)) == SOTTO_OK)) {
        sotto_envelope_id(envelope, env_len, r.envelope_id);
        r.envelope = (struct sotto_bytes){envelope, env_len};
        err = sotto_parcel_put(e->p, &r);
    }
    free(msg);
    free(envelope);
    return err;
}
