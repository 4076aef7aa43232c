/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be true, while a run goes on and at its end. */
#include <stdio.h>
#include <string.h>

#include "schedule.h"

bool sim_wrong(const struct sim_run *s, const char *who, const char *text, const char *what)
{
    printf("  seed %llu: %s: %s: %s\n", (unsigned long long)s->seed, who, text, what);
    return false;
}

static bool ever(uint32_t when)
{
    return when != SIM_NEVER;
}

static const struct sim_sent *sent_of(const struct sim_run *s, const char *text)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->sent[i].text, text) == 0)
            return &s->sent[i];
    return NULL;
}

/* It was written on a profile that was put back to a copy from before. */
static bool lost_with_the_copy(const struct sim_run *s, const struct sim_sent *m)
{
    return ever(s->restored[m->from]) && m->when >= s->saved[m->from] &&
           m->when <= s->restored[m->from];
}

static size_t shown(const struct phone *p, const char *text, size_t *ret_unsure)
{
    size_t n = 0;

    *ret_unsure = 0;
    for (size_t i = 0; i < p->printed_count; i++)
        if (strcmp(p->printed[i].text, text) == 0) {
            n++;
            *ret_unsure += p->printed[i].unsure;
        }
    return n;
}

/*
 * The copy that nobody can notice: made under the lease that was the last one, and the relay, which
 * keeps on no disk what was acknowledged on it, has been started anew. docs/security.md says so.
 */
static bool is_unnoticed(const struct sim_run *s, unsigned at)
{
    return ever(s->restored[at]) && s->same_lease[at] && s->w->relay_boots > s->boots[at] &&
           phone_notices(s->w->phones[at], "older copy") == 0;
}

/*
 * Of its recipient's devices one has it, which is what "stored" says, or had it until it was put
 * back itself; the box of this one had no room, and the envelope that waited for it was on its
 * sender's disk alone, as was the note of it. With the disk put back both are gone, and no one else
 * can know: the relay keeps nothing of what it refuses, the recipient's devices do not compare what
 * they have, and a message that was never there leaves no gap, as its number is given out again. So
 * what is true is told: where it was written, that what this device sent may be missing on devices
 * of others.
 */
static bool waited_for_room(const struct sim_run *s, const struct sim_sent *m, unsigned at)
{
    struct phone *from = s->w->phones[m->from];
    unsigned other = at ^ 1;
    size_t unsure;

    return at < SIM_PHONES && s->lost_for[m->from][at] && phone_state(from, &m->said) == 0 &&
           (s->revoked[other] || ever(s->restored[other]) ||
            shown(s->w->phones[other], m->text, &unsure) > 0) &&
           (phone_notices(from, "had not reached every device") > 0 || is_unnoticed(s, m->from));
}

/* Nobody has it any more who could send it again, or would. */
static bool may_be_missing(const struct sim_run *s, const struct sim_sent *m, unsigned at)
{
    if (s->revoked[m->from] || m->refused)
        return true;
    if (!lost_with_the_copy(s, m))
        return false;
    return !m->stored || ever(s->restored[at]) || ever(s->relay_restored) ||
           waited_for_room(s, m, at);
}

/* His box had no room for it, and in the end its sender gave up, and said so. */
static bool was_told(const struct sim_run *s, const struct sim_sent *m)
{
    return (s->faults & SIM_QUOTA) != 0 &&
           phone_state(s->w->phones[m->from], &m->said) == SOTTO_MESSAGE_FAILED;
}

static bool shown_right(const struct sim_run *s, const struct sim_sent *m, unsigned at)
{
    const struct phone *p = s->w->phones[at];
    bool original = at < SIM_PHONES && !s->revoked[at];
    size_t unsure, n = shown(p, m->text, &unsure), most = 1 + unsure;

    if (ever(s->restored[at]) && m->when <= s->restored[at])
        most++;
    if (original && n == 0 && !may_be_missing(s, m, at) && !was_told(s, m))
        return sim_wrong(s, p->name, m->text,
                         m->stored ? "was not shown; its sender was told that it is stored"
                                   : "was not shown");
    if (n > most)
        return sim_wrong(s, p->name, m->text, "was shown more than once");
    return true;
}

/*
 * Each of its recipient's devices was put back after it was written: that it came may have been
 * told before, and that it was read may have been lost with the disks. "Delivered" is true.
 */
static bool may_stay_delivered(const struct sim_run *s, const struct sim_sent *m)
{
    bool any = false;

    for (unsigned at = 0; at < s->w->phone_count; at++) {
        if (s->account[at] != m->to || s->revoked[at])
            continue;
        if (!ever(s->restored[at]) || s->restored[at] < m->when)
            return false;
        any = true;
    }
    return any;
}

static bool states_right(const struct sim_run *s, const struct sim_sent *m)
{
    char text[32];
    struct phone *from = s->w->phones[m->from];
    uint32_t state, least = SOTTO_MESSAGE_READ;

    if (may_stay_delivered(s, m))
        least = SOTTO_MESSAGE_DELIVERED;
    /* Nobody owes receipts to somebody whom he has not accepted. */
    if ((s->faults & SIM_STRANGERS) != 0)
        least = SOTTO_MESSAGE_STORED;

    if (ever(s->restored[m->from]) || s->revoked[m->from] || m->refused)
        return true;
    state = phone_state(from, &m->said);
    if (state >= least && state != SOTTO_MESSAGE_FAILED)
        return true;
    snprintf(text, sizeof text, "is in state %u", state);
    return sim_wrong(s, from->name, m->text, text);
}

