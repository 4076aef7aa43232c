/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/state.h"

/*
 * What a person wrote, until it was delivered. A text is on disk before anything else happens; it
 * is encrypted and its envelopes are on disk before a byte leaves (pump.c does both).
 */

/* Two that ask each other make a session each; which one they go on with their ids decide. */
#define SAME_TIME_MS 60000

/* --- queueing --- */

static bool is_new_id(const uint8_t id[SOTTO_CONTENT_ID])
{
    return sotto_is_zero(id, SOTTO_CONTENT_ID);
}

enum sotto_err sotto_outbox_queue(struct sotto_engine *e, const char *to, uint64_t device,
                                  const char *peer, struct sotto_content *c, bool keep)
{
    SOTTO_AUTO_BUF bytes = SOTTO_BUF(SOTTO_CONTENT_MAX);
    struct sotto_item item = {.device = device, .kind = c->kind, .state = SOTTO_ITEM_WAITING};
    bool order = strcmp(e->us.name, peer) < 0;
    enum sotto_err err;

    if (is_new_id(c->id) && (err = sotto_random(e->env, c->id, sizeof c->id)) != SOTTO_OK)
        return err;
    if (c->sent_at_ms == 0)
        c->sent_at_ms = sotto_now_ms(e->env);
    sotto_conversation_direct(e->us.relay_id, e->us.name, peer, c->conversation);
    c->member_count = strcmp(e->us.name, peer) == 0 ? 1 : 2;
    snprintf(c->members[0], sizeof c->members[0], "%s", order ? e->us.name : peer);
    snprintf(c->members[1], sizeof c->members[1], "%s", order ? peer : e->us.name);
    c->sender_list.version = e->own_list.version;
    c->recipient_list.version = 1; /* both are set right when it is encrypted */
    if ((err = sotto_content_encode(c, &bytes)) != SOTTO_OK)
        return err;
    snprintf(item.to, sizeof item.to, "%s", to);
    memcpy(item.content_id, c->id, sizeof item.content_id);
    item.keep = keep;
    item.queued_ms = sotto_now_ms(e->env);
    item.content = (struct sotto_bytes){bytes.p, bytes.n};
    return sotto_item_add(e->p, &item);
}

/* To the recipient's devices and to our own other ones. */
static enum sotto_err queue_both(struct sotto_engine *e, const char *peer, struct sotto_content *c)
{
    enum sotto_err err = sotto_outbox_queue(e, peer, 0, peer, c, true);

    if (err != SOTTO_OK || e->own_list.count < 2)
        return err;
    return sotto_outbox_queue(e, e->us.name, 0, peer, c, true);
}

/* One transaction: the contact (who writes to somebody accepts him), the message, its way out. */
static enum sotto_err queue_text(struct sotto_engine *e, struct job *j,
                                 struct sotto_contact_record *contact)
{
    struct sotto_content c = {.kind = SOTTO_CONTENT_TEXT, .has_token = true};
    struct sotto_message_record m = {.outgoing = true, .shown = true, .reason = ""};
    bool was_contact = contact->state == SOTTO_CONTACT_ACCEPTED;
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    memcpy(c.id, j->id, sizeof c.id);
    c.u.text.text = (struct sotto_bytes){(const uint8_t *)j->text, j->text_len};
    sotto_conversation_direct(e->us.relay_id, e->us.name, j->name, c.conversation);
    if ((!was_contact && (err = sotto_contact_make_accepted(e, contact)) != SOTTO_OK) ||
        (!was_contact && (err = sotto_contact_sync(e, contact, 0)) != SOTTO_OK) ||
        (err = sotto_counter_next(e->p, c.conversation, &c.counter)) != SOTTO_OK)
        goto out;
    memcpy(c.delivery_token, contact->our_token, SOTTO_TOKEN);
    if ((err = queue_both(e, j->name, &c)) != SOTTO_OK)
        goto out;
    memcpy(m.id, c.id, sizeof m.id);
    memcpy(m.peer, j->name, sizeof m.peer);
    memcpy(m.from, e->us.name, sizeof m.from);
    m.device = e->device;
    m.kind = SOTTO_CONTENT_TEXT;
    m.state = SOTTO_MESSAGE_QUEUED;
    m.counter = c.counter;
    m.sent_at_ms = c.sent_at_ms;
    m.text = c.u.text.text;
    err = sotto_message_add(e->p, &m);
out:
    return sotto_profile_end(e->p, err);
}

