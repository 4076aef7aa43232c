/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/state.h"

/*
 * The outbox on its way: for each account that something is queued for, one step after the other,
 * with one request under way at a time, which is what keeps the order:
 *
 *   no list, or a newer one was named -> GetLists
 *   a device without a session        -> GetBundle, handshake
 *   WAITING                           -> encrypted, envelopes on disk: SEALED
 *   SEALED                            -> Submit; its answer moves each parcel
 *
 * A mailbox that is full, or keys that cannot be had, hold back their device only; the others go
 * on.
 */

struct outgoing *sotto_outgoing(struct sotto_engine *e, const char *name)
{
    struct outgoing *o;

    for (o = e->outgoing; o != NULL; o = o->next)
        if (strcmp(o->name, name) == 0)
            return o;
    if ((o = calloc(1, sizeof *o)) == NULL)
        return NULL;
    snprintf(o->name, sizeof o->name, "%s", name);
    o->next = e->outgoing;
    e->outgoing = o;
    return o;
}

/* Whatever made us wait for a while is looked at anew. */
static void unstall(struct outgoing *o)
{
    o->retry_mono = 0;
    o->missing = false;
    o->bad_count = 0;
}

void sotto_outbox_unstall(struct sotto_engine *e, const char *name)
{
    struct outgoing *o = sotto_outgoing(e, name);

    if (o != NULL)
        unstall(o);
}

void sotto_outbox_offline(struct sotto_engine *e)
{
    for (struct outgoing *o = e->outgoing; o != NULL; o = o->next) {
        unstall(o);
        o->in_flight = o->stuck = 0;
        o->held_count = 0;
        o->judged_again = o->list_shown = false;
    }
}

uint64_t sotto_outbox_deadline(const struct sotto_engine *e)
{
    uint64_t at = UINT64_MAX;

    if (e->phase != LINK_ONLINE)
        return at;
    for (const struct outgoing *o = e->outgoing; o != NULL; o = o->next) {
        if (o->retry_mono != 0 && o->retry_mono < at)
            at = o->retry_mono;
        if (o->held_count > 0 && o->full_mono < at)
            at = o->full_mono;
        if (o->bad_count > 0 && o->bad_mono < at)
            at = o->bad_mono;
    }
    return at;
}

void sotto_outbox_tick(struct sotto_engine *e)
{
    uint64_t now = sotto_mono_ms(e->env);

    for (struct outgoing *o = e->outgoing; o != NULL; o = o->next) {
        if (o->retry_mono != 0 && now >= o->retry_mono)
            unstall(o);
        if (o->held_count > 0 && now >= o->full_mono)
            o->held_count = 0;
        if (o->bad_count > 0 && now >= o->bad_mono)
            o->bad_count = 0;
    }
    if (now >= e->next_housekeeping_mono && e->registered)
        sotto_outbox_expire(e);
}

static bool among(uint64_t device, const uint64_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == device)
            return true;
    return false;
}

bool sotto_outgoing_waits_for_room(const struct outgoing *o, uint64_t device)
{
    return among(device, o->held, o->held_count);
}

/* --- devices that cannot be reached --- */

static const struct bad_device *bad_device(const struct outgoing *o, uint64_t device)
{
    for (size_t i = 0; i < o->bad_count; i++)
        if (o->bad[i].device == device)
            return &o->bad[i];
    return NULL;
}

static bool all_bad(const struct outgoing *o, enum keys_trouble why)
{
    for (size_t i = 0; i < o->bad_count; i++)
        if (o->bad[i].why != why)
            return false;
    return true;
}

/* Left out until its keys are asked for once more. */
static void note_bad(struct sotto_engine *e, struct outgoing *o, uint64_t device,
                     enum keys_trouble why)
{
    if (o->bad_count == SOTTO_DEVICES_MAX || bad_device(o, device) != NULL)
        return;
    o->bad[o->bad_count++] = (struct bad_device){device, why};
    o->bad_pause = o->bad_pause == 0 ? SOTTO_KEYS_RETRY_MS : o->bad_pause * 2;
    if (o->bad_pause > SOTTO_KEYS_RETRY_MAX)
        o->bad_pause = SOTTO_KEYS_RETRY_MAX;
    o->bad_mono = sotto_mono_ms(e->env) + o->bad_pause;
}

