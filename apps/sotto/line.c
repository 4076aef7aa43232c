/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "base/secret.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static const char *skip(const char *p, bool spaces)
{
    while (*p != 0 && is_space(*p) == spaces)
        p++;
    return p;
}

/* Is the line one of the commands that a chat knows without a slash? */
static bool is_bare_command(const char *line)
{
    static const char *const alone[] = {"who", "verify", "help", "quit"};
    const char *end = skip(line, false), *arg = skip(end, true), *arg_end = skip(arg, false);
    size_t len = (size_t)(end - line);
    bool one_word = *arg == 0, two_words = *skip(arg_end, true) == 0;
    bool named = sotto_args_is_name(arg, (size_t)(arg_end - arg));

    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        if (one_word && strlen(alone[i]) == len && memcmp(line, alone[i], len) == 0)
            return true;
    }
    if (len == 4 && memcmp(line, "chat", 4) == 0)
        return named && two_words;
    if (len == 4 && memcmp(line, "send", 4) == 0)
        return named && !two_words;
    return false;
}

static bool read_words(const char *line, struct sotto_line *ret)
{
    const char *second = skip(skip(skip(line, true), false), true);
    const char *after = skip(second, false);
    char *p;

    ret->kind = SOTTO_LINE_COMMAND;
    ret->rest = *after == 0 ? after : after + 1;
    ret->words = strdup(line);
    if (ret->words == NULL)
        return false;
    ret->words_len = strlen(line);
    p = ret->words;
    while (ret->count < SOTTO_LINE_WORDS) {
        p += strspn(p, " \t");
        if (*p == 0)
            break;
        ret->word[ret->count++] = p;
        if (ret->count == SOTTO_LINE_WORDS)
            break;
        p += strcspn(p, " \t");
        if (*p != 0)
            *p++ = 0;
    }
    if (ret->count == 0) { /* "/" alone asks what there is */
        ret->word[0] = "help";
        ret->count = 1;
    }
    return true;
}

bool sotto_line_read(const char *line, bool in_chat, struct sotto_line *ret)
{
    const char *first = skip(line, true);

    *ret = (struct sotto_line){.rest = ""};
    if (*first == 0) {
        ret->kind = SOTTO_LINE_EMPTY;
        return true;
    }
    if (!in_chat)
        return read_words(*first == '/' ? first + 1 : first, ret);
    if (line[0] == '/' && line[1] != '/')
        return read_words(line + 1, ret);
    if (is_bare_command(line))
        return read_words(line, ret);
    ret->kind = SOTTO_LINE_MESSAGE;
    ret->message = line[0] == '/' ? line + 1 : line;
    return true;
}

void sotto_line_free(struct sotto_line *l)
{
    if (l->words != NULL)
        sotto_wipe(l->words, l->words_len);
    free(l->words);
    *l = (struct sotto_line){.rest = ""};
}
