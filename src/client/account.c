/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/state.h"

#define LIST_SIGNED "list.signed" /* setting: a list that the relay may have, or not */

/*
 * Our own account as the profile and the relay have it: identity, list, pre-keys. Sign-up and login
 * are in signup.c. Settings used here:
 *   account.name account.key account.seed(holder of the account key only) account.registered
 *   device.sign device.dh device.sealing device.generation relay.host relay.port relay.id
 * relay.pins relay.incarnation prekey.signed(public bytes) prekey.signed.ms(made) sealing.ms
 * prekey.signed.kept(the one of that time is on the relay) keys.since keys.made(one-time keys: the
 * hour that is counted, and how many)
 * welcome.device(added by a list that is on its way)
 */

static enum sotto_err read_pair(struct sotto_engine *e, const char *key, struct sotto_dh_pair *ret)
{
    struct sotto_secret32 priv SOTTO_WIPED = {0};
    enum sotto_err err = sotto_setting_read(e->p, key, priv.b, sizeof priv.b);

    return err != SOTTO_OK ? err : sotto_dh_from_private(&priv, ret);
}

enum sotto_err sotto_identity_read(struct sotto_engine *e)
{
    struct sotto_secret32 seed SOTTO_WIPED = {0};
    SOTTO_AUTO_BUF name = SOTTO_BUF(SOTTO_NAME_MAX);
    uint64_t generation;
    enum sotto_err err;

    if ((err = sotto_setting_get(e->p, "account.name", &name)) != SOTTO_OK)
        return err;
    memcpy(e->us.name, name.p, name.n);
    e->us.name[name.n] = '\0';
    if ((err = sotto_setting_read(e->p, "account.key", e->us.key, 32)) != SOTTO_OK ||
        (err = sotto_setting_read(e->p, "relay.id", e->us.relay_id, 32)) != SOTTO_OK ||
        (err = sotto_setting_read(e->p, "device.sign", seed.b, sizeof seed.b)) != SOTTO_OK)
        return err;
    sotto_sign_from_seed(&seed, &e->keys.sign);
    if ((err = read_pair(e, "device.dh", &e->keys.dh)) != SOTTO_OK ||
        (err = read_pair(e, "device.sealing", &e->keys.sealing)) != SOTTO_OK ||
        (err = sotto_setting_get_u64(e->p, "device.generation", &generation)) != SOTTO_OK)
        return err;
    e->generation = (uint32_t)generation;
    e->device = sotto_device_id(e->keys.sign.pub);
    err = sotto_setting_read(e->p, "account.seed", seed.b, sizeof seed.b);
    e->holds_account_key = err == SOTTO_OK;
    if (err == SOTTO_OK)
        sotto_sign_from_seed(&seed, &e->account_key);
    return err == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : err;
}

static enum sotto_err write_identity(struct sotto_engine *e)
{
    enum sotto_err err;

    if ((err = sotto_setting_put(e->p, "account.name", e->us.name, strlen(e->us.name))) != 0 ||
        (err = sotto_setting_put(e->p, "account.key", e->us.key, 32)) != 0 ||
        (err = sotto_setting_put(e->p, "relay.id", e->us.relay_id, 32)) != 0 ||
        (err = sotto_setting_put(e->p, "device.sign", e->keys.sign.seed.b, 32)) != 0 ||
        (err = sotto_setting_put(e->p, "device.dh", e->keys.dh.priv.b, 32)) != 0 ||
        (err = sotto_setting_put(e->p, "device.sealing", e->keys.sealing.priv.b, 32)) != 0 ||
        (err = sotto_setting_put_u64(e->p, "device.generation", e->generation)) != 0)
        return err;
    if (e->holds_account_key)
        return sotto_setting_put(e->p, "account.seed", e->account_key.seed.b, 32);
    return sotto_setting_drop(e->p, "account.seed");
}

/* All of it or nothing: half of it would be an identity that nobody has. */
enum sotto_err sotto_identity_write(struct sotto_engine *e)
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    return sotto_profile_end(e->p, write_identity(e));
}

static enum sotto_err load_relay(struct sotto_engine *e)
{
    SOTTO_AUTO_BUF buf = SOTTO_BUF(SOTTO_PINS_MAX * 32 + 256);
    uint64_t port;
    enum sotto_err err;