static const char *state_word(uint32_t state)
{
    static const char *const words[] = {"unknown",   "received", "queued", "stored",
                                        "delivered", "read",     "failed"};

    return state < sizeof words / sizeof words[0] ? words[state] : words[0];
}

struct look {
    uint32_t state;
    char reason[128];
    sotto_name peer;
    bool outgoing;
};

static enum sotto_err look_at(void *ctx, const struct sotto_message_record *m)
{
    struct look *l = ctx;

    l->state = m->state;
    l->outgoing = m->outgoing;
    snprintf(l->reason, sizeof l->reason, "%s", m->reason);
    memcpy(l->peer, m->peer, sizeof l->peer);
    return SOTTO_OK;
}

bool sotto_outbox_is_stored(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID])
{
    struct look l = {0};

    return sotto_message_get(e->p, id, look_at, &l) == SOTTO_OK &&
           l.state >= SOTTO_MESSAGE_STORED && l.state <= SOTTO_MESSAGE_READ;
}

/* Has the message of a waiting call got where it has to? */
static void check_send(struct sotto_engine *e, struct job *j)
{
    struct look l = {0};
    uint32_t want = j->n[0] == SOTTO_WAIT_DELIVERED ? SOTTO_MESSAGE_DELIVERED
                    : j->n[0] == SOTTO_WAIT_STORED  ? SOTTO_MESSAGE_STORED
                                                    : SOTTO_MESSAGE_QUEUED;

    enum sotto_err err = sotto_message_get(e->p, j->id, look_at, &l);

    if (err == SOTTO_ERR_NOT_FOUND)
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "the message was deleted");
    else if (err != SOTTO_OK)
        sotto_job_cannot_read(e, j, err);
    else if (l.state == SOTTO_MESSAGE_FAILED)
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "not sent: %s", l.reason);
    else if (l.state >= want)
        sotto_job_done(e, j, SOTTO_RESULT_OK, "%s", state_word(l.state));
    else if (j->deadline_mono != 0 && sotto_mono_ms(e->env) >= j->deadline_mono)
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "%s, not %s yet", state_word(l.state),
                       state_word(want));
}

void sotto_outbox_send(struct sotto_engine *e, struct job *j)
{
    struct sotto_contact_record c;
    enum sotto_err err;

    if (j->phase > 0) {
        check_send(e, j);
        return;
    }
    if (strcmp(j->name, e->us.name) == 0) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "that is your own name");
    } else if (j->text_len == 0 || j->text_len > SOTTO_TEXT_MAX) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                       j->text_len == 0 ? "an empty message is not sent"
                                        : "a message has at most 32 KiB");
    } else if (!sotto_utf8_valid(j->text, j->text_len) || memchr(j->text, 0, j->text_len) != NULL) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "the text is not valid UTF-8");
    } else if ((err = sotto_contact_load(e, j->name, &c)) != SOTTO_OK) {
        sotto_job_cannot_read(e, j, err);
    } else if (c.state == SOTTO_CONTACT_BLOCKED) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "%s is blocked: sotto unblock %s", j->name,
                       j->name);
    } else if ((err = sotto_message_known(e->p, j->id)) == SOTTO_ERR_NOT_FOUND &&
               (err = queue_text(e, j, &c)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
    } else {
        struct outgoing *o = sotto_outgoing(e, j->name);

        if (o != NULL)
            o->typing_mono = 0; /* the message ends it there; the next one may be told at once */
        if (o != NULL && o->missing) /* a person wants to know how it stands now */
            sotto_outbox_unstall(e, j->name);
        j->phase = 1;
        j->needs_online = true;
        j->deadline_mono = sotto_mono_ms(e->env) + (j->n[1] != 0 ? j->n[1] : 30000);
        if (sotto_changed_note(e, j->id) == SOTTO_OK)
            sotto_changed_flush(e);
        sotto_tokens_flush(e);
        sotto_receipts_flush(e); /* writing to somebody accepts him */
    }
}

