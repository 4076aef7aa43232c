/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "client/state.h"

/* Calls from outside: each becomes a job, which ends with exactly one DONE event. */

struct job *sotto_job_new(struct sotto_engine *e, const struct sotto_call *call)
{
    struct job *j = calloc(1, sizeof *j), **end = &e->jobs;

    if (j == NULL)
        return NULL;
    j->ref = call->ref;
    j->op = call->op;
    memcpy(j->n, call->n, sizeof j->n);
    while (*end != NULL)
        end = &(*end)->next;
    *end = j;
    return j;
}

static bool is_signing(const struct job *j)
{
    return !j->dead && (j->op == SOTTO_OP_REGISTER || j->op == SOTTO_OP_LOGIN);
}

struct job *sotto_job_signing(const struct sotto_engine *e)
{
    struct job *j = e->jobs;

    while (j != NULL && !is_signing(j))
        j = j->next;
    return j;
}

static void job_free(struct job *j)
{
    while (j->out != NULL) {
        struct shown *s = j->out;

        j->out = s->next;
        free(s);
    }
    sotto_opaque_client_free(j->opaque);
    if (j->text != NULL)
        sotto_wipe(j->text, j->text_len);
    free(j->text);
    sotto_wipe(j, sizeof *j);
    free(j);
}

static enum sotto_err is_there(void *ctx, const struct sotto_message_record *m)
{
    (void)ctx;
    (void)m;
    return SOTTO_OK;
}

void sotto_job_done(struct sotto_engine *e, struct job *j, enum sotto_result result,
                    const char *fmt, ...)
{
    static const uint8_t none[SOTTO_CONTENT_ID];
    struct sotto_done done = {.result = result};
    char text[512], id[33] = "";
    va_list ap;

    if (j == NULL || j->dead)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* What was refused is not kept: then there is no message of this id. */
    if (memcmp(j->id, none, sizeof none) != 0 &&
        sotto_message_get(e->p, j->id, is_there, NULL) == SOTTO_OK)
        sotto_hex_encode(j->id, sizeof j->id, id);
    done.text = text;
    done.id = id;
    j->dead = true;
    j->result = result;
    j->unsaid = !sotto_emit(e, j->ref, SOTTO_EVENT_DONE, &done);
    if (j->unsaid)
        sotto_say_later(e);
}

void sotto_jobs_say(struct sotto_engine *e)
{
    e->iterating++;
    for (struct job *j = e->jobs; j != NULL; j = j->next) {
        char id[33] = "";
        struct sotto_done done = {.result = j->result, .id = id};

        if (!j->unsaid)
            continue;
        if (j->result != SOTTO_RESULT_OK)
            done.text = "out of memory";
        else if (j->op == SOTTO_OP_SEND)
            sotto_hex_encode(j->id, sizeof j->id, id);
        j->unsaid = !sotto_emit(e, j->ref, SOTTO_EVENT_DONE, &done);
        if (j->unsaid)
            sotto_say_later(e);
    }
    e->iterating--;
}

void sotto_job_cannot_read(struct sotto_engine *e, struct job *j, enum sotto_err err)
{
    sotto_job_done(e, j, SOTTO_RESULT_FAILED, "the profile cannot be read: %s",
                   sotto_err_text(err));
}

void sotto_job_cannot_write(struct sotto_engine *e, struct job *j, enum sotto_err err)
{
    sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                   err == SOTTO_ERR_RANDOM ? "no random numbers to be had: %s"
                                           : "the profile cannot be written: %s",
                   sotto_err_text(err));
}

void sotto_job_offline(struct sotto_engine *e, struct job *j)
{
    switch (j->op) {
    case SOTTO_OP_SEND:
        sotto_job_done(e, j,
                       e->why_result == SOTTO_RESULT_OK ? SOTTO_RESULT_UNREACHABLE : e->why_result,
                       "kept here and sent as soon as the relay can be reached: %s", e->why_text);
        break;
    case SOTTO_OP_STATUS:
        sotto_view_status(e, j);
        break;
    case SOTTO_OP_RECEIVE:
        sotto_receive_start(e, j);
        break;
    case SOTTO_OP_DEVICES:
        j->phase = 1;
        sotto_devices_list(e, j);
        break;
    default:
        sotto_job_done(e, j,
                       e->why_result == SOTTO_RESULT_OK ? SOTTO_RESULT_UNREACHABLE : e->why_result,
                       "%s", e->why_text);
    }
}

