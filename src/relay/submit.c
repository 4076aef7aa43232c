/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submits: collected over several frames, judged as a whole, applied in one transaction. Who sent
 * what to whom is neither logged nor stored.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "relay/core.h"

/* --- lanes: after a refusal nothing of the same lane may overtake --- */

void sotto_relay_lanes_close(struct sotto_relay_conn *c, uint32_t lane)
{
    if (lane > c->lane_floor)
        c->lane_floor = lane;
}

static struct lane *lane_find(struct sotto_relay_conn *c, int64_t account, uint64_t device)
{
    for (size_t i = 0; i < c->lane_count; i++)
        if (c->lanes[i].device == device && c->lanes[i].account == account)
            return &c->lanes[i];
    return NULL;
}

static bool lane_open(struct sotto_relay_conn *c, int64_t account, uint64_t device, uint32_t lane)
{
    const struct lane *l = lane_find(c, account, device);

    return lane > c->lane_floor && (l == NULL || lane > l->closed);
}

static void lane_close(struct sotto_relay_conn *c, int64_t account, uint64_t device, uint32_t lane)
{
    struct lane *l = lane_find(c, account, device);

    if (l == NULL && c->lanes == NULL)
        c->lanes = calloc(LANES_MAX, sizeof *c->lanes);
    if (c->lanes == NULL) {
        sotto_relay_lanes_close(c, lane);
        return;
    }
    if (l == NULL && c->lane_count == LANES_MAX) {
        /* Too many to remember each: the oldest is closed for all devices instead. */
        sotto_relay_lanes_close(c, c->lanes[0].closed);
        memmove(c->lanes, c->lanes + 1, (LANES_MAX - 1) * sizeof *c->lanes);
        c->lane_count--;
    }
    if (l == NULL) {
        l = &c->lanes[c->lane_count++];
        *l = (struct lane){.account = account, .device = device};
    }
    if (lane > l->closed)
        l->closed = lane;
}

/* The whole submit is refused. */
static void lanes_close(struct sotto_relay_conn *c, int64_t account, const struct assembly *a)
{
    for (size_t i = 0; i < a->count && !a->ephemeral; i++)
        lane_close(c, account, a->parcels[i].device, a->parcels[i].lane);
}

/* --- collecting --- */

void sotto_relay_assembly_free(struct assembly *a)
{
    if (a == NULL)
        return;
    sotto_buf_free(&a->mem);
    sotto_wipe(a, sizeof *a);
    free(a);
}

static void assembly_begin(struct assembly *a, const struct sotto_request *q)
{
    memcpy(a->to, q->u.submit.to, sizeof a->to);
    a->list_version = q->u.submit.list_version;
    a->has_token = q->u.submit.has_token;
    if (a->has_token)
        memcpy(a->token, q->u.submit.token, sizeof a->token);
    a->ephemeral = q->u.submit.ephemeral;
    a->refused = false;
    a->highest_lane = 0;
    a->count = 0;
}

static struct assembly *assembly_new(const struct sotto_request *q)
{
    struct assembly *a = calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    assembly_begin(a, q);
    a->mem = SOTTO_BUF(SOTTO_DEVICES_MAX * SOTTO_ENVELOPE_MAX);
    return a;
}

/* One frame is all: nothing is copied. That no device is in it twice was checked. */
static void assembly_of(struct assembly *a, const struct sotto_request *q)
{
    assembly_begin(a, q);
    a->count = q->u.submit.count;
    for (size_t i = 0; i < a->count; i++) {
        const struct sotto_parcel *p = &q->u.submit.parcels[i];

        a->parcels[i].device = p->device;
        a->parcels[i].lane = p->lane;
        a->parcels[i].p = p->envelope.p;
        a->parcels[i].len = p->envelope.n;
        if (p->lane > a->highest_lane)
            a->highest_lane = p->lane;
    }
}

/* Frames of one submit say the same about everything but the parcels. */
static bool fits(const struct assembly *a, const struct sotto_request *q)
{
    return strcmp(a->to, q->u.submit.to) == 0 && a->list_version == q->u.submit.list_version &&
           a->has_token == q->u.submit.has_token && a->ephemeral == q->u.submit.ephemeral &&
           memcmp(a->token, q->u.submit.token, a->has_token ? sizeof a->token : 0) == 0 &&
           a->count + q->u.submit.count <= SOTTO_DEVICES_MAX;
}

static bool has_parcel(const struct assembly *a, uint64_t device)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->parcels[i].device == device)
            return true;
    return false;
}

static void refuse_assembly(struct assembly *a, enum sotto_relay_error code)
{
    a->refused = true;
    a->code = code;
}

