/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "client/state.h"

/* Envelopes on their way to the relay, and what its answer changes. */

/* A relay whose answers change nothing is not asked the same thing without end. */
static void moved(struct sotto_engine *e, struct outgoing *o, bool any)
{
    o->stuck = any ? 0 : o->stuck + 1;
    if (o->stuck > 2)
        sotto_outgoing_later(e, o, 5000);
}

void sotto_submit_tell_full(struct sotto_engine *e, const struct outgoing *o)
{
    char text[128];

    snprintf(text, sizeof text, "the mailbox of %s is full; the message is kept and tried again",
             o->name);
    sotto_outbox_tell(e, o->name, SOTTO_RESULT_FULL, text);
}

void sotto_submit_full(struct sotto_engine *e, struct outgoing *o, const struct work *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->parcels[i].progress != SOTTO_PARCEL_IS_PENDING &&
            w->parcels[i].progress != SOTTO_PARCEL_IS_GONE)
            return; /* it did reach a device */
    sotto_submit_tell_full(e, o);
}

/* A dormant device is tried less often, as long as none that is awake waits as well. */
static void hold(struct sotto_engine *e, struct outgoing *o, uint64_t device)
{
    uint64_t now = sotto_mono_ms(e->env);
    uint64_t at = now + (sotto_device_dormant(e, o->name, device) ? SOTTO_DORMANT_RETRY
                                                                  : SOTTO_FULL_RETRY_MS);

    if (o->held_count == 0 || at < o->full_mono)
        o->full_mono = at;
    o->held[o->held_count++] = device;
}

/* NOT_FOUND: nothing has changed by it. */
static enum sotto_err parcel_result(struct sotto_engine *e, struct outgoing *o, int64_t item,
                                    uint64_t device, enum sotto_parcel_state state)
{
    switch (state) {
    case SOTTO_PARCEL_STORED:
        /* It may be another envelope that waits now: all go once more, and the relay knows those
         * that it has. */
        if (o->resealed)
            return SOTTO_ERR_NOT_FOUND;
        return sotto_parcel_set(e->p, item, device, SOTTO_PARCEL_IS_STORED);
    case SOTTO_PARCEL_GONE:
        return sotto_parcel_set(e->p, item, device, SOTTO_PARCEL_IS_GONE);
    case SOTTO_PARCEL_LANE_CLOSED: /* an earlier refusal closed it: at once again, on a new one */
        e->lane++;
        if (SOTTO_PLANTED(MUTANT_SENT_EARLY))
            return sotto_parcel_set(e->p, item, device, SOTTO_PARCEL_IS_STORED);
        return SOTTO_ERR_NOT_FOUND;
    default: /* full, or our share of it: the device waits */
        e->lane++;
        if (o->held_count == SOTTO_DEVICES_MAX || sotto_outgoing_waits_for_room(o, device))
            return SOTTO_ERR_NOT_FOUND;
        hold(e, o, device);
        return SOTTO_OK;
    }
}

static enum sotto_err submit_results(struct sotto_engine *e, struct outgoing *o, int64_t item,
                                     const struct sotto_answer *a)
{
    struct work w = {0};
    bool any = false;
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    for (size_t i = 0; err == SOTTO_OK && i < a->u.submitted.count; i++) {
        err = parcel_result(e, o, item, a->u.submitted.results[i].device,
                            a->u.submitted.results[i].state);
        any = any || err == SOTTO_OK;
        if (err == SOTTO_ERR_NOT_FOUND)
            err = SOTTO_OK;
    }
    if (err == SOTTO_OK && (err = sotto_item_get(e->p, item, sotto_work_take, &w)) == SOTTO_OK &&
        w.found)
        err = sotto_work_settle(e, o, &w);
    if (err == SOTTO_ERR_NOT_FOUND)
        err = SOTTO_OK;
    /* Its receipts may have been here before the answer. */
    moved(e, o, any || (err == SOTTO_OK && !w.found));
    err = sotto_profile_end(e->p, err);
    if (err == SOTTO_OK && o->held_count > 0)
        sotto_submit_full(e, o, &w);
    sotto_work_free(&w);
    return err;
}

static uint32_t known_version(struct sotto_engine *e, const struct outgoing *o)
{
    const struct sotto_list *list;

    return sotto_list_of(e, o->name, &list) == SOTTO_OK ? list->version : 0;
}

static void list_was_shown(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct outgoing *o = sotto_outgoing(e, p->name);

    if (o == NULL || a == NULL)
        return;
    o->in_flight = 0;
    if (a->type != SOTTO_ANS_DONE) {
        o->need_list = true;
        sotto_outgoing_later(e, o, 5000);
    }
    sotto_outgoing_pump(e, o);
}

static void take_newer_lists(struct sotto_engine *e, struct outgoing *o,
                             const struct sotto_answer *a)
{
    uint32_t before = known_version(e, o);
    enum sotto_err err = SOTTO_OK;

    if (strcmp(o->name, e->us.name) == 0) {
        for (size_t i = 0; i < a->u.error.list_count; i++)
            sotto_account_list_changed(e, a->u.error.lists[i]);
    } else {
        err = sotto_lists_take(e, o->name, a->u.error.lists, a->u.error.list_count);
    }
    if (err == SOTTO_ERR_FORK || err == SOTTO_ERR_NEW_IDENTITY)
        return; /* nothing is sent until the person has judged */
    if (known_version(e, o) != before)
        return;
    if (!o->list_shown && a->u.error.list_count == 0 &&
        sotto_list_show(e, o->name, list_was_shown)) {
        o->list_shown = true;
        o->in_flight = 1;
        return;
    }
    o->need_list = true;
    sotto_outgoing_later(e, o, 5000);
}

