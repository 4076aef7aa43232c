/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/opaque.h"
#include "auth/proof.h"
#include "crypto/kdf.h"
#include "relay/admin.h"
#include "relay/source.h"
#include "store/relay_admin.h"

#define GUESTS    2
#define DEVICES   3 /* the first, a second one, and that of a new account under the name */
#define CODES     8
#define PASSWORD  "six words that nobody would guess"
#define HOUR_MS   (3600 * 1000ull)
#define SOURCES   4
#define PARCEL    600
#define QUOTA     16
#define QUOTA_MAX (QUOTA + 64) /* the request lane, and what was taken under a larger quota */

struct guest {
    struct dev dev[DEVICES];
    struct client c[DEVICES];
    bool there[DEVICES];
    uint64_t seen[DEVICES];
    uint32_t lane;
};

static const char *const names[GUESTS] = {"dave", "erin"};
static struct guest base[GUESTS], guests[GUESTS];
static struct rig *rig;
static const struct guest_owner *owner;
static uint8_t codes[CODES][SOTTO_INVITE_CODE];
static size_t code_count;
static uint32_t lifetime;
static struct sotto_sources *sources;
static struct sotto_source entered[64];
static size_t entered_count;

static uint8_t byte(struct sotto_reader *in)
{
    uint8_t v = 0;

    (void)sotto_read_u8(in, &v);
    return v;
}

/* --- connections --- */

static void open_from(struct client *c, const char *address, const uint8_t *pin)
{
    struct sotto_answer *hello;

    memset(c, 0, sizeof *c);
    c->r = rig;
    c->in = SOTTO_BUF(64 * 1024 * 1024);
    memset(c->peer.exporter, 0xe1, sizeof c->peer.exporter);
    sotto_put_u32(c->peer.exporter, ++rig->connections);
    snprintf(c->peer.address, sizeof c->peer.address, "%s", address);
    if (pin != NULL) {
        c->peer.has_pin = true;
        memcpy(c->peer.pin, pin, 32);
    }
    CHECK(sotto_relay_open(rig->relay, &c->peer, c, &c->conn) == 0);
    c->next = rig->clients;
    rig->clients = c;
    owner->turn();
    if ((hello = client_next(c)) != NULL)
        CHECK(hello->type == SOTTO_ANS_HELLO);
    sotto_answer_free(hello);
}

static void leave(struct guest *g, unsigned at)
{
    if (g->there[at])
        client_free(&g->c[at]);
    g->there[at] = false;
}

static struct client *client_of(struct guest *g, unsigned at, uint8_t how)
{
    static const char *const addresses[] = {
        "192.0.2.7",     "2001:db8::1", "fe80::1%eth0",   "192.0.2.9",
        "2001:db8::1:2", "somewhere",   "::ffff:1.2.3.4", ""};
    uint8_t pin[32];

    memset(pin, how / 8 % 4, sizeof pin);
    owner->turn();
    if (g->there[at] && g->c[at].conn != NULL)
        return &g->c[at];
    leave(g, at);
    g->there[at] = true;
    g->seen[at] = 0;
    open_from(&g->c[at], addresses[how % 8], how / 8 % 4 < 2 ? NULL : pin);
    return g->there[at] && g->c[at].conn != NULL ? &g->c[at] : NULL;
}

static bool is_there(const struct guest *g, unsigned at)
{
    return g->there[at] && g->c[at].conn != NULL;
}

/* The answer to the request, after a turn; NULL: the connection or the relay went. */
static struct sotto_answer *ask(struct guest *g, unsigned at, struct sotto_request *q)
{
    struct sotto_answer *a;
    uint32_t id;

    if (!is_there(g, at))
        return NULL;
    id = client_send(&g->c[at], q);
    owner->turn();
    while (g->there[at] && (a = client_next(&g->c[at])) != NULL) {
        if (a->id == id)
            return a;
        if (a->type == SOTTO_ANS_DELIVER)
            g->seen[at] = a->u.deliver.seq;
        sotto_answer_free(a);
    }
    return NULL;
}

