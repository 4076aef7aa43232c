/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/state.h"

/* What is shown to people: rows, history, status, and the handing out of new messages. */

enum sotto_err sotto_id_parse(const char *text, size_t len, uint8_t ret[SOTTO_CONTENT_ID])
{
    size_t n;
    enum sotto_err err = sotto_hex_decode(text, len, ret, SOTTO_CONTENT_ID, &n);

    return err != SOTTO_OK ? err : n == SOTTO_CONTENT_ID ? SOTTO_OK : SOTTO_ERR_MALFORMED;
}

void sotto_message_row(const struct sotto_engine *e, const struct sotto_message_record *m,
                       struct sotto_message *ret, char ret_id[33], char ret_device[17])
{
    (void)e;
    sotto_hex_encode(m->id, sizeof m->id, ret_id);
    snprintf(ret_device, 17, "%016llx", (unsigned long long)m->device);
    *ret = (struct sotto_message){
        .id = ret_id,
        .peer = m->peer,
        .from = m->from,
        .device = ret_device,
        .kind = m->kind == SOTTO_CONTENT_TEXT ? "text" : "unknown",
        .text = m->text.n > 0 ? (const char *)m->text.p : "",
        .text_len = m->text.n,
        .sent_at_ms = m->sent_at_ms,
        .received_at_ms = m->received_at_ms,
        .outgoing = m->outgoing,
        .is_request = m->request,
        .gap = m->gap,
        .state = (enum sotto_message_state)m->state,
        .reason = m->reason,
    };
}

/* --- history --- */

struct show {
    struct sotto_engine *e;
    struct job *j;
    bool any;
    int64_t last; /* the newest row so far */
};

static enum sotto_err show_message(void *ctx, const struct sotto_message_record *m)
{
    struct show *s = ctx;
    struct sotto_message row;
    char id[33], device[17];

    s->any = true;
    sotto_message_row(s->e, m, &row, id, device);
    return sotto_emit(s->e, s->j->ref, SOTTO_EVENT_MESSAGE, &row) ? SOTTO_OK : SOTTO_ERR_NOMEM;
}

void sotto_view_history(struct sotto_engine *e, struct job *j)
{
    struct show s = {.e = e, .j = j};
    struct sotto_contact_record c;
    enum sotto_err err = sotto_message_history(e->p, j->name, j->n[0], show_message, &s);

    if (err != SOTTO_OK)
        sotto_job_cannot_read(e, j, err);
    else if (!s.any && (sotto_contact_get(e->p, j->name, &c) != SOTTO_OK || c.state == 0))
        sotto_job_done(e, j, SOTTO_RESULT_UNKNOWN, "no conversation with %s yet", j->name);
    else
        sotto_job_done(e, j, SOTTO_RESULT_OK, "%s", "");
}

void sotto_view_delete(struct sotto_engine *e, struct job *j)
{
    uint8_t id[SOTTO_CONTENT_ID];
    enum sotto_err err;

    if (sotto_id_parse(j->text, j->text_len, id) != SOTTO_OK) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "a message id has 32 hexadecimal digits");
        return;
    }
    err = sotto_message_delete(e->p, id);
    if (err == SOTTO_OK)
        sotto_job_done(e, j, SOTTO_RESULT_OK, "deleted on this device");
    else if (err == SOTTO_ERR_NOT_FOUND)
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "there is no message with this id");
    else
        sotto_job_cannot_write(e, j, err);
}

/* --- status --- */

static enum sotto_err count_contact(void *ctx, const struct sotto_contact_record *c)
{
    uint32_t *n = ctx;

    *n += c->state == SOTTO_CONTACT_ACCEPTED;
    return SOTTO_OK;
}