/* Frees what has ended; answers that are still to come for it find no job. */
void sotto_jobs_sweep(struct sotto_engine *e)
{
    struct job **at = &e->jobs;
    bool signing = false;

    if (e->iterating > 0)
        return;
    while (*at != NULL) {
        struct job *j = *at;

        if (!j->dead || j->unsaid) {
            at = &j->next;
            continue;
        }
        signing = signing || j->op == SOTTO_OP_REGISTER || j->op == SOTTO_OP_LOGIN;
        for (struct pending *p = e->pending; p != NULL; p = p->next)
            if (p->job == j)
                p->job = NULL;
        *at = j->next;
        job_free(j);
    }
    /* Without an account a connection is that of one sign-up: the next one may name another relay.
     */
    if (signing && !e->registered && sotto_job_signing(e) == NULL)
        sotto_engine_trouble(e, SOTTO_ERR_CLOSED, "the sign-up has ended");
}

void sotto_jobs_free(struct sotto_engine *e)
{
    while (e->jobs != NULL) {
        struct job *j = e->jobs;

        e->jobs = j->next;
        job_free(j);
    }
}

void sotto_engine_origin_gone(struct sotto_engine *e, uint32_t origin)
{
    for (struct job *j = e->jobs; j != NULL; j = j->next)
        if (j->ref.origin == origin) {
            j->dead = true;
            j->unsaid = false;
        }
    sotto_receive_rewind(e);
}

/* --- the calls --- */

static bool take_name(struct job *j, struct sotto_bytes s)
{
    if (!sotto_name_valid((const char *)s.p, s.n))
        return false;
    memcpy(j->name, s.p, s.n);
    j->name[s.n] = '\0';
    return true;
}

static bool take_text(struct job *j, struct sotto_bytes s)
{
    j->text = malloc(s.n + 1);
    if (j->text == NULL)
        return false;
    if (s.n > 0)
        memcpy(j->text, s.p, s.n);
    j->text[s.n] = '\0';
    j->text_len = s.n;
    return true;
}

static enum sotto_err put_relay(struct sotto_engine *e, uint8_t (*pins)[32], size_t count,
                                const struct sotto_invite *moved)
{
    enum sotto_err err;

    if ((err = sotto_profile_begin(e->p)) != SOTTO_OK)
        return err;
    err = sotto_setting_put(e->p, "relay.pins", pins, count * 32);
    if (err == SOTTO_OK && moved != NULL &&
        (err = sotto_setting_put(e->p, "relay.host", moved->host, strlen(moved->host))) == SOTTO_OK)
        err = sotto_setting_put_u64(e->p, "relay.port", moved->port);
    return sotto_profile_end(e->p, err);
}

/* A fingerprint, or a new invite of the same relay, which may have moved to another address. */
static void trust(struct sotto_engine *e, struct job *j)
{
    struct sotto_invite inv;
    uint8_t pins[SOTTO_PINS_MAX][32];
    size_t count = 1;
    bool moved = false;
    char text[SOTTO_PIN_TEXT];
    enum sotto_err err;

    if (sotto_invite_parse(j->text, j->text_len, &inv) == SOTTO_OK) {
        if (!sotto_equal(inv.relay_id, e->relay.id, 32)) {
            sotto_job_done(e, j, SOTTO_RESULT_SECURITY,
                           "this invite is of another relay (its relay id differs). Nothing was "
                           "changed");
            return;
        }
        count = inv.pin_count;
        memcpy(pins, inv.pins, sizeof pins);
        moved = true;
    } else if (sotto_pin_parse(j->text, j->text_len, pins[0]) != SOTTO_OK) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                       "neither a fingerprint (sha256:...) nor an invite link");
        return;
    }
    if ((err = put_relay(e, pins, count, moved ? &inv : NULL)) != SOTTO_OK) {
        sotto_job_cannot_write(e, j, err);
        return;
    }
    if (moved) {
        snprintf(e->host, sizeof e->host, "%s", inv.host);
        e->port = inv.port;
    }
    e->relay.pin_count = count;
    memcpy(e->relay.pins, pins, count * 32);
    e->security_stop = false;
    sotto_pin_print(pins[0], text);
    sotto_job_done(e, j, SOTTO_RESULT_OK, "the relay is trusted with %s", text);
    e->ops->connect_now(e->ctx);
}

/* --- what each call is --- */

