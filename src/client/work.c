/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/state.h"

/* An item of the outbox in memory, with its parcels; and when it is at an end. */

void sotto_work_free(struct work *w)
{
    sotto_buf_free(&w->content);
    for (size_t i = 0; i < w->count; i++)
        sotto_buf_free(&w->parcels[i].envelope);
    memset(w, 0, sizeof *w);
}

enum sotto_err sotto_work_take(void *ctx, const struct sotto_item *item)
{
    struct work *w = ctx;

    w->found = true;
    w->item = *item;
    w->content = SOTTO_BUF(SOTTO_CONTENT_MAX);
    return sotto_buf_add(&w->content, item->content.p, item->content.n);
}

static enum sotto_err take_parcel(void *ctx, const struct sotto_parcel_record *r)
{
    struct work *w = ctx;
    struct work_parcel *p = &w->parcels[w->count];

    if (w->count == SOTTO_DEVICES_MAX * 2)
        return SOTTO_ERR_TOO_LARGE;
    p->device = r->device;
    p->progress = r->progress;
    p->envelope = SOTTO_BUF(SOTTO_ENVELOPE_MAX);
    w->count++;
    return r->progress == SOTTO_PARCEL_IS_PENDING
               ? sotto_buf_add(&p->envelope, r->envelope.p, r->envelope.n)
               : SOTTO_OK;
}

enum sotto_err sotto_work_load(struct sotto_engine *e, struct work *w)
{
    for (size_t i = 0; i < w->count; i++)
        sotto_buf_free(&w->parcels[i].envelope);
    w->count = 0;
    return sotto_parcel_each(e->p, w->item.id, take_parcel, w);
}

/* Devices that are listed no more take nothing, and their parcels would add up with each list. */
enum sotto_err sotto_work_drop_unlisted(struct sotto_engine *e, struct work *w,
                                        const struct sotto_list *list)
{
    bool any = false;
    enum sotto_err err;

    for (size_t i = 0; i < w->count; i++)
        any = any || sotto_list_find(list, w->parcels[i].device) == NULL;
    if (!any)
        return SOTTO_OK;
    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    for (size_t i = 0; err == SOTTO_OK && i < w->count; i++)
        if (sotto_list_find(list, w->parcels[i].device) == NULL)
            err = sotto_parcel_drop(e->p, w->item.id, w->parcels[i].device);
    err = sotto_profile_end(e->p, err);
    return err != SOTTO_OK ? err : sotto_work_load(e, w);
}

struct work_parcel *sotto_work_parcel(struct work *w, uint64_t device)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->parcels[i].device == device)
            return &w->parcels[i];
    return NULL;
}

/* --- ends of an item --- */

static enum sotto_err message_stored(struct sotto_engine *e, const struct work *w)
{
    bool changed = false;
    enum sotto_err err;

    if (w->item.kind != SOTTO_CONTENT_TEXT || strcmp(w->item.to, e->us.name) == 0)
        return SOTTO_OK;
    err = sotto_message_set_state(e->p, w->item.content_id, SOTTO_MESSAGE_STORED, "",
                                  sotto_now_ms(e->env), &changed);
    if (err == SOTTO_ERR_NOT_FOUND) /* deleted here meanwhile */
        return SOTTO_OK;
    return err == SOTTO_OK && changed ? sotto_changed_note(e, w->item.content_id) : err;
}

bool sotto_work_lacks(struct sotto_engine *e, struct work *w)
{
    const struct sotto_list *list;
    bool own = strcmp(w->item.to, e->us.name) == 0;

    if (w->item.device != 0 || sotto_list_of(e, w->item.to, &list) != SOTTO_OK)
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (!(own && list->devices[i].id == e->device) &&
            sotto_work_parcel(w, list->devices[i].id) == NULL &&
            !sotto_device_dormant(e, w->item.to, list->devices[i].id))
            return true;
    return false;
}

/* Looks at all parcels: is the item at an end, and is the message on the relay? */
enum sotto_err sotto_work_settle(struct sotto_engine *e, struct outgoing *o, struct work *w)
{
    size_t pending = 0, held = 0, stored = 0, delivered = 0;
    enum sotto_err err = sotto_work_load(e, w);

    if (err != SOTTO_OK)
        return err;
    for (size_t i = 0; i < w->count; i++) {
        switch (w->parcels[i].progress) {
        case SOTTO_PARCEL_IS_PENDING:
            pending++;
            held += sotto_outgoing_waits_for_room(o, w->parcels[i].device);
            break;
        case SOTTO_PARCEL_IS_STORED:
            stored++;
            break;
        case SOTTO_PARCEL_IS_DELIVERED:
        case SOTTO_PARCEL_IS_READ:
            delivered++;
            break;
        default:
            break;
        }
    }
    if (stored + delivered > 0 && pending == held && (err = message_stored(e, w)) != SOTTO_OK)
        return err;
    if (pending > 0 || sotto_work_lacks(e, w))
        return SOTTO_OK;
    if (stored + delivered == 0 && w->item.kind == SOTTO_CONTENT_TEXT &&
        strcmp(w->item.to, e->us.name) != 0) {
        /* The account may have been replaced by one whose list has the same number. */
        if (o->gone_checked != w->item.id) {
            o->gone_checked = w->item.id;
            o->need_list = true;
            return SOTTO_OK;
        }
        return sotto_outbox_fail(e, w->item.content_id, "no device of the recipient is left");
    }
    if (!w->item.keep || stored == 0)
        return sotto_item_drop(e->p, w->item.id);
    w->item.state = SOTTO_ITEM_STORED;
    w->item.content.n = 0;
    return sotto_item_update(e->p, &w->item);
}
