/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/state.h"
#include "net/cert.h"

/*
 * Sign-up:  OpaqueRegister -> Register -> sign in -> pre-keys -> DONE
 * Login:    OpaqueLogin -> OpaqueFinish -> Link -> (code on both screens, approval)
 *           -> ListChanged -> sign in -> pre-keys -> DONE
 *
 * Keys are on disk before the relay hears of them, and are the same after a lost answer: the relay
 * takes the same account key again without complaint.
 */
enum phase {
    SIGNUP_WAITING, /* for the connection */
    SIGNUP_OPAQUE,
    SIGNUP_SENT,
    LOGIN_ASKED,
    LOGIN_SHOWN = 4, /* waits for people; state.h's engine knows this number */
    SIGNUP_LISTED,
};

/* The OPAQUE identities of this run. context lives in the caller's memory. */
static void opaque_ids(const struct sotto_engine *e, const struct job *j, uint8_t context[64],
                       struct sotto_opaque_ids *ret)
{
    static const char label[] = "sotto/1 opaque";

    memcpy(context, label, sizeof label);
    memcpy(context + sizeof label, e->tls.exporter, 32);
    *ret = (struct sotto_opaque_ids){
        .server = {e->hello.id, 32},
        .client = {(const uint8_t *)j->name, strlen(j->name)},
        .context = {context, sizeof label + 32},
    };
}

/* --- keys --- */

static enum sotto_err store_keys(struct sotto_engine *e, bool fresh)
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    /* The list names the other account. */
    if ((err = sotto_setting_drop(e->p, "account.list")) == SOTTO_OK &&
        (err = sotto_identity_write(e)) == SOTTO_OK && fresh &&
        (err = sotto_setting_put_u64(e->p, "sealing.ms", sotto_now_ms(e->env))) == SOTTO_OK)
        err = sotto_sealing_add(e->p, &e->keys.sealing, sotto_now_ms(e->env));
    return sotto_profile_end(e->p, err);
}

/* Keys of an attempt before are taken up again; the name may differ. */
static enum sotto_err prepare_keys(struct sotto_engine *e, const char *name, bool account)
{
    sotto_name old;
    enum sotto_err err = sotto_identity_read(e);
    bool again = err == SOTTO_OK && e->holds_account_key == account &&
                 sotto_equal(e->us.relay_id, e->hello.id, 32);

    memcpy(old, e->us.name, sizeof old);
    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    if (!again) {
        e->holds_account_key = account;
        e->generation = 1;
        if (account) {
            if ((err = sotto_sign_generate(e->env, &e->account_key)) != SOTTO_OK)
                return err;
            memcpy(e->us.key, e->account_key.pub, 32);
        }
        if ((err = sotto_device_keys_generate(e->env, &e->keys)) != SOTTO_OK)
            return err;
        e->device = sotto_device_id(e->keys.sign.pub);
    }
    snprintf(e->us.name, sizeof e->us.name, "%s", name);
    memcpy(e->us.relay_id, e->hello.id, 32);
    if (again && strcmp(old, name) == 0)
        return SOTTO_OK;
    return store_keys(e, !again);
}

/* The first list: the same bytes at every attempt, or a repeated one would look like a fork. */
static enum sotto_err first_list(struct sotto_engine *e, struct sotto_buf *ret)
{
    struct sotto_list list = {.account = e->us, .version = 1, .count = 1};
    uint8_t bytes[SOTTO_LIST_MAX];
    size_t len;
    enum sotto_err err = sotto_setting_get(e->p, "account.list", ret);

    if (err != SOTTO_ERR_NOT_FOUND)
        return err;
    list.time_ms = sotto_now_ms(e->env);
    if ((err = sotto_entry_make(e, list.entries[0])) != SOTTO_OK ||
        (err = sotto_list_sign(&e->account_key, &list, bytes, &len)) != SOTTO_OK ||
        (err = sotto_setting_put(e->p, "account.list", bytes, len)) != SOTTO_OK)
        return err;
    sotto_buf_clear(ret);
    return sotto_buf_add(ret, bytes, len);
}

