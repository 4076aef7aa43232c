/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "disk.h"

#define DAY_MS       (24 * 3600 * 1000ll)
#define SETTLE_STEPS 60
#define SETTLE_MS    30000
#define SETTLE_HOURS 12 /* a stranger is asked for a few envelopes in an hour */

const char *const sim_names[SIM_ACCOUNTS] = {"alice", "bob", "carol"};

/* --- the disk below the rig --- */

/* Of phones, and of the relay, whose death may have been arranged long before. */
static enum sim_loss loss_of_kills, loss_of_relay;
static const char *relay_path;

static void copy_of(const char *from, const char *to, const char *name, bool crash)
{
    bool relay = relay_path != NULL && strcmp(from, relay_path) == 0;

    sim_disk_copy(from, to, name, !crash ? SIM_KILLED : relay ? loss_of_relay : loss_of_kills);
}

const struct rig_disk sim_rig_disk = {
    .vfs = "sim",
    .copy = copy_of,
    .drop = sim_disk_drop,
    .dead = sim_disk_dead,
    .unsynced = sim_disk_unsynced,
};

/* --- faults --- */

static const char *const fault_names[] = {"cuts",     "kills",   "power",    "store",   "full",
                                          "old-copy", "restore", "quota",    "devices", "clocks",
                                          "repeats",  "late",    "strangers"};

void sim_faults_print(unsigned faults, char ret[256])
{
    size_t at = 0;

    ret[0] = '\0';
    for (size_t i = 0; i < sizeof fault_names / sizeof fault_names[0]; i++)
        if ((faults >> i & 1) != 0)
            at += (size_t)snprintf(ret + at, 256 - at, "%s%s", at > 0 ? "," : "", fault_names[i]);
}

static uint64_t stir(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* About a third of them, so that what one does to another is seen, and what each does alone. The
 * power does nothing alone. */
unsigned sim_faults_of(uint64_t seed)
{
    uint64_t a = stir(seed * 3 + 1), b = stir(seed * 3 + 2);
    unsigned faults = (unsigned)((a & b) | (a >> 13 & b >> 26 & a >> 39)) & SIM_ALL;

    if ((faults & SIM_POWER) != 0)
        faults |= SIM_KILLS;
    return faults | SIM_CUTS | SIM_LATE;
}

static uint32_t roll(struct sim_run *s, uint32_t below)
{
    s->dice ^= s->dice << 13;
    s->dice ^= s->dice >> 7;
    s->dice ^= s->dice << 17;
    return (uint32_t)(s->dice >> 32) % below;
}

static bool may(const struct sim_run *s, unsigned f)
{
    return (s->faults & f) != 0;
}

/* Before somebody is killed. */
static void choose_loss(struct sim_run *s, enum sim_loss *ret)
{
    *ret = may(s, SIM_POWER) && roll(s, 2) == 0 ? SIM_POWER_CUT : SIM_KILLED;
}

/* --- what people do --- */

static void say_as(struct sim_run *s, unsigned from, unsigned to)
{
    struct sim_sent *m = &s->sent[s->count];
    struct phone *p = s->w->phones[from];
    unsigned deaths = p->deaths;

    if (s->count == SIM_MESSAGES || p->engine == NULL || !sotto_engine_has_account(p->engine))
        return;
    *m = (struct sim_sent){.from = from, .to = to, .when = s->now};
    snprintf(m->text, sizeof m->text, "message %zu", s->count++);
    rig_trace("%u: %s writes %s to %s", s->now, p->name, m->text, sim_names[to]);
    m->said = phone_say(p, sim_names[to], m->text, SOTTO_WAIT_STORED);
    if (p->deaths != deaths) /* as whoever called does: the same once more */
        m->said.request = phone_say_again(p, &m->said, sim_names[to], m->text, SOTTO_WAIT_STORED);
    m->refused =
        phone_result(p, m->said.request) > SOTTO_RESULT_OK && phone_state(p, &m->said) == 0;
}

static void say(struct sim_run *s)
{
    unsigned from = roll(s, (uint32_t)s->w->phone_count);

    say_as(s, from, (s->account[from] + 1 + roll(s, SIM_ACCOUNTS - 1)) % SIM_ACCOUNTS);
}

static void step(struct sim_run *s, uint32_t most)
{
    for (uint32_t n = roll(s, most) + 1; n > 0 && world_step(s->w); n--)
        s->frames++;
}

/* A process that is told of success by an answer that came. */
static void note_stored(struct sim_run *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->sent[i].stored &&
            phone_result(s->w->phones[s->sent[i].from], s->sent[i].said.request) == SOTTO_RESULT_OK)
            s->sent[i].stored = true;
}

