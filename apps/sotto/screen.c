/* SPDX-License-Identifier: Apache-2.0 */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "safe.h"

enum {
    OUT_MAX = 4 * 1024 * 1024, /* before it is flushed; a message has 32 KiB */
    LIVE_ROWS_MAX = 200,
};

bool sotto_screen_init(struct sotto_screen *s, int fd)
{
    const char *plain = getenv("NO_COLOR");

    *s = (struct sotto_screen){
        .fd = fd, .colour = plain == NULL || plain[0] == 0, .out = SOTTO_BUF(OUT_MAX)};
    s->room = LIVE_ROWS_MAX;
    s->widths = calloc(s->room, sizeof *s->widths);
    sotto_screen_resize(s);
    return s->widths != NULL;
}

void sotto_screen_free(struct sotto_screen *s)
{
    sotto_buf_free(&s->out);
    free(s->widths);
    s->widths = NULL;
}

void sotto_screen_resize(struct sotto_screen *s)
{
    struct winsize size = {0};

    (void)ioctl(s->fd, TIOCGWINSZ, &size);
    s->rows = size.ws_row > 0 ? size.ws_row : 24;
    s->cols = size.ws_col > 0 ? size.ws_col : 80;
}

/* ---- collecting output ------------------------------------------------------------------ */

static void put(struct sotto_screen *s, const char *p, size_t n)
{
    if (sotto_buf_add(&s->out, p, n) == SOTTO_OK)
        return;
    /* Very much at once: get rid of it, then try once more. */
    (void)sotto_screen_flush(s);
    (void)sotto_buf_add(&s->out, p, n);
}

static void puts_out(struct sotto_screen *s, const char *text)
{
    put(s, text, strlen(text));
}

static void put_move(struct sotto_screen *s, unsigned n, char direction)
{
    char seq[16];

    if (n == 0)
        return;
    (void)snprintf(seq, sizeof seq, "\033[%u%c", n, direction);
    puts_out(s, seq);
}

static void style(struct sotto_screen *s, const char *seq)
{
    if (s->colour)
        puts_out(s, seq);
}

bool sotto_screen_flush(struct sotto_screen *s)
{
    size_t at = 0;
    bool ok = true;

    while (ok && at < s->out.n) {
        ssize_t n = write(s->fd, s->out.p + at, s->out.n - at);

        if (n > 0) {
            at += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) { /* somebody made our terminal non-blocking */
            struct pollfd fd = {.fd = s->fd, .events = POLLOUT};

            (void)poll(&fd, 1, -1);
        } else {
            ok = n < 0 && errno == EINTR;
        }
    }
    sotto_buf_clear(&s->out);
    return ok;
}

/* ---- the live part ---------------------------------------------------------------------- */

unsigned sotto_screen_glyph(wchar_t c, unsigned cols, wchar_t ret[3])
{
    int width;

    ret[1] = ret[2] = 0;
    if ((c >= 0 && c < 0x20) || c == 0x7f) {
        if (cols < 3) {
            ret[0] = L'^';
            return 1;
        }
        ret[0] = L'^';
        ret[1] = c == 0x7f ? L'?' : c + L'@';
        return 2;
    }
    width = c < 0 || sotto_safe_is_control((uint32_t)c) ? -1 : wcwidth(c);
    ret[0] = c;
    if (width < 0 || (width == 2 && cols < 3)) {
        ret[0] = L'\xfffd';
        return 1;
    }
    return (unsigned)width;
}

struct walk {
    unsigned row, col;
};

/* The place after a glyph of this width; it goes to the next row when it does not fit. Rows are
 * one cell narrower than the terminal: the last one would make the terminal wrap by itself. */
static struct walk step(struct walk at, unsigned width, unsigned cols)
{
    unsigned usable = cols > 1 ? cols - 1 : 1;

    if (at.col + width > usable && at.col > 0)
        at = (struct walk){.row = at.row + 1};
    at.col += width;
    return at;
}

struct sotto_wrap sotto_screen_wrap(const wchar_t *text, size_t len, size_t cursor,
                                    unsigned prompt_width, unsigned cols)
{
    struct walk at = {0};
    struct sotto_wrap w = {0};
    wchar_t glyph[3];

    for (unsigned i = 0; i < prompt_width; i++)
        at = step(at, 1, cols);
    for (size_t i = 0; i < len; i++) {
        unsigned width = sotto_screen_glyph(text[i], cols, glyph);
        struct walk next = step(at, width, cols);

        if (i == cursor) { /* it stands on this glyph, wherever that has gone */
            w.cursor_row = next.row;
            w.cursor_col = next.col - width;
        }
        at = next;
    }
    if (cursor >= len) {
        /* Behind the last one there must be a cell to type into. */
        struct walk next = step(at, 1, cols);

        w.cursor_row = next.row;
        w.cursor_col = next.col - 1;
    }
    w.rows = (w.cursor_row > at.row ? w.cursor_row : at.row) + 1;
    return w;
}

