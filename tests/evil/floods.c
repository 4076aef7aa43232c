/* SPDX-License-Identifier: Apache-2.0 */
/* Lies about what is passed on and never stored, and envelopes that nobody sent. */
#include "floods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2ee/envelope.h"

static void push(struct turn *t, enum sotto_answer_type type, struct sotto_bytes envelope)
{
    struct sotto_answer a = {.type = type};

    if (type == SOTTO_ANS_DELIVER) {
        evil_push_envelope(t, envelope);
        return;
    }
    a.u.ephemeral.envelope = envelope;
    evil_say(t, &a);
}

/* --- notices again, late, and on the wrong way --- */

/* Everything that was passed on to anybody, the newest first. */
static void say_notices(struct turn *t)
{
    const struct evil_memory *m = &t->v->memory;
    size_t n = m->notice_count < EVIL_ENVELOPES ? m->notice_count : EVIL_ENVELOPES;

    for (size_t i = 0; i < n; i++) {
        size_t at = (m->notice_count - 1 - i) % EVIL_ENVELOPES;

        push(t, SOTTO_ANS_EPHEMERAL, (struct sotto_bytes){m->notices[at].p, m->notices[at].n});
    }
}

enum deed evil_notices_after(struct turn *t)
{
    if (t->v->memory.notice_count == 0 || t->a->type == SOTTO_ANS_ERROR)
        return LEFT;
    evil_say(t, t->a);
    say_notices(t);
    return TAKEN;
}

enum deed evil_notice_again(struct turn *t)
{
    for (unsigned long n = strtoul(t->arm->word[0], NULL, 10) + 1; n > 0; n--)
        evil_say(t, t->a);
    return TAKEN;
}

enum deed evil_notice_altered(struct turn *t)
{
    static uint8_t altered[SOTTO_ENVELOPE_MAX];
    struct sotto_bytes *envelope = &t->a->u.ephemeral.envelope;

    memcpy(altered, envelope->p, envelope->n);
    altered[envelope->n / 2] ^= 1;
    envelope->p = altered;
    return TWISTED;
}

enum deed evil_notice_delivered(struct turn *t)
{
    push(t, SOTTO_ANS_DELIVER, t->a->u.ephemeral.envelope);
    return TAKEN;
}

enum deed evil_passed_on(struct turn *t)
{
    push(t, SOTTO_ANS_EPHEMERAL, t->a->u.deliver.envelope);
    return TAKEN;
}

/* --- envelopes that nobody sent --- */

/* The only device of whoever this is about; the account is his. */
static void device_of(struct turn *t, const char *name, struct sotto_list *ret)
{
    const struct evil_account *a = evil_account(&t->v->memory, name);

    if (a->list_count == 0 ||
        sotto_list_open(a->lists[a->list_count - 1].p, a->lists[a->list_count - 1].n, ret) != 0)
        evil_fail("no list of his");
}

/* So many, each sealed to the device as anybody could do it. From somebody, from a device of his;
 * or, with "-", from a name that nobody has, another one each time. What is inside are random
 * bytes: no session opens them. */
static enum deed push_invented(struct turn *t, enum sotto_answer_type type)
{
    static uint8_t msg[200], envelope[sizeof msg + SOTTO_ENVELOPE_OVERHEAD];
    const struct sotto_env *env = sotto_env_system();
    bool message = type == SOTTO_ANS_DELIVER;
    struct sotto_list to, from;
    sotto_name sender;
    uint64_t device = 1;
    size_t len;

    if (t->a->type != SOTTO_ANS_DONE)
        return LEFT;
    evil_say(t, t->a);
    device_of(t, t->p->name, &to);
    snprintf(sender, sizeof sender, "%s", t->arm->word[1]);
    if (strcmp(sender, "-") != 0) {
        device_of(t, sender, &from);
        device = from.devices[0].id;
    }
    for (unsigned long n = strtoul(t->arm->word[0], NULL, 10); n > 0; n--) {
        if (strcmp(t->arm->word[1], "-") == 0)
            snprintf(sender, sizeof sender, "nobody%lu", n);
        if (sotto_random(env, msg, sizeof msg) != 0)
            evil_fail("no random bytes");
        msg[0] = msg[1] = 1; /* version and suite of a message, without a handshake */
        msg[2] = message ? 0 : 2;
        if (sotto_envelope_seal(env, &to.account, &to.devices[0], sender, device,
                                message ? SOTTO_ENVELOPE_MESSAGE : SOTTO_ENVELOPE_EPHEMERAL, msg,
                                sizeof msg, envelope, sizeof envelope, &len) != 0)
            evil_fail("an envelope that cannot be sealed");
        push(t, type, (struct sotto_bytes){envelope, len});
    }
    return TAKEN;
}

enum deed evil_push_invented(struct turn *t)
{
    return push_invented(t, SOTTO_ANS_DELIVER);
}

enum deed evil_push_invented_notices(struct turn *t)
{
    return push_invented(t, SOTTO_ANS_EPHEMERAL);
}

/* So many of so many bytes, for the right key; they do not open. */
static enum deed push_rubbish(struct turn *t, enum sotto_answer_type type)
{
    static uint8_t bytes[SOTTO_ENVELOPE_MAX];
    size_t len = strtoul(t->arm->word[1], NULL, 10);
    struct sotto_list to;

    if (t->a->type != SOTTO_ANS_DONE)
        return LEFT;
    if (len < 64 || len > sizeof bytes)
        evil_fail("no such length");
    evil_say(t, t->a);
    device_of(t, t->p->name, &to);
    for (unsigned long n = strtoul(t->arm->word[0], NULL, 10); n > 0; n--) {
        if (sotto_random(sotto_env_system(), bytes, len) != 0)
            evil_fail("no random bytes");
        bytes[0] = bytes[1] = 1;
        sotto_put_u32(bytes + 2, sotto_sealing_key_id(to.devices[0].sealing_pub));
        push(t, type, (struct sotto_bytes){bytes, len});
    }
    return TAKEN;
}

enum deed evil_push_rubbish(struct turn *t)
{
    return push_rubbish(t, SOTTO_ANS_DELIVER);
}

enum deed evil_push_rubbish_notices(struct turn *t)
{
    return push_rubbish(t, SOTTO_ANS_EPHEMERAL);
}

/* News that is none, so many times: of that type, with the list that there is, and no keys left. */
enum deed evil_push_news(struct turn *t)
{
    const struct evil_account *who = evil_account(&t->v->memory, t->p->name);
    struct sotto_answer a = {0};

    if (t->a->type != SOTTO_ANS_DONE || who->list_count == 0)
        return LEFT;
    evil_say(t, t->a);
    a.type = (enum sotto_answer_type)strtoul(t->arm->word[1], NULL, 10);
    if (a.type == SOTTO_ANS_LIST_CHANGED)
        a.u.list_changed.list = (struct sotto_bytes){who->lists[who->list_count - 1].p,
                                                     who->lists[who->list_count - 1].n};
    for (unsigned long n = strtoul(t->arm->word[0], NULL, 10); n > 0; n--)
        evil_say(t, &a);
    return TAKEN;
}
