/* SPDX-License-Identifier: Apache-2.0 */
#include "screen.h"

#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "safe.h"

/* ---- a terminal, as far as the screen makes use of one --------------------------------------- */

enum { LINES_MAX = 8192, COLS_MAX = 120 };

struct terminal {
    struct sotto_screen screen;
    int fd;
    unsigned rows, cols;
    wchar_t (
        *cell)[COLS_MAX];   /* all lines there ever were; 0: empty, 1: right half of a wide one */
    bool *wrapped;          /* the line goes on in the next */
    unsigned top, row, col; /* row: counted from the first line of all */
    bool pending;           /* a full line wraps when the next character comes */
};

static void terminal_open(struct terminal *t, unsigned rows, unsigned cols)
{
    memset(t, 0, sizeof *t);
    t->fd = memfd_create("terminal", MFD_CLOEXEC);
    assert_true(t->fd >= 0);
    assert_true(sotto_screen_init(&t->screen, t->fd));
    t->screen.rows = t->rows = rows;
    t->screen.cols = t->cols = cols;
    t->cell = calloc(LINES_MAX, sizeof *t->cell);
    t->wrapped = calloc(LINES_MAX, sizeof *t->wrapped);
    assert_non_null(t->cell);
    assert_non_null(t->wrapped);
}

static void terminal_close(struct terminal *t)
{
    sotto_screen_free(&t->screen);
    (void)close(t->fd);
    free(t->cell);
    free(t->wrapped);
}

static void go_down(struct terminal *t)
{
    t->row++;
    assert_true(t->row < LINES_MAX);
    if (t->row >= t->top + t->rows)
        t->top++;
}

static void put_char(struct terminal *t, uint32_t c)
{
    unsigned width = (unsigned)wcwidth((wchar_t)c);

    assert_true(width == 1 || width == 2);
    if (t->pending || t->col + width > t->cols) {
        t->wrapped[t->row] = true;
        go_down(t);
        t->col = 0;
    }
    t->cell[t->row][t->col] = (wchar_t)c;
    if (width == 2)
        t->cell[t->row][t->col + 1] = 1;
    t->col += width;
    t->pending = t->col == t->cols;
    if (t->pending)
        t->col--;
}

static void erase_down(struct terminal *t)
{
    for (unsigned i = t->row; i < t->top + t->rows; i++) {
        unsigned from = i == t->row ? t->col : 0;

        memset(&t->cell[i][from], 0, (COLS_MAX - from) * sizeof t->cell[i][0]);
        t->wrapped[i] = false;
    }
}

/* ESC [ n letter; returns its length. */
static size_t obey(struct terminal *t, const char *p)
{
    char *end;
    unsigned n = (unsigned)strtoul(p + 2, &end, 10);

    assert_int_equal(p[1], '[');
    switch (*end) {
    case 'A':
        assert_true(t->row >= t->top + n); /* or it would go into what has scrolled away */
        t->row -= n;
        t->pending = false;
        break;
    case 'C':
        t->col += n;
        assert_true(t->col < t->cols);
        t->pending = false;
        break;
    case 'J':
        assert_int_equal(n, 0);
        erase_down(t);
        break;
    case 'm':
        break;
    default:
        fail_msg("the screen sent ESC[%s", p + 2);
    }
    return (size_t)(end + 1 - p);
}

/* Takes what the screen has written since the last time. */
static void terminal_take(struct terminal *t)
{
    static char bytes[1 << 20];
    ssize_t n;
    size_t at = 0;

    assert_true(sotto_screen_flush(&t->screen));
    n = pread(t->fd, bytes, sizeof bytes - 1, 0);
    assert_true(n >= 0 && (size_t)n < sizeof bytes - 1);
    assert_int_equal(ftruncate(t->fd, 0), 0);
    assert_true(lseek(t->fd, 0, SEEK_SET) == 0);
    bytes[n] = 0;
    while (at < (size_t)n) {
        uint32_t c = 0;

        if (bytes[at] == '\033') {
            at += obey(t, bytes + at);
            continue;
        }
        at += sotto_safe_next(bytes + at, (size_t)n - at, &c);
        if (c == '\r') {
            t->col = 0;
            t->pending = false;
        } else if (c == '\n') {
            go_down(t);
        } else {
            put_char(t, c);
        }
    }
}

