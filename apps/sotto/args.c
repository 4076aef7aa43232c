/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <stdio.h>
#include <string.h>

#include "suggest.h"

enum { NAME_MAX_LEN = 32, YEAR_SECONDS = 366 * 24 * 3600 };

static size_t place_of(const struct sotto_args *args, const char *name, size_t len)
{
    size_t i;

    for (i = 0; args->options[i].name != NULL; i++) {
        if (strlen(args->options[i].name) == len && memcmp(args->options[i].name, name, len) == 0)
            break;
    }
    return i;
}

static void say_unknown(const struct sotto_args *args, const char *word, size_t len, char *why,
                        size_t room)
{
    const char *names[SOTTO_ARGS_OPTIONS + 1] = {0}, *near;
    char typed[64];

    for (size_t i = 0; args->options[i].name != NULL; i++)
        names[i] = args->options[i].name;
    (void)snprintf(typed, sizeof typed, "%.*s", (int)(len < 63 ? len : 63), word);
    near = sotto_suggest(typed, names);
    (void)snprintf(why, room,
                   "there is no option '%s' here%s%s%s (text that begins with a dash goes after "
                   "--)",
                   typed, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                   near != NULL ? "'?" : "");
}

/* One option at words[*at]; moves *at to the last word that it used. */
static bool read_option(struct sotto_args *args, const char *const *words, size_t count, size_t *at,
                        char *why, size_t room)
{
    const char *word = words[*at], *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    size_t i = place_of(args, word, len);
    const struct sotto_option *o = &args->options[i];
    uint64_t unused;

    if (o->name == NULL) {
        say_unknown(args, word, len, why, room);
        return false;
    }
    if (args->value[i] != NULL) {
        (void)snprintf(why, room, "%s is given twice", o->name);
        return false;
    }
    if (o->takes == SOTTO_TAKES_NOTHING) {
        if (equals != NULL) {
            (void)snprintf(why, room, "%s takes no value", o->name);
            return false;
        }
        args->value[i] = "";
        return true;
    }
    if (equals == NULL && *at + 1 == count) {
        (void)snprintf(why, room, "%s needs a value", o->name);
        return false;
    }
    args->value[i] = equals != NULL ? equals + 1 : words[++*at];
    if (o->takes == SOTTO_TAKES_VALUE_NUMBER && *at + 1 < count &&
        sotto_args_seconds(words[*at + 1], &unused))
        args->number[i] = words[++*at];
    return true;
}

bool sotto_args_read(struct sotto_args *args, const struct sotto_option *options,
                     const char *const *words, size_t count, const char **rest, char *why,
                     size_t room)
{
    bool ended = false;

    *args = (struct sotto_args){.options = options, .rest = rest};
    for (size_t at = 0; at < count; at++) {
        const char *word = words[at];

        if (ended || word[0] != '-' || word[1] == 0)
            rest[args->rest_count++] = word;
        else if (strcmp(word, "--") == 0)
            ended = true;
        else if (!read_option(args, words, count, &at, why, room))
            return false;
    }
    return true;
}

const char *sotto_args_value(const struct sotto_args *args, const char *name)
{
    size_t i = place_of(args, name, strlen(name));

    return args->options[i].name != NULL ? args->value[i] : NULL;
}

const char *sotto_args_number(const struct sotto_args *args, const char *name)
{
    size_t i = place_of(args, name, strlen(name));

    return args->options[i].name != NULL ? args->number[i] : NULL;
}

bool sotto_args_has(const struct sotto_args *args, const char *name)
{
    return sotto_args_value(args, name) != NULL;
}

bool sotto_args_count(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;

    if (*text == 0)
        return false;
    for (; *text != 0; text++) {
        uint64_t digit = (uint64_t)(unsigned char)*text - '0';

        if (digit > 9 || n > (max - (digit > max ? max : digit)) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *ret = n;
    return true;
}

bool sotto_args_seconds(const char *text, uint64_t *ret_ms)
{
    const char *dot = strchr(text, '.');
    size_t whole = dot != NULL ? (size_t)(dot - text) : strlen(text);
    char digits[16] = "";
    uint64_t seconds, part = 0;

    if (whole == 0 || whole >= sizeof digits)
        return false;
    memcpy(digits, text, whole);
    if (!sotto_args_count(digits, YEAR_SECONDS, &seconds))
        return false;
    if (dot != NULL) {
        size_t n = strlen(dot + 1);

        if (n == 0 || n > 3 || !sotto_args_count(dot + 1, 999, &part))
            return false;
        for (; n < 3; n++)
            part *= 10;
    }
    *ret_ms = seconds * 1000 + part;
    return true;
}

static bool all_in(const char *text, size_t len, const char *set)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == 0 || strchr(set, text[i]) == NULL)
            return false;
    }
    return true;
}

bool sotto_args_is_name(const char *text, size_t len)
{
    if (len == 0)
        return false;
    if (text[0] == '+')
        return len >= 8 && len <= 16 && all_in(text + 1, len - 1, "0123456789");
    return len <= NAME_MAX_LEN && text[0] != '.' && text[0] != '_' && text[0] != '-' &&
           all_in(text, len, "abcdefghijklmnopqrstuvwxyz0123456789._-");
}
