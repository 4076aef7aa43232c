/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole relay core with its store on a disk in memory: three devices, people who come and go,
 * their operator (relay_guest.h) and a stranger do what the input says, frames made of any bytes
 * among it, while connections break and the relay loses power in the middle of what it writes. What
 * has to be true is what the simulation asks: an envelope that was answered with "stored" is
 * delivered, under one number, in the order of its sender; after a refusal nothing of that lane is
 * taken.
 *
 * Input: one byte that names the step, then what the step reads.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sim/disk.h"
#include "crypto/kdf.h"
#include "relay_guest.h"
#include "relay_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEVICES  3
#define MAX_SENT 256
#define STEPS    400
#define MAGIC    "fuzz"
#define DAY_MS   (24 * 3600 * 1000ull)

struct sent {
    unsigned from, to, connection;
    uint32_t id, lane;
    bool stored, refused, seen;
    uint64_t seq, when;
};

struct party {
    struct dev dev;
    struct client c;
    bool there;
    uint32_t lane;
    uint64_t last_seq, acked; /* delivered; committed by the device */
    unsigned connection;
};

struct base { /* as every input finds it */
    struct rig rig;
    struct party parties[DEVICES];
};

static struct base base;
static struct rig rig;
static struct party parties[DEVICES];
static struct client stranger;
static bool stranger_there;
static struct sent sent[MAX_SENT];
static size_t sent_count;
static unsigned connections, folders;
static char folder[64];

static const char *const names[DEVICES] = {"alice", "bob", "carol"};

/* --- the relay's life --- */

static void stop(void)
{
    while (rig.clients != NULL) {
        rig.clients->conn = NULL;
        sotto_buf_free(&rig.clients->in);
        rig.clients = rig.clients->next;
    }
    sotto_relay_free(rig.relay);
    sotto_rs_close(rig.store);
    rig.relay = NULL;
    rig.store = NULL;
    stranger_there = false;
    guest_forget();
    for (unsigned i = 0; i < DEVICES; i++)
        parties[i].there = false;
}

static void start(void)
{
    char why[512];

    snprintf(rig.path, sizeof rig.path, "%s/relay.db", folder);
    CHECK(sotto_rs_open(rig.path, false, "sim", &rig.store, why, sizeof why) == 0);
    CHECK(sotto_relay_new(&rig.env.env, rig.store, &rig.config, &rig.relay) == 0);
}

static void crash(enum sim_loss loss)
{
    char fresh[64];

    snprintf(fresh, sizeof fresh, "fuzz-%u", ++folders);
    sim_disk_calm();
    sim_disk_copy(folder, fresh, "relay.db", loss);
    stop();
    sim_disk_drop(folder);
    snprintf(folder, sizeof folder, "%s", fresh);
    rig.dead = false;
    start();
}

static void set_tokens(struct party *p, unsigned number)
{
    struct sotto_request q = {.type = SOTTO_REQ_SET_TOKENS};
    uint8_t token[SOTTO_TOKEN];

    memset(token, (int)number + 1, sizeof token);
    q.u.set_tokens.add_count = 1;
    sotto_sha256(token, sizeof token, q.u.set_tokens.add[0]);
    CHECK(client_try(&p->c, &q) == 0);
}

static void make_base(void)
{
    sim_disk_init();
    rig_make_on(&rig, "sim");
    (void)rmdir(rig.dir.path); /* nothing of it is on the real disk */
    for (unsigned i = 0; i < DEVICES; i++) {
        struct prekey_page page;
        struct sotto_request q;

        dev_join(&rig, &parties[i].dev, &parties[i].c, names[i]);
        q = dev_prekeys(&rig, &parties[i].dev, &page, 4);
        sotto_answer_free(client_ask(&parties[i].c, &q));
        set_tokens(&parties[i], i);
    }
    guest_make(&rig);
    sim_disk_copy(rig.dir.path, "base", "relay.db", SIM_KILLED);
    stop();
    rig.mortal = true;
    base.rig = rig;
    memcpy(base.parties, parties, sizeof parties);
}

/* --- what comes back --- */

static void take_result(struct sent *s, bool stored)
{
    s->stored = stored;
    s->refused = !stored;
    if (!stored) {
        if (parties[s->from].lane <= s->lane)
            parties[s->from].lane = s->lane + 1;
        return;
    }
    for (const struct sent *other = sent; other < s; other++)
        CHECK(!(other->refused && other->connection == s->connection && other->to == s->to &&
                s->lane <= other->lane));
}

static void take_answer(const struct party *p, const struct sotto_answer *a)
{
    for (size_t i = 0; i < sent_count; i++) {
        struct sent *s = &sent[i];

        if (s->connection != p->connection || s->id != a->id || s->stored || s->refused)
            continue;
        if (a->type == SOTTO_ANS_SUBMITTED && a->u.submitted.count == 1)
            take_result(s, a->u.submitted.results[0].state == SOTTO_PARCEL_STORED);
        else if (a->type == SOTTO_ANS_ERROR)
            take_result(s, false);
        return;
    }
}