/* --- what happens to them --- */

static void start_or_kill(struct sim_run *s, struct phone *p)
{
    rig_trace("%u: %s %s", s->now, p->name, p->engine == NULL ? "starts" : "is killed");
    choose_loss(s, &loss_of_kills);
    if (p->engine == NULL)
        phone_start(p);
    else
        phone_kill(p);
}

/* The one that began last; zeros: none. */
static void lease_of(struct phone *p, uint8_t ret[SOTTO_LEASE])
{
    SOTTO_AUTO_BUF now = SOTTO_BUF(64 * SOTTO_LEASE);

    memset(ret, 0, SOTTO_LEASE);
    if (sotto_setting_get(p->profile, "lease.now", &now) == SOTTO_OK && now.n >= SOTTO_LEASE)
        memcpy(ret, now.p + now.n - SOTTO_LEASE, SOTTO_LEASE);
}

/* One copy per phone, so that it stays clear what may be missing. */
static void old_copy(struct sim_run *s, unsigned at)
{
    struct phone *p = s->w->phones[at];
    uint8_t lease[SOTTO_LEASE];

    if (!may(s, SIM_OLD_COPY) || at >= SIM_PHONES)
        return;
    if (s->saved[at] == SIM_NEVER) {
        rig_trace("%u: a copy of %s is made", s->now, p->name);
        if (p->engine != NULL)
            lease_of(p, s->lease[at]);
        s->boots[at] = s->w->relay_boots;
        phone_save(p, "copy");
        s->saved[at] = s->now;
    } else if (s->restored[at] == SIM_NEVER && roll(s, 2) == 0) {
        if (p->engine == NULL)
            phone_start(p);
        rig_trace("%u: %s is as it was", s->now, p->name);
        lease_of(p, lease);
        s->same_lease[at] = memcmp(lease, s->lease[at], sizeof lease) == 0;
        phone_restore(p, "copy");
        memcpy(s->lost_for[at], s->no_room[at], sizeof s->lost_for[at]);
        s->restored[at] = s->now;
    }
}

static void some_phone(struct sim_run *s)
{
    unsigned at = roll(s, (uint32_t)s->w->phone_count);
    struct phone *p = s->w->phones[at];

    switch (roll(s, 8)) {
    case 0:
        if (may(s, SIM_KILLS))
            start_or_kill(s, p);
        break;
    case 1:
        choose_loss(s, &loss_of_kills);
        if (may(s, SIM_KILLS) && p->engine != NULL)
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
    default:
        old_copy(s, at);
    }
}

static void old_relay(struct sim_run *s)
{
    if (s->relay_saved == SIM_NEVER) {
        rig_trace("%u: a backup of the relay is made", s->now);
        relay_save(s->w, "backup");
        s->relay_saved = s->now;
    } else if (s->relay_restored == SIM_NEVER && roll(s, 3) == 0) {
        rig_trace("%u: the relay is restored", s->now);
        relay_restore(s->w, "backup", true);
        s->relay_restored = s->now;
    }
}

