/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/state.h"

/* The device lists of others: trusted on first use, then only as their account key says. */

void sotto_list_forget_cached(struct sotto_engine *e, const char *name)
{
    for (size_t i = 0; i < LIST_CACHE; i++)
        if (strcmp(e->lists[i].list.account.name, name) == 0)
            e->lists[i].used = false;
}

/* Opening a list verifies a signature per device: the newest few stay opened. */
enum sotto_err sotto_list_of(struct sotto_engine *e, const char *name,
                             const struct sotto_list **ret)
{
    SOTTO_AUTO_BUF data = SOTTO_BUF(SOTTO_LIST_MAX);
    struct cached_list *at = &e->lists[0];
    enum sotto_err err;

    if (strcmp(name, e->us.name) == 0) {
        *ret = &e->own_list;
        return e->own_list.count > 0 ? SOTTO_OK : SOTTO_ERR_NOT_FOUND;
    }
    for (size_t i = 0; i < LIST_CACHE; i++) {
        if (e->lists[i].used && strcmp(e->lists[i].list.account.name, name) == 0) {
            e->lists[i].stamp = ++e->list_stamp;
            *ret = &e->lists[i].list;
            return SOTTO_OK;
        }
        if (!e->lists[i].used || e->lists[i].stamp < at->stamp)
            at = &e->lists[i];
    }
    if ((err = sotto_contact_list_get(e->p, name, false, &data)) != SOTTO_OK)
        return err;
    at->used = false;
    if ((err = sotto_list_open(data.p, data.n, &at->list)) != SOTTO_OK)
        return err;
    at->used = true;
    at->stamp = ++e->list_stamp;
    *ret = &at->list;
    return SOTTO_OK;
}

enum sotto_err sotto_list_pending_of(struct sotto_engine *e, const char *name,
                                     struct sotto_list *ret)
{
    SOTTO_AUTO_BUF data = SOTTO_BUF(SOTTO_LIST_MAX);
    enum sotto_err err = sotto_contact_list_get(e->p, name, true, &data);

    return err != SOTTO_OK ? err : sotto_list_open(data.p, data.n, ret);
}

enum sotto_err sotto_list_replaces(struct sotto_engine *e, const struct sotto_list *known,
                                   const struct sotto_list *next)
{
    const char *name = known->account.name;
    enum sotto_err err = SOTTO_OK;

    for (size_t i = 0; err == SOTTO_OK && i < known->count; i++) {
        const struct sotto_device *was = &known->devices[i], *d = sotto_list_find(next, was->id);

        if (d != NULL)
            err = sotto_heal_theirs(e, name, was->id, was->generation, d->generation);
        else if ((err = sotto_sessions_clear(e->p, name, was->id)) == SOTTO_OK)
            err = sotto_heard_drop(e->p, name, was->id);
    }
    return err;
}

/* Stores a list that may follow the known one. */
static enum sotto_err put_list(struct sotto_engine *e, struct sotto_contact_record *c,
                               const struct sotto_list *list, struct sotto_bytes data)
{
    const struct sotto_list *known = NULL;
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if (c->has_list && (err = sotto_list_of(e, c->name, &known)) != SOTTO_ERR_NOMEM &&
        err != SOTTO_ERR_IO)
        err = SOTTO_OK;
    if (err == SOTTO_OK && known != NULL)
        err = sotto_list_replaces(e, known, list);
    for (size_t i = 0; err == SOTTO_OK && i < list->count; i++)
        err = sotto_heard_note(e->p, c->name, list->devices[i].id, sotto_now_ms(e->env), true);
    c->has_list = true;
    c->gone = false;
    memcpy(c->account_key, list->account.key, 32);
    c->list_version = list->version;
    memcpy(c->list_hash, list->hash, 32);
    if (err == SOTTO_OK && (err = sotto_contact_put(e->p, c)) == SOTTO_OK)
        err = sotto_contact_list_put(e->p, c->name, false, data.p, data.n);
    sotto_list_forget_cached(e, c->name);
    return sotto_profile_end(e->p, err);
}

static enum sotto_err put_new_identity(struct sotto_engine *e, struct sotto_contact_record *c,
                                       struct sotto_bytes data)
{
    enum sotto_err err;
    bool told = c->new_identity;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    c->new_identity = true;
    if ((err = sotto_contact_put(e->p, c)) == SOTTO_OK)
        err = sotto_contact_list_put(e->p, c->name, true, data.p, data.n);
    if ((err = sotto_profile_end(e->p, err)) != SOTTO_OK)
        return err;
    if (!told)
        sotto_notice(e,
                     "%s has a new identity (another account key). Nothing is sent until you "
                     "accept it: ask %s, then sotto verify %s --accept",
                     c->name, c->name, c->name);
    return SOTTO_ERR_NEW_IDENTITY;
}

