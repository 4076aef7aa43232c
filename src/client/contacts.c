/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/state.h"

/* Whom we know: consent and delivery tokens, verification. */

enum sotto_err sotto_contact_load(struct sotto_engine *e, const char *name,
                                  struct sotto_contact_record *ret)
{
    enum sotto_err err = sotto_contact_get(e->p, name, ret);

    if (err != SOTTO_ERR_NOT_FOUND)
        return err;
    memset(ret, 0, sizeof *ret);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    return SOTTO_OK;
}

/* --- consent --- */

/* What came while somebody was a request got no receipts; now it does. */
struct dues {
    size_t count, room;
    struct due {
        uint8_t id[SOTTO_CONTENT_ID];
        bool shown;
    } * due;
};

static enum sotto_err collect_due(void *ctx, const struct sotto_message_record *m)
{
    struct dues *d = ctx;

    if (m->outgoing || !m->request)
        return SOTTO_OK;
    if (d->count == d->room) {
        size_t room = d->room * 2 + 64;
        struct due *more = realloc(d->due, room * sizeof *more);

        if (more == NULL)
            return SOTTO_ERR_NOMEM;
        d->due = more;
        d->room = room;
    }
    memcpy(d->due[d->count].id, m->id, SOTTO_CONTENT_ID);
    d->due[d->count++].shown = m->shown;
    return SOTTO_OK;
}

static enum sotto_err add_dues(struct sotto_engine *e, const char *name)
{
    struct dues d = {0};
    enum sotto_err err = sotto_message_history(e->p, name, 0, collect_due, &d);

    for (size_t i = 0; err == SOTTO_OK && i < d.count; i++) {
        err = sotto_due_add(e->p, name, d.due[i].id, SOTTO_RECEIPT_DELIVERED);
        if (err == SOTTO_OK && d.due[i].shown)
            err = sotto_due_add(e->p, name, d.due[i].id, SOTTO_RECEIPT_READ);
    }
    free(d.due);
    return err;
}

enum sotto_err sotto_contact_make_accepted(struct sotto_engine *e, struct sotto_contact_record *c)
{
    enum sotto_err err;

    c->state = SOTTO_CONTACT_ACCEPTED;
    sotto_lost_accepted(e, c->name);
    if (!c->has_our_token) {
        if ((err = sotto_random(e->env, c->our_token, SOTTO_TOKEN)) != SOTTO_OK)
            return err;
        c->has_our_token = true;
        if ((err = sotto_token_queue(e, true, c->our_token)) != SOTTO_OK)
            return err;
    }
    if ((err = sotto_contact_put(e->p, c)) != SOTTO_OK || (err = add_dues(e, c->name)) != SOTTO_OK)
        return err;
    return sotto_message_clear_request(e->p, c->name);
}

enum sotto_err sotto_contact_sync(struct sotto_engine *e, const struct sotto_contact_record *c,
                                  uint64_t only_device)
{
    struct sotto_content s = {.kind = SOTTO_CONTENT_CONTACT_SYNC};

    if (only_device == 0 && e->own_list.count < 2)
        return SOTTO_OK;
    memcpy(s.u.contact_sync.name, c->name, sizeof c->name);
    s.u.contact_sync.state = (enum sotto_contact_state)c->state;
    s.u.contact_sync.has_their_token = c->has_their_token;
    s.u.contact_sync.has_our_token = c->has_our_token;
    s.u.contact_sync.has_verified_key = c->has_verified_key;
    memcpy(s.u.contact_sync.their_token, c->their_token, SOTTO_TOKEN);
    memcpy(s.u.contact_sync.our_token, c->our_token, SOTTO_TOKEN);
    memcpy(s.u.contact_sync.verified_key, c->verified_key, 32);
    return sotto_outbox_queue(e, e->us.name, only_device, e->us.name, &s, false);
}

/* From another device of ours: its word on a contact is ours. */
enum sotto_err sotto_contact_synced(struct sotto_engine *e, const struct sotto_content *content)
{
    struct sotto_contact_record c;
    enum sotto_err err;

