/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPAQUE, and what it is for: a new device of an account. Whoever is wrong about the password is
 * slowed down by name and by address, in the same way whether the account exists or not; devices
 * that sign in by their key never come here.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "relay/core.h"

#define CONTEXT      "sotto/1 opaque"
#define NAME_FREE    5
#define ADDRESS_FREE 100 /* a whole company may stand behind it */

/* Milliseconds; also counts the attempt: the answer alone lets a client find out whether it guessed
 * right, so one that goes away with it has failed. A right KE3 takes it back. The answer to a
 * sign-up does the same service for whoever holds a KE2: it counts as well, until the account is
 * made. */
static uint64_t attempt(struct sotto_relay_conn *c, const char *name)
{
    struct sotto_relay *r = c->r;
    uint64_t mono = sotto_mono_ms(r->env);
    struct sotto_source source = sotto_relay_source(c);
    uint64_t by_name = sotto_guard_pause(&r->name_guard, name, strlen(name), NAME_FREE, mono);
    uint64_t by_address =
        sotto_guard_pause(&r->address_guard, &source, sizeof source, ADDRESS_FREE, mono);

    if (by_name > 0 || by_address > 0)
        return by_name > by_address ? by_name : by_address;
    sotto_guard_failed(&r->name_guard, name, strlen(name), mono);
    sotto_guard_failed(&r->address_guard, &source, sizeof source, mono);
    return 0;
}

enum sotto_err sotto_relay_opaque_register(struct sotto_relay_conn *c,
                                           const struct sotto_request *q)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_OPAQUE_REGISTERED};
    const char *name = q->u.opaque_register.name;
    struct sotto_bytes credential = {(const uint8_t *)name, strlen(name)};
    uint64_t wait = attempt(c, name);
    enum sotto_err e;

    if (wait > 0) {
        sotto_relay_refuse_until(c, q->id, wait, "too many attempts for this name; wait a little");
        return SOTTO_OK;
    }
    e = sotto_opaque_register_answer(&c->r->self.opaque, &credential, q->u.opaque_register.request,
                                     a.u.opaque_registered.response);
    if (e == SOTTO_ERR_BAD_KEY || e == SOTTO_ERR_MALFORMED) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST, "the OPAQUE request is not valid");
        return SOTTO_OK;
    }
    if (e == 0)
        sotto_relay_answer(c, &a);
    return e;
}

void sotto_relay_attempt_forgiven(struct sotto_relay_conn *c, const char *name)
{
    struct sotto_source source = sotto_relay_source(c);

    sotto_guard_forgive(&c->r->name_guard, name, strlen(name));
    sotto_guard_take_back(&c->r->address_guard, &source, sizeof source);
}

static enum sotto_err challenge(struct sotto_relay_conn *c, const struct sotto_request *q,
                                const uint8_t *record)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_OPAQUE_CHALLENGE};
    const char *name = q->u.opaque_login.name;
    struct sotto_bytes credential = {(const uint8_t *)name, strlen(name)};
    uint8_t context[sizeof CONTEXT + SOTTO_EXPORTER];
    struct sotto_opaque_ids ids = {
        .server = {sotto_relay_id(c->r), 32},
        .client = credential,
        .context = {context, sizeof context},
    };
    enum sotto_err e;

    if (c->login == NULL && (c->login = calloc(1, sizeof *c->login)) == NULL)
        return SOTTO_ERR_NOMEM;
    memcpy(context, CONTEXT, sizeof CONTEXT);
    memcpy(context + sizeof CONTEXT, c->exporter, SOTTO_EXPORTER);
    e = sotto_opaque_login_answer(c->r->env, &c->r->self.opaque, &ids, &credential, record,
                                  q->u.opaque_login.ke1, a.u.opaque_challenge.ke2, c->login);
    sotto_wipe(context, sizeof context);
    if (e == SOTTO_ERR_BAD_KEY || e == SOTTO_ERR_MALFORMED) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST, "the OPAQUE request is not valid");
        return SOTTO_OK;
    }
    if (e != 0)
        return e;
    c->s.stage = STAGE_CHALLENGED;
    memcpy(c->s.name, name, sizeof c->s.name);
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}