static void emit_status(struct sotto_engine *e, struct job *j)
{
    char relay[300] = "", relay_id[65] = "", pin[SOTTO_PIN_TEXT] = "", device[17] = "";
    struct sotto_status_row row = {
        .name = e->us.name,
        .relay = relay,
        .relay_id = relay_id,
        .pin = pin,
        .device = device,
        .connection = e->phase == LINK_ONLINE ? SOTTO_ONLINE
                      : e->phase == LINK_DOWN ? SOTTO_OFFLINE
                                              : SOTTO_CONNECTING,
        .why = e->phase == LINK_ONLINE ? "" : e->why_text,
        .tls_version = e->phase == LINK_ONLINE ? e->tls.version : "",
        .cipher = e->phase == LINK_ONLINE ? e->tls.cipher : "",
        .group = e->phase == LINK_ONLINE ? e->tls.group : "",
        .relay_version = e->relay_version,
        .one_time_keys = e->one_time_left,
        .clock_known = e->clock_known,
        .clock_off_ms = e->clock_off_ms,
        .list_version = e->own_list.version,
        .devices = (uint32_t)e->own_list.count,
        .holds_account_key = e->holds_account_key,
    };

    if (e->has_relay) {
        snprintf(relay, sizeof relay, "%s:%u", e->host, e->port);
        sotto_hex_encode(e->relay.id, 32, relay_id);
        if (e->relay.pin_count > 0)
            sotto_pin_print(e->relay.pins[0], pin);
        snprintf(device, sizeof device, "%016llx", (unsigned long long)e->device);
        (void)sotto_message_counts(e->p, &row.queued, &row.undelivered);
        (void)sotto_contact_each(e->p, count_contact, &row.contacts);
    }
    if (sotto_emit(e, j->ref, SOTTO_EVENT_STATUS, &row))
        sotto_job_done(e, j, SOTTO_RESULT_OK, "%s", "");
    else
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
}

void sotto_view_status(struct sotto_engine *e, struct job *j)
{
    struct sotto_engine_target target;
    bool settled = e->phase == LINK_ONLINE || (e->phase == LINK_DOWN && e->why != SOTTO_ERR_AGAIN);

    if (settled || !sotto_engine_target(e, &target))
        emit_status(e, j);
    else
        j->needs_online = true; /* ends when the attempt does */
}

/* --- handing out new messages --- */

static bool handed_out(const struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID])
{
    for (const struct job *j = e->jobs; j != NULL; j = j->next)
        for (const struct shown *s = j->dead ? NULL : j->out; s != NULL; s = s->next)
            if (memcmp(s->id, id, SOTTO_CONTENT_ID) == 0)
                return true;
    return false;
}

static enum sotto_err hand_out(void *ctx, const struct sotto_message_record *m)
{
    struct show *s = ctx;
    struct shown *out;
    enum sotto_err err;

    if (m->row > s->last) /* rows do not come in their order */
        s->last = m->row;
    if (handed_out(s->e, m->id))
        return SOTTO_OK;
    if ((out = calloc(1, sizeof *out)) == NULL)
        return SOTTO_ERR_NOMEM;
    if ((err = show_message(ctx, m)) != SOTTO_OK) {
        free(out);
        return err;
    }
    memcpy(out->id, m->id, sizeof out->id);
    out->next = s->j->out;
    s->j->out = out;
    return SOTTO_OK;
}

static void feed(struct sotto_engine *e, struct job *j)
{
    struct show s = {.e = e, .j = j, .last = j->last_row};

    if (sotto_message_unshown(e->p, j->name[0] != '\0' ? j->name : NULL, j->last_row, 0, hand_out,
                              &s) == SOTTO_OK)
        j->last_row = s.last;
    else
        sotto_say_later(e); /* what was handed out meanwhile is not handed out again */
}

/* Once: all that was there has been handed out. The receiver stays. */
static void tell_caught_up(struct sotto_engine *e, struct job *j, enum sotto_result result,
                           const char *text)
{
    struct sotto_done done = {.result = result, .text = text, .id = ""};

    if (j->phase != 0)
        return;
    if (!sotto_emit(e, j->ref, SOTTO_EVENT_DONE, &done)) {
        sotto_say_later(e);
        return;
    }
    j->phase = 1;
    j->needs_online = false;
}