static enum sotto_answer_type done(struct guest *g, unsigned at, struct sotto_request *q)
{
    struct sotto_answer *a = ask(g, at, q);
    enum sotto_answer_type type = a != NULL ? a->type : SOTTO_ANS_ERROR;

    sotto_answer_free(a);
    return type;
}

/* --- OPAQUE, the client's half --- */

static enum sotto_err stretch(const uint8_t in[64], uint8_t ret[64])
{
    memcpy(ret, in, 64);
    return SOTTO_OK;
}

static struct sotto_opaque_ids ids_of(const struct guest *g, unsigned at, uint8_t context[64])
{
    static const char label[] = "sotto/1 opaque";
    const char *name = g->dev[0].p.account.name;

    memcpy(context, label, sizeof label);
    memcpy(context + sizeof label, g->c[at].peer.exporter, 32);
    return (struct sotto_opaque_ids){
        .server = {sotto_relay_id(rig->relay), 32},
        .client = {(const uint8_t *)name, strlen(name)},
        .context = {context, sizeof label + 32},
        .stretch = stretch,
    };
}

static bool opaque_record(struct guest *g, unsigned at, uint8_t record[SOTTO_OPAQUE_REG_RECORD])
{
    struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_REGISTER};
    struct sotto_opaque_client *o = NULL;
    uint8_t context[64], export_key[SOTTO_OPAQUE_KEY];
    struct sotto_opaque_ids ids;
    struct sotto_answer *a;
    bool good;

    CHECK(sotto_opaque_register_start(&rig->env.env, PASSWORD, strlen(PASSWORD),
                                      q.u.opaque_register.request, &o) == 0);
    memcpy(q.u.opaque_register.name, g->dev[0].p.account.name, sizeof(sotto_name));
    a = ask(g, at, &q);
    good = a != NULL && a->type == SOTTO_ANS_OPAQUE_REGISTERED;
    if (good) {
        ids = ids_of(g, at, context);
        CHECK(sotto_opaque_register_finish(&rig->env.env, o, &ids, a->u.opaque_registered.response,
                                           record, export_key) == 0);
    }
    sotto_answer_free(a);
    sotto_opaque_client_free(o);
    return good;
}

static void sign_up(struct guest *g, unsigned at, uint8_t how, uint8_t code)
{
    struct dev *d = &g->dev[at == 2 ? 2 : 0];
    struct sotto_request q;

    if (client_of(g, at, how) == NULL)
        return;
    q = dev_register(d, code < CODES && code < code_count ? codes[code] : NULL);
    if (code == CODES) {
        q.u.register_.has_code = true;
        memset(q.u.register_.code, 0xcc, SOTTO_INVITE_CODE);
    }
    if (how / 32 % 2 == 0 && !opaque_record(g, at, q.u.register_.opaque_record))
        return;
    switch (how / 64) {
    case 1: /* the other's list */
        q.u.register_.list = (struct sotto_bytes){guests[0].dev[0].list, guests[0].dev[0].list_len};
        break;
    case 2:
        q.u.register_.signed_prekey =
            (struct sotto_bytes){g->dev[1].p.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
        break;
    case 3:
        q.u.register_.has_certificate = true;
        memset(q.u.register_.certificate, 2, 32);
        break;
    default:
        break;
    }
    (void)done(g, at, &q);
}

static void sign_in(struct guest *g, unsigned at, uint8_t how, uint8_t committed)
{
    struct sotto_request q, begin = {.type = SOTTO_REQ_BEGIN};

    if (client_of(g, at, how) == NULL)
        return;
    q = dev_sign_in(&g->dev[at], &g->c[at]);
    if (how / 64 == 3)
        q.u.sign_in.proof[0] ^= 1;
    if (done(g, at, &q) != SOTTO_ANS_SIGNED_IN)
        return;
    begin.u.begin.committed = committed < 128 ? g->seen[at] : (uint64_t)committed << 40;
    if (how / 32 % 2 == 0)
        (void)done(g, at, &begin);
}

static bool log_in(struct guest *g, unsigned at, uint8_t how)
{
    const char *password = how / 32 % 2 == 0 ? PASSWORD : "another one than it should";
    struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_LOGIN},
                         f = {.type = SOTTO_REQ_OPAQUE_FINISH};
    uint8_t context[64], session_key[SOTTO_OPAQUE_KEY], export_key[SOTTO_OPAQUE_KEY];
    struct sotto_opaque_client *o = NULL;
    struct sotto_opaque_ids ids;
    struct sotto_answer *a;

    if (client_of(g, at, how) == NULL)
        return false;
    CHECK(sotto_opaque_login_start(&rig->env.env, password, strlen(password), q.u.opaque_login.ke1,
                                   &o) == 0);
    memcpy(q.u.opaque_login.name, how / 64 == 3 ? "nobody" : g->dev[0].p.account.name,
           how / 64 == 3 ? sizeof "nobody" : sizeof(sotto_name));
    a = ask(g, at, &q);
    if (a != NULL && a->type == SOTTO_ANS_OPAQUE_CHALLENGE && g->there[at]) {
        ids = ids_of(g, at, context);
        if (sotto_opaque_login_finish(o, &ids, a->u.opaque_challenge.ke2, f.u.opaque_finish.ke3,
                                      session_key, export_key) != 0)
            memset(f.u.opaque_finish.ke3, how, sizeof f.u.opaque_finish.ke3);
        sotto_opaque_client_free(o);
        sotto_answer_free(a);
        return done(g, at, &f) == SOTTO_ANS_LOGGED_IN;
    }
    sotto_opaque_client_free(o);
    sotto_answer_free(a);
    return false;
}