enum {
    NAMED = 1,  /* its first string is the name of an account */
    ONLINE = 2, /* does nothing without the relay */
    AGAIN = 4   /* what has to wait for the relay is tried again when it is there */
};

static const struct op {
    void (*run)(struct sotto_engine *e, struct job *j);
    unsigned flags;
} ops[SOTTO_OP_LAST + 1] = {
    [SOTTO_OP_REGISTER] = {sotto_account_register, ONLINE},
    [SOTTO_OP_LOGIN] = {sotto_account_login, ONLINE},
    [SOTTO_OP_DEVICES] = {sotto_devices_list, AGAIN},
    [SOTTO_OP_APPROVE] = {sotto_devices_approve, ONLINE | AGAIN},
    [SOTTO_OP_REVOKE] = {sotto_devices_revoke, ONLINE | AGAIN},
    [SOTTO_OP_ACCOUNT_DELETE] = {sotto_devices_delete_account, ONLINE | AGAIN},
    [SOTTO_OP_SEND] = {sotto_outbox_send, NAMED | AGAIN},
    [SOTTO_OP_RECEIVE] = {sotto_receive_start, 0},
    [SOTTO_OP_HISTORY] = {sotto_view_history, NAMED},
    [SOTTO_OP_DELETE] = {sotto_view_delete, 0},
    [SOTTO_OP_RESEND] = {sotto_outbox_resend, 0},
    [SOTTO_OP_CONTACTS] = {sotto_contacts_list, 0},
    [SOTTO_OP_ACCEPT] = {sotto_contacts_accept, NAMED | AGAIN},
    [SOTTO_OP_BLOCK] = {sotto_contacts_block, NAMED | AGAIN},
    [SOTTO_OP_UNBLOCK] = {sotto_contacts_unblock, NAMED},
    [SOTTO_OP_SAFETY] = {sotto_contacts_safety, NAMED | AGAIN},
    [SOTTO_OP_CONFIRM] = {sotto_contacts_confirm, NAMED | AGAIN},
    [SOTTO_OP_ACCEPT_IDENTITY] = {sotto_contacts_accept_identity, NAMED},
    [SOTTO_OP_TRUST] = {trust, 0},
    [SOTTO_OP_STATUS] = {sotto_view_status, AGAIN},
};

static bool is(enum sotto_op op, unsigned flag)
{
    return (unsigned)op <= SOTTO_OP_LAST && (ops[op].flags & flag) != 0;
}

/* Everything that one profile without an account cannot do. */
static bool allowed(struct sotto_engine *e, struct job *j)
{
    bool signing = j->op == SOTTO_OP_REGISTER || j->op == SOTTO_OP_LOGIN;

    if (signing && e->registered) {
        sotto_job_done(e, j, SOTTO_RESULT_PROFILE,
                       "this profile holds the account %s already. For another one use "
                       "--profile DIR",
                       e->us.name);
        return false;
    }
    if (signing && sotto_job_signing(e) != j) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED,
                       "a sign-up is under way in this profile already: let it end first");
        return false;
    }
    if (!signing && !e->registered && j->op != SOTTO_OP_STATUS) {
        sotto_job_done(e, j, SOTTO_RESULT_PROFILE,
                       "this profile has no account yet: sotto register INVITE --name NAME");
        return false;
    }
    if ((e->revoked || e->deleted) && (is(j->op, ONLINE) || j->op == SOTTO_OP_SEND)) {
        sotto_job_done(e, j, SOTTO_RESULT_PROFILE,
                       e->deleted ? "the account was deleted"
                                  : "this device was removed from the account. Add it again in a "
                                    "new profile: sotto --profile DIR login ...");
        return false;
    }
    return true;
}

static void run_now(struct sotto_engine *e, struct job *j)
{
    if ((unsigned)j->op <= SOTTO_OP_LAST && ops[j->op].run != NULL)
        ops[j->op].run(e, j);
    else
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "unknown call");
}

void sotto_jobs_online(struct sotto_engine *e)
{
    e->iterating++;
    for (struct job *j = e->jobs; j != NULL; j = j->next) {
        bool waited = j->phase == 0 && j->needs_online && is(j->op, AGAIN);

        if (!j->dead && (j->op == SOTTO_OP_RECEIVE || waited))
            run_now(e, j);
    }
    e->iterating--;
    sotto_jobs_sweep(e);
}