    if ((err = sotto_setting_get(e->p, "relay.host", &buf)) != SOTTO_OK)
        return err;
    snprintf(e->host, sizeof e->host, "%.*s", (int)buf.n, (const char *)buf.p);
    if ((err = sotto_setting_get_u64(e->p, "relay.port", &port)) != SOTTO_OK ||
        (err = sotto_setting_read(e->p, "relay.id", e->relay.id, 32)) != SOTTO_OK ||
        (err = sotto_setting_get(e->p, "relay.pins", &buf)) != SOTTO_OK)
        return err;
    if (buf.n % 32 != 0 || buf.n > sizeof e->relay.pins)
        return SOTTO_ERR_MALFORMED;
    e->port = (uint16_t)port;
    e->relay.pin_count = buf.n / 32;
    memcpy(e->relay.pins, buf.p, buf.n);
    e->has_relay = true;
    return sotto_setting_read(e->p, "relay.incarnation", e->relay.incarnation, SOTTO_INCARNATION);
}

enum sotto_err sotto_account_load(struct sotto_engine *e)
{
    SOTTO_AUTO_BUF list = SOTTO_BUF(SOTTO_LIST_MAX);
    uint64_t registered, revoked, deleted;
    enum sotto_err err;

    if ((err = sotto_setting_get_u64(e->p, "account.registered", &registered)) != SOTTO_OK ||
        (err = sotto_setting_get_u64(e->p, "account.revoked", &revoked)) != SOTTO_OK ||
        (err = sotto_setting_get_u64(e->p, "account.deleted", &deleted)) != SOTTO_OK)
        return err;
    if (registered == 0)
        return SOTTO_OK;
    if ((err = sotto_identity_read(e)) != SOTTO_OK || (err = load_relay(e)) != SOTTO_OK ||
        (err = sotto_contact_list_get(e->p, e->us.name, false, &list)) != SOTTO_OK ||
        (err = sotto_list_open(list.p, list.n, &e->own_list)) != SOTTO_OK)
        return err == SOTTO_ERR_NOT_FOUND ? SOTTO_ERR_MALFORMED : err;
    e->registered = true;
    e->revoked = revoked != 0;
    e->deleted = deleted != 0;
    if (e->revoked || e->deleted) {
        e->why = SOTTO_ERR_DENIED;
        e->why_result = SOTTO_RESULT_PROFILE;
        snprintf(e->why_text, sizeof e->why_text, "%s",
                 e->deleted ? "the account was deleted. Its messages stay readable here"
                            : "this device was removed from the account. Its messages stay "
                              "readable here");
    }
    return SOTTO_OK;
}

/* --- the own entry and list --- */

enum sotto_err sotto_entry_make(struct sotto_engine *e, uint8_t ret[SOTTO_ENTRY_BYTES])
{
    struct sotto_device d = {.id = e->device, .generation = e->generation};
    uint64_t since = 0;
    enum sotto_err err = sotto_setting_get_u64(e->p, "sealing.ms", &since);

    if (err != SOTTO_OK)
        return err;
    memcpy(d.sign_pub, e->keys.sign.pub, 32);
    memcpy(d.dh_pub, e->keys.dh.pub, 32);
    memcpy(d.sealing_pub, e->keys.sealing.pub, 32);
    d.sealing_expires_ms = since + SOTTO_SEALING_MS;
    return sotto_entry_sign(&e->keys.sign, &e->us, &d, ret);
}

/* Whoever was added gets to know our contacts, also when the relay's answer to the list that added
 * him was lost. */
static enum sotto_err welcome_added(struct sotto_engine *e, const struct sotto_list *list)
{
    uint64_t added;
    enum sotto_err err = sotto_setting_get_u64(e->p, "welcome.device", &added);

    if (err != SOTTO_OK || added == 0 || sotto_list_find(list, added) == NULL)
        return err;
    if ((err = sotto_devices_welcome(e, added)) != SOTTO_OK)
        return err;
    return sotto_setting_drop(e->p, "welcome.device");
}

/* older: it shows that we are an older copy. */
static enum sotto_err adopt(struct sotto_engine *e, const struct sotto_list *list,
                            struct sotto_bytes data, bool older)
{
    struct sotto_contact_record me;
    enum sotto_err err;

