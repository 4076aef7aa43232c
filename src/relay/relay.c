/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn: requests run inside one transaction; what they want to happen elsewhere (a push to
 * another connection, an end) is noted as an effect; answers stay in the connections' output. After
 * the commit effects are carried out; output is let go once the disk has it (hold.c). When the store
 * fails, connections are put back to where they were, their answers of this turn become "try again
 * later", and the effects are forgotten.
 */
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "relay/core.h"

/* It tells the time. */
static enum sotto_err add_hello(const struct sotto_relay *r,
                                const struct sotto_relay_config *config, struct sotto_buf *out)
{
    struct sotto_answer *a = calloc(1, sizeof *a);
    enum sotto_err e;

    if (a == NULL)
        return SOTTO_ERR_NOMEM;
    a->type = SOTTO_ANS_HELLO;
    memcpy(a->u.hello.relay.id, r->self.key.pub, 32);
    memcpy(a->u.hello.relay.incarnation, r->self.incarnation, SOTTO_INCARNATION);
    a->u.hello.relay.pin_count = config->pin_count;
    memcpy(a->u.hello.relay.pins, config->pins, sizeof config->pins);
    memcpy(a->u.hello.version, "sottod " SOTTO_VERSION, sizeof "sottod " SOTTO_VERSION);
    a->u.hello.registration = config->registration;
    a->u.hello.time_ms = sotto_now_ms(r->env);
    e = sotto_answer_encode(a, &r->self.key, out);
    free(a);
    return e;
}

/* Also for those who stay connected for days. Whoever waits until a debt is paid may be read sooner
 * now: that is looked at in the next tick. */
static void change_rates(struct sotto_relay *r)
{
    uint64_t mono = sotto_mono_ms(r->env);

    for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next) {
        sotto_allowance_rates(c->allowance, r->config.requests_per_second,
                              r->config.bytes_per_second, mono);
        if (c->in_debt)
            r->next_debt = mono;
    }
}

enum sotto_err sotto_relay_reconfigure(struct sotto_relay *r,
                                       const struct sotto_relay_config *config)
{
    struct sotto_buf hello = SOTTO_BUF(SOTTO_FRAME_MAX + SOTTO_FRAME_HEADER);
    enum sotto_err e = add_hello(r, config, &hello);

    if (e != 0) {
        sotto_buf_free(&hello);
        return e;
    }
    sotto_buf_free(&r->hello);
    r->hello = hello;
    r->hello_ms = sotto_now_ms(r->env);
    r->config = *config;
    r->name_guard.lock_ms = config->lock_minutes * 60000ull;
    change_rates(r);
    return SOTTO_OK;
}

/* Signing one costs as much as a tenth of a TLS handshake; the time in it may be a little old. */
static enum sotto_err say_hello(struct sotto_relay *r, struct sotto_buf *out)
{
    uint64_t now = sotto_now_ms(r->env);
    enum sotto_err e = SOTTO_OK;

    if (now < r->hello_ms || now >= r->hello_ms + HELLO_MS) {
        r->hello.n = 0;
        e = add_hello(r, &r->config, &r->hello);
        r->hello_ms = e == 0 ? now : 0;
    }
    return e != 0 ? e : sotto_buf_add(out, r->hello.p, r->hello.n);
}

static enum sotto_err guards_init(struct sotto_relay *r)
{
    struct guard *const all[] = {&r->name_guard,    &r->address_guard, &r->stranger_guard,
                                 &r->sign_in_guard, &r->sign_up_guard, &r->bundle_guard,
                                 &r->line_guard};
    enum sotto_err e = SOTTO_OK;

    for (size_t i = 0; e == 0 && i < sizeof all / sizeof all[0]; i++)
        e = sotto_guard_init(all[i], r->env);
    return e;
}

static enum sotto_err start(struct sotto_relay *r, const struct sotto_relay_config *config)
{
    enum sotto_err e;

