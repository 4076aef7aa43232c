/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: which request is allowed when, and its output.
 *
 *     OPEN -> CHALLENGED -> LOGGED_IN -> LINKING      a new device, by password
 *     OPEN, LOGGED_IN, LINKING -> SIGNED_IN -> BEGUN  a listed device, by its key
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "relay/core.h"
#include "wire/hot.h"

/* --- one request --- */

static enum sotto_err ping(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    sotto_relay_done(c, q->id);
    return SOTTO_OK;
}

static enum sotto_err goodbye(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    sotto_relay_done(c, q->id);
    c->s.ending = true;
    return SOTTO_OK;
}

static const struct rule {
    request_fn *run;
    unsigned stages;
    uint32_t units; /* of work */
    bool writes;
} rules[] = {
    [SOTTO_REQ_SIGN_IN] = {sotto_relay_sign_in, STAGE_STRANGER, 20, true},
    [SOTTO_REQ_BEGIN] = {sotto_relay_begin, STAGE_SIGNED_IN, 2, true},
    [SOTTO_REQ_OPAQUE_REGISTER] = {sotto_relay_opaque_register, STAGE_STRANGER, 40, false},
    [SOTTO_REQ_REGISTER] = {sotto_relay_register, STAGE_OPEN, 40, true},
    [SOTTO_REQ_OPAQUE_LOGIN] = {sotto_relay_opaque_login, STAGE_OPEN | STAGE_CHALLENGED, 100,
                                false},
    [SOTTO_REQ_OPAQUE_FINISH] = {sotto_relay_opaque_finish, STAGE_CHALLENGED, 10, false},
    [SOTTO_REQ_LINK] = {sotto_relay_link, STAGE_LOGGED_IN | STAGE_LINKING, 40, true},
    [SOTTO_REQ_GET_LINKS] = {sotto_relay_get_links, STAGE_MEMBER, 4, false},
    [SOTTO_REQ_PUT_LIST] = {sotto_relay_put_list, STAGE_MEMBER, 40, true},
    [SOTTO_REQ_GET_LISTS] = {sotto_relay_get_lists, STAGE_MEMBER, 8, false},
    [SOTTO_REQ_GET_BUNDLE] = {sotto_relay_get_bundle, STAGE_MEMBER, 10, true},
    [SOTTO_REQ_PUT_PREKEYS] = {sotto_relay_put_prekeys, STAGE_MEMBER, 60, true},
    [SOTTO_REQ_SUBMIT] = {sotto_relay_submit, STAGE_MEMBER, 1, false},
    [SOTTO_REQ_ACK] = {sotto_relay_ack, STAGE_BEGUN, 1, false},
    [SOTTO_REQ_SET_TOKENS] = {sotto_relay_set_tokens, STAGE_MEMBER, 10, true},
    [SOTTO_REQ_DELETE_ACCOUNT] = {sotto_relay_delete_account, STAGE_MEMBER, 20, true},
    [SOTTO_REQ_PING] = {ping, STAGE_ANY, 1, false},
    [SOTTO_REQ_GOODBYE] = {goodbye, STAGE_ANY, 1, false},
};

struct undo *sotto_relay_undo_of(const struct sotto_relay_conn *c)
{
    return &c->r->undos[c->undo];
}

/* Before anything of c changes in a turn. False: no memory to note how it was. */
static bool touch(struct sotto_relay_conn *c)
{
    struct sotto_relay *r = c->r;
    struct undo *u;

    if (c->touched)
        return true;
    if (r->undo_count == r->undo_room) {
        size_t room = r->undo_room == 0 ? 64 : r->undo_room * 2;

        if ((u = realloc(r->undos, room * sizeof *u)) == NULL)
            return false;
        memset(u + r->undo_room, 0, (room - r->undo_room) * sizeof *u);
        r->undos = u;
        r->undo_room = room;
    }
    c->touched = true;
    c->undo = (uint32_t)r->undo_count++;
    u = sotto_relay_undo_of(c);
    u->conn = c;
    u->state = c->s;
    u->out = c->out.n;
    u->id_count = 0;
    u->highest_lane = 0;
    return true;
}

static enum sotto_err note_id(struct sotto_relay_conn *c, uint32_t id)
{
    struct undo *u = sotto_relay_undo_of(c);

    if (id == 0)
        return SOTTO_OK;
    if (u->id_count == u->id_room) {
        size_t room = u->id_room == 0 ? 8 : u->id_room * 2;
        uint32_t *grown = realloc(u->ids, room * sizeof *grown);

        if (grown == NULL)
            return SOTTO_ERR_NOMEM;
        u->ids = grown;
        u->id_room = room;
    }
    u->ids[u->id_count++] = id;
    return SOTTO_OK;
}

