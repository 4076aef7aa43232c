/* SPDX-License-Identifier: Apache-2.0 */
/* Each lie: what it makes of an answer on its way to a client. The table is at the end. */
#include "floods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- saying --- */

void evil_say(struct turn *t, const struct sotto_answer *a)
{
    const struct sotto_sign_pair *key = a->type == SOTTO_ANS_HELLO ? t->v->relay_key : NULL;

    if (sotto_answer_encode(a, key, t->out) != 0)
        evil_fail("an answer that cannot be encoded");
}

void evil_push_envelope(struct turn *t, struct sotto_bytes envelope)
{
    struct sotto_answer a = {.type = SOTTO_ANS_DELIVER};

    a.u.deliver.seq = ++t->v->memory.top_seq;
    a.u.deliver.envelope = envelope;
    evil_say(t, &a);
}

/* Makes it another answer to the same request. What the old one pointed to stays alive. */
static enum deed instead(struct turn *t, enum sotto_answer_type type)
{
    memset(&t->a->u, 0, sizeof t->a->u);
    t->a->type = type;
    return TWISTED;
}

static unsigned long number(const char *word)
{
    return word != NULL ? strtoul(word, NULL, 10) : 0;
}

static void flip(struct sotto_bytes *v, size_t at, uint8_t *room, size_t size)
{
    if (v->n > size || at >= v->n)
        evil_fail("nothing to flip there");
    memmove(room, v->p, v->n);
    room[at] ^= 1;
    v->p = room;
}

/* --- bundles of pre-keys --- */

static bool about(const struct turn *t)
{
    return t->q != NULL && strcmp(t->q->name, t->arm->word[0]) == 0;
}

static enum deed bundle_of(struct turn *t)
{
    struct evil_account *other = evil_account(&t->v->memory, t->arm->word[1]);

    if (!about(t) || t->a->type != SOTTO_ANS_BUNDLE || !other->has_one_time)
        return LEFT;
    t->a->u.bundle.signed_prekey = (struct sotto_bytes){other->signed_prekey, SOTTO_PREKEY_BYTES};
    t->a->u.bundle.one_time = (struct sotto_bytes){other->one_time, SOTTO_PREKEY_BYTES};
    return TWISTED;
}

static enum deed one_time_of(struct turn *t)
{
    struct evil_account *other = evil_account(&t->v->memory, t->arm->word[1]);

    if (!about(t) || t->a->type != SOTTO_ANS_BUNDLE || !other->has_one_time)
        return LEFT;
    t->a->u.bundle.one_time = (struct sotto_bytes){other->one_time, SOTTO_PREKEY_BYTES};
    return TWISTED;
}

static enum deed bundle_signature(struct turn *t)
{
    static uint8_t altered[SOTTO_PREKEY_BYTES];

    if (!about(t) || t->a->type != SOTTO_ANS_BUNDLE)
        return LEFT;
    flip(&t->a->u.bundle.signed_prekey, SOTTO_PREKEY_BYTES - 1, altered, sizeof altered);
    return TWISTED;
}

/* Keys whose private halves we have, said to be of the device that was asked about. */
static enum deed bundle_forged(struct turn *t)
{
    static uint8_t keys[2][SOTTO_PREKEY_BYTES];
    const struct evil_memory *m = &t->v->memory;

    if (!about(t) || t->a->type != SOTTO_ANS_BUNDLE)
        return LEFT;
    memcpy(keys[0], m->own_signed.bytes, SOTTO_PREKEY_BYTES);
    memcpy(keys[1], m->own_one_time.bytes, SOTTO_PREKEY_BYTES);
    sotto_put_u64(keys[0] + 5, t->q->device);
    sotto_put_u64(keys[1] + 5, t->q->device);
    t->a->u.bundle.signed_prekey = (struct sotto_bytes){keys[0], SOTTO_PREKEY_BYTES};
    t->a->u.bundle.one_time = (struct sotto_bytes){keys[1], SOTTO_PREKEY_BYTES};
    return TWISTED;
}