/* What does not fit together is refused, but only where the answer belongs: at the last frame. What
 * is left of the submit must not be taken for a whole one. */
static void collect(struct assembly *a, const struct sotto_request *q)
{
    if (!fits(a, q))
        refuse_assembly(a, a->count + q->u.submit.count > SOTTO_DEVICES_MAX
                               ? SOTTO_RELAY_TOO_LARGE
                               : SOTTO_RELAY_BAD_REQUEST);
    for (size_t i = 0; i < q->u.submit.count && !a->refused; i++) {
        const struct sotto_parcel *p = &q->u.submit.parcels[i];

        if (p->lane > a->highest_lane)
            a->highest_lane = p->lane;
        if (has_parcel(a, p->device)) {
            refuse_assembly(a, SOTTO_RELAY_BAD_REQUEST);
            break;
        }
        a->parcels[a->count].device = p->device;
        a->parcels[a->count].lane = p->lane;
        a->parcels[a->count].at = a->mem.n;
        a->parcels[a->count].len = p->envelope.n;
        if (sotto_buf_add(&a->mem, p->envelope.p, p->envelope.n) != 0)
            refuse_assembly(a, SOTTO_RELAY_UNAVAILABLE);
        else
            a->count++;
    }
}

/* --- judging --- */

struct submit {
    struct sotto_relay_conn *c;
    uint32_t id;
    const struct assembly *a;
    struct person *to;
    bool own, request;
};

static struct sotto_bytes envelope_of(const struct assembly *a, size_t i)
{
    return (struct sotto_bytes){a->parcels[i].p, a->parcels[i].len};
}

static int64_t box_of(const struct submit *s, uint64_t device)
{
    for (size_t i = 0; i < s->to->box_count; i++)
        if (s->to->boxes[i].device == device)
            return s->to->boxes[i].box;
    return 0;
}

/* A frame's worth of the lists that the sender does not know. */
static enum sotto_err refuse_list_changed(struct submit *s)
{
    struct sotto_answer a = {.id = s->id, .type = SOTTO_ANS_ERROR};
    static const char text[] = "the recipient's device list is another one";
    SOTTO_AUTO_BUF mem = SOTTO_BUF(LIST_FRAME_BUDGET + SOTTO_LIST_MAX);
    struct sotto_rs_lists l;
    enum sotto_err e = sotto_rs_lists_since(s->c->r->store, s->to->account.id, s->a->list_version,
                                            LIST_FRAME_BUDGET, &mem, &l);

    if (e != 0)
        return e;
    a.u.error.code = SOTTO_RELAY_LIST_CHANGED;
    memcpy(a.u.error.text, text, sizeof text);
    a.u.error.list_count = l.count;
    for (size_t i = 0; i < l.count; i++)
        a.u.error.lists[i] = (struct sotto_bytes){mem.p + l.lists[i].at, l.lists[i].len};
    sotto_relay_answer(s->c, &a);
    return SOTTO_OK;
}

/* The lane: a token that the recipient does not know (any more) counts as none, so that somebody
 * who was blocked is not told. */
static enum sotto_err find_lane(struct submit *s)
{
    enum sotto_err e;

    s->own = s->to->account.id == s->c->s.account;
    s->request = false;
    if (s->own)
        return SOTTO_OK;
    s->request = true;
    if (!s->a->has_token)
        return SOTTO_OK;
    e = sotto_directory_token(s->c->r, s->to, s->a->token);
    s->request = e == SOTTO_ERR_NOT_FOUND;
    return e == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : e;
}

/* false: the whole submit was refused. */
static enum sotto_err judge(struct submit *s, bool *ret_go_on)
{
    struct sotto_relay_conn *c = s->c;
    uint64_t wait;
    enum sotto_err e = sotto_directory_find(c->r, s->a->to, &s->to);

    *ret_go_on = false;
    if (e == SOTTO_ERR_NOT_FOUND || (e == 0 && s->to->account.gone)) {
        sotto_relay_refuse(c, s->id, e == 0 ? SOTTO_RELAY_NAME_GONE : SOTTO_RELAY_UNKNOWN_ACCOUNT,
                           e == 0 ? "this account was deleted" : "no account has this name here");
        return SOTTO_OK;
    }
    if (e != 0)
        return e;
    if (s->to->account.version != s->a->list_version) {
        lanes_close(c, s->to->account.id, s->a);
        return refuse_list_changed(s);
    }
    if ((e = find_lane(s)) != 0)
        return e;
    if (s->request && !s->a->ephemeral &&
        (wait = sotto_relay_count(c, &c->r->stranger_guard, &c->s.account, sizeof c->s.account,
                                  c->r->config.strangers_per_hour, HOUR_MS)) > 0) {
        lanes_close(c, s->to->account.id, s->a);
        sotto_relay_refuse_until(c, s->id, wait,
                                 "too many messages to people who have not accepted you yet");
        return SOTTO_OK;
    }
    *ret_go_on = true;
    return SOTTO_OK;
}