static enum sotto_err first_signed_prekey(struct sotto_engine *e, struct sotto_prekey *ret)
{
    SOTTO_AUTO_BUF kept = SOTTO_BUF(SOTTO_PREKEY_BYTES);
    enum sotto_err err = sotto_setting_get(e->p, "prekey.signed", &kept);

    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    if (err == SOTTO_OK && sotto_prekey_parse(kept.p, kept.n, ret) == SOTTO_OK &&
        ret->device == e->device)
        return SOTTO_OK;
    return sotto_signed_prekey_make(e, ret);
}

enum sotto_err sotto_engine_certificate(struct sotto_engine *e, struct sotto_buf *ret_pem,
                                        struct sotto_buf *ret_key)
{
    enum sotto_err err;

    if ((err = sotto_setting_get(e->p, "tls.certificate", ret_pem)) == SOTTO_OK)
        err = sotto_setting_get(e->p, "tls.key", ret_key);
    /* One that cannot be read just now is not to be replaced: the relay knows the device by it. */
    if (err != SOTTO_ERR_NOT_FOUND)
        return err;
    sotto_buf_clear(ret_pem);
    sotto_buf_clear(ret_key);
    /* The name in it says nothing about the person: the relay knows the device by the key. */
    if ((err = sotto_cert_client_make("sotto device", ret_pem, ret_key)) != SOTTO_OK ||
        (err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = sotto_setting_put(e->p, "tls.certificate", ret_pem->p, ret_pem->n)) == SOTTO_OK)
        err = sotto_setting_put(e->p, "tls.key", ret_key->p, ret_key->n);
    return sotto_profile_end(e->p, err);
}

static enum sotto_err certificate_pin(struct sotto_engine *e, uint8_t ret[32])
{
    SOTTO_AUTO_BUF pem = SOTTO_BUF(8192);
    SOTTO_AUTO_BUF key = SOTTO_BUF(8192);
    struct sotto_cert *cert = NULL;
    enum sotto_err err = sotto_engine_certificate(e, &pem, &key);

    if (err != SOTTO_OK)
        return err;
    err = sotto_cert_client_load(&(struct sotto_bytes){pem.p, pem.n},
                                 &(struct sotto_bytes){key.p, key.n}, &cert);
    if (err == SOTTO_OK)
        sotto_cert_pin(cert, ret);
    sotto_cert_free(cert);
    return err;
}

/* The account is ours now, here and on the relay. */
static enum sotto_err take_account(struct sotto_engine *e, const struct job *j,
                                   const struct sotto_list *list, struct sotto_bytes data)
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    e->own_list.count = 0;
    if ((err = sotto_setting_put(e->p, "relay.host", j->target.host, strlen(j->target.host))) ==
            SOTTO_OK &&
        (err = sotto_setting_put_u64(e->p, "relay.port", j->target.port)) == SOTTO_OK &&
        (err = sotto_setting_put(e->p, "relay.pins", e->hello.pins, e->hello.pin_count * 32)) ==
            SOTTO_OK &&
        (err = sotto_setting_put(e->p, "relay.incarnation", e->hello.incarnation,
                                 SOTTO_INCARNATION)) == SOTTO_OK &&
        (err = sotto_account_adopt_list(e, list, data)) == SOTTO_OK)
        err = sotto_setting_put_u64(e->p, "account.registered", 1);
    if ((err = sotto_profile_end(e->p, err)) != SOTTO_OK)
        return err;
    snprintf(e->host, sizeof e->host, "%s", j->target.host);
    e->port = j->target.port;
    e->relay = e->hello;
    e->has_relay = true;
    e->registered = true;
    return SOTTO_OK;
}

static void store_account(struct sotto_engine *e, struct job *j, const struct sotto_list *list,
                          struct sotto_bytes data)
{
    enum sotto_err err = take_account(e, j, list, data);

    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    j->phase = SIGNUP_LISTED;
    j->deadline_mono = 0;
    sotto_sign_in(e);
}