    if (!sotto_equal(list->account.key, e->us.key, 32) ||
        strcmp(list->account.name, e->us.name) != 0 ||
        !sotto_equal(list->account.relay_id, e->us.relay_id, 32))
        return SOTTO_ERR_NEW_IDENTITY;
    if (e->own_list.count > 0 && (err = sotto_list_follows(&e->own_list, list)) != SOTTO_OK)
        return err;
    if ((err = sotto_contact_load(e, e->us.name, &me)) != SOTTO_OK)
        return err;
    me.has_list = true;
    memcpy(me.account_key, list->account.key, 32);
    me.list_version = list->version;
    memcpy(me.list_hash, list->hash, 32);
    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = sotto_contact_put(e->p, &me)) == SOTTO_OK)
        err = sotto_contact_list_put(e->p, e->us.name, false, data.p, data.n);
    if (err == SOTTO_OK)
        err = sotto_list_replaces(e, &e->own_list, list);
    for (size_t i = 0; err == SOTTO_OK && i < list->count; i++)
        err = sotto_heard_note(e->p, e->us.name, list->devices[i].id, sotto_now_ms(e->env), true);
    if (err == SOTTO_OK)
        err = welcome_added(e, list);
    if (err == SOTTO_OK && older)
        err = sotto_setting_put_u64(e->p, SOTTO_HEAL_DUE, 1);
    if ((err = sotto_profile_end(e->p, err)) != SOTTO_OK)
        return err;
    e->own_list = *list;
    sotto_list_forget_cached(e, e->us.name);
    return SOTTO_OK;
}

enum sotto_err sotto_account_adopt_list(struct sotto_engine *e, const struct sotto_list *list,
                                        struct sotto_bytes data)
{
    return adopt(e, list, data, false);
}

/* A list that the relay may have taken before it was put back, and shown to the devices in it: no
 * other one may ever have its number. It counts as taken, and another one leaps ahead of the relay.
 */
static void leap_over(struct sotto_engine *e, const struct publish *pub)
{
    struct sotto_list *list = malloc(sizeof *list);

    if (list != NULL &&
        sotto_account_adopt_list(e, &pub->list, (struct sotto_bytes){pub->bytes, pub->len}) ==
            SOTTO_OK) {
        *list = e->own_list;
        (void)sotto_account_publish(e, list, 0, NULL);
    }
    free(list);
}

/* One that comes from the relay. */
static enum sotto_err take_list(struct sotto_engine *e, const struct sotto_list *list,
                                struct sotto_bytes data)
{
    SOTTO_AUTO_BUF ours = SOTTO_BUF(SOTTO_LIST_MAX);
    bool older = false;
    enum sotto_err err = sotto_setting_get(e->p, LIST_SIGNED, &ours);

    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    if (list->version > e->own_list.version)
        older = sotto_heal_shown(e, list, ours.n == data.n && memcmp(ours.p, data.p, ours.n) == 0);
    err = adopt(e, list, data, older);
    if (err == SOTTO_OK && older)
        sotto_engine_trouble(e, SOTTO_ERR_CLOSED, "this profile is an older copy, and heals");
    return err;
}

static void published(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct publish *pub = e->publish;
    struct sotto_list next;
    enum sotto_err err;

    e->publish = NULL;
    if (a == NULL || pub == NULL) {
        if (p->job != NULL)
            sotto_job_offline(e, p->job);
        free(pub);
        return;
    }
    if (a->type == SOTTO_ANS_DONE) {
        err = sotto_account_adopt_list(e, &pub->list, (struct sotto_bytes){pub->bytes, pub->len});
        e->relay_list_version = pub->list.version;
        free(pub);
        if (err == SOTTO_OK && (err = sotto_setting_drop(e->p, LIST_SIGNED)) == SOTTO_OK)
            err = sotto_setting_drop(e->p, SOTTO_LIST_LEAP);
        if (err != SOTTO_OK) {
            sotto_job_cannot_write(e, p->job, err);
            sotto_engine_trouble(e, err, "the profile cannot be written");
            return;
        }
        sotto_job_done(e, p->job, SOTTO_RESULT_OK, "the device list is now version %u",
                       e->own_list.version);
        sotto_outbox_pump(e);
        return;
    }
    (void)sotto_setting_drop(e->p, LIST_SIGNED); /* its fate is known */
    if (pub->again && a->type == SOTTO_ANS_ERROR && a->u.error.code == SOTTO_RELAY_UNKNOWN_DEVICE)
        leap_over(e, pub);
    free(pub);
    /* Somebody (another of our processes, or a time before a rollback) was faster: take his. */
    if (a->type == SOTTO_ANS_ERROR)
        for (size_t i = 0; i < a->u.error.list_count; i++)
            if (sotto_list_open(a->u.error.lists[i].p, a->u.error.lists[i].n, &next) == SOTTO_OK)
                (void)take_list(e, &next, a->u.error.lists[i]);
    sotto_job_done(e, p->job, SOTTO_RESULT_FAILED, "the relay did not take the new list: %s",
                   a->type == SOTTO_ANS_ERROR ? a->u.error.text : "wrong answer");
}