static void ask_link(struct guest *g, unsigned at, uint8_t how)
{
    struct sotto_request q = dev_link(&g->dev[at]);

    if (how / 64 == 1)
        q.u.link.entry = (struct sotto_bytes){base[0].dev[0].p.entry, SOTTO_ENTRY_BYTES};
    if (how / 64 == 2) {
        q.u.link.has_certificate = true;
        memset(q.u.link.certificate, how, 32);
    }
    (void)done(g, at, &q);
    if (how % 4 == 1) /* its answer was lost */
        (void)done(g, at, &q);
}

/* --- lists --- */

/* The next list: which devices, and how far ahead. */
static void put_list(struct guest *g, unsigned at, uint8_t how)
{
    const struct dev *devs[] = {&g->dev[0], &g->dev[1]};
    struct dev before = g->dev[0];
    struct sotto_request q, links = {.type = SOTTO_REQ_GET_LINKS};
    uint32_t step = how / 4 % 4 == 3 ? 3 : how / 4 % 4 == 2 ? 0 : 1;

    if (!is_there(g, at))
        return;
    (void)done(g, at, &links);
    if (how / 64 == 2)
        g->dev[0].parsed.hash[0] ^= 1; /* it does not follow */
    if (how % 4 != 3)                  /* else the same again */
        dev_list(&g->dev[0], devs, how % 4 == 1 ? 1 : 2, step);
    q = dev_put_list(&g->dev[0]);
    if (how / 64 == 1)
        q.u.put_list.list = (struct sotto_bytes){base[0].dev[0].list, base[0].dev[0].list_len};
    if (how / 64 == 3)
        q.u.put_list.list = (struct sotto_bytes){base[1].dev[0].list, base[1].dev[0].list_len};
    if (done(g, at, &q) != SOTTO_ANS_DONE)
        g->dev[0] = before;
}

static void link_whole(struct guest *g, uint8_t how)
{
    if (log_in(g, 1, (uint8_t)(how & 0x1f)))
        ask_link(g, 1, 0);
    put_list(g, 0, 0);
    sign_in(g, 1, (uint8_t)(how & 0x1f), 0);
}