/* --- sign-up --- */

static void refused(struct sotto_engine *e, struct job *j, const struct sotto_answer *a)
{
    const char *next;

    switch (a->u.error.code) {
    case SOTTO_RELAY_NAME_TAKEN:
        sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                       "the name %s is taken on this relay. Choose another one; the invite is "
                       "still good",
                       j->name);
        return;
    case SOTTO_RELAY_NAME_GONE:
        sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                       "the name %s was deleted, and names are not given out again. Choose "
                       "another one; the invite is still good",
                       j->name);
        return;
    case SOTTO_RELAY_INVITE_UNKNOWN:
    case SOTTO_RELAY_INVITE_USED:
    case SOTTO_RELAY_INVITE_EXPIRED:
        next = "Ask for a new invite";
        break;
    case SOTTO_RELAY_REGISTRATION_CLOSED:
        next = "Ask the relay's operator";
        break;
    case SOTTO_RELAY_TOO_MANY:
    case SOTTO_RELAY_UNAVAILABLE:
        next = "Try again later";
        break;
    default:
        next = "Nothing was signed up";
    }
    sotto_job_done(e, j, sotto_relay_result(a->u.error.code), "the relay refused: %s. %s",
                   a->u.error.text, next);
}

/* Is this the answer that the job waits for? Says what is wrong with another one. */
static bool answered(struct sotto_engine *e, struct job *j, const struct sotto_answer *a,
                     enum sotto_answer_type type)
{
    if (j == NULL || j->dead || a == NULL)
        return false;
    if (a->type == type)
        return true;
    if (a->type == SOTTO_ANS_ERROR)
        refused(e, j, a);
    else
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay gave a wrong answer");
    return false;
}

static void registered(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    SOTTO_AUTO_BUF bytes = SOTTO_BUF(SOTTO_LIST_MAX);
    struct sotto_list list;
    enum sotto_err err;

    if (p->job == NULL || p->job->dead || a == NULL)
        return;
    if (a->type == SOTTO_ANS_ERROR) {
        refused(e, p->job, a);
        return;
    }
    if ((err = first_list(e, &bytes)) != SOTTO_OK ||
        (err = sotto_list_open(bytes.p, bytes.n, &list)) != SOTTO_OK) {
        sotto_job_cannot_write(e, p->job, err);
        return;
    }
    store_account(e, p->job, &list, (struct sotto_bytes){bytes.p, bytes.n});
}