/* The one-time key that somebody got is given to all who ask after him. */
static enum deed one_time_again(struct turn *t)
{
    if (!about(t) || t->a->type != SOTTO_ANS_BUNDLE || t->a->u.bundle.one_time.n == 0)
        return LEFT;
    if (!t->v->has_one_time) {
        memcpy(t->v->one_time, t->a->u.bundle.one_time.p, SOTTO_PREKEY_BYTES);
        t->v->has_one_time = true;
        return LEFT;
    }
    t->a->u.bundle.one_time = (struct sotto_bytes){t->v->one_time, SOTTO_PREKEY_BYTES};
    return TWISTED;
}

/* --- device lists --- */

static enum deed give_list(struct turn *t, const uint8_t *p, size_t n)
{
    struct sotto_lists_since *s = &t->a->u.lists.since[0];

    if (!about(t) || t->a->type != SOTTO_ANS_LISTS || t->a->u.lists.count != 1)
        return LEFT;
    s->unknown = s->gone = false;
    s->count = 1;
    s->lists[0] = (struct sotto_bytes){p, n};
    return TWISTED;
}

static enum deed list_of(struct turn *t)
{
    struct evil_account *other = evil_account(&t->v->memory, t->arm->word[1]);
    size_t newest = other->list_count;

    if (newest == 0)
        return LEFT;
    return give_list(t, other->lists[newest - 1].p, other->lists[newest - 1].n);
}

static enum deed list_older(struct turn *t)
{
    struct evil_account *same = evil_account(&t->v->memory, t->arm->word[0]);

    if (same->list_count < 2)
        return LEFT;
    return give_list(t, same->lists[0].p, same->lists[0].n);
}

/* Valid until the next. */
static struct sotto_bytes list_in(const char *hex)
{
    static uint8_t bytes[SOTTO_LIST_MAX];
    size_t len;

    if (sotto_hex_decode(hex, strlen(hex), bytes, sizeof bytes, &len) != 0)
        evil_fail("not hexadecimal");
    return (struct sotto_bytes){bytes, len};
}

static enum deed list_this(struct turn *t)
{
    struct sotto_bytes list = list_in(t->arm->word[1]);

    return give_list(t, list.p, list.n);
}

static enum deed list_altered(struct turn *t)
{
    static uint8_t altered[SOTTO_LIST_MAX];
    struct sotto_lists_since *s = &t->a->u.lists.since[0];

    if (!about(t) || t->a->type != SOTTO_ANS_LISTS || s->count == 0)
        return LEFT;
    flip(&s->lists[s->count - 1], s->lists[s->count - 1].n / 2, altered, sizeof altered);
    return TWISTED;
}

/* Another person under his name: one whose private keys we have. */
static enum deed list_forged(struct turn *t)
{
    struct evil_memory *m = &t->v->memory;
    enum deed d = give_list(t, m->own_list, 0);

    if (d == LEFT)
        return d;
    evil_memory_pose(m, t->v->relay_key->pub, t->arm->word[0]);
    return give_list(t, m->own_list, m->own_list_len);
}

static enum deed bundle_of_forged(struct turn *t)
{
    struct evil_memory *m = &t->v->memory;

    if (!about(t) || t->q->device != sotto_device_id(m->own_device.sign.pub))
        return LEFT;
    (void)instead(t, SOTTO_ANS_BUNDLE);
    t->a->u.bundle.signed_prekey = (struct sotto_bytes){m->own_signed.bytes, SOTTO_PREKEY_BYTES};
    t->a->u.bundle.one_time = (struct sotto_bytes){m->own_one_time.bytes, SOTTO_PREKEY_BYTES};
    return TWISTED;
}

static enum deed list_gone(struct turn *t)
{
    if (give_list(t, NULL, 0) == LEFT)
        return LEFT;
    t->a->u.lists.since[0].count = 0;
    t->a->u.lists.since[0].gone = true;
    return TWISTED;
}

static enum deed list_unknown(struct turn *t)
{
    if (list_gone(t) == LEFT)
        return LEFT;
    t->a->u.lists.since[0].gone = false;
    t->a->u.lists.since[0].unknown = true;
    return TWISTED;
}

/* --- while a device is added --- */

static enum deed logged_in_of(struct turn *t)
{
    struct evil_account *other = evil_account(&t->v->memory, t->arm->word[0]);

