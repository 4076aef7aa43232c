/* SPDX-License-Identifier: Apache-2.0 */
#include "client/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/state.h"

#define SAY_AGAIN_MS 200

bool sotto_emit(struct sotto_engine *e, struct sotto_ref to, enum sotto_event_type type,
                const void *row)
{
    return e->ops->emit(e->ctx, to, type, row);
}

void sotto_say_later(struct sotto_engine *e)
{
    e->say_mono = sotto_mono_ms(e->env) + SAY_AGAIN_MS;
}

static void say_again(struct sotto_engine *e)
{
    e->say_mono = 0;
    if (e->connection_unsaid)
        sotto_connection_tell(e, 0);
    sotto_changed_flush(e);
    sotto_receive_note_shown(e);
    sotto_receive_feed(e);
    sotto_jobs_say(e);
}

void sotto_notice(struct sotto_engine *e, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sotto_emit(e, (struct sotto_ref){0}, SOTTO_EVENT_NOTICE, text);
}

/* --- requests --- */

struct pending *sotto_ask(struct sotto_engine *e, struct sotto_request *r, pending_fn *done,
                          struct job *job)
{
    struct pending *p = calloc(1, sizeof *p);
    struct pending **end = &e->pending;

    if (++e->next_id == 0)
        e->next_id = 1;
    r->id = e->next_id;
    if (p == NULL || sotto_request_encode(r, &e->out) != SOTTO_OK) {
        free(p);
        sotto_engine_trouble(e, SOTTO_ERR_NOMEM, "out of memory");
        return NULL;
    }
    p->id = r->id;
    p->done = done;
    p->job = job;
    p->sent_mono = sotto_mono_ms(e->env);
    while (*end != NULL)
        end = &(*end)->next;
    *end = p;
    return p;
}

void sotto_tell(struct sotto_engine *e, struct sotto_request *r)
{
    r->id = 0;
    if (sotto_request_encode(r, &e->out) != SOTTO_OK)
        sotto_engine_trouble(e, SOTTO_ERR_NOMEM, "out of memory");
}

void sotto_engine_trouble(struct sotto_engine *e, enum sotto_err why, const char *text)
{
    if (e->phase == LINK_DOWN)
        return;
    if (e->why == SOTTO_OK) { /* the first cause is the true one */
        e->why = why;
        snprintf(e->why_text, sizeof e->why_text, "%s", text);
    }
    e->ops->hang_up(e->ctx);
}

enum sotto_result sotto_relay_result(enum sotto_relay_error code)
{
    switch (code) {
    case SOTTO_RELAY_NOT_SIGNED_IN:
    case SOTTO_RELAY_REVOKED:
    case SOTTO_RELAY_BAD_PROOF:
    case SOTTO_RELAY_WRONG_PASSWORD:
    case SOTTO_RELAY_CERTIFICATE:
    case SOTTO_RELAY_UNKNOWN_DEVICE:
        return SOTTO_RESULT_PROFILE;
    case SOTTO_RELAY_UNKNOWN_ACCOUNT:
        return SOTTO_RESULT_UNKNOWN;
    default:
        return SOTTO_RESULT_FAILED;
    }
}

/* --- object --- */

enum sotto_err sotto_engine_new(const struct sotto_env *env, struct sotto_profile *profile,
                                const struct sotto_engine_ops *ops, void *ctx,
                                struct sotto_engine **ret)
{
    struct sotto_engine *e = calloc(1, sizeof *e);
    enum sotto_err err;

    if (e == NULL)
        return SOTTO_ERR_NOMEM;
    e->env = env;
    e->p = profile;
    e->ops = ops;
    e->ctx = ctx;
    e->in_last = &e->in_first;
    e->lane = 1;
    e->out = SOTTO_BUF(64 * 1024 * 1024);
    e->why = SOTTO_ERR_AGAIN;
    e->why_result = SOTTO_RESULT_UNREACHABLE;
    snprintf(e->why_text, sizeof e->why_text, "not connected yet");
    if ((err = sotto_account_load(e)) != SOTTO_OK) {
        sotto_engine_free(e);
        return err;
    }
    *ret = e;
    return SOTTO_OK;
}

void sotto_engine_free(struct sotto_engine *e)
{
    if (e == NULL)
        return;
    /* Nobody is told: who made the calls makes them again elsewhere. */
    while (e->pending != NULL) {
        struct pending *p = e->pending;

        e->pending = p->next;
        free(p);
    }
    sotto_jobs_free(e);
    sotto_inbox_clear(e);
    while (e->outgoing != NULL) {
        struct outgoing *o = e->outgoing;

        e->outgoing = o->next;
        free(o);
    }
    free(e->publish);
    free(e->changed);
    sotto_buf_free(&e->out);
    sotto_sign_pair_wipe(&e->account_key);
    sotto_device_keys_wipe(&e->keys);
    sotto_wipe(&e->tls, sizeof e->tls);
    free(e);
}

struct sotto_buf *sotto_engine_output(struct sotto_engine *e)
{
    return &e->out;
}

bool sotto_engine_has_account(const struct sotto_engine *e)
{
    return e->registered;
}

bool sotto_engine_online(const struct sotto_engine *e)
{
    return e->phase == LINK_ONLINE;
}

uint32_t sotto_engine_least_pause(const struct sotto_engine *e)
{
    return e->replaced ? 60000 : 0;
}