struct again {
    struct sotto_buf content;
    sotto_name peer;
    uint32_t state;
    bool outgoing;
    uint64_t counter, sent_at_ms;
    struct sotto_buf text;
};

static enum sotto_err copy_again(void *ctx, const struct sotto_message_record *m)
{
    struct again *a = ctx;

    a->state = m->state;
    a->outgoing = m->outgoing;
    a->counter = m->counter;
    a->sent_at_ms = m->sent_at_ms;
    memcpy(a->peer, m->peer, sizeof a->peer);
    return sotto_buf_add(&a->text, m->text.p, m->text.n);
}

void sotto_outbox_resend(struct sotto_engine *e, struct job *j)
{
    struct again a = {.text = SOTTO_BUF(SOTTO_TEXT_MAX)};
    struct sotto_content c = {.kind = SOTTO_CONTENT_TEXT};
    struct sotto_contact_record contact;
    bool changed;
    enum sotto_err err;

    if ((err = sotto_id_parse(j->text, j->text_len, c.id)) == SOTTO_OK &&
        (err = sotto_message_get(e->p, c.id, copy_again, &a)) == SOTTO_ERR_NOMEM) {
        sotto_buf_free(&a.text);
        sotto_job_cannot_read(e, j, err);
        return;
    }
    if (err != SOTTO_OK || !a.outgoing || a.state != SOTTO_MESSAGE_FAILED) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "no failed message has this id");
        sotto_buf_free(&a.text);
        return;
    }
    c.counter = a.counter;
    c.sent_at_ms = a.sent_at_ms;
    c.u.text.text = (struct sotto_bytes){a.text.p, a.text.n};
    memcpy(j->id, c.id, sizeof j->id);
    if ((err = sotto_contact_load(e, a.peer, &contact)) == SOTTO_OK &&
        (err = sotto_profile_begin(e->p)) == SOTTO_OK) {
        c.has_token = contact.has_our_token;
        memcpy(c.delivery_token, contact.our_token, SOTTO_TOKEN);
        if ((err = queue_both(e, a.peer, &c)) == SOTTO_OK &&
            (err = sotto_message_set_state(e->p, c.id, SOTTO_MESSAGE_QUEUED, "",
                                           sotto_now_ms(e->env), &changed)) == SOTTO_OK)
            err = sotto_changed_note(e, c.id);
        err = sotto_profile_end(e->p, err);
    }
    sotto_buf_free(&a.text);
    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    sotto_changed_flush(e);
    sotto_job_done(e, j, SOTTO_RESULT_OK, "queued again");
}

/* --- telling what became of messages --- */

enum sotto_err sotto_changed_note(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID])
{
    if (e->changed_count == e->changed_room) {
        size_t room = e->changed_room * 2 + 16;
        void *more = realloc(e->changed, room * sizeof *e->changed);

        if (more == NULL)
            return SOTTO_ERR_NOMEM;
        e->changed = more;
        e->changed_room = room;
    }
    memcpy(e->changed[e->changed_count++], id, SOTTO_CONTENT_ID);
    return SOTTO_OK;
}

static enum sotto_err emit_state(void *ctx, const struct sotto_message_record *m)
{
    struct sotto_engine *e = ctx;
    struct sotto_message row;
    char id[33], device[17];

    sotto_message_row(e, m, &row, id, device);
    return sotto_emit(e, (struct sotto_ref){0}, SOTTO_EVENT_STATE, &row) ? SOTTO_OK
                                                                         : SOTTO_ERR_NOMEM;
}