    if (t->a->type != SOTTO_ANS_LOGGED_IN || other->list_count == 0)
        return LEFT;
    t->a->u.logged_in.count = 1;
    t->a->u.logged_in.lists[0] = (struct sotto_bytes){other->lists[0].p, other->lists[0].n};
    return TWISTED;
}

/* A device of ours instead of the one that asks to be added. */
static enum deed links_forged(struct turn *t)
{
    static uint8_t entry[SOTTO_ENTRY_BYTES];
    struct evil_account *owner = evil_account(&t->v->memory, t->arm->word[0]);
    struct sotto_list list;

    if (t->a->type != SOTTO_ANS_LINKS || t->a->u.links.count == 0 || owner->list_count == 0)
        return LEFT;
    if (sotto_list_open(owner->lists[0].p, owner->lists[0].n, &list) != 0)
        evil_fail("a list that is none");
    evil_memory_entry(&t->v->memory, &list.account, entry);
    for (size_t i = 0; i < t->a->u.links.count; i++)
        t->a->u.links.pending[i].entry = (struct sotto_bytes){entry, sizeof entry};
    return TWISTED;
}

/* --- pushed once somebody is in --- */

static enum deed push_list_of(struct turn *t)
{
    struct evil_account *other = evil_account(&t->v->memory, t->arm->word[0]);
    struct sotto_answer a = {.type = SOTTO_ANS_LIST_CHANGED};
    size_t i = t->arm->word[1] != NULL ? number(t->arm->word[1]) : other->list_count - 1;

    if (t->a->type != SOTTO_ANS_DONE || i >= other->list_count)
        return LEFT;
    evil_say(t, t->a);
    a.u.list_changed.list = (struct sotto_bytes){other->lists[i].p, other->lists[i].n};
    evil_say(t, &a);
    return TAKEN;
}

/* Everything that was ever delivered to anybody, or the last envelopes of it. */
static enum deed push_envelopes(struct turn *t)
{
    struct evil_memory *m = &t->v->memory;
    size_t first = m->envelope_count > EVIL_ENVELOPES ? m->envelope_count - EVIL_ENVELOPES : 0;

    if (t->a->type != SOTTO_ANS_DONE || m->envelope_count == 0)
        return LEFT;
    evil_say(t, t->a);
    for (size_t i = first; i < m->envelope_count; i++)
        evil_push_envelope(t, (struct sotto_bytes){m->envelopes[i % EVIL_ENVELOPES].p,
                                                   m->envelopes[i % EVIL_ENVELOPES].n});
    return TAKEN;
}

/* Envelopes of random bytes. */
static enum deed push_garbage(struct turn *t)
{
    uint8_t bytes[600];

    if (t->a->type != SOTTO_ANS_DONE)
        return LEFT;
    evil_say(t, t->a);
    for (unsigned long n = number(t->arm->word[0]); n > 0; n--) {
        if (sotto_random(sotto_env_system(), bytes, sizeof bytes) != 0)
            evil_fail("no random bytes");
        evil_push_envelope(t, (struct sotto_bytes){bytes, sizeof bytes});
    }
    return TAKEN;
}

/* Or before the hello. */
static enum deed push_closing(struct turn *t)
{
    struct sotto_answer a = {.type = SOTTO_ANS_CLOSING};

    if (t->a->type == SOTTO_ANS_DONE)
        evil_say(t, t->a);
    else if (t->a->type != SOTTO_ANS_HELLO)
        return LEFT;
    a.u.closing.reason = (enum sotto_closing)number(t->arm->word[0]);
    evil_say(t, &a);
    return TAKEN;
}

/* Whenever somebody asks whether there is more, there is. */
static enum deed push_for_ever(struct turn *t)
{
    uint8_t bytes[300];

    if (t->a->type != SOTTO_ANS_DONE)
        return LEFT;
    if (sotto_random(sotto_env_system(), bytes, sizeof bytes) != 0)
        evil_fail("no random bytes");
    evil_push_envelope(t, (struct sotto_bytes){bytes, sizeof bytes});
    evil_say(t, t->a);
    return TAKEN;
}

/* An envelope for whoever has not said who he is. */
static enum deed push_early(struct turn *t)
{
    static const uint8_t envelope[300] = {1};

    evil_say(t, t->a);
    evil_push_envelope(t, (struct sotto_bytes){envelope, sizeof envelope});
    return TAKEN;
}

