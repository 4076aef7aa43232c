/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CLIENT_ENGINE_H
#define SOTTO_CLIENT_ENGINE_H

#include "base/env.h"
#include "sotto/sotto.h"
#include "store/profile.h"
#include "wire/answer.h"
#include "wire/invite.h"

/*
 * The client engine: what libsotto does, without sockets. Calls, frames and time come in; frames
 * and events go out; everything that has to survive goes through the profile store before it shows.
 * After every entry point the owner sends sotto_engine_output() and looks at the deadline.
 * An answer of the store that says "disk" (IO, FULL) ends the connection and is told in its cause:
 * nothing was acknowledged, so nothing is lost.
 */
struct sotto_engine;

/* Who asked: `origin` is the owner's name for a caller (0: the process itself), `request` his
 * number. */
struct sotto_ref {
    uint32_t origin, request;
};

enum sotto_op {
    SOTTO_OP_REGISTER = 1, /* s: address, pin, name, passphrase */
    SOTTO_OP_LOGIN,        /* the same */
    SOTTO_OP_DEVICES,
    SOTTO_OP_APPROVE, /* s: code */
    SOTTO_OP_REVOKE,  /* s: device id */
    SOTTO_OP_ACCOUNT_DELETE,
    SOTTO_OP_SEND, /* s: name, text, id (16 bytes, chosen by the caller: a call that is made again
                      after its engine ended does not send twice); n: wait, timeout_ms */
    SOTTO_OP_RECEIVE,      /* s: name or "" */
    SOTTO_OP_RECEIVE_STOP, /* n: request */
    SOTTO_OP_SHOWN,        /* s: id */
    SOTTO_OP_HISTORY,      /* s: name; n: limit */
    SOTTO_OP_DELETE,       /* s: id */
    SOTTO_OP_RESEND,       /* s: id */
    SOTTO_OP_TYPING,       /* s: name; n: active */
    SOTTO_OP_CONTACTS,
    SOTTO_OP_ACCEPT, /* s: name */
    SOTTO_OP_BLOCK,
    SOTTO_OP_UNBLOCK,
    SOTTO_OP_SAFETY,
    SOTTO_OP_CONFIRM, /* s: name, digits */
    SOTTO_OP_ACCEPT_IDENTITY,
    SOTTO_OP_TRUST, /* s: pin or invite */
    SOTTO_OP_STATUS,
    SOTTO_OP_LAST = SOTTO_OP_STATUS,
};
#define SOTTO_CALL_STRINGS 4
/* One call of the public interface; strings need not be terminated. */
struct sotto_call {
    struct sotto_ref ref;
    enum sotto_op op;
    uint32_t n[2];
    struct sotto_bytes s[SOTTO_CALL_STRINGS];
};

struct sotto_engine_ops {
    /* row: the public structure of that type; borrowed during the call. request 0 goes to
     * everybody. false: there was no memory for it. */
    bool (*emit)(void *ctx, struct sotto_ref to, enum sotto_event_type type, const void *row);
    /* The connection has to end now; sotto_engine_disconnected() follows. */
    void (*hang_up)(void *ctx);
    /* A connection is wanted at once: do not wait for the pause between attempts to end. */
    void (*connect_now)(void *ctx);
};

/* Facts of a TLS connection that came up. */
struct sotto_engine_tls {
    uint8_t exporter[32];
    uint8_t pin[32];
    char version[16], cipher[48], group[32];
};

/* The profile is borrowed. NOMEM, IO, MALFORMED (the profile's settings are damaged). */
enum sotto_err sotto_engine_new(const struct sotto_env *env, struct sotto_profile *profile,
                                const struct sotto_engine_ops *ops, void *ctx,
                                struct sotto_engine **ret);
void sotto_engine_free(struct sotto_engine *e);

/* Never fails: what is wrong is said by the DONE event. */
void sotto_engine_call(struct sotto_engine *e, const struct sotto_call *call);
/* This origin went away: its calls end without events; what it was shown and did not confirm will
 * be handed out again. */
void sotto_engine_origin_gone(struct sotto_engine *e, uint32_t origin);

/* Where to connect: false when there is nothing to connect for (no account and no sign-up under
 * way, revoked, or a security stop). pins may be none: by CA and host name then. */
struct sotto_engine_target {
    char host[256];
    uint16_t port;
    size_t pin_count;
    uint8_t pins[SOTTO_PINS_MAX][32];
    bool has_certificate;
};
bool sotto_engine_target(const struct sotto_engine *e, struct sotto_engine_target *ret);
/* The client certificate for TLS (PEM and DER key), made when there is none. */
enum sotto_err sotto_engine_certificate(struct sotto_engine *e, struct sotto_buf *ret_pem,
                                        struct sotto_buf *ret_key);

void sotto_engine_connecting(struct sotto_engine *e);
void sotto_engine_connected(struct sotto_engine *e, const struct sotto_engine_tls *tls);
void sotto_engine_frame(struct sotto_engine *e, const uint8_t *body, size_t len);
/* why CLOSED, DNS, REFUSED, ...; pin: with PIN, what was shown (32 bytes), else NULL; retry_ms: the
 * owner's pause before the next attempt. */
void sotto_engine_disconnected(struct sotto_engine *e, enum sotto_err why, const char *text,
                               const uint8_t *pin, uint32_t retry_ms);

/* Framed bytes to be sent; take (and clear) after each entry point. */
struct sotto_buf *sotto_engine_output(struct sotto_engine *e);
/* Monotonic time of the next sotto_engine_tick(); UINT64_MAX: none. */
uint64_t sotto_engine_deadline(const struct sotto_engine *e);
void sotto_engine_tick(struct sotto_engine *e);
/* Queues the goodbye; send the output, then close. */
void sotto_engine_goodbye(struct sotto_engine *e);

bool sotto_engine_has_account(const struct sotto_engine *e);
bool sotto_engine_online(const struct sotto_engine *e);
/* Two copies of a profile would take the connection from each other for ever: the pause that the
 * next attempt needs at least. */
uint32_t sotto_engine_least_pause(const struct sotto_engine *e);
/* Nothing is under way: no request without an answer. */
bool sotto_engine_idle(const struct sotto_engine *e);

#endif