void sotto_relay_login_end(struct sotto_relay_conn *c)
{
    if (c->login != NULL)
        sotto_wipe(c->login, sizeof *c->login);
    free(c->login);
    c->login = NULL;
}

static void too_often(struct sotto_relay_conn *c)
{
    if (sotto_relay_line_due(c, "passwords"))
        sotto_log_peer("%s tried too many passwords", c->address);
    c->broke_protocol = true;
    sotto_relay_end(c, SOTTO_CLOSING_PROTOCOL, "too many wrong passwords on one connection");
}

enum sotto_err sotto_relay_opaque_login(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_rs_account account;
    uint8_t record[SOTTO_OPAQUE_RECORD];
    const uint8_t *given = NULL;
    uint64_t wait;
    enum sotto_err e;

    if (c->tries >= LOGIN_TRIES) {
        too_often(c);
        return SOTTO_OK;
    }
    if ((wait = attempt(c, q->u.opaque_login.name)) > 0) {
        sotto_relay_refuse_until(c, q->id, wait, "too many wrong passwords; wait a little");
        return SOTTO_OK;
    }
    c->tries++;
    e = sotto_rs_account_find(c->r->store, q->u.opaque_login.name, &account);
    /* Looked for in any case, so that a name without an account takes as long. */
    if (e == 0 || e == SOTTO_ERR_NOT_FOUND) {
        bool known = e == 0 && !account.gone;

        if ((e = sotto_rs_opaque_record(c->r->store, known ? account.id : -1, record)) == 0)
            given = record;
    }
    if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
        return e;
    e = challenge(c, q, given);
    sotto_wipe(record, sizeof record);
    return e;
}

/* The newest list of an account, for an answer. */
static enum sotto_err answer_logged_in(struct sotto_relay_conn *c, uint32_t id,
                                       const struct sotto_rs_account *account)
{
    struct sotto_answer a = {.id = id, .type = SOTTO_ANS_LOGGED_IN};
    uint8_t list[SOTTO_LIST_MAX];
    size_t len = 0;
    enum sotto_err e = sotto_rs_list_get(c->r->store, account->id, account->version, list, &len);

    if (e != 0)
        return e == SOTTO_ERR_NOT_FOUND ? SOTTO_ERR_BUG : e;
    a.u.logged_in.count = 1;
    a.u.logged_in.lists[0] = (struct sotto_bytes){list, len};
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}

enum sotto_err sotto_relay_opaque_finish(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_relay *r = c->r;
    struct sotto_rs_account account;
    enum sotto_err e = sotto_opaque_login_check(c->login, q->u.opaque_finish.ke3);

    sotto_relay_login_end(c);
    c->s.stage = STAGE_OPEN;
    if (e == 0 && (e = sotto_rs_account_find(r->store, c->s.name, &account)) != 0 &&
        e != SOTTO_ERR_NOT_FOUND)
        return e;
    if (e != 0 || account.gone) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_WRONG_PASSWORD, "wrong passphrase");
        if (c->tries >= LOGIN_TRIES)
            too_often(c);
        return SOTTO_OK;
    }
    sotto_relay_attempt_forgiven(c, c->s.name);
    c->tries = 0;
    if (account.disabled) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_DENIED, DISABLED_TEXT);
        return SOTTO_OK;
    }
    c->s.stage = STAGE_LOGGED_IN;
    c->s.account = account.id;
    return answer_logged_in(c, q->id, &account);
}

/* --- asking to be listed --- */

/* A device of this account, its own signature over its entry, and a pre-key of it. */
static enum sotto_err link_check(struct sotto_relay_conn *c, const struct sotto_request *q,
                                 const struct sotto_rs_account *account,
                                 struct sotto_device *device)
{
    struct sotto_account who = {.name = {0}};
    struct sotto_prekey prekey;
    enum sotto_err e;

