/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mutant.h"
#include "client/state.h"

/*
 * Envelopes that came: opened, decrypted, stored together with the ratchet step in one transaction,
 * and only then acknowledged. Several go into one transaction; within it each either has all of its
 * effects or none but a place in quarantine. What cannot be judged yet (the sender's list is not
 * known) stops the line until the list came, so the order holds.
 */

#define BATCH     64
#define TYPING_MS 60000 /* older, or of a clock that is further off: not told */

enum verdict {
    TAKEN,  /* done with it: acknowledge */
    PAUSED, /* a list has to be fetched first */
};

struct arrival { /* one envelope while it is being looked at */
    struct incoming *in;
    uint8_t id[SOTTO_ENVELOPE_ID];
    uint8_t *buf; /* opened holds views into it */
    struct sotto_opened opened;
    struct sotto_message_info info;
    struct sotto_contact_record contact;
    struct sotto_device device;
    struct sotto_account account; /* of the sender, as the list that names the device has it */
    bool own, listed;
    uint8_t *text;
    size_t text_len;
};

void sotto_inbox_clear(struct sotto_engine *e)
{
    while (e->in_first != NULL) {
        struct incoming *in = e->in_first;

        e->in_first = in->next;
        free(in);
    }
    e->in_last = &e->in_first;
    e->in_size = 0;
    e->in_top = 0;
    e->in_paused = false;
}

void sotto_inbox_deliver(struct sotto_engine *e, const struct sotto_answer *a)
{
    size_t len = a->u.deliver.envelope.n;
    struct incoming *in;

    if (a->u.deliver.seq == 0) {
        sotto_engine_trouble(e, SOTTO_ERR_MALFORMED, "the relay delivered without a number");
        return;
    }
    if (e->in_size + sizeof *in + len > SOTTO_INBOX_MAX) {
        sotto_engine_trouble(e, SOTTO_ERR_TOO_LARGE, "the relay sends more than was acknowledged");
        return;
    }
    if ((in = malloc(sizeof *in + len)) == NULL) {
        sotto_engine_trouble(e, SOTTO_ERR_NOMEM, "out of memory");
        return;
    }
    *in = (struct incoming){.seq = a->u.deliver.seq, .len = len};
    memcpy(in->envelope, a->u.deliver.envelope.p, len);
    e->in_size += sizeof *in + len;
    *e->in_last = in;
    e->in_last = &in->next;
}

/* What says something about the envelope; all else is our own trouble, and nothing is acknowledged.
 */
static bool is_store_error(enum sotto_err err)
{
    bool bytes = err <= SOTTO_ERR_TRUNCATED && err >= SOTTO_ERR_UNSUPPORTED;
    bool cryptography = err <= SOTTO_ERR_BAD_TAG && err >= SOTTO_ERR_EXPIRED;

    return !bytes && !cryptography && err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND &&
           err != SOTTO_ERR_STATE && err != SOTTO_ERR_USAGE;
}

/* --- who sent it --- */

static enum sotto_err open_envelope(struct sotto_engine *e, struct arrival *ar)
{
    struct sotto_dh_pair sealing;
    uint32_t key_id;
    enum sotto_err err;

    if ((err = sotto_envelope_peek(ar->in->envelope, ar->in->len, &key_id)) != SOTTO_OK)
        return err;
    if ((err = sotto_sealing_find(e->p, key_id, &sealing)) != SOTTO_OK)
        return err;
    err = sotto_envelope_open(&sealing, &e->us, e->device, ar->in->envelope, ar->in->len, ar->buf,
                              &ar->opened);
    sotto_dh_pair_wipe(&sealing);
    return err;
}

static void look_in(struct arrival *ar, const struct sotto_list *list)
{
    const struct sotto_device *d = sotto_list_find(list, ar->opened.sender_device);

    ar->listed = d != NULL;
    if (d == NULL)
        return;
    ar->account = list->account;
    ar->device = *d;
}

/* Finds the claimed device in the trusted list, or in that of a new identity: reading is harmless,
 * only sending waits for the person. */