enum sotto_err sotto_account_publish(struct sotto_engine *e, struct sotto_list *list,
                                     uint64_t added, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_PUT_LIST};
    struct publish *pub;
    enum sotto_err err;

    /* The number follows a list that we have seen: on a relay's word alone the last one there is
     * would be used up, and no device could ever be revoked again. */
    if (e->publish != NULL || e->relay_list_version > e->own_list.version)
        return SOTTO_ERR_CONFLICT;
    if (added != 0 && (err = sotto_setting_put_u64(e->p, "welcome.device", added)) != SOTTO_OK)
        return err;
    if ((pub = calloc(1, sizeof *pub)) == NULL)
        return SOTTO_ERR_NOMEM;
    list->account = e->us;
    list->version = sotto_heal_list_version(e);
    memcpy(list->prev_hash, e->own_list.hash, 32);
    list->time_ms = sotto_now_ms(e->env);
    if ((err = sotto_list_sign(&e->account_key, list, pub->bytes, &pub->len)) != SOTTO_OK) {
        free(pub);
        return err;
    }
    /* Whatever becomes of it, nothing else may be signed under this number. */
    if ((err = sotto_setting_put(e->p, LIST_SIGNED, pub->bytes, pub->len)) != SOTTO_OK) {
        free(pub);
        return err;
    }
    pub->list = *list;
    e->publish = pub;
    r.u.put_list.list = (struct sotto_bytes){pub->bytes, pub->len};
    sotto_ask(e, &r, published, j);
    return SOTTO_OK;
}

/* A list whose answer was lost, with the connection or the process. */
static bool publish_again(struct sotto_engine *e)
{
    struct sotto_request r = {.type = SOTTO_REQ_PUT_LIST};
    SOTTO_AUTO_BUF bytes = SOTTO_BUF(SOTTO_LIST_MAX);
    struct publish *pub;

    if (e->publish != NULL || sotto_setting_get(e->p, LIST_SIGNED, &bytes) != SOTTO_OK ||
        (pub = calloc(1, sizeof *pub)) == NULL)
        return false;
    if (sotto_list_open(bytes.p, bytes.n, &pub->list) != SOTTO_OK ||
        sotto_list_follows(&e->own_list, &pub->list) != SOTTO_OK) {
        free(pub); /* another one came after ours, or ours was taken */
        (void)sotto_setting_drop(e->p, LIST_SIGNED);
        return false;
    }
    pub->again = true;
    memcpy(pub->bytes, bytes.p, bytes.n);
    pub->len = bytes.n;
    e->publish = pub;
    r.u.put_list.list = (struct sotto_bytes){pub->bytes, pub->len};
    sotto_ask(e, &r, published, NULL);
    return true;
}

static void own_list_put_again(struct sotto_engine *e, struct pending *p,
                               const struct sotto_answer *a)
{
    struct sotto_list *list;

    (void)p;
    if (a == NULL)
        return;
    if (a->type == SOTTO_ANS_DONE) {
        e->relay_list_version = e->own_list.version;
        return;
    }
    /* A restored relay that lacks just the last device takes it from a list that leaps ahead. */
    if (a->type == SOTTO_ANS_ERROR && a->u.error.code == SOTTO_RELAY_UNKNOWN_DEVICE &&
        e->holds_account_key && (list = malloc(sizeof *list)) != NULL) {
        *list = e->own_list;
        (void)sotto_account_publish(e, list, 0, NULL);
        free(list);
        return;
    }
    sotto_log_local("the relay does not take the account's list again: %s",
                    a->type == SOTTO_ANS_ERROR ? a->u.error.text : "wrong answer");
}