    if ((e = sotto_rs_identity_load(r->store, r->env, &r->self)) != 0 ||
        (e = sotto_random(r->env, r->tag_key.b, sizeof r->tag_key.b)) != 0 ||
        (e = sotto_random(r->env, &r->person_seed, sizeof r->person_seed)) != 0 ||
        (e = guards_init(r)) != 0 || (e = sotto_relay_reconfigure(r, config)) != 0)
        return e;
    /* Their tags were made under the key of an earlier boot. */
    if ((e = sotto_rs_handed_expire(r->store, UINT64_MAX)) != 0 || (e = sotto_mail_load(r)) != 0)
        return e;
    if ((e = sotto_rs_boot(r->store, &r->epoch)) != 0)
        return e;
    return sotto_rs_sync_later(r->store);
}

enum sotto_err sotto_relay_new(const struct sotto_env *env, struct sotto_relay_store *store,
                               const struct sotto_relay_config *config, struct sotto_relay **ret)
{
    struct sotto_relay *r = calloc(1, sizeof *r);
    enum sotto_err e;

    if (r == NULL)
        return SOTTO_ERR_NOMEM;
    r->env = env;
    r->store = store;
    r->ready_end = &r->ready;
    r->next_sweep = sotto_mono_ms(env);
    r->next_debt = UINT64_MAX;
    r->mail.bytes = SOTTO_BUF(ROW_BYTES + SOTTO_ENVELOPE_MAX);
    if ((e = start(r, config)) != 0) {
        sotto_relay_free(r);
        return e;
    }
    *ret = r;
    return SOTTO_OK;
}

static void effects_clear(struct sotto_relay *r)
{
    struct effect_list *l;

    r->effect_count = 0;
    while ((l = r->lists) != NULL) {
        r->lists = l->next;
        free(l);
    }
}

void sotto_relay_free(struct sotto_relay *r)
{
    if (r == NULL)
        return;
    if (r->in_turn)
        sotto_rs_rollback(r->store);
    while (r->conns != NULL) {
        struct sotto_relay_conn *c = r->conns;

        r->conns = c->next;
        sotto_relay_conn_free(c);
    }
    effects_clear(r);
    free(r->effects);
    for (size_t i = 0; i < r->undo_room; i++)
        free(r->undos[i].ids);
    free(r->undos);
    sotto_answers_drop(r);
    sotto_relay_holds_free(r);
    sotto_mail_free(r);
    sotto_relay_boxes_free(r);
    sotto_directory_forget_all(r);
    free(r->persons);
    sotto_allowances_free(&r->allowances);
    free(r->envelope);
    sotto_guard_free(&r->name_guard);
    sotto_guard_free(&r->address_guard);
    sotto_guard_free(&r->stranger_guard);
    sotto_guard_free(&r->sign_in_guard);
    sotto_guard_free(&r->sign_up_guard);
    sotto_guard_free(&r->bundle_guard);
    sotto_guard_free(&r->line_guard);
    sotto_buf_free(&r->hello);
    sotto_rs_identity_wipe(&r->self);
    sotto_wipe(r, sizeof *r);
    free(r);
}

const uint8_t *sotto_relay_id(const struct sotto_relay *r)
{
    return r->self.key.pub;
}

const struct sotto_counters *sotto_relay_counters(const struct sotto_relay *r)
{
    return &r->counters;
}

uint64_t sotto_relay_mono(struct sotto_relay *r)
{
    if (r->mono == 0)
        r->mono = sotto_mono_ms(r->env);
    return r->mono;
}

/* --- connections come and go --- */

static struct sotto_relay_conn *conn_new(const struct sotto_relay_peer *peer)
{
    size_t address = strnlen(peer->address, sizeof peer->address - 1);
    struct sotto_relay_conn *c = calloc(1, sizeof *c + address + 1);

    if (c == NULL)
        return NULL;
    if (peer->has_pin) {
        if ((c->pin = malloc(sizeof peer->pin)) == NULL) {
            free(c);
            return NULL;
        }
        memcpy(c->pin, peer->pin, sizeof peer->pin);
    }
    memcpy(c->exporter, peer->exporter, sizeof c->exporter);
    memcpy(c->address, peer->address, address);
    return c;
}

