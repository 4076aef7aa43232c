/* SPDX-License-Identifier: Apache-2.0 */
/* Sign-up, device lists, and the end of an account. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "crypto/kdf.h"
#include "relay/core.h"
#include "store/relay_admin.h"

enum sotto_err sotto_relay_list_check(const struct sotto_relay *r, const char *name,
                                      struct sotto_bytes bytes, struct sotto_list *ret)
{
    enum sotto_err e = sotto_list_open(bytes.p, bytes.n, ret);

    if (e != 0)
        return e;
    if (memcmp(ret->account.relay_id, sotto_relay_id(r), 32) != 0 ||
        strcmp(ret->account.name, name) != 0)
        return SOTTO_ERR_USAGE;
    return SOTTO_OK;
}

bool sotto_relay_certificate_ok(const struct sotto_relay_conn *c, bool has,
                                const uint8_t certificate[32])
{
    if (c->r->config.client_certificates == SOTTO_CLIENT_CERTS_OFF)
        return true;
    if (has && c->pin != NULL)
        return sotto_equal(certificate, c->pin, 32);
    return c->r->config.client_certificates != SOTTO_CLIENT_CERTS_REQUIRE;
}

/* CONFLICT, with what the account has after `since`. */
static enum sotto_err refuse_with_lists(struct sotto_relay_conn *c, uint32_t id, int64_t account,
                                        uint32_t since, const char *text)
{
    struct sotto_answer a = {.id = id, .type = SOTTO_ANS_ERROR};
    SOTTO_AUTO_BUF mem = SOTTO_BUF(LIST_FRAME_BUDGET + SOTTO_LIST_MAX);
    struct sotto_rs_lists l;
    enum sotto_err e =
        sotto_rs_lists_since(c->r->store, account, since, LIST_FRAME_BUDGET, &mem, &l);

    if (e != 0)
        return e;
    a.u.error.code = SOTTO_RELAY_CONFLICT;
    memcpy(a.u.error.text, text, strlen(text) + 1);
    a.u.error.list_count = l.count;
    for (size_t i = 0; i < l.count; i++)
        a.u.error.lists[i] = (struct sotto_bytes){mem.p + l.lists[i].at, l.lists[i].len};
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}

/* --- sign-up --- */

static bool prekey_ok(struct sotto_bytes bytes, const struct sotto_device *device)
{
    struct sotto_prekey p;

    return sotto_prekey_parse(bytes.p, bytes.n, &p) == 0 && p.type == SOTTO_PREKEY_SIGNED &&
           sotto_prekey_verify(&p, device) == 0;
}

/* The request's first answer may have been lost: the same account and list again is no news. */
static enum sotto_err register_again(struct sotto_relay_conn *c, const struct sotto_request *q,
                                     const struct sotto_rs_account *account)
{
    uint8_t first[SOTTO_LIST_MAX];
    size_t len = 0;
    enum sotto_err e;

    if (strcmp(account->name, q->u.register_.name) != 0) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_CONFLICT,
                           "this account key has another name on this relay");
        return SOTTO_OK;
    }
    e = sotto_rs_list_get(c->r->store, account->id, 1, first, &len);
    if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
        return e;
    if (e != 0 || len != q->u.register_.list.n || memcmp(first, q->u.register_.list.p, len) != 0)
        return refuse_with_lists(c, q->id, account->id, 0, "this account has another first list");
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

/* Of a sign-up that is being looked at. */
struct admission {
    uint8_t hash[32]; /* of the code */
    bool bound;       /* the invite is for this very name, whoever has it now */
    bool use;         /* one use of the invite is to be taken */
};

/* ret_ok false: refused. */
static enum sotto_err invite_good(struct sotto_relay_conn *c, const struct sotto_request *q,
                                  const struct admission *a, bool *ret_ok)
{
    enum sotto_relay_error code = SOTTO_RELAY_INVITE_UNKNOWN;
    const char *text = "this relay does not know the invite";
    enum sotto_err e = SOTTO_ERR_NOT_FOUND;

    if (q->u.register_.has_code)
        e = sotto_rs_invite_check(c->r->store, a->hash, sotto_now_ms(c->r->env));
    else
        text = "this relay asks for an invite";
    if (e == SOTTO_ERR_GONE) {
        code = SOTTO_RELAY_INVITE_USED;
        text = "the invite was used up; ask for another";
    } else if (e == SOTTO_ERR_EXPIRED) {
        code = SOTTO_RELAY_INVITE_EXPIRED;
        text = "the invite has expired; ask for another";
    } else if (e != 0 && e != SOTTO_ERR_NOT_FOUND) {
        return e;
    }
    *ret_ok = e == 0;
    if (e != 0)
        sotto_relay_refuse(c, q->id, code, text);
    return SOTTO_OK;
}

