/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_ARGS_H
#define SOTTO_APP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Arguments of a command: options may stand before or after the rest, "--" ends them, "-" is not
 * one. A value follows as "--name value" or "--name=value".
 */
enum sotto_option_takes {
    SOTTO_TAKES_NOTHING,
    SOTTO_TAKES_VALUE,
    SOTTO_TAKES_VALUE_NUMBER, /* a value, then perhaps a number (--wait delivered 30) */
};
struct sotto_option {
    const char *name; /* with its dashes; a list ends with NULL */
    enum sotto_option_takes takes;
};

#define SOTTO_ARGS_OPTIONS 12
struct sotto_args {
    const struct sotto_option *options;
    const char *value[SOTTO_ARGS_OPTIONS]; /* by place in options; NULL: not given; "" for a flag */
    const char *number[SOTTO_ARGS_OPTIONS];
    const char **rest; /* rest_count words that are no options; points into the caller's words */
    size_t rest_count;
};

/*
 * Reads words[0..count). rest needs room for count pointers, owned by the caller. False: why
 * (room bytes) gets what is wrong, with the nearest option.
 */
bool sotto_args_read(struct sotto_args *args, const struct sotto_option *options,
                     const char *const *words, size_t count, const char **rest, char *why,
                     size_t room);
/* The value of an option of the list, NULL when it was not given. */
const char *sotto_args_value(const struct sotto_args *args, const char *name);
/* The number that followed it, NULL when there was none. */
const char *sotto_args_number(const struct sotto_args *args, const char *name);
bool sotto_args_has(const struct sotto_args *args, const char *name);

/* A whole number without sign, at most max. */
bool sotto_args_count(const char *text, uint64_t max, uint64_t *ret);
/* Seconds, with up to three decimals, as milliseconds; at most a year. */
bool sotto_args_seconds(const char *text, uint64_t *ret_ms);
/* May this be the name of an account? [a-z0-9][a-z0-9._-]{0,31} or + and 7 to 15 digits. */
bool sotto_args_is_name(const char *text, size_t len);

#endif
