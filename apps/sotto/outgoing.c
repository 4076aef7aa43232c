/* SPDX-License-Identifier: Apache-2.0 */
#include "outgoing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "safe.h"
#include "view.h"
#include "when.h"

enum {
    HOLD_MS = 1000,   /* how long the newest line waits for its state */
    REPORT_MS = 300,  /* how long changes are collected into one line */
    KEEP_ROWS = 1000, /* delivered ones that may still be read */
    BRIEF_CHARS = 30,
};

void sotto_outgoing_init(struct sotto_outgoing *o, const struct sotto_out *out, bool tty)
{
    *o = (struct sotto_outgoing){.out = out, .tty = tty};
}

static void forget_text(struct sotto_sent *s)
{
    if (s->text != NULL)
        sotto_wipe(s->text, s->len);
    free(s->text);
    s->text = NULL;
}

static void drop(struct sotto_outgoing *o, size_t i)
{
    forget_text(&o->row[i]);
    sotto_wipe(o->row[i].brief, sizeof o->row[i].brief);
    memmove(&o->row[i], &o->row[i + 1], (o->count - i - 1) * sizeof o->row[0]);
    o->count--;
}

void sotto_outgoing_free(struct sotto_outgoing *o)
{
    while (o->count > 0)
        drop(o, o->count - 1);
    free(o->row);
    *o = (struct sotto_outgoing){0};
}

/* The beginning of a text, so that a later line can say which message it is about. */
static void make_brief(char *ret, size_t room, const char *text, size_t len)
{
    size_t at = 0, chars = 0;

    while (at < len && chars < BRIEF_CHARS && text[at] != '\n') {
        uint32_t c;
        size_t n = sotto_safe_next(text + at, len - at, &c);

        if (at + n + sizeof "\xe2\x80\xa6" > room)
            break;
        at += n;
        chars++;
    }
    memcpy(ret, text, at);
    (void)snprintf(ret + at, room - at, "%s", at < len ? "\xe2\x80\xa6" : "");
}

bool sotto_outgoing_add(struct sotto_outgoing *o, uint32_t request, const char *peer,
                        const char *text, size_t len, uint64_t now_ms, uint64_t mono_ms)
{
    struct sotto_sent s = {.request = request,
                           .at_ms = now_ms,
                           .changed_ms = mono_ms,
                           .state = SOTTO_MESSAGE_QUEUED,
                           .len = len};

    if (o->count == o->room) {
        size_t room = o->room == 0 ? 16 : o->room * 2;
        struct sotto_sent *row = realloc(o->row, room * sizeof *row);

        if (row == NULL)
            return false;
        o->row = row;
        o->room = room;
    }
    s.text = malloc(len > 0 ? len : 1);
    if (s.text == NULL)
        return false;
    memcpy(s.text, text, len);
    make_brief(s.brief, sizeof s.brief, text, len);
    (void)snprintf(s.peer, sizeof s.peer, "%s", peer);
    o->row[o->count++] = s;
    return true;
}

static void move_on(struct sotto_sent *s, enum sotto_message_state state, uint64_t mono_ms)
{
    /* Events of one message may overtake each other; it never goes back, except that what failed
     * may be sent again. */
    if (state > s->state || s->state == SOTTO_MESSAGE_FAILED) {
        s->state = state;
        s->changed_ms = mono_ms;
    }
}

/* What a person has to know beyond the state; repeated lines about the same outage help nobody. */
static void say_trouble(struct sotto_outgoing *o, const struct sotto_done *done)
{
    if (done->result == SOTTO_RESULT_UNREACHABLE) {
        if (o->unreachable_said)
            return;
        o->unreachable_said = true;
    }
    if (done->text[0] != 0)
        sotto_out(o->out, SOTTO_OUT_ERROR, "%s", done->text);
}