/* The line that begins in row; what has wrapped is joined, empty cells at its end are left out.
 * Moves row to the one behind it. */
static void terminal_line(const struct terminal *t, unsigned *row, char *ret)
{
    size_t n = 0, used = 0;
    bool more;

    do {
        more = t->wrapped[*row];
        for (unsigned i = 0; i < t->cols; i++) {
            wchar_t c = t->cell[*row][i];

            if (c == 1)
                continue;
            /* The last cell before a wide character that did not fit is no space. */
            if (c == 0 && more && i + 1 == t->cols)
                continue;
            n += sotto_safe_encode(c == 0 ? ' ' : (uint32_t)c, ret + n);
            if (c != 0)
                used = n;
        }
        ++*row;
    } while (more);
    ret[used] = 0;
}

/* ---- where text wraps -------------------------------------------------------------------- */

static void wraps(void **state)
{
    static const struct {
        const wchar_t *text;
        size_t cursor;
        unsigned prompt, cols, rows, cursor_row, cursor_col;
    } cases[] = {
        {L"", 0, 5, 80, 1, 0, 5},
        {L"abc", 3, 5, 80, 1, 0, 8},
        {L"abc", 0, 5, 80, 1, 0, 5},
        {L"abcd", 4, 5, 10, 2, 1, 0}, /* nine cells are used, the tenth stays free */
        {L"abc", 3, 5, 10, 1, 0, 8},
        {L"abcd", 3, 5, 10, 1, 0, 8},
        {L"abcde", 5, 5, 10, 2, 1, 1},
        {L"abcdefghijklm", 13, 5, 10, 3, 2, 0},
        {L"abc\x65e5", 4, 5, 10, 2, 1, 2}, /* a wide one does not fit in the last cell */
        {L"abc\x65e5", 3, 5, 10, 2, 1, 0},
        {L"a\x01"
         L"b",
         3, 0, 80, 1, 0, 4}, /* ^A takes two */
        {L"\x1b[2J", 4, 0, 80, 1, 0, 5},
        {L"x", 1, 20, 10, 3, 2, 3}, /* a prompt that is wider than the terminal */
        {L"ab", 2, 0, 1, 3, 2, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_wrap w = sotto_screen_wrap(cases[i].text, wcslen(cases[i].text),
                                                cases[i].cursor, cases[i].prompt, cases[i].cols);

        if (w.rows != cases[i].rows || w.cursor_row != cases[i].cursor_row ||
            w.cursor_col != cases[i].cursor_col)
            fail_msg("case %zu: %u rows, cursor %u,%u", i, w.rows, w.cursor_row, w.cursor_col);
    }
}

static void glyphs(void **state)
{
    static const struct {
        wchar_t c;
        unsigned cols, width;
        const wchar_t *want;
    } cases[] = {
        {L'a', 80, 1, L"a"},        {0x65e5, 80, 2, L"\x65e5"},
        {1, 80, 2, L"^A"},          {0x7f, 80, 2, L"^?"},
        {0x1b, 80, 2, L"^["},       {0x9b, 80, 1, L"\xfffd"},
        {0x202e, 80, 1, L"\xfffd"}, {0x301, 80, 0, L"\x301"},
        {0x65e5, 2, 1, L"\xfffd"},  {1, 2, 1, L"^"},
        {-1, 80, 1, L"\xfffd"},     {0x1f600, 80, 2, L"\x1f600"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wchar_t got[3];

        assert_int_equal(sotto_screen_glyph(cases[i].c, cases[i].cols, got), cases[i].width);
        assert_int_equal(wcscmp(got, cases[i].want), 0);
    }
}

/* ---- a conversation above a line that is being typed ------------------------------------------
 */

static uint32_t seed;

static unsigned pick(unsigned below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static size_t random_text(wchar_t *ret, unsigned most)
{
    static const wchar_t chars[] = L"abc xyz \x65e5\x672c\x1f600\x00e4";
    size_t len = pick(most);

    for (size_t i = 0; i < len; i++)
        ret[i] = chars[pick(sizeof chars / sizeof chars[0] - 1)];
    if (len > 0)
        ret[len - 1] = L'#'; /* so that no space is at its end */
    return len;
}

static void to_utf8(const wchar_t *text, size_t len, char *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += sotto_safe_encode((uint32_t)text[i], ret + n);
    ret[n] = 0;
}

enum { SAID = 150, TEXT_ROOM = 400 };

struct drawn {
    char said[SAID][TEXT_ROOM * 4];
    size_t count;
    wchar_t typed[TEXT_ROOM];
    size_t len, cursor;
};

/* All that was said stands there once and in order, then the state, then what is typed. */
static void check(const struct terminal *t, const struct drawn *d, const char *status)
{
    char line[TEXT_ROOM * 8], want[TEXT_ROOM * 8], typed[TEXT_ROOM * 8] = "";
    struct sotto_wrap w = sotto_screen_wrap(d->typed, d->len, d->cursor, 5, t->cols);
    unsigned row = 0, first;

    for (size_t i = 0; i < d->count; i++) {
        terminal_line(t, &row, line);
        assert_string_equal(line, d->said[i]);
    }
    terminal_line(t, &row, line);
    assert_true(strncmp(line, status, strlen(line)) == 0 && strlen(line) >= 5);
    assert_true(row >= t->top);
    first = row;
    if (w.rows < t->rows - 1) { /* else it is a window on the text */
        for (unsigned i = 0; i < w.rows; i++) {
            terminal_line(t, &row, line);
            /* A row ends before a wide character; spaces at its end cannot be told apart. */
            (void)strcat(typed, line);
        }
        to_utf8(d->typed, d->len, line);
        (void)snprintf(want, sizeof want, "bob> %s", line);
        for (char *s = want, *o = want;; s++) { /* compare without spaces */
            if (*s != ' ')
                *o++ = *s;
            if (*s == 0)
                break;
        }
        for (char *s = typed, *o = typed;; s++) {
            if (*s != ' ')
                *o++ = *s;
            if (*s == 0)
                break;
        }
        assert_string_equal(typed, want);
        assert_int_equal(t->row, first + w.cursor_row);
        assert_int_equal(t->col, w.cursor_col);
        if (d->cursor < d->len && d->typed[d->cursor] != L' ')
            assert_true(t->cell[t->row][t->col] == d->typed[d->cursor]);
    }
    for (row = t->row + 1; row < t->top + t->rows && w.rows < t->rows - 1; row++) {
        if (row >= first + w.rows)
            assert_true(t->cell[row][0] == 0);
    }
}

static void converse(unsigned rows, unsigned cols, uint32_t number)
{
    static const char status[] =
        "bob, verified, online, and a state that may be too long for a row "
        "so that it is cut where the terminal ends, wherever that may be";
    static struct drawn d;
    const char *state_rows[] = {status};
    struct terminal t;

    seed = number;
    d = (struct drawn){0};
    terminal_open(&t, rows, cols);
    for (int i = 0; i < 300; i++) {
        struct sotto_live live = {.state = state_rows, .state_count = 1, .prompt = "bob> "};

        if (pick(3) == 0 && d.count < SAID) {
            wchar_t text[TEXT_ROOM];
            size_t len = random_text(text, pick(4) == 0 ? TEXT_ROOM : 30);

            to_utf8(text, len, d.said[d.count]);
            sotto_screen_line(&t.screen, pick(2) == 0 ? SOTTO_OUT_RESULT : SOTTO_OUT_NOTE,
                              d.said[d.count], strlen(d.said[d.count]), 0);
            d.count++;
        } else {
            d.len = random_text(d.typed, pick(5) == 0 ? TEXT_ROOM : 20);
        }
        d.cursor = d.len == 0 ? 0 : pick((unsigned)d.len + 1);
        live.text = d.typed;
        live.len = d.len;
        live.cursor = d.cursor;
        sotto_screen_draw(&t.screen, &live);
        terminal_take(&t);
        check(&t, &d, status);
    }
    terminal_close(&t);
}

static void conversations(void **state)
{
    static const unsigned sizes[][2] = {{24, 80}, {5, 20}, {10, 33}, {50, 119}, {24, 12}};

    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (uint32_t number = 1; number <= 10; number++)
            converse(sizes[i][0], sizes[i][1], number);
    }
}

/* A text that is longer than the screen is shown around the cursor. */
static void longer_than_the_screen(void **state)
{
    static wchar_t text[32 * 1024];
    static const size_t cursors[] = {0, 1000, 16 * 1024, 32 * 1024};

    wmemset(text, L'x', sizeof text / sizeof text[0]);
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        struct sotto_live live = {.prompt = "bob> ", .text = text, .len = 32 * 1024};
        struct terminal t;

        live.cursor = cursors[i];
        terminal_open(&t, 10, 40);
        sotto_screen_line(&t.screen, SOTTO_OUT_RESULT, "said", 4, 0);
        for (int round = 0; round < 3; round++) {
            sotto_screen_draw(&t.screen, &live);
            terminal_take(&t);
        }
        assert_true(t.row >= t.top && t.row < t.top + t.rows);
        assert_true(t.top + t.rows <= 11); /* it does not scroll on with each drawing */
        sotto_screen_line(&t.screen, SOTTO_OUT_RESULT, "more", 4, 0);
        live.len = live.cursor = 0;
        sotto_screen_draw(&t.screen, &live);
        terminal_take(&t);
        {
            char line[TEXT_ROOM * 8];
            unsigned row = 0;

            terminal_line(&t, &row, line);
            assert_string_equal(line, "said");
            terminal_line(&t, &row, line);
            assert_string_equal(line, "more");
            terminal_line(&t, &row, line);
            assert_string_equal(line, "bob> ");
        }
        terminal_close(&t);
    }
}

/* What is shown there cannot give orders; a break stays inside of its message. */
static void lines_are_made_safe(void **state)
{
    static const char text[] = "bob: a\033[2Jb\nalice: not really";
    char line[TEXT_ROOM * 8];
    struct terminal t;
    unsigned row = 0;

    terminal_open(&t, 24, 80);
    sotto_screen_line(&t.screen, SOTTO_OUT_RESULT, text, sizeof text - 1, 5);
    terminal_take(&t);
    terminal_line(&t, &row, line);
    assert_string_equal(line, "bob: a\xe2\x90\x9b[2Jb");
    terminal_line(&t, &row, line);
    assert_string_equal(line, "    alice: not really");
    terminal_close(&t);
}

static void a_terminal_that_is_gone(void **state)
{
    struct sotto_screen s;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    (void)close(fds[0]);
    assert_true(sotto_screen_init(&s, fds[1]));
    sotto_screen_line(&s, SOTTO_OUT_RESULT, "said", 4, 0);
    assert_false(sotto_screen_flush(&s));
    sotto_screen_free(&s);
    (void)close(fds[1]);
}

static int set_up(void **state)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return setlocale(LC_CTYPE, "C.UTF-8") == NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wraps),
        cmocka_unit_test(glyphs),
        cmocka_unit_test(conversations),
        cmocka_unit_test(longer_than_the_screen),
        cmocka_unit_test(lines_are_made_safe),
        cmocka_unit_test(a_terminal_that_is_gone),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