static void delete_account(struct guest *g, unsigned at, uint8_t how)
{
    struct sotto_request q = {.type = SOTTO_REQ_DELETE_ACCOUNT};

    if (!is_there(g, at))
        return;
    CHECK(sotto_delete_proof_sign(&g->dev[0].p.account_key, g->c[at].peer.exporter,
                                  g->dev[0].p.account.relay_id, g->dev[0].p.account.name,
                                  q.u.delete_account.proof) == 0);
    q.u.delete_account.proof[0] ^= how % 4 == 0;
    (void)done(g, at, &q);
}

/* All in one turn: what follows does not know yet how it ends. */
static void delete_and_more(struct guest *g, unsigned at)
{
    struct sotto_request q = {.type = SOTTO_REQ_DELETE_ACCOUNT}, keys, list, link;
    struct prekey_page page;

    owner->turn();
    if (!is_there(g, at))
        return;
    CHECK(sotto_delete_proof_sign(&g->dev[0].p.account_key, g->c[at].peer.exporter,
                                  g->dev[0].p.account.relay_id, g->dev[0].p.account.name,
                                  q.u.delete_account.proof) == 0);
    keys = dev_prekeys(rig, &g->dev[at], &page, 1);
    list = dev_put_list(&g->dev[0]);
    link = dev_link(&g->dev[1]);
    (void)client_send(&g->c[at], &q);
    (void)client_send(&g->c[at], &keys);
    (void)client_send(&g->c[at], &list);
    (void)client_send(&g->c[at], &q);
    if (is_there(g, 1))
        (void)client_send(&g->c[1], &link);
    owner->turn();
}

/* --- keys, tokens, mail --- */

static void put_keys(struct guest *g, unsigned at, uint8_t how)
{
    struct prekey_page page;
    struct sotto_request q;

    if (!is_there(g, at))
        return;
    q = dev_prekeys(rig, &g->dev[at], &page, how % 8 * 4);
    q.u.put_prekeys.replace = how / 8 % 2 == 1;
    if (how / 16 % 2 == 1)
        q.u.put_prekeys.signed_prekey =
            (struct sotto_bytes){g->dev[at].p.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
    if (how / 32 == 7)
        page.keys[0].bytes[SOTTO_PREKEY_BYTES - 1] ^= 1;
    (void)done(g, at, &q);
}

static void get_keys(struct guest *g, unsigned at, const struct guest *of, uint8_t how)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE};

    memcpy(q.u.get_bundle.name, of->dev[0].p.account.name, sizeof(sotto_name));
    q.u.get_bundle.device = of->dev[how % DEVICES].p.device.id;
    for (unsigned i = 0; i < 1u + how / 16; i++)
        (void)done(g, at, &q);
}

static void set_tokens(struct guest *g, unsigned at, uint8_t how)
{
    struct sotto_request q = {.type = SOTTO_REQ_SET_TOKENS};
    uint8_t token[SOTTO_TOKEN];

    for (unsigned i = 0; i < how % 16u; i++) {
        memset(token, (int)(how / 64 * 16 + i), sizeof token);
        sotto_sha256(token, sizeof token, q.u.set_tokens.add[q.u.set_tokens.add_count++]);
    }
    if (how / 16 % 2 == 1) {
        memset(token, how / 64 * 16, sizeof token);
        sotto_sha256(token, sizeof token, q.u.set_tokens.remove[q.u.set_tokens.remove_count++]);
    }
    (void)done(g, at, &q);
}