/* --- applying --- */

/* Passed on while the device is there and takes it, else forgotten. */
static enum sotto_parcel_state pass_on(struct submit *s, size_t i)
{
    struct sotto_answer a = {.type = SOTTO_ANS_EPHEMERAL};
    struct box *b = sotto_relay_box_known(s->c->r, box_of(s, s->a->parcels[i].device));
    struct sotto_relay_conn *to = b != NULL ? b->conn : NULL;

    if (s->request || to == NULL || to->s.stage != STAGE_BEGUN || to->s.ending ||
        to->out.n + to->pending >= OUTPUT_HIGH)
        return SOTTO_PARCEL_GONE;
    a.u.ephemeral.envelope = envelope_of(s->a, i);
    sotto_relay_answer(to, &a);
    return SOTTO_PARCEL_STORED;
}

static struct parcel_in parcel_of(const struct submit *s, size_t i)
{
    return (struct parcel_in){
        .sender = s->c->s.account,
        .own = s->own,
        .request = s->request,
        .envelope = envelope_of(s->a, i),
    };
}

static void not_taken(struct sotto_relay_conn *c, enum sotto_parcel_state state)
{
    const char *why = "its device is not there any more";
    enum sotto_counter which = SOTTO_COUNT_REFUSED_GONE;

    if (state == SOTTO_PARCEL_FULL) {
        which = SOTTO_COUNT_REFUSED_FULL;
        why = "its mailbox is full";
    } else if (state == SOTTO_PARCEL_QUOTA) {
        which = SOTTO_COUNT_REFUSED_SHARE;
        why = "one sender has filled his share of the mailbox";
    }
    sotto_count(&c->r->counters, which, 1);
    if (sotto_relay_line_due(c, why))
        sotto_log_event(SOTTO_LOG_PEER, "not-stored", "an envelope of %s was not taken: %s",
                        c->address, why);
}

static enum sotto_err store(struct submit *s, size_t i, enum sotto_parcel_state *ret_state)
{
    uint64_t device = s->a->parcels[i].device;
    int64_t box = box_of(s, device), account = s->to->account.id;
    struct parcel_in parcel = parcel_of(s, i);
    enum sotto_parcel_state state = SOTTO_PARCEL_GONE;
    enum sotto_err e;

    if (!lane_open(s->c, account, device, s->a->parcels[i].lane)) {
        *ret_state = SOTTO_PARCEL_LANE_CLOSED;
        return SOTTO_OK;
    }
    if (box != 0 && (e = sotto_relay_box_store(s->c->r, box, &parcel, &state)) != 0)
        return e;
    if (state != SOTTO_PARCEL_STORED) {
        lane_close(s->c, account, device, s->a->parcels[i].lane);
        not_taken(s->c, state);
    }
    *ret_state = state;
    return SOTTO_OK;
}

static void answer_each(struct submit *s, const enum sotto_parcel_state *states)
{
    struct sotto_answer a = {.id = s->id, .type = SOTTO_ANS_SUBMITTED};

    a.u.submitted.count = s->a->count;
    for (size_t i = 0; i < s->a->count; i++) {
        a.u.submitted.results[i].device = s->a->parcels[i].device;
        a.u.submitted.results[i].state = states[i];
    }
    sotto_relay_answer(s->c, &a);
}

/* Nearly always all are stored. */
static void answer_submit(struct submit *s, const enum sotto_parcel_state *states)
{
    uint64_t devices[SOTTO_DEVICES_MAX];

    for (size_t i = 0; i < s->a->count; i++) {
        if (states[i] != SOTTO_PARCEL_STORED) {
            answer_each(s, states);
            return;
        }
        devices[i] = s->a->parcels[i].device;
    }
    sotto_relay_stored(s->c, s->id, false, devices, s->a->count);
}

static enum sotto_err apply(struct submit *s)
{
    enum sotto_parcel_state states[SOTTO_DEVICES_MAX];
    enum sotto_err e = s->a->ephemeral ? SOTTO_OK : sotto_relay_write(s->c->r);

    for (size_t i = 0; e == 0 && i < s->a->count; i++) {
        if (s->a->ephemeral)
            states[i] = pass_on(s, i);
        else
            e = store(s, i, &states[i]);
    }
    if (e == 0)
        answer_submit(s, states);
    return e;
}