static void check_entry(struct sotto_engine *e);

static void own_list_fetched(struct sotto_engine *e, struct pending *p,
                             const struct sotto_answer *a)
{
    (void)p;
    if (a == NULL || a->type != SOTTO_ANS_LISTS || a->u.lists.count != 1)
        return;
    for (size_t i = 0; i < a->u.lists.since[0].count; i++)
        sotto_account_list_changed(e, a->u.lists.since[0].lists[i]);
    e->relay_list_version = e->own_list.version;
    check_entry(e);
}

void sotto_account_list_changed(struct sotto_engine *e, struct sotto_bytes data)
{
    struct sotto_list *list = malloc(sizeof *list);
    enum sotto_err err;

    if (list == NULL) {
        sotto_engine_trouble(e, SOTTO_ERR_NOMEM, "out of memory");
        return;
    }
    if (!e->registered) {
        if (sotto_list_open(data.p, data.n, list) == SOTTO_OK)
            sotto_signup_listed(e, list, data);
        free(list);
        return;
    }
    err = sotto_list_open(data.p, data.n, list);
    if (err == SOTTO_OK)
        err = take_list(e, list, data);
    if (err == SOTTO_ERR_FORK || err == SOTTO_ERR_NEW_IDENTITY) {
        e->security_stop = true;
        sotto_engine_trouble(e, err,
                             "the relay shows a device list of this account that does not follow "
                             "the known one: it may be lying. Ask its operator");
    } else if (err == SOTTO_OK) {
        sotto_outbox_pump(e);
    }
    free(list);
}

/* Is what the list says of this device still so? A linked device cannot sign the list: it tells the
 * ones that may. */
static void check_entry(struct sotto_engine *e)
{
    const struct sotto_device *listed = sotto_list_find(&e->own_list, e->device);
    struct sotto_content c = {.kind = SOTTO_CONTENT_ENTRY_UPDATE};
    uint8_t entry[SOTTO_ENTRY_BYTES];
    struct sotto_list *list;
    enum sotto_err err;

    if (listed == NULL || e->phase != LINK_ONLINE || e->relay_list_version > e->own_list.version)
        return;
    if (listed->generation >= e->generation &&
        sotto_equal(listed->sealing_pub, e->keys.sealing.pub, 32))
        return;
    if ((err = sotto_entry_make(e, entry)) != SOTTO_OK)
        return;
    if (e->holds_account_key) {
        if ((list = malloc(sizeof *list)) == NULL)
            return;
        *list = e->own_list;
        for (size_t i = 0; i < list->count; i++)
            if (list->devices[i].id == e->device)
                memcpy(list->entries[i], entry, sizeof entry);
        (void)sotto_account_publish(e, list, 0, NULL);
        free(list);
    } else if (!e->entry_told) {
        e->entry_told = true;
        c.u.entry_update.entry = (struct sotto_bytes){entry, sizeof entry};
        if (sotto_outbox_queue(e, e->us.name, 0, e->us.name, &c, false) == SOTTO_OK)
            sotto_outbox_pump(e);
    }
}

void sotto_account_entry_update(struct sotto_engine *e, struct sotto_bytes entry)
{
    struct sotto_list *list;
    struct sotto_device d;

    if (!e->holds_account_key || e->phase != LINK_ONLINE ||
        sotto_entry_open(entry.p, entry.n, &e->us, &d) != SOTTO_OK ||
        (list = malloc(sizeof *list)) == NULL)
        return;
    *list = e->own_list;
    for (size_t i = 0; i < list->count; i++)
        if (list->devices[i].id == d.id && d.generation >= list->devices[i].generation) {
            memcpy(list->entries[i], entry.p, SOTTO_ENTRY_BYTES);
            (void)sotto_account_publish(e, list, 0, NULL);
            break;
        }
    free(list);
}

/* --- pre-keys --- */