void sotto_screen_hide(struct sotto_screen *s)
{
    unsigned up = 0;

    if (s->live == 0)
        return;
    /* A terminal that was made narrower has wrapped our rows meanwhile. */
    for (unsigned i = 0; i < s->cursor_row; i++)
        up += s->widths[i] > s->cols ? (s->widths[i] + s->cols - 1) / s->cols : 1;
    up += s->cursor_col / s->cols;
    puts_out(s, "\r");
    put_move(s, up, 'A');
    puts_out(s, "\033[J");
    s->live = 0;
}

void sotto_screen_forget(struct sotto_screen *s)
{
    if (s->live > 0)
        puts_out(s, "\r\n");
    s->live = 0;
}

static void put_wide(struct sotto_screen *s, const wchar_t *w)
{
    for (; *w != 0; w++) {
        char out[4];

        put(s, out, sotto_safe_encode((uint32_t)*w, out));
    }
}

static void begin_row(struct sotto_screen *s)
{
    if (s->live > 0)
        puts_out(s, "\r\n");
    s->widths[s->live++] = 0;
}

static void put_cells(struct sotto_screen *s, const wchar_t *glyph, unsigned width)
{
    put_wide(s, glyph);
    s->widths[s->live - 1] += width;
}

/* One row of state, cut where the terminal ends. */
static void draw_state(struct sotto_screen *s, const char *text)
{
    size_t at = 0, len = strlen(text);

    begin_row(s);
    style(s, "\033[2m");
    while (at < len) {
        wchar_t glyph[3];
        unsigned width;
        uint32_t c;

        at += sotto_safe_next(text + at, len - at, &c);
        width = sotto_screen_glyph(c == '\n' ? L' ' : (wchar_t)c, s->cols, glyph);
        if (s->widths[s->live - 1] + width + 1 > s->cols)
            break;
        put_cells(s, glyph, width);
    }
    style(s, "\033[0m");
}

/* The rows from first on, at most count: all of them unless the text is longer than the screen. */
static void draw_text(struct sotto_screen *s, const struct sotto_live *live, unsigned first,
                      unsigned count)
{
    size_t prompt_len = strlen(live->prompt), i = 0;
    struct walk at = {0};
    unsigned drawn = UINT32_MAX; /* the row that is being drawn */

    for (; i < prompt_len + live->len; i++) {
        wchar_t c = i < prompt_len ? (wchar_t)live->prompt[i] : live->text[i - prompt_len];
        wchar_t glyph[3];
        unsigned width = sotto_screen_glyph(c, s->cols, glyph);

        at = step(at, width, s->cols);
        if (at.row < first)
            continue;
        if (at.row >= first + count)
            break;
        if (at.row != drawn) {
            begin_row(s);
            drawn = at.row;
        }
        put_cells(s, glyph, width);
    }
}

void sotto_screen_draw(struct sotto_screen *s, const struct sotto_live *live)
{
    struct sotto_wrap w = sotto_screen_wrap(live->text, live->len, live->cursor,
                                            (unsigned)strlen(live->prompt), s->cols);
    unsigned most = s->rows > 1 ? s->rows - 1 : 1, states = (unsigned)live->state_count, first = 0;

    sotto_screen_hide(s);
    if (most > LIVE_ROWS_MAX)
        most = LIVE_ROWS_MAX;
    if (states > most / 2)
        states = most / 2;
    for (unsigned i = 0; i < states; i++)
        draw_state(s, live->state[i]);
    most -= states;
    if (w.rows > most) { /* a window on a text that is longer, around the cursor */
        first = w.cursor_row < most / 2 ? 0 : w.cursor_row - most / 2;
        if (first > w.rows - most)
            first = w.rows - most;
    }
    draw_text(s, live, first, most);
    while (s->live < states + (w.rows < most ? w.rows : most))
        begin_row(s); /* the cursor stands on a row of its own behind a full one */
    s->cursor_row = states + w.cursor_row - first;
    s->cursor_col = w.cursor_col;
    puts_out(s, "\r");
    put_move(s, s->live - 1 - s->cursor_row, 'A');
    put_move(s, s->cursor_col, 'C');
}

/* ---- the conversation ------------------------------------------------------------------- */

static void emit(void *ctx, const char *p, size_t n)
{
    struct sotto_screen *s = ctx;

    if (n == 1 && *p == '\n')
        puts_out(s, "\r\n"); /* the terminal is in raw mode */
    else
        put(s, p, n);
}

void sotto_screen_line(struct sotto_screen *s, enum sotto_out_kind kind, const char *text,
                       size_t len, size_t lead)
{
    static const char *const begin[] = {[SOTTO_OUT_RESULT] = "\033[1m",
                                        [SOTTO_OUT_RAW] = "\033[1m",
                                        [SOTTO_OUT_NOTE] = "\033[2m",
                                        [SOTTO_OUT_ERROR] = "\033[33m"};
    bool whole = kind == SOTTO_OUT_NOTE || kind == SOTTO_OUT_ERROR;

    sotto_screen_hide(s);
    if (whole)
        lead = len;
    if (lead > 0)
        style(s, begin[kind]);
    sotto_safe_text(text, lead, "    ", emit, s);
    if (lead > 0)
        style(s, "\033[0m");
    sotto_safe_text(text + lead, len - lead, "    ", emit, s);
    puts_out(s, "\r\n");
}

void sotto_screen_clear(struct sotto_screen *s)
{
    puts_out(s, "\033[H\033[2J");
    s->live = 0;
}