void sotto_relay_forget_id(struct sotto_relay_conn *c, uint32_t id)
{
    struct undo *u = sotto_relay_undo_of(c);

    for (size_t i = u->id_count; i-- > 0;) {
        if (u->ids[i] != id)
            continue;
        memmove(u->ids + i, u->ids + i + 1, (u->id_count - i - 1) * sizeof *u->ids);
        u->id_count--;
        return;
    }
}

static enum sotto_err run(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    const struct rule *rule = &rules[q->type];
    enum sotto_err e;

    if ((c->s.stage & rule->stages) == 0) {
        bool member = (c->s.stage & STAGE_MEMBER) != 0 || (rule->stages & STAGE_MEMBER) == 0;

        sotto_relay_refuse(c, q->id, member ? SOTTO_RELAY_BAD_REQUEST : SOTTO_RELAY_NOT_SIGNED_IN,
                           member ? "this request does not fit here" : "sign in first");
        return SOTTO_OK;
    }
    if (rule->writes && (e = sotto_relay_write(c->r)) != 0)
        return e;
    return rule->run(c, q);
}

static void take(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    enum sotto_err e = SOTTO_OK;

    sotto_bucket_take(&c->allowance->work, rules[q->type].units, c->heard_mono);
    /* Frames of a submit before the last one get no answer. */
    if (q->type != SOTTO_REQ_SUBMIT || !q->u.submit.more)
        e = note_id(c, q->id);
    if (e == 0)
        e = run(c, q);
    if (e != 0)
        sotto_relay_undo(c->r, e);
}

void sotto_relay_frame(struct sotto_relay_conn *c, const uint8_t *body, size_t len)
{
    struct sotto_request hot, *q = NULL;
    enum sotto_err e;

    if (c->s.ending)
        return;
    if (!touch(c)) { /* nothing was taken: it is asked for again on the next connection */
        c->s.ending = true;
        sotto_relay_ready(c);
        return;
    }
    c->heard_mono = sotto_relay_mono(c->r);
    if (c->allowance->bytes.rate > 0)
        sotto_bucket_take(&c->allowance->bytes, (uint32_t)len, c->heard_mono);
    if (sotto_hot_request(body, len, &hot)) {
        take(c, &hot);
        return;
    }
    e = sotto_request_decode(body, len, &q);
    if (e == SOTTO_ERR_NOMEM) {
        sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, "the relay is out of memory");
        return;
    }
    if (e != 0) {
        c->broke_protocol = true;
        if (sotto_relay_line_due(c, "malformed"))
            sotto_log_peer("%s sent a request that is not well formed", c->address);
        sotto_relay_end(c, SOTTO_CLOSING_PROTOCOL, "a request was not well formed");
        return;
    }
    take(c, q);
    sotto_request_free(q);
}

/* --- turns --- */

void sotto_relay_conn_undo(struct sotto_relay_conn *c)
{
    const struct undo *u = sotto_relay_undo_of(c);

    c->s = u->state;
    c->out.n = u->out;
    sotto_relay_unhold(c);
    for (size_t i = 0; i < u->id_count; i++)
        sotto_relay_refuse(c, u->ids[i], SOTTO_RELAY_UNAVAILABLE,
                           "the relay cannot store anything at the moment; try again later");
    /* What was submitted after it must not overtake what was refused here. */
    if (u->highest_lane > 0)
        sotto_relay_lanes_close(c, u->highest_lane);
    if (c->broke_protocol)
        sotto_relay_end(c, SOTTO_CLOSING_PROTOCOL, "a request was not well formed");
}

/* A debt may be another connection's of the same account: whenever it is found, it is noted that
 * this one is to be read again when it is paid. */
static bool wants_input(struct sotto_relay_conn *c)
{
    uint64_t mono = sotto_relay_mono(c->r), debt = sotto_allowance_debt_ms(c->allowance, mono);

    c->in_debt = debt > 0;
    if (debt > 0 && mono + debt < c->r->next_debt)
        c->r->next_debt = mono + debt;
    return !c->s.ending && c->out.n + c->pending <= OUTPUT_HIGH && debt == 0;
}

void sotto_relay_conn_settle(struct sotto_relay_conn *c)
{
    bool wants = wants_input(c);

    if (c->out.n > 0 || c->s.ending || wants != c->wanted_input)
        sotto_relay_ready(c);
}

bool sotto_relay_wants_input(struct sotto_relay_conn *c)
{
    c->wanted_input = wants_input(c);
    return c->wanted_input;
}

void sotto_relay_sent(struct sotto_relay_conn *c, size_t pending)
{
    c->pending = pending < UINT32_MAX ? (uint32_t)pending : UINT32_MAX;
    if (c->more && c->out.n + pending < OUTPUT_HIGH)
        sotto_relay_want_pump(c);
    if (wants_input(c) != c->wanted_input)
        sotto_relay_ready(c);
}

