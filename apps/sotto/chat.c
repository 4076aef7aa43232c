/* SPDX-License-Identifier: Apache-2.0 */
#include "chat.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "commands.h"
#include "passphrase.h"
#include "signals.h"

enum {
    HISTORY_LINES = 20,
    UNREAD_MAX = 1000,
    CONTACTS_MAX = 1000,
    LAST_SENDS_MS = 2000, /* how long quit waits for what is just being sent */
    LAST_STATUS_MS = 1000,
    LINE_MAX_BYTES = 64 * 1024, /* of a pipe; more than twice a message */
};

void sotto_chat_failed(struct sotto_chat *c, enum sotto_result result)
{
    if (c->result == SOTTO_RESULT_OK)
        c->result = result;
}

size_t sotto_chat_pending(const struct sotto_chat *c)
{
    size_t n = 0;

    for (size_t i = 0; i < SOTTO_CHAT_PENDING; i++)
        n += c->pending[i] != 0;
    return n;
}

/* ---- messages --------------------------------------------------------------------------- */

static bool was_seen(const struct sotto_chat *c, const char *id)
{
    for (size_t i = 0; i < c->seen_count; i++) {
        if (strcmp(c->seen[i], id) == 0)
            return true;
    }
    return false;
}

static void remember_seen(struct sotto_chat *c, const char *id)
{
    char(*seen)[33] = realloc(c->seen, (c->seen_count + 1) * sizeof *seen);

    if (seen == NULL)
        return; /* it will be shown twice on this screen; nothing is lost */
    c->seen = seen;
    (void)snprintf(seen[c->seen_count++], sizeof *seen, "%s", id);
}

/* What was printed has left this process. */
static bool arrived(struct sotto_chat *c)
{
    if (c->tty)
        return sotto_screen_flush(&c->screen);
    return sotto_cli_flush() == SOTTO_RESULT_OK;
}

/* Nobody reads what we print. */
static void give_up(struct sotto_chat *c)
{
    sotto_chat_failed(c, SOTTO_RESULT_FAILED);
    c->leaving = c->deaf = true;
}

static void on_incoming(struct sotto_chat *c, const struct sotto_message *m)
{
    bool again = was_seen(c, m->id);

    if (!again) {
        sotto_view_message(&c->view, m);
        if (m->is_request)
            sotto_out(&c->out, SOTTO_OUT_NOTE,
                      "%s is not among your contacts: %saccept %s, or %sblock %s", m->from,
                      c->peer[0] != 0 ? "/" : "", m->from, c->peer[0] != 0 ? "/" : "", m->from);
    }
    if (!arrived(c)) {
        give_up(c);
        return;
    }
    sotto_shown(c->cli->client, m->id);
    if (c->tty)
        sotto_chat_tty_typing(c, &(struct sotto_typing_row){.from = m->from, .active = false});
}

static void on_message(struct sotto_chat *c, const struct sotto_event *e)
{
    const struct sotto_message *m = sotto_event_message(e);
    uint32_t request = sotto_event_request(e);

    if (request == 0)
        return;
    if (request == c->receive_request) {
        on_incoming(c, m);
        return;
    }
    sotto_view_message(&c->view, m);
    if (request == c->history_request)
        remember_seen(c, m->id);
}

/* ---- contacts --------------------------------------------------------------------------- */

static void remember_contact(struct sotto_chat *c, const char *name)
{
    char(*more)[40];

    for (size_t i = 0; i < c->contact_count; i++) {
        if (strcmp(c->contact[i], name) == 0)
            return;
    }
    if (c->contact_count == CONTACTS_MAX)
        return;
    more = realloc(c->contact, (c->contact_count + 1) * sizeof *more);
    if (more == NULL)
        return;
    c->contact = more;
    (void)snprintf(more[c->contact_count++], sizeof *more, "%s", name);
}