    if ((err = sotto_contact_load(e, content->u.contact_sync.name, &c)) != SOTTO_OK)
        return err;
    if (c.state != SOTTO_CONTACT_BLOCKED)
        c.unblocked = c.state;
    c.state = content->u.contact_sync.state;
    if (content->u.contact_sync.has_their_token) {
        c.has_their_token = true;
        memcpy(c.their_token, content->u.contact_sync.their_token, SOTTO_TOKEN);
    }
    c.has_our_token = content->u.contact_sync.has_our_token;
    memcpy(c.our_token, content->u.contact_sync.our_token, SOTTO_TOKEN);
    c.has_verified_key = content->u.contact_sync.has_verified_key;
    memcpy(c.verified_key, content->u.contact_sync.verified_key, 32);
    if ((err = sotto_contact_put(e->p, &c)) != SOTTO_OK)
        return err;
    if (c.state != SOTTO_CONTACT_ACCEPTED)
        return SOTTO_OK;
    sotto_lost_accepted(e, c.name);
    return sotto_message_clear_request(e->p, c.name);
}

/* State, token for them, receipts for what came already, word to our other devices: one commit. */
static enum sotto_err accept_all(struct sotto_engine *e, struct sotto_contact_record *c)
{
    struct sotto_content grant = {.kind = SOTTO_CONTENT_GRANT, .has_token = true};
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = sotto_contact_make_accepted(e, c)) == SOTTO_OK)
        memcpy(grant.delivery_token, c->our_token, SOTTO_TOKEN);
    if (err == SOTTO_OK &&
        (err = sotto_outbox_queue(e, c->name, 0, c->name, &grant, false)) == SOTTO_OK)
        err = sotto_contact_sync(e, c, 0);
    return sotto_profile_end(e->p, err);
}

static void accept_known(struct sotto_engine *e, struct job *j, struct sotto_contact_record *c)
{
    enum sotto_err err = accept_all(e, c);

    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    sotto_job_done(e, j, SOTTO_RESULT_OK, "%s is a contact", j->name);
    sotto_tokens_flush(e);
    sotto_receipts_flush(e);
    sotto_outbox_pump(e);
}

static bool is_self(struct sotto_engine *e, struct job *j)
{
    if (strcmp(j->name, e->us.name) != 0)
        return false;
    sotto_job_done(e, j, SOTTO_RESULT_USAGE, "that is your own name");
    return true;
}

static pending_fn looked_up;

/* Now, or as soon as the relay is there. */
static void look_up(struct sotto_engine *e, struct job *j)
{
    j->needs_online = true;
    if (e->phase == LINK_ONLINE) {
        j->phase = 1;
        sotto_lists_fetch(e, j->name, looked_up, j);
    }
}

void sotto_contacts_accept(struct sotto_engine *e, struct job *j)
{
    struct sotto_contact_record c;

    if (is_self(e, j))
        return;
    if (sotto_contact_get(e->p, j->name, &c) == SOTTO_OK && c.has_list && !c.gone) {
        accept_known(e, j, &c);
        return;
    }
    look_up(e, j);
}

static enum sotto_err block_all(struct sotto_engine *e, struct sotto_contact_record *c)
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if (c->has_our_token)
        err = sotto_token_queue(e, false, c->our_token);
    c->has_our_token = false;
    memset(c->our_token, 0, sizeof c->our_token);
    if (c->state != SOTTO_CONTACT_BLOCKED)
        c->unblocked = c->state;
    c->state = SOTTO_CONTACT_BLOCKED;
    if (err == SOTTO_OK && (err = sotto_contact_put(e->p, c)) == SOTTO_OK)
        err = sotto_contact_sync(e, c, 0);
    return sotto_profile_end(e->p, err);
}

