/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three accounts with two devices each under a random schedule of messages, cuts, kills, old copies
 * and pauses, frames arriving in random order. At the end everybody has network, and every message
 * was shown exactly once at each device of its recipient, in the order of each sending device.
 * SOTTO_SEED=n runs one schedule, SOTTO_SEEDS=n so many (the first is always the same).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"

#define ACCOUNTS    3
#define PHONES      (ACCOUNTS * 2)
#define MESSAGES    64
#define SEEDS       24
#define ACTIONS     120
#define BASE_SEED   1000
#define SAVED_NEVER UINT32_MAX

static const char *const names[ACCOUNTS] = {"alice", "bob", "carol"};
static struct world w;

struct sent {
    struct said said;
    unsigned from, to; /* phone, account */
    char text[16];
    unsigned when; /* number of the action */
};

struct schedule {
    uint64_t dice;
    unsigned now;
    struct sent sent[MESSAGES];
    size_t count;
    /* Per phone: when the copy was made, and when it was put back; SAVED_NEVER. */
    uint32_t saved[PHONES], restored[PHONES];
    bool relay_saved;
};

static uint32_t roll(struct schedule *s, uint32_t below)
{
    s->dice ^= s->dice << 13;
    s->dice ^= s->dice >> 7;
    s->dice ^= s->dice << 17;
    return (uint32_t)(s->dice >> 32) % below;
}

static void say(struct schedule *s)
{
    struct sent *m = &s->sent[s->count];
    struct phone *p;

    if (s->count == MESSAGES)
        return;
    m->from = roll(s, PHONES);
    m->to = (m->from / 2 + 1 + roll(s, ACCOUNTS - 1)) % ACCOUNTS;
    m->when = s->now;
    p = w.phones[m->from];
    if (p->engine == NULL)
        return;
    snprintf(m->text, sizeof m->text, "message %zu", s->count++);
    rig_trace("%u: %s writes %s to %s", s->now, p->name, m->text, names[m->to]);
    m->said = phone_say(p, names[m->to], m->text, SOTTO_WAIT_STORED);
}

static void step(struct schedule *s, uint32_t most)
{
    for (uint32_t n = roll(s, most) + 1; n > 0 && world_step(&w); n--)
        ;
}

static void some_phone(struct schedule *s, bool rollbacks)
{
    unsigned at = roll(s, PHONES);
    struct phone *p = w.phones[at];

    switch (roll(s, rollbacks ? 8 : 6)) {
    case 0:
        rig_trace("%u: %s %s", s->now, p->name, p->engine == NULL ? "starts" : "is killed");
        if (p->engine == NULL)
            phone_start(p);
        else
            phone_kill(p);
        break;
    case 1:
        if (p->engine != NULL)
            phone_crash(p);
        break;
    case 2:
        if (p->engine != NULL)
            phone_cut(p);
        break;
    case 3:
        if (p->engine != NULL)
            phone_offline(p);
        break;
    case 4:
    case 5:
        if (p->engine != NULL)
            phone_online(p);
        break;
    case 6: /* one copy per phone, so that it stays clear what may be missing */
        if (s->saved[at] == SAVED_NEVER) {
            rig_trace("%u: a copy of %s is made", s->now, p->name);
            phone_save(p, "copy");
            s->saved[at] = s->now;
        }
        break;
    default:
        if (s->saved[at] != SAVED_NEVER && s->restored[at] == SAVED_NEVER) {
            if (p->engine == NULL)
                phone_start(p);
            rig_trace("%u: %s is as it was", s->now, p->name);
            phone_restore(p, "copy");
            s->restored[at] = s->now;
        }
    }
}

static void act(struct schedule *s, bool rollbacks)
{
    switch (roll(s, 10)) {
    case 0:
    case 1:
    case 2:
        say(s);
        break;
    case 3:
    case 4:
    case 5:
        step(s, 40);
        break;
    case 6:
    case 7:
        some_phone(s, rollbacks);
        break;
    case 8:
        world_pass(&w, roll(s, 3000));
        break;
    default:
        if (roll(s, 3) == 0) {
            rig_trace("%u: the relay is killed", s->now);
            relay_kill(&w);
        } else {
            step(s, 5);
        }
    }
}

static void everybody_back(void)
{
    for (unsigned i = 0; i < PHONES; i++) {
        if (w.phones[i]->engine == NULL)
            phone_start(w.phones[i]);
        phone_online(w.phones[i]);
    }
    world_pass(&w, 120000);
}

/* --- what has to be true --- */

static bool lost_with_the_copy(const struct schedule *s, const struct sent *m)
{
    return s->restored[m->from] != SAVED_NEVER && m->when >= s->saved[m->from] &&
           m->when <= s->restored[m->from];
}