static void on_contact(struct sotto_chat *c, const struct sotto_event *e)
{
    const struct sotto_contact *row = sotto_event_contact(e);
    uint32_t request = sotto_event_request(e);

    remember_contact(c, row->name);
    if (strcmp(row->name, c->peer) == 0) {
        if (row->new_identity && !c->peer_new_identity && request == 0)
            sotto_out(&c->out, SOTTO_OUT_NOTE,
                      "%s has a new identity. Sending stops until you take it: ask by another way "
                      "whether that is right, then /verify %s --accept",
                      row->name, row->name);
        c->peer_known = true;
        c->peer_verified = row->verified;
        c->peer_new_identity = row->new_identity;
        if (request == c->contacts_request && request != 0)
            c->unread = row->unread < UNREAD_MAX ? row->unread : UNREAD_MAX;
    }
    if (request != 0 && request != c->contacts_request)
        sotto_view_event(&c->view, e);
}

/* ---- the connection ---------------------------------------------------------------------- */

static void on_connection(struct sotto_chat *c, const struct sotto_connection *n)
{
    bool was_offline = c->link_known && c->link == SOTTO_OFFLINE;

    c->link = n->state;
    c->link_known = true;
    (void)snprintf(c->why, sizeof c->why, "%s", n->text);
    if (n->state == SOTTO_ONLINE) {
        if (c->offline_said)
            sotto_out(&c->out, SOTTO_OUT_NOTE, "Connected again.");
        c->offline_said = false;
        return;
    }
    if (n->state != SOTTO_OFFLINE || (c->offline_said && was_offline))
        return;
    /* Once per outage, and again if the reason is one that needs somebody to act. */
    if (!c->offline_said || n->result != SOTTO_RESULT_UNREACHABLE)
        sotto_out(&c->out, SOTTO_OUT_ERROR, "%s", n->text);
    c->offline_said = true;
    if (n->result == SOTTO_RESULT_PROFILE || n->result == SOTTO_RESULT_SECURITY)
        sotto_chat_failed(c, n->result);
}

/* The engine may have run for long; then no event tells how things stand. */
static void on_status(struct sotto_chat *c, const struct sotto_event *e)
{
    const struct sotto_status_row *row = sotto_event_status(e);

    if (sotto_event_request(e) != c->status_request) {
        sotto_view_event(&c->view, e);
        return;
    }
    c->queued = row->queued;
    if (!c->link_known) {
        c->link = row->connection;
        c->link_known = true;
        c->offline_said = row->connection == SOTTO_OFFLINE; /* the state row says it */
        (void)snprintf(c->why, sizeof c->why, "%s", row->why);
    }
}

static void on_link(struct sotto_chat *c, const struct sotto_link *l)
{
    const char *slash = c->peer[0] != 0 ? "/" : "";

    if (!l->ours)
        sotto_out(&c->out, SOTTO_OUT_NOTE,
                  "A device asks to join this account and shows the code %s. If it is yours: "
                  "%sdevices approve %s",
                  l->code, slash, l->code);
}

/* ---- requests that end ------------------------------------------------------------------- */

static void start_receiving(struct sotto_chat *c)
{
    if (c->receive_request == 0)
        c->receive_request = sotto_receive(c->cli->client, NULL);
}

static bool is_pending(struct sotto_chat *c, uint32_t request)
{
    for (size_t i = 0; i < SOTTO_CHAT_PENDING; i++) {
        if (c->pending[i] == request) {
            c->pending[i] = 0;
            return true;
        }
    }
    return false;
}

static void on_done(struct sotto_chat *c, uint32_t request, const struct sotto_done *done)
{
    if (request == 0 || sotto_outgoing_done(&c->outgoing, request, done, sotto_cli_mono()))
        return;
    if (request == c->contacts_request) {
        c->contacts_request = 0;
        c->history_request =
            c->peer[0] != 0 ? sotto_history(c->cli->client, c->peer, HISTORY_LINES + c->unread) : 0;
        if (c->history_request == 0)
            start_receiving(c);
    } else if (request == c->history_request) {
        c->history_request = 0; /* never talked with: nothing to show */
        start_receiving(c);
    } else if (request == c->status_request) {
        c->status_request = 0;
    } else if (request == c->receive_request) {
        c->receive_done = true;
        if (done->result != SOTTO_RESULT_OK)
            sotto_chat_failed(c, done->result);
    } else if (is_pending(c, request)) {
        if (done->result != SOTTO_RESULT_OK)
            sotto_chat_failed(c, done->result);
        if (done->text[0] != 0)
            sotto_out(&c->out, done->result == SOTTO_RESULT_OK ? SOTTO_OUT_NOTE : SOTTO_OUT_ERROR,
                      "%s", done->text);
    }
}