static void block_known(struct sotto_engine *e, struct job *j, struct sotto_contact_record *c)
{
    enum sotto_err err = block_all(e, c);

    if (err != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    sotto_tokens_flush(e);
    sotto_outbox_pump(e);
    sotto_job_done(e, j, SOTTO_RESULT_OK,
                   "%s is blocked: what comes from there is dropped, and %s is not told", j->name,
                   j->name);
}

/* Whoever was heard of is blocked at once, also offline and when the account is gone. Of a name
 * that never was the relay says whether it exists: one mistyped would be blocked in vain. */
void sotto_contacts_block(struct sotto_engine *e, struct job *j)
{
    struct sotto_contact_record c;

    if (is_self(e, j))
        return;
    if (sotto_contact_get(e->p, j->name, &c) == SOTTO_OK && (c.state != 0 || c.has_list)) {
        block_known(e, j, &c);
        return;
    }
    look_up(e, j);
}

static enum sotto_err unblock_all(struct sotto_engine *e, struct sotto_contact_record *c)
{
    enum sotto_err err;

    c->state = c->unblocked;
    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    if ((err = sotto_contact_put(e->p, c)) == SOTTO_OK)
        err = sotto_contact_sync(e, c, 0);
    return sotto_profile_end(e->p, err);
}

/* Back to what was before: only who was a contact is one again, with a new token. */
void sotto_contacts_unblock(struct sotto_engine *e, struct job *j)
{
    struct sotto_contact_record c;
    enum sotto_err err;

    if ((err = sotto_contact_load(e, j->name, &c)) != SOTTO_OK) {
        sotto_job_cannot_read(e, j, err);
        return;
    }
    if (c.state != SOTTO_CONTACT_BLOCKED) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "%s is not blocked", j->name);
        return;
    }
    if (c.unblocked == SOTTO_CONTACT_ACCEPTED) {
        accept_known(e, j, &c);
        return;
    }
    if ((err = unblock_all(e, &c)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    sotto_receive_rewind(e); /* what had come before the block */
    sotto_outbox_pump(e);
    sotto_job_done(e, j, SOTTO_RESULT_OK,
                   c.state == SOTTO_CONTACT_REQUEST
                       ? "%s is no longer blocked, and a request as before: sotto accept %s"
                       : "%s is no longer blocked, and as unknown as before",
                   j->name, j->name);
}

/* --- showing --- */

struct listing {
    struct sotto_engine *e;
    struct job *j;
};

static enum sotto_err show_contact(void *ctx, const struct sotto_contact_record *c)
{
    struct listing *l = ctx;
    const struct sotto_list *list;
    struct sotto_contact row = {
        .name = c->name,
        .state = c->state == SOTTO_CONTACT_ACCEPTED  ? SOTTO_IS_CONTACT
                 : c->state == SOTTO_CONTACT_BLOCKED ? SOTTO_IS_BLOCKED
                                                     : SOTTO_IS_REQUEST,
        .verified = c->has_verified_key && !c->new_identity &&
                    sotto_equal(c->verified_key, c->account_key, 32),
        .new_identity = c->new_identity || c->forked != SOTTO_FORK_NONE,
        .accepted_us = c->has_their_token,
        .unread = c->unread,
        .last_ms = c->last_ms,
    };

    if (c->state == 0 || strcmp(c->name, l->e->us.name) == 0)
        return SOTTO_OK;
    if (c->has_list && sotto_list_of(l->e, c->name, &list) == SOTTO_OK)
        row.devices = (uint32_t)list->count;
    return sotto_emit(l->e, l->j->ref, SOTTO_EVENT_CONTACT, &row) ? SOTTO_OK : SOTTO_ERR_NOMEM;
}

void sotto_contacts_list(struct sotto_engine *e, struct job *j)
{
    struct listing l = {e, j};
    enum sotto_err err = sotto_contact_each(e->p, show_contact, &l);

    if (err != SOTTO_OK)
        sotto_job_cannot_read(e, j, err);
    else
        sotto_job_done(e, j, SOTTO_RESULT_OK, "%s", "");
}

/* --- verification --- */

/* Over the identity that is to be judged: the new one, where there is one. */
static enum sotto_err safety_number(struct sotto_engine *e, const struct sotto_contact_record *c,
                                    char ret[SOTTO_SAFETY_NUMBER])
{
    struct sotto_account them;
    struct sotto_list *list;

    memcpy(them.relay_id, e->us.relay_id, 32);
    memcpy(them.name, c->name, sizeof them.name);
    memcpy(them.key, c->account_key, 32);
    if (c->new_identity) {
        if ((list = malloc(sizeof *list)) == NULL)
            return SOTTO_ERR_NOMEM;
        if (sotto_list_pending_of(e, c->name, list) == SOTTO_OK)
            memcpy(them.key, list->account.key, 32);
        free(list);
    }
    sotto_safety_number(&e->us, &them, ret);
    return SOTTO_OK;
}

static void show_safety(struct sotto_engine *e, struct job *j, const struct sotto_contact_record *c)
{
    char number[SOTTO_SAFETY_NUMBER];
    struct sotto_safety row = {
        .number = number,
        .verified = c->has_verified_key && !c->new_identity &&
                    sotto_equal(c->verified_key, c->account_key, 32),
        .new_identity = c->new_identity || c->forked != SOTTO_FORK_NONE,
    };

    if (safety_number(e, c, number) != SOTTO_OK || !sotto_emit(e, j->ref, SOTTO_EVENT_SAFETY, &row))
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
    else
        sotto_job_done(e, j, SOTTO_RESULT_OK, "%s", "");
}

static void compare_safety(struct sotto_engine *e, struct job *j, struct sotto_contact_record *c)
{
    char number[SOTTO_SAFETY_NUMBER], given[61], want[61];
    size_t g = 0, w = 0;
    enum sotto_err err;

    if (safety_number(e, c, number) != SOTTO_OK) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
        return;
    }
    for (const char *p = j->text; *p != '\0'; p++) {
        if (isspace((unsigned char)*p))
            continue;
        if (!isdigit((unsigned char)*p) || g == 60) {
            g = 0;
            break;
        }
        given[g++] = *p;
    }
    for (const char *p = number; *p != '\0'; p++)
        if (*p != ' ')
            want[w++] = *p;
    if (g != 60) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "a safety number has sixty digits");
        return;
    }
    if (memcmp(given, want, 60) != 0) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                       "the numbers differ: you and %s do not see the same keys. Do not send "
                       "anything that matters; compare again over another way",
                       j->name);
        return;
    }
    if (c->new_identity) {
        sotto_job_done(e, j, SOTTO_RESULT_SECURITY,
                       "the number is that of the new identity: accept it with sotto verify %s "
                       "--accept",
                       j->name);
        return;
    }
    c->has_verified_key = true;
    memcpy(c->verified_key, c->account_key, 32);
    if ((err = sotto_contact_put(e->p, c)) != SOTTO_OK ||
        (err = sotto_contact_sync(e, c, 0)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    sotto_outbox_pump(e);
    sotto_job_done(e, j, SOTTO_RESULT_OK, "%s is verified", j->name);
}

static void judge(struct sotto_engine *e, struct job *j, struct sotto_contact_record *c)
{
    if (j->op == SOTTO_OP_CONFIRM)
        compare_safety(e, j, c);
    else
        show_safety(e, j, c);
}

/* Goes on with the call if we know the account now. */
static void looked_up(struct sotto_engine *e, struct pending *p, const struct sotto_answer *a)
{
    struct sotto_contact_record c;
    struct job *j = p->job;

    if (j == NULL || j->dead)
        return;
    if (a == NULL)
        sotto_job_offline(e, j);
    else if (sotto_contact_get(e->p, j->name, &c) != SOTTO_OK || c.gone ||
             (!c.has_list && !c.new_identity))
        sotto_job_done(e, j, SOTTO_RESULT_UNKNOWN, "there is no account %s on this relay", j->name);
    else if (j->op == SOTTO_OP_ACCEPT)
        accept_known(e, j, &c);
    else if (j->op == SOTTO_OP_BLOCK)
        block_known(e, j, &c);
    else
        judge(e, j, &c);
}

void sotto_contacts_safety(struct sotto_engine *e, struct job *j)
{
    struct sotto_contact_record c;

    if (is_self(e, j))
        return;
    if (sotto_contact_get(e->p, j->name, &c) == SOTTO_OK && c.has_list) {
        judge(e, j, &c);
        return;
    }
    look_up(e, j);
}

void sotto_contacts_confirm(struct sotto_engine *e, struct job *j)
{
    sotto_contacts_safety(e, j);
}

void sotto_contacts_accept_identity(struct sotto_engine *e, struct job *j)
{
    struct sotto_contact_record c;
    bool was_new;
    enum sotto_err err;

    if (sotto_contact_get(e->p, j->name, &c) != SOTTO_OK || (!c.new_identity && !c.forked)) {
        sotto_job_done(e, j, SOTTO_RESULT_OK, "%s has no new identity: nothing to accept", j->name);
        return;
    }
    was_new = c.new_identity;
    if ((err = sotto_list_accept(e, &c)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    sotto_job_done(e, j, SOTTO_RESULT_OK,
                   was_new
                       ? "the new identity of %s is accepted. Compare the safety number: sotto "
                         "verify %s"
                       : "the devices of %s are taken anew from the relay, under the same account "
                         "key. Compare the safety number: sotto verify %s",
                   j->name, j->name);
    sotto_outbox_unstall(e, j->name);
    sotto_outbox_pump(e);
}
