/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_SCREEN_H
#define SOTTO_APP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#include "base/bytes.h"
#include "out.h"

/*
 * A terminal in line mode: a conversation that grows upwards into the scrollback, and below it the
 * live part, which is wiped and drawn anew: some rows of state, then the line being typed. Rows of
 * the live part are never as wide as the terminal, so that its own wrapping plays no role and we
 * always know where the cursor is.
 */
struct sotto_screen {
    int fd;
    unsigned rows, cols;
    bool colour;
    struct sotto_buf out; /* not written yet */
    unsigned *widths;     /* of the live rows that stand on the screen */
    unsigned live, room;  /* how many */
    unsigned cursor_row, cursor_col;
};

struct sotto_live {
    const char *const *state; /* UTF-8 lines above the prompt, each cut to one row */
    size_t state_count;
    const char *prompt; /* ASCII */
    const wchar_t *text;
    size_t len, cursor;
};

bool sotto_screen_init(struct sotto_screen *s, int fd);
void sotto_screen_free(struct sotto_screen *s);
/* Asks the terminal for its size; call at SIGWINCH. */
void sotto_screen_resize(struct sotto_screen *s);
/* Wipes the live part, so that the cursor stands where the conversation goes on. */
void sotto_screen_hide(struct sotto_screen *s);
/* Somebody else has written to the terminal: the live part is given up and begun on a new row. */
void sotto_screen_forget(struct sotto_screen *s);
/* A line of the conversation. */
void sotto_screen_line(struct sotto_screen *s, enum sotto_out_kind kind, const char *text,
                       size_t len, size_t lead);
/* Wipes the live part and draws this one. */
void sotto_screen_draw(struct sotto_screen *s, const struct sotto_live *live);
/* Writes what is collected. False: the terminal is gone. */
bool sotto_screen_flush(struct sotto_screen *s);
void sotto_screen_clear(struct sotto_screen *s);

/*
 * Where text wraps when it follows a prompt of prompt_width cells in rows of cols cells. Pure.
 * Returns the number of rows; the cursor is before text[cursor].
 */
struct sotto_wrap {
    unsigned rows, cursor_row, cursor_col;
};
struct sotto_wrap sotto_screen_wrap(const wchar_t *text, size_t len, size_t cursor,
                                    unsigned prompt_width, unsigned cols);
/* What is shown for c while it is typed: up to 2 characters (^X), NUL-terminated. Returns their
 * width in cells. */
unsigned sotto_screen_glyph(wchar_t c, unsigned cols, wchar_t ret[3]);

#endif
