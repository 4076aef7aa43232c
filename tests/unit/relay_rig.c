/* SPDX-License-Identifier: Apache-2.0 */
#include "relay_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "auth/proof.h"
#include "base/log.h"
#include "crypto/kdf.h"
#include "no_bugs.h"
#define person person_known /* people.h has one too */
#include "relay/core.h"
#undef person

/* --- the relay --- */

static void start(struct rig *r)
{
    char why[512] = "";

    assert_int_equal(sotto_rs_open(r->path, true, r->vfs, &r->store, why, sizeof why), 0);
    assert_int_equal(sotto_relay_new(&r->env.env, r->store, &r->config, &r->relay), 0);
}

void rig_make(struct rig *r)
{
    rig_make_on(r, NULL);
}

void rig_make_on(struct rig *r, const char *vfs)
{
    static const uint8_t seed[32] = "relay rig";

    no_bugs();
    memset(r, 0, sizeof *r);
    r->vfs = vfs;
    folder_make(&r->dir);
    (void)umask(077);
    snprintf(r->path, sizeof r->path, "%s", folder_file(&r->dir, "relay.db"));
    sotto_env_fixed_init(&r->env, seed, PEOPLE_NOW_MS);
    r->env.mono = 1000;
    r->config = (struct sotto_relay_config){
        .registration = SOTTO_REGISTRATION_OPEN,
        .client_certificates = SOTTO_CLIENT_CERTS_REQUEST,
        .quota_messages = SOTTO_RELAY_QUOTA_MESSAGES,
        .quota_bytes = SOTTO_RELAY_QUOTA_BYTES,
        .lifetime_days = SOTTO_RELAY_LIFETIME_DAYS,
        .requests_per_second = SOTTO_RELAY_REQUESTS_PER_SECOND,
        .strangers_per_hour = SOTTO_RELAY_STRANGERS_PER_HOUR,
        .pin_count = 1,
    };
    memset(r->config.pins[0], 0x70, 32);
    start(r);
}

static void stop(struct rig *r)
{
    while (r->clients != NULL) {
        r->clients->conn = NULL;
        sotto_buf_free(&r->clients->in);
        r->clients = r->clients->next;
    }
    sotto_relay_free(r->relay);
    sotto_rs_close(r->store);
    r->relay = NULL;
    r->store = NULL;
}

static void names_nobody(void *ctx, enum sotto_log_level level, const char *line)
{
    if (level == SOTTO_LOG_BUG)
        fail_msg("%s", line);
    /* A log line never names both ends, nor what was said. */
    assert_false(strstr(line, "alice") != NULL && strstr(line, "bob") != NULL);
    assert_null(strstr(line, "hello"));
}

void rig_names_nobody(void)
{
    sotto_log_set(names_nobody, NULL, SOTTO_LOG_DEBUG);
}

void rig_free(struct rig *r)
{
    stop(r);
    folder_remove(&r->dir);
}

void rig_configure(struct rig *r)
{
    assert_int_equal(sotto_relay_reconfigure(r->relay, &r->config), 0);
}

void rig_restart(struct rig *r)
{
    stop(r);
    start(r);
}

void rig_crash(struct rig *r)
{
    static const char *const endings[] = {"", "-wal"};
    struct folder fresh;
    char from[256], to[256];

    folder_make(&fresh);
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s%s", r->path, endings[i]);
        snprintf(to, sizeof to, "%s/relay.db%s", fresh.path, endings[i]);
        if (file_exists(from))
            file_copy(from, to);
    }
    stop(r);
    r->dead = false;
    folder_remove(&r->dir);
    r->dir = fresh;
    snprintf(r->path, sizeof r->path, "%s/relay.db", fresh.path);
    start(r);
}

static void take_output(struct client *c)
{
    struct sotto_bytes out = sotto_relay_output(c->conn);

    assert_int_equal(sotto_buf_add(&c->in, out.p, out.n), 0);
    if (c->deaf)
        c->pending += out.n;
    sotto_relay_taken(c->conn);
    if (sotto_relay_ending(c->conn)) {
        sotto_relay_closed(c->conn);
        c->conn = NULL;
        return;
    }
    sotto_relay_sent(c->conn, c->pending);
    (void)sotto_relay_wants_input(c->conn);
}