enum sotto_err sotto_relay_open(struct sotto_relay *r, const struct sotto_relay_peer *peer,
                                void *ctx, struct sotto_relay_conn **ret)
{
    struct sotto_relay_conn *c = conn_new(peer);
    uint64_t mono = sotto_mono_ms(r->env);
    enum sotto_err e;

    if (c == NULL)
        return SOTTO_ERR_NOMEM;
    c->r = r;
    c->ctx = ctx;
    c->s.stage = STAGE_OPEN;
    c->opened_mono = c->heard_mono = mono;
    c->wanted_input = true;
    c->out = SOTTO_BUF(OUTPUT_MAX);
    c->allowance =
        sotto_allowance_new(r->config.requests_per_second, r->config.bytes_per_second, mono);
    e = c->allowance != NULL ? say_hello(r, &c->out) : SOTTO_ERR_NOMEM;
    if (e != 0) {
        sotto_relay_conn_free(c);
        return e;
    }
    c->next = r->conns;
    if (c->next != NULL)
        c->next->prev = c;
    r->conns = c;
    r->conn_count++;
    sotto_relay_ready(c);
    *ret = c;
    return SOTTO_OK;
}

/* Takes c out of a list of the relay that is linked through the given member. */
#define UNLINK(head, c, member)                                                                    \
    for (struct sotto_relay_conn **p_ = &(head); *p_ != NULL; p_ = &(*p_)->member)                 \
        if (*p_ == (c)) {                                                                          \
            *p_ = (c)->member;                                                                     \
            break;                                                                                 \
        }

static void unlink_everywhere(struct sotto_relay *r, struct sotto_relay_conn *c)
{
    if (c->ready) {
        UNLINK(r->ready, c, next_ready);
        for (r->ready_end = &r->ready; *r->ready_end != NULL;)
            r->ready_end = &(*r->ready_end)->next_ready;
    }
    if (c->pumping)
        UNLINK(r->pump, c, next_pump);
    if (c->touched)
        sotto_relay_undo_of(c)->conn = NULL;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        r->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
}

void sotto_relay_closed(struct sotto_relay_conn *c)
{
    struct sotto_relay *r = c->r;
    struct box *b = c->s.box != 0 ? sotto_relay_box_known(r, c->s.box) : NULL;

    if (b != NULL && b->conn == c)
        b->conn = NULL;
    if (SOTTO_PLANTED(MUTANT_LIVE_LOST) && b != NULL && b->count == b->live_count)
        sotto_box_drop(r, b, UINT64_MAX);
    for (size_t i = 0; i < r->effect_count; i++)
        if (r->effects[i].conn == c)
            r->effects[i].conn = NULL;
    sotto_relay_holds_forget(c);
    unlink_everywhere(r, c);
    r->conn_count--;
    sotto_relay_conn_free(c);
}

void *sotto_relay_ctx(const struct sotto_relay_conn *c)
{
    return c->ctx;
}

/* --- the turn --- */

enum sotto_err sotto_relay_write(struct sotto_relay *r)
{
    enum sotto_err e = SOTTO_OK;

    r->wrote = true;
    if (!r->in_turn && (e = sotto_rs_begin(r->store)) == 0)
        r->in_turn = true;
    return e;
}

struct effect *sotto_relay_effect(struct sotto_relay *r, enum effect_type type)
{
    if (r->effect_count == r->effect_room) {
        size_t room = r->effect_room == 0 ? 64 : r->effect_room * 2;
        struct effect *grown = realloc(r->effects, room * sizeof *grown);

        if (grown == NULL)
            return NULL;
        r->effects = grown;
        r->effect_room = room;
    }
    r->effects[r->effect_count] = (struct effect){.type = type};
    return &r->effects[r->effect_count++];
}

struct effect_list *sotto_relay_effect_list(struct sotto_relay *r, struct sotto_bytes list)
{
    struct effect_list *l = malloc(sizeof *l + list.n);

    if (l == NULL)
        return NULL;
    l->len = list.n;
    memcpy(l->bytes, list.p, list.n);
    l->next = r->lists;
    r->lists = l;
    return l;
}

void sotto_relay_undo(struct sotto_relay *r, enum sotto_err why)
{
    struct sotto_relay_conn *c;

    if (!r->failing)
        sotto_log_local("nothing can be stored: %s; requests are refused", sotto_err_text(why));
    r->failing = true;
    r->undone++;
    sotto_count(&r->counters, SOTTO_COUNT_UNDONE, 1);
    if (r->in_turn)
        sotto_rs_rollback(r->store);
    r->in_turn = false;
    effects_clear(r);
    sotto_mail_settle(r, false);
    sotto_directory_forget_all(r);
    for (size_t i = 0; i < r->undo_count; i++)
        if ((c = r->undos[i].conn) != NULL) {
            c->touched = false;
            sotto_relay_conn_undo(c);
            sotto_relay_conn_settle(c);
        }
    r->undo_count = 0;
}