static enum sotto_err find_sender(struct sotto_engine *e, struct arrival *ar)
{
    const struct sotto_list *list;
    struct sotto_list *pending;
    enum sotto_err err;

    ar->own = strcmp(ar->opened.sender, e->us.name) == 0;
    if ((err = sotto_contact_load(e, ar->opened.sender, &ar->contact)) != SOTTO_OK)
        return err;
    if ((err = sotto_list_of(e, ar->opened.sender, &list)) == SOTTO_OK)
        look_in(ar, list);
    else if (is_store_error(err))
        return err;
    if (ar->listed || !ar->contact.new_identity)
        return SOTTO_OK;
    if ((pending = malloc(sizeof *pending)) == NULL)
        return SOTTO_ERR_NOMEM;
    if ((err = sotto_list_pending_of(e, ar->opened.sender, pending)) == SOTTO_OK)
        look_in(ar, pending);
    free(pending);
    return is_store_error(err) ? err : SOTTO_OK;
}

/* --- what cannot be opened --- */

static enum sotto_err quarantine(struct sotto_engine *e, struct arrival *ar, const char *why,
                                 bool ask_again)
{
    bool known = ar->own || ar->contact.state == SOTTO_CONTACT_ACCEPTED;
    enum sotto_err err;

    sotto_log_peer("an envelope did not open: %s", why);
    if ((err = sotto_quarantine_add(e->p, ar->id, ar->in->envelope, ar->in->len, why,
                                    sotto_now_ms(e->env))) != SOTTO_OK)
        return err;
    if (!ask_again || !ar->listed || ar->opened.sender_device == e->device)
        return SOTTO_OK;
    return sotto_lost_note(e, ar->opened.sender, known, ar->opened.sender_device, ar->id);
}

/* --- decrypting --- */

struct find_session {
    const uint8_t *id;
    struct sotto_session *s;
};

static enum sotto_err match_session(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                    struct sotto_bytes record, uint64_t used_ms)
{
    struct find_session *f = ctx;

    (void)used_ms;
    if (f->s != NULL || memcmp(id, f->id, SOTTO_SESSION_ID) != 0)
        return SOTTO_OK;
    return sotto_session_read(record.p, record.n, &f->s);
}

static enum sotto_err respond(struct sotto_engine *e, struct arrival *ar,
                              struct sotto_session **ret)
{
    struct sotto_prekey_private signed_key, one_time;
    struct sotto_device self;
    bool has_one = ar->info.one_time_prekey_id != 0;
    enum sotto_err err;

    if ((err = sotto_prekey_find(e->p, SOTTO_PREKEY_SIGNED, ar->info.signed_prekey_id,
                                 &signed_key)) != SOTTO_OK)
        return err;
    if (has_one && (err = sotto_prekey_find(e->p, SOTTO_PREKEY_ONE_TIME,
                                            ar->info.one_time_prekey_id, &one_time)) != SOTTO_OK) {
        sotto_prekey_private_wipe(&signed_key);
        return err;
    }
    sotto_self_device(e, &self);
    struct sotto_party us = {&e->us, &self, e->generation};
    struct sotto_party them = {&ar->account, &ar->device, ar->info.sender_generation};

    err = sotto_session_respond(e->env, &us, &e->keys.dh, &them, ar->opened.msg, ar->opened.msg_len,
                                &signed_key, has_one ? &one_time : NULL, sotto_now_ms(e->env), ret);
    sotto_prekey_private_wipe(&signed_key);
    if (has_one)
        sotto_prekey_private_wipe(&one_time);
    return err;
}

/* Decrypts and stores the step. On OK ar->text is the content. REPLAY: that number, or that first
 * message, was taken before. */
static enum sotto_err decrypt(struct sotto_engine *e, struct arrival *ar)
{
    struct find_session f = {.id = ar->info.session_id};
    bool fresh;
    enum sotto_err err;