/* An invite of `sottod reset` is good for one name, in every mode of registration: it is no new
 * account. */
static enum sotto_err look_at_code(struct sotto_relay_conn *c, const struct sotto_request *q,
                                   struct admission *a, bool *ret_ok)
{
    sotto_name name;
    enum sotto_err e;

    *ret_ok = true;
    if (!q->u.register_.has_code)
        return SOTTO_OK;
    sotto_sha256(q->u.register_.code, SOTTO_INVITE_CODE, a->hash);
    e = sotto_rs_invite_name(c->r->store, a->hash, name);
    if (e != 0)
        return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
    a->bound = *ret_ok = strcmp(name, q->u.register_.name) == 0;
    if (!a->bound)
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NAME_INVALID,
                           "this invite is for another name, and for that one only");
    return SOTTO_OK;
}

/* false: refused. A code is looked at before the name, so that nobody without one learns which
 * names are taken. */
static enum sotto_err may_register(struct sotto_relay_conn *c, const struct sotto_request *q,
                                   struct admission *a, bool *ret_may)
{
    enum sotto_err e = look_at_code(c, q, a, ret_may);

    if (e != 0 || !*ret_may)
        return e;
    a->use = a->bound || c->r->config.registration == SOTTO_REGISTRATION_INVITE;
    if (a->use)
        return invite_good(c, q, a, ret_may);
    *ret_may = c->r->config.registration == SOTTO_REGISTRATION_OPEN;
    if (c->r->config.registration == SOTTO_REGISTRATION_CODE)
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NOT_CONFIGURED,
                           "sign-up by code is not set up on this relay");
    else if (!*ret_may)
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_REGISTRATION_CLOSED,
                           "this relay takes no new accounts");
    return SOTTO_OK;
}

/* The account that is there goes, and with it all that its devices would come back for: whoever
 * signs up now has another account key, which its contacts are shown. */
static enum sotto_err replace(struct sotto_relay_conn *c, const struct sotto_rs_account *account)
{
    enum sotto_err e = sotto_relay_account_remove(c->r, account);

    if (e == 0)
        e = sotto_rs_account_forget(c->r->store, account->id);
    if (e == 0)
        sotto_log_info("%s signs up anew with an invite for that name; the account before is gone",
                       account->name);
    return e;
}

static enum sotto_err name_free(struct sotto_relay_conn *c, const struct sotto_request *q,
                                const struct admission *a, bool *ret_free)
{
    struct sotto_rs_account account;
    enum sotto_err e = sotto_rs_account_find(c->r->store, q->u.register_.name, &account);

    *ret_free = e == SOTTO_ERR_NOT_FOUND || (e == 0 && a->bound && !account.gone);
    if (e == SOTTO_ERR_NOT_FOUND)
        return SOTTO_OK;
    if (e != 0)
        return e;
    if (*ret_free)
        return replace(c, &account);
    if (account.gone)
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NAME_GONE,
                           "an account of this name was deleted; names are not given out again");
    else
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NAME_TAKEN, "this name is taken");
    return SOTTO_OK;
}

static enum sotto_err account_make(struct sotto_relay_conn *c, const struct sotto_request *q,
                                   const struct sotto_list *list)
{
    struct sotto_relay_store *s = c->r->store;
    int64_t id = 0;
    enum sotto_err e;

    if ((e = sotto_rs_account_add(s, q->u.register_.name, list->account.key,
                                  q->u.register_.opaque_record, &id)) != 0 ||
        (e = sotto_rs_list_add(s, id, 1, q->u.register_.list)) != 0)
        return e;
    return sotto_rs_device_add(s, id, list->devices[0].id, list->entries[0],
                               q->u.register_.has_certificate ? q->u.register_.certificate : NULL,
                               false, q->u.register_.signed_prekey.p);
}

static bool register_well_formed(struct sotto_relay_conn *c, const struct sotto_request *q,
                                 struct sotto_list *list)
{
    if (sotto_relay_list_check(c->r, q->u.register_.name, q->u.register_.list, list) != 0 ||
        list->version != 1 || list->count != 1)
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST,
                           "a sign-up needs a first device list, signed, for this relay and name");
    else if (!prekey_ok(q->u.register_.signed_prekey, &list->devices[0]))
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST,
                           "the signed pre-key is not this device's");
    else if (!sotto_relay_certificate_ok(c, q->u.register_.has_certificate,
                                         q->u.register_.certificate))
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_CERTIFICATE,
                           "the certificate to be enrolled has to be the one of this connection");
    else
        return true;
    return false;
}