/* When people have just read what the disk is to have. */
static void kill_relay_later(struct sim_run *s)
{
    rig_trace("%u: the relay is going to be killed after a sync", s->now);
    if (may(s, SIM_POWER))
        loss_of_relay = SIM_POWER_CUT;
    s->w->kill_after_sync = 1 + roll(s, 12);
}

static void kill_relay(struct sim_run *s)
{
    choose_loss(s, &loss_of_relay);
    if (roll(s, 3) > 0) {
        kill_relay_later(s);
        return;
    }
    rig_trace("%u: the relay is killed%s", s->now,
              loss_of_relay == SIM_POWER_CUT ? " by a power cut" : "");
    relay_kill(s->w);
}

static void some_relay(struct sim_run *s)
{
    if (may(s, SIM_OLD_RELAY) && roll(s, 3) == 0) {
        old_relay(s);
    } else if (may(s, SIM_KILLS) && roll(s, 3) == 0) {
        kill_relay(s);
    } else if (may(s, SIM_KILLS) && roll(s, 8) == 0) {
        rig_trace("%u: the relay is stopped in order", s->now);
        relay_stop(s->w);
        relay_start(s->w);
    } else {
        step(s, 5);
    }
}

static void some_disk(struct sim_run *s)
{
    unsigned at = roll(s, (uint32_t)s->w->phone_count * 2);
    const struct phone *p = at < s->w->phone_count ? s->w->phones[at] : NULL;
    const char *folder = p != NULL ? p->path : s->w->relay_path;

    if (p != NULL && p->engine == NULL)
        return;
    if (may(s, SIM_STORE) && (!may(s, SIM_FULL) || roll(s, 2) == 0)) {
        enum sim_loss *loss = p != NULL ? &loss_of_kills : &loss_of_relay;

        choose_loss(s, loss);
        rig_trace("%u: %s is going to die", s->now, p != NULL ? p->name : "the relay");
        sim_disk_die(folder, roll(s, 30), *loss);
    } else if (may(s, SIM_FULL)) {
        rig_trace("%u: the disk of %s is full", s->now, p != NULL ? p->name : "the relay");
        sim_disk_fill(folder, 1 + roll(s, 12));
    }
}

static void some_clock(struct sim_run *s)
{
    unsigned at = roll(s, (uint32_t)s->w->phone_count + 1);
    int64_t by = (int64_t)roll(s, 4 * 24 * 3600) * 1000 - 2 * DAY_MS;

    if (at < s->w->phone_count) {
        s->w->phones[at]->env.now += (uint64_t)by;
        s->skew[at] += by;
    } else {
        s->w->env.now += (uint64_t)by;
        s->relay_skew += by;
    }
}

/* --- devices come and go --- */

static void add_device(struct sim_run *s)
{
    unsigned account = roll(s, SIM_ACCOUNTS);
    struct phone *p;

    if (s->added != 0)
        return;
    s->added = (unsigned)s->w->phone_count;
    s->account[s->added] = account;
    p = phone_make(s->w, "third");
    rig_trace("%u: a third device of %s", s->now, sim_names[account]);
    s->login = phone_login(p, sim_names[account], PASSPHRASE);
}

static void approve_device(struct sim_run *s)
{
    struct phone *first = s->w->phones[s->account[s->added] * 2];
    const struct sotto_event *e;

    if (s->added == 0 || s->asked || first->engine == NULL)
        return;
    e = phone_event(s->w->phones[s->added], SOTTO_EVENT_LINK, s->login);
    if (e == NULL)
        return;
    (void)phone_call(first, SOTTO_OP_APPROVE, sotto_event_link(e)->code, NULL);
    s->asked = true;
}

static void revoke_device(struct sim_run *s)
{
    unsigned account = roll(s, SIM_ACCOUNTS), at = account * 2 + 1;
    struct phone *first = s->w->phones[account * 2];
    char id[17];

    for (unsigned i = 0; i < SIM_PHONES; i++)
        if (s->revoked[i])
            return;
    if (first->engine == NULL || s->w->phones[at]->engine == NULL)
        return;
    snprintf(id, sizeof id, "%016llx", (unsigned long long)phone_device(s->w->phones[at]));
    rig_trace("%u: %s revokes its second device", s->now, first->name);
    (void)phone_call(first, SOTTO_OP_REVOKE, id, NULL);
    s->revoked[at] = true;
}

