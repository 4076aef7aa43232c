/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "client/state.h"

/*
 * What did not open is asked for again. Whom an envelope claims to come from is not known before it
 * opens, so nobody may be flooded with requests in our name: each account is asked for so many in
 * an hour. What that leaves over is noted, and asked for in the next hours.
 */

#define HOUR_MS (3600 * 1000)

/* How many more the account may be asked for within the hour. */
static uint32_t asks_left(struct sotto_engine *e, struct outgoing *o, bool known)
{
    uint32_t most = known ? SOTTO_ASKED_MAX : SOTTO_ASKED_STRANGER;
    uint64_t now = sotto_mono_ms(e->env);

    if (o->asked == 0 || now >= o->asked_mono + HOUR_MS) {
        o->asked_mono = now;
        o->asked = 0;
    }
    return o->asked < most ? most - o->asked : 0;
}

static enum sotto_err ask(struct sotto_engine *e, struct outgoing *o, uint64_t device,
                          const uint8_t envelope_id[SOTTO_ENVELOPE_ID])
{
    struct sotto_content c = {.kind = SOTTO_CONTENT_RETRY};

    o->asked++;
    memcpy(c.u.retry.envelope_id, envelope_id, SOTTO_ENVELOPE_ID);
    return sotto_outbox_queue(e, o->name, device, o->name, &c, false);
}

enum sotto_err sotto_lost_note(struct sotto_engine *e, const char *name, bool known,
                               uint64_t device, const uint8_t envelope_id[SOTTO_ENVELOPE_ID])
{
    struct outgoing *o = sotto_outgoing(e, name);

    if (o == NULL)
        return SOTTO_ERR_NOMEM;
    if (asks_left(e, o, known) > 0)
        return ask(e, o, device, envelope_id);
    o->lost_mono = o->asked_mono + HOUR_MS;
    return sotto_unasked_add(e->p, name, device, envelope_id, sotto_now_ms(e->env));
}

static enum sotto_err note_sender(void *ctx, const char *name)
{
    struct sotto_engine *e = ctx;
    struct outgoing *o = sotto_outgoing(e, name);

    if (o == NULL)
        return SOTTO_ERR_NOMEM;
    o->lost_mono = sotto_mono_ms(e->env);
    return SOTTO_OK;
}

enum sotto_err sotto_lost_load(struct sotto_engine *e)
{
    return sotto_unasked_senders(e->p, note_sender, e);
}

void sotto_lost_accepted(struct sotto_engine *e, const char *name)
{
    for (struct outgoing *o = e->outgoing; o != NULL; o = o->next)
        if (o->lost_mono != 0 && strcmp(o->name, name) == 0)
            o->lost_mono = sotto_mono_ms(e->env);
}

uint64_t sotto_lost_deadline(const struct sotto_engine *e)
{
    uint64_t at = UINT64_MAX;

    for (const struct outgoing *o = e->outgoing; e->phase == LINK_ONLINE && o != NULL; o = o->next)
        if (o->lost_mono != 0 && o->lost_mono < at)
            at = o->lost_mono;
    return at;
}

/* NOT_FOUND: nothing is left to ask for. */
static enum sotto_err ask_rest(struct sotto_engine *e, struct outgoing *o)
{
    bool own = strcmp(o->name, e->us.name) == 0;
    struct sotto_contact_record c;
    struct sotto_unasked next;
    enum sotto_err err = sotto_contact_load(e, o->name, &c);

    if (err == SOTTO_OK && c.state == SOTTO_CONTACT_BLOCKED)
        err = sotto_unasked_drop(e->p, o->name);
    while (err == SOTTO_OK && asks_left(e, o, own || c.state == SOTTO_CONTACT_ACCEPTED) > 0 &&
           (err = sotto_unasked_take(e->p, o->name, &next)) == SOTTO_OK)
        err = ask(e, o, next.device, next.envelope_id);
    return err;
}

void sotto_lost_tick(struct sotto_engine *e)
{
    uint64_t now = sotto_mono_ms(e->env);

    if (e->phase != LINK_ONLINE)
        return;
    for (struct outgoing *o = e->outgoing; o != NULL; o = o->next) {
        bool none = false;
        enum sotto_err err;

        if (o->lost_mono == 0 || now < o->lost_mono)
            continue;
        if ((err = sotto_profile_begin(e->p)) == SOTTO_OK) {
            none = (err = ask_rest(e, o)) == SOTTO_ERR_NOT_FOUND;
            err = sotto_profile_end(e->p, none ? SOTTO_OK : err);
        }
        if (err != SOTTO_OK) {
            sotto_engine_trouble(e, err, "the profile cannot be written");
            return;
        }
        o->lost_mono = none ? 0 : o->asked_mono + HOUR_MS;
    }
}