static void send_mail(struct guest *g, unsigned at, const struct guest *to, uint8_t how)
{
    static uint8_t envelope[PARCEL];
    struct sotto_request q = {.type = SOTTO_REQ_SUBMIT};
    unsigned count = 1 + how % 2;

    if (!is_there(g, at))
        return;
    memset(envelope, 0xee, sizeof envelope);
    sotto_put_u32(envelope, rig->connections ^ ++g->lane << 8);
    memcpy(q.u.submit.to, to->dev[0].p.account.name, sizeof(sotto_name));
    q.u.submit.list_version = to->dev[0].parsed.version + (how / 128);
    q.u.submit.ephemeral = how / 2 % 8 == 7;
    q.u.submit.has_token = how / 2 % 4 > 0;
    memset(q.u.submit.token, how / 16 % 8, SOTTO_TOKEN);
    q.u.submit.count = count;
    for (unsigned i = 0; i < count; i++)
        q.u.submit.parcels[i] = (struct sotto_parcel){
            .device = to->dev[i].p.device.id,
            .envelope = {envelope, 40 + i},
            .lane = q.u.submit.ephemeral ? 0 : g->lane,
        };
    if (how / 2 % 4 == 2) { /* in two frames; now and then they do not fit together */
        q.u.submit.more = true;
        (void)client_send(&g->c[at], &q);
        q.u.submit.more = false;
        for (unsigned i = 0; i < count && how / 16 % 4 != 0; i++)
            q.u.submit.parcels[i].device += 1;
    }
    (void)done(g, at, &q);
}

static void acknowledge(struct guest *g, unsigned at, uint8_t how)
{
    struct sotto_request q = {.type = SOTTO_REQ_ACK};

    if (!is_there(g, at))
        return;
    q.u.ack.seq = g->seen[at] + (how == 255 ? 1ull << 40 : 0);
    client_tell(&g->c[at], &q);
}

static void ask_lists(struct guest *g, unsigned at, uint8_t how)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_LISTS};

    q.u.get_lists.count = 2;
    for (unsigned i = 0; i < 2; i++) {
        memcpy(q.u.get_lists.known[i].name, names[i], strlen(names[i]) + 1);
        q.u.get_lists.known[i].version = how % 4;
    }
    (void)done(g, at, &q);
}

void guest_step(struct sotto_reader *in)
{
    uint8_t what = byte(in), how = byte(in), more = byte(in);
    struct guest *g = &guests[what / 16 % GUESTS], *other = &guests[(what / 16 + 1) % GUESTS];
    unsigned at = what / 32 % DEVICES;

    switch (what % 16) {
    case 0:
        (void)client_of(g, at, how);
        break;
    case 1:
        sign_up(g, at, how, more % (CODES + 2));
        break;
    case 2:
        sign_in(g, at, how, more);
        break;
    case 3:
        if (log_in(g, at, how))
            ask_link(g, at, more);
        break;
    case 4:
        put_list(g, at, how);
        break;
    case 5:
        link_whole(g, how);
        break;
    case 6:
        if (how / 64 == 3)
            delete_and_more(g, at);
        else
            delete_account(g, at, how);
        break;
    case 7:
        put_keys(g, at, how);
        break;
    case 8:
        get_keys(g, at, other, how);
        break;
    case 9:
        set_tokens(g, at, how);
        break;
    case 10:
    case 11:
        send_mail(g, at, how / 64 == 3 ? g : other, how);
        break;
    case 12:
        acknowledge(g, at, how);
        break;
    case 13:
        ask_lists(g, at, how);
        break;
    case 14:
        if (g->there[at])
            g->c[at].deaf = !g->c[at].deaf;
        break;
    default:
        leave(g, at);
    }
}

/* --- the operator --- */

static void add_invite(uint8_t how)
{
    uint8_t hash[32], *code = codes[code_count % CODES];
    uint64_t expires = rig->env.now + (how / 4 % 4 == 3 ? 0 : HOUR_MS * (1 + how / 16));

    memset(code, 0x10 + (int)code_count, SOTTO_INVITE_CODE);
    sotto_sha256(code, SOTTO_INVITE_CODE, hash);
    if (how % 4 == 3)
        (void)sotto_rs_invite_add_for(rig->store, hash, names[how / 4 % GUESTS], expires);
    else
        (void)sotto_rs_invite_add(rig->store, hash, how % 4, expires);
    code_count += code_count < CODES - 1;
}