static void some_device(struct sim_run *s)
{
    switch (roll(s, 6)) {
    case 0:
        add_device(s);
        break;
    case 1:
        revoke_device(s);
        break;
    default:
        approve_device(s);
    }
}

/* --- what is seen on the way: boxes without room, and requests that come twice --- */

static void note_room(struct sim_run *s, const struct phone *p, const struct sotto_answer *a)
{
    for (size_t i = 0; i < a->u.submitted.count; i++)
        for (unsigned at = 0; at < SIM_PHONES; at++) {
            enum sotto_parcel_state state = a->u.submitted.results[i].state;

            if (s->device[at] == a->u.submitted.results[i].device &&
                state != SOTTO_PARCEL_LANE_CLOSED)
                s->no_room[p->number][at] =
                    state == SOTTO_PARCEL_FULL || state == SOTTO_PARCEL_QUOTA;
        }
}

/* The phone knows of one request, so it gets one answer. */
static bool is_second(struct sim_run *s, const struct phone *p, uint32_t id)
{
    for (size_t i = 0; i < s->twice_count; i++) {
        if (s->twice[i].id != id || s->twice[i].phone != p->number)
            continue;
        if (!s->twice[i].answered) {
            s->twice[i].answered = true;
            return false;
        }
        s->twice[i] = s->twice[--s->twice_count];
        return true;
    }
    return false;
}

static bool pass_answer(struct sim_run *s, const struct phone *p, const struct sotto_buf *body)
{
    struct sotto_answer *a = NULL;
    bool pass = true;

    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    if (a->type == SOTTO_ANS_SUBMITTED)
        note_room(s, p, a);
    if (may(s, SIM_REPEATS) && a->id != 0 && a->type < SOTTO_ANS_DELIVER)
        pass = !is_second(s, p, a->id);
    sotto_answer_free(a);
    return pass;
}

static bool carry(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct sim_run *s = ctx;
    struct sotto_request *q = NULL;

    if (way == DOWN)
        return pass_answer(s, p, body);
    if (!may(s, SIM_REPEATS))
        return true;
    if (s->twice_count == sizeof s->twice / sizeof s->twice[0])
        s->twice_count = 0; /* of connections that are gone */
    if (roll(s, 4) != 0 || sotto_request_decode(body->p, body->n, &q) != SOTTO_OK)
        return true;
    if (q->type == SOTTO_REQ_ACK || q->type == SOTTO_REQ_SET_TOKENS ||
        q->type == SOTTO_REQ_PUT_PREKEYS || q->type == SOTTO_REQ_GET_BUNDLE ||
        (q->type == SOTTO_REQ_SUBMIT && !q->u.submit.more)) {
        s->twice[s->twice_count].id = q->id;
        s->twice[s->twice_count].answered = false;
        s->twice[s->twice_count++].phone = p->number;
        sotto_relay_frame(p->conn, body->p, body->n);
    }
    sotto_request_free(q);
    return true;
}

/* --- a run --- */

static void act(struct sim_run *s)
{
    switch (roll(s, 14)) {
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
        some_phone(s);
        break;
    case 8:
        world_pass(s->w, roll(s, 3000));
        break;
    case 9:
        if (may(s, SIM_LATE))
            world_stall(s->w, 20 + roll(s, 200));
        step(s, 10);
        break;
    case 10:
        some_relay(s);
        break;
    case 11:
        some_disk(s);
        step(s, 30);
        break;
    case 12:
        if (may(s, SIM_DEVICES))
            some_device(s);
        step(s, 10);
        break;
    default:
        if (may(s, SIM_CLOCKS))
            some_clock(s);
        step(s, 10);
    }
}