/* --- deliveries --- */

static enum deed deliver_again(struct turn *t)
{
    unsigned long times = number(t->arm->word[0]);

    evil_say(t, t->a);
    for (unsigned long i = 0; i < times; i++) /* under its own number, then under others */
        if (i % 2 == 0)
            evil_say(t, t->a);
        else
            evil_push_envelope(t, t->a->u.deliver.envelope);
    return TAKEN;
}

/* Receipts go about as well, and nobody knows when. */
static bool is_long(const struct turn *t)
{
    return t->a->u.deliver.envelope.n > 5000;
}

static enum deed deliver_not(struct turn *t)
{
    return is_long(t) ? TAKEN : LEFT;
}

static enum deed deliver_reversed(struct turn *t)
{
    struct evil_peer *p = t->p;
    struct sotto_buf *out = t->out;

    if (!is_long(t))
        return LEFT;
    p->held[p->held_count] = SOTTO_BUF(SOTTO_FRAME_MAX + SOTTO_FRAME_HEADER);
    t->out = &p->held[p->held_count++];
    evil_say(t, t->a);
    t->out = out;
    if (p->held_count < number(t->arm->word[0]))
        return TAKEN;
    while (p->held_count > 0) {
        struct sotto_buf *last = &p->held[--p->held_count];

        if (sotto_buf_add(out, last->p, last->n) != 0)
            evil_fail("out of memory");
        sotto_buf_free(last);
    }
    return TAKEN;
}

static enum deed deliver_as(struct turn *t)
{
    const char *seq = t->arm->word[0];

    if (seq[0] == '+')
        t->a->u.deliver.seq += strtoull(seq + 1, NULL, 10);
    else
        t->a->u.deliver.seq = strtoull(seq, NULL, 10);
    return TWISTED;
}

static enum deed deliver_altered(struct turn *t)
{
    static uint8_t altered[SOTTO_ENVELOPE_MAX];

    flip(&t->a->u.deliver.envelope, t->a->u.deliver.envelope.n / 2, altered, sizeof altered);
    return TWISTED;
}

/* --- submits --- */

static enum deed submit_state(struct turn *t)
{
    if (t->a->type != SOTTO_ANS_SUBMITTED)
        return LEFT;
    for (size_t i = 0; i < t->a->u.submitted.count; i++)
        t->a->u.submitted.results[i].state = (enum sotto_parcel_state)number(t->arm->word[0]);
    return TWISTED;
}

static enum deed submit_devices(struct turn *t)
{
    if (t->a->type != SOTTO_ANS_SUBMITTED)
        return LEFT;
    for (size_t i = 0; i < t->a->u.submitted.count; i++)
        t->a->u.submitted.results[i].device ^= 1;
    return TWISTED;
}

static enum deed submit_nothing(struct turn *t)
{
    if (t->a->type != SOTTO_ANS_SUBMITTED)
        return LEFT;
    t->a->u.submitted.count = 0;
    return TWISTED;
}

/* The lists of another account as the newer ones of the recipient. */
static enum deed submit_list_of(struct turn *t)
{
    struct evil_account *other = evil_account(&t->v->memory, t->arm->word[0]);

    if (other->list_count == 0)
        return LEFT;
    (void)instead(t, SOTTO_ANS_ERROR);
    t->a->u.error.code = SOTTO_RELAY_LIST_CHANGED;
    t->a->u.error.list_count = 1;
    t->a->u.error.lists[0] = (struct sotto_bytes){other->lists[0].p, other->lists[0].n};
    return TWISTED;
}

static enum deed submit_list_this(struct turn *t)
{
    (void)instead(t, SOTTO_ANS_ERROR);
    t->a->u.error.code = SOTTO_RELAY_LIST_CHANGED;
    t->a->u.error.list_count = 1;
    t->a->u.error.lists[0] = list_in(t->arm->word[0]);
    return TWISTED;
}

/* Another person under the recipient's name. */
static enum deed submit_list_forged(struct turn *t)
{
    struct evil_memory *m = &t->v->memory;