void sotto_changed_flush(struct sotto_engine *e)
{
    size_t left = 0;

    e->iterating++;
    for (size_t i = 0; i < e->changed_count; i++) {
        enum sotto_err err = sotto_message_get(e->p, e->changed[i], emit_state, e);

        if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND) {
            memmove(e->changed[left++], e->changed[i], SOTTO_CONTENT_ID);
            continue;
        }
        for (struct job *j = e->jobs; j != NULL; j = j->next)
            if (!j->dead && j->op == SOTTO_OP_SEND && j->phase > 0 &&
                memcmp(j->id, e->changed[i], SOTTO_CONTENT_ID) == 0)
                check_send(e, j);
    }
    e->changed_count = left;
    if (left > 0)
        sotto_say_later(e);
    e->iterating--;
}

/* --- receipts and retry requests --- */

struct progress {
    struct sotto_engine *e;
    const char *from;
    uint64_t device;
    enum sotto_parcel_progress to;
    int64_t item;
    bool found, all;
};

static enum sotto_err find_item(void *ctx, const struct sotto_item *item)
{
    struct progress *p = ctx;

    if (strcmp(item->to, p->from) == 0) {
        p->item = item->id;
        p->found = true;
    }
    return SOTTO_OK;
}

static enum sotto_err all_delivered(void *ctx, const struct sotto_parcel_record *r)
{
    struct progress *p = ctx;

    if (r->progress != SOTTO_PARCEL_IS_DELIVERED && r->progress != SOTTO_PARCEL_IS_READ &&
        r->progress != SOTTO_PARCEL_IS_GONE)
        p->all = false;
    return SOTTO_OK;
}

/* Unless a device whose keys could not be had is still to get it. */
static enum sotto_err drop_delivered(struct sotto_engine *e, int64_t item)
{
    struct work w = {0};
    enum sotto_err err = sotto_item_get(e->p, item, sotto_work_take, &w);

    if (err == SOTTO_OK &&
        (w.item.state == SOTTO_ITEM_STORED ||
         ((err = sotto_work_load(e, &w)) == SOTTO_OK && !sotto_work_lacks(e, &w))))
        err = sotto_item_drop(e->p, item);
    sotto_work_free(&w);
    return err;
}

static enum sotto_err receipt_one(struct sotto_engine *e, const char *from, uint64_t device,
                                  const uint8_t id[SOTTO_CONTENT_ID], enum sotto_receipt_state what)
{
    struct progress p = {.e = e, .from = from, .device = device, .all = true};
    struct look l = {0};
    bool changed = false;
    enum sotto_err err = sotto_item_of_content(e->p, id, find_item, &p);

    if (err != SOTTO_OK)
        return err;
    if (p.found) {
        err = sotto_parcel_set(e->p, p.item, device,
                               what == SOTTO_RECEIPT_READ ? SOTTO_PARCEL_IS_READ
                                                          : SOTTO_PARCEL_IS_DELIVERED);
        if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
            return err;
        if ((err = sotto_parcel_each(e->p, p.item, all_delivered, &p)) != SOTTO_OK ||
            (p.all && (err = drop_delivered(e, p.item)) != SOTTO_OK))
            return err;
    }
    /* Our own devices' receipts say nothing about the recipient. */
    if (strcmp(from, e->us.name) == 0 ||
        (err = sotto_message_get(e->p, id, look_at, &l)) == SOTTO_ERR_NOT_FOUND)
        return SOTTO_OK;
    if (err != SOTTO_OK || !l.outgoing || strcmp(l.peer, from) != 0)
        return err;
    err = sotto_message_set_state(
        e->p, id, what == SOTTO_RECEIPT_READ ? SOTTO_MESSAGE_READ : SOTTO_MESSAGE_DELIVERED, "",
        sotto_now_ms(e->env), &changed);
    return err == SOTTO_OK && changed ? sotto_changed_note(e, id) : err;
}

enum sotto_err sotto_outbox_receipt(struct sotto_engine *e, const char *from, uint64_t device,
                                    const struct sotto_content *c)
{
    enum sotto_err err = SOTTO_OK;

    for (size_t i = 0; err == SOTTO_OK && i < c->u.receipt.count; i++)
        err = receipt_one(e, from, device, c->u.receipt.ids[i], c->u.receipt.state);
    return err;
}

