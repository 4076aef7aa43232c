/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "client/state.h"

/*
 * Receipts: what is due is noted with what it is for, and goes out soon after, many in one
 * envelope. The envelope itself is not kept, and one that comes again gets no second receipt. So
 * one that was lost is missed by nobody but him who sees "stored" for ever, or "delivered" of what
 * was read; where one may be lost, all of the last days are given once more. A state that is known
 * already changes nothing, and 256 messages take one envelope.
 */

/* --- those that are due --- */

static bool has_to_wait(struct sotto_engine *e, const char *name)
{
    struct outgoing *o = sotto_outgoing(e, name);

    if (o == NULL || o->receipts_mono == 0)
        return false;
    if (sotto_mono_ms(e->env) >= o->receipts_mono) {
        o->again_mono = o->receipts_mono;
        o->receipts_mono = 0;
        return false;
    }
    if (e->receipts_mono == 0 || o->receipts_mono < e->receipts_mono)
        e->receipts_mono = o->receipts_mono;
    return true;
}

struct peers {
    struct sotto_engine *e;
    size_t count;
    sotto_name name[32];
};

/* Those to whom receipts may go at this moment: others may not take up the room. */
static enum sotto_err note_peer(void *ctx, const char *name)
{
    struct peers *p = ctx;
    struct sotto_contact_record c;
    enum sotto_err err;

    if (p->count == sizeof p->name / sizeof p->name[0])
        return SOTTO_OK;
    if ((err = sotto_contact_load(p->e, name, &c)) != SOTTO_OK)
        return err;
    if (c.state == SOTTO_CONTACT_ACCEPTED && !has_to_wait(p->e, name))
        snprintf(p->name[p->count++], sizeof p->name[0], "%s", name);
    return SOTTO_OK;
}

static enum sotto_err flush_peer(struct sotto_engine *e, const char *name,
                                 enum sotto_receipt_state state, bool *ret_any)
{
    struct sotto_content *c = calloc(1, sizeof *c);
    enum sotto_err err = SOTTO_ERR_NOMEM;

    if (c == NULL)
        return err;
    c->kind = SOTTO_CONTENT_RECEIPT;
    c->u.receipt.state = state;
    if ((err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        err = sotto_due_take(e->p, name, state, c->u.receipt.ids, &c->u.receipt.count);
        if (err == SOTTO_OK && c->u.receipt.count > 0)
            err = sotto_outbox_queue(e, name, 0, name, c, false);
        *ret_any = *ret_any || c->u.receipt.count > 0;
        err = sotto_profile_end(e->p, err);
    }
    free(c);
    return err;
}

void sotto_receipts_flush(struct sotto_engine *e)
{
    struct peers peers = {.e = e};
    bool any;
    enum sotto_err err;

    if (!e->registered || e->phase != LINK_ONLINE)
        return;
    e->receipts_mono = 0;
    do {
        any = false;
        peers.count = 0;
        err = sotto_due_peers(e->p, note_peer, &peers);
        for (size_t i = 0; err == SOTTO_OK && i < peers.count; i++)
            if ((err = flush_peer(e, peers.name[i], SOTTO_RECEIPT_DELIVERED, &any)) == SOTTO_OK)
                err = flush_peer(e, peers.name[i], SOTTO_RECEIPT_READ, &any);
    } while (err == SOTTO_OK && any);
    if (err != SOTTO_OK)
        sotto_engine_trouble(e, err, "the profile cannot be written");
}

/* --- those that may be lost --- */

static enum sotto_err again(struct sotto_engine *e, const char *name, uint32_t most)
{
    uint64_t now = sotto_now_ms(e->env);

    return sotto_due_again(e->p, name, now > SOTTO_LIFETIME_MS ? now - SOTTO_LIFETIME_MS : 0, most);
}

enum sotto_err sotto_receipts_again(struct sotto_engine *e)
{
    return again(e, NULL, SOTTO_AGAIN_COUNT);
}

/* Somebody who asks without end gets no more than those of one envelope in a while. */
enum sotto_err sotto_receipt_lost(struct sotto_engine *e, const char *name)
{
    struct outgoing *o = sotto_outgoing(e, name);
    uint64_t now = sotto_mono_ms(e->env);

    if (o == NULL)
        return SOTTO_ERR_NOMEM;
    if (o->receipts_mono != 0)
        return SOTTO_OK; /* they are noted, and wait */
    if (o->again_mono != 0 && now < o->again_mono + SOTTO_AGAIN_MS)
        o->receipts_mono = o->again_mono + SOTTO_AGAIN_MS;
    else
        o->again_mono = now;
    return again(e, name, SOTTO_RECEIPT_IDS);
}