static struct sotto_relay_conn *conn_of(struct sotto_relay *r, int64_t box)
{
    struct box *b = sotto_relay_box_known(r, box);

    return b != NULL ? b->conn : NULL;
}

static void attach(struct sotto_relay *r, struct sotto_relay_conn *c)
{
    struct box *b = sotto_relay_box(r, c->s.box);

    if (b == NULL) {
        sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, "the relay is out of memory");
        return;
    }
    if (b->conn != NULL && b->conn != c)
        sotto_relay_end(b->conn, SOTTO_CLOSING_REPLACED,
                        "this device signed in on another connection");
    b->conn = c;
    b->low_told = false;
    free(c->pin); /* nothing that a member may ask for looks at it */
    c->pin = NULL;
    c->allowance = sotto_allowances_join(&r->allowances, c->allowance, c->s.account,
                                         r->config.requests_per_second, r->config.bytes_per_second,
                                         sotto_relay_mono(r));
    sotto_count(&r->counters, SOTTO_COUNT_SIGN_INS, 1);
}

/* What it has committed is dropped once it is certain that it is the one who says so. */
static void begun(struct sotto_relay *r, const struct effect *f)
{
    struct box *b = sotto_relay_box_known(r, f->conn->s.box);

    if (f->seq > b->acked)
        b->acked = f->seq;
    sotto_box_drop(r, b, f->seq);
    sotto_relay_window_reset(f->conn, f->seq);
    sotto_relay_want_pump(f->conn);
}

static void push_list(struct sotto_relay_conn *c, const struct effect_list *l)
{
    struct sotto_answer a = {.type = SOTTO_ANS_LIST_CHANGED};

    a.u.list_changed.list = (struct sotto_bytes){l->bytes, l->len};
    sotto_relay_answer(c, &a);
}

/* To all signed-in devices of an account: its new list, or that a device asks to be listed. */
static void push_account(struct sotto_relay *r, const struct effect *f)
{
    struct sotto_rs_box boxes[SOTTO_DEVICES_MAX];
    size_t count = 0;

    if (sotto_rs_devices(r->store, f->account, boxes, &count) != 0)
        return; /* they learn it when they sign in again */
    for (size_t i = 0; i < count; i++) {
        struct sotto_relay_conn *c = conn_of(r, boxes[i].box);
        struct sotto_answer a = {.type = SOTTO_ANS_LINK_PENDING};

        if (c == NULL || c == f->conn || c->s.ending)
            continue;
        if (f->type == EFFECT_LIST)
            push_list(c, f->list);
        else
            sotto_relay_answer(c, &a);
    }
}

static void push_linked(struct sotto_relay *r, const struct effect *f)
{
    for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next)
        if (c->s.stage == STAGE_LINKING && c->s.account == f->account && c->s.device == f->device)
            push_list(c, f->list);
}

static void push_low(struct sotto_relay *r, const struct effect *f)
{
    struct sotto_answer a = {.type = SOTTO_ANS_PREKEYS_LOW};
    struct box *b = sotto_relay_box_known(r, f->box);

    if (b == NULL || b->conn == NULL || b->low_told)
        return;
    b->low_told = true;
    a.u.prekeys_kept.one_time_left = f->n;
    sotto_relay_answer(b->conn, &a);
}

static void carry_out(struct sotto_relay *r, const struct effect *f)
{
    struct sotto_relay_conn *c;

    switch (f->type) {
    case EFFECT_ATTACH:
        if (f->conn != NULL)
            attach(r, f->conn);
        break;
    case EFFECT_BEGUN:
        if (f->conn != NULL)
            begun(r, f);
        break;
    case EFFECT_END_BOX:
        if ((c = conn_of(r, f->box)) != NULL)
            sotto_relay_end(c, SOTTO_CLOSING_REVOKED, "this device was removed from its account");
        sotto_box_drop(r, sotto_relay_box_known(r, f->box), f->seq);
        break;
    case EFFECT_END_ACCOUNT:
        sotto_relay_account_hang_up(r, f->account, f->text);
        break;
    case EFFECT_LIST:
    case EFFECT_LINK_ASKED:
        push_account(r, f);
        break;
    case EFFECT_LINKED:
        push_linked(r, f);
        break;
    case EFFECT_ENVELOPE:
        if ((c = conn_of(r, f->box)) != NULL) {
            c->more = true;
            sotto_relay_want_pump(c);
        }
        break;
    case EFFECT_PREKEYS_LOW:
        push_low(r, f);
        break;
    }
}

