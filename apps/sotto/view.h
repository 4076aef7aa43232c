/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_VIEW_H
#define SOTTO_APP_VIEW_H

#include <stdbool.h>

#include "out.h"
#include "sotto/sotto.h"

/*
 * How events look: a line for people, or a JSON object (the fields are in sotto(1) and never
 * change). The same in commands and in a chat.
 */
struct sotto_view {
    const struct sotto_out *out;
    bool json;
    bool ids;       /* messages with their ids, for people */
    bool in_chat;   /* hints name what is typed there */
    const char *me; /* who wrote what is outgoing; NULL: "you" */
};

/* Shows an event that answers a request; those that are no answer are left alone. */
void sotto_view_event(const struct sotto_view *v, const struct sotto_event *e);
/* One message; in_chat: without the day when it is today. */
void sotto_view_message(const struct sotto_view *v, const struct sotto_message *m);

/* "queued", "stored", ... as in JSON. */
const char *sotto_view_state(enum sotto_message_state state);
/* "contact", "request", "blocked". */
const char *sotto_view_contact_is(enum sotto_contact_is state);

#endif