static void opaque_registered(struct sotto_engine *e, struct pending *p,
                              const struct sotto_answer *a)
{
    struct sotto_request r = {.type = SOTTO_REQ_REGISTER};
    SOTTO_AUTO_BUF list = SOTTO_BUF(SOTTO_LIST_MAX);
    struct sotto_opaque_ids ids;
    struct sotto_prekey signed_key;
    struct job *j = p->job;
    uint8_t context[64], export_key[SOTTO_OPAQUE_KEY];
    enum sotto_err err;

    if (!answered(e, j, a, SOTTO_ANS_OPAQUE_REGISTERED))
        return;
    opaque_ids(e, j, context, &ids);
    err = sotto_opaque_register_finish(e->env, j->opaque, &ids, a->u.opaque_registered.response,
                                       r.u.register_.opaque_record, export_key);
    sotto_wipe(export_key, sizeof export_key);
    if (err != SOTTO_OK || (err = prepare_keys(e, j->name, true)) != SOTTO_OK ||
        (err = first_list(e, &list)) != SOTTO_OK ||
        (err = first_signed_prekey(e, &signed_key)) != SOTTO_OK ||
        (err = certificate_pin(e, r.u.register_.certificate)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    memcpy(r.u.register_.name, j->name, sizeof j->name);
    r.u.register_.has_code = j->invite.has_code;
    memcpy(r.u.register_.code, j->invite.code, sizeof r.u.register_.code);
    r.u.register_.list = (struct sotto_bytes){list.p, list.n};
    r.u.register_.signed_prekey = (struct sotto_bytes){signed_key.bytes, SOTTO_PREKEY_BYTES};
    r.u.register_.has_certificate = true;
    j->phase = SIGNUP_SENT;
    sotto_ask(e, &r, registered, j);
    sotto_wipe(&r, sizeof r);
}

static void start_register(struct sotto_engine *e, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_OPAQUE_REGISTER};
    enum sotto_err err;

    sotto_opaque_client_free(j->opaque);
    j->opaque = NULL;
    err = sotto_opaque_register_start(e->env, j->text, j->text_len, r.u.opaque_register.request,
                                      &j->opaque);
    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    memcpy(r.u.opaque_register.name, j->name, sizeof j->name);
    j->phase = SIGNUP_OPAQUE;
    sotto_ask(e, &r, opaque_registered, j);
}

/* --- login --- */

static void linked(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct job *j = p->job;
    uint8_t entry[SOTTO_ENTRY_BYTES];
    char code[SOTTO_LINK_CODE + 1], device[17];
    struct sotto_link row = {.code = code, .device = device, .ours = true};
    enum sotto_err err;

    if (j == NULL || j->dead || a == NULL)
        return;
    if (a->type == SOTTO_ANS_ERROR) {
        refused(e, j, a);
        return;
    }
    if ((err = sotto_entry_make(e, entry)) != SOTTO_OK ||
        (err = sotto_link_code(&e->us, entry, code)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    snprintf(device, sizeof device, "%016llx", (unsigned long long)e->device);
    j->phase = LOGIN_SHOWN;
    j->deadline_mono = sotto_mono_ms(e->env) + 10 * 60 * 1000;
    if (!sotto_emit(e, j->ref, SOTTO_EVENT_LINK, &row))
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
}

static void ask_link(struct sotto_engine *e, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_LINK};
    struct sotto_prekey signed_key;
    uint8_t entry[SOTTO_ENTRY_BYTES];
    enum sotto_err err;

    if ((err = sotto_entry_make(e, entry)) != SOTTO_OK ||
        (err = first_signed_prekey(e, &signed_key)) != SOTTO_OK ||
        (err = certificate_pin(e, r.u.link.certificate)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    r.u.link.entry = (struct sotto_bytes){entry, sizeof entry};
    r.u.link.signed_prekey = (struct sotto_bytes){signed_key.bytes, SOTTO_PREKEY_BYTES};
    r.u.link.has_certificate = true;
    sotto_ask(e, &r, linked, j);
}

static void logged_in(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct sotto_list *list;
    struct job *j = p->job;
    enum sotto_err err;

    if (j == NULL || j->dead || a == NULL)
        return;
    if (a->type == SOTTO_ANS_ERROR) {
        if (a->u.error.code == SOTTO_RELAY_WRONG_PASSWORD)
            sotto_job_done(e, j, SOTTO_RESULT_PROFILE,
                           "wrong passphrase, or no account %s on this relay", j->name);
        else if (a->u.error.code == SOTTO_RELAY_DENIED)
            sotto_job_done(e, j, SOTTO_RESULT_PROFILE, "the relay refused: %s", a->u.error.text);
        else
            refused(e, j, a);
        return;
    }
    if (a->type != SOTTO_ANS_LOGGED_IN || a->u.logged_in.count == 0 ||
        (list = malloc(sizeof *list)) == NULL) {
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay gave a wrong answer");
        return;
    }
    err = sotto_list_open(a->u.logged_in.lists[a->u.logged_in.count - 1].p,
                          a->u.logged_in.lists[a->u.logged_in.count - 1].n, list);
    if (err != SOTTO_OK || strcmp(list->account.name, j->name) != 0 ||
        !sotto_equal(list->account.relay_id, e->hello.id, 32)) {
        sotto_job_done(e, j, SOTTO_RESULT_SECURITY,
                       "the relay showed a device list that is not this account's");
    } else {
        memcpy(e->us.key, list->account.key, 32);
        if ((err = prepare_keys(e, j->name, false)) == SOTTO_OK) {
            memcpy(e->us.key, list->account.key, 32);
            err = sotto_identity_write(e);
        }
        if (err != SOTTO_OK)
            sotto_job_cannot_write(e, j, err);
        else if (sotto_list_find(list, e->device) != NULL) /* approved while we were away */
            store_account(e, j, list, a->u.logged_in.lists[a->u.logged_in.count - 1]);
        else
            ask_link(e, j);
    }
    free(list);
}

static void challenged(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct sotto_request r = {.type = SOTTO_REQ_OPAQUE_FINISH};
    uint8_t context[64], session_key[SOTTO_OPAQUE_KEY], export_key[SOTTO_OPAQUE_KEY];
    struct sotto_opaque_ids ids;
    struct job *j = p->job;
    enum sotto_err err;

    if (!answered(e, j, a, SOTTO_ANS_OPAQUE_CHALLENGE))
        return;
    opaque_ids(e, j, context, &ids);
    err = sotto_opaque_login_finish(j->opaque, &ids, a->u.opaque_challenge.ke2,
                                    r.u.opaque_finish.ke3, session_key, export_key);
    sotto_wipe(session_key, sizeof session_key);
    sotto_wipe(export_key, sizeof export_key);
    if (err == SOTTO_ERR_BAD_TAG || err == SOTTO_ERR_BAD_KEY) {
        sotto_job_done(e, j, SOTTO_RESULT_PROFILE,
                       "wrong passphrase, or no account %s on this relay", j->name);
        return;
    }
    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    j->phase = LOGIN_ASKED;
    sotto_ask(e, &r, logged_in, j);
    sotto_wipe(&r, sizeof r);
}

static void start_login(struct sotto_engine *e, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_OPAQUE_LOGIN};
    enum sotto_err err;

    sotto_opaque_client_free(j->opaque);
    j->opaque = NULL;
    err = sotto_opaque_login_start(e->env, j->text, j->text_len, r.u.opaque_login.ke1, &j->opaque);
    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    memcpy(r.u.opaque_login.name, j->name, sizeof j->name);
    j->phase = SIGNUP_OPAQUE;
    sotto_ask(e, &r, challenged, j);
}

void sotto_signup_listed(struct sotto_engine *e, const struct sotto_list *list,
                         struct sotto_bytes data)
{
    for (struct job *j = e->jobs; j != NULL; j = j->next) {
        if (j->dead || j->op != SOTTO_OP_LOGIN || j->phase != LOGIN_SHOWN)
            continue;
        /* The code on the screens covered this account key and our entry. */
        if (!sotto_equal(list->account.key, e->us.key, 32) ||
            strcmp(list->account.name, e->us.name) != 0) {
            sotto_job_done(e, j, SOTTO_RESULT_SECURITY,
                           "the relay showed the list of another account key");
        } else if (sotto_list_find(list, e->device) != NULL) {
            store_account(e, j, list, data);
        }
        return;
    }
}

/* --- entry points --- */

void sotto_account_register(struct sotto_engine *e, struct job *j)
{
    j->needs_online = true;
    if (e->phase == LINK_OPEN)
        start_register(e, j);
}

void sotto_account_login(struct sotto_engine *e, struct job *j)
{
    j->needs_online = true;
    if (e->phase == LINK_OPEN)
        start_login(e, j);
}

void sotto_account_open(struct sotto_engine *e)
{
    for (struct job *j = e->jobs; j != NULL; j = j->next) {
        if (j->dead)
            continue;
        if (j->op == SOTTO_OP_REGISTER)
            start_register(e, j);
        else if (j->op == SOTTO_OP_LOGIN)
            start_login(e, j);
        else
            continue;
        return;
    }
}