enum sotto_err sotto_outgoing_heard(struct sotto_engine *e, const char *name, uint64_t device)
{
    const uint64_t fine = 3600 * 1000; /* nobody needs it exactly, and each time is a write */
    uint64_t now = sotto_now_ms(e->env), last;
    struct outgoing *o = sotto_outgoing(e, name);
    enum sotto_err err;

    if (o == NULL)
        return SOTTO_ERR_NOMEM;
    if (bad_device(o, device) != NULL)
        o->bad_count = 0;
    if (o->missing)
        unstall(o);
    err = sotto_heard_get(e->p, name, device, &last);
    if (err == SOTTO_OK && now < last + fine)
        return SOTTO_OK;
    return err == SOTTO_OK || err == SOTTO_ERR_NOT_FOUND
               ? sotto_heard_note(e->p, name, device, now, false)
               : err;
}

bool sotto_device_dormant(struct sotto_engine *e, const char *name, uint64_t device)
{
    uint64_t last;

    return sotto_heard_get(e->p, name, device, &last) == SOTTO_OK &&
           sotto_now_ms(e->env) > last + SOTTO_DORMANT_MS;
}

/* The send calls whose message has not reached this account's mailboxes end with the same words. */
void sotto_outbox_tell(struct sotto_engine *e, const char *name, enum sotto_result result,
                       const char *text)
{
    e->iterating++;
    for (struct job *j = e->jobs; j != NULL; j = j->next)
        if (!j->dead && j->op == SOTTO_OP_SEND && strcmp(j->name, name) == 0 && j->phase > 0 &&
            !sotto_outbox_is_stored(e, j->id))
            sotto_job_done(e, j, result, "%s", text);
    e->iterating--;
}

void sotto_outgoing_later(struct sotto_engine *e, struct outgoing *o, uint64_t ms)
{
    o->retry_mono = sotto_mono_ms(e->env) + ms;
}

void sotto_store_trouble(struct sotto_engine *e, enum sotto_err err)
{
    if (err != SOTTO_OK)
        sotto_engine_trouble(e, err, "the profile cannot be written");
}

/* --- lists and bundles --- */

/* Everything that is still to go to an account that is not there. What was written to a name that
 * never existed is not kept. */
static enum sotto_err fail_all(struct sotto_engine *e, struct outgoing *o, const char *reason,
                               bool forget)
{
    enum sotto_err err = SOTTO_OK;

    while (err == SOTTO_OK) {
        struct work w = {0};

        err = sotto_item_open(e->p, o->name, 0, 1, sotto_work_take, &w);
        if (err == SOTTO_OK && w.found && w.item.kind == SOTTO_CONTENT_TEXT)
            err = sotto_outbox_fail(e, w.item.content_id, reason);
        if (err == SOTTO_OK && w.found && forget && w.item.kind == SOTTO_CONTENT_TEXT &&
            (err = sotto_message_delete(e->p, w.item.content_id)) == SOTTO_ERR_NOT_FOUND)
            err = SOTTO_OK; /* the person was faster */
        if (err == SOTTO_OK)
            err = w.found ? sotto_item_drop(e->p, w.item.id) : SOTTO_ERR_NOT_FOUND;
        sotto_work_free(&w);
    }
    return err == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : err;
}

/* Somebody whose list we have was there. A relay that came out of an old backup may not know him
 * until he signs in: nothing is thrown away. */
static void missing_account(struct sotto_engine *e, struct outgoing *o)
{
    char text[160];

    snprintf(text, sizeof text,
             "the relay does not know the account %s any more; the message is kept and tried again",
             o->name);
    sotto_outbox_tell(e, o->name, SOTTO_RESULT_UNKNOWN, text);
    o->missing = true;
    sotto_outgoing_later(e, o, 60000);
}

