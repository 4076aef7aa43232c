/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_LINE_H
#define SOTTO_APP_LINE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What a line typed in a chat means. Without an open chat every line is a command. In a chat a
 * line is a message, unless it begins with one slash ("//" writes a slash) or is wholly one of
 * "chat WHO", "send WHO MESSAGE", "who", "verify", "help", "quit". A line that begins with a
 * space is always a message, and everything of it is sent.
 */
enum sotto_line_kind {
    SOTTO_LINE_EMPTY,
    SOTTO_LINE_MESSAGE,
    SOTTO_LINE_COMMAND,
};

#define SOTTO_LINE_WORDS 24
struct sotto_line {
    enum sotto_line_kind kind;
    const char *message; /* points into the line */
    /* COMMAND: its words; word[0] is the command. Owned; a word too many is left in the last. */
    char *words;
    size_t words_len;
    const char *word[SOTTO_LINE_WORDS];
    size_t count;
    const char *rest; /* the line after the second word and one space ("send WHO" + this); or "" */
};

/* line: NUL-terminated, without its line break. False: out of memory. */
bool sotto_line_read(const char *line, bool in_chat, struct sotto_line *ret);
void sotto_line_free(struct sotto_line *l);

#endif