static void take_envelope(struct party *p, unsigned at, const struct sotto_answer *a)
{
    struct sotto_bytes e = a->u.deliver.envelope;
    struct sent *s;

    CHECK(a->u.deliver.seq > p->last_seq);
    p->last_seq = a->u.deliver.seq;
    if (e.n < 8 || memcmp(e.p, MAGIC, 4) != 0 || sotto_get_u32(e.p + 4) >= sent_count)
        return; /* out of a frame of any bytes */
    s = &sent[sotto_get_u32(e.p + 4)];
    CHECK(s->to == at);
    CHECK(!s->seen || s->seq == a->u.deliver.seq);
    for (const struct sent *later = s + 1; later < sent + sent_count && !s->seen; later++)
        CHECK(!(later->seen && later->from == s->from && later->to == s->to));
    s->seen = true;
    s->seq = a->u.deliver.seq;
}

static void read_all(void)
{
    struct sotto_answer *a;

    for (unsigned i = 0; i < DEVICES; i++) {
        struct party *p = &parties[i];

        while (p->there && (a = client_next(&p->c)) != NULL) {
            if (a->type == SOTTO_ANS_DELIVER)
                take_envelope(p, i, a);
            else
                take_answer(p, a);
            sotto_answer_free(a);
        }
        if (p->there && p->c.conn == NULL) {
            client_free(&p->c);
            p->there = false;
        }
    }
    guest_read();
    while (stranger_there && (a = client_next(&stranger)) != NULL)
        sotto_answer_free(a);
    if (stranger_there && stranger.conn == NULL) {
        client_free(&stranger);
        stranger_there = false;
    }
}

/* Nothing that a dead relay said has left it. */
static void turn(void)
{
    rig_turn(&rig);
    if (rig.dead || sim_disk_dead(folder))
        crash(SIM_KILLED);
    else
        read_all();
}

/* --- steps --- */

static bool can_send(const struct party *p)
{
    return p->there && p->c.conn != NULL;
}

static uint8_t byte(struct sotto_reader *in)
{
    uint8_t v = 0;

    (void)sotto_read_u8(in, &v); /* 0 at the end */
    return v;
}

static void connect_device(unsigned at)
{
    struct party *p = &parties[at];
    struct sotto_request q, b = {.type = SOTTO_REQ_BEGIN};

    turn(); /* what waits may be the end of the relay */
    if (p->there)
        return;
    client_open(&rig, &p->c, NULL);
    p->there = true;
    p->connection = ++connections;
    p->lane = 1;
    p->last_seq = p->acked;
    q = dev_sign_in(&p->dev, &p->c);
    (void)client_send(&p->c, &q);
    b.u.begin.committed = p->acked;
    (void)client_send(&p->c, &b);
    turn();
}

static void submit_one(struct sotto_reader *in, struct party *p, unsigned at)
{
    uint8_t how = byte(in), envelope[8 + 255 * 16] = MAGIC;
    unsigned to = (at + 1 + how % 2) % DEVICES;
    struct sotto_request q = {.type = SOTTO_REQ_SUBMIT};
    struct sent *s = &sent[sent_count];

    if (!can_send(p) || sent_count == MAX_SENT)
        return;
    sotto_put_u32(envelope + 4, (uint32_t)sent_count);
    memcpy(q.u.submit.to, parties[to].dev.p.account.name, sizeof q.u.submit.to);
    q.u.submit.list_version = how % 16 == 15 ? 2 : 1;
    q.u.submit.has_token = how % 4 < 3;
    memset(q.u.submit.token, (int)to + 1, sizeof q.u.submit.token);
    q.u.submit.count = 1;
    q.u.submit.parcels[0] = (struct sotto_parcel){
        .device = parties[to].dev.p.device.id,
        .envelope = {envelope, 8u + how / 4 * 60u},
        .lane = p->lane,
    };
    *s = (struct sent){
        .from = at, .to = to, .connection = p->connection, .lane = p->lane, .when = rig.env.now};
    sent_count++;
    s->id = client_send(&p->c, &q);
}

static void acknowledge(struct sotto_reader *in, struct party *p)
{
    struct sotto_request q = {.type = SOTTO_REQ_ACK};
    uint8_t less = byte(in);

    if (!can_send(p) || p->last_seq <= p->acked)
        return;
    p->acked = less == 0 || p->last_seq - p->acked <= less ? p->last_seq : p->last_seq - less;
    q.u.ack.seq = p->acked;
    client_tell(&p->c, &q);
}

/* Answers are told apart by the number of the request, so these have others. */
static bool may_send(const struct client *c, struct sotto_bytes body)
{
    struct sotto_request *q = NULL;
    bool may;

    if (sotto_request_decode(body.p, body.n, &q) != 0)
        return true;
    may = q->id > c->id + MAX_SENT && (q->type != SOTTO_REQ_SUBMIT || q->u.submit.more);
    sotto_request_free(q);
    return may;
}

static void any_bytes(struct sotto_reader *in, struct client *c)
{
    size_t n = byte(in) * 256u;
    struct sotto_bytes body;

    n += byte(in);
    if (n > sotto_reader_left(in))
        n = sotto_reader_left(in);
    if (sotto_read_view(in, n, &body) == 0 && c->conn != NULL && may_send(c, body))
        client_raw(c, body.p, body.n);
}

