/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_EDIT_H
#define SOTTO_APP_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

/*
 * The line being typed, edited by libedit (keys, history, ~/.editrc), shown by ourselves: libedit
 * draws into nothing, because a screen that two write to ends in garbage as soon as a message
 * comes in, a line is longer than the screen or a character wider than one cell.
 */
struct sotto_edit;

enum sotto_edit_got {
    SOTTO_EDIT_LINE,    /* Enter */
    SOTTO_EDIT_EOF,     /* Ctrl-D on an empty line, or the terminal is gone */
    SOTTO_EDIT_STOPPED, /* wait said so */
};

struct sotto_edit_host {
    void *ctx;
    /* Sleeps until the terminal can be read and runs everything else meanwhile. False: leave.
     * Also returns after sotto_edit_clear(). */
    bool (*wait)(void *ctx);
    /* Tab with the cursor behind text: the letters that complete it, "" for none. NULL: a tab is
     * to be inserted. The result lives until the next call. */
    const wchar_t *(*complete)(void *ctx, const wchar_t *text, size_t len);
    /* Ctrl-L. */
    void (*redraw)(void *ctx);
};

/* NULL: fd is no terminal that can be used, or memory is out. fd: stdin; out: stdout. */
struct sotto_edit *sotto_edit_new(int fd, int out, const struct sotto_edit_host *host);
void sotto_edit_free(struct sotto_edit *e); /* gives the terminal back as it was */
/* Edits until there is a line (ret_line: UTF-8, owned by the caller, without line break). */
enum sotto_edit_got sotto_edit_read(struct sotto_edit *e, char **ret_line);
/* What is typed so far; lives until the next key. */
const wchar_t *sotto_edit_text(const struct sotto_edit *e, size_t *ret_len, size_t *ret_cursor);
/* Throws away what is typed; may be called from wait, which has to return then. */
void sotto_edit_clear(struct sotto_edit *e);
/* The terminal as it was (false), or as editing needs it (true): around a stop. */
void sotto_edit_raw(struct sotto_edit *e, bool on);

#endif
