/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat.h"
#include "signals.h"

enum {
    TYPING_IDLE_MS = 5000,   /* without a key for so long, nobody is typing */
    TYPING_AGAIN_MS = 4000,  /* said again while it goes on */
    TYPING_SHOWN_MS = 15000, /* of others, if the end of it got lost */
    STATE_ROOM = 1024,
};

/* ---- output ----------------------------------------------------------------------------- */

/* Whatever is printed comes after the message that was written before it. */
static void print_line(void *ctx, enum sotto_out_kind kind, const char *text, size_t len,
                       size_t lead)
{
    struct sotto_chat *c = ctx;

    if (sotto_outgoing_held(&c->outgoing) != NULL)
        sotto_outgoing_flush(&c->outgoing, sotto_cli_mono(), true);
    sotto_screen_line(&c->screen, kind, text, len, lead);
}

static void redraw(void *ctx)
{
    struct sotto_chat *c = ctx;

    sotto_screen_clear(&c->screen);
}

/* "bob, not verified, online, bob is typing..." */
static void state_text(const struct sotto_chat *c, char *ret, size_t room)
{
    const char *link = !c->link_known                ? "connecting"
                       : c->link == SOTTO_ONLINE     ? "online"
                       : c->link == SOTTO_CONNECTING ? "connecting"
                                                     : "offline: ";
    const char *trust = c->peer_new_identity ? "NEW IDENTITY"
                        : !c->peer_known     ? "no messages yet"
                        : c->peer_verified   ? "verified"
                                             : "not verified";
    int n;

    if (c->peer[0] != 0)
        n = snprintf(ret, room, "%s, %s, %s%s", c->peer, trust, link,
                     c->link_known && c->link == SOTTO_OFFLINE ? c->why : "");
    else
        n = snprintf(ret, room, "no chat open, %s%s", link,
                     c->link_known && c->link == SOTTO_OFFLINE ? c->why : "");
    for (size_t i = 0; i < SOTTO_CHAT_TYPISTS && n >= 0 && (size_t)n < room; i++) {
        if (c->typist[i].name[0] != 0)
            n += snprintf(ret + n, room - (size_t)n, ", %s is typing\xe2\x80\xa6",
                          c->typist[i].name);
    }
}

/* The message that was written last, while its state is still changing. */
static size_t held_text(const struct sotto_chat *c, char *ret, size_t room)
{
    const struct sotto_sent *s = sotto_outgoing_held(&c->outgoing);
    const char *cut;
    size_t len;

    if (s == NULL || s->text == NULL)
        return 0;
    cut = memchr(s->text, '\n', s->len);
    len = cut != NULL ? (size_t)(cut - s->text) : s->len;
    if (len > room - 200)
        len = room - 200;
    (void)snprintf(ret, room, "you to %s: %.*s [%s]", s->peer, (int)len, s->text,
                   sotto_view_state(s->state));
    return 1;
}

static void draw(struct sotto_chat *c)
{
    char held[STATE_ROOM], state[STATE_ROOM], prompt[48];
    const char *rows[2];
    struct sotto_live live = {.state = rows, .prompt = prompt};

    if (held_text(c, held, sizeof held) > 0)
        rows[live.state_count++] = held;
    state_text(c, state, sizeof state);
    rows[live.state_count++] = state;
    (void)snprintf(prompt, sizeof prompt, "%s> ", c->peer[0] != 0 ? c->peer : "sotto");
    live.text = sotto_edit_text(c->edit, &live.len, &live.cursor);
    sotto_screen_draw(&c->screen, &live);
    if (!sotto_screen_flush(&c->screen))
        c->leaving = true; /* the terminal is gone */
}

/* ---- typing notices --------------------------------------------------------------------- */

static struct sotto_chat_typist *typist_of(struct sotto_chat *c, const char *name)
{
    for (size_t i = 0; i < SOTTO_CHAT_TYPISTS; i++) {
        if (strcmp(c->typist[i].name, name) == 0)
            return &c->typist[i];
    }
    return NULL;
}

void sotto_chat_tty_typing(struct sotto_chat *c, const struct sotto_typing_row *row)
{
    struct sotto_chat_typist *t = typist_of(c, row->from);

    if (t == NULL && row->active)
        t = typist_of(c, ""); /* a free place */
    if (t == NULL)
        return;
    if (row->active) {
        (void)snprintf(t->name, sizeof t->name, "%s", row->from);
        t->until_ms = sotto_cli_mono() + TYPING_SHOWN_MS;
    } else {
        t->name[0] = 0;
    }
}

static void stop_typing(struct sotto_chat *c)
{
    if (c->typing)
        sotto_typing(c->cli->client, c->peer, false);
    c->typing = false;
}

/* Tells the peer when a message is being written. */
static void say_typing(struct sotto_chat *c, uint64_t now)
{
    size_t len, cursor;
    const wchar_t *text = sotto_edit_text(c->edit, &len, &cursor);
    bool changed = len != c->typed_len;

    c->typed_len = len;
    if (len == 0 || text[0] == L'/' || c->peer[0] == 0) {
        stop_typing(c);
        return;
    }
    if (changed) {
        c->typed_ms = now;
        if (!c->typing || now >= c->typing_sent_ms + TYPING_AGAIN_MS) {
            sotto_typing(c->cli->client, c->peer, true);
            c->typing = true;
            c->typing_sent_ms = now;
        }
    } else if (c->typing && now >= c->typed_ms + TYPING_IDLE_MS) {
        stop_typing(c);
    }
}