struct retry {
    struct sotto_buf content;
    struct sotto_item item;
    bool found;
    const uint8_t *session_id;
    struct sotto_session *session;
};

static enum sotto_err copy_item(void *ctx, const struct sotto_item *item)
{
    struct retry *r = ctx;

    r->item = *item;
    r->found = true;
    return sotto_buf_add(&r->content, item->content.p, item->content.n);
}

static enum sotto_err pick_session(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                   struct sotto_bytes record, uint64_t used_ms)
{
    struct retry *r = ctx;

    (void)used_ms;
    if (memcmp(id, r->session_id, SOTTO_SESSION_ID) != 0 || r->session != NULL)
        return SOTTO_OK;
    return sotto_session_read(record.p, record.n, &r->session);
}

struct doubtful {
    uint64_t before;
    size_t count;
    uint8_t ids[SOTTO_SESSIONS_KEPT][SOTTO_SESSION_ID];
};

static enum sotto_err note_doubtful(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                    struct sotto_bytes record, uint64_t used_ms)
{
    struct doubtful *d = ctx;
    struct sotto_session *s;
    enum sotto_err err;

    (void)used_ms;
    if ((err = sotto_session_read(record.p, record.n, &s)) != SOTTO_OK)
        return err == SOTTO_ERR_NOMEM ? err : SOTTO_OK;
    if (d->count < SOTTO_SESSIONS_KEPT && sotto_session_created_ms(s) < d->before)
        memcpy(d->ids[d->count++], id, SOTTO_SESSION_ID);
    sotto_session_free(s);
    return SOTTO_OK;
}

/* The ends may have come apart on each session from before this one, without anybody noticing: when
 * one of them was put back, and knows the lease. Nothing is sent on those any more. They stay, as
 * the other end may send on, or has sent: it may be asking at this moment, as we are. */
static enum sotto_err rest_doubtful(struct sotto_engine *e, const char *name, uint64_t device,
                                    const struct sotto_session *good)
{
    const uint64_t since = sotto_session_created_ms(good);
    struct doubtful d = {.before = since > SAME_TIME_MS ? since - SAME_TIME_MS : 0};
    enum sotto_err err = sotto_sessions_each(e->p, name, device, note_doubtful, &d);

    return err == SOTTO_OK ? sotto_seal_rest(e, name, device, d.ids, d.count) : err;
}

/* They could not open that envelope; the session that the request came on is good. The same content
 * id goes out once more, for this device only. */
static enum sotto_err seal_again(struct sotto_engine *e, const char *from, uint64_t device,
                                 struct retry *r, uint32_t retries)
{
    SOTTO_AUTO_BUF content = SOTTO_BUF(SOTTO_CONTENT_MAX);
    struct outgoing *o = sotto_outgoing(e, from);
    const struct sotto_list *list;
    const struct sotto_device *d;
    enum sotto_err err;

    if (o == NULL)
        return SOTTO_ERR_NOMEM;
    o->resealed = true; /* what is said of the old envelope is not true of the new one */
    if ((err = sotto_list_of(e, from, &list)) != SOTTO_OK ||
        (d = sotto_list_find(list, device)) == NULL)
        return err == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : err;
    r->item.state = SOTTO_ITEM_SEALED;
    r->item.content.n = 0; /* unchanged */
    if ((err = sotto_seal_content(e, list, (struct sotto_bytes){r->content.p, r->content.n},
                                  &content)) != SOTTO_OK ||
        (err = sotto_seal_parcel(e, list, d, r->session, r->item.id, &content, retries)) !=
            SOTTO_OK)
        return err;
    return sotto_item_update(e->p, &r->item);
}

