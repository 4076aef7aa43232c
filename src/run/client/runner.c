/* SPDX-License-Identifier: Apache-2.0 */
#include "run/client/runner.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/conn.h"
#include "run/client/pause.h"

#define DIAL_MS   10000
#define LINGER_MS 1000

struct sotto_runner {
    struct sotto_loop *loop;
    struct sotto_profile *profile;
    struct sotto_engine *engine;
    sotto_runner_emit *emit;
    void *ctx;
    struct sotto_conn *conn;
    struct sotto_tls *tls;
    struct sotto_cert *cert;
    struct sotto_timer *retry, *due;
    bool waiting; /* the pause between attempts runs */
    bool hang_up, dial_now, closing, settling;
    uint32_t pause_ms;
};

static void settle(struct sotto_runner *r);

/* --- what the engine wants: noted here, done in settle(), never inside its own calls --- */

static bool on_emit(void *ctx, struct sotto_ref to, enum sotto_event_type type, const void *row)
{
    struct sotto_runner *r = ctx;

    return r->emit(r->ctx, to, type, row);
}

static void on_hang_up(void *ctx)
{
    struct sotto_runner *r = ctx;

    r->hang_up = true;
}

static void on_connect_now(void *ctx)
{
    struct sotto_runner *r = ctx;

    r->dial_now = true;
    r->pause_ms = 0;
}

static const struct sotto_engine_ops engine_ops = {
    .emit = on_emit,
    .hang_up = on_hang_up,
    .connect_now = on_connect_now,
};

/* --- pauses --- */

static void lost(struct sotto_runner *r, enum sotto_err why, const char *text, const uint8_t *pin)
{
    uint32_t pause = sotto_pause_next(sotto_env_system(), &r->pause_ms);

    if (pause < sotto_engine_least_pause(r->engine))
        pause = sotto_engine_least_pause(r->engine);
    sotto_conn_free(r->conn);
    r->conn = NULL;
    sotto_tls_free(r->tls);
    r->tls = NULL;
    r->hang_up = false;
    r->waiting = true;
    sotto_timer_start(r->retry, pause);
    sotto_engine_disconnected(r->engine, why, text, pin, pause);
}

/* --- the connection --- */

static void conn_up(void *ctx, struct sotto_conn *c, const struct sotto_tls_info *info)
{
    struct sotto_runner *r = ctx;
    struct sotto_engine_tls tls;

    (void)c;
    memcpy(tls.exporter, info->exporter, sizeof tls.exporter);
    memcpy(tls.pin, info->peer_pin, sizeof tls.pin);
    snprintf(tls.version, sizeof tls.version, "%s", info->version);
    snprintf(tls.cipher, sizeof tls.cipher, "%s", info->cipher);
    snprintf(tls.group, sizeof tls.group, "%s", info->group);
    sotto_engine_connected(r->engine, &tls);
    sotto_wipe(&tls, sizeof tls);
    settle(r);
}

static void conn_frame(void *ctx, struct sotto_conn *c, const uint8_t *body, size_t len)
{
    struct sotto_runner *r = ctx;

    (void)c;
    sotto_engine_frame(r->engine, body, len);
    if (sotto_engine_online(r->engine))
        r->pause_ms = 0;
    settle(r);
}

static void conn_writable(void *ctx, struct sotto_conn *c)
{
    (void)c;
    settle(ctx);
}

static void conn_down(void *ctx, struct sotto_conn *c, enum sotto_err why, const char *detail,
                      const struct sotto_tls_info *info)
{
    struct sotto_runner *r = ctx;

    (void)c;
    /* A stream that breaks off is IO down there; to the engine IO is the disk. */
    lost(r, why == SOTTO_ERR_IO ? SOTTO_ERR_CLOSED : why, detail,
         why == SOTTO_ERR_PIN && info != NULL && info->has_peer_pin ? info->peer_pin : NULL);
    settle(r);
}

static const struct sotto_conn_ops conn_ops = {
    .up = conn_up,
    .frame = conn_frame,
    .writable = conn_writable,
    .down = conn_down,
};

static enum sotto_err load_cert(struct sotto_runner *r)
{
    SOTTO_AUTO_BUF pem = SOTTO_BUF(8192);
    SOTTO_AUTO_BUF key = SOTTO_BUF(8192);
    enum sotto_err err;

    if (r->cert != NULL)
        return SOTTO_OK;
    if ((err = sotto_engine_certificate(r->engine, &pem, &key)) != SOTTO_OK)
        return err;
    return sotto_cert_client_load(&(struct sotto_bytes){pem.p, pem.n},
                                  &(struct sotto_bytes){key.p, key.n}, &r->cert);
}