static void slow_down(struct sotto_engine *e, struct outgoing *o, const struct sotto_answer *a)
{
    uint32_t pause = a->u.error.retry_ms != 0 ? a->u.error.retry_ms : 5000;
    char text[400];

    sotto_outgoing_later(e, o, pause);
    if (pause <= 30000)
        return;
    snprintf(text, sizeof text, "the message is kept and sent later; the relay says: %s",
             a->u.error.text);
    sotto_outbox_tell(e, o->name, SOTTO_RESULT_FAILED, text);
}

/* On a full disk a relay refuses all that came together, also what it could have passed on without
 * the disk. So a message has another try before anybody is told that it waits. */
static void cannot_store(struct sotto_engine *e, struct outgoing *o)
{
    if (!o->refused) {
        o->refused = true;
        sotto_outgoing_later(e, o, 500);
        return;
    }
    sotto_outbox_tell(e, o->name, SOTTO_RESULT_UNREACHABLE,
                      "the relay cannot store messages at present; the message is kept and tried "
                      "again");
    sotto_outgoing_later(e, o, 10000);
}

static void submit_refused(struct sotto_engine *e, struct outgoing *o, const struct sotto_answer *a)
{
    e->lane++; /* the relay closed this one, so that nothing overtakes what it refused */
    switch (a->u.error.code) {
    case SOTTO_RELAY_LIST_CHANGED:
        take_newer_lists(e, o, a);
        break;
    case SOTTO_RELAY_UNKNOWN_ACCOUNT:
    case SOTTO_RELAY_NAME_GONE:
        sotto_outbox_unknown(e, o, a->u.error.code == SOTTO_RELAY_NAME_GONE);
        break;
    case SOTTO_RELAY_TOO_MANY:
        slow_down(e, o, a);
        break;
    case SOTTO_RELAY_UNAVAILABLE:
        cannot_store(e, o);
        break;
    default:
        sotto_log_local("the relay refused a message: %s", a->u.error.text);
        sotto_outbox_tell(e, o->name, SOTTO_RESULT_FAILED,
                          "the relay refused the message; it is kept and tried again");
        sotto_outgoing_later(e, o, 30000);
    }
}

static void submitted(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct outgoing *o = sotto_outgoing(e, p->name);

    if (o == NULL || a == NULL)
        return;
    o->in_flight = 0;
    o->refused = o->refused && a->type == SOTTO_ANS_ERROR;
    if (a->type == SOTTO_ANS_SUBMITTED)
        sotto_store_trouble(e, submit_results(e, o, p->item, a));
    else if (a->type == SOTTO_ANS_ERROR)
        submit_refused(e, o, a);
    else
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay gave a wrong answer");
    sotto_changed_flush(e);
    sotto_outgoing_pump(e, o);
}

/* Sends the parcels that may go; one request, in as many frames as it takes. false: none may. */
bool sotto_submit(struct sotto_engine *e, struct outgoing *o, struct work *w,
                  const struct sotto_list *list)
{
    enum { PART = 100 * 1024 };
    struct sotto_contact_record c;
    struct sotto_request *r = calloc(1, sizeof *r);
    struct pending *p;
    size_t part = 0, left = 0;
    enum sotto_err err = sotto_contact_load(e, o->name, &c);

    /* Without its token it would be a stranger's; and the next one must not overtake it. */
    if (r == NULL || err != SOTTO_OK) {
        free(r);
        sotto_engine_trouble(e, r == NULL ? SOTTO_ERR_NOMEM : err, "the profile cannot be read");
        return true;
    }
    r->type = SOTTO_REQ_SUBMIT;
    memcpy(r->u.submit.to, o->name, sizeof o->name);
    r->u.submit.list_version = list->version;
    if (strcmp(o->name, e->us.name) != 0 && c.has_their_token) {
        r->u.submit.has_token = true;
        memcpy(r->u.submit.token, c.their_token, SOTTO_TOKEN);
    }
    for (size_t i = 0; i < w->count; i++)
        left += w->parcels[i].progress == SOTTO_PARCEL_IS_PENDING &&
                !sotto_outgoing_waits_for_room(o, w->parcels[i].device);
    if (left == 0) {
        free(r);
        return false;
    }
    r->id = e->next_id + 1 != 0 ? e->next_id + 1 : 1; /* the number that sotto_ask() gives next */
    for (size_t i = 0; i < w->count; i++) {
        struct work_parcel *wp = &w->parcels[i];

        if (wp->progress != SOTTO_PARCEL_IS_PENDING || sotto_outgoing_waits_for_room(o, wp->device))
            continue;
        if (r->u.submit.count == SOTTO_DEVICES_MAX ||
            (part + wp->envelope.n > PART && r->u.submit.count > 0)) {
            r->u.submit.more = true;
            if (sotto_request_encode(r, &e->out) != SOTTO_OK)
                sotto_engine_trouble(e, SOTTO_ERR_NOMEM, "out of memory");
            r->u.submit.count = 0;
            part = 0;
        }
        r->u.submit.parcels[r->u.submit.count++] = (struct sotto_parcel){
            .device = wp->device,
            .envelope = {wp->envelope.p, wp->envelope.n},
            .lane = e->lane,
        };
        part += wp->envelope.n;
    }
    r->u.submit.more = false;
    o->in_flight = 1;
    o->resealed = false;
    if ((p = sotto_ask(e, r, submitted, NULL)) != NULL) {
        memcpy(p->name, o->name, sizeof p->name);
        p->item = w->item.id;
    }
    free(r);
    return true;
}
