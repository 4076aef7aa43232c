/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "when.h"

const char *sotto_view_state(enum sotto_message_state state)
{
    switch (state) {
    case SOTTO_MESSAGE_RECEIVED:
        return "received";
    case SOTTO_MESSAGE_QUEUED:
        return "queued";
    case SOTTO_MESSAGE_STORED:
        return "stored";
    case SOTTO_MESSAGE_DELIVERED:
        return "delivered";
    case SOTTO_MESSAGE_READ:
        return "read";
    case SOTTO_MESSAGE_FAILED:
        return "failed";
    }
    return "unknown";
}

const char *sotto_view_contact_is(enum sotto_contact_is state)
{
    switch (state) {
    case SOTTO_IS_CONTACT:
        return "contact";
    case SOTTO_IS_REQUEST:
        return "request";
    case SOTTO_IS_BLOCKED:
        return "blocked";
    }
    return "unknown";
}

static const char *link_state(enum sotto_link_state state)
{
    switch (state) {
    case SOTTO_OFFLINE:
        return "offline";
    case SOTTO_CONNECTING:
        return "connecting";
    case SOTTO_ONLINE:
        return "online";
    }
    return "unknown";
}

/* Ends the object, hands it on as one line and frees it. */
static void put_json(const struct sotto_view *v, struct sotto_json *j)
{
    const char *text = NULL;
    size_t len = 0;

    if (sotto_json_end(j, &text, &len) == SOTTO_OK)
        sotto_out_text(v->out, SOTTO_OUT_RAW, text, len, 0);
    else
        sotto_out(v->out, SOTTO_OUT_ERROR, "a line is missing here: out of memory");
    sotto_json_free(j);
}

static void message_json(const struct sotto_view *v, const struct sotto_message *m)
{
    struct sotto_json j = {0};

    sotto_json_begin(&j);
    sotto_json_string(&j, "id", m->id);
    sotto_json_string(&j, "peer", m->peer);
    sotto_json_string(&j, "from", m->from);
    sotto_json_string(&j, "device", m->device);
    sotto_json_string(&j, "kind", m->kind);
    sotto_json_text(&j, "text", m->text, m->text_len);
    sotto_json_time(&j, "sent_at", m->sent_at_ms);
    sotto_json_time(&j, "received_at", m->received_at_ms);
    sotto_json_bool(&j, "outgoing", m->outgoing);
    sotto_json_string(&j, "state", sotto_view_state(m->state));
    sotto_json_string(&j, "reason", m->reason != NULL ? m->reason : "");
    sotto_json_bool(&j, "request", m->is_request);
    sotto_json_bool(&j, "gap", m->gap);
    put_json(v, &j);
}