    evil_memory_pose(m, t->v->relay_key->pub, t->arm->word[0]);
    (void)instead(t, SOTTO_ANS_ERROR);
    t->a->u.error.code = SOTTO_RELAY_LIST_CHANGED;
    t->a->u.error.list_count = 1;
    t->a->u.error.lists[0] = (struct sotto_bytes){m->own_list, m->own_list_len};
    return TWISTED;
}

/* --- any answer; the first word is the type of the request --- */

static bool asked_for(const struct turn *t)
{
    return t->q != NULL && t->q->type == number(t->arm->word[0]);
}

static enum deed error(struct turn *t)
{
    if (!asked_for(t))
        return LEFT;
    (void)instead(t, SOTTO_ANS_ERROR);
    t->a->u.error.code = (enum sotto_relay_error)number(t->arm->word[1]);
    snprintf(t->a->u.error.text, sizeof t->a->u.error.text, "because it is evil");
    return TWISTED;
}

static enum deed error_once(struct turn *t)
{
    return t->v->fired == 0 ? error(t) : LEFT;
}

static enum deed another_kind(struct turn *t)
{
    if (!asked_for(t))
        return LEFT;
    return instead(t, t->a->type == SOTTO_ANS_DONE ? SOTTO_ANS_LISTS : SOTTO_ANS_DONE);
}

static enum deed twice(struct turn *t)
{
    if (!asked_for(t))
        return LEFT;
    evil_say(t, t->a);
    evil_say(t, t->a);
    return TAKEN;
}

/* Before the true answer the same one to a request that was not made, and one of every kind. */
static enum deed unasked(struct turn *t)
{
    struct sotto_answer a = {.id = t->a->id + 1000000};
    uint32_t id = t->a->id;

    if (!asked_for(t))
        return LEFT;
    t->a->id = a.id;
    evil_say(t, t->a);
    t->a->id = id;
    for (a.type = SOTTO_ANS_ERROR; a.type <= SOTTO_ANS_SUBMITTED; a.type++) {
        memset(&a.u, 0, sizeof a.u);
        if (a.type == SOTTO_ANS_ERROR)
            a.u.error.code = SOTTO_RELAY_REVOKED;
        if (a.type == SOTTO_ANS_BUNDLE)
            a.u.bundle.signed_prekey =
                (struct sotto_bytes){t->v->memory.own_signed.bytes, SOTTO_PREKEY_BYTES};
        if (a.type != SOTTO_ANS_HELLO)
            evil_say(t, &a);
    }
    memset(&a, 0, sizeof a);
    for (a.type = SOTTO_ANS_LINK_PENDING; a.type <= SOTTO_ANS_PREKEYS_LOW; a.type++)
        evil_say(t, &a);
    evil_say(t, t->a);
    return TAKEN;
}

/* Bytes as they are given, without a frame around them. */
static enum deed bytes(struct turn *t)
{
    static uint8_t raw[16 * 1024];
    size_t len = 0;

    if (!asked_for(t))
        return LEFT;
    if (strcmp(t->arm->word[1], "-") != 0 &&
        sotto_hex_decode(t->arm->word[1], strlen(t->arm->word[1]), raw, sizeof raw, &len) != 0)
        evil_fail("not hexadecimal");
    if (sotto_buf_add(t->out, raw, len) != 0)
        evil_fail("out of memory");
    return TAKEN;
}

/* Of two requests each gets the other's answer. */
static enum deed exchanged(struct turn *t)
{
    struct sotto_answer *first = t->p->first;
    uint32_t id = t->a->id;

    if (t->q == NULL || t->q->type == SOTTO_REQ_SIGN_IN || t->q->type == SOTTO_REQ_BEGIN)
        return LEFT;
    if (first == NULL) {
        t->p->first = t->a;
        t->a = NULL;
        return TAKEN;
    }
    t->a->id = first->id;
    evil_say(t, t->a);
    first->id = id;
    evil_say(t, first);
    sotto_answer_free(first);
    t->p->first = NULL;
    return TAKEN;
}

/* --- who is in, and as what --- */

static enum deed signed_in_lease(struct turn *t)
{
    if (t->a->type != SOTTO_ANS_SIGNED_IN)
        return LEFT;
    t->a->u.signed_in.has_previous = t->a->u.signed_in.previous_begun = true;
    memset(t->a->u.signed_in.previous_lease, 0x66, SOTTO_LEASE);
    return TWISTED;
}

