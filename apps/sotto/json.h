/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_APP_JSON_H
#define SOTTO_APP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * One JSON object (RFC 8259) on one line. Keys keep the order in which they were added. The first
 * failure (memory) sticks and sotto_json_end() reports it.
 */
struct sotto_json {
    struct sotto_buf buf;
    enum sotto_err err;
    bool any; /* a member was written */
};

void sotto_json_begin(struct sotto_json *j);
/*
 * A string: what it decodes to is text, byte for byte. Everything that could act on a terminal
 * (control characters, direction marks, line separators) is written as \u escapes; broken UTF-8,
 * which JSON cannot carry, as U+FFFD.
 */
void sotto_json_text(struct sotto_json *j, const char *key, const char *text, size_t len);
void sotto_json_string(struct sotto_json *j, const char *key, const char *text);
void sotto_json_number(struct sotto_json *j, const char *key, int64_t value);
void sotto_json_bool(struct sotto_json *j, const char *key, bool value);
/* "2026-11-21T03:45:00.123Z"; 0 is null. */
void sotto_json_time(struct sotto_json *j, const char *key, uint64_t ms);
/* Closes the object; the text lives until the next begin or free, without a line break. */
enum sotto_err sotto_json_end(struct sotto_json *j, const char **ret_text, size_t *ret_len);
void sotto_json_free(struct sotto_json *j);

#endif