static void on_event(struct sotto_chat *c, const struct sotto_event *e)
{
    uint32_t request = sotto_event_request(e);

    switch (sotto_event_type(e)) {
    case SOTTO_EVENT_DONE:
        on_done(c, request, sotto_event_done(e));
        break;
    case SOTTO_EVENT_CONNECTION:
        on_connection(c, sotto_event_connection(e));
        break;
    case SOTTO_EVENT_MESSAGE:
        on_message(c, e);
        break;
    case SOTTO_EVENT_STATE:
        sotto_outgoing_state(&c->outgoing, request, sotto_event_message(e), sotto_cli_mono());
        break;
    case SOTTO_EVENT_TYPING:
        if (c->tty)
            sotto_chat_tty_typing(c, sotto_event_typing(e));
        break;
    case SOTTO_EVENT_CONTACT:
        on_contact(c, e);
        break;
    case SOTTO_EVENT_STATUS:
        on_status(c, e);
        break;
    case SOTTO_EVENT_DEVICE:
    case SOTTO_EVENT_SAFETY:
        if (request != 0)
            sotto_view_event(&c->view, e);
        break;
    case SOTTO_EVENT_NOTICE:
        sotto_out(&c->out, SOTTO_OUT_NOTE, "%s", sotto_event_notice(e));
        break;
    case SOTTO_EVENT_LINK:
        on_link(c, sotto_event_link(e));
        break;
    }
}

void sotto_chat_events(struct sotto_chat *c)
{
    struct sotto_event *e;

    while ((e = sotto_client_next_event(c->cli->client)) != NULL) {
        on_event(c, e);
        sotto_event_free(e);
    }
    sotto_outgoing_flush(&c->outgoing, sotto_cli_mono(), false);
}

int64_t sotto_chat_timeout(const struct sotto_chat *c, uint64_t now)
{
    uint64_t due = sotto_outgoing_deadline(&c->outgoing);

    if (c->tty) {
        uint64_t other = sotto_chat_tty_deadline(c);

        if (other < due)
            due = other;
    }
    if (due == UINT64_MAX)
        return -1;
    return due <= now ? 0 : (int64_t)(due - now);
}

void sotto_chat_open(struct sotto_chat *c, const char *peer)
{
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    c->peer_known = c->peer_verified = c->peer_new_identity = false;
    c->unread = 0;
    if (!c->tty) {
        start_receiving(c); /* the past is what 'history' is for */
        return;
    }
    c->contacts_request = sotto_contacts(c->cli->client);
    if (peer[0] != 0)
        sotto_out(&c->out, SOTTO_OUT_NOTE,
                  "Chat with %s. A line is a message; /help shows the rest, "
                  "Ctrl-D or quit leaves.",
                  peer);
}

/* ---- leaving ---------------------------------------------------------------------------- */

static bool all_sent(const struct sotto_chat *c)
{
    return sotto_outgoing_unfinished(&c->outgoing) == 0;
}

static bool status_known(const struct sotto_chat *c)
{
    return c->status_request == 0;
}

/* Goes on until that is so, for at most so long; a second Ctrl-C cuts it short. */
static void go_on(struct sotto_chat *c, bool (*over)(const struct sotto_chat *c), uint64_t ms)
{
    uint64_t end = sotto_cli_mono() + ms, now;
    int signal_before = c->cli->signal, number = 0;

    while (!over(c) && (now = sotto_cli_mono()) < end && number != SIGINT && number != SIGTERM &&
           number != SIGHUP) {
        c->cli->signal = 0;
        (void)sotto_cli_turn(c->cli, -1, (int64_t)(end - now));
        number = c->cli->signal;
        sotto_chat_events(c);
    }
    c->cli->signal = signal_before;
}