/* false: the relay has died. */
static bool survives(struct rig *r, enum sotto_err e)
{
    r->dead = r->mortal && e == SOTTO_ERR_IO;
    if (!r->dead)
        assert_int_equal(e, 0);
    return !r->dead;
}

void rig_turn_unsynced(struct rig *r)
{
    struct sotto_relay_conn *conn;

    do {
        if (!survives(r, r->dead ? SOTTO_ERR_IO : sotto_relay_turn(r->relay)))
            return;
        while ((conn = sotto_relay_next(r->relay)) != NULL)
            take_output(sotto_relay_ctx(conn));
    } while (sotto_relay_deadline(r->relay) == 0);
}

void rig_turn(struct rig *r)
{
    rig_turn_unsynced(r);
    while (!r->dead && sotto_relay_sync_due(r->relay)) {
        sotto_relay_sync_begun(r->relay);
        if (!survives(r, sotto_rs_sync(r->store)))
            return;
        sotto_relay_synced(r->relay);
        rig_turn_unsynced(r);
    }
    if (!r->dead && r->relay->lingering != NULL)
        rig_turn_unsynced(r); /* what lingers leaves with the next one */
}

void rig_pass(struct rig *r, uint64_t ms)
{
    r->env.now += ms;
    r->env.mono += ms;
    if (r->env.mono >= sotto_relay_deadline(r->relay))
        sotto_relay_tick(r->relay);
    rig_turn(r);
}

void rig_invite(struct rig *r, uint8_t fill, uint32_t uses, uint64_t lifetime_ms,
                uint8_t ret_code[SOTTO_INVITE_CODE])
{
    uint8_t hash[32];

    memset(ret_code, fill, SOTTO_INVITE_CODE);
    sotto_sha256(ret_code, SOTTO_INVITE_CODE, hash);
    assert_int_equal(sotto_rs_invite_add(r->store, hash, uses, r->env.now + lifetime_ms), 0);
}

/* --- connections --- */

void client_open(struct rig *r, struct client *c, const uint8_t *pin)
{
    struct sotto_answer *hello;

    for (struct client *known = r->clients; known != NULL; known = known->next)
        assert_ptr_not_equal(known, c); /* client_free() comes first */
    memset(c, 0, sizeof *c);
    c->r = r;
    c->in = SOTTO_BUF(64 * 1024 * 1024);
    memset(c->peer.exporter, 0xe0, sizeof c->peer.exporter);
    sotto_put_u32(c->peer.exporter, ++r->connections);
    snprintf(c->peer.address, sizeof c->peer.address, "192.0.2.1");
    if (pin != NULL) {
        c->peer.has_pin = true;
        memcpy(c->peer.pin, pin, 32);
    }
    assert_int_equal(sotto_relay_open(r->relay, &c->peer, c, &c->conn), 0);
    c->next = r->clients;
    r->clients = c;
    rig_turn(r);
    hello = client_next(c);
    assert_non_null(hello);
    assert_int_equal(hello->type, SOTTO_ANS_HELLO);
    assert_memory_equal(hello->u.hello.relay.id, sotto_relay_id(r->relay), 32);
    sotto_answer_free(hello);
}

static void unlink_client(struct client *c)
{
    for (struct client **p = &c->r->clients; *p != NULL; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            return;
        }
}

void client_drop(struct client *c)
{
    if (c->conn != NULL)
        sotto_relay_closed(c->conn);
    c->conn = NULL;
}

void client_free(struct client *c)
{
    client_drop(c);
    unlink_client(c);
    sotto_buf_free(&c->in);
}

void client_raw(struct client *c, const void *body, size_t len)
{
    assert_non_null(c->conn);
    sotto_relay_frame(c->conn, body, len);
    sotto_relay_sent(c->conn, c->pending);
}

static void send_as(struct client *c, struct sotto_request *q, uint32_t id)
{
    SOTTO_AUTO_BUF buf = SOTTO_BUF(SOTTO_FRAME_MAX + SOTTO_FRAME_HEADER);

    q->id = id;
    assert_int_equal(sotto_request_encode(q, &buf), 0);
    client_raw(c, buf.p + SOTTO_FRAME_HEADER, buf.n - SOTTO_FRAME_HEADER);
}

