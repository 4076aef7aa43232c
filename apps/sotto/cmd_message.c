/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "commands.h"
#include "passphrase.h"
#include "view.h"

enum { TEXT_MAX = 32 * 1024, FIND_AMONG = 50 };

bool sotto_cmd_name_fits(const char *name, char *why)
{
    if (sotto_args_is_name(name, strlen(name)))
        return true;
    (void)snprintf(why, SOTTO_CLI_WHY,
                   "'%s' cannot be a name: a-z 0-9 . _ - (up to 32, beginning with a letter or "
                   "digit), or a phone number like +4915112345678",
                   name);
    return false;
}

bool sotto_cmd_text_fits(const char *text, size_t len, char *why)
{
    const char *wrong = NULL;

    if (len == 0)
        wrong = "there is nothing to send: the text is empty";
    else if (len > TEXT_MAX)
        wrong = "the text is longer than 32 KiB; send it in parts";
    else if (memchr(text, 0, len) != NULL)
        wrong = "the text contains a NUL byte; only text can be sent";
    else if (!sotto_utf8_valid(text, len))
        wrong = "the text is not valid UTF-8; convert it first (iconv -t UTF-8)";
    if (wrong != NULL)
        (void)snprintf(why, SOTTO_CLI_WHY, "%s", wrong);
    return wrong == NULL;
}

/* All of stdin, but no more than one byte past what is allowed: enough to see that it is. */
static enum sotto_result read_stdin(struct sotto_buf *text)
{
    for (;;) {
        enum sotto_err e = sotto_buf_reserve(text, text->cap - text->n);
        ssize_t n;

        if (e != SOTTO_OK) {
            sotto_out_error("%s", sotto_err_text(e));
            return SOTTO_RESULT_FAILED;
        }
        n = read(STDIN_FILENO, text->p + text->n, text->cap - text->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            sotto_out_error("cannot read the text from stdin: %s", strerror(errno));
            return SOTTO_RESULT_FAILED;
        }
        text->n += (size_t)n;
        if (n == 0 || text->n == text->cap)
            return SOTTO_RESULT_OK;
    }
}

/* ---- send ------------------------------------------------------------------------------- */

struct wanted {
    const char *id;
    enum sotto_message_state state;
};

static void look_for(void *ctx, const struct sotto_event *e)
{
    struct wanted *w = ctx;
    const struct sotto_message *m = sotto_event_message(e);

    if (m != NULL && strcmp(m->id, w->id) == 0)
        w->state = m->state;
}

/* What has become of a message whose request ended without success. */
static enum sotto_message_state state_of(struct sotto_cli *cli, const char *name, const char *id)
{
    struct wanted w = {.id = id, .state = SOTTO_MESSAGE_QUEUED};
    struct sotto_cli_done done;

    (void)sotto_cli_wait(cli, sotto_history(cli->client, name, FIND_AMONG), -1, look_for, &w,
                         &done);
    return w.state;
}

static bool read_wait(const struct sotto_args *args, enum sotto_wait *ret_wait, uint32_t *ret_ms)
{
    const char *wait = sotto_args_value(args, "--wait"),
               *number = sotto_args_number(args, "--wait");
    uint64_t ms = 0;

    *ret_wait = SOTTO_WAIT_STORED;
    *ret_ms = 0;
    if (wait == NULL)
        return true;
    if (strcmp(wait, "delivered") != 0) {
        sotto_out_error("--wait waits for 'delivered' (and perhaps a number of seconds)");
        return false;
    }
    *ret_wait = SOTTO_WAIT_DELIVERED;
    if (number == NULL)
        return true;
    if (!sotto_args_seconds(number, &ms) || ms == 0 || ms > UINT32_MAX) {
        sotto_out_error("'%s' is not a number of seconds", number);
        return false;
    }
    *ret_ms = (uint32_t)ms;
    return true;
}

static enum sotto_result send_text(struct sotto_cli *cli, const char *name, const char *text,
                                   size_t len, enum sotto_wait wait, uint32_t ms)
{
    enum sotto_message_state state;
    struct sotto_cli_done done;
    uint32_t request = sotto_send(cli->client, name, text, len, wait, ms);

    if (sotto_cli_wait(cli, request, -1, NULL, NULL, &done) != SOTTO_CLI_DONE)
        return SOTTO_RESULT_FAILED;
    if (done.result == SOTTO_RESULT_OK)
        state = wait == SOTTO_WAIT_DELIVERED ? SOTTO_MESSAGE_DELIVERED : SOTTO_MESSAGE_STORED;
    else
        state = done.id[0] != 0 ? state_of(cli, name, done.id) : SOTTO_MESSAGE_FAILED;
    if (done.id[0] != 0)
        sotto_out(&sotto_out_stdio, SOTTO_OUT_RESULT, "%s %s", done.id, sotto_view_state(state));
    if (done.result != SOTTO_RESULT_OK)
        sotto_out_error("%s", done.text);
    return done.result;
}