bool sotto_outgoing_done(struct sotto_outgoing *o, uint32_t request, const struct sotto_done *done,
                         uint64_t mono_ms)
{
    struct sotto_sent *s = NULL;

    for (size_t i = 0; i < o->count && s == NULL; i++) {
        if (o->row[i].request == request)
            s = &o->row[i];
    }
    if (request == 0 || s == NULL)
        return false;
    s->request = 0;
    (void)snprintf(s->id, sizeof s->id, "%s", done->id);
    if (done->result == SOTTO_RESULT_OK) {
        o->unreachable_said = false;
        move_on(s, SOTTO_MESSAGE_STORED, mono_ms);
        return true;
    }
    s->result = done->result;
    if (s->id[0] == 0) { /* refused: it is not kept */
        if (o->lost == SOTTO_RESULT_OK)
            o->lost = done->result;
        s->state = SOTTO_MESSAGE_FAILED;
        s->changed_ms = mono_ms;
        (void)snprintf(s->reason, sizeof s->reason, "%s", done->text);
        if (o->tty)
            return true; /* its line says why */
    }
    say_trouble(o, done);
    return true;
}

void sotto_outgoing_state(struct sotto_outgoing *o, uint32_t request, const struct sotto_message *m,
                          uint64_t mono_ms)
{
    for (size_t i = 0; i < o->count; i++) {
        struct sotto_sent *s = &o->row[i];
        bool same =
            s->id[0] != 0 ? strcmp(s->id, m->id) == 0 : (request != 0 && s->request == request);

        /* Until the request has ended its id is not known here, but its text is. */
        if (!same && s->id[0] == 0 && s->text != NULL && s->len == m->text_len &&
            strcmp(s->peer, m->peer) == 0 && memcmp(s->text, m->text, s->len) == 0)
            same = true;
        if (!same)
            continue;
        (void)snprintf(s->id, sizeof s->id, "%s", m->id);
        if (m->reason != NULL && m->state == SOTTO_MESSAGE_FAILED)
            (void)snprintf(s->reason, sizeof s->reason, "%s", m->reason);
        move_on(s, m->state, mono_ms);
        return;
    }
}

const struct sotto_sent *sotto_outgoing_held(const struct sotto_outgoing *o)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->row[i].shown == 0)
            return &o->row[i];
    }
    return NULL;
}

/* Its line in the conversation. */
static void print(struct sotto_outgoing *o, struct sotto_sent *s)
{
    struct sotto_message m = {.id = s->id,
                              .peer = s->peer,
                              .from = "you",
                              .kind = "text",
                              .text = s->text,
                              .text_len = s->len,
                              .sent_at_ms = s->at_ms,
                              .outgoing = true,
                              .state = s->state,
                              .reason = s->reason};
    char me[64];
    struct sotto_view view = {.out = o->out, .in_chat = o->tty, .me = me};

    (void)snprintf(me, sizeof me, "you to %s", s->peer);
    sotto_view_message(&view, &m);
    s->shown = s->state;
    forget_text(s);
}

static bool print_due(const struct sotto_outgoing *o, const struct sotto_sent *s, uint64_t mono_ms,
                      bool all)
{
    if (s->shown != 0)
        return false;
    if (all)
        return true;
    if (!o->tty)
        return s->request == 0;
    return s->state >= SOTTO_MESSAGE_DELIVERED || mono_ms >= s->changed_ms + HOLD_MS;
}

/* One line about all messages to the same person that reached the same state. */
static void report(struct sotto_outgoing *o, size_t first)
{
    const struct sotto_sent *s = &o->row[first];
    enum sotto_message_state state = s->state;
    size_t same = 0;

    for (size_t i = first; i < o->count; i++) {
        struct sotto_sent *other = &o->row[i];

        if (other->shown == 0 || other->shown == other->state || other->state != state ||
            strcmp(other->peer, s->peer) != 0 || (state == SOTTO_MESSAGE_FAILED && i != first))
            continue;
        other->shown = state;
        same++;
    }
    if (state == SOTTO_MESSAGE_FAILED)
        sotto_out(o->out, SOTTO_OUT_NOTE, "Not sent to %s: %s (%s)%s%s", s->peer, s->brief,
                  s->reason, s->id[0] != 0 ? "; again with: resend " : "", s->id);
    else if (same == 1)
        sotto_out(o->out, SOTTO_OUT_NOTE, "[%s] to %s: %s", sotto_view_state(state), s->peer,
                  s->brief);
    else
        sotto_out(o->out, SOTTO_OUT_NOTE, "[%s] %zu messages to %s", sotto_view_state(state), same,
                  s->peer);
}