/* What stands before the text: "2026-11-21 04:45 bob: ". */
static size_t message_head(const struct sotto_view *v, const struct sotto_message *m, char *ret,
                           size_t room)
{
    uint64_t ms = m->outgoing || m->received_at_ms == 0 ? m->sent_at_ms : m->received_at_ms;
    char when[SOTTO_WHEN_ROOM];
    int n;

    if (v->in_chat)
        sotto_when_short(ms, sotto_cli_now(), when);
    else
        sotto_when_local(ms, when);
    n = snprintf(ret, room, "%s%s%s %s%s%s: ", v->ids ? m->id : "", v->ids ? " " : "", when,
                 m->is_request ? "request from " : "",
                 !m->outgoing    ? m->from
                 : v->me != NULL ? v->me
                                 : "you",
                 m->gap ? " (something before this is missing)" : "");
    return n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

void sotto_view_message(const struct sotto_view *v, const struct sotto_message *m)
{
    bool readable = strcmp(m->kind, "text") == 0;
    const char *body = readable ? m->text : "(needs a newer Sotto to be shown)";
    size_t len = readable ? m->text_len : strlen(body), lead;
    struct sotto_buf line = SOTTO_BUF(256 * 1024);
    char head[256], tail[256] = "";

    if (v->json) {
        message_json(v, m);
        return;
    }
    lead = message_head(v, m, head, sizeof head);
    if (m->outgoing)
        (void)snprintf(tail, sizeof tail, " [%s%s%s]", sotto_view_state(m->state),
                       m->state == SOTTO_MESSAGE_FAILED ? ": " : "",
                       m->state == SOTTO_MESSAGE_FAILED && m->reason != NULL ? m->reason : "");
    if (sotto_buf_add(&line, head, lead) != SOTTO_OK ||
        sotto_buf_add(&line, body, len) != SOTTO_OK ||
        sotto_buf_add(&line, tail, strlen(tail)) != SOTTO_OK)
        sotto_out(v->out, SOTTO_OUT_ERROR, "a message is missing here: out of memory");
    else
        sotto_out_text(v->out, SOTTO_OUT_RESULT, (const char *)line.p, line.n, lead);
    sotto_buf_free(&line);
}

static void view_contact(const struct sotto_view *v, const struct sotto_contact *c)
{
    struct sotto_json j = {0};
    char unread[32] = "";

    if (!v->json) {
        if (c->unread > 0)
            (void)snprintf(unread, sizeof unread, "  %" PRIu32 " unread", c->unread);
        sotto_out(v->out, SOTTO_OUT_RESULT, "%-20s %-8s %s%s%s", c->name,
                  sotto_view_contact_is(c->state), c->verified ? "verified" : "not verified",
                  c->new_identity ? "  NEW IDENTITY, sending stops until you accept it" : "",
                  unread);
        return;
    }
    sotto_json_begin(&j);
    sotto_json_string(&j, "name", c->name);
    sotto_json_string(&j, "state", sotto_view_contact_is(c->state));
    sotto_json_bool(&j, "verified", c->verified);
    sotto_json_bool(&j, "new_identity", c->new_identity);
    sotto_json_bool(&j, "accepted_us", c->accepted_us);
    sotto_json_number(&j, "unread", c->unread);
    sotto_json_number(&j, "devices", c->devices);
    sotto_json_time(&j, "last_at", c->last_ms);
    put_json(v, &j);
}

static void view_device(const struct sotto_view *v, const struct sotto_device_row *d)
{
    struct sotto_json j = {0};
    char when[SOTTO_WHEN_ROOM] = "";

    if (!v->json) {
        if (d->since_ms != 0)
            sotto_when_local(d->since_ms, when);
        sotto_out(v->out, SOTTO_OUT_RESULT, "%s  %s%s%s%s%s%s", d->id, d->state,
                  when[0] != 0 ? "  since " : "", when,
                  d->holds_account_key ? "  holds the account key" : "",
                  d->code[0] != 0 ? "  code " : "", d->code);
        return;
    }
    sotto_json_begin(&j);
    sotto_json_string(&j, "id", d->id);
    sotto_json_string(&j, "state", d->state);
    sotto_json_string(&j, "code", d->code);
    sotto_json_bool(&j, "holds_account_key", d->holds_account_key);
    sotto_json_number(&j, "generation", d->generation);
    sotto_json_time(&j, "since", d->since_ms);
    put_json(v, &j);
}

static void status_json(const struct sotto_view *v, const struct sotto_status_row *s)
{
    struct sotto_json j = {0};

    sotto_json_begin(&j);
    sotto_json_string(&j, "name", s->name);
    sotto_json_string(&j, "device", s->device);
    sotto_json_string(&j, "relay", s->relay);
    sotto_json_string(&j, "relay_id", s->relay_id);
    sotto_json_string(&j, "pin", s->pin);
    sotto_json_string(&j, "connection", link_state(s->connection));
    sotto_json_string(&j, "why", s->why);
    sotto_json_string(&j, "tls_version", s->tls_version);
    sotto_json_string(&j, "cipher", s->cipher);
    sotto_json_string(&j, "group", s->group);
    sotto_json_string(&j, "relay_version", s->relay_version);
    sotto_json_number(&j, "queued", s->queued);
    sotto_json_number(&j, "undelivered", s->undelivered);
    sotto_json_number(&j, "one_time_keys", s->one_time_keys);
    sotto_json_number(&j, "list_version", s->list_version);
    sotto_json_number(&j, "devices", s->devices);
    sotto_json_number(&j, "contacts", s->contacts);
    sotto_json_bool(&j, "holds_account_key", s->holds_account_key);
    sotto_json_number(&j, "clock_off", s->clock_off_ms / 1000);
    sotto_json_string(&j, "version", sotto_version());
    put_json(v, &j);
}

static void view_clock(const struct sotto_out *out, int64_t off_ms)
{
    const int64_t much = 5 * 60 * 1000;
    int64_t minutes = (off_ms < 0 ? -off_ms : off_ms) / 60000;

    if (off_ms >= -much && off_ms <= much)
        return;
    sotto_out(out, SOTTO_OUT_RESULT,
              "clock       %" PRId64 " minutes %s the relay's: one of the two is wrong", minutes,
              off_ms > 0 ? "ahead of" : "behind");
}

static void view_status(const struct sotto_view *v, const struct sotto_status_row *s)
{
    bool online = s->connection == SOTTO_ONLINE;
    const struct sotto_out *out = v->out;

    if (v->json) {
        status_json(v, s);
        return;
    }
    if (s->name[0] == 0) {
        sotto_out(out, SOTTO_OUT_RESULT, "no account yet");
        return;
    }
    sotto_out(out, SOTTO_OUT_RESULT, "account     %s, device %s%s", s->name, s->device,
              s->holds_account_key ? ", holds the account key" : "");
    sotto_out(out, SOTTO_OUT_RESULT, "relay       %s, id %s", s->relay, s->relay_id);
    sotto_out(out, SOTTO_OUT_RESULT, "pin         %s", s->pin);
    sotto_out(out, SOTTO_OUT_RESULT, "connection  %s%s%s", link_state(s->connection),
              online || s->why[0] == 0 ? "" : ": ", online ? "" : s->why);
    if (online)
        sotto_out(out, SOTTO_OUT_RESULT, "protected   %s, %s, %s (relay %s)", s->tls_version,
                  s->cipher, s->group, s->relay_version);
    sotto_out(out, SOTTO_OUT_RESULT, "messages    %" PRIu32 " not sent yet, %" PRIu32 " on the way",
              s->queued, s->undelivered);
    sotto_out(out, SOTTO_OUT_RESULT,
              "keys        %" PRIu32 " one-time keys on the relay; device list version %" PRIu32
              " with %" PRIu32 " device%s",
              s->one_time_keys, s->list_version, s->devices, s->devices == 1 ? "" : "s");
    sotto_out(out, SOTTO_OUT_RESULT, "contacts    %" PRIu32, s->contacts);
    if (s->clock_known)
        view_clock(out, s->clock_off_ms);
}

/* The number alone is the result: a script compares it, a person reads it aloud. */
static void view_safety(const struct sotto_view *v, const struct sotto_safety *s)
{
    const char *slash = v->in_chat ? "/" : "sotto ";

    sotto_out(v->out, SOTTO_OUT_RESULT, "%s", s->number);
    if (s->new_identity)
        sotto_out(v->out, SOTTO_OUT_NOTE,
                  "This contact has a new identity, and sending stops until you take it. Ask by "
                  "another way whether that is right, then: %sverify NAME --accept",
                  slash);
    else if (s->verified)
        sotto_out(v->out, SOTTO_OUT_NOTE, "You have compared this number and it was right.");
    else
        sotto_out(
            v->out, SOTTO_OUT_NOTE,
            "Not verified yet. Compare it with what the other side sees (by phone, or side by "
            "side), then: %sverify NAME --confirm \"%.11s ...\" with all twelve groups",
            slash, s->number);
}

void sotto_view_event(const struct sotto_view *v, const struct sotto_event *e)
{
    switch (sotto_event_type(e)) {
    case SOTTO_EVENT_MESSAGE:
        sotto_view_message(v, sotto_event_message(e));
        break;
    case SOTTO_EVENT_CONTACT:
        view_contact(v, sotto_event_contact(e));
        break;
    case SOTTO_EVENT_DEVICE:
        view_device(v, sotto_event_device(e));
        break;
    case SOTTO_EVENT_STATUS:
        view_status(v, sotto_event_status(e));
        break;
    case SOTTO_EVENT_SAFETY:
        view_safety(v, sotto_event_safety(e));
        break;
    case SOTTO_EVENT_DONE:
    case SOTTO_EVENT_CONNECTION:
    case SOTTO_EVENT_STATE:
    case SOTTO_EVENT_TYPING:
    case SOTTO_EVENT_NOTICE:
    case SOTTO_EVENT_LINK:
        break;
    }
}