    memcpy(who.relay_id, sotto_relay_id(c->r), 32);
    memcpy(who.name, account->name, sizeof who.name);
    memcpy(who.key, account->key, 32);
    if ((e = sotto_entry_open(q->u.link.entry.p, q->u.link.entry.n, &who, device)) != 0 ||
        (e = sotto_prekey_parse(q->u.link.signed_prekey.p, q->u.link.signed_prekey.n, &prekey)) !=
            0)
        return e;
    if (prekey.type != SOTTO_PREKEY_SIGNED)
        return SOTTO_ERR_MALFORMED;
    return sotto_prekey_verify(&prekey, device);
}

static enum sotto_err link_store(struct sotto_relay_conn *c, const struct sotto_request *q,
                                 const struct sotto_device *device)
{
    struct sotto_rs_link link = {.device = device->id, .asked_at_ms = sotto_now_ms(c->r->env)};
    struct effect *f;
    enum sotto_err e;

    memcpy(link.entry, q->u.link.entry.p, sizeof link.entry);
    memcpy(link.signed_prekey, q->u.link.signed_prekey.p, sizeof link.signed_prekey);
    link.has_certificate = q->u.link.has_certificate;
    memcpy(link.certificate, q->u.link.certificate, sizeof link.certificate);
    if ((e = sotto_rs_link_put(c->r->store, c->s.account, &link)) != 0)
        return e;
    if ((f = sotto_relay_effect(c->r, EFFECT_LINK_ASKED)) == NULL)
        return SOTTO_ERR_NOMEM;
    f->account = c->s.account;
    c->s.stage = STAGE_LINKING;
    c->s.device = device->id;
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

static enum sotto_err links_now(struct sotto_relay_conn *c, struct sotto_rs_link *links,
                                size_t *ret_count)
{
    uint64_t now = sotto_now_ms(c->r->env);

    return sotto_rs_links(c->r->store, c->s.account, now > LINK_MS ? now - LINK_MS : 0, links,
                          ret_count);
}

enum sotto_err sotto_relay_link(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_rs_link links[SOTTO_LINKS_MAX];
    struct sotto_rs_account account;
    struct sotto_rs_device listed;
    struct sotto_device device;
    bool known = false;
    size_t count = 0;
    enum sotto_err e = sotto_rs_account_of(c->r->store, c->s.account, &account);

    if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
        return e;
    if (e != 0 || account.gone) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NAME_GONE, "this account was deleted");
        return SOTTO_OK;
    }
    if (link_check(c, q, &account, &device) != 0) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST,
                           "the entry or the pre-key is not rightly signed");
        return SOTTO_OK;
    }
    if (!sotto_relay_certificate_ok(c, q->u.link.has_certificate, q->u.link.certificate)) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_CERTIFICATE,
                           "the certificate to be enrolled has to be the one of this connection");
        return SOTTO_OK;
    }
    e = sotto_rs_device_find(c->r->store, account.id, device.id, &listed);
    if (e == 0 && listed.listed) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_CONFLICT, "this device is listed already");
        return SOTTO_OK;
    }
    if ((e != 0 && e != SOTTO_ERR_NOT_FOUND) || (e = links_now(c, links, &count)) != 0)
        return e;
    for (size_t i = 0; i < count; i++)
        known = known || links[i].device == device.id;
    if (!known && count >= SOTTO_LINKS_MAX) {
        sotto_relay_refuse_until(c, q->id, LINK_MS, "too many devices wait to be approved");
        return SOTTO_OK;
    }
    return link_store(c, q, &device);
}

enum sotto_err sotto_relay_get_links(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_LINKS};
    struct sotto_rs_link links[SOTTO_LINKS_MAX];
    enum sotto_err e = links_now(c, links, &a.u.links.count);

    if (e != 0)
        return e;
    for (size_t i = 0; i < a.u.links.count; i++) {
        a.u.links.pending[i].entry = (struct sotto_bytes){links[i].entry, sizeof links[i].entry};
        a.u.links.pending[i].asked_at_ms = links[i].asked_at_ms;
    }
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}
