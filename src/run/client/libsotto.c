/* SPDX-License-Identifier: Apache-2.0 */
#include "sotto/sotto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/kdf.h"
#include "run/client/control.h"
#include "run/client/open_call.h"
#include "run/client/runner.h"
#include "vault/vault.h"

/*
 * A client either holds the profile's lock and runs the engine (and the control socket for others),
 * or is attached to the process that does. When that one ends, its calls that are open are made
 * again: by itself as the new engine, or to whoever was faster.
 */
#define OPEN_MS                                                                                    \
    15000 /* how long to wait for a process that has the lock and does not listen yet              \
           */

struct sotto_client {
    char *dir, *passphrase;
    struct sotto_loop *loop;
    struct sotto_event_queue events;
    uint32_t next_request;
    /* engine */
    int lock_fd;
    struct sotto_runner *runner;
    struct sotto_control *control;
    struct sotto_secret32 check_key, check; /* of the passphrase, for callers */
    /* attached */
    struct sotto_attached *attached;
    bool engine_gone, create;
    struct sotto_open_calls calls;
};

const char *sotto_version(void)
{
    return SOTTO_VERSION;
}

/* --- files --- */

static char *join(const char *dir, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static bool has_file(const char *dir, const char *name)
{
    char *path = join(dir, name);
    bool is = path != NULL && access(path, F_OK) == 0;

    free(path);
    return is;
}

bool sotto_profile_exists(const char *dir)
{
    return has_file(dir, "vault") || has_file(dir, "vault.bak");
}

bool sotto_profile_running(const char *dir)
{
    return sotto_control_alive(dir);
}

static bool make_dirs(const char *dir)
{
    char *path = strdup(dir);
    bool made = path != NULL;

    for (char *p = path; made && p != NULL && (p = strchr(p + 1, '/')) != NULL;) {
        *p = '\0';
        made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *p = '/';
    }
    made = made && (mkdir(dir, 0700) == 0 || errno == EEXIST);
    free(path);
    return made;
}

/* Whoever may write to the folder can put a lock and a socket of his own there, and is then told
 * the passphrase by whoever attaches. */
static bool is_own_folder(const char *dir)
{
    struct stat st;

    return stat(dir, &st) == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
           (geteuid() == 0 || st.st_uid == geteuid());
}

/* -1: another process holds it (errno EWOULDBLOCK), or it cannot be had at all. The kernel lets go
 * of it when we end, however that happens. */
static int take_lock(const char *dir)
{
    char *path = join(dir, "lock");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), saved;

    free(path);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* --- engine --- */

static void deliver(struct sotto_client *c, struct sotto_event *e);

/* Whoever is attached and cannot be told is let go of, and asks again. */
static bool on_emit(void *ctx, struct sotto_ref to, enum sotto_event_type type, const void *row)
{
    struct sotto_client *c = ctx;
    struct sotto_event *e = NULL;

    if (to.origin == 0 && (e = sotto_event_new(to.request, type, row)) == NULL)
        return false;
    if (e != NULL)
        deliver(c, e);
    if (c->control != NULL && (to.origin != 0 || to.request == 0))
        sotto_control_emit(c->control, to, type, row);
    return true;
}

static void passphrase_digest(const struct sotto_client *c, const void *passphrase, size_t len,
                              uint8_t ret[32])
{
    sotto_hmac_sha256(c->check_key.b, 32, passphrase, len, ret);
}

static bool on_passphrase(void *ctx, const void *passphrase, size_t len)
{
    struct sotto_client *c = ctx;
    uint8_t digest[32];

    passphrase_digest(c, passphrase, len, digest);
    return sotto_equal(digest, c->check.b, sizeof digest);
}

static void on_call(void *ctx, const struct sotto_call *call)
{
    struct sotto_client *c = ctx;

    sotto_runner_call(c->runner, call);
}

static void on_caller_gone(void *ctx, uint32_t origin)
{
    struct sotto_client *c = ctx;

    if (c->runner != NULL)
        sotto_runner_origin_gone(c->runner, origin);
}

static const struct sotto_control_ops control_ops = {
    .passphrase_right = on_passphrase,
    .call = on_call,
    .gone = on_caller_gone,
};

static enum sotto_result say(char *why, size_t room, enum sotto_result result, const char *text)
{
    if (why != NULL && room > 0)
        snprintf(why, room, "%s", text);
    return result;
}

static enum sotto_result vault_trouble(enum sotto_err err, char *why, size_t room)
{
    switch (err) {
    case SOTTO_ERR_BAD_TAG:
        return say(why, room, SOTTO_RESULT_PROFILE, "wrong passphrase");
    case SOTTO_ERR_USAGE:
        return say(why, room, SOTTO_RESULT_USAGE,
                   "a passphrase needs at least 8 characters (and at most 1,024 bytes)");
    case SOTTO_ERR_MALFORMED:
        return say(why, room, SOTTO_RESULT_PROFILE,
                   "the vault of this profile is damaged, both copies of it: restore it from a "
                   "backup");
    case SOTTO_ERR_NEWER:
        return say(why, room, SOTTO_RESULT_PROFILE,
                   "this profile was written by a newer Sotto: use that one");
    case SOTTO_ERR_DENIED:
        return say(why, room, SOTTO_RESULT_PROFILE,
                   "the profile can be read by others: chmod -R go-rwx its folder");
    case SOTTO_ERR_NOT_FOUND:
        return say(why, room, SOTTO_RESULT_PROFILE,
                   "no profile here yet: sotto register INVITE --name NAME");
    default:
        return say(why, room, SOTTO_RESULT_FAILED, sotto_err_text(err));
    }
}

/* The lock is ours: opens everything. */
static enum sotto_result start_engine(struct sotto_client *c, bool create, char *why, size_t room)
{
    struct sotto_secret32 key SOTTO_WIPED = {0};
    const struct sotto_env *env = sotto_env_system();
    struct sotto_profile *profile = NULL;
    bool fresh = !sotto_profile_exists(c->dir);
    enum sotto_err err;

    if (fresh && !create)
        return vault_trouble(SOTTO_ERR_NOT_FOUND, why, room);
    if (c->passphrase == NULL)
        return say(why, room, SOTTO_RESULT_PROFILE,
                   "the passphrase is needed: --passphrase-file, SOTTO_PASSPHRASE, or a terminal");
    err = fresh ? sotto_vault_create(env, c->dir, c->passphrase, strlen(c->passphrase), &key)
                : sotto_vault_open(c->dir, c->passphrase, strlen(c->passphrase), &key);
    if (err != SOTTO_OK)
        return vault_trouble(err, why, room);
    /* A vault without a database is one whose making was interrupted. */
    if ((err = sotto_profile_open(c->dir, &key, true, NULL, &profile, why, room)) != SOTTO_OK)
        return SOTTO_RESULT_PROFILE;
    if ((err = sotto_random(env, c->check_key.b, 32)) != SOTTO_OK) {
        sotto_profile_close(profile);
        return say(why, room, SOTTO_RESULT_FAILED, sotto_err_text(err));
    }
    passphrase_digest(c, c->passphrase, strlen(c->passphrase), c->check.b);
    if ((err = sotto_runner_new(c->loop, profile, on_emit, c, &c->runner)) != SOTTO_OK)
        return say(why, room,
                   err == SOTTO_ERR_MALFORMED ? SOTTO_RESULT_PROFILE : SOTTO_RESULT_FAILED,
                   err == SOTTO_ERR_MALFORMED ? "the profile is damaged" : sotto_err_text(err));
    if ((err = sotto_control_listen(c->loop, c->dir, &control_ops, c, &c->control)) != SOTTO_OK)
        return say(why, room, SOTTO_RESULT_FAILED,
                   "the control socket cannot be made in the profile's folder");
    /* Only somebody attached needs it again, to take our place. */
    sotto_secret_free(c->passphrase);
    c->passphrase = NULL;
    return SOTTO_RESULT_OK;
}

/* --- attached --- */

static void on_attached_event(void *ctx, struct sotto_event *e)
{
    deliver(ctx, e);
}

static void on_engine_gone(void *ctx)
{
    struct sotto_client *c = ctx;

    c->engine_gone = true; /* seen to at the end of the dispatch, outside of the callback */
}

static const struct sotto_attached_ops attached_ops = {
    .event = on_attached_event,
    .gone = on_engine_gone,
};

static enum sotto_result take_place(struct sotto_client *c, bool create, char *why, size_t room)
{
    uint64_t end = sotto_mono_ms(sotto_env_system()) + OPEN_MS;
    enum sotto_result result;

    for (;;) {
        if ((c->lock_fd = take_lock(c->dir)) >= 0) {
            result = start_engine(c, create, why, room);
            if (result != SOTTO_RESULT_OK) {
                sotto_control_free(c->control);
                sotto_runner_free(c->runner);
                c->control = NULL;
                c->runner = NULL;
                close(c->lock_fd);
                c->lock_fd = -1;
            }
            return result;
        }
        if (errno != EWOULDBLOCK)
            return errno == ENOENT ? vault_trouble(SOTTO_ERR_NOT_FOUND, why, room)
                                   : say(why, room, SOTTO_RESULT_PROFILE, strerror(errno));
        switch (
            sotto_attach(c->loop, c->dir, c->passphrase, OPEN_MS, &attached_ops, c, &c->attached)) {
        case SOTTO_OK:
            return SOTTO_RESULT_OK;
        case SOTTO_ERR_BAD_TAG:
            return vault_trouble(SOTTO_ERR_BAD_TAG, why, room);
        case SOTTO_ERR_NEWER:
            return say(why, room, SOTTO_RESULT_PROFILE,
                       "another version of Sotto runs with this profile: end it first");
        default:
            break;
        }
        if (sotto_mono_ms(sotto_env_system()) > end)
            return say(why, room, SOTTO_RESULT_PROFILE,
                       "another process holds this profile and does not answer. End it, then try "
                       "again");
        (void)poll(NULL, 0, 10); /* it has the lock and will listen soon, or end */
    }
}

/* --- calls that are open while attached --- */

static void deliver(struct sotto_client *c, struct sotto_event *e)
{
    if (e != NULL && !sotto_open_calls_event(&c->calls, e, c->runner == NULL))
        sotto_event_free(e);
    else
        sotto_event_queue_push(&c->events, e);
}

static void call_out(void *ctx, const struct sotto_call *call)
{
    struct sotto_client *c = ctx;

    if (c->runner != NULL)
        sotto_runner_call(c->runner, call);
    else if (c->attached != NULL && sotto_attached_call(c->attached, call) != SOTTO_OK)
        c->engine_gone = true;
}

static void all_done(struct sotto_client *c, enum sotto_result result, const char *text)
{
    struct sotto_done done = {.result = result, .text = text, .id = ""};
    struct sotto_connection conn = {
        .state = SOTTO_OFFLINE, .result = result, .text = text, .pin = ""};
    uint32_t request;

    while ((request = sotto_open_calls_any(&c->calls)) != 0) {
        sotto_open_calls_forget(&c->calls, request);
        sotto_event_queue_push(&c->events, sotto_event_new(request, SOTTO_EVENT_DONE, &done));
    }
    sotto_event_queue_push(&c->events, sotto_event_new(0, SOTTO_EVENT_CONNECTION, &conn));
}

/* The engine's process ended: somebody has to take its place. */
static void take_over(struct sotto_client *c)
{
    char why[256];
    enum sotto_result result;

    c->engine_gone = false;
    sotto_attached_free(c->attached);
    c->attached = NULL;
    if ((result = take_place(c, c->create, why, sizeof why)) != SOTTO_RESULT_OK) {
        all_done(c, result, why);
        return;
    }
    sotto_open_calls_remake(&c->calls, call_out, c);
}

/* --- public: life --- */

enum sotto_result sotto_client_open(const struct sotto_options *options, struct sotto_client **ret,
                                    char *why, size_t room)
{
    struct sotto_client *c;
    enum sotto_result result;

    if (!options->create && !sotto_profile_exists(options->profile))
        return vault_trouble(SOTTO_ERR_NOT_FOUND, why, room);
    if (options->create && !make_dirs(options->profile))
        return say(why, room, SOTTO_RESULT_PROFILE, strerror(errno));
    if (!is_own_folder(options->profile))
        return say(
            why, room, SOTTO_RESULT_PROFILE,
            "the profile's folder is not yours alone to change: chmod go-w it, or name one of "
            "your own with --profile");
    if ((c = calloc(1, sizeof *c)) == NULL)
        return say(why, room, SOTTO_RESULT_FAILED, "out of memory");
    c->lock_fd = -1;
    c->create = options->create;
    sotto_event_queue_init(&c->events);
    c->dir = strdup(options->profile);
    c->loop = sotto_loop_new();
    if (options->passphrase != NULL &&
        (c->passphrase = sotto_secret_alloc(strlen(options->passphrase) + 1)) != NULL)
        memcpy(c->passphrase, options->passphrase, strlen(options->passphrase) + 1);
    if (c->dir == NULL || c->loop == NULL ||
        (options->passphrase != NULL && c->passphrase == NULL)) {
        sotto_client_close(c);
        return say(why, room, SOTTO_RESULT_FAILED, "out of memory or file descriptors");
    }
    if ((result = take_place(c, options->create, why, room)) != SOTTO_RESULT_OK) {
        sotto_client_close(c);
        return result;
    }
    sotto_loop_dispatch(c->loop); /* or nothing would wake a host that only polls */
    *ret = c;
    return SOTTO_RESULT_OK;
}

void sotto_client_close(struct sotto_client *c)
{
    if (c == NULL)
        return;
    /* The runner first: what it still says to callers goes out before their socket closes. */
    sotto_runner_free(c->runner);
    c->runner = NULL;
    sotto_control_free(c->control);
    sotto_attached_free(c->attached);
    sotto_loop_free(c->loop);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    sotto_open_calls_clear(&c->calls);
    sotto_event_queue_clear(&c->events);
    sotto_secret32_wipe(&c->check_key);
    sotto_secret32_wipe(&c->check);
    sotto_secret_free(c->passphrase);
    free(c->dir);
    free(c);
}

static void remove_profile(const char *dir)
{
    static const char *const names[] = {"profile.db", "profile.db-wal", "profile.db-shm", "vault",
                                        "vault.bak"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = join(dir, names[i]);

        if (path != NULL)
            (void)unlink(path);
        free(path);
    }
}

void sotto_client_discard(struct sotto_client *c)
{
    if (c == NULL)
        return;
    if (c->runner != NULL) {
        /* Those who are attached wait for the lock from here on. A sign-up of theirs may still
         * become true while the last answers come in: only then it is known what may go. */
        sotto_control_free(c->control);
        c->control = NULL;
        sotto_runner_stop(c->runner);
        bool empty = !sotto_runner_has_account(c->runner);

        sotto_runner_free(c->runner);
        c->runner = NULL;
        if (empty)
            remove_profile(c->dir); /* while the lock is ours */
    }
    sotto_client_close(c);
}

int sotto_client_fd(const struct sotto_client *c)
{
    return sotto_loop_fd(c->loop);
}

void sotto_client_dispatch(struct sotto_client *c)
{
    sotto_loop_dispatch(c->loop);
    if (c->engine_gone) {
        take_over(c);
        sotto_loop_dispatch(c->loop);
    }
    sotto_open_calls_confirm(&c->calls, call_out, c);
}

struct sotto_event *sotto_client_next_event(struct sotto_client *c)
{
    return sotto_event_queue_pop(&c->events);
}

bool sotto_client_is_engine(const struct sotto_client *c)
{
    return c->runner != NULL;
}

/* --- public: calls --- */

static struct sotto_bytes text(const char *s)
{
    return (struct sotto_bytes){(const uint8_t *)(s != NULL ? s : ""), s != NULL ? strlen(s) : 0};
}

static uint32_t make_call(struct sotto_client *c, struct sotto_call *call)
{
    if (++c->next_request == 0)
        c->next_request = 1;
    call->ref = (struct sotto_ref){0, c->next_request};
    if (c->runner == NULL && !sotto_open_calls_keep(&c->calls, call)) {
        struct sotto_done done = {.result = SOTTO_RESULT_FAILED, .text = "out of memory", .id = ""};

        sotto_event_queue_push(&c->events,
                               sotto_event_new(call->ref.request, SOTTO_EVENT_DONE, &done));
        return call->ref.request;
    }
    call_out(c, call);
    if (c->runner == NULL && c->attached == NULL)
        all_done(c, SOTTO_RESULT_PROFILE, "the process that held this profile ended: start again");
    sotto_loop_dispatch(c->loop); /* arms what the call has started */
    return call->ref.request;
}

static uint32_t call_name(struct sotto_client *c, enum sotto_op op, const char *name)
{
    struct sotto_call call = {.op = op, .s = {text(name)}};

    return make_call(c, &call);
}

static uint32_t call_sign(struct sotto_client *c, enum sotto_op op, const char *address,
                          const char *pin, const char *name, const char *passphrase)
{
    struct sotto_call call = {.op = op,
                              .s = {text(address), text(pin), text(name), text(passphrase)}};

    return make_call(c, &call);
}

uint32_t sotto_register(struct sotto_client *c, const char *address, const char *pin,
                        const char *name, const char *passphrase)
{
    return call_sign(c, SOTTO_OP_REGISTER, address, pin, name, passphrase);
}

uint32_t sotto_login(struct sotto_client *c, const char *address, const char *pin, const char *name,
                     const char *passphrase)
{
    return call_sign(c, SOTTO_OP_LOGIN, address, pin, name, passphrase);
}

uint32_t sotto_devices(struct sotto_client *c)
{
    return call_name(c, SOTTO_OP_DEVICES, NULL);
}

uint32_t sotto_device_approve(struct sotto_client *c, const char *code)
{
    return call_name(c, SOTTO_OP_APPROVE, code);
}

uint32_t sotto_device_revoke(struct sotto_client *c, const char *device_id)
{
    return call_name(c, SOTTO_OP_REVOKE, device_id);
}

uint32_t sotto_account_delete(struct sotto_client *c)
{
    return call_name(c, SOTTO_OP_ACCOUNT_DELETE, NULL);
}

uint32_t sotto_send(struct sotto_client *c, const char *name, const char *message, size_t len,
                    enum sotto_wait wait, uint32_t timeout_ms)
{
    uint8_t id[SOTTO_CONTENT_ID];
    struct sotto_call call = {
        .op = SOTTO_OP_SEND,
        .n = {wait, timeout_ms},
        .s = {text(name), {(const uint8_t *)message, len}, {id, sizeof id}},
    };

    if (sotto_random(sotto_env_system(), id, sizeof id) != SOTTO_OK)
        call.s[2].n = 0; /* refused by the engine: without random numbers nothing is sent */
    if (len > SOTTO_TEXT_MAX)
        call.s[1].n = SOTTO_TEXT_MAX + 1; /* too long is too long; the socket need not carry it */
    return make_call(c, &call);
}

uint32_t sotto_receive(struct sotto_client *c, const char *name)
{
    return call_name(c, SOTTO_OP_RECEIVE, name);
}

void sotto_receive_stop(struct sotto_client *c, uint32_t request)
{
    struct sotto_call call = {.op = SOTTO_OP_RECEIVE_STOP, .n = {request, 0}};

    make_call(c, &call);
}

void sotto_shown(struct sotto_client *c, const char *id)
{
    sotto_open_calls_shown(&c->calls, id);
    call_name(c, SOTTO_OP_SHOWN, id);
}

uint32_t sotto_history(struct sotto_client *c, const char *name, uint32_t limit)
{
    struct sotto_call call = {.op = SOTTO_OP_HISTORY, .n = {limit, 0}, .s = {text(name)}};

    return make_call(c, &call);
}

uint32_t sotto_delete(struct sotto_client *c, const char *id)
{
    return call_name(c, SOTTO_OP_DELETE, id);
}

uint32_t sotto_resend(struct sotto_client *c, const char *id)
{
    return call_name(c, SOTTO_OP_RESEND, id);
}

void sotto_typing(struct sotto_client *c, const char *name, bool active)
{
    struct sotto_call call = {.op = SOTTO_OP_TYPING, .n = {active, 0}, .s = {text(name)}};

    make_call(c, &call);
}

uint32_t sotto_contacts(struct sotto_client *c)
{
    return call_name(c, SOTTO_OP_CONTACTS, NULL);
}

uint32_t sotto_accept(struct sotto_client *c, const char *name)
{
    return call_name(c, SOTTO_OP_ACCEPT, name);
}

uint32_t sotto_block(struct sotto_client *c, const char *name)
{
    return call_name(c, SOTTO_OP_BLOCK, name);
}

uint32_t sotto_unblock(struct sotto_client *c, const char *name)
{
    return call_name(c, SOTTO_OP_UNBLOCK, name);
}

uint32_t sotto_safety_of(struct sotto_client *c, const char *name)
{
    return call_name(c, SOTTO_OP_SAFETY, name);
}

uint32_t sotto_verify_confirm(struct sotto_client *c, const char *name, const char *digits)
{
    struct sotto_call call = {.op = SOTTO_OP_CONFIRM, .s = {text(name), text(digits)}};

    return make_call(c, &call);
}

uint32_t sotto_verify_accept(struct sotto_client *c, const char *name)
{
    return call_name(c, SOTTO_OP_ACCEPT_IDENTITY, name);
}

uint32_t sotto_trust_relay(struct sotto_client *c, const char *pin_or_invite)
{
    return call_name(c, SOTTO_OP_TRUST, pin_or_invite);
}

uint32_t sotto_status(struct sotto_client *c)
{
    return call_name(c, SOTTO_OP_STATUS, NULL);
}