static void tidy(struct sotto_outgoing *o)
{
    size_t i = 0;

    while (i < o->count) {
        const struct sotto_sent *s = &o->row[i];
        /* What failed may be sent again, unless it was refused and is not kept. */
        bool over = s->shown == s->state && s->request == 0 &&
                    (s->state == SOTTO_MESSAGE_READ ||
                     (s->state == SOTTO_MESSAGE_FAILED && s->id[0] == 0) ||
                     (s->state >= SOTTO_MESSAGE_DELIVERED && o->count > KEEP_ROWS));

        if (over)
            drop(o, i);
        else
            i++;
    }
}

void sotto_outgoing_flush(struct sotto_outgoing *o, uint64_t mono_ms, bool all)
{
    /* Whoever prints a line in a chat flushes first, so that what was written before it stands
     * above it; the lines printed here come back to this place. */
    if (o->flushing)
        return;
    o->flushing = true;
    /* In the order of writing: one that may not be printed yet holds up those after it, unless
     * they would overtake it on a terminal anyway. */
    for (size_t i = 0; i < o->count; i++) {
        struct sotto_sent *s = &o->row[i];
        bool newest = i + 1 == o->count;

        if (s->shown == 0 && print_due(o, s, mono_ms, all || (o->tty && !newest)))
            print(o, s);
        else if (s->shown == 0)
            break;
    }
    for (size_t i = 0; i < o->count; i++) {
        const struct sotto_sent *s = &o->row[i];

        if (s->shown != 0 && s->shown != s->state && (all || mono_ms >= s->changed_ms + REPORT_MS))
            report(o, i);
    }
    tidy(o);
    o->flushing = false;
}

uint64_t sotto_outgoing_deadline(const struct sotto_outgoing *o)
{
    uint64_t first = UINT64_MAX;
    bool waiting = false; /* an earlier one is not printed yet, so later ones cannot be */

    for (size_t i = 0; i < o->count; i++) {
        const struct sotto_sent *s = &o->row[i];
        uint64_t due = UINT64_MAX;

        if (s->shown != 0) {
            if (s->shown != s->state)
                due = s->changed_ms + REPORT_MS;
        } else if (!waiting) {
            if (!o->tty)
                due = s->request == 0 ? 0 : UINT64_MAX;
            else if (i + 1 < o->count || s->state >= SOTTO_MESSAGE_DELIVERED)
                due = 0;
            else
                due = s->changed_ms + HOLD_MS;
            waiting = true;
        }
        if (due < first)
            first = due;
    }
    return first;
}

size_t sotto_outgoing_unfinished(const struct sotto_outgoing *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->count; i++)
        n += o->row[i].request != 0;
    return n;
}

size_t sotto_outgoing_unsent(const struct sotto_outgoing *o)
{
    size_t n = 0;

    for (size_t i = 0; i < o->count; i++)
        n += o->row[i].state == SOTTO_MESSAGE_QUEUED;
    return n;
}

enum sotto_result sotto_outgoing_result(const struct sotto_outgoing *o)
{
    for (size_t i = 0; o->lost == SOTTO_RESULT_OK && i < o->count; i++) {
        const struct sotto_sent *s = &o->row[i];

        if (s->result != SOTTO_RESULT_OK &&
            (s->state == SOTTO_MESSAGE_QUEUED || s->state == SOTTO_MESSAGE_FAILED))
            return s->result;
    }
    return o->lost;
}
