/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/admin.h"

#include <string.h>

#include "base/log.h"
#include "relay/core.h"
#include "store/relay_admin.h"

#define KICKED_TEXT "the operator of the relay ended this connection; it is made again by itself"

uint64_t sotto_relay_undone(const struct sotto_relay *r)
{
    return r->undone;
}

/* --- what ends --- */

void sotto_relay_account_hang_up(struct sotto_relay *r, int64_t account, const char *text)
{
    for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next)
        if ((c->s.stage & (STAGE_LOGGED_IN | STAGE_LINKING | STAGE_MEMBER)) != 0 &&
            c->s.account == account && !c->s.ending)
            sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, text);
}

static enum sotto_err end_account(struct sotto_relay *r, int64_t account, const char *text)
{
    struct effect *f = sotto_relay_effect(r, EFFECT_END_ACCOUNT);

    if (f == NULL)
        return SOTTO_ERR_NOMEM;
    f->account = account;
    f->text = text;
    return SOTTO_OK;
}

enum sotto_err sotto_relay_account_remove(struct sotto_relay *r,
                                          const struct sotto_rs_account *account)
{
    struct sotto_rs_box boxes[SOTTO_DEVICES_MAX];
    size_t count = 0;
    enum sotto_err e = sotto_rs_devices(r->store, account->id, boxes, &count);

    for (size_t i = 0; e == 0 && i < count; i++) {
        struct box *b = sotto_relay_box(r, boxes[i].box);
        struct effect *f = b != NULL ? sotto_relay_effect(r, EFFECT_END_BOX) : NULL;

        if (f == NULL)
            return SOTTO_ERR_NOMEM;
        f->box = b->id;
        f->seq = sotto_box_next_seq(r, b) - 1;
    }
    if (e != 0 || (e = end_account(r, account->id, "this account was deleted")) != 0)
        return e;
    sotto_directory_forget(r, account->name);
    return sotto_rs_account_delete(r->store, account->id);
}

/* --- what an operator asks for --- */

/* In the turn's transaction; a store that fails undoes the turn. */
static enum sotto_err find(struct sotto_relay *r, const char *name, struct sotto_rs_account *ret)
{
    enum sotto_err e = sotto_relay_write(r);

    if (e == 0)
        e = sotto_rs_account_find(r->store, name, ret);
    if (e != 0 && e != SOTTO_ERR_NOT_FOUND)
        sotto_relay_undo(r, e);
    return e == 0 && ret->gone ? SOTTO_ERR_GONE : e;
}

static enum sotto_err done(struct sotto_relay *r, enum sotto_err e)
{
    if (e != 0)
        sotto_relay_undo(r, e);
    return e;
}

enum sotto_err sotto_relay_admin_disable(struct sotto_relay *r, const char *name, bool disabled)
{
    struct sotto_rs_account account;
    enum sotto_err e = find(r, name, &account);

    if (e != 0)
        return e;
    if ((e = sotto_rs_account_disable(r->store, account.id, disabled)) != 0)
        return done(r, e);
    sotto_directory_forget(r, name);
    if (disabled)
        e = end_account(r, account.id, DISABLED_TEXT);
    if (e == 0)
        sotto_log_info("account %s was %s by the operator", name,
                       disabled ? "disabled" : "enabled");
    return done(r, e);
}

enum sotto_err sotto_relay_admin_delete(struct sotto_relay *r, const char *name)
{
    struct sotto_rs_account account;
    enum sotto_err e = find(r, name, &account);

    if (e != 0)
        return e;
    if ((e = sotto_relay_account_remove(r, &account)) == 0)
        sotto_log_info("account %s was deleted by the operator", name);
    return done(r, e);
}

enum sotto_err sotto_relay_admin_kick(struct sotto_relay *r, const char *name, uint64_t device,
                                      size_t *ret_count)
{
    struct sotto_rs_account account;
    size_t count = 0;
    enum sotto_err e = find(r, name, &account);

    if (e != 0)
        return e;
    for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next) {
        if ((c->s.stage & STAGE_MEMBER) == 0 || c->s.account != account.id || c->s.ending ||
            (device != 0 && c->s.device != device))
            continue;
        sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, KICKED_TEXT);
        count++;
    }
    *ret_count = count;
    return SOTTO_OK;
}

/* --- what there is --- */

void sotto_relay_admin_sessions(struct sotto_relay *r, sotto_relay_session_fn *fn, void *ctx)
{
    uint64_t now = sotto_now_ms(r->env), mono = sotto_mono_ms(r->env);

    for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next) {
        struct sotto_relay_session s = {
            .name = c->s.name,
            .address = c->address,
            .device = c->s.device,
            .since_ms = now - (mono - c->opened_mono),
        };

        if ((c->s.stage & STAGE_MEMBER) != 0 && !c->s.ending)
            fn(ctx, &s);
    }
}

void sotto_relay_admin_boxes(struct sotto_relay *r, sotto_relay_box_fn *fn, void *ctx)
{
    for (size_t i = 0; i < r->box_room; i++)
        for (struct box *b = r->boxes[i]; b != NULL; b = b->next)
            if (b->count > 0)
                fn(ctx, b->id, b->count, b->lane_bytes[0] + b->lane_bytes[1]);
}