enum sotto_result sotto_cmd_send(struct sotto_cli *cli, const struct sotto_args *args)
{
    const char *name = args->rest[0], *text = args->rest[1];
    SOTTO_AUTO_BUF input = SOTTO_BUF(TEXT_MAX + 1);
    size_t len = strlen(text);
    char why[SOTTO_CLI_WHY];
    enum sotto_result result;
    enum sotto_wait wait;
    uint32_t ms;

    if (!read_wait(args, &wait, &ms))
        return SOTTO_RESULT_USAGE;
    if (!sotto_cmd_name_fits(name, why)) {
        sotto_out_error("%s", why);
        return SOTTO_RESULT_USAGE;
    }
    if (strcmp(text, "-") == 0) {
        result = read_stdin(&input);
        if (result != SOTTO_RESULT_OK)
            return result;
        text = (const char *)input.p;
        len = input.n;
    }
    if (!sotto_cmd_text_fits(text, len, why)) {
        sotto_out_error("%s", why);
        return SOTTO_RESULT_USAGE;
    }
    result = sotto_cli_open(cli, false);
    if (result != SOTTO_RESULT_OK)
        return result;
    return send_text(cli, name, text, len, wait, ms);
}

/* ---- receive ---------------------------------------------------------------------------- */

struct receiving {
    struct sotto_cli *cli;
    struct sotto_view view;
    uint32_t request;
    uint64_t count, printed; /* count 0: no limit */
    bool follow, done, online, ended;
    enum sotto_result result; /* of DONE, or why it ended */
};

static void print_message(struct receiving *r, const struct sotto_message *m)
{
    char id[33];

    sotto_view_message(&r->view, m);
    /* Not before the flush: a message that did not get out comes again. */
    if (sotto_cli_flush() != SOTTO_RESULT_OK) {
        r->result = SOTTO_RESULT_FAILED;
        r->ended = true;
        return;
    }
    (void)snprintf(id, sizeof id, "%s", m->id);
    sotto_shown(r->cli->client, id);
    r->printed++;
    if (r->printed == r->count)
        r->ended = true;
}

static void take_connection(struct receiving *r, const struct sotto_connection *c)
{
    if (c->state == SOTTO_ONLINE) {
        r->online = true;
        r->cli->offline_said = false;
    } else if (c->state == SOTTO_OFFLINE) {
        r->online = false;
        if (!r->cli->offline_said && c->text[0] != 0)
            sotto_out_error("%s", c->text);
        r->cli->offline_said = true;
        /* Nothing more will come: the device was revoked, or the relay's key is a strange one. */
        if (c->result == SOTTO_RESULT_PROFILE || c->result == SOTTO_RESULT_SECURITY) {
            r->result = c->result;
            r->ended = true;
        }
    }
}

static void take_event(struct receiving *r, const struct sotto_event *e)
{
    const struct sotto_done *done = sotto_event_done(e);
    const struct sotto_connection *c = sotto_event_connection(e);
    bool ours = sotto_event_request(e) == r->request;

    if (c != NULL) {
        take_connection(r, c);
    } else if (ours && sotto_event_type(e) == SOTTO_EVENT_MESSAGE) {
        print_message(r, sotto_event_message(e));
    } else if (ours && done != NULL) {
        r->done = true;
        r->result = done->result;
        r->online |= done->result == SOTTO_RESULT_OK;
        if (done->result != SOTTO_RESULT_OK && done->text[0] != 0 &&
            (!r->cli->offline_said || done->result != SOTTO_RESULT_UNREACHABLE)) {
            sotto_out_error("%s", done->text);
            r->cli->offline_said = true;
        }
        if (done->result != SOTTO_RESULT_OK && done->result != SOTTO_RESULT_UNREACHABLE)
            r->ended = true;
    } else if (!ours) {
        sotto_cli_show_other(r->cli, e);
    }
}