/* --- limits --- */

uint64_t sotto_relay_count(struct sotto_relay_conn *c, struct guard *g, const void *what,
                           size_t len, uint32_t max, uint64_t window_ms)
{
    return max == 0 ? 0 : sotto_guard_count(g, what, len, max, window_ms, sotto_relay_mono(c->r));
}

struct sotto_source sotto_relay_source(const struct sotto_relay_conn *c)
{
    struct sotto_source source;

    sotto_source_of(c->address, &source);
    return source;
}

bool sotto_relay_line_due(struct sotto_relay_conn *c, const char *reason)
{
    struct sotto_source source = sotto_relay_source(c);

    return sotto_guard_line(&c->r->line_guard, &source, reason, sotto_relay_mono(c->r));
}

/* --- answers --- */

/* What comes of putting an answer into the output. */
static void answered(struct sotto_relay_conn *c, enum sotto_err e)
{
    if (e != 0) {
        sotto_log_local("an answer could not be queued: %s", sotto_err_text(e));
        c->s.ending = true;
    }
    sotto_relay_ready(c);
}

void sotto_relay_deliver(struct sotto_relay_conn *c, uint64_t seq, bool request,
                         struct sotto_bytes envelope)
{
    if (!c->s.ending)
        answered(c, sotto_hot_deliver(&c->out, seq, request, envelope));
}

void sotto_relay_stored(struct sotto_relay_conn *c, uint32_t id, bool by_device,
                        const uint64_t *devices, size_t count)
{
    enum sotto_err e;

    if (c->s.ending)
        return;
    e = by_device ? SOTTO_OK : sotto_relay_hold(c);
    answered(c, e != 0 ? e : sotto_hot_stored(&c->out, id, devices, count));
}

void sotto_relay_answer(struct sotto_relay_conn *c, struct sotto_answer *a)
{
    enum sotto_err e;

    if (c->s.ending || (a->id == 0 && a->type < SOTTO_ANS_DELIVER))
        return;
    e = sotto_relay_hold(c);
    answered(c, e != 0 ? e : sotto_answer_encode(a, NULL, &c->out));
}

void sotto_relay_done(struct sotto_relay_conn *c, uint32_t id)
{
    struct sotto_answer a;

    if (id == 0) /* wants no answer; acknowledgements do without */
        return;
    a = (struct sotto_answer){.id = id, .type = SOTTO_ANS_DONE};
    sotto_relay_answer(c, &a);
}

static void refuse(struct sotto_relay_conn *c, uint32_t id, enum sotto_relay_error code,
                   uint64_t retry_ms, const char *text)
{
    struct sotto_answer a = {.id = id, .type = SOTTO_ANS_ERROR};
    size_t len = strlen(text);

    sotto_count_refusal(&c->r->counters, code);
    if (sotto_relay_line_due(c, text))
        sotto_log_event(SOTTO_LOG_PEER, "refused", "%s was refused: %s", c->address, text);
    a.u.error.code = code;
    a.u.error.retry_ms = retry_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)retry_ms;
    if (len >= sizeof a.u.error.text)
        len = sizeof a.u.error.text - 1;
    memcpy(a.u.error.text, text, len);
    sotto_relay_answer(c, &a);
}

void sotto_relay_refuse(struct sotto_relay_conn *c, uint32_t id, enum sotto_relay_error code,
                        const char *text)
{
    refuse(c, id, code, 0, text);
}

void sotto_relay_refuse_until(struct sotto_relay_conn *c, uint32_t id, uint64_t retry_ms,
                              const char *text)
{
    refuse(c, id, SOTTO_RELAY_TOO_MANY, retry_ms, text);
}

void sotto_relay_end(struct sotto_relay_conn *c, enum sotto_closing reason, const char *text)
{
    struct sotto_answer a = {.type = SOTTO_ANS_CLOSING};

    a.u.closing.reason = reason;
    memcpy(a.u.closing.text, text, strlen(text) + 1);
    sotto_relay_answer(c, &a);
    c->s.ending = true;
    sotto_relay_ready(c);
}

void sotto_relay_conn_rest(struct sotto_relay_conn *c)
{
    if (c->touched || c->out.n > 0)
        return;
    sotto_buf_free(&c->out);
    if (c->window == NULL || c->window->count > 0)
        return;
    free(c->window);
    c->window = NULL;
}

void sotto_relay_conn_free(struct sotto_relay_conn *c)
{
    sotto_allowances_leave(&c->r->allowances, c->allowance, sotto_mono_ms(c->r->env));
    sotto_relay_login_end(c);
    sotto_answers_forget(c);
    sotto_relay_assembly_free(c->assembly);
    free(c->lanes);
    free(c->window);
    free(c->pin);
    sotto_buf_free(&c->out);
    sotto_wipe(c, sizeof *c);
    free(c);
}