enum sotto_err sotto_signed_prekey_make(struct sotto_engine *e, struct sotto_prekey *ret)
{
    struct sotto_prekey_private priv;
    uint64_t now = sotto_now_ms(e->env);
    uint32_t id;
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = sotto_prekey_next_id(e->p, &id)) == SOTTO_OK &&
        (err = sotto_prekey_generate(e->env, &e->keys.sign, e->generation, SOTTO_PREKEY_SIGNED, id,
                                     now + SOTTO_PREKEY_LIFETIME_MS, &priv, ret)) == SOTTO_OK) {
        err = sotto_prekey_add(e->p, &priv);
        sotto_prekey_private_wipe(&priv);
        if (err == SOTTO_OK)
            err = sotto_setting_put(e->p, "prekey.signed", ret->bytes, SOTTO_PREKEY_BYTES);
        if (err == SOTTO_OK)
            err = sotto_setting_put_u64(e->p, "prekey.signed.ms", now);
    }
    return sotto_profile_end(e->p, err);
}

/* How many were made in the hour that is counted. In the profile, as the relay may ask a program
 * that runs for a moment for as many as one that runs for days. */
static enum sotto_err keys_made(struct sotto_engine *e, uint64_t *ret_since, uint64_t *ret_made)
{
    uint64_t now = sotto_now_ms(e->env);
    enum sotto_err err = sotto_setting_get_u64(e->p, "keys.since", ret_since);

    if (err == SOTTO_OK)
        err = sotto_setting_get_u64(e->p, "keys.made", ret_made);
    if (err == SOTTO_OK && (now < *ret_since || now >= *ret_since + 3600 * 1000)) {
        *ret_since = now;
        *ret_made = 0;
    }
    return err;
}

static enum sotto_err note_keys_made(struct sotto_engine *e, size_t count)
{
    uint64_t since, made;
    enum sotto_err err = keys_made(e, &since, &made);

    if (err != SOTTO_OK || count == 0 ||
        (err = sotto_setting_put_u64(e->p, "keys.since", since)) != SOTTO_OK ||
        (err = sotto_setting_put_u64(e->p, "keys.made", made + count)) != SOTTO_OK)
        return err;
    return sotto_prekey_trim(e->p, SOTTO_ONE_TIME_KEPT);
}

/* One page: private halves are on disk before the public ones leave. */
static enum sotto_err one_time_page(struct sotto_engine *e, size_t count, struct sotto_prekey *page)
{
    uint64_t expires = sotto_now_ms(e->env) + 365 * DAY_MS;
    enum sotto_err err = sotto_profile_begin(e->p);

    if (err != SOTTO_OK)
        return err;
    for (size_t i = 0; err == SOTTO_OK && i < count; i++) {
        struct sotto_prekey_private priv;
        uint32_t id;

        if ((err = sotto_prekey_next_id(e->p, &id)) == SOTTO_OK &&
            (err = sotto_prekey_generate(e->env, &e->keys.sign, e->generation,
                                         SOTTO_PREKEY_ONE_TIME, id, expires, &priv, &page[i])) ==
                SOTTO_OK) {
            err = sotto_prekey_add(e->p, &priv);
            sotto_prekey_private_wipe(&priv);
        }
    }
    if (err == SOTTO_OK)
        err = note_keys_made(e, count);
    return sotto_profile_end(e->p, err);
}

static bool keys_upload(struct sotto_engine *e);

/* Registration is complete when others can write to us. */
static void keys_settled(struct sotto_engine *e)
{
    e->iterating++;
    for (struct job *j = e->jobs; j != NULL; j = j->next)
        if (!j->dead && (j->op == SOTTO_OP_REGISTER || j->op == SOTTO_OP_LOGIN))
            sotto_job_done(e, j, SOTTO_RESULT_OK, "%s on %s:%u", e->us.name, e->host, e->port);
    e->iterating--;
}

/* An upload whose answer was lost is made again: the setting says which key the relay has. */
static bool signed_key_due(struct sotto_engine *e)
{
    uint64_t made = 0, kept = 0;

    (void)sotto_setting_get_u64(e->p, "prekey.signed.ms", &made);
    (void)sotto_setting_get_u64(e->p, "prekey.signed.kept", &kept);
    return made == 0 || kept != made || sotto_now_ms(e->env) > made + SOTTO_SIGNED_MS;
}

/* The one that the relay has not confirmed, or a new one. */
static enum sotto_err signed_key(struct sotto_engine *e, struct sotto_prekey *ret)
{
    uint8_t bytes[SOTTO_PREKEY_BYTES];
    uint64_t made = 0;
    enum sotto_err err = sotto_setting_get_u64(e->p, "prekey.signed.ms", &made);