static bool storing_again(void)
{
    sotto_log_info("storing works again");
    return false;
}

enum sotto_err sotto_relay_turn(struct sotto_relay *r)
{
    struct sotto_relay_conn *c;
    enum sotto_err e;

    if (r->in_turn && (e = sotto_mail_write(r)) != 0)
        sotto_relay_undo(r, e);
    if (r->in_turn && (e = sotto_rs_commit(r->store)) != 0) {
        if (e == SOTTO_ERR_IO)
            return e;
        sotto_relay_undo(r, e);
    }
    if (r->in_turn) {
        r->written++;
        sotto_count(&r->counters, SOTTO_COUNT_COMMITS, 1);
    }
    /* A sweep often writes nothing, which works on a full disk too. */
    if (r->in_turn && r->failing && !r->sweeping)
        r->failing = storing_again();
    r->in_turn = false;
    r->sweeping = false;
    sotto_mail_settle(r, true);
    for (size_t i = 0; i < r->undo_count; i++)
        if ((c = r->undos[i].conn) != NULL) {
            c->touched = false;
            sotto_relay_conn_settle(c);
        }
    r->undo_count = 0;
    for (size_t i = 0; i < r->effect_count; i++)
        carry_out(r, &r->effects[i]);
    effects_clear(r);
    while ((c = r->pump) != NULL) {
        r->pump = c->next_pump;
        c->pumping = false;
        sotto_relay_pump(c);
    }
    sotto_answers_give(r);
    sotto_rs_mail_read_done(r->store);
    sotto_relay_release(r);
    sotto_gauge(&r->counters, SOTTO_COUNT_WAITING, r->mail.waiting);
    sotto_gauge(&r->counters, SOTTO_COUNT_WAITING_BYTES, r->mail.waiting_bytes);
    sotto_gauge(&r->counters, SOTTO_COUNT_FAILING, r->failing);
    r->mono = 0;
    return SOTTO_OK;
}

/* --- output --- */

void sotto_relay_ready(struct sotto_relay_conn *c)
{
    if (c->ready)
        return;
    c->ready = true;
    c->next_ready = NULL;
    *c->r->ready_end = c;
    c->r->ready_end = &c->next_ready;
}

struct sotto_relay_conn *sotto_relay_next(struct sotto_relay *r)
{
    struct sotto_relay_conn *c = r->ready;

    if (c == NULL) {
        r->mono = 0; /* the owner sleeps now, and what was looked at meanwhile is old by then */
        return NULL;
    }
    r->ready = c->next_ready;
    if (r->ready == NULL)
        r->ready_end = &r->ready;
    c->ready = false;
    return c;
}

void sotto_relay_want_pump(struct sotto_relay_conn *c)
{
    if (c->pumping)
        return;
    c->pumping = true;
    c->next_pump = c->r->pump;
    c->r->pump = c;
}

/* --- what is due by time --- */

uint64_t sotto_relay_deadline(const struct sotto_relay *r)
{
    uint64_t at = r->next_debt < r->next_sweep ? r->next_debt : r->next_sweep;

    if (r->ready != NULL || r->pump != NULL || r->ripe != NULL)
        return 0;
    if (r->lingering != NULL && r->linger_due < at)
        at = r->linger_due;
    return r->live_first != NULL && r->live_first->due < at ? r->live_first->due : at;
}

static void end_idle(struct sotto_relay_conn *c, uint64_t mono)
{
    uint32_t seconds = c->r->config.idle_seconds;
    uint64_t since = c->heard_mono;
    uint64_t limit = 1000ull * (seconds > 0 ? seconds : SOTTO_RELAY_IDLE_SECONDS);

    if (c->s.stage == STAGE_LINKING) {
        limit = LINKING_IDLE_MS;
    } else if ((c->s.stage & STAGE_STRANGER) != 0) {
        since = c->opened_mono;
        limit = STRANGER_IDLE_MS;
    }
    if (mono >= since + limit)
        sotto_relay_end(c, SOTTO_CLOSING_IDLE, "nothing was heard for too long");
}