static enum sotto_err send_again(struct sotto_engine *e, const char *from, uint64_t device,
                                 const uint8_t envelope_id[SOTTO_ENVELOPE_ID], struct retry *r)
{
    int64_t item;
    uint64_t to_device;
    uint32_t retries;
    enum sotto_err err = sotto_parcel_find(e->p, envelope_id, &item, &to_device, &retries);

    if (err != SOTTO_OK)
        return err == SOTTO_ERR_NOT_FOUND ? sotto_receipt_lost(e, from) : err;
    if (to_device != device || retries >= SOTTO_RETRIES)
        return SOTTO_OK;
    err = sotto_item_get(e->p, item, copy_item, r);
    if (err == SOTTO_OK && r->found && strcmp(r->item.to, from) == 0 &&
        r->item.state != SOTTO_ITEM_WAITING)
        err = seal_again(e, from, device, r, retries + 1);
    return err == SOTTO_ERR_NOT_FOUND ? SOTTO_OK : err;
}

enum sotto_err sotto_outbox_retry(struct sotto_engine *e, const char *from, uint64_t device,
                                  const uint8_t session_id[SOTTO_SESSION_ID],
                                  const uint8_t envelope_id[SOTTO_ENVELOPE_ID])
{
    struct retry r = {.content = SOTTO_BUF(SOTTO_CONTENT_MAX), .session_id = session_id};
    enum sotto_err err = sotto_sessions_each(e->p, from, device, pick_session, &r);

    if (err == SOTTO_OK && r.session != NULL &&
        (err = rest_doubtful(e, from, device, r.session)) == SOTTO_OK)
        err = send_again(e, from, device, envelope_id, &r);
    sotto_session_free(r.session);
    sotto_buf_free(&r.content);
    return err;
}

/* --- time --- */

struct expired {
    struct sotto_engine *e;
    size_t count;
    uint8_t ids[64][SOTTO_CONTENT_ID];
};

static enum sotto_err note_expired(void *ctx, const struct sotto_message_record *m)
{
    struct expired *x = ctx;

    if (x->count < sizeof x->ids / sizeof x->ids[0])
        memcpy(x->ids[x->count++], m->id, SOTTO_CONTENT_ID);
    return SOTTO_OK;
}

struct drop {
    size_t count;
    int64_t ids[8];
};

static enum sotto_err note_item(void *ctx, const struct sotto_item *item)
{
    struct drop *d = ctx;

    if (d->count < sizeof d->ids / sizeof d->ids[0])
        d->ids[d->count++] = item->id;
    return SOTTO_OK;
}

enum sotto_err sotto_outbox_fail(struct sotto_engine *e, const uint8_t id[SOTTO_CONTENT_ID],
                                 const char *reason)
{
    struct drop d = {0};
    bool changed = false;
    enum sotto_err err = sotto_item_of_content(e->p, id, note_item, &d);

    for (size_t i = 0; err == SOTTO_OK && i < d.count; i++)
        err = sotto_item_drop(e->p, d.ids[i]);
    if (err == SOTTO_OK)
        err = sotto_message_set_state(e->p, id, SOTTO_MESSAGE_FAILED, reason, sotto_now_ms(e->env),
                                      &changed);
    if (err == SOTTO_ERR_NOT_FOUND)
        return SOTTO_OK;
    return err == SOTTO_OK && changed ? sotto_changed_note(e, id) : err;
}

void sotto_outbox_expire(struct sotto_engine *e)
{
    struct expired x = {.e = e};
    enum sotto_err err;

    if (sotto_profile_begin(e->p) != SOTTO_OK)
        return;
    err = sotto_message_stored_before(e->p, sotto_now_ms(e->env) - SOTTO_LIFETIME_MS, note_expired,
                                      &x);
    for (size_t i = 0; err == SOTTO_OK && i < x.count; i++)
        err = sotto_outbox_fail(e, x.ids[i], "expired: not delivered within 30 days");
    if (err == SOTTO_OK) /* what only a dormant device has not got */
        err = sotto_item_sweep(e->p, sotto_now_ms(e->env) - SOTTO_LIFETIME_MS);
    if (sotto_profile_end(e->p, err) != SOTTO_OK)
        e->changed_count = 0;
    sotto_changed_flush(e);
}

