/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "crypto/pwhash.h"
#include "engine_rig_internal.h"
#include "net/cert.h"
#define row row_of_mail /* engine_rig.h has one too */
#include "relay/core.h"
#undef row

#define STEPS_MAX 20000 /* more than any test needs: the world does not come to rest */

/* 64 MiB of Argon2id in each sign-up would be all that these tests do. */
enum sotto_err __real_sotto_pwhash(const void *password, size_t password_len,
                                   const uint8_t salt[16], uint32_t mem_kib, uint32_t passes,
                                   void *ret, size_t ret_len);
enum sotto_err __wrap_sotto_pwhash(const void *password, size_t password_len,
                                   const uint8_t salt[16], uint32_t mem_kib, uint32_t passes,
                                   void *ret, size_t ret_len);
enum sotto_err __wrap_sotto_pwhash(const void *password, size_t password_len,
                                   const uint8_t salt[16], uint32_t mem_kib, uint32_t passes,
                                   void *ret, size_t ret_len)
{
    return __real_sotto_pwhash(password, password_len, salt, 8, 1, ret, ret_len);
}

void rig_trace(const char *fmt, ...)
{
    va_list ap;

    if (getenv("ENGINE_RIG_LOG") == NULL)
        return;
    va_start(ap, fmt);
    printf("# ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

static void no_bugs(void *ctx, enum sotto_log_level level, const char *line)
{
    rig_trace("log: %s", line);
    assert_int_not_equal(level, SOTTO_LOG_BUG);
}

/* --- folders --- */

void rig_fresh_folder(struct world *w, const char *who, char *ret, size_t room)
{
    snprintf(ret, room, "%s/%u-%s", w->dir.path, ++w->folders, who);
    if (w->disk == NULL)
        assert_int_equal(mkdir(ret, 0700), 0);
}

/* Long schedules would fill a disk in memory with what was left behind. */
void rig_drop_folder(const struct world *w, const char *path)
{
    struct folder old;
    int len = snprintf(old.path, sizeof old.path, "%s", path);

    assert_in_range(len, 1, sizeof old.path - 1);
    if (w->disk != NULL)
        w->disk->drop(path);
    else
        folder_remove(&old);
}

bool rig_is_dead(const struct world *w, const char *folder)
{
    return w->disk != NULL && w->disk->dead(folder);
}

void rig_copy_database(const struct world *w, const char *from, const char *to, const char *name,
                       bool crash)
{
    static const char *const endings[] = {"", "-wal"};
    char a[256], b[256];

    if (w->disk != NULL) {
        w->disk->copy(from, to, name, crash);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(a, sizeof a, "%s/%s%s", from, name, endings[i]);
        snprintf(b, sizeof b, "%s/%s%s", to, name, endings[i]);
        if (file_exists(a))
            file_copy(a, b);
        else
            (void)remove(b);
    }
}

void rig_label_folder(const struct world *w, const char *who, const char *label, char ret[256])
{
    snprintf(ret, 256, "%s/saved-%s-%s", w->dir.path, who, label);
}

/* --- links --- */

void rig_link_close(struct phone *p)
{
    if (p->conn != NULL)
        sotto_relay_closed(p->conn);
    p->conn = NULL;
    p->linked = p->ending = p->hang_up = false;
    p->up.n = p->down.n = 0;
}

void rig_link_lost(struct phone *p, enum sotto_err why, const char *text, const uint8_t *pin)
{
    rig_link_close(p);
    p->retry_mono = p->env.mono + PHONE_PAUSE_MS;
    sotto_engine_disconnected(p->engine, why, text, pin, PHONE_PAUSE_MS);
    rig_phone_after(p);
}

static bool pin_trusted(const struct sotto_engine_target *to, const uint8_t pin[32])
{
    for (size_t i = 0; i < to->pin_count; i++)
        if (memcmp(to->pins[i], pin, 32) == 0)
            return true;
    return to->pin_count == 0;
}

static enum sotto_err certificate_load(struct phone *p)
{
    SOTTO_AUTO_BUF pem = SOTTO_BUF(8192);
    SOTTO_AUTO_BUF key = SOTTO_BUF(8192);
    struct sotto_cert *cert = NULL;
    enum sotto_err e;

    if (p->has_certificate)
        return SOTTO_OK;
    if ((e = sotto_engine_certificate(p->engine, &pem, &key)) != SOTTO_OK ||
        (e = sotto_cert_client_load(&(struct sotto_bytes){pem.p, pem.n},
                                    &(struct sotto_bytes){key.p, key.n}, &cert)) != SOTTO_OK)
        return e;
    sotto_cert_pin(cert, p->certificate);
    sotto_cert_free(cert);
    p->has_certificate = true;
    return SOTTO_OK;
}

static void tls_facts(struct phone *p, struct sotto_engine_tls *ret)
{
    const uint8_t *pin = p->relay_pin != NULL ? p->relay_pin : p->w->config.pins[0];

    memset(ret, 0, sizeof *ret);
    memset(ret->exporter, 0xe1, sizeof ret->exporter);
    sotto_put_u32(ret->exporter, ++p->w->connections);
    memcpy(ret->pin, pin, 32);
    snprintf(ret->version, sizeof ret->version, "TLSv1.3");
    snprintf(ret->cipher, sizeof ret->cipher, "TLS_AES_256_GCM_SHA384");
    snprintf(ret->group, sizeof ret->group, "X25519MLKEM768");
}

static void dial(struct phone *p)
{
    struct sotto_engine_target to;
    struct sotto_engine_tls tls;
    struct sotto_relay_peer peer = {.has_pin = true};
    enum sotto_err e;

    if (!sotto_engine_target(p->engine, &to))
        return;
    sotto_engine_connecting(p->engine);
    if ((e = certificate_load(p)) != SOTTO_OK) {
        rig_link_lost(p, e, sotto_err_text(e), NULL);
        return;
    }
    tls_facts(p, &tls);
    if (p->w->relay == NULL) {
        rig_link_lost(p, SOTTO_ERR_REFUSED, "connection refused", NULL);
        return;
    }
    if (!pin_trusted(&to, tls.pin)) {
        rig_link_lost(p, SOTTO_ERR_PIN, "the key is not pinned", tls.pin);
        return;
    }
    memcpy(peer.exporter, tls.exporter, sizeof peer.exporter);
    memcpy(peer.pin, p->certificate, sizeof peer.pin);
    snprintf(peer.address, sizeof peer.address, "192.0.2.%u", p->number + 1);
    if (sotto_relay_open(p->w->relay, &peer, p, &p->conn) != SOTTO_OK) {
        p->conn = NULL;
        rig_link_lost(p, SOTTO_ERR_CLOSED, "the relay closed the connection", NULL);
        return;
    }
    p->linked = true;
    sotto_engine_connected(p->engine, &tls);
    rig_phone_after(p);
}

static bool may_dial(const struct phone *p)
{
    struct sotto_engine_target to;

    return p->engine != NULL && !p->linked && !p->no_network && p->env.mono >= p->retry_mono &&
           sotto_engine_target(p->engine, &to);
}

/* --- the engine's side --- */

static bool on_emit(void *ctx, struct sotto_ref to, enum sotto_event_type type, const void *row)
{
    struct phone *p = ctx;
    struct sotto_event *e = sotto_event_new(to.request, type, row);

    if (e == NULL)
        return false;
    if (p->told_count == p->told_room) {
        p->told_room = p->told_room * 2 + 64;
        p->told = realloc(p->told, p->told_room * sizeof *p->told);
        assert_non_null(p->told);
    }
    p->told[p->told_count++] = (struct told){to.origin, e};
    if (sotto_event_done(e) != NULL)
        rig_trace("%s: done %u: %d %s", p->name, to.request, (int)sotto_event_done(e)->result,
                  sotto_event_done(e)->text);
    if (sotto_event_notice(e) != NULL)
        rig_trace("%s: notice: %s", p->name, sotto_event_notice(e));
    if (type != SOTTO_EVENT_MESSAGE || to.origin != 0 || to.request == 0 ||
        to.request != p->receiver)
        return true;
    const struct sotto_message *m = row;

    if (p->printed_count == p->printed_room) {
        p->printed_room = p->printed_room * 2 + 64;
        p->printed = realloc(p->printed, p->printed_room * sizeof *p->printed);
        assert_non_null(p->printed);
    }
    struct printed *out = &p->printed[p->printed_count++];

    memset(out, 0, sizeof *out);
    snprintf(out->id, sizeof out->id, "%s", m->id);
    snprintf(out->from, sizeof out->from, "%s", m->from);
    snprintf(out->device, sizeof out->device, "%s", m->device);
    snprintf(out->kind, sizeof out->kind, "%s", m->kind);
    out->text = strndup(m->text, m->text_len);
    out->gap = m->gap;
    out->is_request = m->is_request;
    return true;
}

static void on_hang_up(void *ctx)
{
    ((struct phone *)ctx)->hang_up = true;
}

static void on_connect_now(void *ctx)
{
    ((struct phone *)ctx)->dial_now = true;
}

const struct sotto_engine_ops rig_engine_ops = {
    .emit = on_emit,
    .hang_up = on_hang_up,
    .connect_now = on_connect_now,
};

static void take_output(struct phone *p)
{
    struct sotto_buf *out = sotto_engine_output(p->engine);

    if (p->linked)
        assert_int_equal(sotto_buf_add(&p->up, out->p, out->n), SOTTO_OK);
    sotto_buf_clear(out);
}

/* What the engine said up to here is out, unless it died in the middle. false: it did. */
static bool has_left(struct phone *p)
{
    if (rig_is_dead(p->w, p->path))
        return false;
    p->told_safe = p->told_count;
    p->printed_safe = p->printed_count;
    return true;
}

static bool confirm_printed(struct phone *p)
{
    while (p->confirms && p->confirmed < p->printed_count) {
        struct sotto_call call = {.op = SOTTO_OP_SHOWN};
        size_t at = p->confirmed++;
        const char *id = p->printed[at].id;

        call.s[0] = (struct sotto_bytes){(const uint8_t *)id, strlen(id)};
        sotto_engine_call(p->engine, &call);
        if (!has_left(p)) {
            p->printed[at].unsure = true;
            return false;
        }
    }
    return true;
}

static void start_reading(struct phone *p)
{
    struct sotto_call call = {.op = SOTTO_OP_RECEIVE, .ref.request = ++p->requests};

    p->receiver = call.ref.request;
    sotto_engine_call(p->engine, &call);
    if (phone_result(p, call.ref.request) == SOTTO_RESULT_FAILED)
        p->receiver = 0; /* whoever reads tries again */
}

/* Nothing of what a process said in its last moment has left it. */
static void phone_wreck(struct phone *p)
{
    rig_trace("%s: died while it wrote", p->name);
    while (p->told_count > p->told_safe)
        sotto_event_free(p->told[--p->told_count].event);
    while (p->printed_count > p->printed_safe)
        free(p->printed[--p->printed_count].text);
    p->deaths++;
    phone_crash(p);
}

void rig_phone_after(struct phone *p)
{
    bool alive = has_left(p);

    if (alive && p->reads && p->receiver == 0 && sotto_engine_has_account(p->engine)) {
        start_reading(p);
        alive = has_left(p);
    }
    if (!alive || !confirm_printed(p)) {
        phone_wreck(p);
        return;
    }
    take_output(p);
    if (p->hang_up && p->linked)
        rig_link_lost(p, SOTTO_ERR_CLOSED, "the connection was closed", NULL);
    p->hang_up = false;
    if (p->dial_now)
        p->retry_mono = 0;
    p->dial_now = false;
}

unsigned rig_next_turn(struct world *w)
{
    if (w->dice == 0)
        return ++w->turn;
    w->dice ^= w->dice << 13;
    w->dice ^= w->dice >> 7;
    w->dice ^= w->dice << 17;
    return (unsigned)(w->dice >> 33);
}

/* --- frames --- */

static bool whole_frame(const struct sotto_buf *b, struct sotto_bytes *ret)
{
    if (b->n < SOTTO_FRAME_HEADER || b->n - SOTTO_FRAME_HEADER < sotto_get_u32(b->p))
        return false;
    *ret = (struct sotto_bytes){b->p + SOTTO_FRAME_HEADER, sotto_get_u32(b->p)};
    return true;
}

static void fault_fire(struct phone *p)
{
    struct world *w = p->w;

    w->fault.fired = true;
    switch (w->fault.kind) {
    case FAULT_CUT:
        phone_cut(p);
        break;
    case FAULT_KILL_PHONE:
        phone_crash(p);
        break;
    case FAULT_KILL_RELAY:
        relay_kill(w);
        break;
    default:
        break;
    }
}

static bool fault_due(struct world *w, bool early)
{
    return w->fault.kind != FAULT_NONE && !w->fault.fired && w->fault.early == early &&
           w->carried == w->fault.at;
}

/* The frame's copy, changed by whoever listens; n 0: lost. */
static bool pass_on(struct phone *p, enum way way, struct sotto_buf *body)
{
    return p->w->carry == NULL || p->w->carry(p->w->carry_ctx, p, way, body);
}

static const char *request_word(int type)
{
    static const char *const words[] = {
        "sign-in", "begin",  "opaque register", "register",       "opaque login", "opaque finish",
        "link",    "links?", "put list",        "lists?",         "bundle?",      "put pre-keys",
        "submit",  "ack",    "set tokens",      "delete account", "ping",         "goodbye"};

    return words[type - SOTTO_REQ_SIGN_IN];
}

static const char *answer_word(int type)
{
    static const char *const words[] = {
        "error",     "hello", "done",  "signed in", "opaque registered", "opaque challenge",
        "logged in", "links", "lists", "bundle",    "pre-keys kept",     "submitted"};
    static const char *const pushes[] = {"deliver",      "ephemeral",    "list changed",
                                         "link pending", "pre-keys low", "closing"};

    return type >= SOTTO_ANS_DELIVER ? pushes[type - SOTTO_ANS_DELIVER]
                                     : words[type - SOTTO_ANS_ERROR];
}

static void trace_frame(const struct phone *p, enum way way, const struct sotto_buf *body)
{
    if (getenv("ENGINE_RIG_LOG") == NULL)
        return;
    rig_trace("%lu %s %s %s", p->w->carried, p->name, way == UP ? "->" : "<-",
              way == UP ? request_word((int)request_type(body))
                        : answer_word((int)answer_type(body)));
}

static bool carry_up(struct phone *p)
{
    SOTTO_AUTO_BUF body = SOTTO_BUF(SOTTO_FRAME_MAX);
    struct world *w = p->w;
    struct sotto_bytes frame;

    if (!p->linked || p->conn == NULL || !sotto_relay_wants_input(p->conn) ||
        !whole_frame(&p->up, &frame))
        return false;
    assert_int_equal(sotto_buf_add(&body, frame.p, frame.n), SOTTO_OK);
    sotto_buf_consume(&p->up, SOTTO_FRAME_HEADER + frame.n);
    w->carried++;
    trace_frame(p, UP, &body);
    if (fault_due(w, true)) {
        fault_fire(p);
        return true;
    }
    if (!pass_on(p, UP, &body))
        return true;
    if (p->conn == NULL) /* the listener pulled the plug */
        return true;
    sotto_relay_frame(p->conn, body.p, body.n);
    if (fault_due(w, false)) {
        /* Done and stored, and no answer has left. */
        if (rig_relay_commit(w))
            fault_fire(p);
        return true;
    }
    rig_relay_turn(w);
    return true;
}

static bool carry_down(struct phone *p)
{
    SOTTO_AUTO_BUF body = SOTTO_BUF(SOTTO_FRAME_MAX);
    struct world *w = p->w;
    struct sotto_bytes frame;

    if (!p->linked || !whole_frame(&p->down, &frame)) {
        if (p->linked && p->ending)
            rig_link_lost(p, SOTTO_ERR_CLOSED, "the relay closed the connection", NULL);
        return false;
    }
    assert_int_equal(sotto_buf_add(&body, frame.p, frame.n), SOTTO_OK);
    sotto_buf_consume(&p->down, SOTTO_FRAME_HEADER + frame.n);
    w->carried++;
    trace_frame(p, DOWN, &body);
    if (fault_due(w, true)) {
        fault_fire(p);
        return true;
    }
    if (p->conn != NULL)
        sotto_relay_sent(p->conn, p->down.n);
    if (pass_on(p, DOWN, &body) && p->linked)
        sotto_engine_frame(p->engine, body.p, body.n);
    if (fault_due(w, false)) {
        (void)confirm_printed(p);
        fault_fire(p);
        return true;
    }
    rig_phone_after(p);
    rig_relay_turn(w);
    return true;
}

static bool carry(struct phone *p, enum way way)
{
    if (p->engine == NULL)
        return false;
    return way == UP ? carry_up(p) : carry_down(p);
}

/* Sooner or later the relay has another turn: what lingers leaves. */
static bool turn_again(struct world *w)
{
    struct sotto_bytes frame;

    if (w->relay == NULL || w->relay->lingering == NULL)
        return false;
    rig_relay_turn(w);
    for (size_t i = 0; i < w->phone_count; i++)
        if (w->phones[i]->linked && whole_frame(&w->phones[i]->down, &frame))
            return true;
    return false;
}

bool world_step(struct world *w)
{
    unsigned start = rig_next_turn(w), ways = (unsigned)w->phone_count * 2;

    if (w->kill_in > 0 && --w->kill_in == 0 && w->relay != NULL) {
        rig_trace("the relay is killed, soon after a sync");
        relay_kill(w);
        return true;
    }
    for (size_t i = 0; i < w->phone_count; i++)
        if (may_dial(w->phones[i])) {
            dial(w->phones[i]);
            rig_relay_turn(w);
            return true;
        }
    for (unsigned i = 0; i < ways; i++) {
        unsigned at = (start + i) % ways;

        if (carry(w->phones[at / 2], at % 2 == 0 ? UP : DOWN))
            return true;
    }
    if (w->relay != NULL && w->syncing) {
        (void)rig_sync_ends(w);
        return true;
    }
    return turn_again(w);
}

void world_run(struct world *w)
{
    for (unsigned n = 0; world_step(w); n++)
        assert_true(n < STEPS_MAX);
}

/* --- time --- */

static void clock_forward(struct world *w, uint64_t ms)
{
    w->env.now += ms;
    w->env.mono += ms;
    for (size_t i = 0; i < w->phone_count; i++) {
        w->phones[i]->env.now += ms;
        w->phones[i]->env.mono += ms;
    }
}

static uint64_t next_deadline(const struct world *w)
{
    uint64_t at = w->relay != NULL ? sotto_relay_deadline(w->relay) : UINT64_MAX;
    struct sotto_engine_target to;

    for (size_t i = 0; i < w->phone_count; i++) {
        const struct phone *p = w->phones[i];

        if (p->engine == NULL)
            continue;
        if (sotto_engine_deadline(p->engine) < at)
            at = sotto_engine_deadline(p->engine);
        if (!p->linked && !p->no_network && p->retry_mono > p->env.mono && p->retry_mono < at &&
            sotto_engine_target(p->engine, &to))
            at = p->retry_mono;
    }
    return at;
}

static void tick_all(struct world *w)
{
    if (w->relay != NULL && w->env.mono >= sotto_relay_deadline(w->relay)) {
        sotto_relay_tick(w->relay);
        rig_relay_turn(w);
    }
    for (size_t i = 0; i < w->phone_count; i++) {
        struct phone *p = w->phones[i];

        if (p->engine == NULL || p->env.mono < sotto_engine_deadline(p->engine))
            continue;
        sotto_engine_tick(p->engine);
        rig_phone_after(p);
        rig_relay_turn(w);
    }
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->env.mono + ms;

    world_run(w);
    while (w->env.mono < end) {
        uint64_t at = next_deadline(w);

        if (at <= w->env.mono)
            at = w->env.mono + 1;
        clock_forward(w, (at < end ? at : end) - w->env.mono);
        tick_all(w);
        world_run(w);
    }
}

void world_settle(struct world *w)
{
    world_pass(w, WORLD_SETTLE_MS);
}

void world_stall(struct world *w, uint64_t ms)
{
    clock_forward(w, ms);
    tick_all(w);
}

void world_jump(struct world *w, uint64_t ms)
{
    world_run(w);
    clock_forward(w, ms);
    tick_all(w);
    world_settle(w);
}

void fault_arm(struct world *w, enum fault_kind kind, unsigned long at, bool early)
{
    w->carried = 0;
    w->fault = (struct fault){.kind = kind, .at = at, .early = early};
}

/* --- the world --- */

void world_make(struct world *w)
{
    world_make_on(w, NULL);
}

void world_make_on(struct world *w, const struct rig_disk *disk)
{
    static const uint8_t seed[32] = "the relay of the world";

    memset(w, 0, sizeof *w);
    (void)umask(077);
    sotto_log_set(no_bugs, NULL, SOTTO_LOG_DEBUG);
    if (disk != NULL) {
        w->disk = disk;
        w->vfs = disk->vfs;
        snprintf(w->dir.path, sizeof w->dir.path, "world");
    } else {
        folder_make(&w->dir);
    }
    sotto_env_fixed_init(&w->env, seed, WORLD_NOW_MS);
    w->env.mono = 1000;
    w->config = (struct sotto_relay_config){
        .registration = SOTTO_REGISTRATION_OPEN,
        .client_certificates = SOTTO_CLIENT_CERTS_REQUIRE,
        .quota_messages = SOTTO_RELAY_QUOTA_MESSAGES,
        .quota_bytes = SOTTO_RELAY_QUOTA_BYTES,
        .lifetime_days = SOTTO_RELAY_LIFETIME_DAYS,
        .requests_per_second = SOTTO_RELAY_REQUESTS_PER_SECOND,
        .pin_count = 1,
    };
    memset(w->config.pins[0], 0x70, 32);
    rig_fresh_folder(w, "relay", w->relay_path, sizeof w->relay_path);
    rig_relay_open(w);
}

void world_configure(struct world *w)
{
    assert_int_equal(sotto_relay_reconfigure(w->relay, &w->config), SOTTO_OK);
}

void world_free(struct world *w)
{
    for (size_t i = 0; i < w->phone_count; i++)
        rig_phone_free(w->phones[i]);
    w->phone_count = 0;
    rig_relay_close(w);
    if (w->disk != NULL)
        w->disk->drop(w->dir.path);
    else
        folder_remove(&w->dir);
    sotto_log_set(NULL, NULL, SOTTO_LOG_BUG);
}

void world_save(struct world *w, const char *label)
{
    relay_save(w, label);
    for (size_t i = 0; i < w->phone_count; i++)
        phone_save(w->phones[i], label);
}

void world_restore(struct world *w, const char *label)
{
    for (size_t i = 0; i < w->phone_count; i++)
        phone_kill(w->phones[i]);
    relay_restore(w, label, false);
    for (size_t i = 0; i < w->phone_count; i++) {
        rig_printed_clear(w->phones[i]);
        phone_forget(w->phones[i]);
        phone_restore(w->phones[i], label);
    }
    w->fault.kind = FAULT_NONE;
}