bool sotto_engine_idle(const struct sotto_engine *e)
{
    return e->phase != LINK_ONLINE || e->pending == NULL;
}

/* --- frames --- */

static void take_answer(struct sotto_engine *e, const struct sotto_answer *a)
{
    struct pending **at = &e->pending, *p;

    while (*at != NULL && (*at)->id != a->id)
        at = &(*at)->next;
    if ((p = *at) == NULL) {
        sotto_log_peer("answer to a request that was not made");
        return;
    }
    *at = p->next;
    p->done(e, p, a);
    free(p);
}

static void take_push(struct sotto_engine *e, const struct sotto_answer *a)
{
    if ((a->type == SOTTO_ANS_DELIVER || a->type == SOTTO_ANS_EPHEMERAL) &&
        e->phase != LINK_ONLINE) {
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay delivered before it was asked to");
        return;
    }
    switch (a->type) {
    case SOTTO_ANS_DELIVER:
        e->delivered++;
        sotto_inbox_deliver(e, a);
        break;
    case SOTTO_ANS_EPHEMERAL:
        sotto_inbox_ephemeral(e, a->u.ephemeral.envelope);
        break;
    case SOTTO_ANS_LIST_CHANGED:
        sotto_account_list_changed(e, a->u.list_changed.list);
        break;
    case SOTTO_ANS_LINK_PENDING:
        sotto_devices_link_pending(e);
        break;
    case SOTTO_ANS_PREKEYS_LOW:
        sotto_account_keys_low(e, a->u.prekeys_kept.one_time_left);
        break;
    case SOTTO_ANS_CLOSING:
        sotto_link_closing(e, a);
        break;
    default:
        sotto_log_peer("push of a kind that is never pushed");
    }
}

void sotto_engine_frame(struct sotto_engine *e, const uint8_t *body, size_t len)
{
    struct sotto_answer *a = NULL;
    enum sotto_err err;

    if (e->phase < LINK_HELLO)
        return;
    e->heard_mono = sotto_mono_ms(e->env);
    err = sotto_answer_decode(body, len, &a);
    if (err == SOTTO_ERR_UNSUPPORTED && e->phase > LINK_HELLO)
        return; /* a push that only newer clients know */
    if (err != SOTTO_OK) {
        sotto_engine_trouble(e, err, "the relay sent something that is not the protocol");
        return;
    }
    e->iterating++;
    if (e->phase == LINK_HELLO) {
        if (a->type == SOTTO_ANS_HELLO && a->id == 0)
            sotto_link_hello(e, a);
        else if (a->type == SOTTO_ANS_CLOSING)
            sotto_link_closing(e, a);
        else
            sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay did not say hello");
    } else if (a->id == 0) {
        take_push(e, a);
    } else {
        take_answer(e, a);
    }
    e->iterating--;
    sotto_answer_free(a);
    sotto_inbox_run(e);
    sotto_jobs_sweep(e);
}

void sotto_engine_goodbye(struct sotto_engine *e)
{
    struct sotto_request r = {.type = SOTTO_REQ_GOODBYE};

    if (e->phase < LINK_OPEN)
        return;
    sotto_receipts_flush(e);
    sotto_outbox_pump(e);
    sotto_tell(e, &r);
}

/* --- time --- */

uint64_t sotto_engine_deadline(const struct sotto_engine *e)
{
    uint64_t at = e->next_housekeeping_mono, o = sotto_outbox_deadline(e);
    uint64_t lost = sotto_lost_deadline(e);

    if (o < at)
        at = o;
    if (lost < at)
        at = lost;
    if (e->say_mono != 0 && e->say_mono < at)
        at = e->say_mono;
    for (const struct job *j = e->jobs; j != NULL; j = j->next)
        if (!j->dead && j->deadline_mono != 0 && j->deadline_mono < at)
            at = j->deadline_mono;
    if (e->phase == LINK_ONLINE && e->receipts_mono != 0 && e->receipts_mono < at)
        at = e->receipts_mono;
    if (e->phase >= LINK_HELLO) {
        uint64_t quiet = sotto_link_deadline(e);

        if (quiet < at)
            at = quiet;
    }
    return at;
}

void sotto_engine_tick(struct sotto_engine *e)
{
    uint64_t now = sotto_mono_ms(e->env);

    sotto_link_tick(e, now);
    e->iterating++;
    for (struct job *j = e->jobs; j != NULL; j = j->next) {
        if (j->dead || j->deadline_mono == 0 || now < j->deadline_mono)
            continue;
        if (j->op == SOTTO_OP_LOGIN)
            sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                           "nobody approved this device within ten minutes. Try again: sotto "
                           "login ...");
        else if (j->op == SOTTO_OP_SEND)
            sotto_outbox_send(e, j); /* sees its deadline and says the state */
        else
            sotto_job_done(e, j, SOTTO_RESULT_UNREACHABLE, "the relay did not answer in time");
    }
    e->iterating--;
    if (e->say_mono != 0 && now >= e->say_mono)
        say_again(e);
    sotto_outbox_tick(e);
    if (now >= e->next_housekeeping_mono) {
        e->next_housekeeping_mono = now + 3600 * 1000;
        sotto_account_tick(e);
    }
    sotto_lost_tick(e);
    sotto_receipts_flush(e);
    sotto_outbox_pump(e);
    sotto_jobs_sweep(e);
}