/* What somebody writes comes to his other devices as well. */
static bool other_device_right(const struct sim_run *s, const struct sim_sent *m, unsigned at)
{
    struct phone *p = s->w->phones[at];

    if (at == m->from || at >= SIM_PHONES || s->revoked[at] || ever(s->restored[at]) ||
        s->revoked[m->from] || m->refused || lost_with_the_copy(s, m) ||
        phone_state(p, &m->said) != 0)
        return true;
    return sim_wrong(s, p->name, m->text, "did not come to the sender's other device");
}

/*
 * After something was put back, what was lost is asked for again and comes late; but the gap was
 * shown before. The first one that ever came from a device shows none: it may be the first.
 */
static bool may_be_late(const struct sim_run *s, unsigned at, const struct sim_sent *m)
{
    const struct phone *p = s->w->phones[at];
    bool any = false;

    if (ever(s->restored[at]) || ever(s->restored[m->from]))
        return true;
    if (!ever(s->relay_restored))
        return false;
    for (size_t i = 0; i < p->printed_count; i++) {
        const struct sim_sent *other = sent_of(s, p->printed[i].text);

        if (other == m)
            return false;
        if (other == NULL || other->from != m->from)
            continue;
        if (other > m && (p->printed[i].gap || !any))
            return true;
        any = true;
    }
    return false;
}

static bool printed_right(const struct sim_run *s, unsigned at, size_t i,
                          const struct sim_sent **last)
{
    const struct phone *p = s->w->phones[at];
    const struct sim_sent *m = sent_of(s, p->printed[i].text);
    bool right = true;

    if (m == NULL)
        return strcmp(p->printed[i].text, "hello") == 0 ||
               sim_wrong(s, p->name, p->printed[i].text, "was never written");
    if (last[m->from] != NULL && last[m->from] > m && !may_be_late(s, at, m))
        right = sim_wrong(s, p->name, m->text, "is out of order");
    if (p->printed[i].gap && at < SIM_PHONES && !ever(s->relay_restored) &&
        !ever(s->restored[at]) && !ever(s->restored[m->from]))
        right = sim_wrong(s, p->name, m->text, "claims a gap");
    last[m->from] = m;
    return right;
}

static bool order_right(const struct sim_run *s, unsigned at)
{
    const struct sim_sent *last[PHONES_MAX] = {NULL};
    bool right = true;

    for (size_t i = 0; i < s->w->phones[at]->printed_count; i++)
        right = printed_right(s, at, i, last) && right;
    return right;
}

/* What does not open is put aside and asked for again; nobody may need that without a reason. */
static bool quarantine_right(const struct sim_run *s)
{
    static const unsigned reasons = SIM_OLD_COPY | SIM_OLD_RELAY | SIM_DEVICES | SIM_CLOCKS;
    bool right = true;

    for (unsigned at = 0; (s->faults & reasons) == 0 && at < s->w->phone_count; at++)
        if (phone_quarantined(s->w->phones[at]) > 0)
            right = sim_wrong(s, s->w->phones[at]->name, "an envelope", "did not open");
    return right;
}

bool sim_check(struct sim_run *s)
{
    bool right = quarantine_right(s);

    for (size_t i = 0; i < s->count; i++) {
        const struct sim_sent *m = &s->sent[i];

        for (unsigned at = 0; at < s->w->phone_count; at++)
            if (s->account[at] == m->to)
                right = shown_right(s, m, at) && right;
            else if (s->account[at] == s->account[m->from])
                right = other_device_right(s, m, at) && right;
        right = states_right(s, m) && right;
    }
    for (unsigned at = 0; at < s->w->phone_count; at++)
        right = order_right(s, at) && right;
    return right;
}

/* A state is backed by what happened: read is shown somewhere, delivered lies in some profile. */
static bool state_true(struct sim_run *s, const struct sim_sent *m)
{
    struct phone *from = s->w->phones[m->from];
    size_t n = 0, unsure;
    uint32_t state;
    struct row row;

    if (from->engine == NULL)
        return true;
    state = phone_state(from, &m->said);
    if (state != SOTTO_MESSAGE_DELIVERED && state != SOTTO_MESSAGE_READ)
        return true;
    for (unsigned at = 0; at < s->w->phone_count; at++) {
        struct phone *p = s->w->phones[at];

        if (s->account[at] != m->to)
            continue;
        n += shown(p, m->text, &unsure);
        if (p->engine == NULL || ever(s->restored[at]) || s->revoked[at] ||
            phone_row(p, sim_names[s->account[m->from]], m->text, &row))
            n += state == SOTTO_MESSAGE_DELIVERED;
    }
    if (n == 0)
        return sim_wrong(s, from->name, m->text, "is said to have reached somebody and has not");
    return true;
}

bool sim_states_true(struct sim_run *s)
{
    bool right = true;

    for (size_t i = 0; i < s->count; i++)
        right = state_true(s, &s->sent[i]) && right;
    return right;
}

bool sim_is_settled(struct sim_run *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct sim_sent *m = &s->sent[i];

        for (unsigned at = m->to * 2; at < m->to * 2 + 2; at++) {
            size_t unsure;

            if (!s->revoked[at] && !may_be_missing(s, m, at) &&
                shown(s->w->phones[at], m->text, &unsure) == 0)
                return false;
        }
        if (!ever(s->restored[m->from]) && !s->revoked[m->from] && !m->refused &&
            (s->faults & SIM_STRANGERS) == 0 &&
            phone_state(s->w->phones[m->from], &m->said) != SOTTO_MESSAGE_READ)
            return false;
    }
    return true;
}
