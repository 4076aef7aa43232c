/* SPDX-License-Identifier: Apache-2.0 */
#include "edit.h"

#include <errno.h>
#include <histedit.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "safe.h"

enum { INPUT_ROOM = 4096, HISTORY_LINES = 200 };

struct sotto_edit {
    struct sotto_edit_host host;
    EditLine *el;
    HistoryW *history;
    FILE *nowhere;
    int fd;
    char input[INPUT_ROOM]; /* read, not yet looked at */
    size_t at, n;
    bool entered, eof, stopped, clear;
    char *line; /* entered, not yet handed out */
};

static struct sotto_edit *self(EditLine *el)
{
    struct sotto_edit *e = NULL;

    (void)el_wget(el, EL_CLIENTDATA, &e);
    return e;
}

/* ---- input ------------------------------------------------------------------------------ */

/* Is a whole character there? A sequence that is cut by the end of the buffer is not. */
static bool has_char(const struct sotto_edit *e)
{
    size_t left = e->n - e->at, need = 1;
    const unsigned char *p = (const unsigned char *)e->input + e->at;

    if (left == 0)
        return false;
    if (p[0] >= 0xc2 && p[0] < 0xf5)
        need = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    for (size_t i = 1; i < need; i++) {
        if (i == left)
            return false;
        if ((p[i] & 0xc0) != 0x80)
            return true; /* broken: nothing that comes later mends it */
    }
    return true;
}

/* False: no more input. */
static bool fill(struct sotto_edit *e)
{
    ssize_t n;

    memmove(e->input, e->input + e->at, e->n - e->at);
    e->n -= e->at;
    e->at = 0;
    do {
        if (!e->host.wait(e->host.ctx)) {
            e->stopped = true;
            return false;
        }
        if (e->clear)
            return false; /* out of whatever key sequence this is in */
        n = read(e->fd, e->input + e->n, sizeof e->input - e->n);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n <= 0) {
        e->eof = true;
        return false;
    }
    e->n += (size_t)n;
    return true;
}

/* libedit asks for the next character, here also in the middle of a key sequence. */
static int get_char(EditLine *el, wchar_t *ret)
{
    struct sotto_edit *e = self(el);
    uint32_t c;

    while (!has_char(e)) {
        if (!fill(e))
            return -1;
    }
    e->at += sotto_safe_next(e->input + e->at, e->n - e->at, &c);
    *ret = c == '\r' ? L'\n' : (wchar_t)c; /* Enter, as a terminal without ICRNL sends it */
    return 1;
}

/* ---- the line when it is done ------------------------------------------------------------ */

static char *to_utf8(const wchar_t *text, size_t len)
{
    char *line = malloc(len * 4 + 1);
    size_t n = 0;

    if (line == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++)
        n += sotto_safe_encode(text[i] != 0 ? (uint32_t)text[i] : 0xfffd, line + n);
    line[n] = 0;
    return line;
}

static void remember(struct sotto_edit *e, const wchar_t *text, size_t len)
{
    wchar_t *copy = malloc((len + 1) * sizeof *copy);
    HistEventW event;

    if (copy == NULL || e->history == NULL || len == 0) {
        free(copy);
        return;
    }
    wmemcpy(copy, text, len);
    copy[len] = 0;
    (void)history_w(e->history, &event, H_ENTER, copy);
    sotto_wipe(copy, len * sizeof *copy);
    free(copy);
}

static char *take_line(struct sotto_edit *e, const wchar_t *text, size_t len)
{
    remember(e, text, len);
    return to_utf8(text, len);
}

/* ---- keys of our own -------------------------------------------------------------------- */

/*
 * Enter and "away with it". Both end in CC_FATAL, libedit's way back to an empty line that leaves
 * the terminal raw: between two lines of a paste it must not echo. (libedit's own key for Enter
 * also appends a line break to the line, which a quoted one could not be told from.)
 */
static unsigned char on_enter(EditLine *el, int key)
{
    struct sotto_edit *e = self(el);
    const LineInfoW *line = el_wline(el);

    (void)key;
    e->entered = true;
    e->line = take_line(e, line->buffer, (size_t)(line->lastchar - line->buffer));
    return CC_FATAL;
}

static unsigned char on_clear(EditLine *el, int key)
{
    (void)el;
    (void)key;
    return CC_FATAL;
}

static unsigned char on_tab(EditLine *el, int key)
{
    const LineInfoW *line = el_wline(el);
    struct sotto_edit *e = self(el);
    const wchar_t *more =
        e->host.complete(e->host.ctx, line->buffer, (size_t)(line->cursor - line->buffer));

    (void)key;
    if (more == NULL)
        more = L"\t";
    if (*more == 0 || el_winsertstr(el, more) != 0)
        return CC_NORM;
    return CC_REFRESH;
}

static unsigned char on_redraw(EditLine *el, int key)
{
    struct sotto_edit *e = self(el);

    (void)key;
    e->host.redraw(e->host.ctx);
    return CC_NORM;
}