enum sotto_err sotto_relay_register(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_rs_account account;
    struct admission admission = {.use = false};
    struct sotto_list list;
    struct sotto_source source;
    bool ok = false;
    uint64_t wait;
    enum sotto_err e;

    if (!register_well_formed(c, q, &list))
        return SOTTO_OK;
    e = sotto_rs_account_by_key(c->r->store, list.account.key, &account);
    if (e == 0)
        return register_again(c, q, &account);
    if (e != SOTTO_ERR_NOT_FOUND)
        return e;
    source = sotto_relay_source(c);
    wait = sotto_relay_count(c, &c->r->sign_up_guard, &source, sizeof source,
                             c->r->config.sign_ups_per_hour, HOUR_MS);
    if (wait > 0) {
        sotto_relay_refuse_until(c, q->id, wait, "too many sign-ups from this address");
        return SOTTO_OK;
    }
    if ((e = may_register(c, q, &admission, &ok)) != 0 || !ok)
        return e;
    if ((e = name_free(c, q, &admission, &ok)) != 0 || !ok)
        return e;
    if (admission.use && (e = sotto_rs_invite_use(c->r->store, admission.hash)) != 0)
        return e;
    if ((e = account_make(c, q, &list)) != 0)
        return e;
    sotto_relay_attempt_forgiven(c, q->u.register_.name);
    sotto_count(&c->r->counters, SOTTO_COUNT_SIGN_UPS, 1);
    sotto_log_event(SOTTO_LOG_INFO, "sign-up", "new account %s", q->u.register_.name);
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

/* --- device lists --- */

/* What a new list does to each device. */
struct list_change {
    const struct sotto_rs_account *account;
    const struct sotto_list *next;
    struct sotto_rs_link links[SOTTO_LINKS_MAX];
    size_t link_count;
    bool leap; /* the relay came out of a backup: more than one version ahead, or others know it */
};

static const struct sotto_rs_link *link_of(const struct list_change *ch, size_t i)
{
    for (size_t k = 0; k < ch->link_count; k++)
        if (ch->links[k].device == ch->next->devices[i].id)
            return &ch->links[k];
    return NULL;
}

/* Only what is there already or asks to be listed, with the entry that was approved. */
static enum sotto_err devices_known(struct sotto_relay_conn *c, const struct list_change *ch,
                                    bool *ret_known)
{
    *ret_known = true;
    for (size_t i = 0; i < ch->next->count && !ch->leap; i++) {
        const struct sotto_rs_link *l = link_of(ch, i);
        struct sotto_rs_device d;
        enum sotto_err e =
            sotto_rs_device_find(c->r->store, ch->account->id, ch->next->devices[i].id, &d);

        if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
            return e;
        if (e == 0 && d.listed)
            continue;
        if (l == NULL || memcmp(l->entry, ch->next->entries[i], SOTTO_ENTRY_BYTES) != 0)
            *ret_known = false;
    }
    return SOTTO_OK;
}

static enum sotto_err device_enter(struct sotto_relay_conn *c, const struct list_change *ch,
                                   size_t i, struct effect_list *pushed)
{
    const struct sotto_rs_link *l = link_of(ch, i);
    uint64_t id = ch->next->devices[i].id;
    struct sotto_relay_store *s = c->r->store;
    struct effect *f;
    enum sotto_err e;

    if (l != NULL && memcmp(l->entry, ch->next->entries[i], SOTTO_ENTRY_BYTES) != 0)
        l = NULL;
    if (l == NULL)
        return sotto_rs_device_add(s, ch->account->id, id, ch->next->entries[i], NULL, true, NULL);
    if ((e = sotto_rs_device_add(s, ch->account->id, id, l->entry,
                                 l->has_certificate ? l->certificate : NULL, false,
                                 l->signed_prekey)) != 0 ||
        (e = sotto_rs_link_drop(s, ch->account->id, id)) != 0)
        return e;
    if ((f = sotto_relay_effect(c->r, EFFECT_LINKED)) == NULL)
        return SOTTO_ERR_NOMEM;
    f->account = ch->account->id;
    f->device = id;
    f->list = pushed;
    return SOTTO_OK;
}

static enum sotto_err devices_drop(struct sotto_relay_conn *c, const struct list_change *ch)
{
    struct sotto_rs_box boxes[SOTTO_DEVICES_MAX];
    size_t count = 0;
    struct effect *f;
    struct box *b;
    enum sotto_err e = sotto_rs_devices(c->r->store, ch->account->id, boxes, &count);

    for (size_t i = 0; e == 0 && i < count; i++) {
        if (sotto_list_find(ch->next, boxes[i].device) != NULL)
            continue;
        if ((b = sotto_relay_box(c->r, boxes[i].box)) == NULL ||
            (f = sotto_relay_effect(c->r, EFFECT_END_BOX)) == NULL)
            return SOTTO_ERR_NOMEM;
        f->box = b->id;
        f->seq = sotto_box_next_seq(c->r, b) - 1;
        if ((e = sotto_rs_floor_raise(c->r->store, b->id, f->seq)) != 0 ||
            (e = sotto_rs_device_drop(c->r->store, b->id)) != 0)
            return e;
    }
    return e;
}

static enum sotto_err list_apply(struct sotto_relay_conn *c, const struct list_change *ch,
                                 struct sotto_bytes bytes)
{
    struct sotto_relay_store *s = c->r->store;
    struct effect_list *pushed = sotto_relay_effect_list(c->r, bytes);
    struct effect *f;
    enum sotto_err e;

    if (pushed == NULL)
        return SOTTO_ERR_NOMEM;
    if ((e = devices_drop(c, ch)) != 0)
        return e;
    for (size_t i = 0; i < ch->next->count; i++) {
        struct sotto_rs_device d;

        e = sotto_rs_device_find(s, ch->account->id, ch->next->devices[i].id, &d);
        if (e == 0 && d.listed)
            e = sotto_rs_device_entry(s, d.box, ch->next->entries[i]);
        else if (e == 0 || e == SOTTO_ERR_NOT_FOUND)
            e = device_enter(c, ch, i, pushed);
        if (e != 0)
            return e;
    }
    sotto_directory_forget(c->r, ch->account->name);
    if ((e = sotto_rs_list_add(s, ch->account->id, ch->next->version, bytes)) != 0)
        return e;
    if ((f = sotto_relay_effect(c->r, EFFECT_LIST)) == NULL)
        return SOTTO_ERR_NOMEM;
    f->conn = c;
    f->account = ch->account->id;
    f->list = pushed;
    return SOTTO_OK;
}

/* Where a list stands to the newest one. CONFLICT; EXISTS: it is that one. */
static enum sotto_err list_place(struct sotto_relay_conn *c, const struct sotto_rs_account *account,
                                 const struct sotto_list *next, struct sotto_bytes bytes,
                                 bool *ret_leap)
{
    struct sotto_list *now;
    uint8_t raw[SOTTO_LIST_MAX];
    size_t len = 0;
    enum sotto_err e = sotto_rs_list_get(c->r->store, account->id, account->version, raw, &len);

    if (e != 0)
        return e == SOTTO_ERR_NOT_FOUND ? SOTTO_ERR_BUG : e;
    if (next->version == account->version)
        return len == bytes.n && memcmp(raw, bytes.p, len) == 0 ? SOTTO_ERR_EXISTS
                                                                : SOTTO_ERR_CONFLICT;
    if (next->version < account->version)
        return SOTTO_ERR_CONFLICT;
    *ret_leap = next->version - account->version > 1;
    if (*ret_leap)
        return SOTTO_OK;
    if ((now = malloc(sizeof *now)) == NULL)
        return SOTTO_ERR_NOMEM;
    e = sotto_list_open(raw, len, now);
    if (e == 0 && memcmp(now->hash, next->prev_hash, sizeof now->hash) != 0)
        e = SOTTO_ERR_CONFLICT;
    free(now);
    return e == 0 || e == SOTTO_ERR_CONFLICT ? e : SOTTO_ERR_BUG;
}

static enum sotto_err list_put(struct sotto_relay_conn *c, const struct sotto_request *q,
                               const struct sotto_rs_account *account,
                               const struct sotto_list *next)
{
    struct list_change ch = {.account = account, .next = next};
    uint64_t now = sotto_now_ms(c->r->env);
    bool known = false;
    enum sotto_err e = list_place(c, account, next, q->u.put_list.list, &ch.leap);

    if (e == SOTTO_ERR_CONFLICT)
        return refuse_with_lists(c, q->id, account->id,
                                 next->version > account->version ? account->version - 1
                                                                  : next->version - 1,
                                 "the account has another list already");
    if (e == SOTTO_ERR_EXISTS) {
        sotto_relay_done(c, q->id);
        return SOTTO_OK;
    }
    ch.leap = ch.leap || account->id != c->s.account;
    if (e != 0 ||
        (e = sotto_rs_links(c->r->store, account->id, now > LINK_MS ? now - LINK_MS : 0, ch.links,
                            &ch.link_count)) != 0 ||
        (e = devices_known(c, &ch, &known)) != 0)
        return e;
    if (!known) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_UNKNOWN_DEVICE,
                           "the list names a device that does not ask to be listed (any more)");
        return SOTTO_OK;
    }
    if ((e = list_apply(c, &ch, q->u.put_list.list)) != 0)
        return e;
    sotto_log_info("%s has a new device list: version %u, devices %zu", account->name,
                   next->version, next->count);
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