/* --- live --- */

/* All of them or none: one that has to be stored decides the answer's time anyway. */
static bool all_live(const struct submit *s)
{
    for (size_t i = 0; i < s->a->count; i++) {
        int64_t box = box_of(s, s->a->parcels[i].device);
        struct box *b = box != 0 ? sotto_relay_box_known(s->c->r, box) : NULL;
        struct parcel_in parcel = parcel_of(s, i);

        if (b == NULL || !sotto_live_possible(b, parcel.envelope.n) ||
            !lane_open(s->c, s->to->account.id, s->a->parcels[i].device, s->a->parcels[i].lane) ||
            sotto_box_room(s->c->r, b, &parcel) != SOTTO_PARCEL_STORED)
            return false;
    }
    return !s->a->ephemeral && s->a->count > 0;
}

static enum sotto_err pass_live(struct submit *s)
{
    struct answer_due *due = sotto_answer_due(s->c, s->id, s->a->count);
    enum sotto_err e = due != NULL ? SOTTO_OK : SOTTO_ERR_NOMEM;
    size_t taken = 0;

    for (size_t i = 0; e == 0 && i < s->a->count; i++) {
        struct parcel_in parcel = parcel_of(s, i);

        due->devices[i] = s->a->parcels[i].device;
        e = sotto_live_put(s->c->r, sotto_relay_box_known(s->c->r, box_of(s, due->devices[i])),
                           &parcel, due);
        taken += e == 0;
    }
    if (e == 0) {
        due->lane = s->a->highest_lane;
        sotto_relay_forget_id(s->c, s->id); /* this turn's end does not decide about it */
    } else if (due != NULL) {
        sotto_answer_forget(s->c->r, due, s->a->count - taken);
    }
    return e;
}

static enum sotto_err finish(struct sotto_relay_conn *c, uint32_t id, const struct assembly *a)
{
    struct submit s = {.c = c, .id = id, .a = a};
    bool go_on = false;
    enum sotto_err e;

    if (a->refused) {
        if (!a->ephemeral)
            sotto_relay_lanes_close(c, a->highest_lane);
        sotto_relay_refuse(c, id, a->code, "the frames of this submit do not fit together");
        return SOTTO_OK;
    }
    if ((e = judge(&s, &go_on)) != 0 || !go_on)
        return e;
    return all_live(&s) ? pass_live(&s) : apply(&s);
}

static enum sotto_err submit_whole(struct sotto_relay_conn *c, uint32_t id,
                                   const struct assembly *a)
{
    if (!a->ephemeral && a->highest_lane > sotto_relay_undo_of(c)->highest_lane)
        sotto_relay_undo_of(c)->highest_lane = a->highest_lane;
    return finish(c, id, a);
}

enum sotto_err sotto_relay_submit(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    struct assembly one, *a = c->assembly;
    enum sotto_err e;

    if (a == NULL && !q->u.submit.more) {
        assembly_of(&one, q);
        return submit_whole(c, q->id, &one);
    }
    if (a == NULL && (a = assembly_new(q)) == NULL) {
        if (!q->u.submit.more)
            return SOTTO_ERR_NOMEM;
        /* This frame gets no answer, and the rest must not be taken for a whole submit. */
        c->broke_protocol = true;
        sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, "the relay is out of memory");
        return SOTTO_OK;
    }
    c->assembly = a;
    collect(a, q);
    if (q->u.submit.more)
        return SOTTO_OK;
    for (size_t i = 0; i < a->count; i++)
        a->parcels[i].p = a->mem.p + a->parcels[i].at;
    e = submit_whole(c, q->id, a);
    sotto_relay_assembly_free(a);
    c->assembly = NULL;
    return e;
}

/* --- tokens --- */

enum sotto_err sotto_relay_set_tokens(struct sotto_relay_conn *c, const struct sotto_request *q)
{
    enum sotto_err e = SOTTO_OK;

    sotto_directory_forget(c->r, c->s.name);
    for (size_t i = 0; e == 0 && i < q->u.set_tokens.remove_count; i++)
        e = sotto_rs_token_remove(c->r->store, c->s.account, q->u.set_tokens.remove[i]);
    for (size_t i = 0; e == 0 && i < q->u.set_tokens.add_count; i++)
        e = sotto_rs_token_add(c->r->store, c->s.account, q->u.set_tokens.add[i]);
    if (e == SOTTO_ERR_TOO_LARGE) {
        sotto_relay_refuse(c, q->id, SOTTO_RELAY_TOO_MANY, "too many delivery tokens");
        return SOTTO_OK;
    }
    if (e == 0)
        sotto_relay_done(c, q->id);
    return e;
}