static bool wrong(uint64_t seed, const struct phone *p, const char *text, const char *what)
{
    print_error("seed %llu: %s: %s: %s\n", (unsigned long long)seed, p->name, text, what);
    return false;
}

static bool shown_right(const struct schedule *s, uint64_t seed, const struct sent *m)
{
    bool right = true;

    for (unsigned i = m->to * 2; i < m->to * 2 + 2; i++) {
        const struct phone *p = w.phones[i];
        size_t n = phone_printed(p, m->text);
        bool again = s->restored[i] != SAVED_NEVER && m->when <= s->restored[i];

        if (n == 0 && !lost_with_the_copy(s, m))
            right = wrong(seed, p, m->text, "was not shown");
        if (n > 1 && !(again && n == 2))
            right = wrong(seed, p, m->text, "was shown more than once");
    }
    return right;
}

static bool states_right(const struct schedule *s, uint64_t seed, const struct sent *m)
{
    struct phone *from = w.phones[m->from], *other = w.phones[m->from ^ 1];
    bool right = true;

    if (lost_with_the_copy(s, m))
        return true;
    if (s->restored[m->from] == SAVED_NEVER && phone_state(from, &m->said) != SOTTO_MESSAGE_READ)
        right = wrong(seed, from, m->text, "is not known to be read");
    if (s->restored[m->from ^ 1] == SAVED_NEVER && phone_state(other, &m->said) == 0)
        right = wrong(seed, other, m->text, "did not come to the sender's other device");
    return right;
}

static const struct sent *sent_of(const struct schedule *s, const char *text)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->sent[i].text, text) == 0)
            return &s->sent[i];
    return NULL;
}

static bool order_right(const struct schedule *s, uint64_t seed, unsigned at)
{
    const struct phone *p = w.phones[at];
    const struct sent *last[PHONES] = {NULL};
    bool right = true;

    for (size_t i = 0; i < p->printed_count; i++) {
        const struct sent *m = sent_of(s, p->printed[i].text);

        if (m == NULL) {
            right = wrong(seed, p, p->printed[i].text, "was never written");
            continue;
        }
        if (s->restored[at] != SAVED_NEVER || s->restored[m->from] != SAVED_NEVER)
            continue;
        if (last[m->from] != NULL && last[m->from] >= m)
            right = wrong(seed, p, m->text, "is out of order");
        if (p->printed[i].gap)
            right = wrong(seed, p, m->text, "claims a gap");
        last[m->from] = m;
    }
    return right;
}

static bool run(uint64_t seed, bool rollbacks)
{
    struct schedule *s = calloc(1, sizeof *s);
    bool right = true;

    assert_non_null(s);
    memset(s->saved, 0xff, sizeof s->saved);
    memset(s->restored, 0xff, sizeof s->restored);
    s->dice = seed * 0x9e3779b97f4a7c15ull + 1;
    w.dice = 0;
    world_restore(&w, "base");
    world_settle(&w);
    w.dice = s->dice ^ 0x5555;
    for (s->now = 1; s->now <= ACTIONS; s->now++)
        act(s, rollbacks);
    everybody_back();
    for (size_t i = 0; i < s->count; i++)
        right = shown_right(s, seed, &s->sent[i]) && states_right(s, seed, &s->sent[i]) && right;
    for (unsigned i = 0; i < PHONES; i++)
        right = order_right(s, seed, i) && right;
    free(s);
    return right;
}

static void run_all(bool rollbacks)
{
    const char *one = getenv("SOTTO_SEED"), *many = getenv("SOTTO_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : BASE_SEED;
    uint64_t count = one != NULL ? 1 : many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    unsigned bad = 0;

    printf("# seeds %llu to %llu\n", (unsigned long long)first,
           (unsigned long long)(first + count - 1));
    for (uint64_t seed = first; seed < first + count; seed++)
        bad += !run(seed, rollbacks);
    assert_int_equal(bad, 0);
}

static void any_schedule_of_cuts_and_kills(void **state)
{
    run_all(false);
}

static void any_schedule_with_old_copies(void **state)
{
    run_all(true);
}

/* Everybody knows everybody, and has talked. */
static int setup(void **state)
{
    world_make(&w);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char second[16];

        snprintf(second, sizeof second, "%s-2", names[i]);
        phone_link(phone_join(&w, names[i]), second);
    }
    for (unsigned i = 0; i < ACCOUNTS; i++)
        for (unsigned j = 0; j < ACCOUNTS; j++)
            if (i != j)
                (void)phone_say(w.phones[i * 2], names[j], "hello", SOTTO_WAIT_STORED);
    world_settle(&w);
    for (unsigned i = 0; i < PHONES; i++)
        assert_int_equal(phone_printed(w.phones[i], "hello"), ACCOUNTS - 1);
    world_save(&w, "base");
    return 0;
}

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_schedule_of_cuts_and_kills),
        cmocka_unit_test(any_schedule_with_old_copies),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