uint32_t client_send(struct client *c, struct sotto_request *q)
{
    send_as(c, q, ++c->id);
    return c->id;
}

void client_tell(struct client *c, struct sotto_request *q)
{
    send_as(c, q, 0);
}

/* The first frame that has this id, out of the middle too; any when id is UINT32_MAX. */
static struct sotto_answer *take(struct client *c, uint32_t id)
{
    size_t at = 0;

    while (c->in.n - at >= SOTTO_FRAME_HEADER) {
        size_t len = sotto_get_u32(c->in.p + at);
        struct sotto_answer *a;

        assert_true(c->in.n - at - SOTTO_FRAME_HEADER >= len);
        assert_true(len <= SOTTO_FRAME_MAX);
        assert_int_equal(sotto_answer_decode(c->in.p + at + SOTTO_FRAME_HEADER, len, &a), 0);
        len += SOTTO_FRAME_HEADER;
        if (id == UINT32_MAX || a->id == id) {
            memmove(c->in.p + at, c->in.p + at + len, c->in.n - at - len);
            c->in.n -= len;
            return a;
        }
        sotto_answer_free(a);
        at += len;
    }
    assert_int_equal(at, c->in.n);
    return NULL;
}

struct sotto_answer *client_next(struct client *c)
{
    return take(c, UINT32_MAX);
}

struct sotto_answer *client_ask(struct client *c, struct sotto_request *q)
{
    uint32_t id = client_send(c, q);
    struct sotto_answer *a;

    rig_turn(c->r);
    if ((a = take(c, id)) == NULL) {
        rig_pass(c->r, RIG_LIVE_MS);
        a = take(c, id);
    }
    assert_non_null(a);
    return a;
}

int client_try(struct client *c, struct sotto_request *q)
{
    struct sotto_answer *a = client_ask(c, q);
    int result = a->type == SOTTO_ANS_DONE ? 0 : -1;

    if (a->type == SOTTO_ANS_ERROR)
        result = (int)a->u.error.code;
    sotto_answer_free(a);
    return result;
}

struct sotto_answer *client_push(struct client *c, enum sotto_answer_type type)
{
    struct sotto_answer *a = take(c, 0);

    if (a != NULL)
        assert_int_equal(a->type, type);
    return a;
}

void client_quiet(struct client *c)
{
    assert_int_equal(c->in.n, 0);
}

/* --- people --- */

static void sign_list(struct dev *d)
{
    assert_int_equal(sotto_list_sign(&d->p.account_key, &d->parsed, d->list, &d->list_len), 0);
}

void dev_make(struct rig *r, struct dev *d, const char *name)
{
    memset(d, 0, sizeof *d);
    person_make(&r->env.env, name, &d->p);
    memcpy(d->p.account.relay_id, sotto_relay_id(r->relay), 32);
    person_update(&d->p);
    d->next_key = 100;
    d->parsed.account = d->p.account;
    d->parsed.version = 1;
    d->parsed.time_ms = r->env.now;
    d->parsed.count = 1;
    memcpy(d->parsed.entries[0], d->p.entry, SOTTO_ENTRY_BYTES);
    sign_list(d);
}

void dev_second(struct rig *r, struct dev *d, const struct dev *first)
{
    memset(d, 0, sizeof *d);
    person_make(&r->env.env, first->p.account.name, &d->p);
    d->p.account_key = first->p.account_key;
    d->p.account = first->p.account;
    person_update(&d->p);
    d->next_key = 100;
}

void dev_list(struct dev *d, const struct dev *const *others, size_t count, uint32_t step)
{
    if (step > 0) {
        memcpy(d->parsed.prev_hash, d->parsed.hash, sizeof d->parsed.hash);
        d->parsed.version += step;
    }
    d->parsed.time_ms++;
    d->parsed.count = count;
    for (size_t i = 0; i < count; i++)
        memcpy(d->parsed.entries[i], others[i]->p.entry, SOTTO_ENTRY_BYTES);
    sign_list(d);
}