static enum deed signed_in_acked(struct turn *t)
{
    if (t->a->type != SOTTO_ANS_SIGNED_IN)
        return LEFT;
    t->a->u.signed_in.acked = strtoull(t->arm->word[0], NULL, 10);
    return TWISTED;
}

static enum deed signed_in_version(struct turn *t)
{
    if (t->a->type != SOTTO_ANS_SIGNED_IN)
        return LEFT;
    t->a->u.signed_in.list_version = (uint32_t)number(t->arm->word[0]);
    return TWISTED;
}

static enum deed keys_left(struct turn *t)
{
    uint32_t left = (uint32_t)number(t->arm->word[0]);

    if (t->a->type == SOTTO_ANS_SIGNED_IN)
        t->a->u.signed_in.one_time_left = left;
    else if (t->a->type == SOTTO_ANS_PREKEYS_KEPT)
        t->a->u.prekeys_kept.one_time_left = left;
    else
        return LEFT;
    return TWISTED;
}

/* --- hello --- */

static enum deed hello_incarnation(struct turn *t)
{
    memset(t->a->u.hello.relay.incarnation, (int)number(t->arm->word[0]), SOTTO_INCARNATION);
    return TWISTED;
}

static enum deed hello_clock(struct turn *t)
{
    t->a->u.hello.time_ms = strtoull(t->arm->word[0], NULL, 10);
    return TWISTED;
}

static enum deed hello_pin(struct turn *t)
{
    memset(t->a->u.hello.relay.pins[0], 0x66, 32);
    return TWISTED;
}

/* Rightly signed, by another key. */
static enum deed hello_id(struct turn *t)
{
    const struct evil_memory *m = &t->v->memory;

    memcpy(t->a->u.hello.relay.id, m->own_account.pub, 32);
    if (sotto_answer_encode(t->a, &m->own_account, t->out) != 0)
        evil_fail("a hello that cannot be encoded");
    return TAKEN;
}

/* As it was, but for one bit of its signature, which ends the frame's second field. */
static enum deed hello_signature(struct turn *t)
{
    size_t at = t->out->n;

    evil_say(t, t->a);
    for (size_t i = at; i + 66 < t->out->n; i++)
        if (t->out->p[i] == 0x12 && t->out->p[i + 1] == SOTTO_SIGNATURE) {
            t->out->p[i + 30] ^= 1;
            return TAKEN;
        }
    evil_fail("a hello without a signature");
}

/* --- the table --- */

#define TO(type)     .answers = SOTTO_REQ_##type
#define PUSHED(type) .pushes = SOTTO_ANS_##type