    if ((err = sotto_sessions_each(e->p, ar->opened.sender, ar->opened.sender_device, match_session,
                                   &f)) != SOTTO_OK)
        return err;
    fresh = f.s == NULL;
    if (fresh)
        err = ar->info.has_handshake ? respond(e, ar, &f.s) : SOTTO_ERR_NOT_FOUND;
    if (err == SOTTO_OK)
        err = sotto_session_decrypt(e->env, f.s, ar->opened.msg, ar->opened.msg_len, ar->text,
                                    &ar->text_len);
    if (err == SOTTO_OK && fresh && ar->info.one_time_prekey_id == 0) {
        err = sotto_handshake_note(e->p, ar->info.handshake_digest, ar->info.signed_prekey_id);
        if (err == SOTTO_ERR_REPLAY)
            sotto_wipe(ar->text, ar->text_len);
    }
    if (err == SOTTO_OK && fresh)
        err = sotto_heal_theirs(e, ar->opened.sender, ar->opened.sender_device,
                                ar->device.generation, ar->info.sender_generation);
    if (err == SOTTO_OK)
        err = sotto_session_save(e, ar->opened.sender, ar->opened.sender_device, f.s);
    /* The private half goes in the transaction that stores what it opened, never before. */
    if (err == SOTTO_OK && fresh && ar->info.one_time_prekey_id != 0)
        err = sotto_prekey_drop(e->p, SOTTO_PREKEY_ONE_TIME, ar->info.one_time_prekey_id);
    if (err == SOTTO_OK)
        err = sotto_outgoing_heard(e, ar->opened.sender, ar->opened.sender_device);
    sotto_session_free(f.s);
    return err;
}

/* --- what it says --- */

/* The account whose conversation with us this is; NULL: it is not ours at all. */
static const char *peer_of(const struct sotto_engine *e, const struct arrival *ar,
                           const struct sotto_content *c)
{
    uint8_t conversation[SOTTO_CONVERSATION_ID];
    const char *peer = ar->opened.sender;

    if (ar->own) {
        peer = e->us.name;
        for (size_t i = 0; i < c->member_count; i++)
            if (strcmp(c->members[i], e->us.name) != 0)
                peer = c->members[i];
    }
    sotto_conversation_direct(e->us.relay_id, e->us.name, peer, conversation);
    return memcmp(conversation, c->conversation, sizeof conversation) == 0 ? peer : NULL;
}

static void tell_fork(struct sotto_engine *e, const char *name, enum sotto_fork fork)
{
    if (fork == SOTTO_FORK_OURS)
        sotto_notice(e,
                     "The relay has shown %s another device list of your own account than you "
                     "have. Somebody is lying; see which devices you have: sotto devices. Nothing "
                     "is sent to %s until you compare the safety number and accept: sotto verify "
                     "%s --accept",
                     name, name, name);
    else
        sotto_notice(e,
                     "The relay has shown you another device list of %s than %s has. Somebody is "
                     "lying; nothing is sent to %s until you compare the safety number and "
                     "accept: sotto verify %s --accept",
                     name, name, name, name);
}

/* Both ends say which lists they went by: a relay that shows different ones is found out here. */
static enum sotto_err compare_lists(struct sotto_engine *e, struct arrival *ar,
                                    const struct sotto_content *c)
{
    struct sotto_contact_record *them = &ar->contact;
    struct outgoing *o = sotto_outgoing(e, ar->opened.sender);
    enum sotto_fork fork = SOTTO_FORK_NONE;

    if (o == NULL)
        return SOTTO_ERR_NOMEM;
    if (!ar->own && them->has_list && !them->new_identity) {
        if (c->sender_list.version > them->list_version)
            o->need_list = true;
        if (c->sender_list.version == them->list_version &&
            !sotto_equal(c->sender_list.hash, them->list_hash, 32))
            fork = SOTTO_FORK_THEIRS;
    }
    if (!ar->own && c->recipient_list.version == e->own_list.version &&
        !sotto_equal(c->recipient_list.hash, e->own_list.hash, 32))
        fork = SOTTO_FORK_OURS;
    if (fork == SOTTO_FORK_NONE || them->forked != SOTTO_FORK_NONE)
        return SOTTO_OK;
    them->forked = fork;
    tell_fork(e, them->name, fork);
    return sotto_contact_put(e->p, them);
}