/* Calls without an answer. */
static bool run_silent(struct sotto_engine *e, const struct sotto_call *call)
{
    uint8_t id[SOTTO_CONTENT_ID];
    sotto_name name;

    switch (call->op) {
    case SOTTO_OP_RECEIVE_STOP:
        sotto_receive_stop_job(e, call->ref.origin, call->n[0]);
        return true;
    case SOTTO_OP_SHOWN:
        if (sotto_id_parse((const char *)call->s[0].p, call->s[0].n, id) == SOTTO_OK)
            sotto_receive_shown(e, id);
        return true;
    case SOTTO_OP_TYPING:
        if (sotto_name_valid((const char *)call->s[0].p, call->s[0].n)) {
            memcpy(name, call->s[0].p, call->s[0].n);
            name[call->s[0].n] = '\0';
            sotto_outbox_typing(e, name, call->n[0] != 0);
        }
        return true;
    default:
        return false;
    }
}

void sotto_engine_call(struct sotto_engine *e, const struct sotto_call *call)
{
    struct sotto_engine_target target;
    struct job *j;
    bool waits;

    if (run_silent(e, call))
        return;
    if ((j = sotto_job_new(e, call)) == NULL) {
        struct sotto_done done = {.result = SOTTO_RESULT_FAILED, .text = "out of memory", .id = ""};

        sotto_emit(e, call->ref, SOTTO_EVENT_DONE, &done);
        return;
    }
    e->iterating++;
    if (is(call->op, NAMED) && !take_name(j, call->s[0])) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                       "that is no account name: small letters, digits, '.', '_' and '-', at "
                       "most 32, or a phone number with +");
    } else if (call->op == SOTTO_OP_RECEIVE && call->s[0].n > 0 && !take_name(j, call->s[0])) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "that is no account name");
    } else if (call->op == SOTTO_OP_REGISTER || call->op == SOTTO_OP_LOGIN) {
        /* text: passphrase; the rest is parsed into the target */
        struct sotto_bytes address = call->s[0], pin = call->s[1];

        if (!take_name(j, call->s[2])) {
            sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                           "that is no account name: small letters, digits, '.', '_' and '-', "
                           "at most 32, or a phone number with +");
        } else if (sotto_invite_parse((const char *)address.p, address.n, &j->invite) == SOTTO_OK) {
            j->has_relay_id = true;
            snprintf(j->target.host, sizeof j->target.host, "%s", j->invite.host);
            j->target.port = j->invite.port;
            j->target.pin_count = j->invite.pin_count;
            memcpy(j->target.pins, j->invite.pins, sizeof j->target.pins);
        } else if (address.n >= 8 && memcmp(address.p, "sotto://", 8) == 0) {
            sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                           "this invite link was cut short or mistyped: copy it whole");
        } else if (sotto_address_parse((const char *)address.p, address.n, j->target.host,
                                       &j->target.port) != SOTTO_OK) {
            sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                           "neither an invite link (sotto://...) nor HOST:PORT");
        }
        if (!j->dead && pin.n > 0) {
            if (sotto_pin_parse((const char *)pin.p, pin.n, j->target.pins[0]) != SOTTO_OK)
                sotto_job_done(e, j, SOTTO_RESULT_USAGE,
                               "the pin has to look like sha256: and 43 letters or digits");
            j->target.pin_count = 1;
        }
        if (!j->dead && !take_text(j, call->s[3]))
            sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
    } else if (call->op == SOTTO_OP_SEND && call->s[2].n != SOTTO_CONTENT_ID) {
        sotto_job_done(e, j, SOTTO_RESULT_USAGE, "a message needs an id");
    } else if (!take_text(j, is(call->op, NAMED) ? call->s[1] : call->s[0])) {
        sotto_job_done(e, j, SOTTO_RESULT_FAILED, "out of memory");
    }
    if (!j->dead && call->op == SOTTO_OP_SEND)
        memcpy(j->id, call->s[2].p, sizeof j->id);
    if (!j->dead && allowed(e, j)) {
        j->needs_online = is(j->op, ONLINE);
        run_now(e, j);
    }
    waits = !j->dead && j->needs_online && e->phase == LINK_DOWN;
    if (waits && !sotto_engine_target(e, &target))
        sotto_job_offline(e, j); /* no attempt will be made: revoked, or a security stop */
    e->iterating--;
    sotto_jobs_sweep(e);
    if (waits)
        e->ops->connect_now(e->ctx);
    sotto_outbox_pump(e);
}