static void bind_keys(EditLine *el)
{
    static const wchar_t *const keys[][2] = {{L"^M", L"sotto-enter"},
                                             {L"^J", L"sotto-enter"},
                                             {L"^\\", L"sotto-clear"},
                                             {L"^I", L"sotto-complete"},
                                             {L"^L", L"sotto-redraw"},
                                             /* Ctrl and Alt with the arrows */
                                             {L"\\e[1;5D", L"ed-prev-word"},
                                             {L"\\e[1;5C", L"em-next-word"},
                                             {L"\\e[1;3D", L"ed-prev-word"},
                                             {L"\\e[1;3C", L"em-next-word"}};

    (void)el_wset(el, EL_ADDFN, L"sotto-enter", L"Send the line", on_enter);
    (void)el_wset(el, EL_ADDFN, L"sotto-clear", L"Throw the line away", on_clear);
    (void)el_wset(el, EL_ADDFN, L"sotto-complete", L"Complete a name", on_tab);
    (void)el_wset(el, EL_ADDFN, L"sotto-redraw", L"Clear the screen", on_redraw);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        (void)el_wset(el, EL_BIND, keys[i][0], keys[i][1], NULL);
        (void)el_wset(el, EL_BIND, L"-a", keys[i][0], keys[i][1], NULL); /* vi's other map */
    }
}

/* ---- life ------------------------------------------------------------------------------- */

static wchar_t *no_prompt(EditLine *el)
{
    static wchar_t empty[] = L"";

    (void)el;
    return empty;
}

struct sotto_edit *sotto_edit_new(int fd, int out, const struct sotto_edit_host *host)
{
    struct sotto_edit *e = calloc(1, sizeof *e);
    HistEventW event;

    if (e == NULL)
        return NULL;
    e->host = *host;
    e->fd = fd;
    e->nowhere = fopen("/dev/null", "r+e");
    if (e->nowhere != NULL) /* the descriptors are the terminal's: its modes are set there */
        e->el = el_init_fd("sotto", e->nowhere, e->nowhere, e->nowhere, fd, out, STDERR_FILENO);
    if (e->el == NULL) {
        sotto_edit_free(e);
        return NULL;
    }
    (void)el_wset(e->el, EL_CLIENTDATA, e);
    (void)el_wset(e->el, EL_PROMPT, no_prompt);
    (void)el_wset(e->el, EL_EDITOR, L"emacs");
    e->history = history_winit();
    if (e->history != NULL) { /* in memory only: it holds what people wrote */
        (void)history_w(e->history, &event, H_SETSIZE, HISTORY_LINES);
        (void)history_w(e->history, &event, H_SETUNIQUE, 1);
        (void)el_wset(e->el, EL_HIST, history_w, e->history);
    }
    (void)el_source(e->el, NULL);
    (void)el_wset(e->el, EL_EDITMODE, 1);
    bind_keys(e->el);
    (void)el_wset(e->el, EL_GETCFN, get_char);
    /* A key at a time: the terminal stays raw between lines, so a paste of many is not echoed. */
    (void)el_wset(e->el, EL_UNBUFFERED, 1);
    return e;
}

void sotto_edit_free(struct sotto_edit *e)
{
    if (e == NULL)
        return;
    if (e->el != NULL) {
        (void)el_wset(e->el, EL_UNBUFFERED, 0);
        el_end(e->el);
    }
    if (e->history != NULL)
        history_wend(e->history);
    if (e->nowhere != NULL)
        (void)fclose(e->nowhere);
    free(e->line);
    sotto_wipe(e->input, sizeof e->input);
    free(e);
}

static void clear_line(struct sotto_edit *e)
{
    int n = 0;

    /* The key that means it, without anybody having pressed it. */
    el_wpush(e->el, L"\x1c");
    (void)el_wgets(e->el, &n);
}

void sotto_edit_clear(struct sotto_edit *e)
{
    e->clear = true;
}

void sotto_edit_raw(struct sotto_edit *e, bool on)
{
    (void)el_wset(e->el, EL_PREP_TERM, on ? 1 : 0);
}

const wchar_t *sotto_edit_text(const struct sotto_edit *e, size_t *ret_len, size_t *ret_cursor)
{
    const LineInfoW *line = el_wline(e->el);

    *ret_len = (size_t)(line->lastchar - line->buffer);
    *ret_cursor = (size_t)(line->cursor - line->buffer);
    if (*ret_cursor > *ret_len)
        *ret_cursor = *ret_len;
    return line->buffer;
}

/* ---- a line ----------------------------------------------------------------------------- */

enum sotto_edit_got sotto_edit_read(struct sotto_edit *e, char **ret_line)
{
    const wchar_t *text;
    size_t len, cursor;

    e->entered = e->eof = e->stopped = false;
    while (!e->entered) {
        int n = 0;

        (void)el_wgets(e->el, &n);
        if (e->stopped)
            return SOTTO_EDIT_STOPPED;
        if (e->eof)
            return SOTTO_EDIT_EOF;
        if (e->clear) {
            e->clear = false;
            clear_line(e);
        }
        text = sotto_edit_text(e, &len, &cursor);
        if (!e->entered && len == 1 && text[0] == 4) /* libedit's sign for Ctrl-D */
            return SOTTO_EDIT_EOF;
    }
    if (e->line == NULL)
        return SOTTO_EDIT_STOPPED; /* out of memory */
    *ret_line = e->line;
    e->line = NULL;
    return SOTTO_EDIT_LINE;
}