static enum sotto_err note_counter(struct sotto_engine *e, struct arrival *ar,
                                   const struct sotto_content *c, bool *ret_gap)
{
    uint64_t seen;
    enum sotto_err err = sotto_counter_seen(e->p, c->conversation, ar->opened.sender_device, &seen);

    *ret_gap = false;
    if (err != SOTTO_OK || c->counter == 0 || c->counter <= seen)
        return err;
    *ret_gap = seen > 0 && c->counter > seen + 1;
    return sotto_counter_note(e->p, c->conversation, ar->opened.sender_device, c->counter);
}

static enum sotto_err look_shown(void *ctx, const struct sotto_message_record *m)
{
    *(bool *)ctx = m->shown && !m->outgoing;
    return SOTTO_OK;
}

/* What came before is confirmed as well, and how far it got: what was said of it may be lost. Our
 * own devices confirm to the one that sent, so that it can forget the envelope. */
static enum sotto_err confirm(struct sotto_engine *e, struct arrival *ar,
                              const uint8_t id[SOTTO_CONTENT_ID], bool again)
{
    struct sotto_content r = {.kind = SOTTO_CONTENT_RECEIPT};
    bool shown = false;
    enum sotto_err err = SOTTO_OK;

    if (!ar->own && ar->contact.state != SOTTO_CONTACT_ACCEPTED)
        return SOTTO_OK;
    if (!ar->own && again)
        err = sotto_message_get(e->p, id, look_shown, &shown);
    if (err != SOTTO_OK && err != SOTTO_ERR_NOT_FOUND)
        return err;
    if (!ar->own)
        return sotto_due_add(e->p, ar->opened.sender, id,
                             shown ? SOTTO_RECEIPT_READ : SOTTO_RECEIPT_DELIVERED);
    r.u.receipt.state = SOTTO_RECEIPT_DELIVERED;
    r.u.receipt.count = 1;
    memcpy(r.u.receipt.ids[0], id, SOTTO_CONTENT_ID);
    return sotto_outbox_queue(e, e->us.name, ar->opened.sender_device, e->us.name, &r, false);
}

static enum sotto_err take_message(struct sotto_engine *e, struct arrival *ar, const char *peer,
                                   const struct sotto_content *c)
{
    struct sotto_message_record m = {.reason = "", .outgoing = ar->own, .shown = ar->own};
    uint64_t now = sotto_now_ms(e->env);
    struct outgoing *o;
    bool again;
    enum sotto_err err;

    memcpy(m.id, c->id, sizeof m.id);
    snprintf(m.peer, sizeof m.peer, "%s", peer);
    snprintf(m.from, sizeof m.from, "%s", ar->opened.sender);
    m.device = ar->opened.sender_device;
    m.kind = c->kind;
    m.state = ar->own ? SOTTO_MESSAGE_STORED : SOTTO_MESSAGE_RECEIVED;
    m.request = !ar->own && ar->contact.state != SOTTO_CONTACT_ACCEPTED;
    m.counter = c->counter;
    m.sent_at_ms =
        c->sent_at_ms > now ? now : c->sent_at_ms; /* a claim; nobody writes in the future */
    m.received_at_ms = now;
    if (ar->own)
        m.stored_at_ms = now;
    if (c->kind == SOTTO_CONTENT_TEXT)
        m.text = c->u.text.text;
    m.content = (struct sotto_bytes){ar->text, ar->text_len};
    if ((err = note_counter(e, ar, c, &m.gap)) != SOTTO_OK)
        return err;
    if (!ar->own && (o = sotto_outgoing(e, peer)) != NULL && o->typed_ms < m.sent_at_ms)
        o->typed_ms = m.sent_at_ms; /* it ends what was told before */
    if (!ar->own && ar->contact.state == 0) {
        ar->contact.state = SOTTO_CONTACT_REQUEST;
        if ((err = sotto_contact_put(e->p, &ar->contact)) != SOTTO_OK)
            return err;
        sotto_notice(e,
                     "Request from %s. To answer with receipts: sotto accept %s; to refuse: sotto "
                     "block %s",
                     peer, peer, peer);
    }
    err = sotto_message_add(e->p, &m);
    again = err == SOTTO_ERR_EXISTS;
    if (err != SOTTO_OK && !again)
        return err;
    if (err == SOTTO_OK && ar->own && (err = sotto_changed_note(e, m.id)) != SOTTO_OK)
        return err;
    return confirm(e, ar, c->id, again);
}