static void ask(struct sotto_reader *in, struct party *p)
{
    static const enum sotto_request_type types[] = {SOTTO_REQ_GET_LINKS, SOTTO_REQ_GET_LISTS,
                                                    SOTTO_REQ_GET_BUNDLE, SOTTO_REQ_PING,
                                                    SOTTO_REQ_GOODBYE};
    uint8_t how = byte(in);
    struct party *other = &parties[how / 8 % DEVICES];
    struct sotto_request q = {.type = types[how % 5]};

    if (!can_send(p))
        return;
    if (q.type == SOTTO_REQ_GET_LISTS) {
        q.u.get_lists.count = 1;
        memcpy(q.u.get_lists.known[0].name, other->dev.p.account.name, sizeof(sotto_name));
    } else if (q.type == SOTTO_REQ_GET_BUNDLE) {
        memcpy(q.u.get_bundle.name, other->dev.p.account.name, sizeof(sotto_name));
        q.u.get_bundle.device = other->dev.p.device.id;
    }
    (void)client_send(&p->c, &q);
}

static void break_something(struct sotto_reader *in)
{
    uint8_t how = byte(in);

    switch (how % 4) {
    case 0:
        crash(how / 4 % 2 == 0 ? SIM_KILLED : SIM_POWER_CUT);
        break;
    case 1:
        sim_disk_die(folder, how / 8, how / 4 % 2 == 0 ? SIM_KILLED : SIM_POWER_CUT);
        break;
    case 2:
        sim_disk_fill(folder, 1 + how / 4);
        break;
    default:
        rig.env.now += (uint64_t)how * 60000; /* the clock is set */
    }
}

static void hang_up(struct party *p)
{
    if (!p->there)
        return;
    client_free(&p->c);
    p->there = false;
}

static void pass(uint64_t ms)
{
    rig.env.now += ms;
    rig.env.mono += ms;
    if (rig.env.mono >= sotto_relay_deadline(rig.relay))
        sotto_relay_tick(rig.relay);
    turn();
}

/* In order: everybody is told, and what is live goes to the disk. */
static void restart(void)
{
    turn();
    sotto_relay_shutdown(rig.relay);
    turn();
    stop();
    if (sim_disk_dead(folder)) {
        crash(SIM_KILLED);
        return;
    }
    sim_disk_calm();
    start();
}

static void step(struct sotto_reader *in)
{
    uint8_t what = byte(in);
    unsigned at = what / 16 % DEVICES;
    struct party *p = &parties[at];

    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        submit_one(in, p, at);
        break;
    case 3:
    case 4:
        acknowledge(in, p);
        break;
    case 5:
    case 6:
        turn();
        break;
    case 7:
        pass(byte(in) * 10u);
        break;
    case 8:
        if (p->there)
            any_bytes(in, &p->c);
        break;
    case 9:
        turn();
        if (!stranger_there)
            client_open(&rig, &stranger, NULL);
        stranger_there = true;
        any_bytes(in, &stranger);
        break;
    case 10:
        ask(in, p);
        break;
    case 11:
        break_something(in);
        break;
    case 12:
        hang_up(p);
        break;
    case 13:
        connect_device(at);
        break;
    case 14:
        guest_step(in);
        break;
    default:
        guest_operate(in, names, DEVICES);
    }
}

/* With a disk that works and everybody there, what was promised arrives. */
static void keep_promises(void)
{
    uint64_t kept = (guest_lifetime() - 1) * DAY_MS;

    sim_disk_calm();
    turn();
    rig.config = base.rig.config;
    crash(SIM_POWER_CUT);
    guest_calm(names, DEVICES);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < DEVICES; i++) {
            struct sotto_request q = {.type = SOTTO_REQ_ACK};

            connect_device(i);
            if (!can_send(&parties[i]))
                continue;
            q.u.ack.seq = parties[i].acked = parties[i].last_seq;
            client_tell(&parties[i].c, &q);
        }
        pass(1000);
    }
    for (size_t i = 0; i < sent_count; i++)
        CHECK(sent[i].seen || !sent[i].stored || rig.env.now > sent[i].when + kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct guest_owner owner = {.turn = turn, .restart = restart};
    struct sotto_reader in;

    if (base.rig.path[0] == '\0')
        make_base();
    rig = base.rig;
    memcpy(parties, base.parties, sizeof parties);
    sent_count = connections = 0;
    sim_disk_seed(size);
    snprintf(folder, sizeof folder, "fuzz-%u", ++folders);
    sim_disk_copy("base", folder, "relay.db", SIM_KILLED);
    rig.config.quota_messages = 16;
    start();
    guest_begin(&rig, &owner);
    for (unsigned i = 0; i < DEVICES; i++) {
        parties[i].there = false;
        connect_device(i);
    }
    sotto_reader_init(&in, data, size);
    for (unsigned n = 0; n < STEPS && sotto_reader_left(&in) > 0; n++)
        step(&in);
    keep_promises();
    stop();
    sim_disk_drop(folder);
    return 0;
}