/*
 * A clock that was set wrong, or has just been set, must not throw away mail: nothing expires until
 * it has gone on evenly for a while.
 */
static bool clock_trusted(struct sotto_relay *r, uint64_t now, uint64_t mono)
{
    uint64_t wall = now - r->clock_now, passed = mono - r->clock_mono;

    if (now < r->clock_now || wall > passed + CLOCK_SLACK_MS || passed > wall + CLOCK_SLACK_MS) {
        r->clock_now = now;
        r->clock_mono = mono;
        return false;
    }
    return passed >= CLOCK_TRUST_MS;
}

/* A few boxes at a time, so that a large relay does not stand still. Once round a day. */
static void sweep_boxes(struct sotto_relay *r, uint64_t now)
{
    uint32_t day = (uint32_t)(now / DAY_MS);
    size_t end;

    if (!clock_trusted(r, now, sotto_mono_ms(r->env)) || day <= r->config.lifetime_days)
        return;
    if (r->swept_day != day) {
        r->swept_day = day;
        r->sweep_slot = 0;
    }
    end = r->box_room - r->sweep_slot < SWEEP_BOXES ? r->box_room : r->sweep_slot + SWEEP_BOXES;
    for (; r->sweep_slot < end; r->sweep_slot++)
        for (struct box *b = r->boxes[r->sweep_slot]; b != NULL; b = b->next)
            sotto_box_expire(r, b, day - r->config.lifetime_days);
}

static enum sotto_err sweep_store(struct sotto_relay *r)
{
    uint64_t now = sotto_now_ms(r->env);
    enum sotto_err e;

    sweep_boxes(r, now);
    if ((e = sotto_relay_write(r)) != 0 ||
        (e = sotto_rs_links_expire(r->store, now > LINK_MS ? now - LINK_MS : 0)) != 0 ||
        (e = sotto_rs_handed_expire(r->store, now)) != 0 ||
        (e = sotto_rs_invites_expire(r->store, now > INVITE_KEPT_MS ? now - INVITE_KEPT_MS : 0)) !=
            0)
        return e;
    return sotto_mail_compact(r);
}

void sotto_relay_tick(struct sotto_relay *r)
{
    uint64_t mono = r->mono = sotto_mono_ms(r->env);
    bool sweep = mono >= r->next_sweep;
    enum sotto_err e;

    if (mono >= r->next_debt || sweep) {
        r->next_debt = UINT64_MAX;
        for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next) {
            if (c->in_debt)
                sotto_relay_conn_settle(c);
            if (sweep && mono >= c->heard_mono + REST_MS)
                sotto_relay_conn_rest(c);
            if (sweep && !c->s.ending)
                end_idle(c, mono);
        }
    }
    e = sotto_live_spill_due(r, mono);
    if (sweep) {
        r->next_sweep = mono + SWEEP_MS;
        r->sweeping = true;
        sotto_allowances_sweep(&r->allowances, mono);
        if (!r->wrote && !r->rested)
            sotto_rs_rest(r->store);
        r->rested = !r->wrote;
        if (e == 0)
            e = sweep_store(r);
        r->wrote = false;
    }
    if (e != 0) {
        sotto_relay_undo(r, e);
        /* What could not even be begun would be due again at once, and for ever. */
        sotto_live_refuse_due(r, mono);
    }
}

void sotto_relay_shutdown(struct sotto_relay *r)
{
    enum sotto_err e;

    sotto_answers_give_all(r);
    for (struct sotto_relay_conn *c = r->conns; c != NULL; c = c->next)
        if (!c->s.ending)
            sotto_relay_end(c, SOTTO_CLOSING_SHUTDOWN, "the relay is going down; try again later");
    /* What was live goes to the disk, what is not wanted any more goes from it. */
    r->sweeping = true;
    if ((e = sotto_relay_write(r)) != 0 || (e = sotto_live_spill_due(r, UINT64_MAX)) != 0)
        sotto_relay_undo(r, e);
}