/* Words: a name is of whom it is about; TYPE, CODE, STATE as in docs/protocol.md. */
const struct evil_twist evil_twists[] = {
    {"bundle-of", 2, bundle_of, TO(GET_BUNDLE)}, /* NAME, whose else */
    {"one-time-of", 2, one_time_of, TO(GET_BUNDLE)},
    {"one-time-again", 1, one_time_again, TO(GET_BUNDLE)},
    {"bundle-signature", 1, bundle_signature, TO(GET_BUNDLE)},
    {"bundle-forged", 1, bundle_forged, TO(GET_BUNDLE)},
    {"list-of", 2, list_of, TO(GET_LISTS)}, /* NAME, whose else */
    {"list-older", 1, list_older, TO(GET_LISTS)},
    {"list-this", 2, list_this, TO(GET_LISTS)}, /* NAME, the list in hexadecimal */
    {"list-altered", 1, list_altered, TO(GET_LISTS)},
    {"list-forged", 1, list_forged, TO(GET_LISTS)},
    {"list-forged", 1, bundle_of_forged, TO(GET_BUNDLE)},
    {"list-gone", 1, list_gone, TO(GET_LISTS)},
    {"list-unknown", 1, list_unknown, TO(GET_LISTS)},
    {"logged-in-of", 1, logged_in_of, TO(OPAQUE_FINISH)}, /* whose else */
    {"links-forged", 1, links_forged, TO(GET_LINKS)},     /* NAME */
    {"push-list-of", 1, push_list_of, TO(BEGIN)}, /* NAME, which of them from 0 (the newest) */
    {"push-list-of", 2, push_list_of, TO(BEGIN)},
    {"push-envelopes", 0, push_envelopes, TO(BEGIN)},
    {"push-garbage", 1, push_garbage, TO(BEGIN)}, /* how many */
    {"push-for-ever", 0, push_for_ever, TO(PING)},
    {"push-closing", 1, push_closing, TO(BEGIN)}, /* reason */
    {"greet-closing", 1, push_closing, PUSHED(HELLO)},
    {"greet-envelope", 0, push_early, PUSHED(HELLO)},
    {"deliver-again", 1, deliver_again, PUSHED(DELIVER)},       /* how often */
    {"deliver-not", 0, deliver_not, PUSHED(DELIVER)},           /* those with a long text */
    {"deliver-reversed", 1, deliver_reversed, PUSHED(DELIVER)}, /* how many of these at a time */
    {"deliver-as", 1, deliver_as, PUSHED(DELIVER)},             /* number, or + and what to add */
    {"deliver-altered", 0, deliver_altered, PUSHED(DELIVER)},
    {"notices-old", 0, evil_notices_after, PUSHED(EPHEMERAL)},
    {"notices-after", 0, evil_notices_after, PUSHED(DELIVER)},
    {"notices-at-begin", 0, evil_notices_after, TO(BEGIN)},
    {"notice-again", 1, evil_notice_again, PUSHED(EPHEMERAL)}, /* how often */
    {"notice-altered", 0, evil_notice_altered, PUSHED(EPHEMERAL)},
    {"notice-delivered", 0, evil_notice_delivered, PUSHED(EPHEMERAL)},
    {"deliver-as-notice", 0, evil_passed_on, PUSHED(DELIVER)},
    {"push-invented", 2, evil_push_invented, TO(BEGIN)}, /* how many, from whom ("-": nobody) */
    {"push-invented-notices", 2, evil_push_invented_notices, TO(BEGIN)},
    {"push-rubbish", 2, evil_push_rubbish, TO(BEGIN)}, /* how many, bytes */
    {"push-news", 2, evil_push_news, TO(BEGIN)},       /* how many, of which type of push */
    {"push-rubbish-notices", 2, evil_push_rubbish_notices, TO(BEGIN)},
    {"submit-lost", 0, NULL, TO(SUBMIT)},
    {"submit-state", 1, submit_state, TO(SUBMIT)}, /* STATE */
    {"submit-devices", 0, submit_devices, TO(SUBMIT)},
    {"submit-nothing", 0, submit_nothing, TO(SUBMIT)},
    {"submit-list-of", 1, submit_list_of, TO(SUBMIT)},
    {"submit-list-this", 1, submit_list_this, TO(SUBMIT)}, /* the list in hexadecimal */
    {"submit-list-forged", 1, submit_list_forged, TO(SUBMIT)},
    {"submit-list-forged", 1, bundle_of_forged, TO(GET_BUNDLE)},
    {"error", 2, error, .answers = ANY}, /* TYPE, CODE */
    {"error-once", 2, error_once, .answers = ANY},
    {"another-kind", 1, another_kind, .answers = ANY},
    {"twice", 1, twice, .answers = ANY},
    {"unasked", 1, unasked, .answers = ANY},
    {"bytes", 2, bytes, .answers = ANY}, /* TYPE, in hexadecimal; "-": none at all */
    {"exchanged", 0, exchanged, .answers = ANY},
    {"signed-in-lease", 0, signed_in_lease, TO(SIGN_IN)},
    {"signed-in-acked", 1, signed_in_acked, TO(SIGN_IN)}, /* number */
    {"signed-in-version", 1, signed_in_version, TO(SIGN_IN)},
    {"keys-left", 1, keys_left, .answers = ANY}, /* number */
    {"hello-incarnation", 1, hello_incarnation, PUSHED(HELLO)},
    {"hello-clock", 1, hello_clock, PUSHED(HELLO)}, /* milliseconds since 1970 */
    {"hello-pin", 0, hello_pin, PUSHED(HELLO)},
    {"hello-id", 0, hello_id, PUSHED(HELLO)},
    {"hello-signature", 0, hello_signature, PUSHED(HELLO)},
};
const size_t evil_twist_count = sizeof evil_twists / sizeof evil_twists[0];