/* Of the own account; or of another one, from somebody who was given it before this relay was put
 * back. Its owner signed it, whoever shows it, and nobody is given one that was never taken. */
enum sotto_err sotto_relay_put_list(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_bytes bytes = q->u.put_list.list;
    struct sotto_list *next = malloc(sizeof *next);
    struct sotto_rs_account account = {.gone = false};
    enum sotto_err e;

    if (next == NULL)
        return SOTTO_ERR_NOMEM;
    e = sotto_list_open(bytes.p, bytes.n, next) != 0 ||
                memcmp(next->account.relay_id, sotto_relay_id(c->r), 32) != 0
            ? SOTTO_ERR_NOT_FOUND
            : sotto_rs_account_find(c->r->store, next->account.name, &account);
    if (e == 0 && !account.gone && memcmp(next->account.key, account.key, 32) != 0)
        e = SOTTO_ERR_NOT_FOUND;
    if (e == SOTTO_ERR_NOT_FOUND) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_REQUEST,
                           "this is not a list of an account of this relay, signed by its key");
        e = SOTTO_OK;
    } else if (e == 0 && account.gone) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_NAME_GONE, "this account was deleted");
    } else if (e == 0) {
        e = list_put(c, q, &account, next);
    }
    free(next);
    return e;
}