/* Gives what is under way a moment, then says what stays behind. */
static void say_goodbye(struct sotto_chat *c)
{
    go_on(c, all_sent, LAST_SENDS_MS);
    sotto_outgoing_flush(&c->outgoing, sotto_cli_mono(), true);
    c->queued = (uint32_t)sotto_outgoing_unsent(&c->outgoing);
    c->status_request = sotto_status(c->cli->client);
    go_on(c, status_known, LAST_STATUS_MS);
    if (c->queued > 0)
        sotto_out(&c->out, SOTTO_OUT_NOTE,
                  "%" PRIu32 " message%s not sent yet; kept here, and sent as soon as a sotto "
                  "command connects.",
                  c->queued, c->queued == 1 ? " is" : "s are");
}

/* ---- lines from a pipe ------------------------------------------------------------------ */

struct pipe_input {
    struct sotto_buf buf;
    bool eof, skipping; /* the rest of a line that is too long */
};

/* Lines may end in CR LF. from: what was looked at before. */
static void drop_cr(struct sotto_buf *b, size_t from)
{
    size_t to = from > 0 ? from - 1 : 0;

    for (size_t i = to; i < b->n; i++) {
        if (b->p[i] != '\r' || i + 1 == b->n || b->p[i + 1] != '\n')
            b->p[to++] = b->p[i];
    }
    b->n = to;
}

/* Takes what is there; an over-long line is dropped as a whole. */
static void read_pipe(struct sotto_chat *c, struct pipe_input *in)
{
    ssize_t n;

    if (sotto_buf_reserve(&in->buf, in->buf.cap - in->buf.n) != SOTTO_OK) {
        sotto_out(&c->out, SOTTO_OUT_ERROR, "out of memory");
        in->eof = true;
        return;
    }
    n = read(STDIN_FILENO, in->buf.p + in->buf.n, in->buf.cap - in->buf.n);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        in->eof = true;
        return;
    }
    in->buf.n += (size_t)n;
    drop_cr(&in->buf, in->buf.n - (size_t)n);
    if (in->buf.n == in->buf.cap && memchr(in->buf.p, '\n', in->buf.n) == NULL) {
        in->skipping = true;
        sotto_buf_clear(&in->buf);
    }
}

/* The first whole line (at the end of input also one without a break), NUL-terminated; NULL. */
static const char *peek_line(struct pipe_input *in, size_t *ret_used)
{
    uint8_t *end = in->buf.n > 0 ? memchr(in->buf.p, '\n', in->buf.n) : NULL;
    size_t len = end != NULL ? (size_t)(end - in->buf.p) : in->buf.n;

    if (end == NULL && (!in->eof || in->buf.n == 0))
        return NULL;
    if (end == NULL && sotto_buf_add(&in->buf, "\n", 1) != SOTTO_OK)
        return NULL;
    in->buf.p[len] = 0;
    *ret_used = len + 1;
    return (const char *)in->buf.p;
}

static void refuse(struct sotto_chat *c, const char *why)
{
    sotto_out(&c->out, SOTTO_OUT_ERROR, "%s", why);
    sotto_chat_failed(c, SOTTO_RESULT_USAGE);
}

static const char too_long[] = "a line is longer than 32 KiB and was left out";