static void dial(struct sotto_runner *r)
{
    struct sotto_engine_target to;
    struct sotto_tls_trust trust;
    enum sotto_err err;

    if (!sotto_engine_target(r->engine, &to))
        return;
    trust =
        (struct sotto_tls_trust){.pin_count = to.pin_count, .pins = (const uint8_t(*)[32])to.pins};
    sotto_engine_connecting(r->engine);
    if ((err = load_cert(r)) != SOTTO_OK ||
        (err = sotto_tls_client(r->cert, &trust, &r->tls)) != SOTTO_OK ||
        (err = sotto_conn_dial(r->loop, to.host, to.port, r->tls, DIAL_MS, &conn_ops, r,
                               &r->conn)) != SOTTO_OK)
        lost(r, err, sotto_err_text(err), NULL);
}

/* --- after every entry into the engine --- */

static void arm(struct sotto_runner *r)
{
    uint64_t at = sotto_engine_deadline(r->engine), now = sotto_mono_ms(sotto_env_system());

    if (at == UINT64_MAX)
        sotto_timer_stop(r->due);
    else
        sotto_timer_start(r->due, at > now ? at - now : 0);
}

static void send_output(struct sotto_runner *r)
{
    struct sotto_buf *out = sotto_engine_output(r->engine);

    if (r->conn == NULL || out->n == 0 || sotto_conn_pending(r->conn) > SOTTO_CONN_HIGH)
        return;
    if (sotto_conn_write(r->conn, out->p, out->n) != SOTTO_OK)
        r->hang_up = true;
    sotto_buf_clear(out);
}

static void settle(struct sotto_runner *r)
{
    if (r->settling)
        return;
    r->settling = true;
    send_output(r);
    if (r->hang_up && r->conn != NULL)
        lost(r, SOTTO_ERR_CLOSED, "the connection was closed", NULL);
    r->hang_up = false;
    if (r->dial_now && r->waiting) {
        r->waiting = false;
        sotto_timer_stop(r->retry);
    }
    r->dial_now = false;
    if (r->conn == NULL && !r->waiting && !r->closing)
        dial(r);
    arm(r);
    r->settling = false;
}

static void retry_now(void *ctx)
{
    struct sotto_runner *r = ctx;

    r->waiting = false;
    settle(r);
}

static void tick(void *ctx)
{
    struct sotto_runner *r = ctx;

    sotto_engine_tick(r->engine);
    settle(r);
}

/* --- object --- */

enum sotto_err sotto_runner_new(struct sotto_loop *loop, struct sotto_profile *profile,
                                sotto_runner_emit *emit, void *ctx, struct sotto_runner **ret)
{
    struct sotto_runner *r = calloc(1, sizeof *r);
    enum sotto_err err = SOTTO_ERR_NOMEM;

    if (r == NULL) {
        sotto_profile_close(profile);
        return err;
    }
    r->loop = loop;
    r->profile = profile;
    r->emit = emit;
    r->ctx = ctx;
    r->retry = sotto_timer_new(loop, retry_now, r);
    r->due = sotto_timer_new(loop, tick, r);
    if (r->retry == NULL || r->due == NULL ||
        (err = sotto_engine_new(sotto_env_system(), profile, &engine_ops, r, &r->engine)) !=
            SOTTO_OK) {
        sotto_runner_free(r);
        return err;
    }
    r->waiting = true;
    sotto_timer_start(r->retry, 0);
    arm(r);
    *ret = r;
    return SOTTO_OK;
}

/* Lets receipts and the like that are under way get their answer. */
static void linger(struct sotto_runner *r)
{
    uint64_t end = sotto_mono_ms(sotto_env_system()) + LINGER_MS, now;

    while (r->conn != NULL && sotto_engine_online(r->engine) &&
           (now = sotto_mono_ms(sotto_env_system())) < end && !sotto_engine_idle(r->engine)) {
        struct pollfd p = {.fd = sotto_loop_fd(r->loop), .events = POLLIN};

        (void)poll(&p, 1, (int)(end - now));
        sotto_loop_dispatch(r->loop);
    }
}

void sotto_runner_stop(struct sotto_runner *r)
{
    r->closing = true;
    if (r->engine == NULL || r->conn == NULL)
        return;
    sotto_engine_tick(r->engine);
    settle(r);
    linger(r);
    sotto_engine_goodbye(r->engine);
    send_output(r);
    if (r->conn != NULL)
        sotto_conn_finish(r->conn);
    r->conn = NULL;
}

void sotto_runner_free(struct sotto_runner *r)
{
    if (r == NULL)
        return;
    sotto_runner_stop(r);
    sotto_timer_free(r->retry);
    sotto_timer_free(r->due);
    sotto_engine_free(r->engine);
    sotto_profile_close(r->profile);
    sotto_cert_free(r->cert);
    /* The connection flushes by itself; its TLS context is counted by OpenSSL. */
    sotto_tls_free(r->tls);
    free(r);
}

void sotto_runner_call(struct sotto_runner *r, const struct sotto_call *call)
{
    sotto_engine_call(r->engine, call);
    settle(r);
}

void sotto_runner_origin_gone(struct sotto_runner *r, uint32_t origin)
{
    sotto_engine_origin_gone(r->engine, origin);
    settle(r);
}

bool sotto_runner_has_account(const struct sotto_runner *r)
{
    return sotto_engine_has_account(r->engine);
}