static void configure(uint8_t how)
{
    static const uint32_t rates[] = {0, 1, 3, 60};
    static const enum sotto_registration ways_in[] = {
        SOTTO_REGISTRATION_INVITE, SOTTO_REGISTRATION_CODE, SOTTO_REGISTRATION_OPEN,
        SOTTO_REGISTRATION_CLOSED};
    static const enum sotto_client_certs certificates[] = {
        SOTTO_CLIENT_CERTS_REQUIRE, SOTTO_CLIENT_CERTS_REQUEST, SOTTO_CLIENT_CERTS_OFF};
    struct sotto_relay_config *c = &rig->config;

    switch (how % 8) {
    case 0:
        c->registration = ways_in[how / 8 % 4];
        break;
    case 1:
        c->client_certificates = certificates[how / 8 % 3];
        break;
    case 2:
        c->quota_messages = QUOTA >> (how / 8 % 5);
        break;
    case 3:
        c->sign_ins_per_minute = c->sign_ups_per_hour = rates[how / 8 % 4];
        break;
    case 4:
        c->bundles_per_hour = c->strangers_per_hour = rates[how / 8 % 4];
        break;
    case 5:
        c->requests_per_second = how / 8 % 2 == 0 ? 400 : 20;
        c->bytes_per_second = how / 16 % 2 == 0 ? 0 : 1000;
        break;
    case 6:
        c->lock_minutes = how / 8;
        break;
    default:
        c->lifetime_days = how / 8 % 2 == 0 ? 30 : 2;
        if (c->lifetime_days < lifetime)
            lifetime = c->lifetime_days;
    }
    (void)sotto_relay_reconfigure(rig->relay, c);
}

static void count_session(void *ctx, const struct sotto_relay_session *s)
{
    CHECK(s->name[0] != '\0' && s->device != 0);
    ++*(size_t *)ctx;
}

static void look_at_box(void *ctx, int64_t box, uint64_t count, uint64_t bytes)
{
    CHECK(count <= QUOTA_MAX && bytes > 0);
}

static void look(void)
{
    size_t sessions = 0;

    sotto_relay_admin_sessions(rig->relay, count_session, &sessions);
    CHECK(sessions <= GUESTS * DEVICES + 4);
    sotto_relay_admin_boxes(rig->relay, look_at_box, NULL);
    CHECK(sotto_relay_counters(rig->relay) != NULL);
}

/* Where connections come from is counted before there is one. */
static void count_source(uint8_t how)
{
    static const char *const from[SOURCES] = {"192.0.2.1", "2001:db8::7", "::ffff:192.0.2.1", "x"};
    struct sotto_source_limits limits = {.connections = how / 4 % 4, .handshakes_per_minute = 40};
    struct sotto_source s;
    char text[32];

    snprintf(text, sizeof text, "10.0.%u.%u", how % 3, how);
    sotto_source_of(how % 4 == 3 ? text : from[how / 4 % SOURCES], &s);
    (void)sotto_sources_may_log(sources, &s, "fuzz", rig->env.mono);
    if (how / 64 == 3 && entered_count > 0) {
        CHECK(sotto_sources_connections(sources, &entered[entered_count - 1]) > 0);
        sotto_sources_leave(sources, &entered[--entered_count]);
    } else if (entered_count < 64 &&
               sotto_sources_enter(sources, &s, &limits, rig->env.mono) == 0) {
        CHECK(limits.connections == 0 ||
              sotto_sources_connections(sources, &s) <= limits.connections);
        entered[entered_count++] = s;
    }
}

static void crowd(uint8_t how)
{
    struct sotto_source_limits limits = {.connections = 0};
    struct sotto_source s[130];

    for (unsigned i = 0; i < 130; i++) {
        char text[32];

        snprintf(text, sizeof text, "172.16.%u.%u", i, how);
        sotto_source_of(text, &s[i]);
        CHECK(sotto_sources_enter(sources, &s[i], &limits, rig->env.mono) == 0);
    }
    for (unsigned i = 0; i < 130; i++)
        sotto_sources_leave(sources, &s[i]);
}