static void forget_typists(struct sotto_chat *c, uint64_t now)
{
    for (size_t i = 0; i < SOTTO_CHAT_TYPISTS; i++) {
        if (c->typist[i].name[0] != 0 && now >= c->typist[i].until_ms)
            c->typist[i].name[0] = 0;
    }
}

uint64_t sotto_chat_tty_deadline(const struct sotto_chat *c)
{
    uint64_t due = c->typing ? c->typed_ms + TYPING_IDLE_MS : UINT64_MAX;

    for (size_t i = 0; i < SOTTO_CHAT_TYPISTS; i++) {
        if (c->typist[i].name[0] != 0 && c->typist[i].until_ms < due)
            due = c->typist[i].until_ms;
    }
    return due;
}

/* ---- signals of the terminal ------------------------------------------------------------ */

static void suspend(struct sotto_chat *c)
{
    stop_typing(c);
    sotto_screen_hide(&c->screen);
    (void)sotto_screen_flush(&c->screen);
    sotto_edit_raw(c->edit, false);
    (void)raise(SIGSTOP);
    c->resumed = true; /* the SIGCONT that ended it is still to be read */
    sotto_screen_resize(&c->screen);
    sotto_edit_raw(c->edit, true);
}

static bool on_interrupt(struct sotto_chat *c)
{
    size_t len, cursor;

    (void)sotto_edit_text(c->edit, &len, &cursor);
    if (len > 0) {
        sotto_edit_clear(c->edit);
        return true;
    }
    if (c->interrupted) {
        c->leaving = true;
        return false;
    }
    c->interrupted = true;
    sotto_out(&c->out, SOTTO_OUT_NOTE, "Ctrl-C once more leaves.");
    return false;
}

/* True: the editor has to throw away what is typed. */
static bool on_signal(struct sotto_chat *c)
{
    int number = c->cli->signal;

    c->cli->signal = 0;
    switch (number) {
    case SIGINT:
        return on_interrupt(c);
    case SIGWINCH:
        sotto_screen_resize(&c->screen);
        return false;
    case SIGTSTP:
        suspend(c);
        return false;
    case SIGCONT:
        if (!c->resumed) { /* stopped from outside; what is on the screen now is not ours */
            sotto_screen_forget(&c->screen);
            sotto_screen_resize(&c->screen);
            sotto_edit_raw(c->edit, true);
        }
        c->resumed = false;
        return false;
    default: /* SIGTERM, SIGHUP, SIGQUIT */
        c->leaving = true;
        return false;
    }
}

/* ---- the loop, as the editor sees it ------------------------------------------------------ */

static bool input_waits(void)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

/* Everything but the keys happens in here. */
static bool wait_for_key(void *ctx)
{
    struct sotto_chat *c = ctx;

    while (!c->leaving) {
        uint64_t now;

        sotto_chat_events(c);
        now = sotto_cli_mono();
        forget_typists(c, now);
        if (input_waits()) { /* a paste is drawn when it is over */
            c->interrupted = false;
            return true;
        }
        say_typing(c, now);
        draw(c);
        switch (sotto_cli_turn(c->cli, STDIN_FILENO, sotto_chat_timeout(c, sotto_cli_mono()))) {
        case SOTTO_CLI_INPUT:
            break; /* seen above */
        case SOTTO_CLI_SIGNALLED:
            if (on_signal(c))
                return true;
            break;
        case SOTTO_CLI_WORKED:
            break;
        }
    }
    return false;
}

bool sotto_chat_tty_begin(struct sotto_chat *c)
{
    const struct sotto_edit_host host = {
        .ctx = c, .wait = wait_for_key, .complete = sotto_chat_complete, .redraw = redraw};
    const char *term = getenv("TERM");

    if (term == NULL || term[0] == 0 || strcmp(term, "dumb") == 0)
        return false; /* it could not show an edited line; plain lines work everywhere */
    if (!sotto_screen_init(&c->screen, STDOUT_FILENO))
        return false;
    c->edit = sotto_edit_new(STDIN_FILENO, STDOUT_FILENO, &host);
    if (c->edit == NULL) {
        sotto_screen_free(&c->screen);
        return false;
    }
    sotto_signals_close(c->cli->signals);
    c->cli->signals = sotto_signals_open(true);
    c->out = (struct sotto_out){.line = print_line, .ctx = c};
    return true;
}

void sotto_chat_tty_run(struct sotto_chat *c)
{
    while (!c->leaving) {
        char *line = NULL;

        switch (sotto_edit_read(c->edit, &line)) {
        case SOTTO_EDIT_LINE:
            c->typed_len = 0;
            c->interrupted = false;
            c->typing = false; /* the message itself ends it on the other side */
            sotto_chat_line(c, line);
            break;
        case SOTTO_EDIT_EOF:
        case SOTTO_EDIT_STOPPED:
            c->leaving = true;
            break;
        }
        free(line);
    }
    stop_typing(c);
}

void sotto_chat_tty_end(struct sotto_chat *c)
{
    sotto_screen_hide(&c->screen);
    (void)sotto_screen_flush(&c->screen);
    sotto_edit_free(c->edit);
    c->edit = NULL;
    sotto_screen_free(&c->screen);
}