/* --- typing --- */

static void typed(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    (void)e;
    (void)p;
    (void)a; /* nobody waits for it */
}

static enum sotto_err typing_envelope(struct sotto_engine *e, const struct sotto_list *list,
                                      const struct sotto_device *d, const struct sotto_buf *content,
                                      struct sotto_request *r, uint8_t *envelope, size_t room)
{
    struct sotto_session *s;
    uint8_t msg[4 * SOTTO_EPHEMERAL_MAX]; /* sotto_session_room() */
    size_t msg_len, len;
    enum sotto_err err = sotto_seal_session(e, list->account.name, d->id, &s);

    if (err != SOTTO_OK)
        return err;
    if (!sotto_session_confirmed(s))
        err = SOTTO_ERR_NOT_FOUND;
    if (err == SOTTO_OK)
        err = sotto_session_encrypt_ephemeral(e->env, s, content->p, content->n, msg, sizeof msg,
                                              &msg_len);
    if (err == SOTTO_OK)
        err = sotto_envelope_seal(e->env, &list->account, d, e->us.name, e->device,
                                  SOTTO_ENVELOPE_EPHEMERAL, msg, msg_len, envelope, room, &len);
    sotto_session_free(s);
    if (err == SOTTO_OK)
        r->u.submit.parcels[r->u.submit.count++] =
            (struct sotto_parcel){.device = d->id, .envelope = {envelope, len}};
    return err;
}

void sotto_outbox_typing(struct sotto_engine *e, const char *name, bool active)
{
    enum { ROOM = 2048 };
    SOTTO_AUTO_BUF content = SOTTO_BUF(SOTTO_EPHEMERAL_MAX);
    struct sotto_content c = {.kind = SOTTO_CONTENT_TYPING, .u.typing.active = active};
    struct outgoing *o = sotto_outgoing(e, name);
    struct sotto_request *r = NULL;
    struct sotto_contact_record contact;
    const struct sotto_list *list;
    uint64_t now = sotto_mono_ms(e->env);
    uint8_t *envelopes = NULL;

    if (o == NULL || e->phase != LINK_ONLINE || (active && now < o->typing_mono + 2000) ||
        sotto_contact_get(e->p, name, &contact) != SOTTO_OK || !contact.has_their_token ||
        contact.state != SOTTO_CONTACT_ACCEPTED || contact.new_identity || contact.forked ||
        sotto_list_of(e, name, &list) != SOTTO_OK)
        return;
    o->typing_mono = active ? now : 0;
    c.sent_at_ms = sotto_now_ms(e->env);
    c.sender_list.version = e->own_list.version;
    c.recipient_list.version = list->version;
    c.member_count = 2;
    snprintf(c.members[0], sizeof c.members[0], "%s",
             strcmp(e->us.name, name) < 0 ? e->us.name : name);
    snprintf(c.members[1], sizeof c.members[1], "%s",
             strcmp(e->us.name, name) < 0 ? name : e->us.name);
    sotto_conversation_direct(e->us.relay_id, e->us.name, name, c.conversation);
    if (sotto_random(e->env, c.id, sizeof c.id) != SOTTO_OK ||
        sotto_content_encode(&c, &content) != SOTTO_OK || (r = calloc(1, sizeof *r)) == NULL ||
        (envelopes = malloc(ROOM * SOTTO_DEVICES_MAX)) == NULL)
        goto out;
    r->type = SOTTO_REQ_SUBMIT;
    memcpy(r->u.submit.to, contact.name, sizeof contact.name);
    r->u.submit.list_version = list->version;
    r->u.submit.has_token = true;
    memcpy(r->u.submit.token, contact.their_token, SOTTO_TOKEN);
    r->u.submit.ephemeral = true;
    for (size_t i = 0; i < list->count; i++)
        (void)typing_envelope(e, list, &list->devices[i], &content, r, envelopes + i * ROOM, ROOM);
    if (r->u.submit.count > 0)
        sotto_ask(e, r, typed, NULL);
out:
    free(envelopes);
    free(r);
}