/* Does what the lines say that are there. False: the next one has to wait. */
static bool do_lines(struct sotto_chat *c, struct pipe_input *in)
{
    const char *line;
    size_t used;

    while (!c->leaving && (line = peek_line(in, &used)) != NULL) {
        if (sotto_chat_must_wait(c, line) &&
            (sotto_chat_pending(c) > 0 || sotto_outgoing_unfinished(&c->outgoing) > 0)) {
            in->buf.p[used - 1] = '\n';
            return false;
        }
        if (in->skipping)
            refuse(c, too_long);
        else if (strlen(line) + 1 != used)
            refuse(c, "a line contains a NUL byte and was left out");
        else if (!sotto_utf8_valid(line, used - 1))
            refuse(c, "a line is not valid UTF-8 and was left out");
        else
            sotto_chat_line(c, line);
        in->skipping = false;
        sotto_buf_consume(&in->buf, used);
    }
    if (in->eof && in->skipping && in->buf.n == 0) {
        refuse(c, too_long);
        in->skipping = false;
    }
    return true;
}

static bool all_done(const struct sotto_chat *c)
{
    return sotto_chat_pending(c) == 0 && sotto_outgoing_unfinished(&c->outgoing) == 0 &&
           c->receive_done;
}

static void run_pipe(struct sotto_chat *c)
{
    struct pipe_input in = {.buf = SOTTO_BUF(LINE_MAX_BYTES)};

    for (;;) {
        bool ready;

        sotto_chat_events(c);
        ready = do_lines(c, &in);
        if (!c->leaving && !arrived(c)) /* a pipe would hold it back until much has come together */
            give_up(c);
        if ((c->leaving || (in.eof && ready)) && all_done(c))
            break;
        if (c->deaf)
            break;
        /* A full buffer of lines that wait is not read further: the pipe holds the rest. */
        switch (sotto_cli_turn(c->cli, in.eof || c->leaving || !ready ? -1 : STDIN_FILENO,
                               sotto_chat_timeout(c, sotto_cli_mono()))) {
        case SOTTO_CLI_INPUT:
            read_pipe(c, &in);
            break;
        case SOTTO_CLI_SIGNALLED:
            if (c->cli->signal != SIGINT)
                c->cli->signal = 0; /* asked to end: that is no failure */
            sotto_buf_free(&in.buf);
            return;
        case SOTTO_CLI_WORKED:
            break;
        }
    }
    sotto_buf_free(&in.buf);
}

/* ---- all together ------------------------------------------------------------------------ */

static void end(struct sotto_chat *c)
{
    if (c->receive_request != 0)
        sotto_receive_stop(c->cli->client, c->receive_request);
    sotto_outgoing_free(&c->outgoing);
    free(c->seen);
    free(c->contact);
}

enum sotto_result sotto_chat(struct sotto_cli *cli, const char *peer)
{
    struct sotto_chat c = {.cli = cli, .out = sotto_out_stdio};
    enum sotto_result result;

    if (cli->client == NULL) {
        result = sotto_cli_open(cli, false);
        if (result != SOTTO_RESULT_OK)
            return result;
    }
    sotto_passphrase_forget(cli); /* a chat stays open for days */
    c.view = (struct sotto_view){.out = &c.out};
    c.tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && sotto_chat_tty_begin(&c);
    c.view.in_chat = c.tty;
    sotto_outgoing_init(&c.outgoing, &c.out, c.tty);
    sotto_chat_open(&c, peer != NULL ? peer : "");
    if (c.tty) {
        c.status_request = sotto_status(cli->client);
        sotto_chat_tty_run(&c);
    } else {
        run_pipe(&c);
    }
    say_goodbye(&c);
    if (c.tty)
        sotto_chat_tty_end(&c);
    result = c.tty ? SOTTO_RESULT_OK : c.result;
    if (!c.tty && result == SOTTO_RESULT_OK)
        result = sotto_outgoing_result(&c.outgoing);
    end(&c);
    return result;
}

enum sotto_result sotto_cmd_chat(struct sotto_cli *cli, const struct sotto_args *args)
{
    const char *peer = args->rest_count > 0 ? args->rest[0] : NULL;
    char why[SOTTO_CLI_WHY];

    if (peer != NULL && !sotto_cmd_name_fits(peer, why)) {
        sotto_out_error("%s", why);
        return SOTTO_RESULT_USAGE;
    }
    return sotto_chat(cli, peer);
}