/* Every name gets its newest list; older ones as long as the frame has room. */
enum sotto_err sotto_relay_get_lists(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    SOTTO_AUTO_BUF mem = SOTTO_BUF(LIST_FRAME_BUDGET + SOTTO_GET_LISTS_MAX * SOTTO_LIST_MAX);
    struct sotto_rs_lists found[SOTTO_GET_LISTS_MAX];
    struct sotto_answer a = {.id = q->id, .type = SOTTO_ANS_LISTS};
    size_t count = q->u.get_lists.count;

    for (size_t i = 0; i < count; i++) {
        struct sotto_lists_since *since = &a.u.lists.since[i];
        struct sotto_rs_account account;
        enum sotto_err e =
            sotto_rs_account_find(c->r->store, q->u.get_lists.known[i].name, &account);

        memcpy(since->name, q->u.get_lists.known[i].name, sizeof since->name);
        since->unknown = e == SOTTO_ERR_NOT_FOUND;
        since->gone = e == 0 && account.gone;
        found[i].count = 0;
        if (e == 0 && !account.gone)
            e = sotto_rs_lists_since(c->r->store, account.id, q->u.get_lists.known[i].version,
                                     LIST_FRAME_BUDGET / count, &mem, &found[i]);
        if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
            return e;
    }
    a.u.lists.count = count;
    for (size_t i = 0; i < count; i++) {
        a.u.lists.since[i].count = found[i].count;
        for (size_t k = 0; k < found[i].count; k++)
            a.u.lists.since[i].lists[k] =
                (struct sotto_bytes){mem.p + found[i].lists[k].at, found[i].lists[k].len};
    }
    sotto_relay_answer(c, &a);
    return SOTTO_OK;
}

/* --- the end of an account --- */

enum sotto_err sotto_relay_delete_account(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct sotto_rs_account account;
    enum sotto_err e = sotto_rs_account_of(c->r->store, c->s.account, &account);

    if (e != 0)
        return e == SOTTO_ERR_NOT_FOUND ? SOTTO_ERR_BUG : e;
    if (account.gone) {
        sotto_relay_done(c, q->id);
        return SOTTO_OK;
    }
    if (sotto_delete_proof_verify(account.key, c->exporter, sotto_relay_id(c->r), account.name,
                                  q->u.delete_account.proof) != 0) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_BAD_PROOF,
                           "only the holder of the account key can delete the account");
        return SOTTO_OK;
    }
    if ((e = sotto_relay_account_remove(c->r, &account)) != 0)
        return e;
    sotto_log_info("account %s was deleted by its owner", account.name);
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}