    if (err != SOTTO_OK)
        return err;
    if (!e->replace_keys && made != 0 && sotto_now_ms(e->env) <= made + SOTTO_SIGNED_MS &&
        sotto_setting_read(e->p, "prekey.signed", bytes, sizeof bytes) == SOTTO_OK &&
        sotto_prekey_parse(bytes, sizeof bytes, ret) == SOTTO_OK &&
        ret->generation == e->generation)
        return SOTTO_OK;
    return sotto_signed_prekey_make(e, ret);
}

static void note_signed_kept(struct sotto_engine *e)
{
    uint64_t made = 0;

    e->signed_due = false;
    (void)sotto_setting_get_u64(e->p, "prekey.signed.ms", &made);
    (void)sotto_setting_put_u64(e->p, "prekey.signed.kept", made);
}

static void keys_kept(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    e->uploading = false;
    if (a == NULL)
        return;
    if (a->type != SOTTO_ANS_PREKEYS_KEPT) {
        sotto_log_local("the relay did not take new pre-keys: %s",
                        a->type == SOTTO_ANS_ERROR ? a->u.error.text : "wrong answer");
        keys_settled(e);
        return;
    }
    if (p->item != 0)
        note_signed_kept(e);
    e->replace_keys = false;
    if (e->relay_restored) {
        (void)sotto_setting_put(e->p, "relay.incarnation", e->hello.incarnation, SOTTO_INCARNATION);
        memcpy(e->relay.incarnation, e->hello.incarnation, SOTTO_INCARNATION);
        e->relay_restored = false;
    }
    (void)sotto_setting_drop(e->p, "heal.keys");
    e->one_time_left = a->u.prekeys_kept.one_time_left;
    if (!keys_upload(e))
        keys_settled(e);
}

/* How many one-time keys the relay lacks, by its own account: it gets a few in an hour. */
static size_t keys_wanted(struct sotto_engine *e)
{
    uint64_t since, made = SOTTO_ONE_TIME_HOUR;
    size_t want = SOTTO_PAGE_PREKEYS;

    if (!e->replace_keys && e->one_time_left >= SOTTO_ONE_TIME_WANT)
        want = 0;
    else if (!e->replace_keys && SOTTO_ONE_TIME_WANT - e->one_time_left < want)
        want = SOTTO_ONE_TIME_WANT - e->one_time_left;
    if (keys_made(e, &since, &made) != SOTTO_OK || made >= SOTTO_ONE_TIME_HOUR)
        return 0;
    return want > SOTTO_ONE_TIME_HOUR - made ? SOTTO_ONE_TIME_HOUR - made : want;
}

/* false: there is nothing to upload. */
static bool keys_upload(struct sotto_engine *e)
{
    struct sotto_request *r;
    struct sotto_prekey *page = NULL, fresh;
    struct pending *p;
    size_t count;
    enum sotto_err err = SOTTO_ERR_NOMEM;

    if (e->uploading || e->phase != LINK_ONLINE)
        return true;
    count = keys_wanted(e);
    if (count == 0 && !e->signed_due)
        return false;
    r = calloc(1, sizeof *r);
    page = calloc(SOTTO_PAGE_PREKEYS, sizeof *page);
    if (r == NULL || page == NULL)
        goto out;
    r->type = SOTTO_REQ_PUT_PREKEYS;
    r->u.put_prekeys.replace = e->replace_keys;
    if (e->signed_due) {
        if ((err = signed_key(e, &fresh)) != SOTTO_OK)
            goto out;
        r->u.put_prekeys.signed_prekey = (struct sotto_bytes){fresh.bytes, SOTTO_PREKEY_BYTES};
    }
    if ((err = one_time_page(e, count, page)) != SOTTO_OK)
        goto out;
    for (size_t i = 0; i < count; i++)
        r->u.put_prekeys.one_time[i] = (struct sotto_bytes){page[i].bytes, SOTTO_PREKEY_BYTES};
    r->u.put_prekeys.count = count;
    e->uploading = true;
    if ((p = sotto_ask(e, r, keys_kept, NULL)) != NULL)
        p->item = e->signed_due; /* is the signed one in it? */
out:
    free(page);
    free(r);
    if (err != SOTTO_OK)
        sotto_engine_trouble(e, err, "new pre-keys could not be made or kept");
    return true;
}