static enum sotto_err take_content(struct sotto_engine *e, struct arrival *ar,
                                   const struct sotto_content *c)
{
    const char *peer = peer_of(e, ar, c);
    enum sotto_err err;

    if (peer == NULL) {
        sotto_log_peer("a message names a conversation that it does not belong to");
        return SOTTO_OK;
    }
    if ((err = compare_lists(e, ar, c)) != SOTTO_OK)
        return err;
    if (!ar->own && ar->contact.gone) { /* whatever the relay said: here he is */
        ar->contact.gone = false;
        if ((err = sotto_contact_put(e->p, &ar->contact)) != SOTTO_OK)
            return err;
    }
    if (!ar->own && c->has_token &&
        (!ar->contact.has_their_token ||
         !sotto_equal(ar->contact.their_token, c->delivery_token, SOTTO_TOKEN))) {
        ar->contact.has_their_token = true;
        memcpy(ar->contact.their_token, c->delivery_token, SOTTO_TOKEN);
        if ((err = sotto_contact_put(e->p, &ar->contact)) != SOTTO_OK)
            return err;
    }
    switch (c->kind) {
    case SOTTO_CONTENT_TEXT:
    case SOTTO_CONTENT_UNKNOWN:
        return take_message(e, ar, peer, c);
    case SOTTO_CONTENT_RECEIPT:
        return sotto_outbox_receipt(e, ar->opened.sender, ar->opened.sender_device, c);
    case SOTTO_CONTENT_RETRY:
        return sotto_outbox_retry(e, ar->opened.sender, ar->opened.sender_device,
                                  ar->info.session_id, c->u.retry.envelope_id);
    case SOTTO_CONTENT_CONTACT_SYNC:
        return ar->own ? sotto_contact_synced(e, c) : SOTTO_OK;
    case SOTTO_CONTENT_ENTRY_UPDATE:
        if (ar->own)
            sotto_account_entry_update(e, c->u.entry_update.entry);
        return SOTTO_OK;
    case SOTTO_CONTENT_GRANT: /* the token above was all of it */
    case SOTTO_CONTENT_TYPING:
        return SOTTO_OK;
    }
    return SOTTO_OK;
}

/* --- one envelope --- */

static enum sotto_err take_opened(struct sotto_engine *e, struct arrival *ar)
{
    struct sotto_content *c = NULL;
    enum sotto_err err;

    if (ar->opened.kind != SOTTO_ENVELOPE_MESSAGE ||
        (err = sotto_message_peek(ar->opened.msg, ar->opened.msg_len, &ar->info)) != SOTTO_OK)
        return quarantine(e, ar, "not a message", false);
    if (!ar->listed)
        return quarantine(e, ar, "its sender's device is not listed", false);
    err = decrypt(e, ar);
    /* A number or a handshake that was used already, in an envelope that was not seen: one of us
     * came back from an older copy of the profile. What it says would be lost without asking. */
    if (err != SOTTO_OK)
        return is_store_error(err) ? err : quarantine(e, ar, sotto_err_text(err), true);
    if ((err = sotto_seen_note(e->p, ar->id, sotto_now_ms(e->env))) != SOTTO_OK)
        return err;
    err = sotto_content_decode(ar->text, ar->text_len, &c);
    if (err != SOTTO_OK)
        return is_store_error(err) ? err : quarantine(e, ar, "its content is malformed", false);
    e->said++;
    err = take_content(e, ar, c);
    sotto_content_free(c);
    return err;
}