void sotto_receive_start(struct sotto_engine *e, struct job *j)
{
    struct sotto_engine_target target;

    feed(e, j);
    if (e->phase == LINK_ONLINE && e->queue_drained)
        tell_caught_up(e, j, SOTTO_RESULT_OK, "");
    else if (e->phase == LINK_DOWN && (j->needs_online || !sotto_engine_target(e, &target)))
        tell_caught_up(e, j,
                       e->why_result == SOTTO_RESULT_OK ? SOTTO_RESULT_UNREACHABLE : e->why_result,
                       e->why_text);
    else if (j->phase == 0)
        j->needs_online = true;
}

void sotto_receive_feed(struct sotto_engine *e)
{
    e->iterating++;
    /* A conversation that is open on a screen comes before those who take everything. */
    for (int named = 1; named >= 0; named--)
        for (struct job *j = e->jobs; j != NULL; j = j->next)
            if (!j->dead && j->op == SOTTO_OP_RECEIVE && (j->name[0] != '\0') == (named == 1)) {
                feed(e, j);
                if (e->phase == LINK_ONLINE && e->queue_drained)
                    tell_caught_up(e, j, SOTTO_RESULT_OK, "");
            }
    e->iterating--;
}

void sotto_receive_stop_job(struct sotto_engine *e, uint32_t origin, uint32_t request)
{
    for (struct job *j = e->jobs; j != NULL; j = j->next)
        if (j->op == SOTTO_OP_RECEIVE && j->ref.origin == origin && j->ref.request == request)
            j->dead = true;
    sotto_receive_rewind(e);
}

/* A receiver left: what he did not confirm is for the others. */
void sotto_receive_rewind(struct sotto_engine *e)
{
    for (struct job *j = e->jobs; j != NULL; j = j->next)
        j->last_row = 0;
    sotto_jobs_sweep(e);
    sotto_receive_feed(e);
}

struct shown_row {
    sotto_name peer;
    bool outgoing;
};

static enum sotto_err shown_look(void *ctx, const struct sotto_message_record *m)
{
    struct shown_row *r = ctx;

    memcpy(r->peer, m->peer, sizeof r->peer);
    r->outgoing = m->outgoing;
    return SOTTO_OK;
}

static enum sotto_err store_shown(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID])
{
    struct sotto_contact_record c;
    struct shown_row row = {.outgoing = true};
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = sotto_message_get(e->p, id, shown_look, &row)) == SOTTO_OK && !row.outgoing &&
        (err = sotto_message_set_shown(e->p, id)) == SOTTO_OK &&
        (err = sotto_contact_load(e, row.peer, &c)) == SOTTO_OK &&
        c.state == SOTTO_CONTACT_ACCEPTED)
        err = sotto_due_add(e->p, row.peer, id, SOTTO_RECEIPT_READ);
    err = sotto_profile_end(e->p, err);
    if (err == SOTTO_OK && e->receipts_mono == 0) /* one receipt speaks for many messages */
        e->receipts_mono = sotto_mono_ms(e->env) + SOTTO_RECEIPTS_MS;
    return err == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : err; /* deleted meanwhile */
}

/* Nobody asks for it again, so what could not be noted is noted later: else it is shown twice. */
static void out_shown(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID], bool noted)
{
    for (struct job *j = e->jobs; j != NULL; j = j->next)
        for (struct shown **at = &j->out; *at != NULL;) {
            struct shown *s = *at;

            if (memcmp(s->id, id, SOTTO_CONTENT_ID) != 0) {
                at = &s->next;
            } else if (!noted) {
                s->confirmed = true;
                at = &s->next;
            } else {
                *at = s->next;
                free(s);
            }
        }
    if (!noted)
        sotto_say_later(e);
}

void sotto_receive_shown(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID])
{
    out_shown(e, id, store_shown(e, id) == SOTTO_OK);
}

void sotto_receive_note_shown(struct sotto_engine *e)
{
    uint8_t id[SOTTO_CONTENT_ID];
    bool any = true;

    while (any) {
        any = false;
        for (const struct job *j = e->jobs; j != NULL && !any; j = j->next)
            for (const struct shown *s = j->out; s != NULL && !any; s = s->next)
                if ((any = s->confirmed))
                    memcpy(id, s->id, sizeof id);
        if (!any)
            return;
        if (store_shown(e, id) != SOTTO_OK) {
            sotto_say_later(e);
            return;
        }
        out_shown(e, id, true);
    }
}