/* The relay shows the identity that we know: the other one was a lie, or a slip that was mended.
 * Whoever was asked said that it is not his, and it must not be there to be accepted. */
static enum sotto_err drop_new_identity(struct sotto_engine *e, struct sotto_contact_record *c)
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    c->new_identity = false;
    if ((err = sotto_contact_put(e->p, c)) == SOTTO_OK)
        err = sotto_contact_list_put(e->p, c->name, true, NULL, 0);
    if ((err = sotto_profile_end(e->p, err)) == SOTTO_OK)
        sotto_notice(e,
                     "The relay shows the known identity of %s again; the new one that it showed "
                     "is forgotten. Ask its operator",
                     c->name);
    return err;
}

static enum sotto_err put_fork(struct sotto_engine *e, struct sotto_contact_record *c)
{
    enum sotto_err err;

    if (!c->forked)
        sotto_notice(e,
                     "The relay shows two different device lists of %s. Somebody is lying; "
                     "nothing is sent to %s until you compare the safety number and accept: sotto "
                     "verify %s --accept",
                     c->name, c->name, c->name);
    c->forked = SOTTO_FORK_THEIRS;
    err = sotto_contact_put(e->p, c);
    return err != SOTTO_OK ? err : SOTTO_ERR_FORK;
}

static enum sotto_err take_one(struct sotto_engine *e, const char *name, struct sotto_bytes data,
                               struct sotto_list *list)
{
    struct sotto_contact_record c;
    const struct sotto_list *known;
    enum sotto_err err;

    if ((err = sotto_list_open(data.p, data.n, list)) != SOTTO_OK)
        return err;
    if (strcmp(list->account.name, name) != 0 ||
        !sotto_equal(list->account.relay_id, e->us.relay_id, 32))
        return SOTTO_ERR_BAD_SIGNATURE; /* right, but of somebody else */
    if ((err = sotto_contact_load(e, name, &c)) != SOTTO_OK)
        return err;
    if (!c.has_list) /* never seen, or dropped after a fork: the account key counts on */
        return sotto_is_zero(c.account_key, 32) || sotto_equal(c.account_key, list->account.key, 32)
                   ? put_list(e, &c, list, data)
                   : put_new_identity(e, &c, data);
    if ((err = sotto_list_of(e, name, &known)) != SOTTO_OK)
        return err;
    switch (err = sotto_list_follows(known, list)) {
    case SOTTO_OK:
        if (c.new_identity && (err = drop_new_identity(e, &c)) != SOTTO_OK)
            return err;
        if (list->version != known->version)
            return put_list(e, &c, list, data);
        if (!c.gone)
            return SOTTO_OK;
        c.gone = false; /* the relay's word for it was wrong */
        return sotto_contact_put(e->p, &c);
    case SOTTO_ERR_EXPIRED: /* older: ours stays */
        return SOTTO_OK;
    case SOTTO_ERR_NEW_IDENTITY:
        return put_new_identity(e, &c, data);
    case SOTTO_ERR_FORK:
        return put_fork(e, &c);
    default:
        return err;
    }
}

/* Nobody is to wait for a list that is not coming. What was written stays in the outbox. */
static void list_refused(struct sotto_engine *e, const char *name, enum sotto_err err)
{
    sotto_log_peer("the relay gave a device list that is not valid: %s", sotto_err_text(err));
    e->iterating++;
    for (struct job *j = e->jobs; j != NULL; j = j->next) {
        bool send = j->op == SOTTO_OP_SEND;
        bool looks =
            j->op == SOTTO_OP_SAFETY || j->op == SOTTO_OP_CONFIRM || j->op == SOTTO_OP_ACCEPT;

        if (j->dead || j->phase == 0 || strcmp(j->name, name) != 0 ||
            !(looks || (send && !sotto_outbox_is_stored(e, j->id))))
            continue;
        sotto_job_done(e, j, SOTTO_RESULT_SECURITY,
                       "%sthe device list that the relay gives out for %s is not valid. Ask the "
                       "relay's operator",
                       send ? "kept: " : "", name);
    }
    e->iterating--;
}

enum sotto_err sotto_lists_take(struct sotto_engine *e, const char *name,
                                const struct sotto_bytes *lists, size_t count)
{
    struct sotto_list *list = malloc(sizeof *list);
    enum sotto_err err = SOTTO_OK;

    if (list == NULL)
        return SOTTO_ERR_NOMEM;
    for (size_t i = 0; i < count && err == SOTTO_OK; i++) {
        err = take_one(e, name, lists[i], list);
        if (err == SOTTO_ERR_MALFORMED || err == SOTTO_ERR_BAD_SIGNATURE ||
            err == SOTTO_ERR_BAD_KEY || err == SOTTO_ERR_UNSUPPORTED)
            list_refused(e, name, err);
    }
    free(list);
    return err;
}