static enum sotto_err take(struct sotto_engine *e, struct arrival *ar, enum verdict *ret)
{
    enum sotto_err opened = open_envelope(e, ar), err;

    *ret = TAKEN;
    if (is_store_error(opened))
        return opened;
    sotto_envelope_id(ar->in->envelope, ar->in->len, ar->id);
    if (opened == SOTTO_OK) {
        if ((err = find_sender(e, ar)) != SOTTO_OK)
            return err;
        if (!ar->listed && !ar->in->looked_up && ar->contact.state != SOTTO_CONTACT_BLOCKED) {
            *ret = PAUSED;
            return SOTTO_OK;
        }
    }
    if ((err = sotto_seen_known(e->p, ar->id)) != SOTTO_ERR_NOT_FOUND)
        return err; /* OK: it came again */
    if (opened != SOTTO_OK)
        return quarantine(e, ar, sotto_err_text(opened), false);
    if (!ar->own && ar->contact.state == SOTTO_CONTACT_BLOCKED)
        return sotto_seen_note(e->p, ar->id, sotto_now_ms(e->env)); /* dropped; nobody is told */
    return take_opened(e, ar);
}

static enum sotto_err take_incoming(struct sotto_engine *e, struct incoming *in, enum verdict *ret)
{
    struct arrival ar = {.in = in};
    enum sotto_err err = SOTTO_ERR_NOMEM;

    ar.buf = malloc(in->len + 1);
    ar.text = malloc(in->len + 1);
    if (ar.buf != NULL && ar.text != NULL)
        err = take(e, &ar, ret);
    if (ar.text != NULL)
        sotto_wipe(ar.text, in->len + 1);
    free(ar.text);
    free(ar.buf);
    return err;
}

/* --- the line --- */

static void looked_up(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    (void)p;
    if (a == NULL || e->why != SOTTO_OK)
        return; /* the connection is gone or about to go, and the line with it */
    if (a->type != SOTTO_ANS_LISTS) {
        /* Without an answer nothing can be judged, and nothing may be thrown away. */
        sotto_engine_trouble(e, SOTTO_ERR_CLOSED, "the relay could not give a device list");
        return;
    }
    e->in_paused = false;
    if (e->in_first != NULL)
        e->in_first->looked_up = true;
    sotto_inbox_run(e);
}

/* The sender of the first one is not known well enough: ask for his list. */
static void pause_line(struct sotto_engine *e)
{
    struct arrival ar = {.in = e->in_first};

    e->in_paused = true;
    if ((ar.buf = malloc(ar.in->len + 1)) == NULL || open_envelope(e, &ar) != SOTTO_OK)
        sotto_engine_trouble(e, SOTTO_ERR_NOMEM, "out of memory");
    else
        sotto_lists_fetch(e, ar.opened.sender, looked_up, NULL);
    free(ar.buf);
}

/* One transaction. *ret_seq 0: nothing was taken. */
static enum sotto_err run_batch(struct sotto_engine *e, uint64_t *ret_seq, bool *ret_paused)
{
    struct incoming *in = e->in_first;
    enum verdict v = TAKEN;
    uint64_t seq = 0;
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    for (size_t n = 0; in != NULL && n < BATCH; n++, in = in->next) {
        if ((err = take_incoming(e, in, &v)) != SOTTO_OK || v == PAUSED)
            break;
        if (in->seq > seq)
            seq = in->seq;
    }
    /* A relay that counts backwards would have us say less than we said, as an older copy does. */
    if (seq != 0 && seq < e->in_top)
        seq = e->in_top;
    if (err == SOTTO_OK && seq != 0)
        err = sotto_setting_put_u64(e->p, "inbox.committed", seq);
    if ((err = sotto_profile_end(e->p, err)) != SOTTO_OK && !SOTTO_PLANTED(MUTANT_ACK_LOST)) {
        e->changed_count = 0;
        return err;
    }
    while (e->in_first != in) {
        struct incoming *gone = e->in_first;

        e->in_first = gone->next;
        e->in_size -= sizeof *gone + gone->len;
        free(gone);
    }
    if (e->in_first == NULL)
        e->in_last = &e->in_first;
    e->in_top = seq > e->in_top ? seq : e->in_top;
    *ret_seq = seq;
    *ret_paused = v == PAUSED;
    return SOTTO_OK;
}