/* Until deadline (mono; 0: only until what is there was handed out; UINT64_MAX: for ever). */
static void receive_until(struct receiving *r, uint64_t deadline)
{
    while (!r->ended) {
        struct sotto_event *e = sotto_client_next_event(r->cli->client);
        int64_t wait_ms = 0; /* Ctrl-C is for the middle of a backlog too */

        if (e != NULL) {
            take_event(r, e);
            sotto_event_free(e);
        } else {
            uint64_t now = sotto_cli_mono();

            if ((deadline == 0 && r->done) || (deadline != 0 && now >= deadline))
                return;
            wait_ms = deadline == 0 || deadline == UINT64_MAX ? -1 : (int64_t)(deadline - now);
        }
        if (!r->ended && sotto_cli_turn(r->cli, -1, wait_ms) == SOTTO_CLI_SIGNALLED)
            return;
    }
}

static bool read_receive_args(const struct sotto_args *args, struct receiving *r, uint64_t *ret_ms)
{
    const char *wait = sotto_args_value(args, "--wait"), *count = sotto_args_value(args, "--count");

    r->follow = sotto_args_has(args, "--follow");
    if (r->follow && wait != NULL) {
        sotto_out_error("--follow goes on without end, so --wait makes no sense beside it");
        return false;
    }
    *ret_ms = 0;
    if (wait != NULL && !sotto_args_seconds(wait, ret_ms)) {
        sotto_out_error("'%s' is not a number of seconds", wait);
        return false;
    }
    if (count != NULL && (!sotto_args_count(count, UINT32_MAX, &r->count) || r->count == 0)) {
        sotto_out_error("'%s' is not a number of messages", count);
        return false;
    }
    return true;
}

enum sotto_result sotto_cmd_receive(struct sotto_cli *cli, const struct sotto_args *args)
{
    struct receiving r = {.cli = cli, .view = {.out = &sotto_out_stdio}};
    enum sotto_result result;
    uint64_t ms, deadline;

    r.view.json = sotto_args_has(args, "--json");
    if (!read_receive_args(args, &r, &ms))
        return SOTTO_RESULT_USAGE;
    result = sotto_cli_open(cli, false);
    if (result != SOTTO_RESULT_OK)
        return result;
    sotto_passphrase_forget(cli); /* it may follow for days */
    deadline = r.follow ? UINT64_MAX : ms > 0 ? sotto_cli_mono() + ms : 0;
    r.request = sotto_receive(cli->client, NULL);
    receive_until(&r, deadline);
    sotto_receive_stop(cli->client, r.request);
    if (cli->signal != 0) {
        /* --follow has no other end than Ctrl-C; it is not an error then. */
        if (r.follow && cli->signal == SIGINT)
            cli->signal = 0;
        return cli->signal == 0 ? SOTTO_RESULT_OK : SOTTO_RESULT_FAILED;
    }
    if (r.result == SOTTO_RESULT_UNREACHABLE)
        return r.printed > 0 || r.online ? SOTTO_RESULT_OK : SOTTO_RESULT_UNREACHABLE;
    return r.result;
}

/* ---- history, delete, resend -------------------------------------------------------------- */

uint32_t sotto_cmd_history(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    const char *limit = sotto_args_value(args, "--limit");
    uint64_t n = 0;

    if (limit != NULL && !sotto_args_count(limit, UINT32_MAX, &n)) {
        (void)snprintf(why, SOTTO_CLI_WHY, "'%s' is not a number of messages", limit);
        return 0;
    }
    if (limit != NULL && n == 0) {
        (void)snprintf(why, SOTTO_CLI_WHY,
                       "--limit 0 would show nothing; without --limit all is "
                       "shown");
        return 0;
    }
    return sotto_cmd_name_fits(args->rest[0], why) ? sotto_history(c, args->rest[0], (uint32_t)n)
                                                   : 0;
}

static bool is_id(const char *id, char *why)
{
    if (strlen(id) == 32 && strspn(id, "0123456789abcdef") == 32)
        return true;
    (void)snprintf(why, SOTTO_CLI_WHY,
                   "'%s' is not a message id: 32 hex digits, as 'history NAME --ids' shows them",
                   id);
    return false;
}

uint32_t sotto_cmd_delete(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    return is_id(args->rest[0], why) ? sotto_delete(c, args->rest[0]) : 0;
}

uint32_t sotto_cmd_resend(struct sotto_client *c, const struct sotto_args *args, char *why)
{
    return is_id(args->rest[0], why) ? sotto_resend(c, args->rest[0]) : 0;
}