static enum sotto_err note_gone(struct sotto_engine *e, const char *name)
{
    struct sotto_contact_record c;
    enum sotto_err err = sotto_contact_load(e, name, &c);

    if (err != SOTTO_OK || c.gone)
        return err;
    c.gone = true;
    return sotto_contact_put(e->p, &c);
}

static void lists_came(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    enum sotto_err err = SOTTO_OK;

    if (a != NULL && a->type == SOTTO_ANS_LISTS && a->u.lists.count == 1) {
        const struct sotto_lists_since *s = &a->u.lists.since[0];

        if (strcmp(p->name, e->us.name) == 0)
            for (size_t i = 0; i < s->count; i++)
                sotto_account_list_changed(e, s->lists[i]);
        else if (s->gone)
            err = note_gone(e, p->name);
        else if (!s->unknown)
            err = sotto_lists_take(e, p->name, s->lists, s->count);
    }
    if (err == SOTTO_ERR_IO || err == SOTTO_ERR_FULL || err == SOTTO_ERR_NOMEM)
        sotto_engine_trouble(e, err, "the profile cannot be written");
    p->then(e, p, a);
}

void sotto_lists_fetch(struct sotto_engine *e, const char *name, pending_fn *done, struct job *j)
{
    struct sotto_request r = {.type = SOTTO_REQ_GET_LISTS};
    struct sotto_contact_record c;
    struct pending *p;

    r.u.get_lists.count = 1;
    snprintf(r.u.get_lists.known[0].name, sizeof r.u.get_lists.known[0].name, "%s", name);
    /* The known one is asked for again: another of the same version shows that somebody lies. */
    if (sotto_contact_get(e->p, name, &c) == SOTTO_OK && c.has_list && c.list_version > 0)
        r.u.get_lists.known[0].version = c.list_version - 1;
    if ((p = sotto_ask(e, &r, lists_came, j)) == NULL)
        return;
    snprintf(p->name, sizeof p->name, "%s", name);
    p->then = done;
}

/* The relay was put back, and the account's owner with it, maybe: what he signed is kept by those
 * who were given it. A device that he has removed is not let in again thereby. */
bool sotto_list_show(struct sotto_engine *e, const char *name, pending_fn *done)
{
    struct sotto_request r = {.type = SOTTO_REQ_PUT_LIST};
    SOTTO_AUTO_BUF data = SOTTO_BUF(SOTTO_LIST_MAX);
    struct pending *p;

    if (sotto_contact_list_get(e->p, name, false, &data) != SOTTO_OK)
        return false;
    r.u.put_list.list = (struct sotto_bytes){data.p, data.n};
    if ((p = sotto_ask(e, &r, done, NULL)) == NULL)
        return false;
    snprintf(p->name, sizeof p->name, "%s", name);
    return true;
}

/* The new identity becomes the known one; its sessions begin anew. */
static enum sotto_err take_identity(struct sotto_engine *e, struct sotto_contact_record *c)
{
    SOTTO_AUTO_BUF data = SOTTO_BUF(SOTTO_LIST_MAX);
    struct sotto_list *list = malloc(sizeof *list);
    enum sotto_err err;

    if (list == NULL)
        return SOTTO_ERR_NOMEM;
    if ((err = sotto_contact_list_get(e->p, c->name, true, &data)) != SOTTO_OK ||
        (err = sotto_list_open(data.p, data.n, list)) != SOTTO_OK ||
        (err = sotto_profile_begin(e->p)) != SOTTO_OK) {
        free(list);
        return err;
    }
    c->new_identity = false;
    c->forked = SOTTO_FORK_NONE;
    c->has_verified_key = false;
    if ((err = sotto_sessions_clear(e->p, c->name, 0)) == SOTTO_OK &&
        (err = put_list(e, c, list, (struct sotto_bytes){data.p, data.n})) == SOTTO_OK)
        err = sotto_contact_list_put(e->p, c->name, true, NULL, 0);
    free(list);
    return sotto_profile_end(e->p, err);
}

enum sotto_err sotto_list_accept(struct sotto_engine *e, struct sotto_contact_record *c)
{
    enum sotto_err err;

    if (c->new_identity)
        return take_identity(e, c);
    /* After a fork: start from what the relay shows next. */
    c->forked = SOTTO_FORK_NONE;
    c->has_list = false;
    if ((err = sotto_contact_put(e->p, c)) == SOTTO_OK)
        err = sotto_contact_list_put(e->p, c->name, false, NULL, 0);
    sotto_list_forget_cached(e, c->name);
    return err;
}