void sotto_inbox_run(struct sotto_engine *e)
{
    struct sotto_request ack = {.type = SOTTO_REQ_ACK};
    bool paused = false, any = false;
    enum sotto_err err;

    while (e->in_first != NULL && !e->in_paused && e->phase == LINK_ONLINE && e->why == SOTTO_OK) {
        if ((err = run_batch(e, &ack.u.ack.seq, &paused)) != SOTTO_OK) {
            sotto_engine_trouble(e, err, "the profile cannot be written; nothing was lost");
            return;
        }
        if (ack.u.ack.seq != 0) {
            sotto_tell(e, &ack);
            any = true;
        }
        if (paused)
            pause_line(e);
    }
    if (!any)
        return;
    sotto_changed_flush(e);
    sotto_receive_feed(e);
    sotto_receipts_flush(e);
    sotto_outbox_pump(e);
    sotto_ask_drained(e);
}

/* --- ephemeral --- */

/* Notices can be repeated, held back and exchanged by whoever carries them: only what is newer than
 * all else of his says something about now. */
static void tell_typing(struct sotto_engine *e, const char *from, const struct sotto_content *c)
{
    struct sotto_typing_row row = {.from = from, .active = c->u.typing.active};
    struct outgoing *o = sotto_outgoing(e, from);
    uint64_t now = sotto_now_ms(e->env);

    if (o == NULL || c->sent_at_ms + TYPING_MS <= now || c->sent_at_ms >= now + TYPING_MS ||
        c->sent_at_ms < o->typed_ms || (c->sent_at_ms == o->typed_ms && row.active))
        return;
    o->typed_ms = c->sent_at_ms;
    sotto_emit(e, (struct sotto_ref){0}, SOTTO_EVENT_TYPING, &row);
}

void sotto_inbox_ephemeral(struct sotto_engine *e, struct sotto_bytes envelope)
{
    struct incoming *in = malloc(sizeof *in + envelope.n);
    struct arrival ar = {.in = in};
    struct find_session f = {.id = NULL};
    struct sotto_content *c = NULL;

    if (in != NULL) {
        *in = (struct incoming){.len = envelope.n};
        memcpy(in->envelope, envelope.p, envelope.n);
        ar.buf = malloc(envelope.n + 1);
        ar.text = malloc(envelope.n + 1);
    }
    if (in != NULL && ar.buf != NULL && ar.text != NULL && open_envelope(e, &ar) == SOTTO_OK &&
        ar.opened.kind == SOTTO_ENVELOPE_EPHEMERAL && find_sender(e, &ar) == SOTTO_OK &&
        ar.listed && !ar.own && ar.contact.state == SOTTO_CONTACT_ACCEPTED &&
        sotto_message_peek(ar.opened.msg, ar.opened.msg_len, &ar.info) == SOTTO_OK &&
        ar.info.ephemeral) {
        f.id = ar.info.session_id;
        if (sotto_sessions_each(e->p, ar.opened.sender, ar.opened.sender_device, match_session,
                                &f) == SOTTO_OK &&
            f.s != NULL &&
            sotto_session_decrypt_ephemeral(f.s, ar.opened.msg, ar.opened.msg_len, ar.text,
                                            &ar.text_len) == SOTTO_OK &&
            sotto_content_decode(ar.text, ar.text_len, &c) == SOTTO_OK &&
            c->kind == SOTTO_CONTENT_TYPING)
            tell_typing(e, ar.opened.sender, c);
    }
    sotto_content_free(c);
    sotto_session_free(f.s);
    free(ar.buf);
    free(ar.text);
    free(in);
}
