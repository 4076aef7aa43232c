/* SPDX-License-Identifier: Apache-2.0 */
#include "run/client/open_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct handed {
    char id[33];
    bool shown; /* confirmed by the person's program */
    bool again; /* it came once more: the confirmation was lost */
};
#define HANDED_KEPT 4096 /* of those that were confirmed; more are never on their way */

struct sotto_open_call {
    struct sotto_open_call *next;
    struct sotto_call call;
    struct sotto_buf bytes;
    bool over;      /* answered while it was being made again */
    bool caught_up; /* receive: its DONE has come; it stays open, the next DONE is dropped */
    bool remade;    /* receive: by a new engine, which may repeat itself */
    struct handed *handed;
    size_t handed_count, handed_room;
};

/* --- the list --- */

static bool has_answer(enum sotto_op op)
{
    return op != SOTTO_OP_RECEIVE_STOP && op != SOTTO_OP_SHOWN && op != SOTTO_OP_TYPING;
}

bool sotto_open_calls_keep(struct sotto_open_calls *calls, const struct sotto_call *call)
{
    struct sotto_open_call *o, **end = &calls->first;

    if (call->op == SOTTO_OP_RECEIVE_STOP)
        sotto_open_calls_forget(calls, call->n[0]);
    if (!has_answer(call->op))
        return true;
    if ((o = calloc(1, sizeof *o)) == NULL)
        return false;
    o->bytes = SOTTO_BUF(SOTTO_CONTROL_MAX);
    if (sotto_call_encode(call, &o->bytes) != SOTTO_OK ||
        sotto_call_decode(o->bytes.p, o->bytes.n, &o->call) != SOTTO_OK) {
        sotto_buf_free(&o->bytes);
        free(o);
        return false;
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = o;
    return true;
}

void sotto_open_calls_forget(struct sotto_open_calls *calls, uint32_t request)
{
    struct sotto_open_call **at = &calls->first;

    while (*at != NULL) {
        struct sotto_open_call *o = *at;

        if (o->call.ref.request == request)
            o->over = true;
        if (!o->over || calls->remaking) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        sotto_buf_free(&o->bytes);
        free(o->handed);
        free(o);
    }
}

uint32_t sotto_open_calls_any(const struct sotto_open_calls *calls)
{
    return calls->first != NULL ? calls->first->call.ref.request : 0;
}

void sotto_open_calls_clear(struct sotto_open_calls *calls)
{
    while (calls->first != NULL)
        sotto_open_calls_forget(calls, sotto_open_calls_any(calls));
}

/* --- what was handed out --- */

static void handed_add(struct sotto_open_call *o, const char *id)
{
    if (o->handed_count >= HANDED_KEPT && o->handed[0].shown)
        memmove(o->handed, o->handed + 1, --o->handed_count * sizeof *o->handed);
    if (o->handed_count == o->handed_room) {
        size_t room = o->handed_room * 2 + 64;
        struct handed *more = realloc(o->handed, room * sizeof *more);

        if (more == NULL)
            return; /* at worst it is shown twice */
        o->handed = more;
        o->handed_room = room;
    }
    o->handed[o->handed_count] = (struct handed){.shown = false};
    snprintf(o->handed[o->handed_count++].id, sizeof o->handed->id, "%s", id);
}

static struct handed *handed_find(struct sotto_open_call *o, const char *id)
{
    for (size_t i = o->handed_count; i-- > 0;)
        if (strcmp(o->handed[i].id, id) == 0)
            return &o->handed[i];
    return NULL;
}

void sotto_open_calls_shown(struct sotto_open_calls *calls, const char *id)
{
    struct handed *h;

    for (struct sotto_open_call *o = calls->first; o != NULL; o = o->next)
        if ((h = handed_find(o, id)) != NULL)
            h->shown = true;
}

static bool take_message(struct sotto_open_calls *calls, struct sotto_open_call *o, const char *id,
                         bool attached)
{
    struct handed *h;

    if (o->call.op != SOTTO_OP_RECEIVE)
        return true;
    if (o->remade && (h = handed_find(o, id)) != NULL) {
        h->again = true;
        calls->unnoted = calls->unnoted || h->shown;
        return false;
    }
    if (attached) /* our own engine does not end before us */
        handed_add(o, id);
    return true;
}

static bool take_done(struct sotto_open_calls *calls, struct sotto_open_call *o)
{
    bool first = !o->caught_up;

    if (o->call.op == SOTTO_OP_RECEIVE)
        o->caught_up = true;
    else
        sotto_open_calls_forget(calls, o->call.ref.request);
    return first;
}

bool sotto_open_calls_event(struct sotto_open_calls *calls, const struct sotto_event *e,
                            bool attached)
{
    struct sotto_open_call *o = calls->first;

    while (o != NULL && o->call.ref.request != sotto_event_request(e))
        o = o->next;
    if (o == NULL)
        return true;
    if (sotto_event_type(e) == SOTTO_EVENT_MESSAGE)
        return take_message(calls, o, sotto_event_message(e)->id, attached);
    if (sotto_event_type(e) == SOTTO_EVENT_DONE)
        return take_done(calls, o);
    return true;
}

/* --- the next engine --- */

void sotto_open_calls_remake(struct sotto_open_calls *calls, sotto_open_call_fn *make, void *ctx)
{
    calls->remaking = true;
    for (struct sotto_open_call *o = calls->first; o != NULL; o = o->next) {
        o->remade = true;
        if (!o->over)
            make(ctx, &o->call);
    }
    calls->remaking = false;
    sotto_open_calls_forget(calls, 0); /* those that are over */
}

void sotto_open_calls_confirm(struct sotto_open_calls *calls, sotto_open_call_fn *make, void *ctx)
{
    if (!calls->unnoted)
        return;
    calls->unnoted = false;
    for (struct sotto_open_call *o = calls->first; o != NULL; o = o->next)
        for (size_t i = 0; i < o->handed_count; i++) {
            struct handed *h = &o->handed[i];
            struct sotto_call call = {
                .op = SOTTO_OP_SHOWN, .ref = o->call.ref, .s = {{(const uint8_t *)h->id, 32}}};

            if (!h->again || !h->shown)
                continue;
            h->again = false;
            make(ctx, &call);
        }
}