/* As the operator's commands do: a turn of its own. */
static void administer(const char *name, uint8_t how)
{
    uint64_t before;
    size_t count = 0;
    enum sotto_err e = SOTTO_OK;

    owner->turn();
    before = sotto_relay_undone(rig->relay);
    switch (how % 4) {
    case 0:
        e = sotto_relay_admin_disable(rig->relay, name, true);
        break;
    case 1:
        e = sotto_relay_admin_disable(rig->relay, name, false);
        break;
    default:
        e = sotto_relay_admin_kick(
            rig->relay, name, how % 4 == 2 ? 0 : guests[0].dev[how / 4 % 2].p.device.id, &count);
    }
    CHECK(e == SOTTO_OK || e == SOTTO_ERR_NOT_FOUND || e == SOTTO_ERR_GONE ||
          sotto_relay_undone(rig->relay) > before);
    owner->turn();
}

void guest_operate(struct sotto_reader *in, const char *const *parties, size_t count)
{
    uint8_t what = byte(in), how = byte(in);

    switch (what % 16) {
    case 0:
    case 1:
        administer(names[what / 16 % GUESTS], how);
        break;
    case 2:
        administer(what / 16 % 8 == 7 ? "nobody" : parties[what / 16 % count], how);
        break;
    case 3:
        owner->turn();
        (void)sotto_relay_admin_delete(rig->relay, how % 8 == 7 ? "nobody" : names[how % GUESTS]);
        owner->turn();
        break;
    case 4:
    case 5:
        owner->turn();
        add_invite(how);
        break;
    case 6:
    case 7:
    case 8:
        configure(how);
        break;
    case 9:
        look();
        break;
    case 10:
    case 11:
        count_source(how);
        break;
    case 12:
        crowd(how);
        break;
    case 13:
        owner->restart();
        break;
    default: /* a night, or a holiday */
        rig->env.now += how * HOUR_MS;
        rig->env.mono += how * HOUR_MS;
        for (unsigned i = 0; i < 3; i++) {
            sotto_relay_tick(rig->relay);
            owner->turn();
            rig->env.now += HOUR_MS / 2;
            rig->env.mono += HOUR_MS / 2;
        }
    }
}

/* --- each input --- */

void guest_make(struct rig *r)
{
    rig = r;
    for (unsigned i = 0; i < GUESTS; i++) {
        dev_make(r, &base[i].dev[0], names[i]);
        dev_second(r, &base[i].dev[1], &base[i].dev[0]);
        dev_make(r, &base[i].dev[2], names[i]);
    }
}

void guest_begin(struct rig *r, const struct guest_owner *o)
{
    rig = r;
    owner = o;
    memcpy(guests, base, sizeof guests);
    for (unsigned i = 0; i < GUESTS; i++)
        for (unsigned k = 0; k < DEVICES; k++)
            person_update(&guests[i].dev[k].p);
    code_count = entered_count = 0;
    lifetime = r->config.lifetime_days;
    sotto_sources_free(sources);
    sources = NULL;
    CHECK(sotto_sources_new(&r->env.env, &sources) == 0);
}

void guest_read(void)
{
    struct sotto_answer *a;

    for (unsigned i = 0; i < GUESTS; i++)
        for (unsigned k = 0; k < DEVICES; k++) {
            struct guest *g = &guests[i];

            /* Those that have their turn read for themselves. */
            if (g->there[k] && g->c[k].conn == NULL && g->c[k].in.n == 0)
                leave(g, k);
            while (g->there[k] && g->c[k].in.n > 256 * 1024 && (a = client_next(&g->c[k])) != NULL)
                sotto_answer_free(a);
        }
}

void guest_forget(void)
{
    for (unsigned i = 0; i < GUESTS; i++)
        for (unsigned k = 0; k < DEVICES; k++)
            guests[i].there[k] = false;
}

uint32_t guest_lifetime(void)
{
    return lifetime;
}

void guest_calm(const char *const *parties, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(sotto_relay_admin_disable(rig->relay, parties[i], false) == 0);
    sotto_sources_free(sources);
    sources = NULL;
}