void sotto_account_keys_low(struct sotto_engine *e, uint32_t left)
{
    e->one_time_left = left;
    if (left < SOTTO_ONE_TIME_LOW)
        (void)keys_upload(e);
}

/* --- being online --- */

void sotto_account_online(struct sotto_engine *e)
{
    struct sotto_request r = {.type = SOTTO_REQ_GET_LISTS};
    SOTTO_AUTO_BUF list = SOTTO_BUF(SOTTO_LIST_MAX);
    uint64_t heal = 0;

    (void)sotto_setting_get_u64(e->p, "heal.keys", &heal);
    if (e->relay_restored) {
        if (sotto_tokens_requeue_all(e) != SOTTO_OK || sotto_item_reopen_stored(e->p) != SOTTO_OK ||
            sotto_receipts_again(e) != SOTTO_OK ||
            sotto_setting_put_u64(e->p, SOTTO_LIST_LEAP, 1) != SOTTO_OK)
            sotto_engine_trouble(e, SOTTO_ERR_IO, "the profile cannot be written");
        sotto_notice(e, "The relay was restored from a backup. What it had not delivered yet is "
                        "being sent again.");
    }
    if (e->relay_list_version > e->own_list.version) {
        r.u.get_lists.count = 1;
        memcpy(r.u.get_lists.known[0].name, e->us.name, sizeof e->us.name);
        r.u.get_lists.known[0].version = e->own_list.version;
        sotto_ask(e, &r, own_list_fetched, NULL);
    } else if (!publish_again(e) && e->relay_list_version < e->own_list.version &&
               sotto_contact_list_get(e->p, e->us.name, false, &list) == SOTTO_OK) {
        r.type = SOTTO_REQ_PUT_LIST;
        r.u.put_list.list = (struct sotto_bytes){list.p, list.n};
        sotto_ask(e, &r, own_list_put_again, NULL);
    }
    e->replace_keys = e->relay_restored || heal != 0;
    e->signed_due = e->replace_keys || signed_key_due(e);
    check_entry(e);
    if (!(e->signed_due || e->replace_keys || e->one_time_left < SOTTO_ONE_TIME_LOW) ||
        !keys_upload(e))
        keys_settled(e);
    if (e->holds_account_key)
        sotto_devices_link_pending(e);
}

/* Envelopes under the one before still open: its private part is kept until they have expired. */
static void rotate_sealing(struct sotto_engine *e, uint64_t now)
{
    struct sotto_dh_pair fresh;
    enum sotto_err err;

    if (sotto_dh_generate(e->env, &fresh) != SOTTO_OK)
        return;
    if ((err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        if ((err = sotto_sealing_add(e->p, &fresh, now)) == SOTTO_OK &&
            (err = sotto_setting_put(e->p, "device.sealing", fresh.priv.b, 32)) == SOTTO_OK)
            err = sotto_setting_put_u64(e->p, "sealing.ms", now);
        err = sotto_profile_end(e->p, err);
    }
    if (err == SOTTO_OK)
        e->keys.sealing = fresh;
    sotto_dh_pair_wipe(&fresh);
}

void sotto_account_tick(struct sotto_engine *e)
{
    uint64_t now = sotto_now_ms(e->env), since = 0;

    if (!e->registered)
        return;
    (void)sotto_prekey_sweep(e->p, now);
    (void)sotto_seen_sweep(e->p, now - SOTTO_SEEN_MS);
    (void)sotto_unasked_sweep(e->p, now - SOTTO_LIFETIME_MS); /* nobody keeps it longer */
    (void)sotto_sealing_sweep(e->p, now - SOTTO_SEALING_KEPT);
    (void)sotto_setting_get_u64(e->p, "sealing.ms", &since);
    if (now > since + SOTTO_SEALING_MS)
        rotate_sealing(e, now);
    if (e->phase != LINK_ONLINE)
        return;
    check_entry(e);
    e->signed_due = e->signed_due || signed_key_due(e);
    if (e->signed_due || e->one_time_left < SOTTO_ONE_TIME_LOW)
        (void)keys_upload(e);
}