struct sotto_request dev_register(const struct dev *d, const uint8_t *code)
{
    struct sotto_request q = {.type = SOTTO_REQ_REGISTER};

    memcpy(q.u.register_.name, d->p.account.name, sizeof q.u.register_.name);
    if (code != NULL) {
        q.u.register_.has_code = true;
        memcpy(q.u.register_.code, code, SOTTO_INVITE_CODE);
    }
    q.u.register_.list = (struct sotto_bytes){d->list, d->list_len};
    memset(q.u.register_.opaque_record, 0x55, SOTTO_OPAQUE_RECORD);
    q.u.register_.signed_prekey =
        (struct sotto_bytes){d->p.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
    return q;
}

struct sotto_request dev_sign_in(struct dev *d, const struct client *c)
{
    struct sotto_request q = {.type = SOTTO_REQ_SIGN_IN};

    assert_int_equal(sotto_random(&c->r->env.env, d->lease, sizeof d->lease), 0);
    memcpy(q.u.sign_in.name, d->p.account.name, sizeof q.u.sign_in.name);
    q.u.sign_in.device = d->p.device.id;
    memcpy(q.u.sign_in.lease, d->lease, sizeof d->lease);
    assert_int_equal(sotto_proof_sign(&d->p.keys.sign, c->peer.exporter, d->p.account.relay_id,
                                      d->p.account.name, d->p.device.id, d->lease,
                                      q.u.sign_in.proof),
                     0);
    return q;
}

struct sotto_request dev_put_list(const struct dev *d)
{
    struct sotto_request q = {.type = SOTTO_REQ_PUT_LIST};

    q.u.put_list.list = (struct sotto_bytes){d->list, d->list_len};
    return q;
}

struct sotto_request dev_link(const struct dev *d)
{
    struct sotto_request q = {.type = SOTTO_REQ_LINK};

    q.u.link.entry = (struct sotto_bytes){d->p.entry, SOTTO_ENTRY_BYTES};
    q.u.link.signed_prekey = (struct sotto_bytes){d->p.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
    return q;
}

struct sotto_request dev_prekeys(struct rig *r, struct dev *d, struct prekey_page *page,
                                 size_t count)
{
    struct sotto_request q = {.type = SOTTO_REQ_PUT_PREKEYS};

    for (size_t i = 0; i < count; i++) {
        struct sotto_prekey_private secret;

        assert_int_equal(sotto_prekey_generate(&r->env.env, &d->p.keys.sign, d->p.party.generation,
                                               SOTTO_PREKEY_ONE_TIME, d->next_key++,
                                               r->env.now + SOTTO_PREKEY_LIFETIME_MS, &secret,
                                               &page->keys[i]),
                         0);
        q.u.put_prekeys.one_time[i] = (struct sotto_bytes){page->keys[i].bytes, SOTTO_PREKEY_BYTES};
    }
    q.u.put_prekeys.count = count;
    return q;
}

void dev_connect(struct rig *r, struct dev *d, struct client *c, uint64_t committed)
{
    struct sotto_request q, begin = {.type = SOTTO_REQ_BEGIN};
    struct sotto_answer *a;

    client_open(r, c, NULL);
    q = dev_sign_in(d, c);
    a = client_ask(c, &q);
    assert_int_equal(a->type, SOTTO_ANS_SIGNED_IN);
    sotto_answer_free(a);
    begin.u.begin.committed = committed;
    assert_int_equal(client_try(c, &begin), 0);
}

void dev_join(struct rig *r, struct dev *d, struct client *c, const char *name)
{
    struct sotto_request q;
    struct client first;

    dev_make(r, d, name);
    client_open(r, &first, NULL);
    q = dev_register(d, NULL);
    assert_int_equal(client_try(&first, &q), 0);
    client_free(&first);
    dev_connect(r, d, c, 0);
}

void dev_add(struct rig *r, struct dev *first, struct client *first_conn, struct dev *second,
             struct client *second_conn)
{
    const struct dev *both[] = {first, second};
    struct sotto_rs_account account;
    struct sotto_rs_link link = {.asked_at_ms = r->env.now};
    struct sotto_request q;