static void everything_right_again(struct sim_run *s)
{
    sim_disk_calm();
    s->w->env.now -= (uint64_t)s->relay_skew;
    for (unsigned i = 0; i < s->w->phone_count; i++) {
        s->w->phones[i]->env.now -= (uint64_t)s->skew[i];
        if (s->w->phones[i]->engine == NULL)
            phone_start(s->w->phones[i]);
        phone_online(s->w->phones[i]);
    }
    s->w->carry = NULL;
    for (unsigned i = 0; i < SETTLE_STEPS && (i == 0 || !sim_is_settled(s)); i++) {
        world_pass(s->w, SETTLE_MS);
        approve_device(s);
        note_stored(s);
    }
    for (unsigned i = 0; may(s, SIM_STRANGERS) && i < SETTLE_HOURS && !sim_is_settled(s); i++)
        world_pass(s->w, 3600 * 1000);
    world_pass(s->w, SETTLE_MS);
}

/* Everybody writes to everybody at the same time. */
static void all_at_once(struct sim_run *s)
{
    for (unsigned i = 0; i < SIM_ACCOUNTS; i++)
        for (unsigned j = 0; j < SIM_ACCOUNTS; j++)
            if (i != j)
                say_as(s, i * 2, j);
}

bool sim_run(struct sim_run *s, struct world *w, uint64_t seed, unsigned faults)
{
    bool right = true;

    memset(s, 0, sizeof *s);
    memset(s->saved, 0xff, sizeof s->saved);
    memset(s->restored, 0xff, sizeof s->restored);
    s->relay_saved = s->relay_restored = SIM_NEVER;
    s->w = w;
    s->seed = seed;
    s->faults = faults;
    s->dice = stir(seed) | 1;
    for (unsigned i = 0; i < SIM_PHONES; i++) {
        s->account[i] = i / 2;
        s->device[i] = phone_device(w->phones[i]);
    }
    sim_disk_seed(seed);
    relay_path = w->relay_path;
    w->dice = s->dice ^ 0x5555;
    w->slow_sync = true;
    if (may(s, SIM_REPEATS | SIM_QUOTA)) {
        w->carry = carry;
        w->carry_ctx = s;
    }
    if (may(s, SIM_KILLS)) {
        choose_loss(s, &loss_of_relay);
        kill_relay_later(s);
    }
    if (may(s, SIM_QUOTA)) {
        w->config.quota_messages = 24;
        world_configure(w);
    }
    if (may(s, SIM_STRANGERS))
        all_at_once(s);
    for (s->now = 1; s->now <= SIM_ACTIONS; s->now++) {
        act(s);
        note_stored(s);
        if (s->now % 16 == 0)
            right = sim_states_true(s) && right;
    }
    right = sim_states_true(s) && right;
    loss_of_kills = loss_of_relay = SIM_KILLED;
    everything_right_again(s);
    return sim_check(s) && right;
}

/* --- before it --- */

void sim_base(struct world *w, const struct rig_disk *disk)
{
    world_make_on(w, disk);
    for (unsigned i = 0; i < SIM_ACCOUNTS; i++) {
        char second[16];

        snprintf(second, sizeof second, "%s-2", sim_names[i]);
        phone_link(phone_join(w, sim_names[i]), second);
    }
    world_settle(w);
}

void sim_base_talk(struct world *w)
{
    for (unsigned i = 0; i < SIM_ACCOUNTS; i++)
        for (unsigned j = 0; j < SIM_ACCOUNTS; j++)
            if (i != j)
                (void)phone_say(w->phones[i * 2], sim_names[j], "hello", SOTTO_WAIT_STORED);
    world_settle(w);
    for (unsigned i = 0; i < SIM_PHONES; i++)
        assert_int_equal(phone_printed(w->phones[i], "hello"), SIM_ACCOUNTS - 1);
}