void sotto_outbox_unknown(struct sotto_engine *e, struct outgoing *o, bool deleted)
{
    struct sotto_contact_record c;
    char text[128];
    enum sotto_err err = sotto_contact_load(e, o->name, &c);

    if (err == SOTTO_OK && !deleted && c.has_list) {
        missing_account(e, o);
        return;
    }
    snprintf(text, sizeof text,
             deleted ? "the account %s was deleted" : "there is no account %s on this relay",
             o->name);
    if (err == SOTTO_OK && (err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        if ((err = fail_all(e, o, text, !deleted)) == SOTTO_OK && !deleted) {
            c.state = 0;
            err = sotto_contact_put(e->p, &c);
        }
        err = sotto_profile_end(e->p, err);
    }
    sotto_store_trouble(e, err);
    sotto_outbox_tell(e, o->name, SOTTO_RESULT_UNKNOWN, text);
    sotto_changed_flush(e);
}

static void list_came(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct outgoing *o = sotto_outgoing(e, p->name);
    struct sotto_contact_record c;

    if (o == NULL || a == NULL)
        return;
    o->in_flight = 0;
    if (a->type != SOTTO_ANS_LISTS || a->u.lists.count != 1) {
        sotto_outgoing_later(e, o, 5000);
        return;
    }
    o->need_list = false;
    if (a->u.lists.since[0].unknown || a->u.lists.since[0].gone)
        sotto_outbox_unknown(e, o, a->u.lists.since[0].gone);
    else if (sotto_contact_get(e->p, o->name, &c) != SOTTO_OK || !c.has_list)
        sotto_outgoing_later(e, o, 5000); /* what came was not valid */
    sotto_outgoing_pump(e, o);
}

static void ask_list(struct sotto_engine *e, struct outgoing *o)
{
    o->in_flight = 1;
    sotto_lists_fetch(e, o->name, list_came, NULL);
}

static void bundle_refused(struct sotto_engine *e, struct outgoing *o, uint64_t device,
                           const struct sotto_answer *a)
{
    enum sotto_relay_error code = a->type == SOTTO_ANS_ERROR ? a->u.error.code : 0;

    if (code == SOTTO_RELAY_UNKNOWN_DEVICE || code == SOTTO_RELAY_UNKNOWN_ACCOUNT)
        o->need_list = true; /* devices have changed meanwhile */
    if (code == SOTTO_RELAY_UNKNOWN_DEVICE || code == SOTTO_RELAY_UNAVAILABLE) {
        note_bad(e, o, device, KEYS_NONE);
        sotto_outgoing_pump(e, o);
        return;
    }
    sotto_outgoing_later(
        e, o, a->type == SOTTO_ANS_ERROR && a->u.error.retry_ms != 0 ? a->u.error.retry_ms : 10000);
}

/* Says something about the bundle, not about us. */
static bool is_bundle_error(enum sotto_err err)
{
    switch (err) {
    case SOTTO_ERR_TRUNCATED:
    case SOTTO_ERR_MALFORMED:
    case SOTTO_ERR_TOO_LARGE:
    case SOTTO_ERR_UNSUPPORTED:
    case SOTTO_ERR_BAD_SIGNATURE:
    case SOTTO_ERR_BAD_KEY:
    case SOTTO_ERR_EXPIRED:
    case SOTTO_ERR_USAGE:
        return true;
    default:
        return false;
    }
}

static void bundle_useless(struct sotto_engine *e, struct outgoing *o, uint64_t device,
                           enum sotto_err err)
{
    if (!is_bundle_error(err)) {
        sotto_engine_trouble(e, err, sotto_err_text(err));
        return;
    }
    sotto_log_peer("the pre-keys of a device are not valid: %s", sotto_err_text(err));
    note_bad(e, o, device, err == SOTTO_ERR_EXPIRED ? KEYS_OLD : KEYS_WRONG);
    sotto_outgoing_pump(e, o);
}

static enum sotto_err seal_retry(struct sotto_engine *e, const struct sotto_list *list,
                                 const struct sotto_device *d, struct sotto_session *s,
                                 int64_t item)
{
    SOTTO_AUTO_BUF content = SOTTO_BUF(SOTTO_CONTENT_MAX);
    struct work w = {0};
    enum sotto_err err = sotto_item_get(e->p, item, sotto_work_take, &w);

    if (err == SOTTO_OK && w.found && w.item.kind == SOTTO_CONTENT_RETRY &&
        w.item.state == SOTTO_ITEM_WAITING &&
        (err = sotto_seal_content(e, list, (struct sotto_bytes){w.content.p, w.content.n},
                                  &content)) == SOTTO_OK &&
        (err = sotto_seal_parcel(e, list, d, s, item, &content, 0)) == SOTTO_OK) {
        w.item.state = SOTTO_ITEM_SEALED;
        w.item.list_version = list->version;
        w.item.content.n = 0;
        err = sotto_item_update(e->p, &w.item);
    }
    sotto_work_free(&w);
    return err == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : err;
}

/* Retry requests have to go on a session that certainly works: the one just made. All that wait go
 * on this one, so that both ends have the same sessions afterwards. */
static enum sotto_err seal_retries(struct sotto_engine *e, const struct sotto_list *list,
                                   const struct sotto_device *d, struct sotto_session *s)
{
    struct work w = {.found = true};
    int64_t after = 0;
    enum sotto_err err = SOTTO_OK;

    while (err == SOTTO_OK && w.found) {
        w.found = false;
        err = sotto_item_open(e->p, list->account.name, after, 1, sotto_work_take, &w);
        after = w.item.id;
        sotto_buf_free(&w.content);
        if (err == SOTTO_OK && w.found && w.item.device == d->id)
            err = seal_retry(e, list, d, s, w.item.id);
    }
    return err;
}

static void bundle_came(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct outgoing *o = sotto_outgoing(e, p->name);
    const struct sotto_list *list;
    const struct sotto_device *d;
    struct sotto_session *s = NULL;
    enum sotto_err err;

    if (o == NULL || a == NULL)
        return;
    o->in_flight = 0;
    if (a->type != SOTTO_ANS_BUNDLE) {
        bundle_refused(e, o, p->device, a);
        return;
    }
    if (sotto_list_of(e, o->name, &list) != SOTTO_OK ||
        (d = sotto_list_find(list, p->device)) == NULL) {
        sotto_outgoing_pump(e, o);
        return;
    }
    /* A retry request waits for it: the device may have lost its one-time keys with what it asks
     * about, and nobody asks for a lost request. The signed key has a long life. */
    if ((err = sotto_seal_initiate(e, list, d, a, p->item == 0, &s)) != SOTTO_OK) {
        bundle_useless(e, o, p->device, err);
        return;
    }
    if ((err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        err = sotto_session_save(e, o->name, p->device, s);
        if (err == SOTTO_OK && p->item != 0)
            err = seal_retries(e, list, d, s);
        err = sotto_profile_end(e->p, err);
    }
    sotto_session_free(s);
    sotto_store_trouble(e, err);
    o->bad_pause = 0;
    if (err == SOTTO_OK)
        sotto_outgoing_pump(e, o);
}

/* retry: the item that is to be sealed on the session, or 0. */
static void ask_bundle(struct sotto_engine *e, struct outgoing *o, uint64_t device, int64_t retry)
{
    struct sotto_request r = {.type = SOTTO_REQ_GET_BUNDLE};
    struct pending *p;

    memcpy(r.u.get_bundle.name, o->name, sizeof o->name);
    r.u.get_bundle.device = device;
    o->in_flight = 1;
    if ((p = sotto_ask(e, &r, bundle_came, NULL)) == NULL)
        return;
    memcpy(p->name, o->name, sizeof p->name);
    p->device = device;
    p->item = retry;
}

/* --- sealing --- */

/* Which listed devices the item is for. */
static size_t targets(const struct sotto_engine *e, const struct outgoing *o, const struct work *w,
                      const struct sotto_list *list,
                      const struct sotto_device *ret[SOTTO_DEVICES_MAX])
{
    bool own = strcmp(o->name, e->us.name) == 0;
    size_t n = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct sotto_device *d = &list->devices[i];

        if ((w->item.device != 0 && d->id != w->item.device) || (own && d->id == e->device) ||
            bad_device(o, d->id) != NULL)
            continue;
        ret[n++] = d;
    }
    return n;
}

/* Envelopes for every target that has none; NOT_FOUND and *ret_missing: a bundle is needed first.
 */
static enum sotto_err seal_for(struct sotto_engine *e, struct work *w,
                               const struct sotto_list *list, const struct sotto_device *const *to,
                               size_t count, uint64_t *ret_missing)
{
    SOTTO_AUTO_BUF content = SOTTO_BUF(SOTTO_CONTENT_MAX);
    struct sotto_session *sessions[SOTTO_DEVICES_MAX] = {NULL};
    bool own_session = w->item.kind == SOTTO_CONTENT_RETRY; /* bundle_came() seals these */
    enum sotto_err err = SOTTO_OK;

    for (size_t i = 0; err == SOTTO_OK && i < count; i++) {
        if (sotto_work_parcel(w, to[i]->id) != NULL)
            continue;
        err = own_session ? SOTTO_ERR_NOT_FOUND
                          : sotto_seal_session(e, list->account.name, to[i]->id, &sessions[i]);
        if (err == SOTTO_ERR_NOT_FOUND)
            *ret_missing = to[i]->id;
    }
    if (err == SOTTO_OK)
        err =
            sotto_seal_content(e, list, (struct sotto_bytes){w->content.p, w->content.n}, &content);
    if (err == SOTTO_OK && (err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        for (size_t i = 0; err == SOTTO_OK && i < count; i++)
            if (sessions[i] != NULL)
                err = sotto_seal_parcel(e, list, to[i], sessions[i], w->item.id, &content, 0);
        if (err == SOTTO_OK) {
            w->item.state = SOTTO_ITEM_SEALED;
            w->item.list_version = list->version;
            w->item.content.n = 0;
            err = sotto_item_update(e->p, &w->item);
        }
        err = sotto_profile_end(e->p, err);
    }
    for (size_t i = 0; i < count; i++)
        sotto_session_free(sessions[i]);
    return err;
}

/* --- the step --- */

/* May anything be sent to this account at all? */
static bool may_send(struct sotto_engine *e, struct outgoing *o)
{
    struct sotto_contact_record c;
    char text[320];

    if (strcmp(o->name, e->us.name) == 0)
        return true;
    if (sotto_contact_get(e->p, o->name, &c) != SOTTO_OK)
        memset(&c, 0, sizeof c);
    if (c.state == SOTTO_CONTACT_BLOCKED)
        return false;
    /* What a relay said of him once it may say no longer: then it was a lie, or was mended. */
    if ((c.gone || c.new_identity) && !o->judged_again) {
        o->judged_again = true;
        ask_list(e, o);
        return false;
    }
    if (c.gone) {
        sotto_outbox_unknown(e, o, true);
        return false;
    }
    if (c.new_identity || c.forked) {
        snprintf(text, sizeof text,
                 c.forked == SOTTO_FORK_OURS
                     ? "kept: the relay showed %s two different device lists of your own account. "
                       "Compare the safety number, then: sotto verify %s --accept"
                 : c.forked == SOTTO_FORK_THEIRS
                     ? "kept: the relay showed two different device lists of %s. Compare the "
                       "safety number, then: sotto verify %s --accept"
                     : "kept: %s has a new identity. Ask over another way whether that is right, "
                       "then: sotto verify %s --accept",
                 o->name, o->name);
        sotto_outbox_tell(e, o->name, SOTTO_RESULT_SECURITY, text);
        return false;
    }
    if (!c.has_list || o->need_list) {
        ask_list(e, o);
        return false;
    }
    return true;
}

/* There is no device that the item could be encrypted for. As pump_item(). */
static bool no_target(struct sotto_engine *e, struct outgoing *o, const struct work *w,
                      const struct sotto_list *list)
{
    const struct bad_device *only = bad_device(o, w->item.device);
    bool old = all_bad(o, KEYS_OLD);
    char text[256];

    if (w->item.device != 0 && sotto_list_find(list, w->item.device) != NULL &&
        (w->item.kind != SOTTO_CONTENT_RETRY || (only != NULL && only->why == KEYS_NONE)))
        return true; /* its keys may be good again after a while; the others do not wait for it */
    if (w->item.device != 0 || o->bad_count == 0) {
        sotto_store_trouble(e,
                            sotto_item_drop(e->p, w->item.id)); /* for a device that is no more */
        return true;
    }
    if (all_bad(o, KEYS_NONE)) { /* just listed: they are on their way to the relay */
        sotto_outgoing_later(e, o, SOTTO_KEYS_RETRY_MS);
        return false;
    }
    if (old)
        snprintf(text, sizeof text,
                 "kept: no device of %s has been online for so long that its keys are too old; "
                 "the message is sent when one is back",
                 o->name);
    else
        snprintf(text, sizeof text,
                 "kept: the keys that the relay gives out for the devices of %s are not valid. "
                 "Ask the relay's operator",
                 o->name);
    sotto_outbox_tell(e, o->name, old ? SOTTO_RESULT_FAILED : SOTTO_RESULT_SECURITY, text);
    sotto_outgoing_later(e, o, 60000);
    return false;
}

static bool needs_seal(struct work *w, const struct sotto_list *list,
                       const struct sotto_device *const *to, size_t count)
{
    if (w->item.state == SOTTO_ITEM_WAITING)
        return true;
    if (w->item.device != 0)
        return false;
    if (w->item.list_version != list->version)
        return true;
    for (size_t i = 0; i < count; i++) /* another account's list may have the same version */
        if (sotto_work_parcel(w, to[i]->id) == NULL)
            return true;
    return false;
}

/* One item: true when the next one may be looked at (this one waits for its mailbox only). */
static bool pump_item(struct sotto_engine *e, struct outgoing *o, struct work *w)
{
    const struct sotto_device *to[SOTTO_DEVICES_MAX];
    const struct sotto_list *list;
    uint64_t missing = 0;
    size_t count;
    enum sotto_err err;

    if ((err = sotto_work_load(e, w)) != SOTTO_OK ||
        (err = sotto_list_of(e, o->name, &list)) != SOTTO_OK ||
        (err = sotto_work_drop_unlisted(e, w, list)) != SOTTO_OK) {
        sotto_store_trouble(e, err);
        return false;
    }
    count = targets(e, o, w, list, to);
    if (count == 0 && w->count == 0)
        return no_target(e, o, w, list);
    if (needs_seal(w, list, to, count)) {
        err = seal_for(e, w, list, to, count, &missing);
        if (err == SOTTO_ERR_NOT_FOUND) {
            ask_bundle(e, o, missing, w->item.kind == SOTTO_CONTENT_RETRY ? w->item.id : 0);
            return false;
        }
        if (err == SOTTO_OK)
            err = sotto_work_load(e, w);
        if (err != SOTTO_OK) {
            sotto_engine_trouble(e, err, "a message could not be encrypted or kept");
            return false;
        }
    }
    if (sotto_submit(e, o, w, list))
        return false;
    if ((err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        err = sotto_work_settle(e, o, w);
        err = sotto_profile_end(e->p, err);
    }
    sotto_store_trouble(e, err);
    sotto_changed_flush(e);
    if (o->held_count > 0)
        sotto_submit_full(e, o, w);
    return err == SOTTO_OK;
}

/* Every mailbox of the account is full: until the pause is over there is nothing to look at. */
static bool all_held(struct sotto_engine *e, const struct outgoing *o)
{
    const struct sotto_list *list;

    if (o->held_count == 0 || sotto_list_of(e, o->name, &list) != SOTTO_OK)
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (list->devices[i].id != e->device &&
            !sotto_outgoing_waits_for_room(o, list->devices[i].id))
            return false;
    return true;
}

static enum sotto_err note_any(void *ctx, const struct sotto_item *item)
{
    (void)item;
    *(bool *)ctx = true;
    return SOTTO_OK;
}

void sotto_outgoing_pump(struct sotto_engine *e, struct outgoing *o)
{
    int64_t after = 0;
    bool go = true, any = false;

    if (e->phase != LINK_ONLINE || o->in_flight > 0 || o->retry_mono != 0)
        return;
    sotto_store_trouble(e, sotto_item_open(e->p, o->name, 0, 1, note_any, &any));
    if (!any || !may_send(e, o))
        return;
    if (all_held(e, o)) {
        sotto_submit_tell_full(e, o);
        return;
    }
    while (go) {
        struct work *w = calloc(1, sizeof *w);
        enum sotto_err err = w == NULL
                                 ? SOTTO_ERR_NOMEM
                                 : sotto_item_open(e->p, o->name, after, 1, sotto_work_take, w);

        go = err == SOTTO_OK && w->found;
        if (go) {
            after = w->item.id;
            go = pump_item(e, o, w) && e->phase == LINK_ONLINE && o->in_flight == 0;
        } else if (err != SOTTO_OK) {
            sotto_store_trouble(e, err);
        }
        if (w != NULL)
            sotto_work_free(w);
        free(w);
    }
}

static enum sotto_err note_account(void *ctx, const char *name)
{
    return sotto_outgoing(ctx, name) == NULL ? SOTTO_ERR_NOMEM : SOTTO_OK;
}

void sotto_outbox_pump(struct sotto_engine *e)
{
    enum sotto_err err;

    if (e->phase != LINK_ONLINE || e->pumping)
        return;
    e->pumping = true;
    err = sotto_item_accounts(e->p, note_account, e);
    sotto_store_trouble(e, err);
    for (struct outgoing *o = e->outgoing; err == SOTTO_OK && o != NULL; o = o->next)
        sotto_outgoing_pump(e, o);
    e->pumping = false;
}