    dev_second(r, second, first);
    assert_int_equal(sotto_rs_account_find(r->store, first->p.account.name, &account), 0);
    link.device = second->p.device.id;
    memcpy(link.entry, second->p.entry, sizeof link.entry);
    memcpy(link.signed_prekey, second->p.signed_prekey.bytes, sizeof link.signed_prekey);
    assert_int_equal(sotto_rs_link_put(r->store, account.id, &link), 0);
    dev_list(first, both, 2, 1);
    q = dev_put_list(first);
    assert_int_equal(client_try(first_conn, &q), 0);
    dev_connect(r, second, second_conn, 0);
}

/* --- messages --- */

void token_hash(uint8_t fill, uint8_t ret[32])
{
    uint8_t token[SOTTO_TOKEN];

    memset(token, fill, sizeof token);
    sotto_sha256(token, sizeof token, ret);
}

void token_set(struct client *owner, uint8_t fill, bool add)
{
    struct sotto_request q = {.type = SOTTO_REQ_SET_TOKENS};

    q.u.set_tokens.add_count = add;
    q.u.set_tokens.remove_count = !add;
    token_hash(fill, add ? q.u.set_tokens.add[0] : q.u.set_tokens.remove[0]);
    assert_int_equal(client_try(owner, &q), 0);
}

struct sotto_request with_token(struct sotto_request q, uint8_t fill)
{
    q.u.submit.has_token = true;
    memset(q.u.submit.token, fill, SOTTO_TOKEN);
    return q;
}

struct sotto_request submit_to(const struct dev *to, const char *text, uint32_t lane)
{
    struct sotto_request q = {.type = SOTTO_REQ_SUBMIT};

    memcpy(q.u.submit.to, to->p.account.name, sizeof q.u.submit.to);
    q.u.submit.list_version = to->parsed.version;
    q.u.submit.count = 1;
    q.u.submit.parcels[0].device = to->p.device.id;
    q.u.submit.parcels[0].envelope = (struct sotto_bytes){(const uint8_t *)text, strlen(text)};
    q.u.submit.parcels[0].lane = lane;
    return q;
}

int submit(struct client *c, struct sotto_request *q)
{
    struct sotto_answer *a = client_ask(c, q);
    int result;

    if (a->type == SOTTO_ANS_ERROR) {
        result = -(int)a->u.error.code;
    } else {
        assert_int_equal(a->type, SOTTO_ANS_SUBMITTED);
        assert_int_equal(a->u.submitted.count, 1);
        assert_int_equal(a->u.submitted.results[0].device, q->u.submit.parcels[0].device);
        result = (int)a->u.submitted.results[0].state;
    }
    sotto_answer_free(a);
    return result;
}

uint64_t expect_deliver(struct client *c, const char *text)
{
    struct sotto_answer *a = client_push(c, SOTTO_ANS_DELIVER);
    uint64_t seq;

    assert_non_null(a);
    assert_int_equal(a->u.deliver.envelope.n, strlen(text));
    assert_memory_equal(a->u.deliver.envelope.p, text, strlen(text));
    seq = a->u.deliver.seq;
    sotto_answer_free(a);
    return seq;
}

void ack(struct client *c, uint64_t seq)
{
    struct sotto_request q = {.type = SOTTO_REQ_ACK};

    q.u.ack.seq = seq;
    client_tell(c, &q);
    rig_turn(c->r);
}

int send_list(struct client *c, const struct dev *d)
{
    struct sotto_request q = dev_put_list(d);

    return client_try(c, &q);
}

void expect_list(struct client *c, const struct dev *d)
{
    struct sotto_answer *a = client_push(c, SOTTO_ANS_LIST_CHANGED);

    assert_non_null(a);
    assert_int_equal(a->u.list_changed.list.n, d->list_len);
    assert_memory_equal(a->u.list_changed.list.p, d->list, d->list_len);
    sotto_answer_free(a);
}

void expect_closing(struct client *c, enum sotto_closing reason, const char *words)
{
    struct sotto_answer *a = client_push(c, SOTTO_ANS_CLOSING);

    assert_null(c->conn);
    assert_non_null(a);
    assert_int_equal(a->u.closing.reason, reason);
    if (words != NULL)
        assert_non_null(strstr(a->u.closing.text, words));
    sotto_answer_free(a);
}
